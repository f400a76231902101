"""How long what is left will last, by the last seven days.

Invariant: an award's forecast is the one its balance says; that of a pool is made from the awards of one
unit that are listed under it. Those that are over or have not begun are not listed: what they have left
is nobody's to use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from opsd.core import forecast
from opsd.core.forecast import Forecast, Standing
from opsd.core.period import DAY
from opsd.core.statement import terms
from opsd.core.statement.accounts import Account, by_unit
from opsd.core.statement.footing import footed
from opsd.core.statement.table import (
    BAD,
    LEAF,
    PLAIN,
    SUBTOTAL,
    TOTAL,
    WARN,
    Column,
    Less,
    Paragraph,
    Per,
    Row,
    Section,
    Table,
)
from opsd.core.statement.view import View
from opsd.core.statement.words import Count, Day, Share, Text, Value, msg, term

COLUMNS = (
    Column("name", msg("Pool and award"), wide=True),
    Column("granted", msg("Granted"), sums=True),
    Column("used", msg("Used"), sums=True),
    Column("left", msg("Left"), formula=Less(("granted", "used"))),
    Column("week", msg("Charged in the last 7 days"), sums=True),
    Column("elapsed", msg("Time elapsed")),
    Column("used_share", msg("Used, of granted"), formula=Per("used", "granted")),
    Column("days_left", msg("Days until used up")),
    Column("exhausted", msg("Used up on")),
    Column("forecast", msg("Forecast")),
)
RULES = (
    msg("What is left is divided by the use of the last seven days, over the awards that are running."),
    msg("Time elapsed is the part of an award's time that is over; of a pool it is weighted by the grants."),
    msg("Nothing is expected of what lasts beyond an award's end, or for more than 365 days."),
)


def section(view: View) -> Section | None:
    """A table for each unit; nothing without running awards."""
    running = [one for one in view.accounts if _standing(one).is_running(view.dossier.as_of)]
    tables = [_table(view, unit, found) for unit, found in by_unit(running).items()]
    rules = [Paragraph(text) for text in RULES]
    return Section("forecast", msg("Forecast"), (*tables, *rules)) if tables else None


def _table(view: View, unit: str, found: Sequence[Account]) -> Table:
    total = Row({"name": terms.TOTAL}, {"unit": unit}, TOTAL)
    rows = [*_rows(view, unit, found), total]
    return Table(
        f"forecast_{unit.replace('-', '_')}", msg("Forecast in {unit}", unit=terms.UNITS[unit]), COLUMNS,
        footed(COLUMNS, rows),
    )  # fmt: skip


def _rows(view: View, unit: str, found: Sequence[Account]) -> Iterator[Row]:
    as_of = view.dossier.as_of
    for pool in sorted({one.award.pool for one in found}):
        members = [one for one in found if one.award.pool == pool]
        standings = [_standing(one) for one in members]
        said = _said(forecast.of_group(standings, as_of), forecast.elapsed(standings, as_of), as_of)
        yield Row({"name": view.pool_name(pool), **said}, {"pool": pool, "unit": unit}, SUBTOTAL)
        for one in members:
            yield _award(one, as_of)


def _award(one: Account, as_of: int) -> Row:
    known = Forecast(one.balance.forecast, one.balance.exhausted_at)
    cells: dict[str, Value] = {
        "name": Text(f"{one.award.project} · {one.award.id}"),
        "granted": one.granted,
        "used": one.used,
        "week": one.week,
        **_said(known, forecast.elapsed([_standing(one)], as_of), as_of),
    }
    tones = {forecast.ALREADY: BAD, forecast.EXPECTED: WARN}
    keys = {
        "pool": one.award.pool,
        "project": one.award.project,
        "award": one.award.id,
        "unit": one.award.unit,
    }
    return Row(cells, keys, LEAF, 1, tones.get(known.state, PLAIN))


def _said(known: Forecast, elapsed: Fraction | None, as_of: int) -> dict[str, Value]:
    cells: dict[str, Value] = {"forecast": term(known.state, terms.FORECASTS)}
    if elapsed is not None:
        cells["elapsed"] = Share(elapsed)
    if known.at is not None:
        cells |= {"exhausted": Day(known.at), "days_left": Count((known.at - as_of) // DAY)}
    return cells


def _standing(one: Account) -> Standing:
    balance = one.balance
    used = balance.settled + balance.accrued
    return Standing(balance.granted_total, used, balance.burned[1], one.award.start, one.award.end)
