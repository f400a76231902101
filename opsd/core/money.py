"""Money: whole micro-units of a currency.

Invariant: amounts of two currencies are never added, and nothing here is a float or is rounded.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from opsd.core.amounts import LARGEST, MICRO, exact, exact_text
from opsd.core.errors import BadText

_CURRENCY = re.compile(r"[A-Z]{3}\Z", re.ASCII)
_REMEDY = 'write an amount and an ISO 4217 code, such as "98330000 EUR" or "0.85 EUR"'


class Money(NamedTuple):
    """An amount of a currency, in millionths of its unit."""

    micro: int
    currency: str

    @classmethod
    def parse(cls, text: str) -> Money:
        """`98330000 EUR`, `0.85 EUR`: with at most six decimals.

        Raises:
            BadText: it is not such a text, or too large to keep.
        """
        amount, _, currency = text.partition(" ")
        if not _CURRENCY.match(currency):
            raise BadText("not an amount of money", text, _REMEDY)
        try:
            micro = exact(amount) * MICRO
        except BadText as err:
            raise BadText("not an amount of money", text, _REMEDY) from err
        if micro.denominator != 1 or abs(micro) > LARGEST:
            raise BadText("an amount of money with more than six decimals, or too large", text, _REMEDY)
        return cls(int(micro), currency)

    @property
    def text(self) -> str:
        """What `parse` reads."""
        return f"{exact_text(Fraction(self.micro, MICRO))} {self.currency}"

    def plus(self, other: Money) -> Money:
        """The sum; both must be of one currency."""
        if self.currency != other.currency:
            raise BadText("money of two currencies", f"{self.text} + {other.text}", "keep them apart")
        return Money(self.micro + other.micro, self.currency)
