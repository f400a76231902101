"""The tables that `opsd demo` prints.

Invariant: every table foots, in whole hours; nothing here depends on the clock or on the folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from rich.console import Group
from rich.text import Text

from opsd.cli import draw
from opsd.cli.chart import Chart, Layer
from opsd.cli.draw import Bar, Cell, Column, Drawn
from opsd.core import attention, figures
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.flags import MEANINGS
from opsd.core.period import HOUR, isoformat
from opsd.pipeline.balance import Balances, Line
from opsd.pipeline.demo import Demo
from opsd.pipeline.usage import Usage

NAMES = {"JU": "EuroHPC JU", "ES": "Spain", "PT": "Portugal", "TR": "Türkiye", "RO": "Romania"}
COLOURS = {"ES": "color(178)", "PT": "color(37)", "TR": "color(167)", "RO": "color(69)"}
HARDLY_USED = 5  # percent
NARROW = 96  # below this many columns, titles are left out


def show(demo: Demo) -> None:
    """Everything, in the order of interest."""
    out = draw.console()
    first, last = (isoformat(at)[:10] for at in (demo.window.start, demo.window.end))
    out.print(Text(f"A simulated AI factory, {first} to {last}", draw.TITLE))
    out.print(f"{demo.read.rows:,} rows of sacct text read, {demo.read.quarantined:,} quarantined")
    for part in (
        countries(demo),
        day_by_day(demo.by_country_day),
        payers(demo.by_pays_leads_uses),
        balances(demo, wide=out.width >= NARROW),
        *unattributed(demo),
        quality(demo),
    ):
        out.print()
        out.print(part)


def countries(demo: Demo) -> Drawn:
    """GPU-hours by the country that leads, month by month."""
    months, seconds = _pivot(demo.by_country_month)
    order = sorted(seconds, key=lambda code: (code == UNATTRIBUTED, -sum(seconds[code])))
    shown = figures.hours_of_matrix([seconds[code] for code in order])
    most = max(map(sum, shown), default=0) or 1
    whole = sum(map(sum, shown))
    rows: list[list[Cell]] = [
        [
            _country(code),
            *line,
            sum(line),
            figures.percent(sum(line), whole),
            Bar(sum(line) / most, width=40, style=COLOURS.get(code, draw.QUIET), track=False),
        ]
        for code, line in zip(order, shown, strict=True)
    ]
    columns = [
        Column("lead country"),
        *(Column(month, numeric=True) for month in months),
        Column("total", numeric=True),
        Column("share", numeric=True),
        Column("", least=4),
    ]
    sums = [sum(line[place] for line in shown) for place in range(len(months))]
    total: list[Cell] = ["total", *sums, whole, "", ""]
    return draw.table("GPU-hours by lead country and month (UTC)", columns, rows, total=total)


def _pivot(found: Usage) -> tuple[list[str], dict[str, list[int]]]:
    """GPU-seconds of (country, month) rows, months across."""
    months = sorted({row.key[1] for row in found.rows})
    cells: dict[str, list[int]] = defaultdict(lambda: [0] * len(months))
    for row in found.rows:
        cells[row.key[0]][months.index(row.key[1])] = row.measures.gpu_seconds
    return months, dict(cells)


def day_by_day(found: Usage) -> Group:
    """The course of the ninety days, countries upon each other in the colours of the table."""
    days = sorted({row.key[1] for row in found.rows})
    course: dict[str, list[int]] = defaultdict(lambda: [0] * len(days))
    for row in found.rows:
        course[row.key[0]][days.index(row.key[1])] = row.measures.gpu_seconds // HOUR
    order = [*COLOURS, *(code for code in sorted(course) if code not in COLOURS)]
    layers = [Layer(COLOURS.get(code, draw.QUIET), course[code]) for code in order if code in course]
    marks = [day[:7] if day.endswith("-01") else "" for day in days]
    return Group(Text("GPU-hours day by day", draw.TITLE), Chart(layers, marks))


def _country(code: str) -> Text:
    if code == UNATTRIBUTED:
        return Text(code, draw.QUIET)
    return Text.assemble((code, COLOURS.get(code, "")), f" {NAMES.get(code, '')}".rstrip())


def payers(found: Usage) -> Drawn:
    """Who pays (down) for what is led from where (across), in GPU-hours."""
    cells: dict[tuple[str, str], int] = defaultdict(int)
    for row in found.rows:
        cells[row.key[0], row.key[1]] += row.measures.gpu_seconds
    pays, leads = (_order({key[place] for key in cells}) for place in (0, 1))
    # By columns, so that a country's total is the same whole number as in the table above.
    by_lead = figures.hours_of_matrix([[cells[payer, lead] for payer in pays] for lead in leads])
    shown = list(zip(*by_lead, strict=True))
    rows: list[list[Cell]] = [
        [
            _country(payer),
            *(_flow(payer, lead, hours) for lead, hours in zip(leads, line, strict=True)),
            sum(line),
        ]
        for payer, line in zip(pays, shown, strict=True)
    ]
    sums = [sum(line[place] for line in shown) for place in range(len(leads))]
    columns = [Column("paid by"), *(Column(lead, numeric=True) for lead in leads)]
    return draw.table(
        "Who pays (down) and who leads (across), GPU-hours",
        [*columns, Column("total", numeric=True)],
        rows,
        total=["total", *sums, sum(sums)],
        caption=_elsewhere(found),
    )


def _order(codes: set[str]) -> list[str]:
    known = list(NAMES)
    return sorted(codes, key=lambda code: (known.index(code) if code in known else len(known), code))


def _flow(payer: str, lead: str, hours: int) -> Text:
    """Quiet where nothing flows, lit where the money of one country pays for another's project."""
    if not hours:
        return Text("·", draw.QUIET)
    return Text(figures.grouped(hours), "" if payer in (lead, "JU") else draw.ACCENT)


