"""What changed in months that were reported already: corrections by month and award, and their reasons.

Invariant: what is listed one by one adds up to the correction's lines, and no name of a user is shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

from opsd.core import figures
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.dossier import ClosedMonth, Correction, Item
from opsd.core.statement import terms
from opsd.core.statement.accounts import Account, parted, parted_seconds, rounded
from opsd.core.statement.footing import footed
from opsd.core.statement.rounding import SHOWN_SECONDS
from opsd.core.statement.table import LEAF, SUBTOTAL, TOTAL, Block, Column, Plus, Row, Table
from opsd.core.statement.view import Corrected, Hundredths, Sum, View
from opsd.core.statement.words import Code, Count, Day, Hours, Month, Msg, Text, Value, msg, term

WHAT: Mapping[str, Msg] = {
    "run": msg("Run"),
    "binding": msg("Account binding"),
    "award": msg("Award"),
    "policy": msg("Charge policy"),
    "node-class": msg("Class of nodes"),
    "people": msg("Home organisation of a user"),
    "rounding": msg("Rounding"),
}
K = TypeVar("K", bound=Hashable)
PRINTED = 20  # reasons; more of them are for machines
NAMELESS = ("people",)  # whose id would name a user
CHARGED = (Column("unit", msg("Unit")), Column("charged", msg("Charged, now minus then")))
COLUMNS = (
    Column("what", msg("Month and award"), wide=True),
    terms.GPU, terms.NODE, terms.CPU, *CHARGED,
    Column("items", msg("Reasons"), sums=True),
)  # fmt: skip
ITEMS = (
    Column("month", msg("Month")),
    Column("what", msg("What changed")),
    Column("id", msg("Id"), wide=True),
    terms.AWARD, terms.GPU, terms.NODE, terms.CPU, *CHARGED,
)  # fmt: skip
CLOSED = (
    Column("month", msg("Month")),
    Column("edition", msg("Edition")),
    Column("closed_at", msg("Closed on")),
    Column("reported", msg("As reported"), sums=True),
    Column("corrected", msg("Corrections so far"), sums=True),
    Column("since", msg("Not corrected yet"), sums=True),
    Column("known", msg("As now known"), formula=Plus(("reported", "corrected", "since"))),
    Column("digest", msg("Digest"), wanted=2),
)


def since_reported(view: View, one: Account) -> tuple[Hours, Hours]:
    """What corrections of use, and entries dated back, moved in an opening that was reported."""
    told = one.balance.reported_closing or 0
    shown = one.reported.hundredths if one.reported else 0
    use = -sum(found.charged.get(one.award.id, 0) for found in view.dossier.corrections)
    by_use, by_entries = parted([use, one.opened - told - use], one.opening.hundredths - shown)
    return by_use, by_entries


def blocks(view: View) -> list[Block]:
    """What a statement says of earlier months; nothing where nothing changed."""
    found: list[Block] = []
    if view.corrections:
        found += [_corrections(view), _items(view)]
    if view.whole and view.dossier.closed:
        found.append(_closed(view.dossier.closed))
    return found


# ------------------------------------------------------------------------------------------ corrections


def _corrections(view: View) -> Table:
    rows = [row for one in view.corrections for row in _month(view, one)]
    rows.append(Row({"what": terms.TOTAL}, {}, TOTAL))
    return Table(
        "corrections", msg("Corrections of earlier months"), COLUMNS, footed(COLUMNS, rows),
        (
            msg("Each line is what is known now minus what was reported, and corrected, before."),
            msg("A long list of reasons stands in the workbook and the data files alone."),
        ),
    )  # fmt: skip


def _month(view: View, one: Corrected) -> Iterator[Row]:
    month = one.correction.period
    yield Row({"what": Month(month)}, {"month": month}, SUBTOTAL)
    sums = view.by(lambda part: (part.place.award,), one.parts)
    billed = {award for award in one.correction.charged if view.holds_award(award)}
    many = Counter(item.award or UNATTRIBUTED for item in _seen(view, one.correction))
    for award in [*sorted({*(key[0] for key in sums), *billed} - {UNATTRIBUTED}), UNATTRIBUTED]:
        if (award,) in sums or award in billed:
            cells = _cells(view, one.correction, award, sums.get((award,), Sum()))
            yield Row({**cells, "items": Count(many[award])}, {"month": month, "award": award}, LEAF, 1)


def _cells(view: View, correction: Correction, award: str, use: Sum) -> dict[str, Value]:
    name = terms.NOBODYS if award == UNATTRIBUTED else Text(award)
    cells: dict[str, Value] = {"what": name, **_hours(use)}
    if award in correction.charged:
        cells |= {"unit": _unit(view, award), "charged": billed(view, award)[correction.period]}
    return cells


def _hours(use: Sum) -> dict[str, Value]:
    return {f"{name}_hours": use.hours(name) for name in ("gpu", "node", "cpu")}


def _unit(view: View, award: str) -> Value:
    return terms.UNITS[view.master.awards[award].unit]


def billed(view: View, award: str) -> dict[str, Hours]:
    """What each correction adds to an award's charge: the line of openings, month by month."""
    found = [one for one in view.dossier.corrections if award in one.charged]
    micro = [-one.charged[award] for one in found]
    parts = parted(micro, _moved(view, award, sum(micro)))
    return {one.period: Hours(-part.hundredths, -part.exact) for one, part in zip(found, parts, strict=True)}


