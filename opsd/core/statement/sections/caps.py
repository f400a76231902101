"""Caps: what was granted and what was used of each limited kind of use, and where that leads.

Invariant: a cap stands where the reader has all of its pools and nowhere else; a limit that rests on months
that are not closed says so, and so does a sum of grants in which one is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from opsd.core import caps
from opsd.core.caps import Limit
from opsd.core.period import months, parse_period, zone
from opsd.core.statement import terms
from opsd.core.statement.agreed import confirmed
from opsd.core.statement.footing import footed
from opsd.core.statement.rights import nearest, stretch
from opsd.core.statement.sections.entitlement import UNIT
from opsd.core.statement.table import (
    BAD,
    GOOD,
    WARN,
    Block,
    Column,
    Paragraph,
    Per,
    Row,
    Section,
    Table,
)
from opsd.core.statement.view import RESOURCES, View
from opsd.core.statement.words import Count, Day, Hours, Month, Msg, Share, Text, Value, msg

_CAPS = (
    Column("cap", msg("Cap"), wide=True),
    Column("window", msg("Window")),
    Column("unit", msg("Unit")),
    Column("base", msg("Base"), wanted=2),
    Column("part_exact", msg("Part of the base, exactly"), wanted=2),
    Column("part", msg("Part of the base")),
    Column("limit", msg("Limit")),
    Column("granted", msg("Granted")),
    Column("granted_share", msg("Granted of limit"), formula=Per("granted", "limit")),
    Column("consumed", msg("Used")),
    Column("consumed_share", msg("Used of limit"), formula=Per("consumed", "limit")),
    Column("by_end", msg("Used by its end, as expected"), wanted=2),
    Column("reached_on", msg("Limit reached on")),
    Column("state", msg("State"), wide=True),
    Column("source", msg("Source"), wide=True, wanted=2),
    Column("confirmed", msg("Confirmed"), wanted=2),
)


def section(view: View) -> Section | None:
    """Every cap whose pools are the reader's; None where there is none."""
    found = [limit for limit in caps.of(view.dossier) if _visible(view, limit)]
    if not found:
        return None
    rows = footed(_CAPS, [_row(view, limit) for limit in found])
    notes = (
        msg(
            "Grants count with the part of their time that lies in the window. Expected: as in the last "
            "month that is reported. A cap within another one is a part of that one's limit."
        ),
    )
    table = Table("caps", msg("Caps on granted and on used time"), _CAPS, rows, notes)
    blocks: tuple[Block, ...] = (table, *dict.fromkeys(_warnings(found)))
    return Section("caps", msg("Caps"), blocks)


def _visible(view: View, limit: Limit) -> bool:
    """All of the cap's pools must be the reader's; a cap on all pools stands in the whole alone."""
    if view.whole:
        return True
    mine = view.scope_key in ("pays", "funder")
    return mine and bool(limit.cap.pools) and set(limit.cap.pools) <= set(view.pools)


def _row(view: View, limit: Limit) -> Row:
    cap = limit.cap
    consumed, more = _consumed(view, limit), nearest(limit.by_end - limit.consumed)
    cells: dict[str, Value] = {
        "cap": Text(cap.name or cap.id),
        "window": Month(limit.label),
        "unit": UNIT[limit.resource],
        "part_exact": terms.fraction(cap.most),
        "part": Share(cap.most),
        "consumed": consumed,
        "by_end": Hours(consumed.hundredths + more.hundredths, Fraction(limit.by_end)),
        "state": _state(limit),
        "source": Text(cap.source) if cap.source else msg("none named"),
        "confirmed": confirmed(yes=cap.confirmed),
    }
    if limit.granted or not limit.no_rate:  # where no grant could be counted, none is not what was granted
        cells["granted"] = nearest(limit.granted)
    if limit.base is not None and limit.most is not None:
        cells |= {"base": nearest(limit.base), "limit": nearest(limit.most)}
    if limit.breached_at is not None:
        cells["reached_on"] = Day(limit.breached_at)
    keys = {"cap": cap.id, "within": cap.within, "resource": limit.resource}
    return Row(cells, keys, depth=limit.depth, tone=_tone(limit))


def _consumed(view: View, limit: Limit) -> Hours:
    """The sum of what the other tables show of the same use."""
    at = RESOURCES.index(limit.resource)
    window = parse_period(limit.label, zone(view.dossier.span.zone))
    labels = {
        label
        for label, piece in months(window, zone(view.dossier.span.zone))
        if piece.end > limit.cap.valid_from
    }
    awards = view.master.awards
    shown = sum(
        part.shown[at]
        for part in view.year
        if part.month in labels
        and part.place.attributed
        and caps.counts(view.dossier, limit.cap, awards[part.place.award])
    )
    return Hours(shown, Fraction(limit.consumed))


def _worst(limit: Limit) -> int | None:
    granted, consumed = limit.reached(limit.granted), limit.reached(limit.consumed)
    return None if granted is None or consumed is None else max(granted, consumed)


def _tone(limit: Limit) -> str:
    worst = _worst(limit)
    if worst is None:
        return WARN
    if worst >= 100:
        return BAD
    return WARN if worst or limit.breached_at is not None or limit.no_rate else GOOD


def _state(limit: Limit) -> Msg:
    granted, consumed = limit.reached(limit.granted), limit.reached(limit.consumed)
    if granted is None or consumed is None:
        return msg("the base is not known")
    if consumed >= 100:
        return msg("the limit is used up")
    if granted >= 100:
        return msg("as much as the limit, or more, is granted")
    if max(granted, consumed):
        return msg("{percent} % of the limit is reached", percent=Count(max(granted, consumed)))
    if limit.breached_at is not None:
        return msg("will be used up inside the window, as expected")
    unsure = msg("below every threshold in use; not all grants could be counted")
    return unsure if limit.no_rate else msg("below every threshold")


def _warnings(found: list[Limit]) -> Iterator[Paragraph]:
    for limit in found:
        name = Text(limit.cap.name or limit.cap.id)
        if limit.guessed:
            yield Paragraph(
                msg(
                    "{cap}: no closed edition tells the base of {months}; it is taken at this period's pace.",
                    cap=name,
                    months=stretch(limit.guessed),
                ),
                WARN,
            )
        if limit.no_rate:
            yield Paragraph(
                msg(
                    "{cap}: grants in units that cannot be converted are not in what is granted: {awards}.",
                    cap=name,
                    awards=Text(", ".join(limit.no_rate)),
                ),
                WARN,
            )
        if limit.endless:
            yield Paragraph(
                msg(
                    "{cap}: awards without an end count with all of their grant: {awards}.",
                    cap=name,
                    awards=Text(", ".join(limit.endless)),
                )
            )
