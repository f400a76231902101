"""The answer to "why this number": figures, and tables of what they are made of.

Invariant: in a table that names the column that adds up, that column's rows add up to its total, exactly;
so whoever adds by hand what is printed arrives at the figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from opsd.core.amounts import exact_text
from opsd.core.versions import Version

TEXT, NUMBER, TIME, EXACT = "text", "number", "time", "exact"
Value = str | int | Fraction | bool | None


class Column(NamedTuple):
    """A column of a table: times are epoch seconds, exact numbers are fractions."""

    name: str
    kind: str = TEXT


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; `adds` names the column whose rows add up to `total`."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    adds: str = ""
    total: int | Fraction | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.name}: rows of other lengths than {len(self.columns)}")
        if self.adds and self.sum != self.total:
            raise ValueError(f"table {self.name}: {self.adds} adds up to {self.sum}, not to {self.total}")

    @property
    def sum(self) -> Any:  # noqa: ANN401 (whole or exact, as its column)
        """What the column that adds up adds up to."""
        place = [column.name for column in self.columns].index(self.adds)
        return sum((row[place] or 0 for row in self.rows), start=0)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One figure explained."""

    of: str  # usage, balance, capacity, certificate or run
    asked: Mapping[str, Value]  # what was asked for, as it was understood
    figure: Mapping[str, Value]  # as the command that shows it does
    tables: tuple[Table, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)  # rules, states, dates: what one must know
    eyes: tuple[str, ...] = ()  # what needs a person


def of_fraction(value: Value) -> Value:
    """An exact number as the text that reads back as the same."""
    return exact_text(value) if isinstance(value, Fraction) else value


def winner(versions: Sequence[Version]) -> Version:
    """The version that counts."""
    return max(versions, key=lambda version: version.rank)


def why(winner: Version, other: Version) -> str:
    """Why one version counts and not the other, in the words of the rule (opsd.core.versions)."""
    if other == winner:
        return "counts"
    (ended, seen, *_), (also_ended, also_seen, *_) = winner.rank, other.rank
    if ended != also_ended:
        return "an ended row beats an open one"
    if seen != also_seen:
        return "a later sight of it counts"
    return "seen in the same instant: the greater content hash counts"


_NOT_CONTENT = ("cluster", "job_id", "submit", "hash", "elapsed")


def differences(one: Version, other: Version) -> Iterator[tuple[str, object, object]]:
    """The columns in which two versions of one run differ, with both values."""
    for name, value in one.record._asdict().items():
        against = getattr(other.record, name)
        if name not in _NOT_CONTENT and value != against:
            yield name, value, against


def sentence(parts: Iterable[str]) -> str:
    """Several remarks in one line."""
    return "; ".join(part for part in parts if part)
