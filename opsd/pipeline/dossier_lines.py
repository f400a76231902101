"""Use of a period under the keys of a dossier: whose it is, on which nodes, by whom.

One pass over facts and runs gives seconds and exact charges together. Invariant: the lines of a window
are what `opsd.pipeline.usage` says of it, to the second, for every key that both know; the charges are those
of `opsd.pipeline.balance`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from fractions import Fraction
from typing import NamedTuple

from opsd.core import plan
from opsd.core.attribution import UNATTRIBUTED, USES
from opsd.core.dossier import Key, Line, Seconds
from opsd.core.period import Window
from opsd.core.tres import UNCLASSIFIED
from opsd.core.usage import amounts
from opsd.pipeline.balance import Label, Ledger
from opsd.pipeline.seconds import collect
from opsd.pipeline.usage import by_class
from opsd.store import read
from opsd.store.read import Names, Subset

_USER = read.DIMENSIONS.index("user")
EVER = 2**62  # seconds: beyond every instant


class Whose(NamedTuple):
    """Labels of a second of use."""

    cluster: str
    account: str  # of what is nobody's
    uses: str
    user: str  # its number in the database
    award: str
    outside: str
    price: Label | None  # None: nobody's

    @classmethod
    def of(cls, labels: tuple[str, ...]) -> Whose:
        """From the labels of a cell."""
        cluster, account, uses, user, *rest = labels
        price = Label(*rest) if rest else None
        return cls(
            cluster,
            account,
            uses,
            user,
            price.award if price else "",
            price.outside if price else "",
            price,
        )

    def key(self, node_class: str, person: int) -> Key:
        """The key of a dossier's line."""
        return Key(self.cluster, node_class, self.award, self.account, self.outside, self.uses, person)


class ByAward:
    """Labels by cluster, award and what is outside its life, looked up once between two edges."""

    def __init__(self, ledger: Ledger, *, by_shape: bool = False) -> None:
        self.by_shape = by_shape
        self._prices = ledger.labeller
        self._accounts = ledger.names.accounts
        self.wanted: Sequence[str] = self._prices.wanted

    def labels(self, key: read.Key, at: int) -> tuple[str, ...]:
        """(cluster, award, outside); nobody's award is empty."""
        price = self._prices.labels(key, at)
        return (self._accounts[key[0]][0], *(price[:2] or ("", "")))

    def account_edges(self, account: int, start: int, end: int) -> Sequence[int]:
        """Where an account changes hands, and where prices change."""
        return self._prices.account_edges(account, start, end)

    def user_edges(self, user: int, start: int, end: int) -> Sequence[int]:
        """Users decide nothing here."""
        return self._prices.user_edges(user, start, end)

    def changing(self, start: int, end: int) -> Subset:
        """The accounts that change hands inside (start, end)."""
        return self._prices.changing(start, end)


class ByWhom:
    """Labels by award and price, as a ledger has them, and by the user with the country of their home."""

    by_shape = True

    def __init__(self, ledger: Ledger) -> None:
        self._prices = ledger.labeller
        self._facts = ledger.labeller.attribution
        self._names = ledger.names
        wanted = {*self._prices.wanted, "user"}
        self.wanted: Sequence[str] = tuple(name for name in read.DIMENSIONS if name in wanted)
        numbers = {text: number for number, text in self._names.words.items()}
        employed = {person.user for person in ledger.consortium.people}
        self._people = {numbers[user] for user in employed if user in numbers}
        staying = (user for user in self._people if not self.user_edges(user, -EVER, EVER))
        self._staying = frozenset(staying)
        self._homes: dict[tuple[str, int], str] = {}

    def labels(self, key: read.Key, at: int) -> tuple[str, ...]:
        """See `Whose`."""
        cluster, account = self._names.accounts[key[0]]
        price = self._prices.labels(key, at)
        uses = self._uses(cluster, key[_USER], at)
        return (cluster, "" if price else account, uses, str(key[_USER]), *price)

    def _uses(self, cluster: str, user: int, at: int) -> str:
        """The country of a user's home; asked for once of those who keep it."""
        if user not in self._people:
            return UNATTRIBUTED
        known = self._homes.get((cluster, user))
        if known is None:
            (known,) = self._facts.labels((USES,), cluster, "", self._names.words[user], "", "", at)
            if user in self._staying:
                self._homes[cluster, user] = known
        return known

    def account_edges(self, account: int, start: int, end: int) -> Sequence[int]:
        """Where an account changes hands, and where prices change."""
        return self._prices.account_edges(account, start, end)

    def user_edges(self, user: int, start: int, end: int) -> Sequence[int]:
        """Where a user changes employers."""
        if user not in self._people:
            return ()
        return self._facts.user_edges((USES,), "", self._names.words[user], start, end)

    def changing(self, start: int, end: int) -> Subset:
        """The accounts and users that do so inside (start, end)."""
        users = (user for user in self._people if self.user_edges(user, start, end))
        return self._prices.changing(start, end)._replace(users=frozenset(users))


class Found(NamedTuple):
    """Use of a window."""

    lines: tuple[Line, ...]
    charged: Mapping[str, Fraction]  # exact unit-seconds inside the awards' lives
    unclassified: int  # GPU-seconds of no known class


def run(ledger: Ledger, window: Window) -> Found:
    """The lines of a window, sorted, without zeroes; users are numbered in the order of their names."""
    cuts = plan.make(window, (), UTC)
    names = ledger.names
    cells = collect(ledger.connection, cuts, ByWhom(ledger), names.counts, counted=False)
    told = [(Whose.of(cell.labels), cell, run, off) for cell, (_, run, off) in cells.items() if run or off]
    persons = numbered((whose.user for whose, *_ in told), names)
    sums: dict[Key, list[int]] = defaultdict(lambda: [0] * len(Seconds._fields))
    prices: dict[tuple[Label, int], list[int]] = defaultdict(lambda: [0, 0])
    for whose, cell, ran, off in told:
        key = whose.key(names.shapes[cell.shape].node_class, persons[whose.user])
        _add(sums[key], seconds_of(names, cell.shape, ran, off))
        if whose.price and not whose.outside:
            _add(prices[whose.price, cell.shape], (ran, off))
    charged: dict[str, Fraction] = defaultdict(Fraction)
    for (price, shape), (ran, off) in prices.items():
        charged[price.award] += ledger.charge(price, shape, ran, off)
    lines = tuple(Line(key, Seconds(*sums[key])) for key in sorted(sums) if any(sums[key]))
    unclassified = sum(_unclassified(names, cell.shape, ran, off) for _, cell, ran, off in told)
    return Found(lines, charged, unclassified)


def numbered(users: Iterable[str], names: Names) -> dict[str, int]:
    """A number for each user, the same whatever database they come from; no user is 0."""
    found = {user: names.words[int(user)] for user in users}
    order = sorted({name for name in found.values() if name})
    places = {name: place for place, name in enumerate(order, 1)}
    return {user: places.get(name, 0) for user, name in found.items()}


def seconds_of(names: Names, shape: int, run_seconds: int, suspended: int) -> Seconds:
    """What seconds of a shape amount to."""
    cpu, node, gpu, mem_mb, billing = amounts(names.counts[shape], run_seconds, suspended)
    return Seconds(gpu, node, cpu, mem_mb, billing)


def _add(sums: list[int], more: Sequence[int]) -> None:
    for place, value in enumerate(more):
        sums[place] += value


def _unclassified(names: Names, shape: int, ran: int, off: int) -> int:
    parts = by_class(names, shape, 0, ran, off)
    return sum(part.gpu_seconds for name, part in parts if name == UNCLASSIFIED)
