"""What the machine could give in a period, who waited for it, and what its agents measured.

Invariant: capacity is what `opsd capacity` says of the period, measured use is what `opsd usage` says with
measured columns; nobody's award is empty in all of them.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC

from opsd.core import plan
from opsd.core.attribution import Attribution
from opsd.core.capacity import LINES
from opsd.core.dossier import Capacity, Measured, Waited
from opsd.core.gpu_use import Use
from opsd.core.period import Window
from opsd.pipeline import capacity, measured
from opsd.pipeline.dossier_spans import whose
from opsd.pipeline.usage import ByKeys
from opsd.store import waited
from opsd.store.engine import Connection
from opsd.store.read import Names

_BY = ("cluster", "award")


def of_capacity(connection: Connection, window: Window) -> tuple[tuple[Capacity, ...], tuple[str, ...]]:
    """Where the time of each class of nodes went, and what the books could not count."""
    found = capacity.run(connection, window)
    return tuple(
        sorted(
            Capacity(cluster, node_class, resource, *lines[: len(LINES)])
            for (cluster, node_class), resource, lines in found.rows
        )
    ), found.notes


def of_waiting(
    connection: Connection, names: Names, facts: Attribution, window: Window
) -> tuple[Waited, ...]:
    """What runs asked for while they were eligible and had not begun; told by whose they were then."""
    labeller = ByKeys(_BY, names, facts)
    moving = labeller.changing(window.start, window.end).accounts
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for wait in waited.inside(connection, window, labeller.wanted, moving):
        at = min(max(wait.begin, window.start), window.end - 1)
        cluster, award, _ = whose(*labeller.labels(wait.key, at))
        cpu, _, gpu, *_ = names.counts[wait.shape]
        found = sums[cluster, names.shapes[wait.shape].node_class, award]
        for place, more in enumerate((gpu * wait.seconds, cpu * wait.seconds, wait.runs)):
            found[place] += more
    return tuple(Waited(*key, *sums[key]) for key in sorted(sums))


def of_measuring(
    connection: Connection, names: Names, facts: Attribution, window: Window
) -> tuple[Measured, ...]:
    """What agents saw."""
    labeller = ByKeys(_BY, names, facts)
    labeller.by_shape = True
    cells = measured.collect(connection, plan.make(window, (), UTC), labeller, names)
    sums: dict[tuple[str, str, str], Use] = defaultdict(Use)
    for cell, use in cells.items():
        cluster, award, _ = whose(*cell.labels)
        key = cluster, names.shapes[cell.shape].node_class, award
        sums[key] = sums[key].plus(use)
    return tuple(Measured(*key, sums[key]) for key in sorted(sums))
