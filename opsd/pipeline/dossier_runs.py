"""The lines of a window run by run: what a close keeps, so that later truth can be compared with it.

Invariant: the parts of all runs add up to the lines and charges of `opsd.pipeline.dossier_lines`, exactly. No
part names a user: `person` is 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from fractions import Fraction
from typing import NamedTuple

from opsd.core import plan
from opsd.core.consortium import Consortium
from opsd.core.dossier import Key, Seconds
from opsd.core.period import Window
from opsd.core.usage import cut
from opsd.pipeline.balance import Ledger
from opsd.pipeline.dossier_lines import ByWhom, Whose, seconds_of
from opsd.pipeline.seconds import pieces_of
from opsd.store import parties, read, run_names
from opsd.store.engine import Connection
from opsd.store.read import Held
from opsd.store.run_names import RunName


class RunPart(NamedTuple):
    """What one run used under one key; an award's use inside its life has a charge in unit-seconds."""

    run: RunName
    key: Key
    seconds: Seconds
    charge: Fraction


def of_runs(
    connection: Connection, window: Window, as_of: int, *, consortium: Consortium | None = None
) -> Iterator[RunPart]:
    """Every run with use in a window, by name and key.

    Args:
        connection: from `Store.read()`.
        as_of: nothing after it counts.
        consortium: whose bindings and prices; without one the stored ones.
    """
    window = Window(min(window.start, as_of), min(window.end, as_of))
    ledger = Ledger(connection, consortium or parties.load(connection), as_of)
    found = {held.id: held for held in read.open_runs(connection) if held.begin < window.end}
    found.update((held.id, held) for held in read.runs_overlapping(connection, window.start, window.end))
    names = run_names.of_runs(connection, sorted(found))
    runs = [found[number] for number in sorted(found, key=names.__getitem__)]
    yield from _parts(ledger, window, runs, names)


def _parts(ledger: Ledger, window: Window, runs: list[Held], names: dict[int, RunName]) -> Iterator[RunPart]:
    how = (ledger.connection, plan.make(window, (), UTC), ByWhom(ledger), ledger.names.counts)
    last: Held | None = None
    parts: dict[Key, tuple[Seconds, Fraction]] = {}
    for held, cell, start, end in pieces_of(*how, runs):
        if last is not None and held.id != last.id:
            yield from _sorted(names[last.id], parts)
            parts = {}
        last = held
        ran, off = cut(held.begin, held.finish, held.suspended, start, end)
        whose = Whose.of(cell.labels)
        key = whose.key(ledger.names.shapes[cell.shape].node_class, 0)
        charge = Fraction(0)
        if whose.price and not whose.outside:
            charge = ledger.charge(whose.price, cell.shape, ran, off)
        seconds, so_far = parts.get(key, (Seconds(), Fraction(0)))
        parts[key] = seconds.plus(seconds_of(ledger.names, cell.shape, ran, off)), so_far + charge
    if last is not None:
        yield from _sorted(names[last.id], parts)


def _sorted(name: RunName, parts: dict[Key, tuple[Seconds, Fraction]]) -> Iterator[RunPart]:
    for key in sorted(parts):
        seconds, charge = parts[key]
        if any(seconds) or charge:
            yield RunPart(name, key, seconds, charge)
