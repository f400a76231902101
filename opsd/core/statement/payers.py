"""The answer in one small table: what each payer was entitled to, what was used of it, and what is new.

Invariant: use is all use of the pools that a country pays for, as in every other table of the statement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from opsd.core.statement import terms
from opsd.core.statement.footing import add, footed
from opsd.core.statement.rights import Rights
from opsd.core.statement.table import TOTAL, Column, Less, Per, Row, Table
from opsd.core.statement.view import Part, View, in_order
from opsd.core.statement.words import Hours, Value, msg

NOTHING = Hours(0, Fraction(0))
PAYS = Column("pays", msg("Who pays"), wide=True)
USED = Column("used", msg("Used"), sums=True)
ENTITLED = (
    Column("entitled", msg("Entitled"), sums=True),
    USED,
    Column("used_share", msg("Used of entitled"), formula=Per("used", "entitled")),
)
BEFORE = (
    Column("previous", msg("Used, period before"), sums=True),
    Column("change", msg("Change"), formula=Less(("used", "previous"))),
)
CORRECTED = Column("corrected", msg("Corrections of earlier months"), sums=True)
ByPayer = Mapping[str, Hours]


def table(view: View) -> Table:
    """GPU-hours by who pays; entitlement only where all use of the pools is in the statement."""
    entitled = _entitled(view)
    told: dict[str, ByPayer] = {"used": _used(view, view.parts)}
    if entitled is not None:
        told["entitled"] = entitled
    if view.dossier.previous_span is not None:
        told["previous"] = _used(view, view.previous)
    if view.corrections:
        told["corrected"] = _used(view, (part for one in view.corrections for part in one.parts))
    columns = tuple(_columns(told))
    title = msg("GPU-hours used") if entitled is None else msg("Entitled and used, in GPU-hours")
    return Table("payers", title, columns, footed(columns, _rows(told)))


def _columns(told: Mapping[str, ByPayer]) -> Iterator[Column]:
    yield PAYS
    yield from ENTITLED if "entitled" in told else (USED,)
    if "previous" in told:
        yield from BEFORE
    if "corrected" in told:
        yield CORRECTED


def _rows(told: Mapping[str, ByPayer]) -> list[Row]:
    payers = sorted({pays for found in told.values() for pays in found}, key=lambda one: in_order((one,)))
    rows = [_row(pays, {name: found.get(pays, NOTHING) for name, found in told.items()}) for pays in payers]
    return [*rows, Row({"pays": terms.TOTAL}, {}, TOTAL)] if len(rows) > 1 else rows


def _row(pays: str, hours: Mapping[str, Value]) -> Row:
    return Row({"pays": terms.country(pays), **hours}, {"pays": pays})


def _used(view: View, parts: Iterable[Part]) -> dict[str, Hours]:
    return {
        pays: found.hours("gpu") for (pays,), found in view.by(lambda part: (part.place.pays,), parts).items()
    }


def _entitled(view: View) -> dict[str, Hours] | None:
    rights = Rights(view)
    if not rights.whole or not view.master.agreements:
        return None
    sums: dict[str, list[Hours]] = defaultdict(list)
    for one in rights.rows:
        if one.right.resource == "gpu":
            sums[rights.pays(one.right.pool)].append(one.entitled)
    return {pays: _sum(found) for pays, found in sums.items()}


def _sum(found: Iterable[Hours]) -> Hours:
    whole = add(found)
    return whole if isinstance(whole, Hours) else NOTHING
