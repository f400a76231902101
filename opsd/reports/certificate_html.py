"""A certificate as one page that stands alone: to be read, printed, signed and filed.

Invariant: it loads nothing from anywhere, holds every figure that differs, and names the digest of the JSON
document that it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from opsd.core.certificate import CAUSES, MEANINGS, Cell, Certificate, Contribution
from opsd.core.figures import grouped
from opsd.core.period import zone

_TEMPLATES = Path(__file__).parent / "templates"
MOST_PARTS = 300  # contributions that are printed; the JSON document has more


class _Line(NamedTuple):
    """A cell as it is printed."""

    names: tuple[str, ...]
    figures: tuple[str, ...]
    is_unexplained: bool
    why: str


class _Bar(NamedTuple):
    """What became of the cells, in percent of all of them."""

    name: str
    shown: str
    share: float


def render(found: Certificate, document: bytes, *, summary: dict[str, int], causes: Sequence[int]) -> bytes:
    """The page.

    Args:
        document: the same certificate as JSON, whose digest is printed.
        summary: how many cells are equal, explained, unexplained.
        causes: the places in CAUSES of those that explain anything.
    """
    pages = Environment(autoescape=True, undefined=StrictUndefined, loader=FileSystemLoader(_TEMPLATES))
    page = pages.get_template("certificate.html")
    differing = [cell for cell in found.cells if not cell.is_equal]
    unknowns = sorted(found.unknowns, key=lambda one: (one.least - one.most, one))
    parts = sorted(found.contributions, key=lambda part: (part.cause, -abs(part.seconds), part))
    text = page.render(
        found=found, start=_local(found.window.start, found), end=_local(found.window.end, found),
        made=_local(found.made_at, found), summary={name: grouped(n) for name, n in summary.items()},
        verdict=_verdict(summary), is_bad=bool(summary["unexplained"]), bars=_bars(summary),
        causes=[CAUSES[place].replace("_", " ") for place in causes],
        meanings=[(CAUSES[place].replace("_", " "), MEANINGS[CAUSES[place]]) for place in causes],
        totals=[_line(found, found.total(tres), causes) for tres in found.tres],
        lines=[_line(found, cell, causes) for cell in differing],
        equal=[_line(found, cell, ()) for cell in found.cells if cell.is_equal],
        parts=[_part(part) for part in parts[:MOST_PARTS]], more=max(0, len(parts) - MOST_PARTS),
        unknowns=[
            (one.account or "unknown", one.user, one.tres, grouped(one.least), grouped(one.most),
             one.words, one.subject.text)
            for one in unknowns[:MOST_PARTS]
        ],
        more_unknowns=grouped(len(unknowns) - MOST_PARTS) if len(unknowns) > MOST_PARTS else "",
        limits=[
            (one.account, one.user, grouped(one.raw_usage), _minutes(one.limits), _minutes(one.used))
            for one in found.limits if one.raw_usage or one.limits
        ],
        has_why=any(cell.unexplained and found.cannot_know(cell) for cell in differing),
        digest=sha256(document).hexdigest(),
    )  # fmt: skip
    return text.encode()


def _local(at: int, found: Certificate) -> str:
    return f"{datetime.fromtimestamp(at, zone(found.zone)):%Y-%m-%d %H:%M %z}"


def _verdict(summary: dict[str, int]) -> str:
    if not summary["cells"]:
        return "Nobody used anything, by opsd and by Slurm"
    if summary["unexplained"]:
        one = summary["unexplained"] == 1
        known = summary["cannot_be_known"]
        some = "all" if known == summary["unexplained"] else grouped(known)
        bounded = f"; {some} within what nobody can know here" if known else ""
        return f"{grouped(summary['unexplained'])} {'cell is' if one else 'cells are'} not explained{bounded}"
    if summary["explained"]:
        return "Equal to Slurm, and every difference is explained"
    return "Equal to Slurm in every cell"


def _bars(summary: dict[str, int]) -> list[_Bar]:
    whole = summary["cells"] or 1
    return [
        _Bar(name, grouped(summary[name]), 100 * summary[name] / whole)
        for name in ("equal", "explained", "unexplained")
    ]


def _line(found: Certificate, cell: Cell, causes: Sequence[int]) -> _Line:
    figures = (cell.opsd, *(cell.causes[place] for place in causes), cell.unexplained, cell.sreport)
    always = (0, len(figures) - 2, len(figures) - 1)
    shown = [grouped(figure) if figure or place in always else "" for place, figure in enumerate(figures)]
    why = "; ".join(sorted({u.words for u in found.cannot_know(cell)})) if cell.unexplained else ""
    return _Line((cell.account, cell.user, cell.tres), tuple(shown), bool(cell.unexplained), why)


def _part(part: Contribution) -> tuple[str, ...]:
    cause = part.cause.replace("_", " ")
    who = (part.account, part.user, part.tres)
    return (cause, *who, grouped(part.seconds), part.subject.text, part.words)


def _minutes(counts: object) -> str:
    pairs = dict(counts).items() if isinstance(counts, dict) else ()
    return ", ".join(f"{name} {grouped(count)}" for name, count in pairs if count)
