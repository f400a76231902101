"""`scontrol show reservation`, one line each, to the reservations that are or are to come.

Invariant: a GPU counts as reserved where the reservation's TRES say so, or where its whole node is reserved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.slurm import grammar, hosts
from collectors.slurm.present_words import each, epoch, lines, optional, tres_gpus, value
from opsd.core.errors import BadText
from opsd.core.present import NodeNow, ReservationNow

_NONE = "No reservations in the system"
_CORES = " CoreIDs="  # of nodes of which it has some cores alone


def read(text: str, nodes: Sequence[NodeNow] | None) -> list[ReservationNow]:
    """Every reservation.

    Args:
        nodes: those of the cluster; None: not known, nor then how many GPUs nodes have.

    Raises:
        Unavailable: a line cannot be read.
    """
    found = [] if text.strip() == _NONE else lines(text)
    gpus = None if nodes is None else {node.name: sum(node.gpus.values()) for node in nodes}
    return each("scontrol show reservation", found, lambda line: _reservation(line, gpus))


def _reservation(line: str, gpus: Mapping[str, int] | None) -> ReservationNow:
    if not line.startswith("ReservationName="):
        raise BadText("a line does not begin with ReservationName=", line, "is it Slurm's?")
    start, end = (epoch(value(line, name), name) for name in ("StartTime", "EndTime"))
    if start is None or end is None:
        raise BadText("a reservation has no start or no end", line)
    return ReservationNow(
        value(line, "ReservationName"), value(line, "State").lower(), start, end,
        optional(line, "PartitionName") or "", ",".join(sorted(value(line, "Flags").split(","))),
        grammar.whole(value(line, "NodeCnt"), "NodeCnt"), _gpus(line, gpus),
    )  # fmt: skip


def _gpus(line: str, gpus: Mapping[str, int] | None) -> int | None:
    """22.05 lists no GPUs among a reservation's TRES, whatever nodes it has."""
    if told := tres_gpus(optional(line, "TRES") or ""):
        return sum(told.values())
    names = [] if _CORES in line else hosts.expand(value(line, "Nodes"))
    if names and gpus is None:
        return None
    return sum(gpus.get(name, 0) for name in names) if gpus else 0
