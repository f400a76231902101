"""State aid: what each grant of time is worth, and what is left under each ceiling.

The paying pool decides the regime: its rule (`Pool.aid_rule`) and the Member State at the top of its
funder's chain. A grant is aid to the single undertaking that leads its project, booked on the day of the
legal right, at granted hours times the price of that day; what is taken back or credited later is
booked on its own day. Use plays no part in it. The JU's time has no rule and books nothing.

Rules that follow from the act (Regulation (EU) 2023/2831, read with the dated values that a site enters):
the ceiling holds per undertaking and Member State over rolling years; a grant that would go beyond it
falls outside as a whole. Invariant: no legal number stands here, and what has no price is named, never 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

from opsd.core.amounts import MICRO, unit_hours
from opsd.core.attribution import Attribution
from opsd.core.consortium import Consortium
from opsd.core.dossier import Dossier, Granted
from opsd.core.fields import in_force
from opsd.core.journal import GRANT
from opsd.core.money import Money
from opsd.core.period import zone
from opsd.core.prices import AidRule, OtherAid, Price

CENT = MICRO // 100


class Act(NamedTuple):
    """One grant of aid, or what took a part of it back."""

    award: str
    project: str
    organisation: str
    undertaking: str
    country: str  # the Member State that grants
    pool: str
    rule: str
    kind: str  # of opsd.core.journal.GRANTING
    on: int
    amount: int  # micro-unit-seconds
    unit: str
    price: Price | None  # None: no price was in force
    worth: Money | None  # gross grant equivalent, in whole cents


class Standing(NamedTuple):
    """An undertaking in a Member State under a rule, at the end of the period."""

    undertaking: str
    country: str
    rule: AidRule
    since: int  # where the rolling window begins
    granted: Money  # by acts, inside the window
    elsewhere: Money  # declared or registered, inside the window
    unpriced: int  # acts without a price: what they are worth is not known
    beyond: tuple[str, ...]  # awards that were beyond the ceiling on their day, as a whole

    @property
    def left(self) -> Money:
        """The headroom; negative when the ceiling is passed."""
        used = self.granted.micro + self.elsewhere.micro
        return Money(self.rule.ceiling.micro - used, self.rule.ceiling.currency)


def acts(dossier: Dossier) -> tuple[Act, ...]:
    """Every act of aid up to the end of the period, by day, undertaking and award."""
    facts = Attribution(dossier.master)
    found = (act for one in dossier.granted for act in _act(dossier.master, facts, one))
    return tuple(sorted(found, key=lambda act: (act.on, act.undertaking, act.country, act.award, act.kind)))


def _act(held: Consortium, facts: Attribution, one: Granted) -> Iterator[Act]:
    award = held.awards[one.award]
    pool = held.pools[award.pool]
    organisation = held.organisations[held.projects[award.project].organisation]
    on = award.granted_on if one.kind == GRANT and award.granted_on is not None else one.at
    rule = rule_at(held, pool.aid_rule, on)
    if rule is None or (rule.kinds and organisation.kind not in rule.kinds):
        return
    price = price_at(held, award.unit, award.pool, on)
    yield Act(
        award.id, award.project, organisation.id, organisation.undertaking or organisation.id,
        facts.payer(pool.funder), award.pool, pool.aid_rule, one.kind, on, one.amount, award.unit,
        price, None if price is None else worth(one.amount, price),
    )  # fmt: skip


def rule_at(held: Consortium, name: str, at: int) -> AidRule | None:
    """The version of a rule in force; None where the pool has no rule, or it has none then."""
    versions = (rule for rule in held.aid_rules if rule.id == name)
    return next((rule for rule in versions if in_force(rule.valid_from, rule.valid_until, at)), None)


def price_at(held: Consortium, unit: str, pool: str, at: int) -> Price | None:
    """The price of a unit-hour of a pool on a day; one that names the pool beats one for every pool."""
    fitting = [
        price
        for price in held.prices
        if price.unit == unit
        and (not price.pools or pool in price.pools)
        and in_force(price.valid_from, price.valid_until, at)
    ]
    return min(fitting, key=lambda price: (not price.pools, price.id), default=None)


def worth(amount: int, price: Price) -> Money:
    """Hours times price, to the nearest cent, halves away from 0: each act is booked in whole cents."""
    exact = unit_hours(abs(amount)) * price.amount.micro / CENT
    cents = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
    return Money(cents * CENT if amount >= 0 else -cents * CENT, price.amount.currency)


def standings(dossier: Dossier) -> tuple[Standing, ...]:
    """Every undertaking with aid inside its window, by undertaking, Member State and rule."""
    tz = zone(dossier.span.zone)
    groups: dict[tuple[str, str, str], list[Act]] = defaultdict(list)
    for act in acts(dossier):
        groups[act.undertaking, act.country, act.rule].append(act)
    found = (_standing(dossier, key, groups[key], tz) for key in sorted(groups))
    return tuple(one for one in found if one is not None)


def _standing(dossier: Dossier, key: tuple[str, str, str], own: Sequence[Act], tz: tzinfo) -> Standing | None:
    undertaking, country, name = key
    rule = rule_at(dossier.master, name, dossier.as_of - 1)
    if rule is None:
        return None
    other = [
        aid for aid in dossier.master.other_aids.values() if (aid.undertaking, aid.country, aid.rule) == key
    ]
    since = years_before(dossier.as_of, rule.years, tz)
    inside = [act for act in own if since <= act.on < dossier.as_of]
    declared = [aid for aid in other if since <= aid.granted_on < dossier.as_of]
    if not inside and not declared:
        return None
    return Standing(
        undertaking, country, rule, since,
        _sum((act.worth for act in inside), rule), _sum((aid.amount for aid in declared), rule),
        sum(act.worth is None or act.worth.currency != rule.ceiling.currency for act in inside),
        tuple(_beyond(dossier.master, own, other, name, tz)),
    )  # fmt: skip


def _beyond(
    held: Consortium, own: Sequence[Act], other: Sequence[OtherAid], name: str, tz: tzinfo
) -> Iterator[str]:
    """Awards whose act took the undertaking over the ceiling of its day.

    Such an award falls outside as a whole, so it uses up none of the ceiling for those that follow.
    """
    told: set[str] = set()
    counted: list[Act] = []
    for act in own:
        rule = rule_at(held, name, act.on)
        if rule is None or act.worth is None:
            continue
        since = years_before(act.on, rule.years, tz)
        before = _sum((one.worth for one in counted if one.on >= since), rule)
        declared = _sum((aid.amount for aid in other if since <= aid.granted_on <= act.on), rule)
        if act.worth.micro > 0 and before.micro + declared.micro + act.worth.micro > rule.ceiling.micro:
            if act.award not in told:
                told.add(act.award)
                yield act.award
            continue
        counted.append(act)


def _sum(amounts: Iterable[Money | None], rule: AidRule) -> Money:
    """The sum of what is known in the ceiling's currency; the rest is told apart as unpriced."""
    currency = rule.ceiling.currency
    return Money(sum(one.micro for one in amounts if one is not None and one.currency == currency), currency)


def years_before(at: int, years: int, tz: tzinfo) -> int:
    """The same civil day so many years earlier; of 29 February, the 1st of March."""
    local = datetime.fromtimestamp(at, tz)
    try:
        earlier = local.replace(year=local.year - years)
    except ValueError:
        earlier = local.replace(year=local.year - years, month=3, day=1)
    return int(earlier.timestamp())