def _moved(view: View, award: str, use: int) -> int:
    """What the line of openings shows of it."""
    line = next((one for one in view.accounts if one.award.id == award), None)
    if line is None or line.reported is None:
        return rounded(use).hundredths
    return since_reported(view, line)[0].hundredths


# ------------------------------------------------------------------------------------------ one by one


def _seen(view: View, correction: Correction) -> list[Item]:
    return [item for item in correction.items if _is_seen(view, item)]


def _is_seen(view: View, item: Item) -> bool:
    if view.scope_key == "cluster":
        return item.cluster == view.scope_value
    return view.holds(view.place_of(item.award))


def _items(view: View) -> Table:
    rows = [row for one in view.corrections for row in _rows(view, one)]
    return Table(
        "correction_items", msg("Corrections one by one"), ITEMS, footed(ITEMS, rows),
        empty=msg("No reasons are on record."), wanted=1 if len(rows) <= PRINTED else 2,
    )  # fmt: skip


def _rows(view: View, one: Corrected) -> Iterator[Row]:
    items = one.correction.items
    shown = zip(items, _use(one), _bills(view, one.correction), strict=True)
    for item, hundredths, bill in shown:
        if not _is_seen(view, item):
            continue
        cells: dict[str, Value] = {
            "month": Month(one.correction.period),
            "what": term(item.what, WHAT),
            "award": Text(item.award) if item.award else terms.NOBODYS,
            **_hours(Sum(item.seconds, hundredths)),
        }
        if item.what not in NAMELESS:
            cells["id"] = Text(item.id)
        if item.charged and item.award:
            cells |= {"unit": _unit(view, item.award), "charged": bill}
        yield Row(cells, {"month": one.correction.period, "what": item.what, "award": item.award})


def _use(one: Corrected) -> list[Hundredths]:
    """What is shown of each reason, adding up to what is shown of its award, cluster and dates."""
    wholes: dict[tuple[str, str, str], Hundredths] = defaultdict(Hundredths)
    for part in one.parts:
        place = part.place
        award = "" if place.award == UNATTRIBUTED else place.award
        wholes[award, place.outside, place.cluster] = wholes[award, place.outside, place.cluster].plus(
            part.shown
        )
    items = one.correction.items
    found = [Hundredths()] * len(items)
    for key, members in _members(items, lambda item: (item.award, item.outside, item.cluster)):
        columns = [
            figures.largest_remainder([items[at].seconds[place] for at in members], SHOWN_SECONDS, whole)
            for place, whole in enumerate(wholes[key])
        ]
        for at, hundredths in zip(members, zip(*columns, strict=True), strict=True):
            found[at] = Hundredths(*hundredths)
    return found


def _bills(view: View, correction: Correction) -> list[Hours]:
    """The same of what it adds to the award's charge."""
    items = correction.items
    found = [Hours(0, Fraction(0))] * len(items)
    for award, members in _members(items, lambda item: item.award):
        micro = [items[at].charged for at in members]
        if award in correction.charged and sum(micro) == correction.charged[award]:
            whole = billed(view, award)[correction.period].hundredths
            for at, part in zip(members, parted(micro, whole), strict=True):
                found[at] = part
    return found


def _members(items: Sequence[Item], key: Callable[[Item], K]) -> Iterator[tuple[K, list[int]]]:
    groups: dict[K, list[int]] = defaultdict(list)
    for at, item in enumerate(items):
        groups[key(item)].append(at)
    yield from groups.items()


# ------------------------------------------------------------------------------------------ closed months


def _closed(found: Sequence[ClosedMonth]) -> Table:
    rows = [_closed_month(one) for one in found]
    rows.append(Row({"month": terms.TOTAL}, {}, TOTAL))
    return Table(
        "closed_months", msg("Closed months in this period, in GPU-hours"), CLOSED, footed(CLOSED, rows),
    )  # fmt: skip


def _closed_month(one: ClosedMonth) -> Row:
    known = figures.nearest(one.known.gpu, SHOWN_SECONDS)
    parts = [one.reported.gpu, one.corrected.gpu, one.known.gpu - one.reported.gpu - one.corrected.gpu]
    reported, corrected, since = parted_seconds(parts, known)
    cells: dict[str, Value] = {
        "month": Month(one.period), "edition": Count(one.edition), "closed_at": Day(one.closed_at),
        "reported": reported, "corrected": corrected, "since": since, "digest": Code(one.digest),
    }  # fmt: skip
    return Row(cells, {"month": one.period})
