"""Each cause from its own evidence, by hand-made cases of an hour or two."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import pytest

from opsd.core.period import HOUR, Window
from opsd.core.reconcile import Rolled, Run, causes, unplaced
from opsd.core.rollup import EVER, Hours, Row, Spans
from opsd.core.tres import Tres

T = 1_800_000_000  # on a full hour of UTC
HOURS = Hours(0)
TWO = Tres.of({"cpu": 2, "gres/gpu": 1})
FAR = T + 100 * HOUR


def row(start: int | None, end: int | None, **other: object) -> Row:
    """A row of ana in the account bio, eligible since its start, with 2 cpus and a GPU."""
    told: dict[str, object] = {
        "observed_at": FAR, "account": "bio", "user": "ana", "association": 7, "start": start, "end": end,
        "eligible": start, "tres": TWO,
    }  # fmt: skip
    return Row(**(told | other))


def run(now: Row, **other: object) -> Run:
    """A run as opsd has it: from its start to its end, or to the end of the window."""
    begin = now.start or T
    told: dict[str, object] = {
        "job_id": 5, "submit": begin, "begin": begin, "finish": now.end or T + 2 * HOUR, "suspended": 0,
        "total": 0, "places": (), "now": now,
    }  # fmt: skip
    return Run(**(told | other))


def rolled(
    hours: int = 2, *, spans: Spans | None = None, at: dict[int, int] | None = None, again: int | None = None
) -> Rolled:
    """Some hours since T, all added up long ago if nothing else is said."""
    window = Window(T, T + hours * HOUR)
    return Rolled(window, HOURS, ((T, T + hours * HOUR),) if spans is None else spans, at or {}, again)


class Case(NamedTuple):
    """A run, what slurmdbd has added up, and what is to come out: (cause, user, TRES) -> seconds."""

    name: str
    run: Run
    rolled: Rolled
    expected: dict[tuple[str, str, str], int]


def both(cause: str, held: int, user: str = "ana") -> dict[tuple[str, str, str], int]:
    """So many seconds of 2 cpus and a GPU."""
    return {(cause, user, "cpu"): 2 * held, (cause, user, "gres/gpu"): held}


OPEN_BEFORE = row(T, None, observed_at=T + 90 * 60)
CASES = (
    Case("a plain run has no cause", run(row(T + 10, T + 100)), rolled(), {}),
    Case("nor one that lies outside", run(row(T - 100, T - 10)), rolled(), {}),
    Case(
        "a suspension in the other hour: spread evenly half of it was taken off here",
        run(
            row(T - HOUR, T + HOUR), suspended=600, total=600, places=((T - 1_000, T - 400),),
        ),
        rolled(1), {("suspension", "ana", "cpu"): 2 * 300},
    ),
    Case(
        "a suspension in this hour: half of it was taken off the other one",
        run(row(T - HOUR, T + HOUR), suspended=600, total=600, places=((T, T + 600),)),
        rolled(1), {("suspension", "ana", "cpu"): -2 * 300},
    ),
    Case(
        "a suspension that usage has in its place",
        run(
            row(T - HOUR, T + HOUR), suspended=((T, T + 600),), total=600, places=((T, T + 600),),
        ),
        rolled(1), {},
    ),
    Case(
        "a suspension that nobody can place is not guessed",
        run(row(T - HOUR, T + HOUR), suspended=600, total=600, places=None), rolled(1), {},
    ),
    Case(
        "a shrunk job: from the top of the hour of the resize once more",
        run(
            row(T - HOUR, T + 1_000, eligible=T + 300), submit=T + 300, begin=T + 300,
            others=((T - HOUR, T + 300),),
        ),
        rolled(), both("resize_overlap", 300),
    ),
    Case(
        "a start before the submission, and no earlier row of the job: nothing says why",
        run(row(T + 100, T + 1_000, eligible=T + 300), submit=T + 300, begin=T + 300), rolled(), {},
    ),
    Case(
        "an earlier row that was lost in part: what is left of it is counted twice",
        run(
            row(T + 100, T + 1_000, eligible=T + 300), submit=T + 300, begin=T + 300,
            others=((T + 100, T + 150), (T + 200, T + 230)),
        ),
        rolled(), both("resize_overlap", 80),
    ),
    Case(
        "a shrunk job that began in the hour of its resize: from its start",
        run(
            row(T + 100, T + 1_000, eligible=T + 300), submit=T + 300, begin=T + 300,
            others=((T + 100, T + 300),),
        ),
        rolled(), both("resize_overlap", 200),
    ),
    Case(
        "suspended time in the overlap is off its cpu",
        run(
            row(T + 100, T + 1_000, eligible=T + 300), submit=T + 300, begin=T + 300,
            suspended=((T + 400, T + 440),), total=90, places=((T + 150, T + 200), (T + 400, T + 440)),
            others=((T + 100, T + 300),),
        ),
        rolled(),
        {("resize_overlap", "ana", "cpu"): 2 * 150, ("resize_overlap", "ana", "gres/gpu"): 200},
    ),
    Case("never eligible", run(row(T, T + 100, eligible=0)), rolled(), both("never_eligible", -100)),
    Case(
        "eligible in the second hour: the first one does not look at it",
        run(row(T, T + HOUR + 50, eligible=T + HOUR + 10)), rolled(), both("never_eligible", -HOUR),
    ),
    Case("eligibility not known", run(row(T, T + 100, eligible=None)), rolled(), {}),
    Case(
        "an hour that is not added up",
        run(row(T, T + HOUR + 50)), rolled(spans=((T, T + HOUR),)), both("not_rolled_up", -50),
    ),
    Case(
        "suspended time in it is not in opsd's cpu either",
        run(row(T, T + HOUR), suspended=((T, T + 100),), total=100, places=((T, T + 100),)),
        rolled(spans=()),
        {("not_rolled_up", "ana", "cpu"): -2 * (HOUR - 100), ("not_rolled_up", "ana", "gres/gpu"): -HOUR},
    ),
    Case(
        "no association: in no report",
        run(row(T, T + 100, association=0)), rolled(), both("reassociated", -100),
    ),
    Case(
        "open, and last seen before the window's end",
        run(row(T, None), finish=T + HOUR), rolled(), both("late_record", HOUR),
    ),
    Case("open, and seen since", run(row(T, None), finish=T + 9 * HOUR), rolled(), {}),
    Case(
        "its end came late: the roll-up saw it running to the end of its hour",
        run(row(T, T + 600), before=(OPEN_BEFORE,)),
        rolled(1, at={T: T + HOUR + 5}, again=T), both("late_record", HOUR - 600),
    ),
    Case(
        "its end came late and the hours were added up since",
        run(row(T, T + 600), before=(OPEN_BEFORE,)),
        rolled(1, at={T: T + 2 * HOUR}), {},
    ),
    Case(
        "it came as a whole after its hour was added up",
        run(row(T, T + 600), modified_at=T + HOUR + 60),
        rolled(1, at={T: T + HOUR + 5}, again=T), both("late_record", -600),
    ),
    Case(
        "it ended before the mark: a late end would have put the mark before it",
        run(row(T, T + 600), modified_at=T + HOUR + 60),
        rolled(1, at={T: T + HOUR + 5}, again=T + 601), {},
    ),
    Case(
        "it was added up in the midst of its hour, and ended in it",
        run(row(T, T + 600), modified_at=T + 600),
        rolled(1, at={T: T + 300}, again=T), both("late_record", HOUR - 600),
    ),
    Case(
        "it did not change since: nothing to say",
        run(row(T, T + 600), modified_at=T + 600), rolled(1, at={T: T + HOUR + 5}, again=T), {},
    ),
    Case(
        "another count of TRES since",
        run(
            row(T, T + 600), before=(row(T, T + 600, tres=Tres.of({"cpu": 5}), observed_at=T + 90 * 60),),
        ),
        rolled(1, at={T: T + HOUR + 5}, again=T),
        {("late_record", "ana", "cpu"): 3 * 600, ("late_record", "ana", "gres/gpu"): -600},
    ),
    Case(
        "a runaway that was mended: it ended where it began, and the roll-up saw it running",
        run(row(T, T), before=(row(T, None, observed_at=T + 3 * HOUR),)),
        rolled(at={T: T + HOUR, T + HOUR: T + 2 * HOUR}, again=T), both("runaway", 2 * HOUR),
    ),
    Case(
        "moved to another account: the hours before were added up under the old one, and are not done again",
        run(
            row(T, T + 2 * HOUR, account="cfd", user="bruno"), modified_at=T + 2 * HOUR,
            before=(row(T, None, observed_at=T + HOUR + 60),),
        ),
        rolled(at={T: T + HOUR + 5, T + HOUR: T + 2 * HOUR + 5}),
        both("reassociated", HOUR) | both("reassociated", -HOUR, "bruno"),
    ),
    Case(
        "an account that only opsd has otherwise: slurmdbd's row has not changed since the hour was added up",
        run(
            row(T, T + HOUR, account="cfd"), modified_at=T + HOUR,
            before=(row(T, T + HOUR, observed_at=T + 2 * HOUR),),
        ),
        rolled(1, at={T: T + HOUR + 5}), {},
    ),
    Case(
        "a version with another TRES, of a row that slurmdbd has not changed since: it is not believed",
        run(
            row(T, T + 600), modified_at=T + 600,
            before=(row(T, T + 600, tres=Tres.of({"cpu": 5}), observed_at=T + 90 * 60),),
        ),
        rolled(1, at={T: T + HOUR + 5}, again=T), {},
    ),
    Case(
        "an end alone may come without a trace: a clean start of slurmctld ends what ran",
        run(row(T, T + 600), modified_at=T + 10, before=(OPEN_BEFORE,)),
        rolled(1, at={T: T + HOUR + 5}, again=T), both("late_record", HOUR - 600),
    ),
    Case(
        "rows of one suspension overlap: taken off twice, but of each hour no more than it has",
        run(
            row(T, T + 2 * HOUR), suspended=((T, T + HOUR),), total=2 * HOUR,
            places=((T, T + HOUR), (T, T + HOUR)),
        ),
        rolled(), {},
    ),
    Case(
        "the same, where the hour has the time",
        run(
            row(T, T + HOUR), suspended=((T, T + 100),), total=200, places=((T, T + 100), (T, T + 100)),
        ),
        rolled(1), {("suspension", "ana", "cpu"): -2 * 100},
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_causes_of_a_run(case: Case) -> None:
    """A run brings what its evidence says, and nothing else."""
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for part in causes(case.run, case.rolled):
        found[part.cause, part.user, part.tres] += part.seconds

    assert case.expected == {key: seconds for key, seconds in found.items() if seconds}


def test_what_cannot_be_placed_has_bounds() -> None:
    """Of 600 suspended seconds of two hours all or none may lie in the second one; 300 were put there."""
    one = run(row(T - HOUR, T + HOUR), suspended=600, total=600, places=None)

    (unknown,) = unplaced(one, rolled(1))

    assert ("suspension", "bio", "ana", "cpu", -600, 600) == unknown[:6]
    assert "suspension cannot be placed" == unknown.words


def test_a_run_inside_the_window_needs_no_place() -> None:
    """Wherever in it the suspension was, all of it is inside."""
    one = run(row(T + 10, T + HOUR), suspended=600, total=600, places=None)

    assert [] == list(unplaced(one, rolled(1)))


def test_a_total_that_slurmdbd_contradicts_is_nothing_that_nobody_knows() -> None:
    """Where its intervals are longer than sacct's total one of the two is wrong, and no bounds hide it."""
    one = run(row(T - HOUR, T + HOUR), suspended=600, total=600, places=None, is_contradicted=True)

    assert [] == list(unplaced(one, rolled(1)))


def test_hours_begin_where_slurmdbd_says() -> None:
    """With a clock a quarter ahead of UTC the hour of a resize begins at minute 45."""
    hours = Hours(2_700)
    window = Window(T - 900, T + 2_700)
    one = run(
        row(T - HOUR, T + 1_000, eligible=T + 300), submit=T + 300, begin=T + 300,
        others=((T - HOUR, T + 300),),
    )  # fmt: skip

    found = {p.tres: p.seconds for p in causes(one, Rolled(window, hours, ((window.start, window.end),)))}

    assert {"cpu": 2 * 1_200, "gres/gpu": 1_200} == found


def test_an_open_suspension_goes_on() -> None:
    """A run that is suspended now is so to the end of the window."""
    one = run(
        row(T, None), finish=T + HOUR, suspended=((T + 100, T + HOUR),), total=90, places=((T + 100, EVER),)
    )

    found = {p.tres: p.seconds for p in causes(one, rolled())}

    assert {"gres/gpu": HOUR} == found
