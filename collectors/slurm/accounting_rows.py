"""What rows of slurmdbd's tables say: from columns by name to opsd's records, without any database.

Invariant: a row is read whole or named in an error; nothing is guessed from a number that is not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from collectors.protocol import RolledHour, StaleUsage
from collectors.slurm.bits import node_state, reservation_flags
from collectors.slurm.machine import kind
from opsd.core.errors import BadText
from opsd.core.period import HOUR
from opsd.core.records import NodeEvent, Reservation
from opsd.core.tres import Tres
from opsd.core.usage import spans_text

Row = Mapping[str, Any]
NOT_SET = (0xFFFF_FFFF_FFFF_FFFE, 0xFFFF_FFFF_FFFF_FFFF)  # NO_VAL64, INFINITE64
ENERGY = "energy"  # added up over a whole run, so no count of anything held


def tres_names(rows: Iterable[Row]) -> dict[int, str]:
    """`cpu`, `gres/gpu:h100`, … by their number in tres_table; deleted ones too, old rows hold them."""
    return {
        int(row["id"]): f"{row['type']}/{row['name']}" if row["name"] else str(row["type"]) for row in rows
    }


def tres_text(text: str, names: Mapping[int, str]) -> str:
    """Canonical text of `1=16,2=64000`: numbers by their names, without energy and what is not set."""
    counts: dict[str, int] = {}
    for entry in text.strip(",").split(",") if text else ():
        number, equals, count = entry.partition("=")
        if not equals or not number.isdecimal() or not count.isdecimal():
            raise BadText("TRES of slurmdbd's tables is not number=count", entry, f"in {text!r}")
        name = names.get(int(number))
        if name is None:
            raise BadText("TRES number is not in slurmdbd's tres_table", number, "is that table readable?")
        if name != ENERGY and int(count) not in NOT_SET:
            counts[name] = int(count)
    return Tres.of(counts).text


def suspensions(rows: Iterable[Row]) -> dict[int, str]:
    """`RunRecord.suspensions` by DBIndex, from rows of suspend_table in any order."""
    found: dict[int, list[tuple[int, int | None]]] = defaultdict(list)
    for row in rows:
        found[int(row["job_db_inx"])].append((int(row["time_start"]), int(row["time_end"]) or None))
    texts = ((number, spans_text(spans)) for number, spans in found.items())
    return {number: text for number, text in texts if text}


def event(row: Row, cluster: str, names: Mapping[int, str]) -> NodeEvent:
    """A row of event_table."""
    node, state = str(row["node_name"]), int(row["state"])
    nodes = str(row["cluster_nodes"] or "") if not node else ""
    tres = tres_text(str(row["tres"] or ""), names)
    return NodeEvent(
        cluster, node, int(row["time_start"]), int(row["time_end"]) or None, kind(node, state),
        node_state(state) if node else "", str(row["reason"]), tres, nodes,
    )  # fmt: skip


def reservation(row: Row, cluster: str, names: Mapping[int, str]) -> Reservation:
    """A row of resv_table; one whose start an administrator forced (24.05 on) begins then."""
    start = max(int(row["time_start"]), int(row.get("time_force") or 0))
    return Reservation(
        cluster, int(row["id_resv"]), start, int(row["time_end"]), str(row["resv_name"]),
        str(row["nodelist"]), reservation_flags(int(row["flags"])), tres_text(str(row["tres"] or ""), names),
        tuple(int(number) for number in str(row["assoclist"] or "").split(",") if number.strip()),
    )  # fmt: skip


def rolled_hours(rows: Iterable[Row], start: int) -> list[RolledHour]:
    """Rows of usage_hour_table, several a TRES and hour, as hours.

    A row's time is its hour, or when the cluster was registered in it.

    Args:
        start: of an hour of slurmdbd's clock, and no row is before it.
    """
    rolled: dict[int, int] = {}
    for row in rows:
        hour = start + (int(row["time_start"]) - start) // HOUR * HOUR
        rolled[hour] = max(rolled.get(hour, 0), int(row["mod_time"]))
    return [RolledHour(hour, rolled[hour]) for hour in sorted(rolled)]


def stale(rows: Iterable[Row], hours: Iterable[RolledHour], names: Mapping[int, str]) -> Iterator[StaleUsage]:
    """Rows of assoc_usage_hour_table that are older than the last roll-up of their hour."""
    rolled = {hour.start: hour.rolled_at for hour in hours}
    for row in rows:
        hour, written = int(row["time_start"]), int(row["mod_time"])
        if written < rolled.get(hour, 0) and int(row["alloc_secs"]):
            tres = names[int(row["id_tres"])]
            yield StaleUsage(int(row["association"]), hour, tres, int(row["alloc_secs"]), written)
