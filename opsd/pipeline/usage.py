"""Usage: seconds times shapes, by any of the keys, over any window, exact to the second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import NamedTuple

from sqlalchemy import Connection

from opsd.core import attribution, plan
from opsd.core.attribution import Attribution
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.period import CALENDARS, Window
from opsd.core.shape import Shape
from opsd.core.tres import NO_GPU_CLASS
from opsd.pipeline.seconds import Cell, Sums, collect
from opsd.store import parties, read
from opsd.store.read import Key, Names, Subset

RUN_KEYS = ("cluster", "account", "user", "partition", "qos", "state", "gpu_class")
KEYS = (*RUN_KEYS, *attribution.KEYS, *CALENDARS)
COLUMNS = ("runs", "cpu_seconds", "node_seconds", "gpu_seconds", "mem_mb_seconds", "billing_seconds")
_PLACE = {"account": 0, "user": 1, "partition": 2, "qos": 3, "state": 4}


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


@dataclass(frozen=True, slots=True)
class Usage:
    """A usage table, sorted by key, without all-zero rows."""

    keys: tuple[str, ...]
    rows: tuple[Row, ...]
    window: Window

    @property
    def total(self) -> Measures:
        """Sum of all rows. Its `runs` counts a run once per row that it overlaps."""
        total = Measures()
        for row in self.rows:
            total = total.plus(row.measures)
        return total

    @property
    def unattributed(self) -> bool:
        """Whether an attribution key was asked for and something had no answer."""
        places = [i for i, key in enumerate(self.keys) if key in attribution.KEYS]
        return any(row.key[place] == attribution.UNATTRIBUTED for row in self.rows for place in places)


def check_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """The keys if all exist and none comes twice."""
    for position, key in enumerate(keys):
        if key not in KEYS:
            raise WrongUsage(f"--by {key!r}: no such key{nearest(key, KEYS)}; keys: {' '.join(KEYS)}")
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
) -> Usage:
    """Usage of a window by keys.

    Args:
        connection: from `Store.read()`.
        window: [start, end); any second.
        keys: any of KEYS, in the order of the table's columns.
        tz: whose months, days and hours.
        as_of: cut time here, with today's knowledge: nothing after it counts.
    """
    keys = check_keys(keys)
    if as_of is not None:
        window = Window(min(window.start, as_of), min(window.end, as_of))
    names = read.names(connection)
    asked = [key for key in keys if key in attribution.KEYS]
    known = Attribution(parties.load(connection)) if asked else None
    labeller = _ByKeys([key for key in keys if key not in CALENDARS], names, known)
    cuts = plan.make(window, [key for key in keys if key in CALENDARS], tz)
    cells = collect(connection, cuts, labeller)
    return Usage(keys, _rows(keys, cells, names.shapes), window)


def _rows(keys: tuple[str, ...], cells: dict[Cell, Sums], shapes: dict[int, Shape]) -> tuple[Row, ...]:
    calendars = [key for key in keys if key in CALENDARS]
    others = [key for key in keys if key not in CALENDARS and key != "gpu_class"]
    # Where each asked key is found in (periods, labels, gpu class) laid end to end.
    laid = [*calendars, *others, "gpu_class"]
    order = [laid.index(key) for key in keys]
    by_class = "gpu_class" in keys
    totals: dict[tuple[str, ...], Measures] = defaultdict(Measures)
    for cell, sums in cells.items():
        for gpu_class, measures in _worth(shapes[cell.shape], sums, by_class=by_class):
            line = (*cell.periods, *cell.labels, gpu_class)
            key = tuple(line[place] for place in order)
            totals[key] = totals[key].plus(measures)
    return tuple(Row(key, totals[key]) for key in sorted(totals) if any(totals[key]))


def _worth(shape: Shape, sums: Sums, *, by_class: bool) -> Iterator[tuple[str, Measures]]:
    """What seconds of a shape amount to, per GPU class when asked.

    Suspended time is off the cpu and on everything else, as Slurm counts. A run with GPUs of two
    classes shows its GPU-seconds under each; what cannot be split (cpu, memory, …) stands under the
    class with the most GPUs, so that every column still adds up.
    """
    held = sums.run + sums.suspended
    tres = shape.tres
    whole = Measures(
        sums.runs,
        sums.run * tres.get("cpu"),
        held * tres.get("node"),
        held * tres.gpus,
        held * tres.get("mem"),
        held * tres.get("billing"),
    )
    if not by_class or len(shape.gpus) < 2:
        yield (shape.gpus[0][0] if shape.gpus else NO_GPU_CLASS), whole
        return
    main = max(shape.gpus, key=lambda pair: pair[1])[0]
    for name, count in shape.gpus:
        if name == main:
            yield name, whole._replace(gpu_seconds=held * count)
        else:
            yield name, Measures(runs=sums.runs, gpu_seconds=held * count)


class _ByKeys:
    """Labels by the keys a caller asked for."""

    def __init__(self, keys: Sequence[str], names: Names, known: Attribution | None) -> None:
        self.names = names
        self.keys = [key for key in keys if key != "gpu_class"]
        self.asked = tuple(key for key in self.keys if key in attribution.KEYS)
        self.attribution = known
        self._user_ids = {text: number for number, text in names.words.items()}
        wanted = {key for key in self.keys if key in read.DIMENSIONS}
        if known:
            needs = known.needs(self.asked)
            wanted |= {name for name in ("user", "partition", "qos") if getattr(needs, name)}
        self.wanted = tuple(name for name in read.DIMENSIONS if name in wanted)

    def labels(self, key: Key, at: int) -> tuple[str, ...]:
        words = self.names.words
        cluster, account = self.names.accounts[key[0]]
        who: dict[str, str] = {}
        if self.attribution:
            found = self.attribution.labels(
                self.asked, cluster, account, words[key[1]], words[key[2]], words[key[3]], at
            )
            who = dict(zip(self.asked, found, strict=True))
        return tuple(self._label(name, key, cluster, account, who) for name in self.keys)

    def _label(self, name: str, key: Key, cluster: str, account: str, who: dict[str, str]) -> str:
        if name == "cluster":
            return cluster
        if name == "account":
            return account
        return who[name] if name in who else self.names.words[key[_PLACE[name]]]

    def account_edges(self, account: int, start: int, end: int) -> Sequence[int]:
        if not self.attribution:
            return ()
        return self.attribution.account_edges(self.asked, *self.names.accounts[account], start, end)

    def user_edges(self, user: int, start: int, end: int) -> Sequence[int]:
        if not self.attribution:
            return ()
        return self.attribution.user_edges(self.asked, "", self.names.words[user], start, end)

    def changing(self, start: int, end: int) -> Subset:
        if not self.attribution:
            return Subset(frozenset(), frozenset())
        accounts = (number for number in self.names.accounts if self.account_edges(number, start, end))
        return Subset(frozenset(accounts), self._moving_users(start, end))

    def _moving_users(self, start: int, end: int) -> frozenset[int]:
        if "uses" not in self.asked:
            return frozenset()
        return frozenset(number for number in self.names.words if self.user_edges(number, start, end))
