"""Many ordinary records at once, column by column: the quick way to the same `RunRecord`s.

Invariant: what comes out is what `records.parse_fields` gives for the same fields, or nothing. A row
with anything unusual (a step, an open run, a text that cannot be read, times that need thought) is
left to the careful way; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import compress, repeat
from operator import gt, ne
from typing import Any

from collectors.slurm import records
from collectors.slurm.content import BETWEEN, NOT_CARRIED, digests
from collectors.slurm.grammar import LATEST, MOST, NO_VAL, NOT_SET_TIMES, UNCLEAN, time_candidates
from collectors.slurm.layout import Layout
from opsd.core.errors import BadText
from opsd.core.records import EARLIEST, RunRecord

_REMEMBERED = 50_000  # distinct texts of one column kept at a time
_SECONDS = {f":{second:02}": second for second in range(60)}
_TIMES = ("Start", "End", "Eligible")
_PLAIN_NUMBERS = frozenset({"ElapsedRaw", "DBIndex", "AssocID"})
_TEXTS = frozenset({"State", "Account", "AllocTRES", "User", "Partition", "QOS", "NodeList", "Flags"})

_RECORD: Callable[[Iterable[Any]], RunRecord] = partial(
    tuple.__new__, RunRecord
)  # _make, without Python code

Texts = Sequence[str]
Read = tuple[Sequence[Any], Texts]  # values, and their canonical texts
Reader = Callable[[Texts], Read]


class Unusual(Exception):
    """Some rows of a column need the careful way; `rows` are their numbers."""

    def __init__(self, rows: Iterable[int]) -> None:
        super().__init__()
        self.rows = set(rows)


class _Memo(dict[str, Any]):
    """Texts already read in one column; forgets all of them when there are too many."""

    def __init__(self, read: Callable[[str], object]) -> None:
        super().__init__()
        self.read = read

    def __missing__(self, text: str) -> object:
        value = self.read(text)
        if value is None:
            raise BadText("left to the careful way", text)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = value
        return value


def _failing(texts: Texts, works: Callable[[str], object]) -> list[int]:
    rows = []
    for row, text in enumerate(texts):
        try:
            works(text)
        except (BadText, ValueError, KeyError):
            rows.append(row)
    return rows


class _Number:
    """A column of whole numbers, written plainly, from `low` up to but not including `high`."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, texts: Texts) -> Read:
        joined = "\n".join(texts)
        # int() would also take signs, spaces, underscores, other alphabets' digits and leading zeros
        if not joined.isascii() or "\n0" in joined or joined.startswith("0") or not "".join(texts).isdigit():
            return self._slowly(texts)
        try:
            values = list(map(int, texts))
        except ValueError:
            return self._slowly(texts)
        if min(values) < self.low or max(values) >= self.high:
            return self._slowly(texts)
        return values, texts

    def _slowly(self, texts: Texts) -> Read:
        """A column with zeros in it, or with texts that are no plain numbers."""
        if failing := _failing(texts, self._one):
            raise Unusual(failing)
        return list(map(int, texts)), texts

    def _one(self, text: str) -> int:
        if (
            not text.isascii()
            or len(text) > 20
            or str(int(text)) != text
            or not self.low <= int(text) < self.high
        ):
            raise ValueError(text)
        return int(text)


class _Remembered:
    """A column of few distinct texts, each read once by the grammar."""

    def __init__(self, read: Callable[[str], object]) -> None:
        self.values = _Memo(read)
        self.texts = _Memo(lambda text: str(read(text)))

    def __call__(self, texts: Texts) -> Read:
        try:
            return list(map(self.values.__getitem__, texts)), list(map(self.texts.__getitem__, texts))
        except BadText:
            raise Unusual(_failing(texts, self.values.__getitem__)) from None


