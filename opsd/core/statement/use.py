"""Use of this period beside the period before and the year so far, by any key: cells of many tables.

Invariant: a key stands for the same use in all three, and no use is left out: what had none this period
but had some before has a line, too.
"""

from __future__ import annotations

from collections.abc import Callable

from opsd.core.statement import terms
from opsd.core.statement.table import Column
from opsd.core.statement.view import Part, Sum, View, in_order
from opsd.core.statement.words import Value

Key = tuple[str, ...]


class Uses:
    """Sums of the period, the period before and the year by a key of parts."""

    def __init__(self, view: View, key: Callable[[Part], Key]) -> None:
        self._now = view.by(key, view.parts)
        self._before = view.by(key, view.previous)
        self._year = view.by(key, view.to_date)
        self.keys = sorted({*self._now, *self._before, *self._year}, key=in_order)
        self.has_before = bool(view.dossier.previous_span)
        self.has_year = bool(view.dossier.year)

    def now(self, key: Key) -> Sum:
        """Use in the period."""
        return self._now.get(key, Sum())

    def before(self, key: Key) -> Sum:
        """In the period before."""
        return self._before.get(key, Sum())

    def year(self, key: Key) -> Sum:
        """Since the begin of the year."""
        return self._year.get(key, Sum())


def columns(view: View, *after: Column) -> tuple[Column, ...]:
    """Hours of each resource, what comes `after` them, and what was before."""
    before = (terms.PREVIOUS,) if view.dossier.previous_span else ()
    year = (terms.YEAR,) if view.dossier.year else ()
    return (terms.GPU, terms.NODE, terms.CPU, *after, *before, *year)


def cells(uses: Uses, key: Key) -> dict[str, Value]:
    """The numbers of a line under `columns`."""
    now = uses.now(key)
    found: dict[str, Value] = {
        "gpu_hours": now.hours("gpu"),
        "node_hours": now.hours("node"),
        "cpu_hours": now.hours("cpu"),
    }
    if uses.has_before:
        found["previous_gpu_hours"] = uses.before(key).hours("gpu")
    if uses.has_year:
        found["year_gpu_hours"] = uses.year(key).hours("gpu")
    return found
