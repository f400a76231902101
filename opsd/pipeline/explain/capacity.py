"""A line of `opsd capacity` explained: the nodes, runs, events and reservations behind it.

Invariant: what is printed adds up to the line: what comes first at an instant (a run on a node that drains)
is a row of its own, taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo

from opsd.core.capacity import LINES, RESOURCES, Lines
from opsd.core.errors import WrongUsage
from opsd.core.explanation import NUMBER, TIME, Column, Explanation, Table, Value
from opsd.core.names import nearest
from opsd.core.period import Window, isoformat
from opsd.pipeline import capacity
from opsd.pipeline.capacity import Part
from opsd.pipeline.explain import runs
from opsd.pipeline.explain.cells import Cell as Asked
from opsd.store import trace
from opsd.store.engine import Connection

KEYS = ("cluster", "node_class", "resource")
_PRECEDENCE = (
    "at each instant a node is allocated first, then planned down, then down, then reserved and idle; "
    "the rest is unallocated"
)
_FIRST = "less what comes first at the same time"


def run(
    connection: Connection, window: Window, asked: Asked, *, column: str, tz: tzinfo = UTC, limit: int = 20
) -> Explanation:
    """Explain one line of one node class.

    Args:
        asked: a node class, a resource (default: gpu) and, of several, a cluster.
        column: one of `opsd.core.capacity.LINES`.
        tz: in which the window is named.
    """
    if column not in LINES:
        listed = f"columns: {' '.join(LINES)}"
        raise WrongUsage(f"--column {column!r}: no such column{nearest(column, LINES, listed)}")
    cell = dict(asked)
    resource = cell.get("resource", "gpu")
    cluster, node_class, lines = _lines(connection, window, cell, resource)
    parts = capacity.parts(connection, window, node_class, resource, column, cluster=cluster)
    figure = int(getattr(lines, column))
    tables = (_parts(connection, parts, lines, column, limit), _whole(lines))
    return Explanation(
        "capacity",
        {
            "from": isoformat(window.start, tz), "to": isoformat(window.end, tz), "cluster": cluster,
            "node_class": node_class, "resource": resource, "column": column,
        },
        {column: figure, "total": lines.total}, tables,
        {"precedence": _PRECEDENCE, "unit": f"{resource}-seconds"},
    )  # fmt: skip


def _lines(
    connection: Connection, window: Window, cell: Mapping[str, str], resource: str
) -> tuple[str, str, Lines]:
    if resource not in RESOURCES:
        raise WrongUsage(f"--cell resource={resource}: there are {' '.join(RESOURCES)}")
    rows = capacity.run(connection, window).rows
    if not rows:
        raise WrongUsage("no capacity is known in this window: opsd capacity says why")
    for place, name in enumerate(("cluster", "node_class")):
        known = sorted({row.key[place] for row in rows})
        if name not in cell and len(known) > 1:
            raise WrongUsage(f"--cell: say which {name}: {' '.join(filter(None, known))}")
        value = cell.get(name, known[0])
        if value not in known:
            listed = f"there are: {' '.join(filter(None, known))}"
            raise WrongUsage(f"--cell {name}={value}: no such {name}{nearest(value, known, listed)}")
        rows = tuple(row for row in rows if row.key[place] == value)
    found = next((row.lines for row in rows if row.resource == resource), Lines())
    return rows[0].key[0], rows[0].key[1], found


def _parts(connection: Connection, parts: list[Part], lines: Lines, column: str, limit: int) -> Table:
    columns = (
        Column("what"), Column("name"), Column("account"), Column("from", TIME), Column("to", TIME),
        Column("seconds", NUMBER),
    )  # fmt: skip
    ordered = sorted(parts, key=lambda part: (-part.seconds, part.start, part.id))
    shown = ordered[:limit]
    known = trace.runs(connection, (int(part.id) for part in shown if part.what == "run"))
    rows: list[tuple[Value, ...]] = []
    for part in shown:
        one = known.get(int(part.id)) if part.what == "run" else None
        name, account = (runs.label(one), one.record.account) if one else (part.id, None)
        rows.append((part.what, name, account, part.start, part.end, part.seconds))
    if others := ordered[limit:]:
        seconds = sum(part.seconds for part in others)
        rows.append((f"{len(others):,} more", None, None, None, None, seconds))
    figure = int(getattr(lines, column))
    rows += _taken_off(sum(part.seconds for part in parts), lines, column)
    return Table("parts", "What is behind it, the largest first", columns, tuple(rows), "seconds", figure)


def _taken_off(summed: int, lines: Lines, column: str) -> list[tuple[Value, ...]]:
    """The rows that lead from the parts' sum to the line."""
    if column == "unallocated":
        others = [(name, int(getattr(lines, name))) for name in LINES[1:-1]]
        return [(f"less {name}", None, None, None, None, -value) for name, value in others if value]
    rest = int(getattr(lines, column)) - summed
    if not rest:
        return []
    name = "less over-commit, clipped" if column == "allocated" and rest == -lines.over_commit else _FIRST
    return [(name, None, None, None, None, rest)]


def _whole(lines: Lines) -> Table:
    rows = tuple((name.replace("_", " "), int(getattr(lines, name))) for name in LINES[1:])
    columns = Column("line"), Column("seconds", NUMBER)
    title = "The whole: total = the sum of these"
    return Table("whole", title, columns, rows, "seconds", lines.total)
