"""Numbers and times for programs, the same in every language.

Invariant: what stands here is read back exactly; only `rounded` says less than it was given.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

from opsd.core import figures
from opsd.core.amounts import MICRO, exact_text
from opsd.core.period import isoformat, zone
from opsd.core.statement.view import PER_HOUR

_DIGITS = 12  # of a quotient


def decimal(hundredths: int) -> str:
    """Hundredths as a plain decimal with a dot: `1234.50`."""
    sign, whole = ("-" if hundredths < 0 else ""), abs(hundredths)
    return f"{sign}{whole // PER_HOUR}.{whole % PER_HOUR:02}"


def rounded(value: Fraction, digits: int = _DIGITS) -> str:
    """A decimal of at most so many digits behind the dot: `0.333333333333`."""
    size = figures.nearest(abs(value.numerator) * 10**digits, value.denominator)
    return exact_text(Fraction(-size if value < 0 else size, 10**digits))


def utc(at: int) -> str:
    """An instant: `2026-10-31T23:00:00Z`."""
    return isoformat(at, UTC).replace("+00:00", "Z")


def day(at: int, name: str) -> str:
    """The civil day of an instant in a zone: `2026-10-31`."""
    return datetime.fromtimestamp(at, zone(name)).date().isoformat()


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def fixed(value: Fraction, decimals: int) -> str:
    """A decimal of exactly so many digits behind the dot, halves away from zero, as it is printed."""
    size = figures.nearest(abs(value.numerator) * 10**decimals, value.denominator)
    digits = str(size).rjust(decimals + 1, "0")
    text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return f"-{text}" if value < 0 and size else text


def micro(amount: int) -> str:
    """Millionths of a currency's unit: `98330000.00`, with as many decimals as it has, at least two."""
    text = exact_text(Fraction(amount, MICRO))
    whole, _, broken = text.partition(".")
    return f"{whole}.{broken.ljust(2, '0')}"