class _Names:
    """A remembered column whose values are texts already."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self.values = _Memo(read)

    def __call__(self, texts: Texts) -> Read:
        try:
            values = list(map(self.values.__getitem__, texts))
        except BadText:
            raise Unusual(_failing(texts, self.values.__getitem__)) from None
        return values, values


class _Words:
    """A column whose every text may be different (SLUID)."""

    def __call__(self, texts: Texts) -> Read:
        if UNCLEAN.search("".join(texts)):
            raise Unusual(row for row, text in enumerate(texts) if UNCLEAN.search(text))
        return list(texts), texts


class _Time:
    """A time column: epochs, or local times in the layout's zone by the minute they fall in."""

    def __init__(self, layout: Layout) -> None:
        self.epochs = _Number(EARLIEST, LATEST)
        self.zone = layout.tz
        self.minutes = _Memo(self._minute)

    def __call__(self, texts: Texts) -> Read:
        if "-" not in texts[0]:
            return self.epochs(texts)
        try:
            values = [self.minutes[text[:16]] + _SECONDS[text[16:]] for text in texts]
        except (BadText, KeyError):
            raise Unusual(
                _failing(texts, lambda text: self.minutes[text[:16]] + _SECONDS[text[16:]])
            ) from None
        return values, list(map(str, values))

    def _minute(self, text: str) -> int | None:
        """The epoch of a minute that happens once and in which no clock is changed."""
        first = time_candidates(f"{text}:00", self.zone)
        last = time_candidates(f"{text}:59", self.zone)
        return first[0] if len(first) == len(last) == 1 and last[0] - first[0] == 59 else None


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

    def read(self, name: str, field: str, read: Reader) -> None:
        """Read one column, dropping rows until the rest can be read."""
        while self.numbers:
            try:
                self.values[field], self.texts[field] = read(self.raw[name])
            except Unusual as unusual:
                self.drop(unusual.rows)
            else:
                return


class FastPath:
    """The quick way for one layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._readers = _readers(layout)
        names = [name for name, _, _ in self._readers] + ["JobID"]
        self._places = {name: at for name in names if (at := layout.index(name)) is not None}
        self._between = f"{layout.delimiter}\n{layout.delimiter}"

    def parse(self, lines: Sequence[str]) -> tuple[list[RunRecord | None], list[int]]:
        """A record for every ordinary line; the numbers of the lines that need the careful way."""
        found: list[RunRecord | None] = [None] * len(lines)
        columns = self._columns(lines)
        self._set_aside_unset(columns)
        for name, field, read in self._readers:
            columns.read(name, field, read)
        if columns.numbers:
            self._drop_backwards(columns)
        if columns.numbers:
            self._read_labels(columns)
        if columns.numbers:
            for number, run in zip(columns.numbers, self._assembled(columns), strict=True):
                found[number] = run
        if len(columns.numbers) == len(lines):
            return found, []
        return found, [number for number, run in enumerate(found) if run is None]

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

    def _set_aside_unset(self, columns: _Columns) -> None:
        for name in _TIMES:
            texts = columns.raw.get(name, [])
            if not NOT_SET_TIMES.isdisjoint(texts):
                columns.drop({place for place, text in enumerate(texts) if text in NOT_SET_TIMES})

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
        texts = [columns.texts.get(name) or repeat(NOT_CARRIED, count) for name in names]
        values = [columns.values.get(name) or repeat(None, count) for name in names]
        contents = map(BETWEEN.join, zip(*texts, strict=True))
        return list(map(_RECORD, zip(*values, digests(contents), strict=True)))


def _unreadable(shown: str, raw: str) -> bool:
    try:
        return records.label(shown, raw) is None
    except BadText:
        return True


def _reader(column: str, read: Callable[[str], object]) -> Reader:
    if column in _PLAIN_NUMBERS:
        return _Number(0, MOST + 1)
    if column == "SLUID":
        return _Words()
    return _Names(lambda text: str(read(text))) if column in _TEXTS else _Remembered(read)


def _readers(layout: Layout) -> list[tuple[str, str, Reader]]:
    """(column, field, reader) of what this layout carries, those most likely to be unusual first."""
    table: list[tuple[str, str, Reader]] = [("JobIDRaw", "job_id", _Number(1, NO_VAL))]
    table += [(name, name.lower(), _Time(layout)) for name in ("Submit", *_TIMES)]
    table += [("Cluster", "cluster", _Names(lambda text: records.cluster(text, layout.cluster)))]
    table += [(column, field, _reader(column, read)) for column, (field, read) in records.SIMPLE.items()]
    carried = [entry for entry in table if layout.index(entry[0]) is not None]
    fields = [field for _, field, _ in carried]
    return [entry for at, entry in enumerate(carried) if entry[1] not in fields[:at]]
