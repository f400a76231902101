"""A dossier as one reader may see it: rounded once for all tables, cut to a scope, with every name at hand.

Rounding: seconds become hundredths of hours from the total down, by largest remainder, along pool, country,
organisation, project, award and what is outside its life; then, inside each of those, by cluster, node
class and user's country. Every table of a statement sums these same shown parts, so that all tables agree
with each other, in the whole and in every scope: a scope takes lines away and changes none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from opsd.core import figures
from opsd.core.attribution import UNATTRIBUTED, Attribution
from opsd.core.dossier import Balance, Dossier, Key, Past, Seconds
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.period import HOUR
from opsd.core.statement.words import Hours

SCOPES = ("country", "organisation", "project", "pays", "funder", "cluster")
RESOURCES = ("gpu", "node", "cpu")  # what is shown in hours
PER_HOUR = 100  # hours are shown in hundredths
SHOWN_SECONDS = HOUR // PER_HOUR
_TREE = ("pool", "country", "organisation", "project", "award", "outside")  # the order in which is rounded
_AWARD_KEYS = ("pays", "funder", "pool", "country", "organisation", "project", "mode", "kind", "sector")


class Hundredths(NamedTuple):
    """Hundredths of hours, as shown."""

    gpu: int = 0
    node: int = 0
    cpu: int = 0

    def plus(self, other: Hundredths) -> Hundredths:
        """The sum, resource by resource."""
        return Hundredths(*(a + b for a, b in zip(self, other, strict=True)))


class Place(NamedTuple):
    """Where use belongs, every level named; what nobody knows is `unattributed`."""

    pays: str
    funder: str
    pool: str
    country: str
    organisation: str
    project: str
    award: str
    outside: str  # empty, before-start or after-end
    mode: str
    kind: str
    sector: str
    purpose: str
    cluster: str
    node_class: str
    uses: str

    @property
    def attributed(self) -> bool:
        """Whether it is anybody's."""
        return self.award != UNATTRIBUTED


class Part(NamedTuple):
    """The smallest piece of use that any table shows."""

    place: Place
    seconds: Seconds
    shown: Hundredths
    persons: frozenset[int] = frozenset()  # who used it, as numbers
    month: str = ""  # of `View.year` alone


class Sum(NamedTuple):
    """Parts added up."""

    seconds: Seconds = Seconds()
    shown: Hundredths = Hundredths()

    def hours(self, resource: str) -> Hours:
        """One of RESOURCES as a value for a cell."""
        at = RESOURCES.index(resource)
        return Hours(self.shown[at], Fraction(self.seconds[at]))

    def plus(self, other: Sum) -> Sum:
        """The sum of two."""
        return Sum(self.seconds.plus(other.seconds), self.shown.plus(other.shown))


def parse_scope(text: str) -> tuple[str, str]:
    """`country:ES`, `organisation:bsc`, `pays:JU`, …: its key and value; empty is no scope."""
    if not text:
        return "", ""
    key, colon, value = text.partition(":")
    forms = " ".join(f"{name}:X" for name in SCOPES)
    if not colon or not value:
        raise WrongUsage(f"scope {text!r}: write one of {forms}")
    if key not in SCOPES:
        raise WrongUsage(f"scope {text!r}: no such key" + nearest(key, SCOPES, f"write one of {forms}"))
    return key, value


