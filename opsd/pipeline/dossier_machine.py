"""What the machine could give in a period, who waited for it, and what its agents measured.

Invariant: capacity is what `opsd capacity` says of the period, measured use is what `opsd usage` says with
measured columns; nobody's award is empty in all of them.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC

from opsd.core import plan
from opsd.core.capacity import LINES, Lines
from opsd.core.dossier import Capacity, Measured, Waited
from opsd.core.gpu_use import Use
from opsd.core.period import Window, months
from opsd.pipeline import capacity, measured
from opsd.pipeline.balance import Ledger
from opsd.pipeline.dossier_lines import ByAward
from opsd.store import gpu_use, waited
from opsd.store.engine import Connection


def of_capacity(connection: Connection, window: Window) -> tuple[tuple[Capacity, ...], tuple[str, ...]]:
    """Where the time of each class of nodes went, and what the books could not count.

    Month by month: a year's runs on every node would take a year's memory, and the lines simply add up.
    """
    sums: dict[tuple[str, str, str], Lines] = defaultdict(Lines)
    notes: dict[str, None] = {}
    for _, part in months(window, UTC):
        found = capacity.run(connection, part)
        notes.update(dict.fromkeys(found.notes))
        for (cluster, node_class), resource, lines in found.rows:
            key = cluster, node_class, resource
            sums[key] = sums[key].plus(lines)
    return tuple(Capacity(*key, *sums[key][: len(LINES)]) for key in sorted(sums)), tuple(notes)


def of_waiting(ledger: Ledger, window: Window) -> tuple[Waited, ...]:
    """What runs asked for while they were eligible and had not begun; told by whose they were then."""
    labeller, names = ByAward(ledger), ledger.names
    moving = labeller.changing(window.start, window.end).accounts
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for wait in waited.inside(ledger.connection, window, labeller.wanted, moving):
        at = min(max(wait.begin, window.start), window.end - 1)
        cluster, award, _ = labeller.labels(wait.key, at)
        cpu, _, gpu, *_ = names.counts[wait.shape]
        found = sums[cluster, names.shapes[wait.shape].node_class, award]
        for place, more in enumerate((gpu * wait.seconds, cpu * wait.seconds, wait.runs)):
            found[place] += more
    return tuple(Waited(*key, *sums[key]) for key in sorted(sums))


def of_measuring(ledger: Ledger, window: Window) -> tuple[Measured, ...]:
    """What agents saw."""
    if not gpu_use.is_any(ledger.connection):
        return ()
    labeller, names = ByAward(ledger, by_shape=True), ledger.names
    cells = measured.collect(ledger.connection, plan.make(window, (), UTC), labeller, names)
    sums: dict[tuple[str, str, str], Use] = defaultdict(Use)
    for cell, use in cells.items():
        cluster, award, _ = cell.labels
        key = cluster, names.shapes[cell.shape].node_class, award
        sums[key] = sums[key].plus(use)
    return tuple(Measured(*key, sums[key]) for key in sorted(sums))
