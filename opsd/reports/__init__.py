"""Report formats: one row each, loaded when asked for; and the words they share.

Invariant: the same statement gives the same bytes, and every format shows the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from importlib import import_module
from typing import NamedTuple

from opsd.core.attribution import AFTER_END, BEFORE_START
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.period import isoformat, zone
from opsd.core.statement import PER_HOUR, BalanceRow, Statement


class Format(NamedTuple):
    """One way to write a statement: a module with `render(statement) -> bytes`."""

    module: str
    suffix: str
    content_type: str


FORMATS = {
    "xlsx": Format(
        "opsd.reports.as_xlsx", ".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    ),
    "csv": Format("opsd.reports.as_csv", ".csv", "text/csv; charset=utf-8"),
    "json": Format("opsd.reports.as_json", ".json", "application/json"),
}

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_OUTSIDE = {
    "": "",
    BEFORE_START: "outside its dates: before the award's start",
    AFTER_END: "outside its dates: after the award's end",
}


def render(statement: Statement, form: str) -> bytes:
    """A statement as a file of one of FORMATS."""
    if form not in FORMATS:
        raise WrongUsage(
            f"no report format {form!r}" + nearest(form, FORMATS, f"there are {' '.join(FORMATS)}")
        )
    content: bytes = import_module(FORMATS[form].module).render(statement)
    return content


def file_name(statement: Statement, form: str) -> str:
    """What to call the file where nobody chose a name."""
    scope = f"-{statement.scope.text}" if statement.scope else ""
    plain = "".join(c if c.isalnum() or c in "-." else "-" for c in f"{statement.span.text}{scope}")
    return f"opsd-{plain}{FORMATS[form].suffix}"


def decimal(hundredths: int) -> str:
    """Hundredths as a plain decimal with a dot: `1234.50`."""
    sign, whole = ("-" if hundredths < 0 else ""), abs(hundredths)
    return f"{sign}{whole // PER_HOUR}.{whole % PER_HOUR:02}"


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def title(statement: Statement) -> str:
    """`Usage and balances, October 2026`."""
    text = statement.span.text
    year, dash, part = text.partition("-")
    if ".." in text:
        start, end = (
            moment(statement, at) for at in (statement.span.window.start, statement.span.window.end)
        )
        shown = f"{start} to {end}"
    elif dash:
        shown = f"quarter {part[1:]} of {year}" if part[0] in "Qq" else f"{_MONTHS[int(part) - 1]} {year}"
    else:
        shown = year
    return f"Usage and balances, {shown}"


def moment(statement: Statement, at: int) -> str:
    """A time in the statement's zone."""
    return isoformat(at, zone(statement.span.zone)).replace("T", " ")


def both(statement: Statement, at: int) -> str:
    """A time in the statement's zone, and in UTC."""
    return f"{moment(statement, at)}  =  {utc(at)}"


def utc(at: int) -> str:
    """A time in UTC."""
    return isoformat(at, UTC).replace("+00:00", "Z")


def outside(mark: str) -> str:
    """What the mark of use outside an award's life means."""
    return _OUTSIDE[mark]


def state(row: BalanceRow, as_of: int) -> str:
    """`over quota`, `past 80 %`, `ok`; and what else a reader must know."""
    first, _, unpriced = row.state.partition(",")
    words = ["over quota" if first == "over" else first.replace("threshold-", "past ")]
    words[0] += " %" if first.startswith("threshold-") else ""
    if row.after_end:
        words = [*(word for word in words if word != "ok"), "used outside its dates"]
    if row.end is not None and row.end <= as_of:
        words.append("ended")
    if row.start > as_of:
        words.append("not begun")
    if unpriced:
        words.append("some use not charged")
    return ", ".join(words)


def warnings(statement: Statement) -> Iterator[str]:
    """What must be known before a number is relied on."""
    quality = statement.quality
    if statement.begins_late and statement.first is not None:
        begins = moment(statement, statement.first)
        yield f"Incomplete: accounting begins at {begins}; what was used before was not read."
    if statement.provisional:
        yield (
            f"Provisional: the period is not over. Use up to {moment(statement, statement.as_of)} counts,"
            f" as far as Slurm's accounting was read: {_reach(statement)}."
        )
    elif not statement.covered:
        yield "Slurm's accounting has not been read up to the end of the period: late runs will be added."
    if statement.unattributed:
        yield "Some use belongs to no award and is shown as unattributed."
    if quality.quarantined:
        yield f"{quality.quarantined} records could not be read and are not counted."
    if quality.unpriced:
        yield "Some use could not be charged; the awards concerned are marked."
    if any(not funder.confirmed for funder in statement.funders if funder.amount_meur is not None):
        yield "Some contributions of funders are unconfirmed and are marked so."


def _reach(statement: Statement) -> str:
    return "never" if statement.read_until is None else f"up to {moment(statement, statement.read_until)}"


def notes(statement: Statement) -> Iterator[str]:
    """How to read the numbers."""
    yield (
        "Every second of every run is counted once, as Slurm counts; of a run across the edge of the period,"
        " the seconds inside it."
    )
    yield (
        "Hours are rounded to hundredths by the largest remainder, once: every subtotal and total is the sum"
        " of the lines shown below it, and no line is a hundredth or more off. CSV and JSON are exact."
    )
    yield (
        "CPU-hours count Slurm CPUs, which are hardware threads where threads are scheduled; the unit table"
        " says how many make a core-hour on each class of nodes."
    )
    yield "Country is where the leading organisation is. Who pays is the pool's funder; the JU is no country."
    yield (
        "Use outside an award's dates (before its start or after its end) keeps its project and country, is"
        " marked, and is in none of the award's charges."
    )
    yield (
        "Granted, settled (ended runs), accrued (open runs so far) and left are as of the end of the period,"
        " in the unit of the grant; left = granted - settled - accrued. Charged is what the period added."
    )
    if statement.scope:
        yield (
            f"This is the part {statement.scope.text}; what belongs to others, or to nobody, is left out."
            " Counts of odd runs, records and readings are those of the whole installation."
        )
