"""A cluster as a real slurmdbd recorded it: its reports, its tree, its tables, from files kept beside tests.

Invariant: everything it says was said by Slurm 22.05.8; a test may change an answer, and then says so.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collectors.protocol import Reported, RolledHour, RollUp, Share, StaleUsage, Utilised
from collectors.slurm.machine import kind
from opsd.core.period import HOUR, Window
from opsd.core.records import Association, NodeEvent, PartitionLimit, Reservation
from opsd.core.tres import Tres

CLUSTER = "lab"
TRACKED = (
    "cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages", "gres/gpu", "gres/gpu:h100",
)  # fmt: skip
_NUMBERS = {1: "cpu", 2: "mem", 3: "energy", 4: "node", 5: "billing", 1001: "gres/gpu", 1002: "gres/gpu:h100"}


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """A table of slurmdbd's database as it was dumped; no rows where there is no file."""
    path = folder / f"sql-lab_{name}_table.tsv.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def tres(text: str) -> str:
    """`1=16,1001=4` as opsd writes it."""
    pairs = (entry.split("=") for entry in text.split(",") if entry)
    return Tres.of({_NUMBERS[int(n)]: int(count) for n, count in pairs if int(n) in _NUMBERS}).text


def reported(path: Path) -> list[Reported]:
    """sreport's lines."""
    with gzip.open(path, "rt") as lines:
        rows = [line.rstrip("\n").split("|") for line in lines]
    return [
        Reported(row[1], row[2], row[4], int(row[5])) for row in rows if len(row) == 6 and row[0] == CLUSTER
    ]


@dataclass
class RecordedMachine:
    """What commands of Slurm would say.

    Args:
        report: the file of sreport's answer.
    """

    folder: Path
    report: Path
    offset: int = 0
    extra: list[Reported] = field(default_factory=list)  # lines that a test makes up
    limits: list[Share] = field(default_factory=list)

    def events(self, start: int, end: int) -> Sequence[NodeEvent]:
        """Every event that overlaps."""
        found = []
        for row in table(self.folder, "event"):
            began, ended = int(row["time_start"]), int(row["time_end"])
            if began < end and (not ended or ended > start):
                found.append(
                    NodeEvent(
                        CLUSTER,
                        row["node_name"],
                        began,
                        ended or None,
                        kind(row["node_name"], int(row["state"])),
                        row["state"],
                        row["reason"],
                        tres(row["tres"]),
                    )
                )
        return found

    def reservations(self, start: int, end: int) -> Sequence[Reservation]:
        """Every record of a reservation that overlaps."""
        records = [
            Reservation(
                CLUSTER, int(row["id_resv"]), int(row["time_start"]), int(row["time_end"]), row["resv_name"],
                row["nodelist"], row["flags"], tres(row["tres"]),
                tuple(int(one) for one in row["assoclist"].split(",") if one),
            )
            for row in table(self.folder, "resv")
        ]  # fmt: skip
        return [record for record in records if record.start < end and record.end > start]

    def associations(self) -> Sequence[Association]:
        """The tree."""
        return [
            Association(
                CLUSTER, int(row["id_assoc"]), row["acct"], row["user"], row["partition"],
                row["acct"] if row["user"] else row["parent_acct"], row["deleted"] == "1",
            )
            for row in table(self.folder, "assoc")
        ]  # fmt: skip

    def partitions(self) -> Sequence[PartitionLimit]:
        """None were recorded."""
        return []

    def tracked(self) -> Sequence[str]:
        """What the accounting keeps."""
        return TRACKED

    def reported(self, start: int, end: int, wanted: Sequence[str]) -> Sequence[Reported]:
        """sreport's lines of the recorded window, whichever is asked for."""
        return [*reported(self.report), *self.extra]

    def utilised(self, start: int, end: int, wanted: Sequence[str]) -> Sequence[Utilised]:
        """Not needed here."""
        raise NotImplementedError

    def shares(self) -> Sequence[Share]:
        """sshare's lines."""
        return self.limits

    def hour_offset(self) -> int:
        """Where hours begin."""
        return self.offset


@dataclass
class RecordedTables:
    """What slurmdbd's own tables would say."""

    folder: Path
    hours: list[RolledHour] = field(default_factory=list)  # where no table of hours was kept
    marks: tuple[int, int, int] | None = None  # other marks than those recorded
    changed: dict[int, int] = field(default_factory=dict)  # modified_at, by DBIndex
    stale: list[StaleUsage] = field(default_factory=list)

    def suspensions(self, db_indexes: Sequence[int]) -> Mapping[int, str]:
        """Intervals by DBIndex."""
        found: dict[int, list[str]] = defaultdict(list)
        for row in table(self.folder, "suspend"):
            end = row["time_end"] if row["time_end"] != "0" else ""
            found[int(row["job_db_inx"])].append(f"{row['time_start']}-{end}")
        return {index: ",".join(sorted(found[index])) for index in db_indexes if index in found}

    def modified(self, since: int, ended: Window) -> Sequence[int]:
        """Not needed here."""
        raise NotImplementedError

    def modified_at(self, db_indexes: Sequence[int]) -> Mapping[int, int]:
        """When rows changed."""
        return {index: self.changed[index] for index in db_indexes if index in self.changed}

    def rolled_up(self, start: int, end: int) -> RollUp:
        """The marks and the hours."""
        rows = {(int(row["time_start"]), int(row["mod_time"])) for row in table(self.folder, "usage_hour")}
        hours = [*(RolledHour(*row) for row in sorted(rows)), *self.hours]
        marks = self.marks or tuple(int(mark) for mark in table(self.folder, "last_ran")[0].values())
        return RollUp(*marks, [hour for hour in hours if start - HOUR < hour.start < end])

    def hour_offset(self) -> int | None:
        """Not needed here."""
        raise NotImplementedError

    def stale_usage(self, start: int, end: int) -> Sequence[StaleUsage]:
        """Rows left behind."""
        return [row for row in self.stale if start <= row.hour < end]

    def events(self, start: int, end: int) -> Sequence[NodeEvent]:
        """As the machine's."""
        return RecordedMachine(self.folder, Path()).events(start, end)

    def reservations(self, start: int, end: int) -> Sequence[Reservation]:
        """As the machine's."""
        return RecordedMachine(self.folder, Path()).reservations(start, end)
