"""Many ordinary records at once, column by column: the quick way to the same `RunRecord`s.

Invariant: what comes out is what `records.parse_fields` gives for the same fields, or nothing. A row
with anything unusual (a step, a text that cannot be read, times that need thought) is left to the
careful way; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress, repeat
from operator import gt, ne
from typing import Any

from collectors.slurm import records
from collectors.slurm.content import BETWEEN, DRIFTS, NOT_CARRIED, digests
from collectors.slurm.grammar import NOT_SET_TIMES
from collectors.slurm.layout import Layout
from collectors.slurm.readers import TIMES, Reader, Texts, Unusual, column_readers
from opsd.core.errors import BadText
from opsd.core.records import RunRecord

_RECORD: Callable[[Iterable[Any]], RunRecord] = partial(
    tuple.__new__, RunRecord
)  # _make, without Python code


class _Columns:
    """Rows being read: their numbers, and what each column holds; rows drop out of all together."""

    def __init__(self, numbers: list[int], texts: dict[str, list[str]]) -> None:
        self.numbers = numbers
        self.raw = texts
        self.values: dict[str, Sequence[Any]] = {}
        self.texts: dict[str, Texts] = {}

    def drop(self, rows: set[int]) -> None:
        """Leave the rows at these places to the careful way."""
        keep = [place not in rows for place in range(len(self.numbers))]
        self.numbers = list(compress(self.numbers, keep))
        for table in (self.raw, self.values, self.texts):
            for name, column in table.items():
                table[name] = list(compress(column, keep))

    def group(self, keep: list[bool]) -> _Columns:
        """Some of the rows, nothing of them read yet."""
        raw = {name: list(compress(texts, keep)) for name, texts in self.raw.items()}
        return _Columns(list(compress(self.numbers, keep)), raw)

    def fill(self, field: str, value: object, text: str) -> None:
        """The same in every row."""
        self.values[field] = [value] * len(self.numbers)
        self.texts[field] = [text] * len(self.numbers)

    def read(self, name: str, field: str, read: Reader) -> None:
        """Read one column, dropping rows until the rest can be read."""
        while self.numbers:
            try:
                self.values[field], self.texts[field] = read(self.raw[name])
            except Unusual as unusual:
                self.drop(unusual.rows)
            else:
                return


_NEVER_HERE = "suspensions"  # no text carries it, and what is not carried has no part in a hash (content)


class FastPath:
    """The quick way for one layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._readers = column_readers(layout)
        names = [name for name, _, _ in self._readers] + ["JobID"]
        self._places = {name: at for name in names if (at := layout.index(name)) is not None}
        self._between = f"{layout.delimiter}\n{layout.delimiter}"

    def parse(self, lines: Sequence[str]) -> tuple[list[RunRecord | None], list[int]]:
        """A record for every ordinary line; the numbers of the lines that need the careful way."""
        found: list[RunRecord | None] = [None] * len(lines)
        taken = 0
        for unset, columns in _groups(self._columns(lines)):
            self._read(columns, unset)
            taken += len(columns.numbers)
            if columns.numbers:
                for number, run in zip(columns.numbers, self._assembled(columns), strict=True):
                    found[number] = run
        if taken == len(lines):
            return found, []
        return found, [number for number, run in enumerate(found) if run is None]

    def _read(self, columns: _Columns, unset: frozenset[str]) -> None:
        for name, field, read in self._readers:
            if name not in unset:
                columns.read(name, field, read)
            elif name == "Eligible":
                columns.fill(field, records.NEVER, str(records.NEVER))
            else:
                columns.fill(field, None, NOT_CARRIED)
        if columns.numbers and unset.isdisjoint(("Start", "End")):
            self._drop_backwards(columns)
        if columns.numbers:
            self._read_labels(columns)
        if "End" in unset:  # they grow while the run is open: no part of its content, unlike being carried
            for field in ("elapsed", "suspended"):
                values = columns.values.get(field) or repeat(None, len(columns.numbers))
                columns.texts[field] = [NOT_CARRIED if value is None else DRIFTS for value in values]

    def _columns(self, lines: Sequence[str]) -> _Columns:
        """Cut the lines with the right number of fields into columns."""
        numbers = list(range(len(lines)))
        if (pieces := self._pieces(lines)) is None:
            commas = self.layout.fields - 1
            numbers = [at for at, line in enumerate(lines) if line.count(self.layout.delimiter) == commas]
            pieces = self._pieces([lines[at] for at in numbers])
        if pieces is None:
            numbers, pieces = [], []
        step = self.layout.fields + 1
        columns = _Columns(numbers, {name: pieces[at::step] for name, at in self._places.items()})
        if self.layout.trailing:
            last = pieces[self.layout.fields - 1 :: step]
            if any(last):
                columns.drop({place for place, text in enumerate(last) if text})
        return columns

    def _pieces(self, lines: Sequence[str]) -> list[str] | None:
        """All fields of all lines in one list with a mark between lines: one split instead of many.

        None unless every mark stands where it must if every line has the right number of fields.
        """
        pieces = self._between.join(lines).split(self.layout.delimiter)
        step = self.layout.fields + 1
        marks = pieces[step - 1 :: step]
        right = len(pieces) == step * len(lines) - 1 and marks.count("\n") == len(lines) - 1
        return pieces if right else None

    def _drop_backwards(self, columns: _Columns) -> None:
        starts, ends = columns.values["start"], columns.values["end"]
        if any(map(gt, starts, ends)):
            pairs = enumerate(zip(starts, ends, strict=True))
            columns.drop({place for place, (start, end) in pairs if start > end})

    def _read_labels(self, columns: _Columns) -> None:
        raw, shown = columns.raw["JobIDRaw"], columns.raw.get("JobID")
        if shown is None or shown == raw:
            return
        others = list(compress(range(len(raw)), map(ne, shown, raw)))
        if wrong := {at for at in others if _unreadable(shown[at], raw[at])}:
            columns.drop(wrong)
            self._read_labels(columns)
            return
        labels: list[str | None] = [None] * len(raw)
        texts = [NOT_CARRIED] * len(raw)
        for at in others:
            labels[at] = texts[at] = shown[at]
        columns.values["label"], columns.texts["label"] = labels, texts

    def _assembled(self, columns: _Columns) -> list[RunRecord]:
        """Turn columns into records, each with the hash of its canonical text."""
        count, names = len(columns.numbers), RunRecord._fields[:-1]
        if "cluster" not in columns.values:
            cluster = [self.layout.cluster or ""] * count
            columns.values["cluster"] = columns.texts["cluster"] = cluster
        texts = [
            columns.texts.get(name) or repeat(NOT_CARRIED, count) for name in names if name != _NEVER_HERE
        ]
        values = [columns.values.get(name) or repeat(None, count) for name in names]
        contents = map(BETWEEN.join, zip(*texts, strict=True))
        return list(map(_RECORD, zip(*values, digests(contents), strict=True)))


def _groups(columns: _Columns) -> Iterator[tuple[frozenset[str], _Columns]]:
    """The rows by which of their times are not set: each group is as uniform as ordinary rows are."""
    times = [columns.raw.get(name, []) for name in TIMES]
    if all(NOT_SET_TIMES.isdisjoint(texts) for texts in times):
        yield frozenset(), columns
        return
    codes = [0] * len(columns.numbers)
    for bit, texts in enumerate(times):
        for place, text in enumerate(texts):
            if text in NOT_SET_TIMES:
                codes[place] |= 1 << bit
    for code in sorted(set(codes)):
        unset = frozenset(name for bit, name in enumerate(TIMES) if code >> bit & 1)
        yield unset, columns.group([other == code for other in codes])


def _unreadable(shown: str, raw: str) -> bool:
    try:
        return records.label(shown, raw) is None
    except BadText:
        return True
