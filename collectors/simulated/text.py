"""Runs as the text that `sacct -a -D -X -P --noconvert` prints, with epochs for times.

Invariant: rows come in sacct's order, by Submit and then by job; no column holds free text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from collectors.simulated.machine import PARTITIONS, host_list
from collectors.simulated.organisations import UID_OF
from collectors.simulated.scheduler import Run
from collectors.simulated.shapes import tres_text
from collectors.simulated.workload import Request

COLUMNS = (
    "JobIDRaw",
    "JobID",
    "Cluster",
    "Account",
    "User",
    "Partition",
    "QOS",
    "State",
    "Submit",
    "Eligible",
    "Start",
    "End",
    "ElapsedRaw",
    "Suspended",
    "TimelimitRaw",
    "NodeList",
    "ReservationId",
    "AssocID",
    "DBIndex",
    "Flags",
    "AllocTRES",
)
CLUSTER = "demo"
ROWS_PER_CHUNK = 2_000
FIRST_INDEX = 7_300_001
FIRST_ASSOCIATION = 101
JU_FAMILIES = ("ehpc", "etur", "epor", "erou")  # their QOS says nothing about who pays


def chunks(runs: Iterable[Run], until: int) -> Iterator[bytes]:
    """The whole text, header first, a few thousand rows at a time."""
    return Printer().chunks(runs, until)


class Printer:
    """Prints rows; a row that is printed again later keeps its database numbers, as in Slurm."""

    def __init__(self) -> None:
        self._associations: dict[tuple[str, str], int] = {}
        self._indices: dict[tuple[int, int, str], int] = {}

    def chunks(self, runs: Iterable[Run], until: int) -> Iterator[bytes]:
        """Header first, a few thousand rows at a time."""
        yield ("|".join(COLUMNS) + "\n").encode()
        lines = self._lines(sorted(runs, key=_order), until)
        while block := "".join(islice(lines, ROWS_PER_CHUNK)):
            yield block.encode()

    def _lines(self, runs: list[Run], until: int) -> Iterator[str]:
        for run in runs:
            request = run.request
            association = self._associations.setdefault(
                (request.account, request.user), FIRST_ASSOCIATION + len(self._associations)
            )
            row = (request.job, request.submit, request.label)
            index = self._indices.setdefault(row, FIRST_INDEX + len(self._indices))
            yield _line(run, until, association, index)


def _order(run: Run) -> tuple[int, int, int, int]:
    head, _, task = run.request.label.partition("_")
    return run.request.submit, int(head.partition("+")[0]), int(task or 0), run.request.job


def _line(run: Run, until: int, association: int, index: int) -> str:
    it = run.request
    partition = PARTITIONS[it.shape.partition]
    start, end, elapsed, nodes, tres = _held(run, until)
    return (
        f"{it.job}|{it.label}|{CLUSTER}|{it.account}|{it.user}|{partition.name}|{qos(it)}|{_state(run)}"
        f"|{it.submit}|{it.eligible}|{start}|{end}|{elapsed}|{duration(run.suspended)}|{it.limit}|{nodes}"
        f"|{it.reservation}|{association}|{index}|{_flags(run)}|{tres}\n"
    )


def _held(run: Run, until: int) -> tuple[str, str, int, str, str]:
    """Start, End, ElapsedRaw, NodeList and AllocTRES; Elapsed leaves suspended time out, as Slurm does."""
    end = "Unknown" if run.end is None else str(run.end)
    if run.start is None:
        return _never_started(run), end, 0, "None assigned", ""
    elapsed = (until if run.end is None else run.end) - run.start - run.suspended
    shape = run.request.shape
    return str(run.start), end, elapsed, host_list(PARTITIONS[shape.partition], run.nodes), tres_text(shape)


def _never_started(run: Run) -> str:
    """Cancelled in the queue: Slurm prints None, or (when it had been scheduled) Start = End."""
    if run.end is None:
        return "Unknown"
    return str(run.end) if run.request.job % 4 == 0 else "None"


def _state(run: Run) -> str:
    if run.state != "CANCELLED":
        return run.state
    by_root = run.request.job % 5 == 0
    return f"CANCELLED by {0 if by_root else UID_OF[run.request.user]}"


def qos(request: Request) -> str:
    """The quality of service that a job asks for."""
    kind = "gp" if request.shape.partition == 1 else "acc"
    if request.planned < 600:
        return f"{kind}_debug"
    return f"{kind}_ehpc" if request.account.startswith(JU_FAMILIES) else f"{kind}_resa"


def _flags(run: Run) -> str:
    """Slurm's own spelling."""
    if run.start is None:
        return "StartRecieved" if run.end is not None else ""
    late = run.start > run.request.eligible
    return "SchedBackfill,StartRecieved" if late else "SchedMain,StartRecieved"


def duration(seconds: int) -> str:
    """[DD-]HH:MM:SS."""
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days:02d}-{clock}" if days else clock
