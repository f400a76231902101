"""Where the capacity of each cluster's nodes went.

Invariant: per class and resource, nominal = planned down + down + allocated + reserved idle + unallocated,
and available = nominal - planned down - down, as shown; the rows add up to each cluster and to all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opsd.core.statement import terms, told
from opsd.core.statement.footing import footed
from opsd.core.statement.table import (
    LEAF,
    STACKS,
    SUBTOTAL,
    TOTAL,
    WARN,
    Chart,
    Column,
    Less,
    Paragraph,
    Per,
    Row,
    Section,
    Series,
    Table,
)
from opsd.core.statement.view import CAPACITY_LINES, Counted, View
from opsd.core.statement.words import Msg, Text, Value, msg

TITLES = {"gpu": msg("Capacity in GPU-hours"), "cpu": msg("Capacity in CPU-hours")}
LABELS = {
    "allocated": msg("Allocated"),
    "reserved_idle": msg("Reserved and idle"),
    "planned_down": msg("Planned down"),
    "down": msg("Down"),
    "unallocated": msg("Not allocated"),
}
UNIT = {"gpu": terms.UNITS["gpu-hours"], "cpu": msg("CPU-hours")}
COLUMNS = (
    Column("place", msg("Cluster and class of nodes"), wide=True),
    Column("nominal", msg("Nominal"), sums=True),
    Column("planned_down", LABELS["planned_down"], sums=True),
    Column("down", LABELS["down"], sums=True),
    Column("available", msg("Available"), formula=Less(("nominal", "planned_down", "down"))),
    Column("allocated", LABELS["allocated"], sums=True),
    Column("reserved_idle", LABELS["reserved_idle"], sums=True),
    Column("unallocated", LABELS["unallocated"], sums=True),
    Column("share", msg("Allocated, of available"), formula=Per("allocated", "available")),
)
EXPLAINED = (
    msg(
        "Nominal is every unit of every node, every second. Available is nominal less planned down and down."
    ),
    msg("Allocated is what runs held; reserved and idle is what a reservation kept free for somebody."),
)


def section(view: View) -> Section | None:
    """A table and a picture for each resource; nothing where no capacity is on record."""
    by_resource = {name: [one for one in view.capacity if one.capacity.resource == name] for name in TITLES}
    blocks = [
        block
        for name, found in by_resource.items()
        if found
        for block in (_chart(name, found), _table(view, name, found))
    ]
    notes = tuple(
        Paragraph(msg("{note}", note=told.note(note, view.cluster_name)), WARN) for note in _notes(view)
    )
    if not blocks and not notes:
        return None
    return Section("capacity", msg("Capacity"), (*blocks, *notes))


def _notes(view: View) -> tuple[str, ...]:
    return view.dossier.quality.capacity_notes


def _table(view: View, resource: str, found: Sequence[Counted]) -> Table:
    rows = [*_rows(view, found), Row({"place": msg("All clusters")}, {}, TOTAL)]
    return Table(f"capacity_{resource}", TITLES[resource], COLUMNS, footed(COLUMNS, rows), EXPLAINED)


def _rows(view: View, found: Sequence[Counted]) -> Iterator[Row]:
    cluster = ""
    for one in found:
        where = one.capacity
        if where.cluster != cluster:
            cluster = where.cluster
            yield Row({"place": Text(view.name("cluster", cluster))}, {"cluster": cluster}, SUBTOTAL)
        keys = {"cluster": cluster, "node_class": where.node_class}
        cells: dict[str, Value] = {"place": Text(where.node_class), "nominal": one.total, **one.lines}
        yield Row(cells, keys, LEAF, 1)


def _chart(resource: str, found: Sequence[Counted]) -> Chart:
    title: Msg = msg("Where the capacity went")
    categories = tuple(Text(f"{one.capacity.cluster} {one.capacity.node_class}") for one in found)
    series = tuple(Series(LABELS[name], tuple(one.lines[name] for one in found)) for name in CAPACITY_LINES)
    return Chart(f"capacity_{resource}_chart", STACKS, title, categories, series, UNIT[resource])
