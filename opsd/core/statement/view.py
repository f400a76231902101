"""A dossier as one reader may see it: rounded once for all tables, cut to a scope, with every name at hand.

Rounding: seconds become hundredths of hours from the total down, by largest remainder, along pool, country,
organisation, project, award, what is outside its life, and cluster; then, inside each of those, by node
class and user's country. Every table of a statement sums these same shown parts, so that all tables agree
with each other, in the whole and in every scope: a scope takes lines away and changes none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from opsd.core.attribution import UNATTRIBUTED, Attribution
from opsd.core.dossier import Balance, Capacity, Correction, Dossier, Key, Line, Past, Seconds
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.statement import accounts
from opsd.core.statement.accounts import Account
from opsd.core.statement.rounding import PER_HOUR, SHOWN_SECONDS, apportioned
from opsd.core.statement.words import Country, Hours, Text, Value, msg

__all__ = ["PER_HOUR", "SHOWN_SECONDS"]  # for those who look for them here

REPORTED, KNOWN = "reported", "known"  # as a closed month was reported, or with what came to light since
SCOPES = ("country", "organisation", "project", "pays", "funder", "cluster")
RESOURCES = ("gpu", "node", "cpu")  # what is shown in hours
CAPACITY_LINES = ("allocated", "reserved_idle", "planned_down", "down", "unallocated")
# The order in which is rounded.
_TREE = ("pool", "country", "organisation", "project", "award", "outside", "cluster")
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
    persons: frozenset[int] = frozenset()  # who used GPUs there, as numbers
    month: str = ""  # of `View.year` and `View.corrections` alone


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


class Counted(NamedTuple):
    """Capacity of a class of nodes as shown; total = the sum of its five lines, here too."""

    capacity: Capacity
    total: Hours
    lines: Mapping[str, Hours]  # by CAPACITY_LINES

    @property
    def available(self) -> Hours:
        """What was neither planned down nor down."""
        lost = [self.lines[name] for name in ("planned_down", "down")]
        return Hours(
            self.total.hundredths - sum(one.hundredths for one in lost),
            self.total.exact - sum(one.exact for one in lost),
        )


class Corrected(NamedTuple):
    """A correction of a closed month, as much of it as the reader may see."""

    correction: Correction
    parts: tuple[Part, ...]


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

    def __init__(self, dossier: Dossier, scope: str = "", standing: str = KNOWN) -> None:
        self.dossier = dossier
        self.scope = scope
        self.standing = standing
        self.master = dossier.master
        self._scope = parse_scope(scope)
        self._facts = Attribution(dossier.master)
        self._places: dict[str, Place] = {}
        if scope:
            self._require_known()

    @property
    def whole(self) -> bool:
        """Whether the reader sees everything."""
        return not self.scope

    @property
    def scope_key(self) -> str:
        """By what is cut: one of SCOPES, or empty."""
        return self._scope[0]

    @property
    def scope_value(self) -> str:
        """Whose part it is."""
        return self._scope[1]

    # -- what is in it -----------------------------------------------------------------------------

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The period's use."""
        return self._within(self.everybody)

    @cached_property
    def everybody(self) -> tuple[Part, ...]:
        """The same without the scope; nobody's names, only sums of it may be shown."""
        return tuple(self._rounded([(line.key, line.seconds) for line in self.dossier.lines]))

    @cached_property
    def previous(self) -> tuple[Part, ...]:
        """That of the period before, known by cluster and award alone."""
        return self._within(self._rounded(map(_of_past, self.dossier.previous)))

    @cached_property
    def year(self) -> tuple[Part, ...]:
        """That since the begin of the year, by month; by cluster and award alone."""
        months: dict[str, list[Past]] = defaultdict(list)
        for past in self.dossier.year:
            months[past.month].append(past)
        found: list[Part] = []
        for month in sorted(months):
            found += self._rounded(map(_of_past, months[month]), month)
        return self._within(found)

    @cached_property
    def to_date(self) -> tuple[Part, ...]:
        """The same without months: one part for each place."""
        places: dict[Place, list[Part]] = defaultdict(list)
        for part in self.year:
            places[part.place].append(part)
        return tuple(Part(place, *_added(found)) for place, found in places.items())

    @cached_property
    def corrections(self) -> tuple[Corrected, ...]:
        """What is booked with this period for earlier months: now minus then."""
        found = (
            Corrected(one, self._within(self._rounded(one.lines, one.period)))
            for one in self.dossier.corrections
        )
        return tuple(one for one in found if self.whole or one.parts or self._charged(one.correction))

    @cached_property
    def balances(self) -> tuple[Balance, ...]:
        """Of the awards in scope (of every one, where the scope is a cluster: awards have none)."""
        return tuple(one for one in self.dossier.balances if self.holds_award(one.award))

    @cached_property
    def accounts(self) -> tuple[Account, ...]:
        """The same as shown."""
        return tuple(accounts.account(self.master.awards[one.award], one) for one in self.balances)

    @cached_property
    def capacity(self) -> tuple[Counted, ...]:
        """Where the capacity went, of every cluster that the scope does not leave out."""
        found: list[Counted] = []
        for resource in sorted({one.resource for one in self.dossier.capacity}):
            found += _counted([one for one in self.dossier.capacity if one.resource == resource])
        return tuple(
            one for one in found if self.scope_key != "cluster" or one.capacity.cluster == self.scope_value
        )

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
        return self._names[level].get(key, "") or key

    def pool_name(self, key: str) -> Value:
        """A pool's name; with who pays, where another payer's pool has the same name."""
        name = Text(self.name("pool", key))
        same = [one for one in self.master.pools if self.name("pool", one) == name.text]
        if len(same) < 2 or key not in self.master.pools:
            return name
        return msg("{name} ({payer})", name=name, payer=Country(self.payer(self.master.pools[key].funder)))

    def cluster_name(self, key: str) -> str:
        """What people call a cluster."""
        return self.name("cluster", key)

    def payer(self, funder: str) -> str:
        """The country at the top of a funder's chain, or `JU`."""
        return self._facts.payer(funder) or UNATTRIBUTED

    @cached_property
    def _names(self) -> Mapping[str, Mapping[str, str]]:
        held = self.master
        return {
            "pool": {key: found.name for key, found in held.pools.items()},
            "organisation": {key: found.name for key, found in held.organisations.items()},
            "project": {key: found.title for key, found in held.projects.items()},
            "funder": {key: found.name for key, found in held.funders.items()},
            "cluster": {key: found.name for key, found in held.clusters.items()},
        }

    # -- sums ----------------------------------------------------------------------------------------

    @staticmethod
    def total(parts: Iterable[Part]) -> Sum:
        """Parts added up."""
        return _added(list(parts))

    @staticmethod
    def by(key: Callable[[Part], tuple[str, ...]], parts: Iterable[Part]) -> dict[tuple[str, ...], Sum]:
        """Sums by key, sorted; `unattributed` comes last at every place of the key."""
        groups: dict[tuple[str, ...], list[Part]] = defaultdict(list)
        for part in parts:
            groups[key(part)].append(part)
        return {found: _added(groups[found]) for found in sorted(groups, key=in_order)}

    # -- rounding ------------------------------------------------------------------------------------

    def _rounded(self, rows: Iterable[Line | tuple[Key, Seconds]], month: str = "") -> list[Part]:
        cells: dict[Place, list[Seconds]] = defaultdict(list)
        persons: dict[Place, set[int]] = defaultdict(set)
        for key, seconds in rows:
            place = self._located(key)
            cells[place].append(seconds)
            if seconds.gpu:
                persons[place].add(key.person)
        places = sorted(cells, key=in_order)
        sums = [_seconds(cells[place]) for place in places]
        paths = [tuple(getattr(place, name) for name in _TREE) for place in places]
        shown = apportioned(paths, [found[:3] for found in sums])
        return [
            Part(place, seconds, Hundredths(*hundredths), frozenset(persons[place]), month)
            for place, seconds, hundredths in zip(places, sums, shown, strict=True)
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

    def _charged(self, correction: Correction) -> bool:
        return any(self.holds_award(award) for award in correction.charged)

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


def in_order(key: Sequence[str]) -> tuple[tuple[bool, str], ...]:
    """The order of rows: by code point, never by a database's collation; what is nobody's last."""
    return tuple((text == UNATTRIBUTED, text) for text in key)


def _of_past(past: Past) -> tuple[Key, Seconds]:
    return Key(past.cluster, "", past.award, "", past.outside, UNATTRIBUTED, 0), past.seconds


def _seconds(found: Sequence[Seconds]) -> Seconds:
    return found[0] if len(found) == 1 else Seconds(*map(sum, zip(*found, strict=True)))


def _added(parts: Sequence[Part]) -> Sum:
    if not parts:
        return Sum()
    shown = Hundredths(*map(sum, zip(*(part.shown for part in parts), strict=True)))
    return Sum(_seconds([part.seconds for part in parts]), shown)


def _counted(found: Sequence[Capacity]) -> list[Counted]:
    """Totals down, by cluster and class; then each total across its lines."""
    totals = apportioned([(one.cluster, one.node_class) for one in found], [(one.total,) for one in found])
    counted = []
    for one, (total,) in zip(found, totals, strict=True):
        seconds = [getattr(one, name) for name in CAPACITY_LINES]
        lines = accounts.parted_seconds(seconds, total)
        counted.append(
            Counted(one, Hours(total, Fraction(one.total)), dict(zip(CAPACITY_LINES, lines, strict=True)))
        )
    return counted