def _elsewhere(found: Usage) -> str:
    known = [row for row in found.rows if UNATTRIBUTED not in row.key]
    elsewhere = sum(row.measures.gpu_seconds for row in known if row.key[1] != row.key[2])
    strangers = sum(row.measures.gpu_seconds for row in found.rows if row.key[2] == UNATTRIBUTED)
    whole = found.total.gpu_seconds
    return (
        f"{figures.percent(elsewhere, whole)} of them used by people at home in another country than the one "
        f"that leads, {figures.percent(strangers, whole)} by users whose home nobody has told"
    )


def balances(demo: Demo, *, wide: bool) -> Drawn:
    """The awards somebody should look at, the fullest first."""
    eyes = [line for line in demo.balances.lines if _needs_eyes(line)]
    eyes.sort(key=lambda line: (-_percent(line), line.key))
    columns = [
        Column("award"),
        *([Column("project", least=16, ratio=1)] if wide else []),
        Column("unit"),
        Column("granted", numeric=True),
        Column("used", numeric=True),
        Column("left", numeric=True),
        Column("", least=4),
        Column("", numeric=True),
        Column("state"),
    ]
    title = f"Balances: {len(eyes)} of {len(demo.balances.lines)} awards to look at"
    return draw.table(
        title, columns, [_balance(line, demo, wide=wide) for line in eyes], caption=_rest(demo.balances)
    )


def _percent(line: Line) -> float:
    return 100 * line.used / line.granted if line.granted else 0.0


def _needs_eyes(line: Line) -> bool:
    return attention.matters(line.state, line.after_end) or _percent(line) < HARDLY_USED


def _balance(line: Line, demo: Demo, *, wide: bool) -> list[Cell]:
    used, left = figures.largest_remainder([line.used, line.left], MICRO_PER_HOUR)
    style = _style(line)
    title = demo.titles.get(demo.projects.get(line.key, ""), "")
    return [
        Text(line.key),
        *([Text(title, draw.QUIET)] if wide else []),
        Text(line.unit.replace("-hours", "-h"), draw.QUIET),
        used + left,
        used,
        Text(figures.grouped(left), style if left < 0 else ""),
        Bar(_percent(line) / 100, width=16, style=style),
        Text(figures.percent(line.used, line.granted), style),
        Text(_state(line), style),
    ]


def _state(line: Line) -> str:
    if line.after_end:
        return f"ended, +{figures.grouped(*figures.largest_remainder([line.after_end], MICRO_PER_HOUR))}"
    if line.over:
        return "over quota"
    if line.state.startswith("threshold-"):
        return f"past {line.state.removeprefix('threshold-')} %"
    return "hardly used" if _percent(line) < HARDLY_USED else line.state


def _style(line: Line) -> str:
    if line.after_end:
        return draw.WATCH
    hardly = _percent(line) < HARDLY_USED
    return draw.QUIET if hardly else draw.state_style(line.used, line.granted, line.thresholds)


def _rest(found: Balances) -> str:
    """What the table leaves out, and what a plus in it means."""
    others = [_percent(line) for line in found.lines if not _needs_eyes(line)]
    parts = (
        ["ended, +N: used outside its dates, charged to nobody"]
        if any(it.after_end for it in found.lines)
        else []
    )
    if others:
        parts.append(
            f"{len(others)} more awards are {min(others):.0f} to {max(others):.0f} % used: opsd balance"
        )
    return "\n".join(parts)


def unattributed(demo: Demo) -> Iterator[Drawn]:
    """Accounts that used something and are bound to no award."""
    if not demo.unbound:
        return
    rows: list[list[Cell]] = [
        [
            Text(line.account, draw.WATCH),
            *figures.hours([line.gpu_seconds]),
            *figures.hours([line.cpu_seconds]),
            line.hint,
        ]
        for line in demo.unbound
    ]
    columns = [
        Column("account"),
        Column("GPU-hours", numeric=True),
        Column("CPU-hours", numeric=True),
        Column("its name suggests"),
    ]
    yield draw.table("Used, but bound to no award: opsd account bind", columns, rows)


def quality(demo: Demo) -> Drawn:
    """What a careful reader should know about the data."""
    rows: list[list[Cell]] = [[demo.waiting, "records in quarantine"]]
    rows += [[demo.read.tally.flags[flag], f"runs: {meaning}"] for flag, meaning in MEANINGS.items()]
    rows.append([demo.balances.unknown_limits, "open runs without a known time limit"])
    rows += [[None, f"not charged: {reason}"] for reason in demo.balances.unpriced]
    shown = [row for place, row in enumerate(rows) if place == 0 or row[0] != 0]
    return draw.table("Data quality", [Column("", numeric=True), Column("", least=20)], shown, head=False)
