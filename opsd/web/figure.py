"""A number on a page: as shown, and exactly; and a bar beside it.

Invariant: what is shown is text made once; the exact value stands in the title of the element.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from opsd.core import figures
from opsd.core.amounts import MICRO, exact_text
from opsd.core.attribution import PAID_BY_JU, UNATTRIBUTED

# Colours 1 to 5 are those of the founding parties; others share the rest.
_HUES = {PAID_BY_JU: 1, "ES": 2, "PT": 3, "TR": 4, "RO": 5, UNATTRIBUTED: 9}
_OTHER_HUES = (6, 7, 8)


class Figure(NamedTuple):
    """A number."""

    text: str
    exact: str = ""

    @property
    def nothing(self) -> bool:
        """Whether it is a plain zero, which a table shows quietly."""
        return self.text == "0" and self.exact.startswith("0 ")


class Bar(NamedTuple):
    """How much of a track is filled, in percent, and what that says aloud."""

    width: str
    text: str


def hours(shown: int, seconds: int, resource: str) -> Figure:
    """Whole hours, with the seconds they were made from; a little is not nothing."""
    text = "<1" if shown == 0 < seconds else figures.grouped(shown)
    return Figure(text, f"{seconds:,} {resource}-seconds")


def unit_hours(shown: int, micro: int, unit: str) -> Figure:
    """Whole unit-hours, with the exact unit-seconds they were made from."""
    exact = exact_text(Fraction(micro, MICRO))
    return Figure(figures.grouped(shown), f"{exact} {unit.replace('-hours', '-seconds')}")


def bar(part: int, whole: int, text: str) -> Bar:
    """A bar that is full when the part is the whole, or more."""
    width = min(100.0, 100 * part / whole) if whole > 0 and part > 0 else 0.0
    return Bar(f"{max(width, 0.6):.1f}%" if part > 0 else "0%", text)


def hue(code: str) -> int:
    """The number of a party's colour in the style sheet."""
    return _HUES.get(code) or _OTHER_HUES[sum(map(ord, code)) % len(_OTHER_HUES)]
