"""Balances: what was granted, what is charged for it, what is left.

Charges are exact rationals until an award's line is made; there they become whole
micro-unit-seconds once, and everything shown is a sum of those, so every table foots.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from fractions import Fraction
from typing import NamedTuple

from opsd.core import plan
from opsd.core.agreements import Policy
from opsd.core.amounts import MICRO, exact_text
from opsd.core.attribution import Attribution
from opsd.core.awards import THRESHOLDS, Award
from opsd.core.consortium import Consortium
from opsd.core.errors import WrongUsage
from opsd.core.journal import granted
from opsd.core.names import nearest
from opsd.core.period import Window
from opsd.core.rules import Rates, Unpriced, charge
from opsd.core.usage import cut
from opsd.pipeline.seconds import Sums, collect, collect_runs
from opsd.store import parties, read
from opsd.store.engine import Connection
from opsd.store.read import Key, Names, Subset

KEYS = ("award", "project", "organisation", "country", "pool", "funder")
COLUMNS = ("unit", "granted", "settled", "accrued", "committed", "left", "free", "after_end", "state")
UNKNOWN = "unknown"
_EVER = 2**62  # seconds: beyond every instant
_PARTITION_AND_QOS = (read.DIMENSIONS.index("partition"), read.DIMENSIONS.index("qos"))
OVER = "over"
OK = "ok"


@dataclass(frozen=True, slots=True)
class Line:
    """One balance, in whole micro-unit-seconds. `committed` None: some limit is not known."""

    key: str
    unit: str
    granted: int = 0
    settled: int = 0
    accrued: int = 0
    committed: int | None = 0
    after_end: int = 0
    thresholds: tuple[int, ...] = THRESHOLDS
    unpriced: bool = False

    @property
    def used(self) -> int:
        """What is charged, ended and open runs together."""
        return self.settled + self.accrued

    @property
    def left(self) -> int:
        """Granted minus charged; negative when over quota."""
        return self.granted - self.used

    @property
    def free(self) -> int | None:
        """What is left once the open runs have used up their limits."""
        return None if self.committed is None else self.left - self.committed

    @property
    def over(self) -> bool:
        """Whether more is charged than was granted."""
        return self.left < 0

    @property
    def state(self) -> str:
        """`over`, `threshold-N` (the highest reached) or `ok`; and `unpriced` where a charge is missing."""
        state = OVER if self.over else f"threshold-{self.reached}" if self.reached else OK
        return f"{state},unpriced" if self.unpriced else state

    @property
    def reached(self) -> int:
        """The highest threshold that its use has reached, in percent of the grant; 0: none."""
        passed = [t for t in self.thresholds if self.granted and self.used * 100 >= t * self.granted]
        return passed[-1] if passed else 0

    def values(self) -> tuple[str, ...]:
        """The columns as exact decimals of unit-seconds."""
        unit = self.unit.replace("-hours", "-seconds")
        shown = (
            self.granted,
            self.settled,
            self.accrued,
            self.committed,
            self.left,
            self.free,
            self.after_end,
        )
        return (unit, *(UNKNOWN if value is None else _decimal(value) for value in shown), self.state)


def _decimal(micro: int) -> str:
    return exact_text(Fraction(micro, MICRO))


@dataclass(frozen=True, slots=True)
class Balances:
    """Lines sorted by key and unit, and what a reader must know about them."""

    by: str
    as_of: int
    lines: tuple[Line, ...]
    unknown_limits: int  # open runs whose limit nobody knows
    unpriced: tuple[str, ...]  # why some charges are missing
    unattributed: bool


def run(connection: Connection, *, as_of: int, by: str = "award") -> Balances:
    """Balances at an instant.

    Args:
        connection: from `Store.read()`.
        as_of: nothing after it is charged; a run that ends later is open.
        by: one of KEYS; awards of different units stay on lines of their own.
    """
    by = check_key(by)
    ledger = Ledger(connection, parties.load(connection), as_of)
    return ledger.balances(ledger.lines(), by)


def check_key(by: str) -> str:
    """The key if it exists."""
    if by not in KEYS:
        raise WrongUsage(f"--by {by!r}: no such key" + nearest(by, KEYS, f"keys: {' '.join(KEYS)}"))
    return by


def _grouped(lines: Iterable[Line], key_of: Callable[[str], str]) -> tuple[Line, ...]:
    groups: dict[tuple[str, str], Line] = {}
    for line in lines:
        key = key_of(line.key)
        known = groups.get((key, line.unit))
        groups[key, line.unit] = replace(line, key=key) if known is None else _sum(known, line)
    return tuple(groups[key] for key in sorted(groups))


def _sum(a: Line, b: Line) -> Line:
    unknown = a.committed is None or b.committed is None
    return Line(
        a.key, a.unit, a.granted + b.granted, a.settled + b.settled, a.accrued + b.accrued,
        None if unknown else (a.committed or 0) + (b.committed or 0), a.after_end + b.after_end,
        THRESHOLDS, a.unpriced or b.unpriced,
    )  # fmt: skip


class Label(NamedTuple):
    """What decides the charge of a second, beside its shape."""

    award: str
    outside: str  # "", before-start, after-end
    policy: str  # start of the policy version in force
    cluster: str
    at: str  # an instant with the node classes of that time

    @property
    def instant(self) -> int:
        """When its node classes are looked up."""
        return int(self.at)


class _ByAward:
    """Labels by award, policy version and state of the node inventory."""

    def __init__(self, consortium: Consortium, names: Names) -> None:
        self.consortium = consortium
        self.attribution = Attribution(consortium)
        self.names = names
        needs = self.attribution.needs(KEYS)
        self.by_shape = True
        needed = (name for name in ("partition", "qos") if getattr(needs, name))
        self.wanted: Sequence[str] = ("account", *needed)
        # Policies and node classes change seldom: every account is cut at all of their changes.
        policies = [(policy.valid_from, policy.valid_until) for policy in consortium.policies]
        classes = [(found.valid_from, found.valid_until) for found in consortium.node_classes]
        self._changes = sorted({instant for dates in policies + classes for instant in dates if instant})
        self._edges: dict[int, Sequence[int]] = {}
        self._known: dict[tuple[int, ...], tuple[str, ...]] = {}

    def labels(self, key: Key, at: int) -> tuple[str, ...]:
        """Looked up once between two edges: of many awards most begin or end inside any long window."""
        edges = self._edges.get(key[0])
        if edges is None:
            edges = self._edges[key[0]] = self.account_edges(key[0], -_EVER, _EVER)
        slot = (key[0], *(key[place] for place in _PARTITION_AND_QOS), bisect_right(edges, at))
        found = self._known.get(slot)
        if found is None:
            found = self._known[slot] = self._labels(key, at)
        return found

    def _labels(self, key: Key, at: int) -> tuple[str, ...]:
        cluster, account = self.names.accounts[key[0]]
        partition, qos = (self.names.words[key[place]] for place in _PARTITION_AND_QOS)
        award, outside = self.attribution.award_at(cluster, account, partition, qos, at)
        if award is None:
            return ()
        since = bisect_right(self._changes, at)
        instant = self._changes[since - 1] if since else 0
        policy = self.consortium.policy_at(award.policy, at)
        version = str(policy.valid_from) if policy else ""
        return Label(award.id, outside, version, cluster, str(instant))

    def account_edges(self, account: int, start: int, end: int) -> Sequence[int]:
        cluster, name = self.names.accounts[account]
        bound = self.attribution.account_edges(KEYS, cluster, name, start, end)
        return sorted({*bound, *(change for change in self._changes if start < change < end)})

    def user_edges(self, user: int, start: int, end: int) -> Sequence[int]:  # noqa: ARG002 (users decide nothing here)
        return ()

    def changing(self, start: int, end: int) -> Subset:
        accounts = (number for number in self.names.accounts if self.account_edges(number, start, end))
        return Subset(frozenset(accounts), frozenset())


class Ledger:
    """Charges of one instant, by award."""

    def __init__(self, connection: Connection, consortium: Consortium, as_of: int) -> None:
        self.connection = connection
        self.consortium = consortium
        self.as_of = as_of
        self.names = read.names(connection)
        self.labeller = _ByAward(consortium, self.names)
        self.plan = plan.make(Window(min(0, as_of), as_of), (), UTC)
        self.reasons: set[str] = set()
        self.unpriced: set[str] = set()
        self.unknown_limits = 0
        self.unattributed = False
        self._rates: dict[tuple[Label, int], Rates | Unpriced] = {}

    def lines(self) -> list[Line]:
        """One line per award, in the order of their ids."""
        going_on = read.going_on(self.connection, self.as_of)
        how = (self.connection, self.plan, self.labeller, self.names.counts)
        total = self._charges(collect(*how, counted=False))
        accrued = self._charges(collect_runs(*how, (limited.held for limited in going_on)))
        committed = self._committed(going_on)
        grants = granted(parties.journal(self.connection), self.as_of)
        return [
            self._line(award, grants, total, accrued, committed)
            for _, award in sorted(self.consortium.awards.items())
        ]

    def balances(self, lines: Iterable[Line], by: str) -> Balances:
        """The awards' lines by a key, with what a reader must know about them."""
        return Balances(
            by, self.as_of, _grouped(lines, lambda award: self.key_of(award, by)), self.unknown_limits,
            tuple(sorted(self.reasons)), self.unattributed,
        )  # fmt: skip

    def key_of(self, award: str, by: str) -> str:
        """What an award stands under."""
        return self.labeller.attribution.of_award((by,), award)[0]

    def _line(
        self,
        award: Award,
        grants: Mapping[str, int],
        total: Mapping[tuple[str, bool], Fraction],
        accrued: Mapping[tuple[str, bool], Fraction],
        committed: Mapping[str, Fraction | None],
    ) -> Line:
        open_part = micro(accrued.get((award.id, True), Fraction(0)))
        promised = committed.get(award.id, Fraction(0))
        return Line(
            key=award.id,
            unit=award.unit,
            granted=grants.get(award.id, 0),
            settled=micro(total.get((award.id, True), Fraction(0))) - open_part,
            accrued=open_part,
            committed=None if promised is None else micro(promised),
            after_end=micro(total.get((award.id, False), Fraction(0))),
            thresholds=award.thresholds,
            unpriced=award.id in self.unpriced,
        )

    def _charges(self, cells: Sums) -> dict[tuple[str, bool], Fraction]:
        """Unit-seconds by (award, whether inside the award's life)."""
        charges: dict[tuple[str, bool], Fraction] = defaultdict(Fraction)
        for cell, (_, run, suspended) in cells.items():
            if not cell.labels:
                self.unattributed |= bool(run or suspended)
                continue
            label = Label(*cell.labels)
            charges[label.award, not label.outside] += self.charge(label, cell.shape, run, suspended)
        return charges

    def policy(self, label: Label) -> Policy | None:
        """The version of the award's policy that charges a label's seconds."""
        versions = self.consortium.policy_versions(self.consortium.awards[label.award].policy)
        return next((version for version in versions if str(version.valid_from) == label.policy), None)

    def rates(self, label: Label, shape_id: int) -> Rates | Unpriced:
        """What a second of a shape costs under a label."""
        known = self._rates.get((label, shape_id))
        if known is None:
            known = self._rates[label, shape_id] = self._priced(label, shape_id)
        return known

    def _priced(self, label: Label, shape_id: int) -> Rates | Unpriced:
        policy = self.policy(label)
        if policy is None:
            name = self.consortium.awards[label.award].policy
            return Unpriced(f"policy {name} has no version in force for some of its use")
        shape = self.names.shapes[shape_id]
        node_class = self.consortium.node_class(label.cluster, shape.node_class, label.instant)
        return charge(policy, shape, node_class)

    def charge(self, label: Label, shape_id: int, run: int, suspended: int) -> Fraction:
        """What seconds of a shape cost, exactly; what cannot be known is noted, and nothing."""
        rates = self.rates(label, shape_id)
        if isinstance(rates, Unpriced):
            return self._missing(label, rates.reason)
        return rates.run * run + rates.suspended * suspended

    def _missing(self, label: Label, reason: str) -> Fraction:
        self.unpriced.add(label.award)
        self.reasons.add(f"award {label.award}: {reason}")
        return Fraction(0)

    def _committed(self, going_on: Iterable[read.Limited]) -> dict[str, Fraction | None]:
        """What the runs that go on may still use, by award; None where one has no known limit."""
        promised: dict[str, Fraction | None] = {}
        for limited in going_on:
            label = self.label_now(limited.held)
            if label is None or label.outside:
                continue
            if not self.charge(label, limited.held.shape, 1, 0):
                continue  # CPUs alone under GPU-hours commit nothing, whatever their limit
            seconds = self.seconds_left(limited)
            if seconds is None:
                self.unknown_limits += 1
                promised[label.award] = None
                continue
            known = promised.get(label.award, Fraction(0))
            if known is not None:
                promised[label.award] = known + self.charge(label, limited.held.shape, seconds, 0)
        return promised

    def label_now(self, held: read.Held) -> Label | None:
        """What a run that goes on would be charged to."""
        found = self.labeller.labels(held.key, self.as_of)
        return Label(*found) if found else None

    def seconds_left(self, limited: read.Limited) -> int | None:
        """How long a run may still go on; None where no limit is known. Suspended time is not counted."""
        held, start, limit = limited
        if limit is None:
            return None
        off = cut(held.begin, held.finish, held.suspended, held.begin, self.as_of).suspended
        return max(0, start + limit + off - self.as_of)


def micro(value: Fraction) -> int:
    """The one rounding of a charge: to the nearest micro-unit-second, halves up."""
    return (2 * value.numerator * MICRO + value.denominator) // (2 * value.denominator)
