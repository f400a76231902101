"""How long statements take: a month and a year of 500 projects, every format in one language.

The database holds a year of made-up runs (`generate`), each user in one of the projects, which countries and
pools share. Each measurement is a process of its own, so that its peak is its own. What a site has beside
this, agents' records above all, is not in it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from collectors.consortium.document import read as read_consortium
from collectors.slurm.sacct import SacctReader
from opsd import reports
from opsd.core.statement.build import build
from opsd.pipeline import consortium, dossier, ingest, rebuild
from opsd.store import migrate
from opsd.store.engine import open_engine, sqlite_address
from tests.benchmarks.generate import CLUSTER, COLUMNS, Year
from tests.benchmarks.import_rate import Ran, machine, run

NUMBERS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN = "<!-- statements: written by tests/benchmarks/statements.py --write -->"
END = "<!-- end of statements -->"
AIM_SECONDS, AIM_MIB = 10, 300
ZONE = "Europe/Madrid"
UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
NOW = int(UNTIL.timestamp()) + 86_400
PERIODS = {"a month": "2026-10", "a year": "2026"}
USERS_OF_A_PROJECT = 3
# Country, its share in twenty of the projects, and its pools.
COUNTRIES = (("ES", 9, ("spain", "catalonia")), ("PT", 5, ("portugal", "ju")), ("TR", 4, ("turkiye", "ju")),
             ("RO", 2, ("ju",)))  # fmt: skip
PAYERS = (("spain", "ES"), ("catalonia", "ES"), ("portugal", "PT"), ("turkiye", "TR"), ("ju", ""))
_ACCOUNT, _USER = COLUMNS.index("Account"), COLUMNS.index("User")


def filled(folder: Path, projects: int, runs: int) -> int:
    """A database with the consortium and a year of runs; how many there are."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.ensure_current(store)
    held = read_consortium("".join(consortium_toml(projects)), "statements.toml")
    consortium.apply(store, held, author="benchmark", now=NOW)
    year = Year(rows=runs, seed=1, until=UNTIL)
    lines = (_own(line, place, projects) for place, line in enumerate(year.lines()))
    text = "".join(f"{line}\n" for line in ("|".join(COLUMNS), *lines))
    reader = SacctReader(io.BytesIO(text.encode()), name="statements", zone=UTC)
    found = ingest.run(store, reader, source="statements", observed_at=NOW, now=NOW)
    rebuild.run(store)
    store.close()
    return found.tally.new


def _own(line: str, place: int, projects: int) -> str:
    """Each user in the account of a project, several of them in each."""
    fields = line.split("|")
    number = int(fields[_USER][1:]) % projects
    fields[_ACCOUNT], fields[_USER] = f"acct{number:03}", f"u{number:03}{place % USERS_OF_A_PROJECT}"
    return "|".join(fields)


def consortium_toml(projects: int) -> Iterator[str]:
    """Two awards a year for each project, from its country's pools; people with homes; nodes."""
    yield f'[consortium]\nname = "Benchmark"\nbook_zone = "{ZONE}"\n[[cluster]]\nid = "{CLUSTER}"\n'
    for name, nodes, gpus, cpus in (
        ("acc", "as[01-35]r[0-3]b[01-60]", 4, 160),
        ("gpp", "gs[01-35]r[0-3]b[01-60]", 0, 112),
    ):
        gpu = f'gpus = {gpus}\ngpu_class = "h100"\n' if gpus else "gpus = 0\n"
        yield f'[[node_class]]\ncluster = "{CLUSTER}"\nid = "{name}"\nnodes = "{nodes}"\ncpus = {cpus}\n{gpu}'
    yield '[[policy]]\nid = "gpu"\nrule = "gpu_hours"\n'
    for pool, country in PAYERS:
        whose = f'kind = "state"\ncountry = "{country}"\n' if country else 'kind = "ju"\n'
        yield f'[[funder]]\nid = "{pool}"\nname = "{pool.title()}"\n{whose}'
        yield f'[[pool]]\nid = "{pool}"\nfunder = "{pool}"\n'
    places = [(country, pools) for country, share, pools in COUNTRIES for _ in range(share)]
    known: set[str] = set()
    for number in range(projects):
        country, pools = places[number % len(places)]
        organisation = f"{country.lower()}-{number // 40:02}"
        if organisation not in known:
            known.add(organisation)
            yield (
                f'[[organisation]]\nid = "{organisation}"\nname = "Institute {organisation}"\n'
                f'country = "{country}"\n'
            )
        yield (
            f'[[project]]\nid = "P-{number:03}"\ntitle = "Project {number} of {organisation}"\n'
            f'organisation = "{organisation}"\n'
        )
        for turn, (start, end) in enumerate((("2025-12-01", "2026-07-01"), ("2026-07-01", "2027-02-01"))):
            award = f"a-{number:03}-{turn}"
            yield (
                f'[[award]]\nid = "{award}"\nproject = "P-{number:03}"\n'
                f'pool = "{pools[number % len(pools)]}"\namount = {2_000 + 500 * (number % 40)}\n'
                f'unit = "gpu-hours"\nstart = {start}\nend = {end}\npolicy = "gpu"\n'
                f'[[binding]]\ncluster = "{CLUSTER}"\naccount = "acct{number:03}"\naward = "{award}"\n'
                f"from = {start}\nuntil = {end}\n"
            )
        for user in range(USERS_OF_A_PROJECT):
            yield f'[[person]]\nuser = "u{number:03}{user}"\norganisation = "{organisation}"\n'


