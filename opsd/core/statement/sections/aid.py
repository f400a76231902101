"""State-aid annex: what was granted in the period, what is left under each ceiling, and by which rules.

Invariant: every legal number is a dated value that somebody entered, printed with its source; an amount
that nobody can know is said to be unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from opsd.core import aid
from opsd.core.aid import Act, Standing
from opsd.core.amounts import MICRO, MICRO_PER_HOUR
from opsd.core.figures import nearest
from opsd.core.statement import terms
from opsd.core.statement.table import (
    BAD,
    PLAIN,
    TOTAL,
    WARN,
    Block,
    Column,
    Less,
    Paragraph,
    Row,
    Section,
    Table,
)
from opsd.core.statement.view import View
from opsd.core.statement.words import Amount, Country, Day, Hours, Msg, Text, Value, msg, term

_WHOLE_STATE = ("", "pays")  # scopes that may see all aid of a Member State


def section(view: View) -> Section | None:
    """The annex; None where no pool of the reader's grants aid."""
    held = view.master
    if not any(held.pools[name].aid_rule for name in view.pools):
        return None
    blocks = [_what_it_is(), _granted(view), *_headroom(view), _rules(view), _prices(view)]
    return Section("aid", msg("State-aid annex"), tuple(blocks))


def _what_it_is() -> Paragraph:
    return Paragraph(
        msg(
            "What time was granted to undertakings from pools of Member States, at its price of the day of "
            "the legal right. A table of figures for the granting authority, and no legal advice. The Joint "
            "Undertaking's time is not State aid here, because its pools name no rule."
        )
    )


# ---------------------------------------------------------------------------------------- what was granted


_GRANTED = (
    Column("granted_on", msg("Granted on")),
    Column("country", msg("Member State")),
    Column("undertaking", msg("Undertaking"), wide=True),
    Column("award", msg("Award")),
    Column("pool", msg("Pool"), wanted=2),
    Column("act", msg("Act")),
    Column("hours", msg("Hours")),
    Column("unit", msg("Unit")),
    Column("price", msg("Price of an hour")),
    Column("price_version", msg("Price version"), wanted=2),
    Column("gross_grant_equivalent", msg("Gross grant equivalent"), sums=True),
    Column("rule", msg("Rule"), wanted=2),
    Column("tax_id", msg("Tax number"), wanted=2),
    Column("nace", msg("NACE"), wanted=2),
)


def _granted(view: View) -> Table:
    span = view.dossier.span
    found = [
        act
        for act in aid.acts(view.dossier)
        if span.start <= act.on < view.dossier.as_of and view.holds_award(act.award)
    ]
    rows = [_act(view, act) for act in found]
    currencies = {act.worth.currency for act in found if act.worth}
    for currency in sorted(currencies):
        whole = sum(act.worth.micro for act in found if act.worth and act.worth.currency == currency)
        cells: dict[str, Value] = {
            "granted_on": msg("Total"),
            "gross_grant_equivalent": Amount(whole, currency),
        }
        rows.append(Row(cells, {"currency": currency}, TOTAL))
    return Table(
        "aid_granted",
        msg("Granted in the period"),
        _GRANTED if len(currencies) < 2 else tuple(replace(column, sums=False) for column in _GRANTED),
        tuple(rows),
        empty=msg("Nothing was granted as State aid in the period."),
    )


