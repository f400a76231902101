"""How fast opsd takes in accounting text and answers from it, beside slurm2sql on the same file.

Each measurement is a whole process: interpreter start, reading, writing, the usage being right at the end.
The two take turns, so that a busy machine hurts both. slurm2sql is handed a csv reader told of the
`|`, which its main() takes: one file cannot be both sacct's text and comma-separated.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

GENERATOR = Path(__file__).with_name("generate.py")
NUMBERS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
NUMBERS_BEGIN = "<!-- numbers: written by tests/benchmarks/import_rate.py --write -->"
NUMBERS_END = "<!-- end of numbers -->"

YEAR = ("--from", "2025-11-01", "--to", "2026-11-01")
IMPORTS = ("import", "the same file again")
QUERIES = ("country,month", "user,state")

# What opsd is asked to do; `{}` is a file. All of it in one place, for the day a command changes.
IMPORT = ("import", "sacct", "{}", "--timezone", "UTC")
USAGE = ("usage", *YEAR, "--format", "csv", "--by")
APPLY = ("consortium", "apply", "{}")
REBUILD = ("db", "rebuild")
# In what import says: the seconds it took to build the day facts, a part of its whole time.
DAY_FACTS_SECONDS = re.compile(r"day facts.* in ([0-9.]+) s")

DONE = 0
WRONG_USAGE = 2
NEEDS_EYES = 3  # done, but something was quarantined or is unattributed

SLURM2SQL = (
    "import csv, sys, slurm2sql\n"
    "database, text = sys.argv[1:]\n"
    "reader = csv.DictReader(open(text), delimiter='|')\n"
    "sys.exit(slurm2sql.main([database, '--update', '--jobs-only'], csv_input=reader))\n"
)


@dataclass(frozen=True, slots=True)
class Ran:
    """One process, measured by the kernel."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    code: int
    said: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A first import into an empty database, and the same file once more."""

    first: Ran
    again: Ran
    database_mib: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the printed table."""

    what: str
    runs: int
    measured: tuple[Ran, ...]
    size_mib: float = 0.0

    def cells(self) -> tuple[str, ...]:
        """What stands in the table: the median, and the best time beside it."""
        walls = [ran.wall_seconds for ran in self.measured]
        rate = f"{self.runs / median(walls) * 60 / 1e6:.2f}" if self.runs else ""
        return (
            self.what,
            rate,
            f"{median(walls):.2f}",
            f"{min(walls):.2f}",
            f"{median(ran.cpu_seconds for ran in self.measured):.2f}",
            f"{max(ran.peak_mib for ran in self.measured):.0f}",
            f"{self.size_mib:.0f}" if self.size_mib else "",
        )


HEADER = ("what", "M rows/min", "median s", "best s", "CPU s", "peak MiB", "database MiB")


# ------------------------------------------------------------------------------------------------ measuring


def run(command: Sequence[str], *, allowed: Sequence[int] = (DONE, NEEDS_EYES)) -> Ran:
    """Run a command to its end and keep what it said; stop the benchmark if it fails."""
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, said.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, said.fileno(), 2),
        ]
        process = os.posix_spawn(command[0], [*command], _environment(), file_actions=actions)
        _, status, used = os.wait4(process, 0)
        wall = time.perf_counter() - begun
        said.seek(0)
        ran = Ran(
            wall_seconds=wall,
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak_mib=used.ru_maxrss / 1024,
            code=os.waitstatus_to_exitcode(status),
            said=said.read().decode(errors="replace"),
        )
    if ran.code not in allowed:
        sys.exit(f"{' '.join(command[:6])} ... ended with {ran.code}:\n{ran.said}")
    return ran


def _environment() -> Mapping[str, str]:
    """Both read the file's times as UTC, and neither finds a configuration of whoever runs this."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"TZ": "UTC", "HOME": tempfile.gettempdir(), "PYTHONHASHSEED": "0"}


def opsd(database: Path, *arguments: str) -> list[str]:
    """An opsd command line on a SQLite file."""
    return [str(Path(sys.executable).with_name("opsd")), "--db", f"sqlite:///{database}", *arguments]


def import_with_opsd(text: Path, database: Path) -> Imported:
    """Import into a database that does not exist, then once more."""
    return _import_twice(opsd(database, *_with_file(IMPORT, text)), database)


def _with_file(words: Sequence[str], file: Path) -> list[str]:
    return [str(file) if word == "{}" else word for word in words]


def import_with_slurm2sql(text: Path, database: Path) -> Imported:
    """Import as a user of slurm2sql would keep a database current: `--update`."""
    return _import_twice([sys.executable, "-c", SLURM2SQL, str(database), str(text)], database)


def _import_twice(command: Sequence[str], database: Path) -> Imported:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    first = run(command)
    size = sum(file.stat().st_size for file in database.parent.glob(f"{database.name}*"))
    return Imported(first=first, again=run(command), database_mib=size / 2**20)


# ------------------------------------------------------------------------------------------------- the runs


def generate(folder: Path, rows: int) -> Path:
    """The benchmark's file of so many rows."""
    text = folder / f"sacct-{rows}.psv"
    run([sys.executable, str(GENERATOR), "--rows", str(rows), "--output", str(text)])
    return text


