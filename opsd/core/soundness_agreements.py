"""Whether contributions, agreements, shares and caps fit together.

Invariant: where this finds nothing, no second of a node's capacity is divided twice, and no pool's share or
cap's base is open to two readings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from opsd.core import contributions
from opsd.core.agreements import FIXED_HOURS, FRACTIONS, PROPORTIONAL, Agreement, Share
from opsd.core.amounts import exact_text
from opsd.core.consortium import Consortium, Item
from opsd.core.fields import in_force
from opsd.core.names import nearest
from opsd.core.parties import ORGANISATION_KINDS

Fault = tuple[str, Item, str, str]  # table, entry, field, message


def faults(held: Consortium) -> Iterator[Fault]:
    """Everything that does not fit."""
    for examine in CHECKS:
        yield from examine(held)


def _contributions(held: Consortium) -> Iterator[Fault]:
    replaced: dict[str, str] = {}
    for one in held.contributions.values():
        if not one.supersedes:
            continue
        first = replaced.setdefault(one.supersedes, one.id)
        if first != one.id:
            message = f"supersedes {one.supersedes!r}, as {first!r} does; name the one before it"
            yield "contribution", one, "supersedes", message
        chain = [one.id]
        while (before := held.contributions.get(chain[-1])) and before.supersedes not in ("", *chain):
            chain.append(before.supersedes)
        if before and before.supersedes == one.id == min(chain):
            shown = " → ".join([*chain, one.id])
            yield "contribution", one, "supersedes", f"supersedes itself: {shown}; take one out"


def _node_classes(held: Consortium) -> Iterator[Fault]:
    known = {f"{one.cluster}/{one.id}" for one in held.node_classes}
    for agreement in held.agreements:
        if not agreement.node_classes:
            yield "agreement", agreement, "node_classes", "divides no nodes; write CLUSTER/CLASS"
        for place in agreement.node_classes:
            if place not in known:
                remedy = nearest(place, known) or "; declare it in a [[node_class]]"
                yield "agreement", agreement, "node_classes", f"unknown node_class {place!r}{remedy}"


def _parts(held: Consortium) -> Iterator[Fault]:
    """Parts of one class of nodes may not exceed 1 at any time."""
    users: dict[tuple[str, str], list[Agreement]] = defaultdict(list)
    for agreement in held.agreements:
        for place in agreement.node_classes:
            users[place, agreement.resource].append(agreement)
    for (place, resource), members in sorted(users.items()):
        for at in sorted({one.valid_from for one in members}):
            now = [one for one in members if in_force(one.valid_from, one.valid_until, at)]
            total = sum((one.part for one in now), start=Fraction(0))
            if total > 1:
                names = ", ".join(f"{one.id} {exact_text(one.part)}" for one in now)
                message = f"{resource} of {place} is divided more than once: {names}; parts may add up to 1"
                yield "agreement", max(now, key=lambda one: one.valid_from), "part", message
                break


def _shares(held: Consortium) -> Iterator[Fault]:
    by_agreement: dict[str, list[Share]] = defaultdict(list)
    for share in held.shares:
        by_agreement[share.agreement].append(share)
    for agreement in held.agreements:
        shares = by_agreement[agreement.id]
        if not shares:
            yield "agreement", agreement, "key", "nobody has a share; add a [[share]] for each pool"
        for share in shares:
            if fault := _share_fault(agreement.key, share):
                yield "share", share, *fault
        total = sum((share.fraction or Fraction(0) for share in shares), start=Fraction(0))
        if agreement.key == FRACTIONS and total > 1:
            message = f"its shares add up to {exact_text(total)}; they may add up to 1"
            yield "agreement", agreement, "key", message


def _share_fault(key: str, share: Share) -> tuple[str, str] | None:
    """(field, message) where a share is not told in the terms of its agreement's key."""
    wanted = {FRACTIONS: "fraction", FIXED_HOURS: "hours"}.get(key)
    told = {field for field in ("fraction", "hours") if getattr(share, field) is not None}
    for field in sorted(told - {wanted}):
        return field, f"has {field}, but the agreement's key is {key}; take it out, or change the key"
    if wanted is not None and wanted not in told:
        return wanted, f"has no {wanted}, but the agreement's key is {key}; write it, or change the key"
    return None


def _proportional(held: Consortium) -> Iterator[Fault]:
    for agreement in held.agreements:
        shares = [share for share in held.shares if share.agreement == agreement.id]
        if agreement.key != PROPORTIONAL or not shares:
            continue
        if contributions.parts(held, [share.pool for share in shares]) is None:
            message = (
                "is shared by contributions, but its pools' funders have none for acquisition or operation, "
                "or in several currencies; add them, or agree on fractions"
            )
            yield "agreement", agreement, "key", message
        seen: dict[str, str] = {}
        for share in shares:
            funder = held.pools[share.pool].funder if share.pool in held.pools else share.pool
            first = seen.setdefault(funder, share.pool)
            if first != share.pool:
                message = f"has the same funder as {first}, whose money is not told apart; agree on fractions"
                yield "share", share, "pool", message


def _caps(held: Consortium) -> Iterator[Fault]:
    within: dict[str, set[str]] = defaultdict(set)  # of any version: a limit must not hang on itself ever
    for cap in held.caps:
        within[cap.id].add(cap.within)
    for cap in held.caps:
        for pool in cap.pools:
            if pool not in held.pools:
                remedy = nearest(pool, held.pools) or "; declare it in a [[pool]]"
                yield "cap", cap, "pools", f"unknown pool {pool!r}{remedy}"
        for kind in cap.kinds:
            if kind not in ORGANISATION_KINDS:
                remedy = nearest(kind, ORGANISATION_KINDS, f"write one of {', '.join(ORGANISATION_KINDS)}")
                yield "cap", cap, "kinds", f"unknown kind {kind!r}{remedy}"
        chain = _back(within, cap.id, cap.within, (cap.id,))
        if chain and cap.id == min(chain):
            shown = " → ".join([*chain, cap.id])
            yield "cap", cap, "within", f"is within itself: {shown}; take one out"


def _back(within: Mapping[str, set[str]], first: str, at: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The way from a cap back to itself over those that it is within; empty where there is none."""
    if at == first:
        return path
    if at in path or at not in within:
        return ()
    ways = (_back(within, first, outer, (*path, at)) for outer in sorted(within[at]))
    return next((way for way in ways if way), ())


CHECKS: tuple[Callable[[Consortium], Iterator[Fault]], ...] = (
    _contributions,
    _node_classes,
    _parts,
    _shares,
    _proportional,
    _caps,
)
