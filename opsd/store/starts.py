"""When runs began, as dated tables ask it: Slurm's Start, or Submit as long as there is none."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from opsd.store import tables

_run = tables.run
_NAMED = 500


def of_shapes(connection: Connection, shapes: Collection[int]) -> dict[int, int]:
    """The start of every run of some shapes, by run id."""
    named = sorted(shapes)
    found: dict[int, int] = {}
    for at in range(0, len(named), _NAMED):
        query = select(_run.c.id, func.coalesce(_run.c.start, _run.c.submit)).where(
            _run.c.shape_id.in_(named[at : at + _NAMED])
        )
        found.update((number, start) for number, start in connection.execute(query))
    return found
