"""Readers of whole columns: many texts at once, or the numbers of those that need thought.

Invariant: a reader returns for every text what the grammar returns for it, or raises `Unusual` with the
rows it leaves to the careful way; it remembers a bounded number of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from collectors.slurm import records
from collectors.slurm.grammar import LATEST, MOST, NO_VAL, UNCLEAN, time_candidates
from collectors.slurm.layout import Layout
from opsd.core.errors import BadText
from opsd.core.period import HOUR
from opsd.core.records import EARLIEST

TIMES = ("Start", "End", "Eligible")
_REMEMBERED = 50_000  # distinct texts of one column kept at a time
_SECONDS = {f":{at // 60:02}:{at % 60:02}": at for at in range(HOUR)}
_PLAIN_NUMBERS = frozenset({"ElapsedRaw", "DBIndex", "AssocID"})
_TEXTS = frozenset({"State", "Account", "AllocTRES", "User", "Partition", "QOS", "NodeList", "Flags"})

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
    """A time column: epochs, or local times in the layout's zone by the hour they fall in."""

    def __init__(self, layout: Layout) -> None:
        self.epochs = _Number(EARLIEST, LATEST)
        self.zone = layout.tz
        self.hours = _Memo(self._hour)

    def __call__(self, texts: Texts) -> Read:
        if "-" not in texts[0]:
            return self.epochs(texts)
        hours = self.hours
        try:
            values = [hours[text[:13]] + _SECONDS[text[13:]] for text in texts]
        except (BadText, KeyError):
            raise Unusual(_failing(texts, lambda text: hours[text[:13]] + _SECONDS[text[13:]])) from None
        return values, list(map(str, values))

    def _hour(self, text: str) -> int | None:
        """The epoch of an hour that happens once and in which no clock is changed."""
        first = time_candidates(f"{text}:00:00", self.zone)
        last = time_candidates(f"{text}:59:59", self.zone)
        return first[0] if len(first) == len(last) == 1 and last[0] - first[0] == HOUR - 1 else None


def _reader(column: str, read: Callable[[str], object]) -> Reader:
    if column in _PLAIN_NUMBERS:
        return _Number(0, MOST + 1)
    if column == "SLUID":
        return _Words()
    return _Names(lambda text: str(read(text))) if column in _TEXTS else _Remembered(read)


def column_readers(layout: Layout) -> list[tuple[str, str, Reader]]:
    """(column, field, reader) of what this layout carries, those most likely to be unusual first."""
    table: list[tuple[str, str, Reader]] = [("JobIDRaw", "job_id", _Number(1, NO_VAL))]
    table += [(name, name.lower(), _Time(layout)) for name in ("Submit", *TIMES)]
    table += [("Cluster", "cluster", _Names(lambda text: records.cluster(text, layout.cluster)))]
    table += [(column, field, _reader(column, read)) for column, (field, read) in records.SIMPLE.items()]
    carried = [entry for entry in table if layout.index(entry[0]) is not None]
    fields = [field for _, field, _ in carried]
    return [entry for at, entry in enumerate(carried) if entry[1] not in fields[:at]]
