"""An export of sacct's text whose writer knows what it wrote.

Invariant: no free text here can forge where a record begins or ends (the first column is a job's number
and no later line of a name begins with a digit; the last is a duration and no name holds a colon), so
each record must come out as written or, if its names fit in several ways, be set aside by itself.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from opsd.core.period import zone as read_zone
from opsd.core.records import PARTITION_LIMIT, UNLIMITED, RunRecord
from tests.fuzz.choices import Choices
from tests.fuzz.runs import Made, expected, run

_DELIMITERS = ("|", "\x1f", ";|;", "\t", ";", "^")
_ZONES = (None, "UTC", "Europe/Madrid", "+05:45", "Europe/Lisbon")
_KEPT = (
    "Cluster", "Account", "State", "Submit", "Eligible", "Start", "End", "ElapsedRaw", "TimelimitRaw",
    "AllocTRES", "NodeList", "ReservationId", "AssocID", "DBIndex", "SLUID", "Flags", "JobID", "User",
    "Partition", "QOS", "Elapsed", "Timelimit",
)  # fmt: skip
_NEEDED = frozenset({"Account", "State", "Submit", "Start", "End", "AllocTRES"})
_FREE = ("JobName", "Comment", "WorkDir", "SubmitLine")
_FIELD = {
    "Cluster": "cluster", "User": "user", "Partition": "partition", "QOS": "qos", "Eligible": "eligible",
    "NodeList": "nodes", "JobID": "label", "ReservationId": "reservation_id", "AssocID": "assoc_id",
    "DBIndex": "db_index", "SLUID": "sluid", "Flags": "flags",
}  # fmt: skip
_SNIPPETS = (
    "train", "\n", "\r", "\r\n", "x", " ", "5", "COMPLETED", "cpu=4", "None", "é", "\0", "\udcff", "mn5",
    "\x1f", "|", "\t", "", "Unknown", "n1", "0", "a,b", "1790000000", "\u2028", "\x85",
)  # fmt: skip


class Kind(Enum):
    """What an entry of an export is."""

    RUN = 1
    STEP = 2
    DAMAGED = 3


@dataclass(frozen=True)
class Entry:
    """Some bytes of an export, with their line end."""

    kind: Kind
    position: int
    data: bytes
    record: RunRecord | None = None  # of a run
    is_tame: bool = True  # no free text of it holds a delimiter or a line end


@dataclass
class Export:
    """All of it: what a reader is given, and what it must make of it."""

    data: bytes
    options: dict[str, Any]
    header: int  # bytes
    entries: list[Entry] = field(default_factory=list)
    blanks: int = 0  # bytes of empty lines at the end
    free: bool = False

    @property
    def packed(self) -> bytes:
        """As a file: plain, or gzip of one or two members."""
        pack = self.options.get("pack")
        if not pack:
            return self.data
        half = len(self.data) // pack
        return gzip.compress(self.data[:half], 1, mtime=0) + gzip.compress(self.data[half:], 1, mtime=0)


class Writer:
    """One export, from decisions."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.delimiter = choices.pick(_DELIMITERS)
        self.zone = choices.pick(_ZONES)
        self.free = choices.byte() % 2 == 1
        self.named = choices.odd() and not self.free  # columns by --fields, no header
        self.trailing = choices.odd() and not self.named
        self.end = "\r\n" if choices.odd() and not self.named else "\n"
        self.columns = self._columns()

    def _columns(self) -> list[str]:
        left = [name for name in _KEPT if name in _NEEDED or not self.choices.odd(4)]
        left += [name for name in _FREE if self.free and (name == "JobName" or self.choices.odd(2))]
        columns = ["JobIDRaw"]
        while left:
            columns.append(left.pop(self.choices.number(len(left) - 1)))
        return [*columns, "Suspended"]

    def export(self) -> Export:
        """Write it."""
        choices = self.choices
        header = b"" if self.named else self._line(self.columns)
        parts, entries, position = [header], [], len(header)
        for number in range(101, 102 + choices.number(7)):
            entry = self._entry(number, position)
            entries.append(entry)
            parts.append(entry.data)
            position += len(entry.data)
        blanks = self.end.encode() * (choices.number(2) if choices.odd() else 0)
        options = {
            "zone": self.zone,
            "cluster": None if "Cluster" in self.columns else "mn5",
            "delimiter": self.delimiter if self.named else None,
            "fields": ",".join(self.columns) if self.named else None,
            "pack": choices.pick((0, 0, 1, 2)),
            "size": choices.pick((20_000, 1, 2, 3)),
            "careful": choices.odd(4),
        }
        return Export(b"".join([*parts, blanks]), options, len(header), entries, len(blanks), self.free)

    def _line(self, fields: list[str]) -> bytes:
        text = self.delimiter.join(fields) + (self.delimiter if self.trailing else "") + self.end
        return text.encode("utf-8", "surrogateescape")

    def _entry(self, number: int, position: int) -> Entry:
        made = run(self.choices, number)
        if self.choices.odd():
            return Entry(Kind.STEP, position, self._line(self._step(made)))
        texts = self._texts(made)
        is_tame = True
        for name in self.columns:
            if name in _FREE:
                texts[name] = self._free_text()
                is_tame = is_tame and not any(c in texts[name] for c in (self.delimiter, "\n", "\r"))
        data = self._line([texts[name] for name in self.columns])
        # Without a header most lines tell the shape of all: half of them and the first must be whole.
        if self.choices.odd() and not (self.named and number % 2):
            return Entry(Kind.DAMAGED, position, self._damaged(data))
        return Entry(Kind.RUN, position, data, self._record(made.record), is_tame)

    def _free_text(self) -> str:
        """Anything a user may type, but for what would forge a record's end or start."""
        times = 300 if self.choices.odd(64) else 1
        text = self.choices.text(_SNIPPETS) * times
        text = text.replace("\n5", "\nx5").replace("\n0", "\nx0").replace("\n1", "\nx1")
        if len(self.delimiter) > 1:  # half a delimiter beside a whole one would shift it
            text = text.replace("|", "").replace(";", "")
        return text + (self.delimiter if self.choices.odd(4) else "")

    def _damaged(self, data: bytes) -> bytes:
        """A record with some bytes changed, its line end left: what it then is, nobody knows."""
        end = len(self.end)
        at, gone = self.choices.number(len(data) - end), self.choices.number(12)
        put = self.choices.pick(
            (b"", b"\n", b"|", b"x", b"-1", self.delimiter.encode(), b"\xff", b"\n\n", b"0\n5")
        )
        return data[: max(0, at)] + put + data[min(at + gone, len(data) - end) :]

    # -- columns -----------------------------------------------------------------------------------

    def _time(self, moment: int | None, unset: str) -> str:
        if not moment:
            return unset
        if self.zone is None:
            return str(moment)
        local = datetime.fromtimestamp(moment, UTC).astimezone(read_zone(self.zone))
        return local.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")

    def _texts(self, made: Made) -> dict[str, str]:
        record, pick = made.record, self.choices.pick
        return {
            "JobIDRaw": str(record.job_id),
            "JobID": record.label or str(record.job_id),
            "Cluster": record.cluster,
            "Account": record.account or pick(("", "(null)")),
            "User": record.user or "",
            "Partition": record.partition or "",
            "QOS": record.qos or "",
            "State": record.state + (" by 1000" if record.state == "CANCELLED" else ""),
            "Submit": self._time(record.submit, "Unknown"),
            "Eligible": self._time(record.eligible, "Unknown"),
            "Start": self._time(record.start, pick(("Unknown", "None"))),
            "End": self._time(record.end, "Unknown"),
            "ElapsedRaw": str(record.elapsed),
            "Elapsed": clock(record.elapsed or 0),
            "Suspended": clock(record.suspended or 0),
            "TimelimitRaw": limit(record.limit, str((record.limit or 0) // 60)),
            "Timelimit": limit(record.limit, clock(record.limit or 0)),
            "AllocTRES": ",".join(self._count(name, count) for name, count in made.counts.items()),
            "NodeList": record.nodes or pick(("None assigned", "")),
            "ReservationId": str(record.reservation_id or ""),
            "AssocID": str(record.assoc_id),
            "DBIndex": str(record.db_index),
            "SLUID": record.sluid or "",
            "Flags": record.flags or "",
        }

    def _count(self, name: str, count: int) -> str:
        if name != "mem":
            return f"{name}={count}"
        gigabytes, rest = divmod(count, 1024)
        forms = [f"mem={count}M", f"mem={count}", f"mem={count * 1024}K"]
        return self.choices.pick(forms if rest else [*forms, f"mem={gigabytes}G"])

    def _step(self, made: Made) -> list[str]:
        texts = self._texts(made) | {
            "JobIDRaw": f"{made.record.job_id}.batch",
            "JobID": f"{made.record.job_id}.batch",
        }
        return [texts.get(name, "batch") for name in self.columns]

    def _record(self, record: RunRecord) -> RunRecord:
        """What these columns carry of a run."""
        lacks: dict[str, Any] = {field: None for name, field in _FIELD.items() if name not in self.columns}
        if "Cluster" in lacks or "Cluster" not in self.columns:
            lacks["cluster"] = "mn5"
        if not {"ElapsedRaw", "Elapsed"} & set(self.columns):
            lacks["elapsed"] = None
        if not {"TimelimitRaw", "Timelimit"} & set(self.columns):
            lacks["limit"] = None
        return expected(record, **lacks)


def clock(seconds: int) -> str:
    """`1-02:03:04`, written here anew: a reader's own formatter would hide its mistakes."""
    days, rest = divmod(seconds, 86_400)
    return (f"{days}-" if days else "") + f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


def limit(value: int | None, text: str) -> str:
    """A limit, or its name."""
    return {UNLIMITED: "UNLIMITED", PARTITION_LIMIT: "Partition_Limit"}.get(value or 0, text)