def _act(view: View, act: Act) -> Row:
    organisation = view.master.organisations[act.organisation]
    hundredths = nearest(act.amount, MICRO_PER_HOUR // 100)
    cells: dict[str, Value] = {
        "granted_on": Day(act.on),
        "country": Country(act.country),
        "undertaking": Text(_undertaking(view, act.undertaking)),
        "award": Text(act.award),
        "pool": Text(act.pool),
        "act": terms.ENTRIES[act.kind],
        "hours": Hours(hundredths, Fraction(act.amount, MICRO)),
        "unit": term(act.unit, terms.UNITS),
        "price": Amount(*act.price.amount) if act.price else msg("no price on record"),
        "price_version": Text(act.price.id if act.price else ""),
        "gross_grant_equivalent": Amount(*act.worth) if act.worth else msg("unknown"),
        "rule": Text(act.rule),
        "tax_id": Text(organisation.tax_id),
        "nace": Text(organisation.nace),
    }
    keys = {"undertaking": act.undertaking, "country": act.country, "award": act.award, "pool": act.pool}
    return Row(cells, keys, tone=PLAIN if act.worth else WARN)


def _undertaking(view: View, undertaking: str) -> str:
    """Its name: a group that is no organisation of its own has only its id."""
    known = view.master.organisations.get(undertaking)
    return known.name if known else undertaking


# ------------------------------------------------------------------------------------------------ headroom


_HEADROOM = (
    Column("undertaking", msg("Undertaking"), wide=True),
    Column("country", msg("Member State")),
    Column("since", msg("Counted since")),
    Column("ceiling", msg("Ceiling")),
    Column("granted", msg("Granted here")),
    Column("elsewhere", msg("Declared elsewhere")),
    Column("left", msg("Headroom"), formula=Less(("ceiling", "granted", "elsewhere"))),
    Column("rule", msg("Rule"), wanted=2),
    Column("remark", msg("Remark"), wide=True),
)


def _headroom(view: View) -> Iterator[Block]:
    key, _, value = view.scope.partition(":")
    if key not in _WHOLE_STATE:
        yield Paragraph(
            msg(
                "The headroom of an undertaking counts all aid of a Member State; it stands in the statement "
                "of that State and in the whole statement."
            )
        )
        return
    found = [one for one in aid.standings(view.dossier) if not key or one.country == value]
    yield Table(
        "aid_headroom",
        msg("Headroom of undertakings by Member State"),
        _HEADROOM,
        tuple(_standing(view, one) for one in found),
        notes=(
            msg("Use below what was granted leaves the aid as it is, unless it was taken back by an entry."),
        ),
        empty=msg("No undertaking has aid inside its window."),
    )


def _standing(view: View, one: Standing) -> Row:
    cells: dict[str, Value] = {
        "undertaking": Text(_undertaking(view, one.undertaking)),
        "country": Country(one.country),
        "since": Day(one.since),
        "ceiling": Amount(*one.rule.ceiling),
        "granted": Amount(*one.granted),
        "elsewhere": Amount(*one.elsewhere),
        "left": Amount(*one.left),
        "rule": Text(one.rule.id),
    }
    if (remark := _remark(one)) is not None:
        cells["remark"] = remark
    tone = BAD if one.beyond or one.left.micro < 0 else WARN if one.unpriced else PLAIN
    return Row(
        cells, {"undertaking": one.undertaking, "country": one.country, "rule": one.rule.id}, tone=tone
    )


def _remark(one: Standing) -> Msg | None:
    if one.beyond:
        return msg("beyond the ceiling, outside as a whole: {awards}", awards=Text(", ".join(one.beyond)))
    if one.left.micro < 0:
        return msg("beyond the ceiling")
    if one.unpriced:
        return msg("some grants have no price, so more may be used up")
    return None


# ------------------------------------------------------------------------------------------------- sources


_RULES = (
    Column("rule", msg("Rule")),
    Column("ceiling", msg("Ceiling")),
    Column("years", msg("Rolling years")),
    Column("from", msg("In force from")),
    Column("until", msg("Until, not included")),
    Column("source", msg("Source"), wide=True),
)


def _rules(view: View) -> Table:
    used = {view.master.pools[name].aid_rule for name in view.pools}
    rows = [
        Row(
            {
                "rule": Text(rule.id),
                "ceiling": Amount(*rule.ceiling),
                "years": Text(str(rule.years)),
                **_dates(rule.valid_from, rule.valid_until),
                "source": Text(rule.source) if rule.source else msg("none named"),
            },
            {"rule": rule.id},
            tone=PLAIN if rule.source else WARN,
        )
        for rule in view.master.aid_rules
        if rule.id in used
    ]
    return Table("aid_rules", msg("Rules used"), _RULES, tuple(rows), empty=msg("No rule is on record."))


_PRICES = (
    Column("price", msg("Price version")),
    Column("unit", msg("Unit")),
    Column("amount", msg("Price of an hour")),
    Column("from", msg("In force from")),
    Column("until", msg("Until, not included")),
    Column("method", msg("Method"), wide=True),
    Column("approver", msg("Approved by")),
    Column("source", msg("Source"), wide=True),
)


def _prices(view: View) -> Table:
    rows = [
        Row(
            {
                "price": Text(price.id),
                "unit": term(price.unit, terms.UNITS),
                "amount": Amount(*price.amount),
                **_dates(price.valid_from, price.valid_until),
                "method": Text(price.method),
                "approver": Text(price.approver),
                "source": Text(price.source) if price.source else msg("none named"),
            },
            {"price": price.id, "unit": price.unit},
        )
        for price in view.master.prices
        if not price.pools or set(price.pools) & set(view.pools)
    ]
    return Table("aid_prices", msg("Prices used"), _PRICES, tuple(rows), empty=msg("No price is on record."))


def _dates(valid_from: int, valid_until: int | None) -> dict[str, Value]:
    dates: dict[str, Value] = {"from": Day(valid_from)} if valid_from else {}
    return dates | ({} if valid_until is None else {"until": Day(valid_until)})
