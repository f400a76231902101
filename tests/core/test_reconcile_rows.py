"""Causes against a roll-up written down once more, hour by hour, the way slurmdbd walks through its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opsd.core.period import HOUR, Window
from opsd.core.reconcile import Rolled, Run, causes
from opsd.core.rollup import Hours, Row, Spans
from opsd.core.tres import Tres
from opsd.core.usage import spans_text, suspension

T = 1_800_000_000
HELD = Tres.of({"cpu": 3, "mem": 7})


class Job(NamedTuple):
    """A job that ran from `start` on, and was resized once if it says when."""

    start: int
    end: int
    is_open: bool
    eligible: int
    resized: int | None
    asleep: Spans  # may overlap, as in a damaged table
    association: int


def rows(job: Job) -> list[tuple[int, Row, Spans]]:
    """(Submit, row, suspensions) as slurmdbd has them: a resized job's second one starts early."""

    def row(end: int, eligible: int, *, last: bool = True) -> Row:
        ends = None if last and job.is_open else end
        return Row(T + 10**6, "bio", "ana", job.association, job.start, ends, eligible, HELD)

    if job.resized is None:
        return [(job.start, row(job.end, job.eligible), job.asleep)]
    later = tuple(span for span in job.asleep if span[0] >= job.resized)
    first = row(job.resized, job.start, last=False)
    return [(job.start, first, ()), (job.resized, row(job.end, job.resized), later)]


def slurm(found: list[tuple[int, Row, Spans]], rolled: Rolled) -> Counter[str]:
    """What slurmdbd adds up, hour after hour."""
    sums: Counter[str] = Counter()
    for begins, ends in rolled.spans:
        for hour in range(begins, ends, HOUR):
            for _, row, asleep in found:
                if not row.eligible or row.eligible >= hour + HOUR or not row.association:
                    continue
                start = max(row.start or 0, hour)
                end = hour + HOUR if row.end is None else min(row.end, hour + HOUR)
                if start < end:
                    off = sum(max(0, min(b, end) - max(a, start)) for a, b in asleep)
                    sums.update({"cpu": 3 * max(0, end - start - off), "mem": 7 * (end - start)})
    return sums


def opsd(found: list[tuple[int, Row, Spans]], rolled: Rolled, *, placed: bool) -> Counter[str]:
    """opsd's usage with the causes."""
    sums: Counter[str] = Counter()
    window = rolled.window
    for place, (submit, row, asleep) in enumerate(found):
        begin = max(row.start or 0, submit)
        finish = window.end + HOUR if row.end is None else row.end
        total = sum(b - a for a, b in asleep)
        assume(total <= finish - begin)
        text = spans_text(asleep) if placed else None
        run = Run(
            1, submit, begin, finish, suspension(total, text, begin, finish, ended=row.end is not None),
            total, asleep, row, others=((found[0][0], submit),) if place else (),
        )  # fmt: skip
        awake, off = run.seconds(window.start, window.end)
        sums.update({"cpu": 3 * awake, "mem": 7 * (awake + off)})
        for part in causes(run, rolled):
            sums.update({part.tres: part.seconds})
    return sums


@st.composite
def jobs(draw: Callable[..., Any]) -> Job:
    """Jobs around T, short and long."""
    start = T + draw(st.integers(-2 * HOUR, 4 * HOUR))
    end = start + draw(st.integers(0, 5 * HOUR))
    edges = st.tuples(st.integers(start, end), st.integers(start, end)).map(lambda pair: tuple(sorted(pair)))
    asleep = tuple(sorted(span for span in draw(st.lists(edges, max_size=3)) if span[0] < span[1]))
    eligible = draw(st.one_of(st.just(start), st.just(0), st.integers(start - 100, start + 2 * HOUR)))
    association = draw(st.sampled_from([5, 5, 5, 0]))
    resized = draw(st.one_of(st.none(), st.integers(start + 1, end - 1))) if end - start > 2 else None
    if resized is not None:
        asleep, association = asleep[:1], 5  # what overlaps in both parts of one hour is cut once there
    return Job(start, end, bool(draw(st.booleans())), eligible, resized, asleep, association)


@settings(max_examples=300, deadline=None)
@given(
    job=jobs(), offset=st.sampled_from([0, 900, 1_800, 2_700]), hours=st.integers(1, 4),
    done=st.integers(0, 4), placed=st.booleans(),
)  # fmt: skip
def test_usage_and_causes_are_what_slurmdbd_adds_up(
    job: Job, offset: int, hours: int, done: int, placed: bool
) -> None:
    """Resized, suspended, open, not eligible, in hours of any clock, added up or not: no second is left."""
    window = Window(T + offset, T + offset + hours * HOUR)
    until = min(window.start + done * HOUR, window.end)
    rolled = Rolled(window, Hours(offset), ((window.start, until),) if done else ())
    found = rows(job)

    expected = slurm(found, rolled)

    assert [expected[name] for name in ("cpu", "mem")] == [
        opsd(found, rolled, placed=placed)[name] for name in ("cpu", "mem")
    ]
