"""Awards somebody should look at: over quota, near it, or used outside their dates.

Invariant: granted = used + left, also after rounding; the fullest award comes first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fractions import Fraction
from typing import NamedTuple

from opsd.core import attention, figures
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.consortium import Consortium
from opsd.pipeline.balance import Line
from opsd.web import figure, words
from opsd.web.figure import Bar, Figure

OVER, NEAR, WATCH = "over", "near", "watch"  # styles
_NEAR_PERCENT = 95


class Grant(NamedTuple):
    """An award."""

    award: str
    project: str
    title: str
    organisation: str
    country: str
    unit: str
    granted: Figure
    used: Figure
    left: Figure
    percent: str
    bar: Bar
    state: str
    style: str


class Grants(NamedTuple):
    """Awards, and how many are not among them."""

    shown: tuple[Grant, ...]
    over: int  # of those shown
    quiet: int  # of which nothing is to be said
    past: int  # of which there was, until they ended before the month


def grants(lines: Iterable[Line], held: Consortium, since: int, used: Collection[str]) -> Grants:
    """Those that need eyes.

    Args:
        since: where the month begins.
        used: awards that were used in it.
    """
    known = list(lines)
    found = [line for line in known if attention.matters(line.state, line.after_end)]
    shown = [line for line in found if not _past(line, held, since, used)]
    shown.sort(key=lambda line: (-_used(line), line.key))
    over = sum(line.over for line in shown)
    made = tuple(_grant(line, held) for line in shown)
    return Grants(made, over, len(known) - len(found), len(found) - len(shown))


def _past(line: Line, held: Consortium, since: int, used: Collection[str]) -> bool:
    return attention.past(held.awards[line.key].end, since, used=line.key in used)


def _used(line: Line) -> Fraction:
    return Fraction(line.used, line.granted) if line.granted else Fraction(line.used)


def _grant(line: Line, held: Consortium) -> Grant:
    used, left = figures.largest_remainder([line.used, line.left], MICRO_PER_HOUR)
    project = held.projects.get(held.awards[line.key].project)
    organisation = held.organisations.get(project.organisation) if project else None
    percent = figures.percent(line.used, line.granted)
    return Grant(
        award=line.key,
        project=project.id if project else "",
        title=project.title if project else "",
        organisation=organisation.name if organisation else "",
        country=words.party(organisation.country) if organisation else "",
        unit=line.unit,
        granted=figure.unit_hours(used + left, line.granted, line.unit),
        used=figure.unit_hours(used, line.used, line.unit),
        left=figure.unit_hours(left, line.left, line.unit),
        percent=percent,
        bar=figure.bar(line.used, line.granted or line.used, f"{percent} used"),
        state=_state(line),
        style=_style(line),
    )


def _state(line: Line) -> str:
    parts = []
    if line.over:
        parts.append("over quota")
    elif line.state.startswith("threshold-"):
        parts.append(f"past {line.state.removeprefix('threshold-').partition(',')[0]} %")
    if line.after_end:
        late = figures.nearest(line.after_end, MICRO_PER_HOUR)
        parts.append(f"{figures.grouped(late) if late else '<1'} h outside its dates")
    if line.unpriced:
        parts.append("a charge is missing")
    return ", ".join(parts)


def _style(line: Line) -> str:
    if line.over:
        return OVER
    return NEAR if line.used * 100 >= _NEAR_PERCENT * line.granted > 0 else WATCH
