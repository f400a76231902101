"""What was granted to whom: projects, awards, and the Slurm accounts bound to them.

Invariant: a binding says whose use an account's use is from one whole hour to another; the award
keeps its amount in the unit it was granted in.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from opsd.core import fields
from opsd.core.amounts import UNITS, exact_text, micro_unit_seconds
from opsd.core.errors import BadText
from opsd.core.fields import BadField
from opsd.core.period import DAY, isoformat

THRESHOLDS = (80, 95, 100)


@dataclass(frozen=True, slots=True)
class Project:
    """Work led by one organisation; an empty sector means the organisation's."""

    id: str
    title: str
    organisation: str
    sector: str = ""
    purpose: str = ""  # what for: research, commercial, …; caps may name it

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.words("title", self.title)
        fields.name("organisation", self.organisation)
        fields.words("sector", self.sector)
        fields.words("purpose", self.purpose)


@dataclass(frozen=True, slots=True)
class Award:
    """Time granted to a project from a pool, in the unit of the grant, over [start, end)."""

    id: str
    project: str
    pool: str
    amount: Fraction  # in `unit`
    unit: str
    start: int
    end: int | None
    policy: str
    mode: str = ""  # access mode: Playground, Fast Lane, Large Scale, national call, …
    thresholds: tuple[int, ...] = THRESHOLDS  # percent of the grant
    grace_days: int = 0  # after it was exhausted or ended, whichever came first: use is still tolerated
    report_due: int | None = None
    granted_on: int | None = None  # the day of the legal right to it, when aid is booked; None: its start

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        for field in ("project", "pool", "policy"):
            fields.name(field, getattr(self, field))
        fields.words("mode", self.mode)
        fields.choice("unit", self.unit, UNITS)
        fields.validity(self.start, self.end, "end")
        fields.count("grace_days", self.grace_days)
        fields.instant("report_due", self.report_due)
        fields.instant("granted_on", self.granted_on)
        self._check_amount()
        if list(self.thresholds) != sorted(set(self.thresholds)) or any(t <= 0 for t in self.thresholds):
            shown = ", ".join(map(str, self.thresholds))
            raise BadField(
                "thresholds", "thresholds do not rise", shown, "write percentages such as [80, 95, 100]"
            )
        if self.end == self.start:
            raise BadField(
                "end", "an award that ends when it starts", isoformat(self.start), "put its end later"
            )

    def _check_amount(self) -> None:
        if self.amount < 0:
            raise BadField("amount", "a negative grant", exact_text(self.amount), "write what was granted")
        try:
            micro_unit_seconds(self.amount)
        except BadText as err:
            raise BadField("amount", err.what, err.text, err.remedy) from err


UPCOMING, RUNNING, GRACE, ENDED = "upcoming", "running", "grace", "ended"


def grace_end(award: Award, as_of: int, over_since: int | None) -> int | None:
    """When use is tolerated no longer; None while the award has neither been exhausted nor ended.

    Args:
        over_since: since when more is charged than granted; None: it is not.
    """
    ended = award.end if award.end is not None and award.end <= as_of else None
    since = [instant for instant in (ended, over_since) if instant is not None]
    return min(since) + award.grace_days * DAY if since else None


def phase(award: Award, as_of: int, tolerated_until: int | None) -> str:
    """Where an award stands in its life.

    One that is over quota with its grace used up is `running` until its end: it can still be drawn on.

    Args:
        tolerated_until: from `grace_end`.
    """
    if as_of < award.start:
        return UPCOMING
    if tolerated_until is not None and as_of < tolerated_until:
        return GRACE
    return RUNNING if award.end is None or as_of < award.end else ENDED


@dataclass(frozen=True, slots=True)
class Binding:
    """Use of a Slurm account (in one partition or QOS, if named) counts for an award."""

    cluster: str
    account: str
    award: str
    valid_from: int
    valid_until: int | None = None
    partition: str = ""
    qos: str = ""

    def __post_init__(self) -> None:
        for field in ("cluster", "account", "award"):
            fields.name(field, getattr(self, field))
        fields.words("partition", self.partition)
        fields.words("qos", self.qos)
        fields.whole_hour("from", self.valid_from)
        fields.whole_hour("until", self.valid_until)
        fields.validity(self.valid_from, self.valid_until)