def compare(folder: Path, rows: int, rounds: int, peer: bool) -> Iterator[Row]:
    """The two on the same file, taking turns."""
    text = generate(folder, rows)
    ours: list[Imported] = []
    theirs: list[Imported] = []
    for _ in range(rounds):
        ours.append(import_with_opsd(text, folder / "opsd.db"))
        if peer:
            theirs.append(import_with_slurm2sql(text, folder / "slurm2sql.db"))
    for name, imports in (("opsd", ours), ("slurm2sql", theirs)):
        if imports:
            once, again = IMPORTS
            size = imports[-1].database_mib
            yield Row(f"{name}, {once}", rows, tuple(done.first for done in imports), size)
            yield Row(f"{name}, {again}", rows, tuple(done.again for done in imports))


def day_facts(imported: Sequence[Ran], database: Path) -> list[str]:
    """The seconds that day facts took inside the imports, and a full rebuild of them, where opsd says."""
    said = [found.group(1) for ran in imported if (found := DAY_FACTS_SECONDS.search(ran.said))]
    lines = [f"Day facts within the import: {', '.join(said) or 'not told'} s."]
    rebuilt = run(opsd(database, *REBUILD), allowed=(DONE, NEEDS_EYES, WRONG_USAGE))
    if rebuilt.code != WRONG_USAGE:
        lines.append(f"A full rebuild (`opsd {' '.join(REBUILD)}`): {rebuilt.wall_seconds:.2f} s.")
    return lines


def bind_accounts(database: Path) -> None:
    """Say who is behind the accounts: usage by country must have something to join."""
    file = database.with_name("consortium.toml")
    run([sys.executable, str(GENERATOR), "--consortium", "--output", str(file)])
    run(opsd(database, *_with_file(APPLY, file)))


def answers(database: Path, times: int) -> Iterator[Row]:
    """How long a year's usage takes, by each of the keys."""
    bind_accounts(database)
    for keys in QUERIES:
        ran = tuple(run(opsd(database, *USAGE, keys)) for _ in range(times))
        yield Row(f"opsd usage of the year --by {keys}", 0, ran)


def memory(folder: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """One import of each size: the memory must not grow with the file."""
    for rows in sizes:
        text = generate(folder, rows)
        imported = import_with_opsd(text, folder / f"opsd-{rows}.db")
        yield Row(f"opsd, import of {rows:,} rows", rows, (imported.first,), imported.database_mib)
        text.unlink()


# ------------------------------------------------------------------------------------------------ reporting


def ratio(rows: Sequence[Row]) -> list[str]:
    """How many times faster the first import is, by the medians; nothing without a peer."""
    walls = {row.what: median(ran.wall_seconds for ran in row.measured) for row in rows}
    pairs = [(walls.get(f"slurm2sql, {what}"), walls[f"opsd, {what}"], what) for what in IMPORTS]
    return [f"{what}: {theirs / ours:.1f} times slurm2sql's rate." for theirs, ours, what in pairs if theirs]


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as a Markdown table."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in rows)]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def machine() -> str:
    """What the numbers were measured on."""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, opsd {version('opsd-hpc')}, slurm2sql {version('slurm2sql')}."
    )


def write_numbers(report: str) -> None:
    """Put the report between the marks in docs/benchmarks.md."""
    page = NUMBERS.read_text(encoding="utf-8")
    before, _, rest = page.partition(NUMBERS_BEGIN)
    _, _, after = rest.partition(NUMBERS_END)
    NUMBERS.write_text(f"{before}{NUMBERS_BEGIN}\n\n{report}\n{NUMBERS_END}{after}", encoding="utf-8")


def main() -> None:
    """Measure what the arguments ask for, and print it as Markdown."""
    parser = argparse.ArgumentParser(description="Measure opsd's import and usage, beside slurm2sql.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the comparison's file")
    parser.add_argument("--rounds", type=int, default=1, help="how often the two take turns")
    parser.add_argument("--memory-rows", type=int, nargs="*", default=[], help="such as 300000 3000000")
    parser.add_argument("--queries", type=int, default=5, help="how often each usage question is asked")
    parser.add_argument("--no-peer", action="store_true", help="opsd alone")
    parser.add_argument("--write", action="store_true", help="put the numbers into docs/benchmarks.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opsd-bench-") as name:
        folder = Path(name)
        rows = list(compare(folder, options.rows, options.rounds, peer=not options.no_peer))
        facts = day_facts(rows[0].measured, folder / "opsd.db")
        rows += answers(folder / "opsd.db", options.queries)
        rows += memory(folder, options.memory_rows)
    title = f"{options.rows:,} rows, {options.rounds} round(s). {machine()}"
    report = "\n".join([title, "", *table(rows), "", *ratio(rows), *facts, ""])
    sys.stdout.write(report)
    if options.write:
        write_numbers(report)


if __name__ == "__main__":
    main()