# ------------------------------------------------------------------------------------------- measuring


def gathered(folder: Path, period: str) -> dict[str, float]:
    """A dossier, twice: how long the second one takes."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    with store.read() as connection:
        begun = time.perf_counter()
        found = dossier.run(connection, period, now=NOW)
        seconds = time.perf_counter() - begun
    store.close()
    return {"gathering": seconds, "lines": len(found.lines), "awards": len(found.balances)}


def written(folder: Path, period: str) -> dict[str, float]:
    """Gathered, built, and written in every format."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    times: dict[str, float] = {}
    with store.read() as connection, _timed(times, "gathering"):
        found = dossier.run(connection, period, now=NOW)
    store.close()
    with _timed(times, "building"):
        statement = build(found)
    for form in reports.FORMATS:
        if form != "zip":  # all of the others again, in one file
            with _timed(times, form):
                reports.render(statement, form)
    return times


@contextlib.contextmanager
def _timed(times: dict[str, float], what: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    times[what] = time.perf_counter() - begun


CHILDREN = {"gathered": gathered, "written": written}


def child(what: str, folder: Path, period: str) -> tuple[Ran, dict[str, float]]:
    """One measurement in a process of its own, and what it says."""
    words = [
        "-m",
        "tests.benchmarks.statements",
        "--child",
        what,
        "--folder",
        str(folder),
        "--period",
        period,
    ]
    ran = run([sys.executable, *words])
    return ran, json.loads(ran.said.splitlines()[-1])


def measure(folder: Path, projects: int, runs: int) -> str:
    """Everything, as Markdown."""
    count = filled(folder, projects, runs)
    size = (
        f"{projects:,} projects, {2 * projects:,} awards, {USERS_OF_A_PROJECT * projects:,} users, {count:,} "
        f"runs in twelve months, {len(COUNTRIES)} countries. {machine()}"
    )
    lines = [
        size,
        f"Load of the machine (1 min): {os.getloadavg()[0]:.1f}.",
        "",
        "| what | seconds | CPU s | peak MiB | of the seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    aims = []
    for name, period in PERIODS.items():
        ran, told = child("gathered", folder, period)
        lines.append(
            _line(f"the dossier of {name}, {told['lines']:,.0f} lines", ran, {"gathering": told["gathering"]})
        )
        ran, told = child("written", folder, period)
        lines.append(_line(f"{name} in every format, English", ran, told))
        aims.append(
            f"- {name} in every format: {ran.wall_seconds:.1f} s, aim {AIM_SECONDS} s: "
            f"{_met(ran.wall_seconds <= AIM_SECONDS)}; {ran.peak_mib:.0f} MiB, aim {AIM_MIB} MiB: "
            f"{_met(ran.peak_mib <= AIM_MIB)}."
        )
    return "\n".join([*lines, "", *aims, ""])


def _line(what: str, ran: Ran, told: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in told.items())
    return f"| {what} | {ran.wall_seconds:.1f} | {ran.cpu_seconds:.1f} | {ran.peak_mib:.0f} | {parts} |"


def _met(met: bool) -> str:
    return "met" if met else "missed"


def write_numbers(report: str) -> None:
    """Put the report between the marks in docs/benchmarks.md."""
    before, _, rest = NUMBERS.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"{NUMBERS}: the marks {BEGIN} and {END} are not there")
    NUMBERS.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print it as Markdown."""
    parser = argparse.ArgumentParser(description="Measure the statements of a month and a year.")
    parser.add_argument("--projects", type=int, default=500)
    parser.add_argument("--runs", type=int, default=240_000)
    parser.add_argument("--folder", type=Path, help="keep the database there")
    parser.add_argument("--child", choices=CHILDREN, help="one measurement, in this process")
    parser.add_argument("--period", default="2026", help="of a child")
    parser.add_argument("--write", action="store_true", help="put the numbers into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    if options.child:
        sys.stdout.write(json.dumps(CHILDREN[options.child](options.folder, options.period)) + "\n")
        return
    with contextlib.ExitStack() as opened:
        folder = options.folder
        if folder is None:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="opsd-bench-")))
        report = measure(folder, options.projects, options.runs)
    sys.stdout.write(report)
    if options.write:
        write_numbers(report)


if __name__ == "__main__":
    main()
