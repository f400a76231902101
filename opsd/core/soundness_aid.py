"""Whether prices, rules and declarations of State aid, and factors of energy, fit together.

Invariant: where this finds nothing, no name leads nowhere: a typing error never lets aid or energy go unseen,
every unit-hour of a pool has one price at a time, and what takes from a headroom is in its currency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

from opsd.core.consortium import Consortium, Item
from opsd.core.factors import PUE
from opsd.core.fields import shared
from opsd.core.names import nearest
from opsd.core.parties import ORGANISATION_KINDS
from opsd.core.prices import Price

Fault = tuple[str, Item, str, str]  # table, entry, field, message


def faults(held: Consortium) -> Iterator[Fault]:
    """Everything that does not fit."""
    for examine in CHECKS:
        yield from examine(held)


def _price_pools(held: Consortium) -> Iterator[Fault]:
    for price in held.prices:
        for pool in price.pools:
            if pool not in held.pools:
                remedy = nearest(pool, held.pools) or "; declare it in a [[pool]]"
                yield "price", price, "pools", f"unknown pool {pool!r}{remedy}"


def _one_price(held: Consortium) -> Iterator[Fault]:
    """Two prices of one unit for the same pools at one time: only their names would choose."""
    for one, other in combinations(held.prices, 2):
        if one.id != other.id and one.unit == other.unit and _meet(one, other):
            message = f"is a second price of {other.unit} for the same pools and time, beside {one.id!r}"
            yield "price", other, "unit", f"{message}; end one before the other, or name different pools"


def _meet(one: Price, other: Price) -> bool:
    pools = set(one.pools) & set(other.pools) or one.pools == other.pools == ()
    return bool(pools) and shared(one.valid_from, one.valid_until, other.valid_from, other.valid_until)


def _rule_kinds(held: Consortium) -> Iterator[Fault]:
    for rule in held.aid_rules:
        for kind in rule.kinds:
            if kind not in ORGANISATION_KINDS:
                remedy = nearest(kind, ORGANISATION_KINDS, f"write one of {', '.join(ORGANISATION_KINDS)}")
                yield "aid_rule", rule, "kinds", f"unknown kind {kind!r}{remedy}"


def _other_aids(held: Consortium) -> Iterator[Fault]:
    undertakings = sorted({one.undertaking or one.id for one in held.organisations.values()})
    for aid in held.other_aids.values():
        if aid.undertaking not in undertakings:
            remedy = nearest(aid.undertaking, undertakings, "write it as the organisations do")
            yield "other_aid", aid, "undertaking", f"unknown undertaking {aid.undertaking!r}{remedy}"
        for rule in held.aid_rules:
            currency = rule.ceiling.currency
            if rule.id == aid.rule and aid.amount.currency != currency:
                message = f"is in {aid.amount.currency}, but the ceiling of {rule.id!r} in {currency}"
                yield "other_aid", aid, "amount", f"{message}; convert it as the rule says"
                break


def _factor_classes(held: Consortium) -> Iterator[Fault]:
    known = {(one.cluster, one.id) for one in held.node_classes}
    for factor in held.factors:
        if factor.node_class and (factor.cluster, factor.node_class) not in known:
            there = sorted(name for cluster, name in known if cluster == factor.cluster)
            remedy = nearest(factor.node_class, there) or "; declare it in a [[node_class]]"
            message = f"unknown node_class {factor.node_class!r}{remedy}"
            yield "factor", factor, "node_class", message


def _pue(held: Consortium) -> Iterator[Fault]:
    """A site takes at least what its machine takes."""
    for factor in held.factors:
        if factor.kind == PUE and factor.value < 1:
            message = (
                "is below 1: a site takes at least what its machine takes; write its kWh per kWh of that"
            )
            yield "factor", factor, "value", message


CHECKS: tuple[Callable[[Consortium], Iterator[Fault]], ...] = (
    _price_pools,
    _one_price,
    _rule_kinds,
    _other_aids,
    _factor_classes,
    _pue,
)
