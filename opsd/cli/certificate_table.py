"""A certificate on a terminal: how it stands first, then the totals, then every cell that differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from opsd.cli import draw
from opsd.cli.draw import Bar, Column
from opsd.core.certificate import CAUSES
from opsd.core.figures import grouped
from opsd.core.period import isoformat, zone
from opsd.reports.certificate import different, shown_causes, summary

if TYPE_CHECKING:
    from opsd.core.certificate import Cell, Certificate

_STYLES = {"equal": draw.FINE, "explained": draw.WATCH, "unexplained": draw.OVER}
_SHORT = {
    "suspension": "suspension", "reservation_idle": "resv idle", "resize_overlap": "resize",
    "not_rolled_up": "not rolled", "late_record": "late", "runaway": "runaway",
    "reassociated": "moved", "never_eligible": "not eligible", "rounding": "rounding",
}  # fmt: skip
_MOST_LINES = 200


def certificate_table(found: Certificate) -> None:
    """All of it."""
    console = draw.console()
    console.print(_standing(found))
    for table in _tables(found):
        console.print()
        console.print(table)


def _tables(found: Certificate) -> Iterator[draw.Drawn]:
    if found.cells:
        yield _figures(found, "All accounts", [found.total(tres) for tres in found.tres])
    if lines := different(found):
        shown = sorted(lines, key=lambda cell: not cell.unexplained)[:_MOST_LINES]
        more = len(lines) - len(shown)
        yield _figures(found, "Where opsd and Slurm differ", sorted(shown, key=_place), who=True, more=more)
    if found.unknowns:
        yield _unknowns(found)
    if any(limit.limits for limit in found.limits):
        yield _limits(found)


def _place(cell: Cell) -> tuple[str, str, str]:
    return cell.account, cell.user, cell.tres


def _standing(found: Certificate) -> draw.Drawn:
    tz = zone(found.zone)
    counts = summary(found)
    whole = counts["cells"] or 1
    rows: list[Sequence[draw.Cell]] = [
        (Text(name, style), counts[name], Bar(counts[name] / whole, width=40, style=style, track=False))
        for name, style in _STYLES.items()
    ]
    title = (
        f"{found.cluster} against sreport, {isoformat(found.window.start, tz)} to "
        f"{isoformat(found.window.end, tz)}"
    )
    columns = [Column("cells"), Column("", numeric=True), Column("", least=8)]
    caption = f"from {found.evidence}"
    if found.left_out:
        caption += f"; not compared: {' '.join(found.left_out)}"
    if known := counts["cannot_be_known"]:
        caption += f"; {known:,} of the unexplained lie within what nobody can know"
    return draw.table(title, columns, rows, caption=caption, head=False)


def _figures(
    found: Certificate, title: str, cells: Sequence[Cell], *, who: bool = False, more: int = 0
) -> draw.Drawn:
    """opsd + causes + unexplained = sreport, from left to right."""
    causes = shown_causes(found)
    columns = [Column("account"), Column("user")] if who else []
    columns += [Column("TRES"), Column("opsd", numeric=True, rank=2)]
    columns += [Column(_SHORT[CAUSES[place]], numeric=True, rank=3 + place) for place in causes]
    columns += [Column("unexplained", numeric=True), Column("sreport", numeric=True, rank=1)]
    rows = []
    for cell in cells:
        left = Text(grouped(cell.unexplained), draw.OVER) if cell.unexplained else Text("0", draw.QUIET)
        names = (cell.account, cell.user) if who else ()
        figures = (cell.causes[place] or None for place in causes)
        rows.append((*names, cell.tres, cell.opsd, *figures, left, cell.sreport))
    caption = "TRES-seconds (mem: MB-seconds); an account's line includes those below it"
    if more:
        caption += f"; and {more:,} cells more: --format csv has all"
    return draw.table(title, columns, rows, caption=caption if who else "")


def _unknowns(found: Certificate) -> draw.Drawn:
    columns = [
        Column("account"), Column("user"), Column("TRES"), Column("at least", numeric=True),
        Column("at most", numeric=True), Column("why"), Column("which", rank=1),
    ]  # fmt: skip
    widest = sorted(found.unknowns, key=lambda u: (u.least - u.most, u))
    rows = [
        (u.account or "unknown", u.user, u.tres, u.least, u.most, u.words, u.subject.text)
        for u in widest[:_MOST_LINES]
    ]
    more = len(widest) - len(rows)
    caption = f"and {more:,} more: --format json has all" if more else ""
    return draw.table("What nobody can know here", columns, rows, caption=caption)


def _limits(found: Certificate) -> draw.Drawn:
    columns = [
        Column("account"), Column("user"), Column("raw usage", numeric=True),
        Column("GrpTRESMins", least=8, ratio=1), Column("used", least=8, ratio=1),
    ]  # fmt: skip
    rows = [
        (limit.account, limit.user, limit.raw_usage, _minutes(limit.limits), _minutes(limit.used))
        for limit in found.limits
        if limit.limits
    ]
    caption = "sshare's billing-seconds and minutes: they decay, know UsageFactor, and are no usage"
    return draw.table("Beside it: limits and what they are held against", columns, rows, caption=caption)


def _minutes(counts: object) -> str:
    pairs = dict(counts).items() if isinstance(counts, dict) else ()
    return " ".join(f"{name}={count:,}" for name, count in pairs if count)
