"""`scontrol show license`, one line each.

Invariant: each licence stands once; used + free = total, and what is reserved is among the free.
"""

from __future__ import annotations

from collectors.slurm import grammar
from collectors.slurm.present_words import each, lines, optional, value
from opsd.core.errors import BadText, Unavailable
from opsd.core.present import LicenseNow

_NONE = "No licenses configured in Slurm."


def read(text: str) -> list[LicenseNow]:
    """Every licence.

    Raises:
        Unavailable: a line cannot be read, or a name stands twice.
    """
    found = each("scontrol show license", [] if text.strip() == _NONE else lines(text), _license)
    if len({one.name for one in found}) != len(found):
        raise Unavailable(f"scontrol show license: a name stands twice in {text[:200]!r}")
    return found


def _license(line: str) -> LicenseNow:
    if not line.startswith("LicenseName="):
        raise BadText("a line does not begin with LicenseName=", line, "is it Slurm's?")
    total, used = (grammar.whole(value(line, name), name) for name in ("Total", "Used"))
    return LicenseNow(
        value(line, "LicenseName"), total, used, grammar.whole(optional(line, "Reserved") or "0", "Reserved")
    )
