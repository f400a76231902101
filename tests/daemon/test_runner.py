"""One run of a step: what is remembered, whatever becomes of it."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from sqlalchemy import text

from exporters.page import Rendered
from opsd.daemon.runner import Runner, World, is_late
from opsd.daemon.steps import STEPS, Outcome, Work
from opsd.store import engine, steps
from opsd.store.engine import Store
from opsd.store.steps import DONE, FAILED, RUNNING, STOPPED, Last
from tests.fakes import books
from tests.fakes.daemons import SLURM_AWAY, broken, nothing, settings, step

PAGE = Rendered(b"a", b"b")


class Wall:
    """A clock that is set by hand."""

    at = 1_000.0

    def __call__(self) -> float:
        """What it shows."""
        return self.at


@pytest.fixture
def wall() -> Wall:
    """The machine's clock."""
    return Wall()


@pytest.fixture
def runner(store: Store, wall: Wall) -> Runner:
    """A runner on the small database."""
    return Runner(World(store, SLURM_AWAY, settings(), lambda: books.NOW, wall))


def noted(store: Store) -> dict[str, Last]:
    """What the database says."""
    with store.read() as connection:
        return steps.last(connection)


def test_a_run_that_ends_well(runner: Runner, store: Store, wall: Wall) -> None:
    """Its times, and no failures; the same in memory and in the database."""
    last = runner.run(step("it", nothing))

    assert (Last("it", 1_000, 1_000, 1_000, last.duration_ms, DONE), True) == (
        last,
        last.duration_ms is not None,
    )
    assert {"it": last} == noted(store)
    assert last == runner.last("it")


def test_while_it_runs(runner: Runner, store: Store) -> None:
    """The database says so, and whose process it is."""
    seen: list[Last] = []
    runner.run(step("it", lambda _: seen.append(noted(store)["it"])))

    assert (RUNNING, None) == (seen[0].result, seen[0].finished_at)
    assert seen[0].message.startswith("process ")


def test_failures_count_up_and_success_ends_them(runner: Runner, wall: Wall) -> None:
    """The last success stays known while a step fails."""
    runner.run(step("it", nothing))
    wall.at = 2_000
    failed = [runner.run(step("it", broken)) for _ in range(3)][-1]
    assert (FAILED, "it is broken", 3, 1_000) == (
        failed.result, failed.message, failed.failures, failed.succeeded_at
    )  # fmt: skip

    well = runner.run(step("it", nothing))
    assert (DONE, "", 0, 2_000) == (well.result, well.message, well.failures, well.succeeded_at)


def test_what_a_step_did_without_is_noted(runner: Runner, store: Store) -> None:
    """A success all the same."""
    last = runner.run(step("it", lambda _: Outcome(lacking="nobody told of the queue")))

    assert (DONE, "nobody told of the queue", 0) == (last.result, last.message, last.failures)
    assert {"it": last} == noted(store)


def test_a_bug_is_a_failure_with_its_trace(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    """It ends no more than the run, and is not hidden."""
    last = runner.run(step("it", lambda _: Outcome({"half": 1 // 0})))

    assert (FAILED, 1) == (last.result, last.failures)
    assert "ZeroDivisionError: integer division or modulo by zero" == last.message
    assert "Traceback" in caplog.text


def test_told_to_stop_between_two_transactions(runner: Runner) -> None:
    """That is no failure."""

    def long(work: Work) -> None:
        work.go_on()
        runner.stop()
        work.go_on()

    last = runner.run(step("it", long))
    assert (STOPPED, 0, None) == (last.result, last.failures, last.succeeded_at)


def test_what_breaks_because_of_the_stop(runner: Runner) -> None:
    """A command that was ended is no failure either."""

    def ended(work: Work) -> None:
        runner.stop()
        broken(work)

    assert (STOPPED, 0) == (runner.run(step("it", ended)).result, runner.last("it").failures)  # type: ignore[union-attr]


def test_a_run_whose_process_died(runner: Runner, store: Store, wall: Wall) -> None:
    """The next daemon counts it as a failure; a command line beside a daemon does not."""
    row = Last("it", 500, succeeded_at=400, duration_ms=3, message="process 1 on there")
    steps.note(store, row)

    runner.load(alone=False)
    assert row == runner.last("it")
    runner.load()
    died = replace(row, result=FAILED, message="its process ended while it ran", failures=1)
    assert died == runner.last("it")


def test_a_note_that_cannot_be_made(
    runner: Runner, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody writes for long: the step is done all the same, and soon; the next note catches up."""
    monkeypatch.setattr(engine, "_NOTE_WAIT_MS", 10)
    monkeypatch.setattr(engine, "_LOCK_STEP_MS", 10)
    with store.write():
        last = runner.run(step("it", nothing))

    assert (DONE, {}) == (last.result, noted(store))
    assert "step_not_noted step=it" in caplog.text
    assert {"it": runner.run(step("it", nothing))} == noted(store)


def test_a_full_disk(runner: Runner, store: Store) -> None:
    """What cannot be noted is known in memory, and noted when there is room again."""
    with store.write() as connection:
        refuse = "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        connection.execute(text(f"CREATE TRIGGER full BEFORE INSERT ON step {refuse}"))
    done = runner.run(step("it", nothing))
    assert (done, {}) == (runner.last("it"), noted(store))

    with store.write() as connection:
        connection.execute(text("DROP TRIGGER full"))
    runner.run(step("it", broken))
    assert ("it is broken", done.succeeded_at) == (
        noted(store)["it"].message,
        noted(store)["it"].succeeded_at,
    )


def test_a_page_lives_until_the_step_fails(runner: Runner) -> None:
    """Absent is better than wrong; of other steps nothing changes."""
    runner.run(step("one", lambda _: Outcome(page=PAGE)))
    runner.run(step("two", lambda _: Outcome(page=Rendered(b"c", b"d"))))
    assert [PAGE, Rendered(b"c", b"d")] == runner.seen({})[1]

    runner.run(step("two", broken))
    assert [PAGE] == runner.seen({})[1]


def test_a_page_that_has_become_old(runner: Runner, wall: Wall) -> None:
    """Also of a step that hangs instead of failing."""
    runner.run(step("it", lambda _: Outcome(page=PAGE)))

    assert [PAGE] == runner.seen({"it": wall.at})[1]
    assert [] == runner.seen({"it": wall.at + 1})[1]


def test_a_run_past_its_deadline() -> None:
    """Late is what still runs then, not what took long."""
    row = step("it", nothing, deadline=60)

    assert not is_late(row, Last("it", 1_000), 1_060)
    assert is_late(row, Last("it", 1_000), 1_061)
    assert not is_late(row, Last("it", 1_000, 1_500, result=DONE), 1_501)


def test_every_step_twice(runner: Runner, store: Store) -> None:
    """Without Slurm what reads it fails and says why; the others do their work, and again nothing more."""
    first = [runner.run(row) for row in STEPS]
    again = [runner.run(row) for row in STEPS]

    assert [*[FAILED] * 3, *[DONE] * 10] == [last.result for last in first]
    assert [*[FAILED] * 3, *[DONE] * 10] == [last.result for last in again]
    assert "sacctmgr: nobody answers" == first[0].message


def test_events_are_lines(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    """A word and key=value pairs, with quotes where they are needed."""
    caplog.set_level(logging.INFO)
    runner.run(step("it", lambda _: Outcome({"new": 3, "changed": 0})))
    runner.run(step("it", broken))

    assert ["step_done step=it seconds=0.0 new=3 changed=0",
            'step_failed step=it seconds=0.0 failures=1 error="it is broken"'] == caplog.messages  # fmt: skip
