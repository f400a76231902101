"""The columns that `opsd usage --measured` adds: exact in csv and json, in whole hours in the table.

Invariant: what no agent tells is empty, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from opsd.core import figures
from opsd.core.amounts import exact_text
from opsd.core.gpu_use import MS, PARTLY, Use, seconds, share
from opsd.core.period import HOUR

if TYPE_CHECKING:
    from opsd.pipeline.usage import Row, Usage

COLUMNS = (
    "measured_gpu_seconds", "process_gpu_seconds", "idle_gpu_seconds", "gpm_gpu_seconds",
    "sm_active_gpu_seconds", "tensor_active_gpu_seconds", "energy_joules", "coverage",
)  # fmt: skip
Texts = tuple[str | None, ...]
_KWH = 3_600_000 * MS  # in millijoules


def of(found: Usage, row: Row) -> Texts:
    """The exact texts of a row; none if they were not asked for."""
    if found.uses is None:
        return ()
    use, gpu_seconds = found.uses.get(row.key), row.measures.gpu_seconds
    if use is None:
        return (*["0"] * bool(gpu_seconds), *[None] * (7 - bool(gpu_seconds)), share(0, gpu_seconds) or None)
    told = (
        use.covered, use.told("process"), use.told("idle"), use.sm_active_of, use.told("sm_active"),
        use.told("tensor_active"), use.told("energy"),
    )  # fmt: skip
    return (*map(_text, told), share(use.counted_covered, MS * gpu_seconds) or None)


def _text(ms: int | None) -> str | None:
    exact = seconds(ms)
    return None if exact is None else exact_text(exact)


def remarks(found: Usage) -> Iterator[str]:
    """What the columns cannot say."""
    uses = (found.uses or {}).values()
    total = Use()
    for use in uses:
        total = total.plus(use)
    if not total.allocated:
        yield "no node agent has told of any GPU in this window: opsd status shows which nodes are asked"
        return
    for name in PARTLY:
        if name in ("process", "idle", "energy") and getattr(total, f"{name}_of") < total.covered:
            part = share(getattr(total, f"{name}_of"), total.covered)
            yield f"{name}: told of {part} of what was measured; the rest is in no figure of it"
    if total.energy_estimated:
        part = share(total.energy_estimated, total.energy)
        yield f"energy: {part} of it is estimated, from GPUs that several jobs or slices shared"


Figures = Sequence[int | str]


def table(found: Usage, *, by_hour: bool) -> list[tuple[str, Figures, str | int]]:
    """(title, a figure per row, their total) of the columns in the table, in hours or seconds."""
    uses = [(found.uses or {}).get(row.key, Use()) for row in found.rows]
    unit, letter = (HOUR * MS, "h") if by_hour else (MS, "s")
    columns: list[tuple[str, list[int | None], int]] = [
        (f"seen {letter}", [use.covered for use in uses], unit),
        (f"process {letter}", [use.told("process") for use in uses], unit),
        (f"idle {letter}", [use.told("idle") for use in uses], unit),
        (f"SM {letter}", [use.told("sm_active") for use in uses], unit),
        (f"tensor {letter}", [use.told("tensor_active") for use in uses], unit),
        ("kWh" if by_hour else "kJ", [use.told("energy") for use in uses], _KWH if by_hour else MS * MS),
    ]
    drawn = [(title, *_rounded(values, size)) for title, values, size in columns]
    seconds_of = [row.measures.gpu_seconds for row in found.rows]
    seen = [
        figures.percent(use.counted_covered, MS * all_of)
        for use, all_of in zip(uses, seconds_of, strict=True)
    ]
    whole = figures.percent(sum(use.counted_covered for use in uses), MS * sum(seconds_of))
    return [*drawn, ("seen %", seen, whole)]


def _rounded(values: Sequence[int | None], unit: int) -> tuple[Figures, int | str]:
    told = [value for value in values if value is not None]
    shown = iter(figures.largest_remainder(told, unit))
    column = ["" if value is None else next(shown) for value in values]
    return column, sum(one for one in column if isinstance(one, int)) if told else ""
