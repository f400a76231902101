"""Whose use a Slurm account's use is at an instant: award, project, organisation, country, funder.

Invariant: labels are constant between two edges, and never empty: what nobody is bound to, and what
the master data does not say, is `unattributed`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from opsd.core.agreements import JU
from opsd.core.awards import Award, Binding
from opsd.core.consortium import Consortium
from opsd.core.fields import in_force
from opsd.core.parties import Person

UNATTRIBUTED = "unattributed"
BEFORE_START = "before-start"
AFTER_END = "after-end"
PAID_BY_JU = "JU"
KEYS = (
    "award",
    "project",
    "organisation",
    "country",
    "pays",
    "uses",
    "pool",
    "funder",
    "mode",
    "kind",
    "sector",
)
AWARD = "award"
USES = "uses"

CACHE_LIMIT = 500_000
Account = tuple[str, str]  # cluster, account


class Needs(NamedTuple):
    """Which dimensions of a run, beside cluster and account, decide the labels asked for."""

    user: bool
    partition: bool
    qos: bool


class Attribution:
    """Answers for one state of the master data; build a new one when that changes."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium
        self._bindings: dict[Account, list[Binding]] = defaultdict(list)
        for binding in consortium.bindings:
            self._bindings[binding.cluster, binding.account].append(binding)
        for bindings in self._bindings.values():
            bindings.sort(key=_precedence)
        self._people: dict[str, list[Person]] = defaultdict(list)
        for person in consortium.people:
            self._people[person.user].append(person)
        for people in self._people.values():
            people.sort(key=lambda person: not person.cluster)  # one cluster's entry beats the general one
        self._bound = {account: _binding_instants(found) for account, found in self._bindings.items()}
        self._lives = {account: self._award_instants(found) for account, found in self._bindings.items()}
        self._moves = {user: _person_instants(found) for user, found in self._people.items()}
        self._by_award = {award.id: self._award_labels(award) for award in consortium.awards.values()}
        self._cache: dict[tuple[object, ...], tuple[str, ...]] = {}

    def needs(self, keys: Sequence[str]) -> Needs:
        """Which run dimensions matter for `keys`."""
        by_award = any(key != USES for key in keys)
        bindings = self._consortium.bindings if by_award else ()
        return Needs(USES in keys, any(b.partition for b in bindings), any(b.qos for b in bindings))

    def edges(self, keys: Sequence[str], start: int, end: int) -> list[int]:
        """Sorted instants strictly inside (start, end) where any label of anyone may change."""
        instants: set[int] = set()
        for account in self._bindings:
            instants.update(self.account_edges(keys, *account, start, end))
        if USES in keys:
            for moves in self._moves.values():
                instants.update(_inside(moves, start, end))
        return sorted(instants)

    def account_edges(
        self, keys: Sequence[str], cluster: str, account: str, start: int, end: int
    ) -> list[int]:
        """The same for one account; whom its users work for is left to `user_edges`."""
        if all(key == USES for key in keys):
            return []
        instants = set(_inside(self._bound.get((cluster, account), ()), start, end))
        if AWARD in keys:
            instants.update(_inside(self._lives.get((cluster, account), ()), start, end))
        return sorted(instants)

    def user_edges(self, keys: Sequence[str], cluster: str, user: str, start: int, end: int) -> list[int]:
        """Instants strictly inside (start, end) where a user's home may change; on any cluster if empty."""
        if USES not in keys:
            return []
        known = self._people.get(user, ())
        here = [person for person in known if not cluster or person.cluster in ("", cluster)]
        return _inside(_person_instants(here), start, end)

    def labels(
        self, keys: Sequence[str], cluster: str, account: str, user: str, partition: str, qos: str, at: int
    ) -> tuple[str, ...]:
        """One text per key, in the order of `keys`; constant between edges, and remembered so."""
        where = (cluster, account)
        slot = (
            bisect_right(self._bound.get(where, ()), at),
            bisect_right(self._lives.get(where, ()), at),
            bisect_right(self._moves.get(user, ()), at),
        )
        asked = (tuple(keys), where, user if USES in keys else "", partition, qos, slot)
        found = self._cache.get(asked)
        if found is None:
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            found = self._cache[asked] = self._label(keys, cluster, account, user, partition, qos, at)
        return found

    def of_award(self, keys: Sequence[str], award: str) -> tuple[str, ...]:
        """What an award says by itself, one text per key (not `uses`)."""
        known = self._by_award[award]
        return tuple(known[key] for key in keys)

    def award_at(
        self, cluster: str, account: str, partition: str, qos: str, at: int
    ) -> tuple[Award | None, str]:
        """The award in charge, and "" or `before-start` or `after-end` where its life does not cover `at`."""
        binding = self._binding_at(cluster, account, partition, qos, at)
        award = self._consortium.awards.get(binding.award) if binding else None
        if award is None:
            return None, ""
        if at < award.start:
            return award, BEFORE_START
        return award, AFTER_END if award.end is not None and at >= award.end else ""

    def _label(
        self, keys: Sequence[str], cluster: str, account: str, user: str, partition: str, qos: str, at: int
    ) -> tuple[str, ...]:
        award, outside = self.award_at(cluster, account, partition, qos, at)
        known = dict(self._by_award[award.id]) if award else dict.fromkeys(KEYS, UNATTRIBUTED)
        if outside:
            known[AWARD] = f"{outside}:{known[AWARD]}"
        known[USES] = self._uses(cluster, user, at)
        return tuple(known[key] for key in keys)

    def _binding_at(self, cluster: str, account: str, partition: str, qos: str, at: int) -> Binding | None:
        for binding in self._bindings.get((cluster, account), ()):
            fits = binding.partition in ("", partition) and binding.qos in ("", qos)
            if fits and in_force(binding.valid_from, binding.valid_until, at):
                return binding
        return None

    def _uses(self, cluster: str, user: str, at: int) -> str:
        for person in self._people.get(user, ()):
            if person.cluster in ("", cluster) and in_force(person.valid_from, person.valid_until, at):
                organisation = self._consortium.organisations.get(person.organisation)
                return organisation.country if organisation else UNATTRIBUTED
        return UNATTRIBUTED

    def _award_labels(self, award: Award) -> dict[str, str]:
        held = self._consortium
        project = held.projects.get(award.project)
        organisation = held.organisations.get(project.organisation) if project else None
        pool = held.pools.get(award.pool)
        sector = (project.sector if project else "") or (organisation.sector if organisation else "")
        known = {
            "award": award.id,
            "project": award.project,
            "organisation": organisation.id if organisation else "",
            "country": organisation.country if organisation else "",
            "pays": self.payer(pool.funder) if pool else "",
            "pool": award.pool,
            "funder": pool.funder if pool else "",
            "mode": award.mode,
            "kind": organisation.kind if organisation else "",
            "sector": sector,
        }
        return {key: text or UNATTRIBUTED for key, text in known.items()}

    def payer(self, funder: str) -> str:
        """The country at the top of a funder's chain, or `JU`; empty where the chain does not say."""
        chain = self._consortium.funder_chain(funder)
        if not chain:
            return ""
        return PAID_BY_JU if chain[-1].kind == JU else chain[-1].country or ""

    def _award_instants(self, bindings: Iterable[Binding]) -> list[int]:
        awards = {self._consortium.awards.get(binding.award) for binding in bindings} - {None}
        return _sorted(instant for award in awards if award for instant in (award.start, award.end))


def _precedence(binding: Binding) -> tuple[bool, bool]:
    """Partition and QOS beats partition beats QOS beats the account alone."""
    return not binding.partition, not binding.qos


def _binding_instants(bindings: Iterable[Binding]) -> list[int]:
    return _sorted(instant for b in bindings for instant in (b.valid_from, b.valid_until))


def _person_instants(people: Iterable[Person]) -> list[int]:
    return _sorted(instant for p in people for instant in (p.valid_from, p.valid_until))


def _sorted(instants: Iterable[int | None]) -> list[int]:
    return sorted({instant for instant in instants if instant is not None})


def _inside(instants: Sequence[int], start: int, end: int) -> list[int]:
    return list(instants[bisect_right(instants, start) : bisect_left(instants, end)])
