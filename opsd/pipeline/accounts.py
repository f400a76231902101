"""Slurm accounts beside the awards they draw on: what is unattributed comes first.

Invariant: every account that used anything is listed, bound or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from opsd.core.attribution import UNATTRIBUTED, Attribution
from opsd.core.consortium import Consortium
from opsd.core.period import Window
from opsd.pipeline import usage
from opsd.store import parties
from opsd.store.engine import Store

COLUMNS = ("cluster", "account", "award", "gpu_seconds", "cpu_seconds", "hint")
_BY = ("cluster", "account", "award")


@dataclass(frozen=True, slots=True)
class Line:
    """An account's use for one award (or for none)."""

    cluster: str
    account: str
    award: str
    gpu_seconds: int
    cpu_seconds: int
    hint: str

    @property
    def unattributed(self) -> bool:
        """Whether nobody is bound to pay."""
        return self.award == UNATTRIBUTED

    @property
    def values(self) -> tuple[str | int, ...]:
        """In the order of COLUMNS."""
        return self.cluster, self.account, self.award, self.gpu_seconds, self.cpu_seconds, self.hint


def run(store: Store, window: Window, *, now: int) -> list[Line]:
    """Use by account and award over a window, and accounts bound now that used nothing."""
    with store.read() as connection:
        consortium = parties.load(connection)
        found = usage.run(connection, window, _BY)
    used = []
    for row in found.rows:
        cluster, account, award = row.key
        used.append((cluster, account, award, row.measures.gpu_seconds, row.measures.cpu_seconds))
    return listing(used, consortium, now)


def listing(used: Iterable[tuple[str, str, str, int, int]], consortium: Consortium, now: int) -> list[Line]:
    """Unattributed first, the largest use first; then the rest by name.

    Args:
        used: (cluster, account, award label, GPU-seconds, CPU-seconds).
        consortium: for hints, and for bindings without use.
        now: decides which of those are in force.
    """
    lines = [Line(*row, hint=consortium.hint(row[1])) for row in used]
    known = {(line.cluster, line.account, line.award.rpartition(":")[2]) for line in lines}
    attribution = Attribution(consortium)
    for binding in consortium.bindings:
        place = (binding.cluster, binding.account)
        award, _ = attribution.award_at(*place, binding.partition, binding.qos, now)
        if award and (*place, award.id) not in known:
            known.add((*place, award.id))
            lines.append(Line(*place, award.id, 0, 0, consortium.hint(binding.account)))
    return sorted(lines, key=_order)


def _order(line: Line) -> tuple[bool, int, int, str, str, str]:
    use = (-line.gpu_seconds, -line.cpu_seconds) if line.unattributed else (0, 0)
    return (not line.unattributed, *use, line.cluster, line.account, line.award)
