"""A sweep over 90 days of runs that have not changed, and one run that has: rate, memory, milliseconds.

A stand-in for `sacct` prints the rows of each window that opsd asks for, whoever was eligible before its end
and had not ended before its start, as Slurm's own does. The floor, measured in the same run, is the same
windows asked of the same stand-in with its answer thrown away: what is beyond it is opsd's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import BinaryIO

from collectors.slurm.commands import FIELDS
from collectors.slurm.live import LiveSlurm
from collectors.slurm.sacct import SacctReader
from opsd.core.period import DAY, Window
from opsd.pipeline import ingest, rebuild, sweep, usage
from opsd.store import sweeps
from opsd.store.engine import Store, open_engine
from tests.benchmarks.generate import CLOCK, CLUSTER, COLUMNS, DEFAULT_UNTIL, Year
from tests.benchmarks.import_rate import Ran, machine, opsd, run

DAYS = 90
NOW = int(DEFAULT_UNTIL.timestamp())
NUMBERS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN = "<!-- sweep: written by tests/benchmarks/sweep.py --write -->"
END = "<!-- end of sweep -->"
AIM_SECONDS = 300
AIM_MILLISECONDS = 100
HEADER = "|".join(FIELDS) + "\n"
ELAPSED = FIELDS.index("ElapsedRaw")

# Rows of a window are those that became eligible in its days and those carried over its first midnight.
# The shell starts in a millisecond; a window within a day gets the whole of it, which changes nothing.
STAND_IN = """#!/bin/sh
# Prints recorded rows of a window as sacct would: a stand-in, no Slurm.
for word in "$@"; do
    case $word in
        --helpformat) cat "${0%/*}/../rows/columns"; exit ;;
        --starttime=*) from=${word#*=} start=$(($(date -ud "${word#*=}" +%s) / 86400)) ;;
        --endtime=*) to=${word#*=} end=$((($(date -ud "${word#*=}" +%s) + 86399) / 86400)) ;;
    esac
done
cd "${0%/*}/../rows" || exit 1
echo "$from $to" >> asked
set -- header "carried-$start"
while [ "$start" -lt "$end" ]; do
    set -- "$@" "day-$start"
    start=$((start + 1))
done
for file; do shift; [ -f "$file" ] && set -- "$@" "$file"; done
exec cat "$@"
"""
SACCTMGR = f"""#!/bin/sh
# A stand-in: an operator's rights, and one cluster.
case "$*" in *AdminLevel*) echo Operator ;; *) echo {CLUSTER} ;; esac
"""


# ---------------------------------------------------------------------------------------------- the rows


class Times:
    """ISO texts of the generator as epoch seconds."""

    def __init__(self, until: datetime, days: int) -> None:
        first = until - timedelta(days=days)
        midnights = (first + timedelta(days=day) for day in range(days + 1))
        self._days = {f"{midnight:%Y-%m-%d}": int(midnight.timestamp()) for midnight in midnights}
        self._clock = {text: second for second, text in enumerate(CLOCK)}

    def epoch(self, text: str) -> int | None:
        """None for a time that is not known."""
        return self._days[text[:10]] + self._clock[text[11:]] if text[:1].isdigit() else None

    def raw(self, text: str) -> str:
        """As `SLURM_TIME_FORMAT=%s` prints it."""
        at = self.epoch(text)
        return text if at is None else str(at)


def _minutes(limit: str) -> int:
    days, _, clock = limit.rpartition("-")
    hours, minutes, _ = clock.split(":")
    return int(days or 0) * 1440 + int(hours) * 60 + int(minutes)


def rows(count: int) -> Iterator[tuple[int, int | None, str]]:
    """(eligible, end, line in the order that opsd asks for) of every run."""
    times = Times(DEFAULT_UNTIL, DAYS)
    for number, line in enumerate(Year(rows=count, seed=1, until=DEFAULT_UNTIL, days=DAYS).lines(), start=1):
        row = dict(zip(COLUMNS, line.split("|"), strict=True))
        row |= {name: times.raw(row[name]) for name in ("Submit", "Eligible", "Start", "End")}
        row |= {
            "TimelimitRaw": str(_minutes(row["Timelimit"])),
            "ReservationId": "",
            "AssocID": str(number % 997),
            "DBIndex": str(number),
            "Flags": "SchedMain",
        }
        end = int(row["End"]) if row["End"].isdigit() else None
        yield int(row["Eligible"]), end, "|".join(row[name] for name in FIELDS) + "\n"


def write_rows(folder: Path, count: int) -> Path:
    """The stand-ins in `bin`, their rows by day in `rows`, and all rows once in a file to import."""
    for name, text in (("sacct", STAND_IN), ("sacctmgr", SACCTMGR)):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
    (folder / "rows").mkdir()
    (folder / "rows" / "header").write_text(HEADER, encoding="utf-8")
    (folder / "rows" / "columns").write_text(" ".join(FIELDS) + "\n", encoding="utf-8")
    everything = folder / "sacct.psv"
    with contextlib.ExitStack() as opened:
        out = opened.enter_context(everything.open("w", encoding="utf-8"))
        out.write(HEADER)
        files: dict[str, io.TextIOWrapper] = {}
        for eligible, end, line in rows(count):
            out.write(line)
            last = (NOW if end is None else end) // DAY
            names = [
                f"day-{eligible // DAY}",
                *(f"carried-{d}" for d in range(eligible // DAY + 1, last + 1)),
            ]
            for name in names:
                if name not in files:
                    files[name] = opened.enter_context((folder / "rows" / name).open("w", encoding="utf-8"))
                files[name].write(line)
    # As if printed a while ago: the sweep sees every run again, and later.
    os.utime(everything, (NOW - 60, NOW - 60))
    return everything


# --------------------------------------------------------------------------------------------- measuring


def windows(folder: Path) -> list[list[str]]:
    """(start, end) of every window that the stand-in was asked for since it was last told to forget them."""
    asked = folder / "rows" / "asked"
    found = [line.split() for line in asked.read_text(encoding="utf-8").splitlines()]
    asked.unlink()
    return found


def stand_in_alone(folder: Path, asked: Sequence[Sequence[str]]) -> tuple[float, int]:
    """(seconds that the stand-in takes for these windows, bytes that it prints)."""
    begun, size = time.perf_counter(), 0
    for start, end in asked:
        command = [folder / "bin" / "sacct", f"--starttime={start}", f"--endtime={end}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            while piece := process.stdout.read(2**20):
                size += len(piece)
    return time.perf_counter() - begun, size


def child(what: str, folder: Path) -> tuple[Ran, dict[str, float]]:
    """One of this file's own measurements in a process of its own, and what it says of it."""
    ran = run([sys.executable, "-m", "tests.benchmarks.sweep", "--child", what, "--folder", str(folder)])
    return ran, json.loads(ran.said.splitlines()[-1])