class View:
    """What sections are made from. Everything here is already rounded and cut to the scope."""

    def __init__(self, dossier: Dossier, scope: str = "") -> None:
        self.dossier = dossier
        self.scope = scope
        self.master = dossier.master
        self._scope = parse_scope(scope)
        self._facts = Attribution(dossier.master)
        self._places: dict[str, Place] = {}
        if scope:
            self._require_known()

    # -- what is in it -----------------------------------------------------------------------------

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The period's use."""
        return self._within(self._rounded([(line.key, line.seconds, "") for line in self.dossier.lines]))

    @cached_property
    def previous(self) -> tuple[Part, ...]:
        """That of the period before, known by cluster and award alone."""
        return self._within(self._rounded(map(_of_past, self.dossier.previous)))

    @cached_property
    def year(self) -> tuple[Part, ...]:
        """That since the begin of the year, by month; by cluster and award alone."""
        found: list[Part] = []
        for month in sorted({past.month for past in self.dossier.year}):
            found += self._rounded(_of_past(past) for past in self.dossier.year if past.month == month)
        return self._within(found)

    @cached_property
    def balances(self) -> tuple[Balance, ...]:
        """Of the awards in scope (of every one, where the scope is a cluster: awards have none)."""
        return tuple(one for one in self.dossier.balances if self.holds_award(one.award))

    @cached_property
    def pools(self) -> tuple[str, ...]:
        """Whose pools a reader sees: those that the scope's use or awards are of; without a scope all."""
        key, _ = self._scope
        if key in ("", "cluster"):
            return tuple(self.master.pools)
        seen = {part.place.pool for part in self.parts} | {
            self.master.awards[one.award].pool for one in self.balances
        }
        if key in ("pays", "funder"):
            seen |= {name for name in self.master.pools if self._pool_held(name)}
        return tuple(name for name in self.master.pools if name in seen)

    def holds(self, place: Place) -> bool:
        """Whether what is there belongs to the scope."""
        key, value = self._scope
        return not key or getattr(place, key) == value

    def holds_award(self, award: str) -> bool:
        """Whether an award belongs to the scope."""
        return self._scope[0] == "cluster" or self.holds(self.place_of(award))

    # -- names ---------------------------------------------------------------------------------------

    def place_of(self, award: str) -> Place:
        """What an award says by itself; an empty one is nobody's."""
        if award not in self._places:
            self._places[award] = self._place_of(award)
        return self._places[award]

    def name(self, level: str, key: str) -> str:
        """The name of a pool, organisation, project, funder or cluster, or its id."""
        held = self.master
        known: Mapping[str, Mapping[str, str]] = {
            "pool": {key: found.name for key, found in held.pools.items()},
            "organisation": {key: found.name for key, found in held.organisations.items()},
            "project": {key: found.title for key, found in held.projects.items()},
            "funder": {key: found.name for key, found in held.funders.items()},
            "cluster": {key: found.name for key, found in held.clusters.items()},
        }
        return known[level].get(key, "") or key

    # -- sums ----------------------------------------------------------------------------------------

    @staticmethod
    def total(parts: Iterable[Part]) -> Sum:
        """Parts added up."""
        whole = Sum()
        for part in parts:
            whole = whole.plus(Sum(part.seconds, part.shown))
        return whole

    @staticmethod
    def by(key: Callable[[Part], tuple[str, ...]], parts: Iterable[Part]) -> dict[tuple[str, ...], Sum]:
        """Sums by key, sorted; `unattributed` comes last at every place of the key."""
        sums: dict[tuple[str, ...], Sum] = defaultdict(Sum)
        for part in parts:
            found = key(part)
            sums[found] = sums[found].plus(Sum(part.seconds, part.shown))
        return {found: sums[found] for found in sorted(sums, key=in_order)}

    # -- rounding ------------------------------------------------------------------------------------

    def _rounded(self, rows: Iterable[tuple[Key, Seconds, str]]) -> list[Part]:
        cells: dict[Place, Seconds] = defaultdict(Seconds)
        persons: dict[Place, set[int]] = defaultdict(set)
        month = ""
        for key, seconds, month in rows:  # noqa: B007 (one and the same for all of them)
            place = self._located(key)
            cells[place] = cells[place].plus(seconds)
            persons[place].add(key.person)
        places = sorted(cells, key=in_order)
        columns = [_apportioned(places, [cells[place][at] for place in places]) for at in range(3)]
        return [
            Part(place, cells[place], Hundredths(*shown), frozenset(persons[place]), month)
            for place, *shown in zip(places, *columns, strict=True)
        ]

    def _located(self, key: Key) -> Place:
        return self.place_of(key.award)._replace(
            outside=key.outside, cluster=key.cluster, node_class=key.node_class, uses=key.uses
        )

    def _place_of(self, award: str) -> Place:
        known = self.master.awards.get(award)
        if known is None:
            unknown = dict.fromkeys(Place._fields, UNATTRIBUTED)
            return Place(**{**unknown, "outside": "", "cluster": "", "node_class": "", "uses": UNATTRIBUTED})
        labels = dict(zip(_AWARD_KEYS, self._facts.of_award(_AWARD_KEYS, award), strict=True))
        project = self.master.projects.get(known.project)
        purpose = project.purpose if project and project.purpose else UNATTRIBUTED
        return Place(
            **labels, award=award, outside="", purpose=purpose, cluster="", node_class="", uses=UNATTRIBUTED
        )

    def _within(self, parts: Iterable[Part]) -> tuple[Part, ...]:
        return tuple(part for part in parts if self.holds(part.place))

    def _pool_held(self, pool: str) -> bool:
        key, value = self._scope
        funder = self.master.pools[pool].funder
        return value == (funder if key == "funder" else self._facts.payer(funder))

    def _require_known(self) -> None:
        key, value = self._scope
        held = self.master
        known = {
            "country": {found.country for found in held.organisations.values()},
            "organisation": set(held.organisations),
            "project": set(held.projects),
            "pays": {self._facts.payer(funder) for funder in held.funders} - {""},
            "funder": set(held.funders),
            "cluster": set(held.clusters),
        }[key]
        if value not in known:
            near = nearest(value, known) or "; opsd consortium export lists them"
            raise WrongUsage(f"scope {self.scope!r}: nothing of that name in the master data{near}")


def in_order(key: tuple[str, ...]) -> tuple[tuple[bool, str], ...]:
    """The order of rows: by code point, never by a database's collation; what is nobody's last."""
    return tuple((text == UNATTRIBUTED, text) for text in key)


def _of_past(past: Past) -> tuple[Key, Seconds, str]:
    return Key(past.cluster, "", past.award, "", past.outside, UNATTRIBUTED, 0), past.seconds, past.month


def _apportioned(places: Sequence[Place], seconds: Sequence[int]) -> list[int]:
    """Seconds as hundredths of hours: the total is rounded, then each level adds up to the one above."""
    shown = [0] * len(places)
    _share(places, seconds, range(len(places)), 0, figures.nearest(sum(seconds), SHOWN_SECONDS), shown)
    return shown


def _share(
    places: Sequence[Place],
    seconds: Sequence[int],
    members: Sequence[int],
    depth: int,
    whole: int,
    shown: list[int],
) -> None:
    if depth > len(_TREE):  # one member each: cluster, node class and user's country
        (at,) = members
        shown[at] = whole
        return
    groups: dict[object, list[int]] = {}
    for at in members:
        head = getattr(places[at], _TREE[depth]) if depth < len(_TREE) else at
        groups.setdefault(head, []).append(at)
    sums = [sum(seconds[at] for at in group) for group in groups.values()]
    parts = figures.largest_remainder(sums, SHOWN_SECONDS, whole)
    for group, part in zip(groups.values(), parts, strict=True):
        _share(places, seconds, group, depth + 1, part, shown)
