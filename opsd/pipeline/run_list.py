"""The runs of a month as a close keeps them.

Invariant: equal truth gives equal text, whatever database it came from and whatever happened to a run
after the month.
"""

from __future__ import annotations

from itertools import groupby

from opsd.core.corrections import Part, RunUse
from opsd.core.period import Window
from opsd.pipeline import dossier_runs
from opsd.store import run_marks
from opsd.store.engine import Connection


def run(connection: Connection, window: Window) -> tuple[RunUse, ...]:
    """Every run with use in a window that is over, in the order of their names."""
    told = run_marks.of_window(connection, window.start, window.end)
    parts = dossier_runs.of_runs(connection, window, window.end)
    return tuple(
        RunUse(
            name.text,
            told[name].mark,
            told[name].account,
            tuple(Part(part.key, part.seconds, part.charge) for part in own),
        )
        for name, own in groupby(parts, key=lambda part: part.run)
    )
