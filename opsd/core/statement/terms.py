"""Words of closed lists as messages, and columns that many tables have: one id for one thing.

Invariant: a column id means the same wherever it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from opsd.core import forecast, journal
from opsd.core.attribution import AFTER_END, BEFORE_START, UNATTRIBUTED
from opsd.core.statement.accounts import Account
from opsd.core.statement.table import Column, OfTotal
from opsd.core.statement.words import Country, Msg, Text, Value, msg, term

NOBODYS = msg("Unattributed")
TOTAL = msg("Total")

UNITS: Mapping[str, Msg] = {
    "gpu-hours": msg("GPU-hours"),
    "node-hours": msg("Node-hours"),
    "core-hours": msg("Core-hours"),
    "billing-hours": msg("Billing-unit-hours"),
}
OUTSIDE: Mapping[str, Msg] = {
    BEFORE_START: msg("before the award's start"),
    AFTER_END: msg("after the award's end"),
}
KINDS: Mapping[str, Msg] = {
    "research": msg("Research organisation"),
    "university": msg("University"),
    "public-body": msg("Public body"),
    "start-up": msg("Start-up"),
    "sme": msg("Small or medium-sized enterprise"),
    "small-mid-cap": msg("Small mid-cap"),
    "large-company": msg("Large company"),
    "non-profit": msg("Non-profit organisation"),
    "international": msg("International organisation"),
    UNATTRIBUTED: NOBODYS,
}
ENTRIES: Mapping[str, Msg] = {
    journal.GRANT: msg("Grant"),
    journal.EXTENSION: msg("Extension"),
    journal.TRANSFER: msg("Transfer"),
    journal.CARRY_OVER: msg("Carry-over"),
    journal.EXPIRY: msg("Expiry"),
    journal.ADJUSTMENT: msg("Adjustment"),
    journal.CREDIT: msg("Credit"),
    journal.CORRECTION: msg("Correction"),
    journal.CLOSE: msg("Close"),
}
FORECASTS: Mapping[str, Msg] = {
    forecast.NONE: msg("not expected"),
    forecast.EXPECTED: msg("expected"),
    forecast.ALREADY: msg("used up"),
}

CLUSTER = Column("cluster", msg("Cluster"))
NODE_CLASS = Column("node_class", msg("Class of nodes"))
GPU = Column("gpu_hours", msg("GPU-hours"), sums=True)
NODE = Column("node_hours", msg("Node-hours"), sums=True)
CPU = Column("cpu_hours", msg("CPU-hours"), sums=True)
SHARE = Column("share", msg("Share of GPU-hours"), formula=OfTotal("gpu_hours"))
PREVIOUS = Column("previous_gpu_hours", msg("GPU-hours, period before"), sums=True)
YEAR = Column("year_gpu_hours", msg("GPU-hours since January"), sums=True)
PROJECT = Column("project", msg("Project"))
TITLE = Column("title", msg("Title"), wide=True)
AWARD = Column("award", msg("Award"))
STATE = Column("state", msg("State"))


def text(key: str) -> Value:
    """Somebody's own word, or that there is none."""
    return term(key, {UNATTRIBUTED: NOBODYS})


def fraction(part: Fraction) -> Text:
    """An exact part as its terms, which are the same in every language: 3/20."""
    return Text(f"{part.numerator}/{part.denominator}")


def country(code: str) -> Value:
    """A country, the JU, or nobody's."""
    return NOBODYS if code == UNATTRIBUTED else Country(code)


def words(one: Account, as_of: int) -> tuple[Msg, ...]:
    """The state of an award in words, the weightiest first."""
    first, _, unpriced = one.balance.state.partition(",")
    said = [_first(first)]
    if one.balance.after_end:
        said = [*(word for word in said if word != OK), msg("used outside its dates")]
    if one.award.end is not None and one.award.end <= as_of:
        said.append(msg("ended"))
    if one.award.start > as_of:
        said.append(msg("not begun"))
    if unpriced:
        said.append(msg("some use not charged"))
    return tuple(said)


OK = msg("ok")


def state(one: Account, as_of: int) -> Value:
    """The same as one value."""
    return joined(words(one, as_of))


def joined(found: tuple[Value, ...]) -> Value:
    """Words one after the other, apart by commas."""
    whole, *others = found
    for other in others:
        whole = msg("{first}, {second}", first=whole, second=other)
    return whole


def _first(state: str) -> Msg:
    if state == "over":
        return msg("over quota")
    if state.startswith("threshold-"):
        return msg("past {percent} %", percent=Text(state.removeprefix("threshold-")))
    return OK
