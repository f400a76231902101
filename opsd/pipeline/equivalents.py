"""GPU-seconds as parts of whole GPUs, by the table of MIG slices in force when each run began.

Invariant: the seconds are exactly those of usage; a share that no table gives is handed over as None, with
its seconds, and never as a number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from typing import NamedTuple

from opsd.core.consortium import Consortium
from opsd.core.plan import Plan
from opsd.core.slices import SliceTable, slice_of
from opsd.pipeline.seconds import Cell, Labeller, Sums, collect, collect_runs
from opsd.store import read, starts
from opsd.store.engine import Connection
from opsd.store.read import Held, Names


class Share(NamedTuple):
    """The GPUs of one class in a shape, and what each counts as."""

    gpu_class: str
    node_gpu_class: str  # of the run's nodes, "" where not known
    instances: int
    gpus: Fraction | None  # None: a slice that no table knows


class Part(NamedTuple):
    """GPU-seconds of a cell on one class."""

    cell: Cell
    gpu_class: str
    node_gpu_class: str
    seconds: int
    gpus: Fraction | None


State = tuple[str, int]  # cluster, and an instant with the tables of the run's start


def parts(
    connection: Connection, plan: Plan, labeller: Labeller, names: Names, known: Consortium
) -> Iterator[Part]:
    """Everything that held a GPU, by cell and class.

    Args:
        labeller: one that tells shapes apart.
    """
    shares = _Shares(known, names)
    unsettled = set()
    for cell, (_, ran, off) in collect(connection, plan, labeller, names.counts).items():
        settled = shares.always(cell.shape)
        if settled is None:  # it depends on when the run began: told below, from the runs
            unsettled.add(cell.shape)
        else:
            yield from _parts(cell, ran + off, settled)
    if not unsettled:
        return
    for state, runs in _by_state(connection, plan, names, shares, unsettled).items():
        cells: Sums = collect_runs(connection, plan, labeller, names.counts, runs)
        for cell, (_, ran, off) in cells.items():
            yield from _parts(cell, ran + off, shares.at(cell.shape, state))


def _parts(cell: Cell, held: int, shares: Iterable[Share]) -> Iterator[Part]:
    for share in shares:
        yield Part(cell, share.gpu_class, share.node_gpu_class, held * share.instances, share.gpus)


def _by_state(
    connection: Connection, plan: Plan, names: Names, shares: _Shares, shapes: set[int]
) -> Mapping[State, list[Held]]:
    """Runs of some shapes inside the plan, by what decides their shares."""
    began = starts.of_shapes(connection, shapes)
    first, last = plan.segments[0].start, plan.segments[-1].end
    found: dict[State, list[Held]] = defaultdict(list)
    ended = read.runs_overlapping(connection, first, last)
    for held in chain(ended, read.open_runs(connection)):
        if held.shape in shapes:
            cluster, _ = names.accounts[held.account]
            found[cluster, shares.instant(began[held.id])].append(held)
    return found


class _Shares:
    """What the GPUs of a shape count as, by the cluster and the instant at which a run began."""

    def __init__(self, known: Consortium, names: Names) -> None:
        self._known = known
        self._names = names
        self._table = SliceTable(known.mig_slices)
        slices = [(item.valid_from, item.valid_until) for item in known.mig_slices]
        classes = [(item.valid_from, item.valid_until) for item in known.node_classes]
        self._changes = sorted({at for dates in slices + classes for at in dates if at})
        clusters = sorted({cluster for cluster, _ in names.accounts.values()})
        self._states = [(cluster, at) for cluster in clusters for at in (0, *self._changes)]
        self._always: dict[int, list[Share] | None] = {}

    def instant(self, start: int) -> int:
        """The last instant up to a run's start at which a table changed."""
        since = bisect_right(self._changes, start)
        return self._changes[since - 1] if since else 0

    def at(self, shape: int, state: State) -> list[Share]:
        """Of runs of a shape that began in a state."""
        found, (cluster, at) = self._names.shapes[shape], state
        node_class = self._known.node_class(cluster, found.node_class, at) if found.node_class else None
        make = node_class.gpu_class if node_class else ""
        return [Share(name, make, count, self._table.share(name, make, at)) for name, count in found.gpus]

    def always(self, shape: int) -> list[Share] | None:
        """Of all runs of a shape; None where that depends on the run."""
        if shape not in self._always:
            self._always[shape] = self._settled(shape)
        return self._always[shape]

    def _settled(self, shape: int) -> list[Share] | None:
        gpus = self._names.shapes[shape].gpus
        if not any(slice_of(name) for name, _ in gpus):
            return [Share(name, "", count, Fraction(1)) for name, count in gpus]
        first, *others = (self.at(shape, state) for state in self._states)
        return first if all(other == first for other in others) else None
