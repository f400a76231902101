"""Everything a period's statement is made from: exact, unrounded, of the whole installation.

A dossier is what a close freezes. `opsd.pipeline.dossier` gathers it from the database, `opsd.core.statement`
makes statements of it, whole or of a scope, and needs nothing else: no database, no clock.

Invariant: equal truth is an equal dossier, whatever database it came from and whatever happened after
its period; everything in it is sorted by its key. It tells users apart by numbers that mean nothing
outside it, and names none; no job name and no path is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_type_hints

from opsd.core import canonical
from opsd.core.consortium import KINDS, Consortium
from opsd.core.gpu_use import Use
from opsd.core.journal import Entry
from opsd.core.period import Window

SCHEMA = "opsd-dossier/1"


class Span(NamedTuple):
    """A period: as asked for, as [start, end), and whose civil calendar cut it."""

    text: str
    start: int
    end: int
    zone: str

    @property
    def window(self) -> Window:
        """[start, end)."""
        return Window(self.start, self.end)


class Seconds(NamedTuple):
    """Resource-seconds as Slurm counts them; memory in MB-seconds."""

    gpu: int = 0
    node: int = 0
    cpu: int = 0
    mem_mb: int = 0
    billing: int = 0

    def plus(self, other: Seconds) -> Seconds:
        """The sum, resource by resource."""
        return Seconds(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Seconds) -> Seconds:
        """The difference, resource by resource."""
        return Seconds(*(a - b for a, b in zip(self, other, strict=True)))


class Key(NamedTuple):
    """Whose use it is. Project, organisation, country and who pays follow from the award (`master`)."""

    cluster: str
    node_class: str
    award: str  # empty: nobody's
    account: str  # of what is nobody's alone
    outside: str  # empty, before-start or after-end of the award's life
    uses: str  # the country of the user's home organisation, or unattributed
    person: int  # tells users apart; a number that means nothing elsewhere


class Line(NamedTuple):
    """Use in the period under one key."""

    key: Key
    seconds: Seconds


class Past(NamedTuple):
    """Use of a month, or of the period before; by award alone."""

    month: str  # 2026-09; of `previous` the text of that period
    cluster: str
    award: str  # empty: nobody's
    outside: str
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Balance:
    """An award over the period, in whole micro-unit-seconds of the unit it was granted in.

    opening + Σ granted - charged = closing, where closing = granted_total - settled - accrued. What
    corrections of earlier months moved is inside `opening`; beside it stands what was reported.
    """

    award: str
    opening: int  # what was left at the start, as now known
    granted: Mapping[str, int]  # entries in effect inside the period, by kind
    granted_total: int  # as of the end
    charged: int  # in the period
    settled: int  # since day one, ended runs
    accrued: int  # open runs
    committed: int | None  # None: some limit is unknown
    after_end: int  # in the period and before, outside its life
    burned: tuple[int, ...]  # within the last 1, 7 and 30 days of the period
    state: str  # as `opsd balance` says it
    forecast: str  # none, expected or already
    exhausted_at: int | None  # of `expected`
    over_since: int | None = None
    reported_closing: int | None = None  # of the month before, as reported; None: it is not closed
    unpriced: tuple[str, ...] = ()  # why some use has no charge


class Granted(NamedTuple):
    """What was granted to an award, from day one up to the end of the period."""

    award: str
    at: int  # when it takes effect; of a grant, the day of the legal right where the award tells it
    kind: str  # of opsd.core.journal.GRANTING
    amount: int  # micro-unit-seconds


class Capacity(NamedTuple):
    """Where the resource-seconds of a node class went; total = the sum of the others."""

    cluster: str
    node_class: str
    resource: str  # gpu or cpu
    total: int
    allocated: int
    reserved_idle: int
    planned_down: int
    down: int
    unallocated: int


class Entitled(NamedTuple):
    """What a pool was entitled to in an earlier month, and used, as its closed edition says.

    `opsd.core.entitlement.entitled` makes these of a closed month's own dossier.
    """

    month: str
    agreement: str
    pool: str
    resource: str  # gpu or cpu
    seconds: int
    used: int  # on the agreement's classes of nodes


class Waited(NamedTuple):
    """Resource-seconds that runs of an award waited, eligible, inside the period."""

    cluster: str
    node_class: str
    award: str
    gpu: int
    cpu: int
    runs: int


class Measured(NamedTuple):
    """What agents measured of an award's runs, within the period."""

    cluster: str
    node_class: str
    award: str  # empty: nobody's
    use: Use


class Certificate(NamedTuple):
    """opsd beside Slurm's own report, of one cluster and window that meets the period."""

    cluster: str
    start: int
    end: int
    made_at: int
    cells: int
    unexplained_cells: int
    unknowable_cells: int
    unexplained: Mapping[str, int]  # seconds by TRES
    digest: str  # SHA-256 of the whole certificate


class Covered(NamedTuple):
    """How far a cluster's accounting was read."""

    cluster: str
    until: int
    observed_at: int


@dataclass(frozen=True, slots=True)
class Quality:
    """What a reader must know about the data."""

    runs: int = 0  # that overlap the period, each once
    open_runs: int = 0  # of those, not ended at the end of what is reported
    unclassified: int = 0  # GPU-seconds of no known class
    unplaced: int = 0  # runs whose suspended seconds are spread evenly
    two_sluids: int = 0  # runs that Slurm knows under two ids
    quarantined: int = 0  # records that could not be read
    first: int | None = None  # when the first run of all began
    last_observed: int | None = None  # when Slurm said what was read last
    last_read: int | None = None
    covered: tuple[Covered, ...] = ()
    capacity_notes: tuple[str, ...] = ()  # what the books of capacity could not count, in English


