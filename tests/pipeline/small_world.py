"""A few accounts, users and days with everything odd in them, for comparing two implementations."""

from __future__ import annotations

import random
from fractions import Fraction
from zoneinfo import ZoneInfo

from opsd.core.agreements import Funder, Policy, Pool
from opsd.core.awards import Award, Binding, Project
from opsd.core.consortium import Consortium
from opsd.core.parties import Cluster, Organisation, Person
from opsd.core.period import DAY, HOUR
from opsd.core.records import RunRecord

BASE = 1_792_800_000 // DAY * DAY  # two days before Madrid's clocks go back
MADRID = ZoneInfo("Europe/Madrid")
SHAPES = (
    "billing=4,cpu=4,mem=8000,node=1",
    "billing=20,cpu=20,gres/gpu=2,gres/gpu:h100=2,mem=64000,node=1",
    "billing=80,cpu=80,gres/gpu=3,gres/gpu:a100=1,gres/gpu:h100=2,mem=1000,node=2",
    "billing=1,cpu=1,gres/gpu=1,mem=100,node=1",
    "",
)


def records(chance: random.Random, count: int) -> list[RunRecord]:
    """Runs of all lengths over eight days: zero seconds, minutes, days; open, suspended, never started."""
    return [_record(chance, number) for number in range(count)]


def _record(chance: random.Random, number: int) -> RunRecord:
    submit = BASE + chance.randrange(-2 * DAY, 8 * DAY)
    start = submit + chance.choice((0, 5, 900, -1800, 40_000))
    lengths = (0, 1, 60, 1800, HOUR, 5 * HOUR, DAY, DAY + 1, 3 * DAY, chance.randrange(1, 2 * DAY))
    length = chance.choice(lengths)
    grid = chance.random() < 0.3
    if grid:
        submit = start = start // DAY * DAY
        length = length // HOUR * HOUR
    end: int | None = start + length
    if chance.random() < 0.08:
        end = None
    suspended = chance.choice((0, 0, 0, 7, length // 2, length, length + 50))
    never = chance.random() < 0.05
    return RunRecord(
        cluster=chance.choice(("mn5", "mn5", "aiup")),
        job_id=number,
        submit=submit,
        start=None if never else start,
        end=end,
        state=chance.choice(("COMPLETED", "FAILED", "TIMEOUT", "WEIRD_STATE")) if end else "RUNNING",
        account=chance.choice(("es-a", "es-b", "pt-a", "nobody")),
        tres=chance.choice(SHAPES),
        user=chance.choice(("ana", "bruno", "carla", "")),
        partition=chance.choice(("acc", "gpp")),
        qos=chance.choice(("normal", "high", None)),
        elapsed=length,
        suspended=suspended,
        hash=number + 1,
    )


def consortium(chance: random.Random) -> Consortium:
    """Two countries, awards that end, accounts that move at odd hours, people who change employers."""
    middle = BASE + chance.randrange(1, 7) * DAY + chance.choice((0, 0, 5 * HOUR, 22 * HOUR))
    later = middle + chance.choice((HOUR, DAY, 30 * HOUR))
    policy = Policy("gpu", "gpu_hours")
    award = {"amount": Fraction(100), "unit": "gpu-hours", "policy": "gpu"}
    return Consortium.of(
        [
            Cluster("mn5"), Cluster("aiup"), policy,
            Organisation("uni", "Uni", "ES", "university", sector="health"),
            Organisation("firm", "Firm", "PT", "start-up", sector="media"),
            Funder("ju", "JU", "ju"), Funder("spain", "Spain", "state", country="ES"),
            Funder("gencat", "Generalitat", "region", parent="spain"),
            Pool("ju-pool", "ju", "JU pool"), Pool("cat-pool", "gencat", "Catalan pool"),
            Project("p1", "One", "uni"), Project("p2", "Two", "firm", sector="energy"),
            Award("A1", "p1", "cat-pool", start=BASE - 3 * DAY, end=later, mode="regular", **award),
            Award("A2", "p2", "ju-pool", start=BASE + DAY + 3 * HOUR, end=None, mode="large-scale", **award),
            Award("A3", "p1", "ju-pool", start=BASE - 3 * DAY, end=None, mode="playground", **award),
            Binding("mn5", "es-a", "A1", BASE - 5 * DAY, middle),
            Binding("mn5", "es-a", "A2", later),
            Binding("mn5", "es-b", "A1", BASE - 5 * DAY),
            Binding("mn5", "es-b", "A2", middle, later, partition="acc"),
            Binding("mn5", "es-b", "A3", BASE, None, partition="acc", qos="high"),
            Binding("aiup", "es-a", "A3", middle),
            Binding("mn5", "pt-a", "A2", BASE - 5 * DAY),
            Person("ana", "uni", BASE - 9 * DAY, middle), Person("ana", "firm", later),
            Person("bruno", "firm", BASE - 9 * DAY),
        ]
    )  # fmt: skip
