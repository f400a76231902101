"""slurmdbd's rule for a cluster's hour, one respect at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collectors.slurm.hosts import expand
from opsd.core.capacity import Lines
from opsd.core.period import HOUR, Window
from opsd.core.records import CONTROLLER_AWAY, DOWN, MAINT, POWERED_DOWN, REGISTERED, NodeEvent, Reservation
from opsd.core.utilisation import CAUSES, SLURM, Evidence, Job, Respects, Rule, differences

T = 1_795_824_000
END = T + HOUR
CLUSTER = "cpu=100,gres/gpu=8"
NODE = "cpu=50,gres/gpu=4"


def event(node: str, start: int, end: int | None, kind: str, tres: str = NODE) -> NodeEvent:
    """An event."""
    return NodeEvent("lab", node, start, end, kind, "", "", tres, "n[1-2]" if not node else "")


UP = event("", 0, None, REGISTERED, CLUSTER)


def job(begin: int, end: int | None, **more: Any) -> Job:
    """A job on 10 CPUs and a GPU."""
    finish = begin + 60 if end is None else end
    return Job(begin, finish, begin, end, begin, {"cpu": 10, "gres/gpu": 1})._replace(**more)


def reservation(flags: str = "", number: int = 7) -> Reservation:
    """A node for half an hour, of which Slurm lists the CPUs alone."""
    return Reservation("lab", number, T, T + HOUR // 2, "res", "n1", flags, "cpu=50", ())


def rule(jobs: Any = (), events: Any = (UP,), reservations: Any = ()) -> Rule:
    """One hour."""
    evidence = Evidence(list(jobs), list(events), list(reservations))
    return Rule(evidence, Window(T, END), ("cpu", "gres/gpu"), expand)


HALF = HOUR // 2
SUSPENDED = ((T, T + 600),)
# (what there is, the respect, the line of it, that line of cpu and gres/gpu without and with the respect)
CASES = [
    ({"jobs": [job(T, END)]}, "clip", 1, (10 * HOUR, HOUR), (10 * HOUR, HOUR)),
    ({"jobs": [job(T, END, suspended=SUSPENDED)]}, "clip", 1, (10 * (HOUR - 600), HOUR), None),
    (
        {"jobs": [job(T, T + HALF, reservation=7)], "reservations": [reservation()]},
        "reservation", 1, (10 * HALF, HALF), (50 * HALF, HALF),
    ),
    (
        {"jobs": [job(T, T + HALF, reservation=7)], "reservations": [reservation()]},
        "reserved_jobs", 1, (50 * HALF, HALF), (50 * HALF, 0),
    ),
    ({"reservations": [reservation("MAINT,SPEC_NODES")]}, "reservation", 3, (0, 0), (50 * HALF, 0)),
    ({"reservations": [reservation("IGNORE_JOBS")]}, "reservation", 1, (0, 0), None),
    # a node that was down in a reservation: down, and off the reservation
    (
        {"reservations": [reservation()], "events": [UP, event("n1", T, T + 100, DOWN)]},
        "reservation", 1, (0, 0), (50 * (HALF - 100), 0),
    ),
    (
        {"reservations": [reservation("MAINT")], "events": [UP, event("n1", T, T + 100, DOWN)]},
        "reservation", 4, (50 * 100, 400), (0, 0),
    ),
    ({"events": [UP, event("n1", T, T + 100, MAINT)]}, "clip", 4, (0, 0), None),
    ({"events": [UP, event("n1", T, T + 100, POWERED_DOWN)]}, "clip", 3, (5_000, 400), None),
    (
        {
            "jobs": [job(T, END, reservation=7, suspended=SUSPENDED)],
            "reservations": [reservation("IGNORE_JOBS")],
        },
        "suspended", 1, (10 * (HALF - 600), HALF), (10 * HALF, HALF),
    ),
    (
        {"jobs": [job(T + 900, END, start=T + 100, eligible=T + 900)]},
        "resize", 1, (10 * 2700, 2700), (10 * 3500, 3500),
    ),
    # eligible in this hour, begun long before: counted from its top
    (
        {"jobs": [job(T + 900, END, start=T - 5000, eligible=T + 900)]},
        "resize", 1, (10 * 2700, 2700), (10 * HOUR, HOUR),
    ),
    ({"jobs": [job(T, None)]}, "not_read", 1, (600, 60), (10 * HOUR, HOUR)),
    (
        {"events": [UP._replace(end=T + 600),
                    event("", T + 600, END, CONTROLLER_AWAY, CLUSTER)]},
        "controller_away", 0, (100 * HOUR, 8 * HOUR), (100 * 600, 8 * 600),
    ),
    (
        {"events": [UP._replace(end=T + 600), event("", T + 600, END, CONTROLLER_AWAY, CLUSTER)],
         "jobs": [job(T, END)]},
        "controller_away", 4, (0, 0), (90 * 3000, 7 * 3000),
    ),
    (
        {"jobs": [job(T, END, tres={"cpu": 120, "gres/gpu": 1})]},
        "clip", 1, (120 * HOUR, HOUR), (100 * HOUR, HOUR),
    ),
    (
        {"jobs": [job(T, END, tres={"cpu": 80})], "events": [UP, event("n1", T, END, DOWN)]},
        "clip", 4, (50 * HOUR, 4 * HOUR), (20 * HOUR, 4 * HOUR),
    ),
    ({"events": [], "jobs": [job(T, END)]}, "clip", 1, (0, 0), None),
]  # fmt: skip


@pytest.mark.parametrize(("there", "respect", "line", "without", "with_it"), CASES)
def test_one_respect_at_a_time(
    there: dict[str, Any], respect: str, line: int, without: Any, with_it: Any
) -> None:
    """Each changes what it is about, given those before it; None: nothing changes."""
    names = list(Respects.__dataclass_fields__)
    before = Respects(**dict.fromkeys(names[: names.index(respect)], True))
    found = rule(**there)
    lines = [found.apply(one) for one in (before, replace(before, **{respect: True}))]

    assert [without, without if with_it is None else with_it] == [
        (one["cpu"][line], one["gres/gpu"][line]) for one in lines
    ]


@pytest.mark.parametrize("there", [case[0] for case in CASES], ids=range(len(CASES)))
def test_causes_lead_from_opsd_to_slurm(there: dict[str, Any]) -> None:
    """Whatever the books say, they and the causes are Slurm's rule, and lines of Slurm's add up."""
    found = rule(**there)
    books = {"cpu": Lines(700, 100, 200, 50, 50, 300, 9, 60, 70), "gres/gpu": Lines()}
    slurm = found.apply(SLURM)

    lines = differences(books, {"cpu": 5}, found, slurm)

    assert [0] * 12 == [one.left_over for one in lines]
    assert all(one.opsd + sum(one.causes) == one.slurm for one in lines)
    assert len(CAUSES) == len(lines[0].causes)
    for total, *others in slurm.values():
        assert total == sum(others)


def test_what_slurm_reports_besides_is_left_over() -> None:
    """A second more is in no cause."""
    found = rule([job(T, END)])
    slurm = found.apply(SLURM)
    more = {"cpu": (slurm["cpu"][0], slurm["cpu"][1] + 1, *slurm["cpu"][2:])}

    lines = differences({}, {}, found, more)

    assert [("allocated", 1)] == [(one.line, one.left_over) for one in lines if one.left_over]
