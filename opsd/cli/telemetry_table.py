"""Allocated beside used, on a terminal: by key, then the largest waste, then what does not fit.

Invariant: figures are rounded so that every column adds up; what no agent tells is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo

from rich.text import Text

from opsd.cli import draw
from opsd.cli.draw import Bar, Column
from opsd.core import figures
from opsd.core.gpu_use import MS
from opsd.core.period import HOUR, isoformat
from opsd.core.telemetry_certificate import MEANINGS, REASONS, Comparison, Line

_HOUR_MS = HOUR * MS
_KWH_MJ = 3_600_000 * MS
_WASTE = 5
_MOST = 20
_COLUMNS = (
    Column("GPU-h", numeric=True), Column("seen", numeric=True), Column("process h", numeric=True, rank=2),
    Column("idle h", numeric=True), Column("idle", numeric=True, rank=5),
    Column("SM h", numeric=True, rank=3),
    Column("tensor h", numeric=True, rank=1), Column("kWh", numeric=True, rank=4),
    Column("SM active", least=6),
)  # fmt: skip


def telemetry_table(found: Comparison, tz: tzinfo) -> None:
    """All of it."""
    console = draw.console()
    for place, table in enumerate(_tables(found, tz)):
        if place:
            console.print()
        console.print(table)


def _tables(found: Comparison, tz: tzinfo) -> Iterator[draw.Drawn]:
    yield _lines(found, tz)
    if waste := sorted((one for one in found.lines if one.use.idle >= _HOUR_MS), key=_waste)[:_WASTE]:
        yield _largest(found, waste)
    if found.total.gpu_seconds:
        yield _unseen(found)
    if found.drifts:
        yield _drifts(found, tz)
    if found.strays:
        yield _strays(found)


def _waste(line: Line) -> tuple[int, tuple[str, ...]]:
    return -line.use.idle, line.key


def _lines(found: Comparison, tz: tzinfo) -> draw.Drawn:
    total = found.total
    lines = found.lines
    columns: list[Sequence[draw.Cell]] = [
        _rounded([MS * one.gpu_seconds for one in lines], _HOUR_MS),
        [_seen(one) for one in lines],
        _rounded([one.use.told("process") for one in lines], _HOUR_MS),
        _rounded([one.use.told("idle") for one in lines], _HOUR_MS),
        [figures.percent(one.use.idle, one.use.idle_of) for one in lines],
        _rounded([one.use.told("sm_active") for one in lines], _HOUR_MS),
        _rounded([one.use.told("tensor_active") for one in lines], _HOUR_MS),
        _rounded([one.use.told("energy") for one in lines], _KWH_MJ),
    ]
    rows: list[Sequence[draw.Cell]] = [
        (*one.key, *(column[at] for column in columns), _bar(one)) for at, one in enumerate(lines)
    ]
    sums: list[draw.Cell] = [_sum(column) for column in columns]
    sums[1], sums[4] = _seen(total), figures.percent(total.use.idle, total.use.idle_of)
    named = ("total", *("" for _ in found.keys[1:])) if found.keys else ()
    window = f"{isoformat(found.window.start, tz)} to {isoformat(found.window.end, tz)}"
    caption = "seen: the share of GPU-h that agents saw; idle, process, SM and tensor are of that part alone"
    if total.use.uncounted:
        caption += "; jobs on shards are in these, and not in GPU-h and seen"
    if total.use.energy_estimated:
        part = figures.percent(total.use.energy_estimated, total.use.energy)
        caption += f"; {part} of the energy is estimated, from shared GPUs"
    heads = [*(Column(key.replace("_", " ")) for key in found.keys), *_COLUMNS]
    return draw.table(
        f"Allocated against used, {window}", heads, rows,
        total=(*named, *sums, _bar(total)) if len(rows) > 1 else None, caption=caption,
    )  # fmt: skip


def _seen(line: Line) -> str:
    return figures.percent(line.use.counted_covered, MS * line.gpu_seconds)


def _bar(line: Line) -> Bar | None:
    if not line.use.sm_active_of:
        return None
    return Bar(line.use.sm_active / line.use.sm_active_of, width=16)


def _rounded(values: Sequence[int | None], unit: int) -> list[draw.Cell]:
    shown = iter(figures.largest_remainder([value for value in values if value is not None], unit))
    return [None if value is None else next(shown) for value in values]


def _sum(column: Sequence[draw.Cell]) -> int | None:
    told = [one for one in column if isinstance(one, int)]
    return sum(told) if told else None


def _largest(found: Comparison, waste: Sequence[Line]) -> draw.Drawn:
    whole = found.total.use.idle or 1
    columns = [
        *(Column(key.replace("_", " ")) for key in found.keys), Column("idle h", numeric=True),
        Column("of what was seen", numeric=True), Column("of all idle", least=6),
    ]  # fmt: skip
    rows: list[Sequence[draw.Cell]] = [
        (
            *one.key, figures.nearest(one.use.idle, _HOUR_MS), figures.percent(one.use.idle, one.use.idle_of),
            Bar(one.use.idle / whole, width=24, style=draw.WATCH),
        )
        for one in waste
    ]  # fmt: skip
    return draw.table("Held and idle: the most", columns, rows)


def _unseen(found: Comparison) -> draw.Drawn:
    """Allocated = seen + each of these."""
    total = found.total
    parts = [
        ("seen", total.use.counted_covered, "by the agents"),
        ("gaps", total.gaps_ms, "in a record, between samples too far apart"),
        ("difference", total.difference_ms, "what Slurm counts more than the agents, of runs both know"),
        *((name, MS * ms, MEANINGS[name]) for name, ms in zip(REASONS, total.silent, strict=True)),
    ]  # fmt: skip
    rounded = figures.largest_remainder([ms for _, ms, _ in parts], _HOUR_MS)
    whole = MS * total.gpu_seconds
    rows: list[Sequence[draw.Cell]] = [
        (
            Text(name.replace("_", " "), draw.FINE if name == "seen" else ""), hours,
            figures.percent(ms, whole), Bar(ms / whole, width=24, track=False), meaning,
        )
        for (name, ms, meaning), hours in zip(parts, rounded, strict=True)
        if ms
    ]  # fmt: skip
    columns = [
        Column("GPU-hours"), Column("", numeric=True), Column("", numeric=True), Column("", least=4),
        Column("", least=10, ratio=1),
    ]  # fmt: skip
    return draw.table("Where all of it is", columns, rows, head=False)


def _drifts(found: Comparison, tz: tzinfo) -> draw.Drawn:
    columns = [
        Column("cluster", rank=1), Column("job"), Column("from", rank=2), Column("GPUs", numeric=True),
        Column("devices", numeric=True), Column("Slurm GPU-s", numeric=True),
        Column("agents GPU-s", numeric=True),
        Column("nodes", least=4, ratio=1, rank=3),
    ]  # fmt: skip
    worst = sorted(found.drifts, key=lambda one: (-abs(one.agents_ms - one.slurm_ms), one))
    rows = [
        (
            one.cluster, str(one.job_id), isoformat(one.begin, tz)[:16], one.gpus, one.devices,
            figures.nearest(one.slurm_ms, MS), figures.nearest(one.agents_ms, MS), one.nodes,
        )
        for one in worst[:_MOST]
    ]  # fmt: skip
    caption = "opsd explain run JOB shows the records of a job"
    if len(worst) > _MOST:
        caption += f"; and {len(worst) - _MOST:,} more: --format json has all"
    return draw.table("Runs that Slurm and the agents measure differently", columns, rows, caption=caption)


def _strays(found: Comparison) -> draw.Drawn:
    columns = [
        Column("cluster", rank=1), Column("node"), Column("records", numeric=True),
        Column("GPU-s", numeric=True), Column("jobs", least=8, ratio=1),
    ]  # fmt: skip
    rows = [
        (
            one.cluster,
            one.node,
            one.records,
            figures.nearest(one.allocated_ms, MS),
            " ".join(map(str, one.jobs)),
        )
        for one in found.strays
    ]
    return draw.table("Records of no run that is stored", columns, rows)