def swept(folder: Path) -> dict[str, float]:
    """One sweep over all days."""
    store = open_engine(f"sqlite:///{folder / 'opsd.db'}")
    with store.write() as connection:
        sweeps.cover(connection, CLUSTER, NOW - 60, NOW - 60)  # as after the daemon's last look
    source = LiveSlurm(folder=str(folder / "bin"), conf=None, timeout_seconds=600, clock=lambda: float(NOW))
    found = sweep.again(store, source, now=NOW, back_seconds=DAYS * DAY)
    rebuilt = rebuild.run(store)
    store.close()
    return {
        "rows": found.read.rows, "unchanged": found.read.tally.unchanged, "windows": found.windows,
        "new": found.new, "changed": found.changed, "rebuilt": rebuilt.cells,
    }  # fmt: skip


def one_changed(folder: Path) -> dict[str, float]:
    """Single runs come back with another end, one after the other: until usage is right, and facts anew."""
    store = open_engine(f"sqlite:///{folder / 'opsd.db'}")
    took = [_changed(store, line) for line in _some_lines(folder / "sacct.psv", 30)]
    store.close()
    (first, _), *others = took  # a process that has compiled no statement yet takes longer, once
    walls, cpus = zip(*others, strict=True)
    told = {"first": first, "median": median(walls), "most": max(walls), "cpu": max(cpus)}
    return {name: 1000 * seconds for name, seconds in told.items()} | {"times": len(others)}


