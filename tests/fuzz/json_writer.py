"""A document of `sacct --json` whose writer knows what it wrote.

Invariant: each job's bytes and the record they mean are known; of a damaged one only the bytes are.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from opsd.core.records import PARTITION_LIMIT, UNLIMITED, RunRecord
from tests.fuzz.choices import Choices
from tests.fuzz.runs import Made, expected, run

_VERSIONS = ("v0.0.38", "v0.0.39", "v0.0.40", "v0.0.42", "v0.0.45")
_SNIPPETS = (
    "train", '"', "\\", "{", "}", "[", "]", ",", ":", "\n", "\0", "é", "\ud800", "\N{PILE OF POO}", "]}",
    '{"job_id": 1}', '"}, {"', "\x7f", "\u2028", "NaN", "",
)  # fmt: skip
_WRONG: tuple[object, ...] = (
    None, True, "text", -1, 1.5, 10**30, 10**300, [], {}, [1], {"set": True}, {"number": -2, "set": True},
    {"set": True, "infinite": True, "number": 1}, float("nan"), float("inf"), "\0", "\ud800", 0,
)  # fmt: skip
_MEMBERS = (
    ("job_id",), ("time",), ("time", "submission"), ("time", "start"), ("time", "end"), ("time", "elapsed"),
    ("time", "suspended"), ("time", "limit"), ("state",), ("state", "current"), ("account",), ("cluster",),
    ("association",), ("tres",), ("tres", "allocated"), ("flags",), ("array",), ("het",), ("nodes",),
    ("qos",), ("reservation",), ("steps",), ("sluid",), ("user",),
)  # fmt: skip
_FLAGS = {"SchedMain": "STARTED_ON_SCHEDULE", "SchedBackfill": "STARTED_ON_BACKFILL"}


@dataclass(frozen=True)
class Part:
    """The bytes of one job."""

    position: int
    data: bytes
    record: RunRecord | None  # None: damaged
    steps: int = 0

    @property
    def end(self) -> int:
        """The place after it."""
        return self.position + len(self.data)


@dataclass
class Answer:
    """All of it."""

    data: bytes
    size: int  # of a batch
    chunk: int
    pack: bool
    parts: list[Part] = field(default_factory=list)
    is_valid: bool = True  # JSON, whatever the jobs hold

    @property
    def packed(self) -> bytes:
        """As a file."""
        return gzip.compress(self.data, 1, mtime=0) if self.pack else self.data


class Writer:
    """One document, from decisions."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.version = choices.pick(_VERSIONS)
        self.is_later = self.version > "v0.0.38"
        self.spread = choices.pick((None, 1, 4))
        self.as_is = choices.odd(2)  # other alphabets as themselves, not as escapes

    def answer(self) -> Answer:
        """Write it."""
        choices = self.choices
        around = {"meta": {"plugin": {"type": f"openapi/db{self.version}"}}, "errors": [], "warnings": []}
        before, after = (around, {}) if choices.odd(2) else ({}, around)
        head = self._object_start(before) + b'"jobs": ['
        made = Answer(b"", choices.pick((20_000, 1, 2)), choices.pick((1 << 20, 64, 700)), choices.odd())
        data = head
        for number in range(101, 102 + choices.number(6)):
            part = self._part(number, len(data), made)
            made.parts.append(part)
            data = data + part.data + b",\r\n \t"
        data = (
            data[:-5] + b"\n]" + b"".join(b", " + self._member(name, value) for name, value in after.items())
        )
        made.data = data + b"}\n"
        return made

    def _object_start(self, members: dict[str, Any]) -> bytes:
        start = b"\xef\xbb\xbf{" if self.choices.odd() else b"{"
        return start + b"".join(self._member(name, value) + b", " for name, value in members.items())

    def _member(self, name: str, value: object) -> bytes:
        return json.dumps(name).encode() + b" : " + self._dumped(value)

    def _dumped(self, value: object) -> bytes:
        text = json.dumps(value, indent=self.spread, ensure_ascii=not self.as_is)
        return text.encode("utf-8", "replace")

    def _part(self, number: int, position: int, made: Answer) -> Part:
        choices = self.choices
        run_made = run(choices, number)
        job = self._job(run_made)
        if choices.odd():
            self._spoil(job)
            return Part(position, self._dumped(job), None)
        data = self._dumped(job)
        if choices.odd(16):
            made.is_valid = False
            return Part(position, self._damaged(data), None)
        return Part(position, data, self._record(run_made.record), len(job["steps"]))

    def _spoil(self, job: dict[str, Any]) -> None:
        """Put something wrong, or nothing, where something belongs."""
        *holders, key = self.choices.pick(_MEMBERS)
        holder = job[holders[0]] if holders else job
        if self.choices.odd(4):
            holder.pop(key, None)
        else:
            holder[key] = self.choices.pick(_WRONG)
        if self.choices.odd(4):
            job["tres"] = {"allocated": [{"type": "cpu", "count": self.choices.pick(_WRONG)}]}

    def _damaged(self, data: bytes) -> bytes:
        """Other bytes in one place: a document that may be no JSON any more."""
        at, gone = self.choices.number(len(data) - 1), self.choices.number(9)
        put = self.choices.pick(
            (b"", b'"', b"{", b"}", b"\\", b"\xff", b"NaN", b"[" * 5000, b'"}', b"0" * 6000)
        )
        return data[:at] + put + data[at + gone :]

    # -- a job's shape -----------------------------------------------------------------------------

    def _number(self, value: int | None) -> object:
        """As this version says it: not set is null, or says so."""
        if not self.is_later:
            return value
        if value is None:
            return {"set": False, "infinite": False, "number": 0}
        return {"set": True, "infinite": False, "number": value}

    def _limit(self, value: int | None) -> object:
        if value == UNLIMITED:
            return {"set": False, "infinite": True, "number": 0}
        if value == PARTITION_LIMIT:
            return {"set": False, "infinite": False, "number": 0} if self.is_later else None
        return self._number(None if value is None else value // 60)

    def _job(self, made: Made) -> dict[str, Any]:
        record, choices = made.record, self.choices
        name = choices.text(_SNIPPETS) * (300 if choices.odd(64) else 1)
        flags = [_FLAGS[word] for word in (record.flags or "").split(",") if word in _FLAGS]
        flags = [*flags, "START_RECEIVED"] if self._has_all_flags() else ["CLEAR_SCHEDULING", *flags]
        array, het = made.array or (0, None), made.het or (0, None)
        state = [record.state] if self.version > "v0.0.39" else record.state
        job = {
            "name": name,
            "account": record.account or choices.pick(("", None)),
            "array": {"job_id": array[0], "task_id": self._number(array[1]), "task": None},
            "het": {"job_id": het[0], "job_offset": self._number(het[1])},
            "association": {"cluster": record.cluster, "user": record.user, "id": record.assoc_id},
            "cluster": record.cluster,
            "comment": {"job": name, "nested": [[{"deep": name}]]},
            "flags": flags,
            "job_id": record.job_id,
            "nodes": record.nodes or choices.pick(("None assigned", "", None)),
            "partition": record.partition,
            "qos": record.qos,
            "reservation": {"id": record.reservation_id, "name": 0},
            "state": {"current": state, "reason": "None"},
            "steps": [{"name": name}] * choices.number(2),
            "time": {
                "submission": record.submit, "eligible": record.eligible or choices.pick((0, None)),
                "start": record.start or choices.pick((0, None)),
                "end": record.end or choices.pick((0, None)),
                "elapsed": record.elapsed, "suspended": record.suspended, "limit": self._limit(record.limit),
            },
            "tres": {"allocated": [self._tres(*entry) for entry in made.counts.items()]},
            "user": record.user,
        }  # fmt: skip
        if not self.is_later:
            del job["association"]["id"]
        if self.version >= "v0.0.45":
            job["sluid"] = record.sluid
        if choices.odd():
            job["tres"]["allocated"].append(
                {"type": "energy", "name": None, "count": choices.pick((None, -2))}
            )
        return job

    def _has_all_flags(self) -> bool:
        return self.version > "v0.0.39"

    def _tres(self, name: str, count: int) -> dict[str, Any]:
        kind, _, rest = name.partition("/")
        return {"type": kind, "name": rest or self.choices.pick((None, "")), "id": 1, "count": count}

    def _record(self, record: RunRecord) -> RunRecord:
        """What this version carries of a run."""
        lacks: dict[str, Any] = {"db_index": None}
        if self.version < "v0.0.45":
            lacks["sluid"] = None
        if not self._has_all_flags():
            lacks["flags"] = None
        if not self.is_later:
            lacks["assoc_id"] = None
            if record.limit == PARTITION_LIMIT:
                lacks["limit"] = None
        return expected(record, **lacks)
