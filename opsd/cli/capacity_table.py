"""Capacity as tables for people: shares with bars, and Slurm's lines with the causes that matter."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

from rich.text import Text

from opsd.cli import draw
from opsd.cli.draw import Bar, Column
from opsd.core import figures
from opsd.core.capacity import LINES
from opsd.core.period import HOUR, isoformat
from opsd.core.utilisation import CAUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsd.pipeline.capacity import Capacity
    from opsd.pipeline.utilised import Comparison

_FEW_SECONDS = 50 * HOUR
_BAR_WIDTH = 16
_RANKS = {"allocated": 6, "reserved_idle": 3, "planned_down": 2, "down": 4, "unallocated": 5}


def capacity_table(found: Capacity, tz: tzinfo) -> None:
    """One line per key and resource, with a bar for the share that runs held."""
    by_hour = max((row.lines.total for row in found.rows), default=0) >= _FEW_SECONDS
    unit = HOUR if by_hour else 1
    columns = [Column(key.replace("_", " ")) for key in found.keys]
    columns += [Column("resource"), Column("total", numeric=True)]
    columns += [Column(line.replace("_", " "), numeric=True, rank=_RANKS[line]) for line in LINES[1:]]
    columns += [Column("held", numeric=True), Column("", least=4)]
    lines: list[Sequence[draw.Cell]] = []
    for row in found.rows:
        parts = figures.largest_remainder(row.lines[1 : len(LINES)], unit)
        share = row.lines.allocated / row.lines.total if row.lines.total else 0.0
        percent = figures.percent(row.lines.allocated, row.lines.total)
        lines.append(
            (*row.key, row.resource, sum(parts), *parts, percent, Bar(share, width=_BAR_WIDTH))
        )  # fmt: skip
    window = f"{isoformat(found.window.start, tz)} to {isoformat(found.window.end, tz)}"
    what = "hours, rounded so that every line adds up" if by_hour else "seconds"
    caption = f"in CPU- and GPU-{what}; --format csv has whole seconds" if lines else ""
    draw.console().print(draw.table(f"Capacity from {window}", columns, lines, caption=caption))


def comparison_table(found: Comparison) -> None:
    """One line per TRES and line, with the causes that make any difference."""
    used = [at for at in range(len(CAUSES)) if any(one.causes[at] for one in found.lines)]
    columns = [Column("TRES"), Column("line"), Column("opsd", numeric=True)]
    columns += [Column(CAUSES[at].replace("_", " "), numeric=True, rank=at + 1) for at in used]
    columns += [Column("sreport", numeric=True), Column("left over", numeric=True)]
    lines: list[Sequence[draw.Cell]] = []
    for one in found.lines:
        left = Text(figures.grouped(one.left_over), draw.OVER if one.left_over else "")
        causes = (one.causes[at] or None for at in used)
        lines.append((one.tres, one.line.replace("_", " "), one.opsd, *causes, one.slurm, left))
    window = f"{isoformat(found.window.start)} to {isoformat(found.window.end)}"
    caption = (
        "in TRES-seconds; sreport = opsd + the causes + left over; unallocated: sreport's Idle and Planned"
    )
    draw.console().print(
        draw.table(f"Cluster {found.cluster} from {window}", columns, lines, caption=caption)
    )  # fmt: skip
