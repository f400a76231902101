"""Words of a statement, before they are in any language, and the values that stand in them and in tables.

A word is a message id in English with named places: `msg("Charged in {period}", period=Text("2026-10"))`. The
catalogues of `opsd/reports/locales` translate the id; values are formatted by each locale's own rules.
Invariant: a value carries its exact number; what is shown of it follows from the value alone, so the
numbers are the same in every language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple


class Text(NamedTuple):
    """Words of somebody else: a name, an id. Never translated; renderers keep it from being a formula."""

    text: str


class Hours(NamedTuple):
    """Resource- or unit-hours: hundredths as shown everywhere, beside the exact number behind them."""

    hundredths: int
    exact: Fraction  # unit-seconds


class Count(NamedTuple):
    """A whole number of things."""

    number: int


class Share(NamedTuple):
    """A part of a whole: 0.25 is shown as 25.0 %. None: there is no whole."""

    value: Fraction | None


class Ratio(NamedTuple):
    """A plain number, shown with two decimals: a return ratio. None: there is nothing to divide by."""

    value: Fraction | None


class Number(NamedTuple):
    """An exact number shown with so many decimals: kWh, kg, a factor."""

    value: Fraction
    decimals: int = 2


class Amount(NamedTuple):
    """Money, shown to the cent."""

    micro: int
    currency: str


class Day(NamedTuple):
    """The civil day of an instant, in the statement's zone."""

    at: int


class Moment(NamedTuple):
    """An instant, in the statement's zone, with its offset."""

    at: int


class Month(NamedTuple):
    """A period's name: `2026-10` is shown as October 2026, `2026-Q4` as 4th quarter of 2026."""

    text: str


class Country(NamedTuple):
    """A country by its ISO code, shown by its name; JU and unattributed are known, too."""

    code: str


class Code(NamedTuple):
    """A digest or command: shown as it is, in type of one width."""

    text: str


@dataclass(frozen=True, slots=True)
class Msg:
    """A message id with its values."""

    id: str
    values: tuple[tuple[str, Value], ...] = ()


Value = Text | Hours | Count | Share | Ratio | Number | Amount | Day | Moment | Month | Country | Code | Msg


def msg(id_: str, /, **values: Value) -> Msg:
    """A message; the extractor of catalogues looks for this name, so the id is always a literal."""
    return Msg(id_, tuple(sorted(values.items())))


def term(id_: str, table: Mapping[str, Msg]) -> Value:
    """A word of a closed list (a kind, a state) as a message, anything else as somebody's own text."""
    return table.get(id_, Text(id_))
