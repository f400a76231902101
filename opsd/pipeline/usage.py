"""Usage: seconds times shapes, by any of the keys, over any window, exact to the second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from fractions import Fraction
from typing import NamedTuple

from opsd.core import attribution, plan
from opsd.core.attribution import Attribution
from opsd.core.errors import WrongUsage
from opsd.core.gpu_use import Use
from opsd.core.names import nearest
from opsd.core.period import CALENDARS, Window
from opsd.core.tres import NO_GPU_CLASS, UNCLASSIFIED
from opsd.core.usage import amounts
from opsd.pipeline import equivalents, measured
from opsd.pipeline.equivalents import Part
from opsd.pipeline.seconds import Cell, Sums, collect
from opsd.store import parties, read
from opsd.store.engine import Connection
from opsd.store.read import Key, Names, Subset

RUN_KEYS = ("cluster", "account", "user", "partition", "qos", "state", "gpu_class")
KEYS = (*RUN_KEYS, *attribution.KEYS, *CALENDARS)
EQUIVALENT = "gpu_equivalent_seconds"
COLUMNS = ("runs", "cpu_seconds", "node_seconds", "gpu_seconds", "mem_mb_seconds", "billing_seconds")


class Measures(NamedTuple):
    """The columns of a usage row: whole numbers as Slurm counts."""

    runs: int = 0
    cpu_seconds: int = 0
    node_seconds: int = 0
    gpu_seconds: int = 0
    mem_mb_seconds: int = 0
    billing_seconds: int = 0

    def plus(self, other: Measures) -> Measures:
        """The column-wise sum."""
        return Measures(*(a + b for a, b in zip(self, other, strict=True)))


class Row(NamedTuple):
    """One line of a usage table."""

    key: tuple[str, ...]
    measures: Measures


class UnknownSlice(NamedTuple):
    """Slices that stand in no table: what they are, on which GPUs, for how many instance-seconds."""

    gpu_class: str
    node_gpu_class: str
    seconds: int


class Equivalents(NamedTuple):
    """GPU-seconds with each slice counted as its part of a GPU."""

    by_key: Mapping[tuple[str, ...], Fraction | None]  # None: some slice in it stands in no table
    unknown: tuple[UnknownSlice, ...]

    def of(self, key: tuple[str, ...]) -> Fraction | None:
        """Of a row; one without GPUs has none."""
        return self.by_key.get(key, Fraction(0))


@dataclass(frozen=True, slots=True)
class Usage:
    """A usage table, sorted by key, without all-zero rows."""

    keys: tuple[str, ...]
    rows: tuple[Row, ...]
    window: Window
    equivalents: Equivalents | None = None  # None: not asked for
    uses: Mapping[tuple[str, ...], Use] | None = None  # what agents measured, by key; None: not asked for

    @property
    def total(self) -> Measures:
        """Sum of all rows. Its `runs` counts a run once per row that it overlaps."""
        total = Measures()
        for row in self.rows:
            total = total.plus(row.measures)
        return total

    @property
    def unattributed(self) -> tuple[str, ...]:
        """The attribution keys that were asked for and had no answer for something."""
        places = [(i, key) for i, key in enumerate(self.keys) if key in attribution.KEYS]
        return tuple(
            key for i, key in places if any(row.key[i] == attribution.UNATTRIBUTED for row in self.rows)
        )


def check_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """The keys if all exist and none comes twice."""
    for position, key in enumerate(keys):
        if key not in KEYS:
            raise WrongUsage(f"--by {key!r}: no such key" + nearest(key, KEYS, f"keys: {' '.join(KEYS)}"))
        if key in keys[:position]:
            raise WrongUsage(f"--by names {key!r} twice: name each key once")
    return tuple(keys)


def run(
    connection: Connection,
    window: Window,
    keys: Sequence[str] = (),
    *,
    tz: tzinfo = UTC,
    as_of: int | None = None,
    with_equivalents: bool = False,
    with_measured: bool = False,
) -> Usage:
    """Usage of a window by keys.

    Args:
        connection: from `Store.read()`.
        window: [start, end); any second.
        keys: any of KEYS, in the order of the table's columns.
        tz: whose months, days and hours.
        as_of: cut time here, with today's knowledge: nothing after it counts.
        with_equivalents: count MIG slices as parts of GPUs, too.
        with_measured: say what was really done with the GPUs, too.
    """
    keys = check_keys(keys)
    if as_of is not None:
        window = Window(min(window.start, as_of), min(window.end, as_of))
    names = read.names(connection)
    asked = [key for key in keys if key in attribution.KEYS]
    consortium = parties.load(connection) if asked or with_equivalents else None
    known = Attribution(consortium) if asked and consortium else None
    labeller = ByKeys([key for key in keys if key not in CALENDARS], names, known)
    cuts = plan.make(window, [key for key in keys if key in CALENDARS], tz)
    cells = collect(connection, cuts, labeller, names.counts)
    rows, uses = _rows(keys, cells, names), None
    if with_measured:
        uses = _uses(keys, measured.collect(connection, cuts, labeller, names), names)
        rows = _with_keys(rows, uses)
    if not consortium or not with_equivalents:
        return Usage(keys, rows, window, uses=uses)
    labeller.by_shape = True
    found = equivalents.parts(connection, cuts, labeller, names, consortium)
    return Usage(keys, rows, window, _equivalents(keys, found), uses)


def _uses(keys: tuple[str, ...], cells: measured.Uses, names: Names) -> dict[tuple[str, ...], Use]:
    """What was measured, by key; nothing tells which device of a run with two GPU classes is of which."""
    order, found = _order(keys), defaultdict[tuple[str, ...], Use](Use)
    for cell, use in cells.items():
        classes = [name for name, _ in names.shapes[cell.shape].gpus] if cell.shape else []
        gpu_class = classes[0] if len(classes) == 1 else UNCLASSIFIED if classes else NO_GPU_CLASS
        key = _key(order, cell, gpu_class)
        found[key] = found[key].plus(use)
    return dict(found)


def _with_keys(rows: tuple[Row, ...], uses: Iterable[tuple[str, ...]]) -> tuple[Row, ...]:
    """With a row for everything measured, also where Slurm counts nothing of it there."""
    known = {row.key for row in rows}
    return tuple(sorted((*rows, *(Row(key, Measures()) for key in uses if key not in known))))


def _equivalents(keys: tuple[str, ...], parts: Iterable[Part]) -> Equivalents:
    by_key: dict[tuple[str, ...], Fraction | None] = defaultdict(Fraction)
    unknown: dict[tuple[str, str], int] = defaultdict(int)
    order = _order(keys)
    for part in parts:
        key = _key(order, part.cell, part.gpu_class)
        so_far = by_key[key]
        if part.gpus is None and part.seconds:
            by_key[key] = None
            unknown[part.gpu_class, part.node_gpu_class] += part.seconds
        elif so_far is not None and part.gpus is not None:
            by_key[key] = so_far + part.gpus * part.seconds
    return Equivalents(by_key, tuple(UnknownSlice(*what, unknown[what]) for what in sorted(unknown)))


def _order(keys: tuple[str, ...]) -> list[int]:
    """Where each asked key is found in (periods, labels, gpu class) laid end to end."""
    calendars = [key for key in keys if key in CALENDARS]
    others = [key for key in keys if key not in CALENDARS and key != "gpu_class"]
    return [[*calendars, *others, "gpu_class"].index(key) for key in keys]


def _key(order: Sequence[int], cell: Cell, gpu_class: str) -> tuple[str, ...]:
    line = (*cell.periods, *cell.labels, gpu_class)
    return tuple(line[place] for place in order)


def _rows(keys: tuple[str, ...], cells: Sums, names: Names) -> tuple[Row, ...]:
    order = _order(keys)
    totals: dict[tuple[str, ...], Measures] = {}
    for cell, values in cells.items():
        parts = by_class(names, cell.shape, *values) if cell.shape else [(NO_GPU_CLASS, Measures(*values))]
        for gpu_class, part in parts:
            key = _key(order, cell, gpu_class)
            totals[key] = totals[key].plus(part) if key in totals else part
    ordered = sorted(totals)
    return tuple(Row(key, totals[key]) for key in ordered if any(totals[key]))


def by_class(names: Names, shape: int, runs: int, run: int, suspended: int) -> Iterator[tuple[str, Measures]]:
    """What seconds of a shape amount to under each of its GPU classes.

    A run with GPUs of two classes shows its GPU-seconds under each; what cannot be split (cpu,
    memory, …) stands under the class with the most GPUs, so that every column still adds up.
    """
    whole = Measures(runs, *amounts(names.counts[shape], run, suspended))
    gpus = names.shapes[shape].gpus
    if len(gpus) < 2:
        yield (gpus[0][0] if gpus else NO_GPU_CLASS), whole
        return
    main = max(gpus, key=lambda pair: pair[1])[0]
    for name, count in gpus:
        part = whole if name == main else Measures(runs=runs)
        yield name, part._replace(gpu_seconds=(run + suspended) * count)


class ByKeys:
    """Labels by the keys a caller asked for."""

    def __init__(self, keys: Sequence[str], names: Names, known: Attribution | None) -> None:
        self.names = names
        self.keys = [key for key in keys if key != "gpu_class"]
        self.asked = tuple(key for key in self.keys if key in attribution.KEYS)
        self.attribution = known
        self.by_shape = "gpu_class" in keys
        wanted = {"account" if key == "cluster" else key for key in self.keys if key in RUN_KEYS}
        if known:
            needs = known.needs(self.asked)
            wanted |= {"account", *(name for name in ("user", "partition", "qos") if getattr(needs, name))}
        self.wanted: Sequence[str] = tuple(name for name in read.DIMENSIONS if name in wanted)

    def labels(self, key: Key, at: int) -> tuple[str, ...]:
        """One text per key, in the order of `keys`."""
        known = dict(zip(read.DIMENSIONS, (self.names.words[word] for word in (0, *key[1:])), strict=True))
        known["cluster"], known["account"] = self.names.accounts.get(key[0], ("", ""))
        if self.attribution:
            found = self.attribution.labels(
                self.asked,
                known["cluster"],
                known["account"],
                known["user"],
                known["partition"],
                known["qos"],
                at,
            )
            known |= zip(self.asked, found, strict=True)
        return tuple(known[name] for name in self.keys)

    def account_edges(self, account: int, start: int, end: int) -> Sequence[int]:
        """Where an account changes hands."""
        if not self.attribution:
            return ()
        return self.attribution.account_edges(self.asked, *self.names.accounts[account], start, end)

    def user_edges(self, user: int, start: int, end: int) -> Sequence[int]:
        """Where a user changes employers, if that is asked for."""
        if not self.attribution:
            return ()
        return self.attribution.user_edges(self.asked, "", self.names.words[user], start, end)

    def changing(self, start: int, end: int) -> Subset:
        """The accounts and users that do so inside (start, end)."""
        if not self.attribution:
            return Subset(frozenset(), frozenset())
        accounts = (number for number in self.names.accounts if self.account_edges(number, start, end))
        return Subset(frozenset(accounts), self._moving_users(start, end))

    def _moving_users(self, start: int, end: int) -> frozenset[int]:
        if "uses" not in self.asked:
            return frozenset()
        return frozenset(number for number in self.names.words if self.user_edges(number, start, end))