def _some_lines(file: Path, count: int) -> list[str]:
    """Lines of ended runs, spread over the whole file."""
    found = []
    size = file.stat().st_size
    with file.open("rb") as text:
        for part in range(count):
            text.seek(size * part // count)
            text.readline()
            for line in text:
                row = line.decode().rstrip("\n").split("|")
                if row[FIELDS.index("AllocTRES")] and row[FIELDS.index("End")].isdigit():
                    found.append("|".join(row))
                    break
    return found


def _changed(store: Store, line: str) -> tuple[float, float]:
    """(seconds, CPU seconds) for a run that ends a second later; its account's usage must be more by that."""
    row = line.split("|")
    end, account = int(row[FIELDS.index("End")]), row[FIELDS.index("Account")]
    cpus = int(row[FIELDS.index("AllocTRES")].partition("cpu=")[2].partition(",")[0])
    row[FIELDS.index("End")] = str(end + 1)
    row[ELAPSED] = str(int(row[ELAPSED]) + 1)
    before = _cpu_seconds(store, account, end)
    answer = io.BytesIO((HEADER + "|".join(row) + "\n").encode())
    begun, worked = time.perf_counter(), time.process_time()
    _take(store, answer)
    rebuilt = rebuild.run(store)
    took = time.perf_counter() - begun, time.process_time() - worked
    if (after := _cpu_seconds(store, account, end)) != before + cpus or not rebuilt.cells:
        sys.exit(
            f"one second of {cpus} CPUs made {before} {after}, with {rebuilt.cells} cells rebuilt: {line}"
        )
    return took


def _take(store: Store, answer: BinaryIO) -> None:
    reader = SacctReader(answer, cluster=CLUSTER, name="one run")
    ingest.run(store, reader, source="one run", observed_at=NOW + 60, now=NOW + 60)


def _cpu_seconds(store: Store, account: str, at: int) -> int:
    day = Window(at // DAY * DAY, (at // DAY + 1) * DAY)
    with store.read() as connection:
        found = usage.run(connection, day, ("account",))
    return next(row.measures.cpu_seconds for row in found.rows if row.key == (account,))


CHILDREN = {"sweep": swept, "changed": one_changed}


# --------------------------------------------------------------------------------------------- reporting


def measure(folder: Path, count: int) -> str:
    """Everything, as Markdown."""
    everything = write_rows(folder, count)
    imported = run(opsd(folder / "opsd.db", "import", "sacct", str(everything)))
    size = (folder / "opsd.db").stat().st_size / 2**20
    ran, told = child("sweep", folder)
    _require(told, count)
    asked = windows(folder)
    alone, printed = min(stand_in_alone(folder, asked) for _ in range(3))
    ran_one, one = child("changed", folder)
    beyond = ran.wall_seconds - alone
    sizes = (
        f"The database has {size:.0f} MiB; it was filled in {imported.wall_seconds:.0f} s; the answers have "
        f"{printed / 2**20:.0f} MiB. The sweep takes {ran.wall_seconds / alone:.1f} times the floor."
    )
    changed = (
        f"- one changed run, stored and its day facts anew: median {one['median']:.1f} ms, most "
        f"{one['most']:.1f} ms (of the CPU {one['cpu']:.1f} ms) of {one['times']:.0f} runs, the first in its "
        f"process {one['first']:.1f} ms, aim under {AIM_MILLISECONDS}: "
        f"{_met(one['most'] < AIM_MILLISECONDS)}. Peak {ran_one.peak_mib:.0f} MiB."
    )
    lines = [
        f"{count:,} runs in {DAYS} days, {told['rows']:,} rows in {told['windows']} windows. {machine()}",
        f"Load of the machine (1 min): {os.getloadavg()[0]:.1f}.",
        "",
        "| what | seconds | rows/s | CPU s | peak MiB |",
        "| --- | --- | --- | --- | --- |",
        _line("the stand-in alone, its answers thrown away (floor)", alone, told["rows"], None),
        _line("the sweep, a whole process", ran.wall_seconds, told["rows"], ran),
        _line("beyond the stand-in", beyond, told["rows"], None),
        "",
        sizes,
        "",
        f"- beyond the stand-in: {beyond:.0f} s, aim under {AIM_SECONDS}: {_met(beyond < AIM_SECONDS)}.",
        changed,
        "",
    ]
    return "\n".join(lines)


def _require(told: dict[str, float], count: int) -> None:
    """Nothing of the sweep was news, and every run was in it."""
    news = {name: told[name] for name in ("new", "changed", "rebuilt") if told[name]}
    if news or told["unchanged"] != told["rows"] or told["rows"] < count:
        sys.exit(f"{count} runs that had not changed were read as {told}")


def _line(what: str, seconds: float, count: float, ran: Ran | None) -> str:
    cpu, peak = (f"{ran.cpu_seconds:.1f}", f"{ran.peak_mib:.0f}") if ran else ("", "")
    return f"| {what} | {seconds:.1f} | {count / seconds:,.0f} | {cpu} | {peak} |"


def _met(met: bool) -> str:
    return "met" if met else "missed"


def write_numbers(report: str) -> None:
    """Put the report between the marks in docs/benchmarks.md."""
    page = NUMBERS.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    NUMBERS.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print it as Markdown."""
    parser = argparse.ArgumentParser(description="Measure a sweep over 90 days of unchanged runs.")
    parser.add_argument("--rows", type=int, default=2_300_000)
    parser.add_argument("--folder", type=Path, help="keep the rows and the database there")
    parser.add_argument("--child", choices=CHILDREN, help="one measurement, in this process")
    parser.add_argument("--write", action="store_true", help="put the numbers into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    if options.child:
        sys.stdout.write(json.dumps(CHILDREN[options.child](options.folder)) + "\n")
        return
    with contextlib.ExitStack() as opened:
        folder = options.folder
        if folder is None:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="opsd-bench-")))
        report = measure(folder, options.rows)
    sys.stdout.write(report)
    if options.write:
        write_numbers(report)


if __name__ == "__main__":
    main()