class Concern(NamedTuple):
    """What stands against a close, by name: quarantine, unattributed, no-certificate:mn5."""

    name: str
    text: str  # in English, with its figures


class Item(NamedTuple):
    """Why a closed month is another now: one run, binding or policy, and what it moved.

    `what` is run, binding, award (its dates), policy, people, node-class or rounding: what changed, and `id`
    names it: of a run CLUSTER/JOB@SUBMIT, of a binding CLUSTER/ACCOUNT. Amounts of an award's charge are
    micro-unit-seconds. `opsd.core.corrections` makes them.
    """

    what: str
    id: str
    award: str  # whose line it moved; empty: nobody's
    outside: str
    cluster: str
    seconds: Seconds  # now minus then
    charged: int  # the same of the award's charge


class Correction(NamedTuple):
    """What changed in one closed month since it was last reported or corrected."""

    period: str
    lines: tuple[Line, ...]  # now minus then, by key (person 0), without zeroes
    charged: Mapping[str, int]  # award -> micro-unit-seconds, now minus then, without zeroes
    items: tuple[Item, ...]  # they add up to `lines` by (cluster, award, outside) and to `charged` by award


class ClosedMonth(NamedTuple):
    """A closed month that this period holds, as it was reported and corrected."""

    period: str
    edition: int
    digest: str
    closed_at: int
    reported: Seconds
    corrected: Seconds  # the sum of corrections posted so far
    known: Seconds  # as now known


class Digests(NamedTuple):
    """SHA-256 of what a statement stands on."""

    facts: str = ""  # the runs behind it
    master: str = ""
    configuration: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """How and by whom it was frozen."""

    edition: int
    closed_at: int
    author: str
    approver: str
    reason: str
    acknowledged: tuple[Concern, ...]
    chain: str  # the journal's head when it was closed, before the entry of the close itself


@dataclass(frozen=True, slots=True)
class Dossier:
    """See the module's text."""

    consortium: str
    span: Span
    as_of: int  # nothing after it counts; the end of the period once that has come
    version: str  # of the program
    master: Consortium  # without people, bindings and contacts: nothing in it names a user
    lines: tuple[Line, ...]
    previous_span: Span | None = None
    previous: tuple[Past, ...] = ()
    year: tuple[Past, ...] = ()  # by month, from the begin of the civil year up to `as_of`
    balances: tuple[Balance, ...] = ()
    entries: tuple[Entry, ...] = ()  # in effect or posted inside the period, close and correction included
    granted: tuple[Granted, ...] = ()  # everything ever granted, by award and time
    capacity: tuple[Capacity, ...] = ()
    entitled: tuple[Entitled, ...] = ()  # of every closed month before this period, however long ago
    waited: tuple[Waited, ...] = ()
    measured: tuple[Measured, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    quality: Quality = field(default_factory=Quality)
    concerns: tuple[Concern, ...] = ()
    corrections: tuple[Correction, ...] = ()  # of earlier months, booked with this one
    closed: tuple[ClosedMonth, ...] = ()  # closed months inside a longer period, or this month itself
    digests: Digests = field(default_factory=Digests)
    closing: Closing | None = None  # None: not closed
    smallest_group: int = 5
    notes: tuple[str, ...] = ()

    @property
    def provisional(self) -> bool:
        """Whether the period was not over when this was made."""
        return self.as_of < self.span.end


# ------------------------------------------------------------------------------------------ as records

_PARTS = (
    "lines", "previous", "year", "balances", "entries", "granted", "capacity", "entitled", "waited",
    "measured", "certificates", "concerns", "corrections", "closed",
)  # fmt: skip
HEADER, MASTER = "header", "master"
Record = tuple[str, str]  # kind, canonical text


def records(dossier: Dossier) -> Iterator[Record]:
    """A dossier as records, a header first: each a line of canonical JSON under its kind."""
    hints = get_type_hints(Dossier)
    rest = [name for name in hints if name not in (*_PARTS, MASTER)]
    book_zone = dossier.master.book_zone
    header = {
        "schema": SCHEMA,
        "book_zone": book_zone,
        **{name: canonical.plain(getattr(dossier, name)) for name in rest},
    }
    yield HEADER, canonical.dumped(header)
    for kind in KINDS:
        for item in dossier.master.items(kind):
            yield f"{MASTER}:{kind.table}", canonical.text(item)
    for name in _PARTS:
        for item in getattr(dossier, name):
            yield name, canonical.text(item)


def from_records(found: Iterable[Record]) -> Dossier:
    """The inverse of `records`.

    Raises:
        BadText: they hold no dossier that this program knows.
    """
    hints = get_type_hints(Dossier)
    kinds = {f"{MASTER}:{kind.table}": kind for kind in KINDS}
    values: dict[str, Any] = {name: [] for name in _PARTS}
    items, book_zone = [], ""
    for kind, text in found:
        tree = json.loads(text)
        if kind == HEADER:
            tree.pop("schema")
            book_zone = tree.pop("book_zone")
            values |= {name: canonical.read(hints[name], value) for name, value in tree.items()}
        elif kind in kinds:
            items.append(canonical.read(kinds[kind].values, tree))
        else:
            (item,) = (one for one in hints[kind].__args__ if one is not Ellipsis)
            values[kind].append(canonical.read(item, tree))
    master = Consortium.of(items, values["consortium"], book_zone)
    parts = {name: tuple(values[name]) for name in _PARTS}
    return Dossier(**{**values, **parts, "master": master})
