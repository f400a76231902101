"""What money buys time: contributions that count, and the part of compute that each pool's funder paid.

Invariant: services and the experimental platform buy no compute, what was superseded counts nowhere, and
parts of pools are exact and add up to 1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

from opsd.core.agreements import Contribution
from opsd.core.amounts import MICRO
from opsd.core.consortium import Consortium
from opsd.core.money import Money

COMPUTE = ("acquisition", "operation")
EUR = "EUR"


def superseded(held: Consortium) -> frozenset[str]:
    """Contributions that a later one replaces."""
    return frozenset(one.supersedes for one in held.contributions.values() if one.supersedes)


def buys_compute(held: Consortium, one: Contribution) -> bool:
    """Whether a contribution counts for compute."""
    return one.purpose in COMPUTE and one.id not in superseded(held)


def amount(one: Contribution) -> Money | None:
    """What was committed; what was paid, where no document says more."""
    return one.committed if one.committed is not None else one.paid


def of_funders(held: Consortium) -> dict[str, tuple[Money, ...]]:
    """What each funder gives for compute; one without any contribution counts with its `amount_meur`."""
    told = {one.funder for one in held.contributions.values()}
    found: dict[str, list[Money]] = defaultdict(list)
    for one in held.contributions.values():
        money = amount(one)
        if money is not None and buys_compute(held, one):
            found[one.funder].append(money)
    for funder in held.funders.values():
        if funder.amount_meur is not None and funder.id not in told:
            found[funder.id].append(Money(int(Fraction(funder.amount_meur) * MICRO * MICRO), EUR))
    return {name: tuple(money) for name, money in sorted(found.items())}


def parts(held: Consortium, pools: Sequence[str]) -> dict[str, Fraction] | None:
    """The part of the money for compute that each of these pools' funders gave.

    A sub-funder without a pool among them counts with the next funder above that has one; what a funder
    gave is split evenly where several of the pools are its own. None: there is no money for compute on
    record, or it is in several currencies, which nothing here converts.
    """
    owners = {held.pools[name].funder: name for name in pools if name in held.pools}
    sums: dict[str, int] = defaultdict(int)
    currencies: set[str] = set()
    for name, amounts in of_funders(held).items():
        owner = next((above.id for above in held.funder_chain(name) if above.id in owners), None)
        if owner is not None:
            sums[owner] += sum(money.micro for money in amounts)
            currencies.update(money.currency for money in amounts)
    whole = sum(sums.values())
    if not whole or len(currencies) > 1:
        return None
    return _of_pools(held, pools, sums, whole)


def _of_pools(
    held: Consortium, pools: Sequence[str], sums: Mapping[str, int], whole: int
) -> dict[str, Fraction]:
    funders = {name: held.pools[name].funder for name in pools if name in held.pools}
    many = Counter(funders.values())
    return {
        name: Fraction(sums.get(funder, 0), whole * many[funder]) for name, funder in sorted(funders.items())
    }
