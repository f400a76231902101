"""One reading of accounting: which windows are asked for, what is asked again, how far it is covered."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

import pytest

from collectors.protocol import AccountingText
from collectors.slurm.sacct import SacctReader
from opsd.core.errors import BadInput, BadText, OpsdError, Refused, TooWide, Unavailable
from opsd.core.period import DAY, HOUR, Window
from opsd.pipeline import ingest, sweep, usage
from opsd.pipeline.pace import Pace
from opsd.store import imports, migrate, sweeps
from opsd.store.engine import Store, open_engine

NOW = 1_790_000_000
HEADER = "JobIDRaw|Cluster|Account|State|Submit|Eligible|Start|End|AllocTRES\n"


class Slurm:
    """A source that answers from a table of rows, and can be told to fail or to leave rows out."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[str, int, int | None]] = {}  # job -> state, start, end
        self.hidden: set[int] = set()  # jobs that windows leave out
        self.more = ""  # what answers end with
        self.asked: list[tuple[int, int] | list[int]] = []
        self.fails_at: set[int] = set()  # the how manieth questions fail
        self.clock = NOW
        self.bears = 10_000 * DAY  # the widest window that is answered
        self.bears_jobs = 10_000  # the most jobs
        self.name = "lab"
        self.suspended = False  # whether every run was, for ten seconds
        self.cpu: dict[int, int] = {}  # job -> CPUs, where they are not 2

    def prove(self) -> str:
        """Everybody's runs, of the cluster lab."""
        return self.name

    def changed(self, start: int, end: int) -> AccountingText:
        """Rows alive in a window, except those it hides."""
        self._count((start, end))
        if end - start > self.bears:
            raise TooWide("sacct: no whole answer within 300 s")
        return self._text([
            job
            for job, (_, begin, finish) in self.rows.items()
            if begin < end and (finish is None or finish >= start) and job not in self.hidden
        ])  # fmt: skip

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Rows of some jobs."""
        self._count(list(job_ids))
        if len(job_ids) > self.bears_jobs:
            raise TooWide("sacct: no whole answer within 300 s")
        return self._text([job for job in job_ids if job in self.rows])

    def _count(self, question: tuple[int, int] | list[int]) -> None:
        self.asked.append(question)
        if len(self.asked) in self.fails_at:
            raise Unavailable("sacct ended with 1")

    def _text(self, jobs: Sequence[int]) -> AccountingText:
        header, more = HEADER, ""
        if self.suspended:
            header, more = HEADER.replace("\n", "|Suspended|DBIndex\n"), "|00:00:10|7"
        lines = [
            f"{job}|{self.name}|a|{state}|{start}|{start}|{start}|{end or 'Unknown'}|"
            f"cpu={self.cpu.get(job, 2)},node=1{more}\n"
            for job, (state, start, end) in self.rows.items()
            if job in jobs
        ]
        text = header + "".join(lines) + self.more
        return AccountingText(io.BytesIO(text.encode()), self.clock, "sacct")


@pytest.fixture
def slurm() -> Slurm:
    """A Slurm with one ended and one running job."""
    found = Slurm()
    found.rows = {1: ("COMPLETED", NOW - 10 * DAY, NOW - 10 * DAY + 100), 2: ("RUNNING", NOW - DAY, None)}
    return found


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store with its tables."""
    found = open_engine(store_url)
    migrate.upgrade(found)
    yield found
    found.close()


def run(store: Store, slurm: Slurm, now: int = NOW, span: Window | None = None) -> sweep.Result:
    """One sweep, as a daemon would do it at `now`."""
    slurm.clock = now
    return sweep.run(store, slurm, now=now, since=NOW - 14 * DAY, means=whole_weeks(), span=span)


def whole_weeks() -> sweep.Means:
    """Windows of a week from the first one on."""
    return sweep.Means(Pace(7 * DAY, width=7 * DAY))


def cpu_seconds(store: Store, until: int) -> int:
    """What is counted in all."""
    with store.read() as connection:
        return usage.run(connection, Window(NOW - 20 * DAY, until), ()).rows[0].measures.cpu_seconds


def covered(store: Store) -> int | None:
    """How far the cluster counts as read."""
    with store.read() as connection:
        return sweeps.covered(connection).get("lab")


def test_the_first_sweep_reads_from_since_in_windows(store: Store, slurm: Slurm) -> None:
    """No question spans more than a window, and together they leave no gap."""
    result = run(store, slurm)

    assert [(NOW - 14 * DAY, NOW - 7 * DAY), (NOW - 7 * DAY, NOW)] == slurm.asked
    assert (2, 0, 2) == (result.new, result.changed, result.windows)
    assert NOW == covered(store)
    assert 2 * (100 + DAY) == cpu_seconds(store, NOW)


def test_the_next_sweep_starts_two_hours_before_the_last_ended(store: Store, slurm: Slurm) -> None:
    """Records that reached slurmdbd late are read, and what is read twice counts once."""
    run(store, slurm)
    slurm.rows[3] = ("COMPLETED", NOW - HOUR, NOW - HOUR + 10)
    result = run(store, slurm, NOW + 60)

    assert (NOW - 2 * HOUR, NOW + 60) == slurm.asked[-1]
    assert (1, 0) == (result.new, result.changed)
    assert NOW + 60 == covered(store)
    assert 2 * (100 + DAY + 60 + 10) == cpu_seconds(store, NOW + 60)


def test_a_failure_keeps_what_was_whole_and_the_next_sweep_goes_on(store: Store, slurm: Slurm) -> None:
    """Windows before the failing one are in and covered; of the failing one nothing is."""
    slurm.fails_at = {2, 3, 4}
    with pytest.raises(Unavailable):
        run(store, slurm)

    assert NOW - 7 * DAY == covered(store)
    assert 2 * 100 == cpu_seconds(store, NOW)
    run(store, slurm)
    assert (NOW - 7 * DAY - 2 * HOUR, NOW - 2 * HOUR) == slurm.asked[4]
    assert 2 * (100 + DAY) == cpu_seconds(store, NOW)


def test_a_run_that_ended_long_ago_is_asked_for_again(store: Store, slurm: Slurm) -> None:
    """A runaway job that was fixed has an end in the past, which no window of today shows."""
    run(store, slurm)
    slurm.rows[2] = ("COMPLETED", NOW - DAY, NOW - DAY + 7)
    result = run(store, slurm, NOW + 60)

    assert [2] == slurm.asked[-1]
    assert (1, 1) == (result.asked_again, result.changed)
    assert 2 * (100 + 7) == cpu_seconds(store, NOW + 60)


def test_an_answer_that_leaves_out_a_run_is_not_whole(store: Store, slurm: Slurm) -> None:
    """A run that goes on must have been in it; so others may be missing, and the span is read again."""
    run(store, slurm)
    slurm.rows[3] = ("COMPLETED", NOW - 10, NOW - 5)
    slurm.hidden = {2, 3}
    with pytest.raises(Unavailable, match=r"was not whole: it left out 1 runs .*\(job 2\)"):
        run(store, slurm, NOW + 60)

    assert NOW == covered(store)
    slurm.hidden = set()
    assert 1 == run(store, slurm, NOW + 120).new


def test_a_stated_span_is_read_again_alone(store: Store, slurm: Slurm) -> None:
    """How far the cluster is covered does not change, and open runs are left as they are."""
    span = Window(NOW - 12 * DAY, NOW - 9 * DAY)
    result = run(store, slurm, span=span)

    assert [(span.start, span.end)] == slurm.asked
    assert 1 == result.new
    assert covered(store) is None


def test_a_bad_record_is_set_aside_once(store: Store, slurm: Slurm) -> None:
    """The same bytes in the next answer, at whatever place, are the same record."""
    slurm.more = "7|lab|a|COMPLETED|broken\n"
    first = run(store, slurm)
    slurm.rows[3] = ("COMPLETED", NOW - 10, NOW - 5)
    second = run(store, slurm, NOW + 60)

    assert 2 == first.quarantined  # in each of two windows
    assert 1 == second.quarantined
    with store.read() as connection:
        assert 1 == imports.quarantine_count(connection)
    assert NOW + 60 == covered(store)


def test_a_bad_record_of_a_run_that_goes_on_is_set_aside_once(store: Store, slurm: Slurm) -> None:
    """Its elapsed time is another in each answer; a record of another job is another record."""
    header = HEADER.replace("AllocTRES", "ElapsedRaw|AllocTRES")
    line = f"{{job}}|lab|a|RUNNING|{NOW}|{NOW}|{NOW}|Unknown|{{elapsed}}|cpu\n"
    for asked, (job, elapsed) in enumerate([(7, 10), (7, 70), (8, 130)], 1):
        reader = SacctReader(io.BytesIO((header + line.format(job=job, elapsed=elapsed)).encode()))
        at = NOW + 60 * asked
        assert 1 == ingest.run(store, reader, source="s", observed_at=at, now=at, placed=False).quarantined

    with store.read() as connection:
        assert 2 == imports.quarantine_count(connection)


def test_without_rights_nothing_is_read(store: Store, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the runs would look like all of them."""

    def refuse() -> str:
        raise Refused("user opsd may not see everybody's runs")

    monkeypatch.setattr(slurm, "prove", refuse)
    with pytest.raises(Refused):
        run(store, slurm)

    assert [] == slurm.asked
    assert covered(store) is None


def test_a_clock_set_back_asks_for_nothing_strange(store: Store, slurm: Slurm) -> None:
    """Covered until tomorrow: the two hours before now are read."""
    run(store, slurm, NOW + DAY)
    run(store, slurm, NOW)

    assert (NOW - 2 * HOUR, NOW) == slurm.asked[-1]


@pytest.mark.parametrize(
    ("since", "start"),
    [
        ("30 days", NOW - 30 * DAY),
        ("1 day", NOW - DAY),
        ("2026-09-01", 1_788_220_800),
        ("99999 days", 631_152_000),
    ],
)
def test_the_first_sweep_starts_where_the_settings_say(since: str, start: int) -> None:
    """So many days ago, or at a date."""
    assert start == sweep.beginning(since, NOW)


def test_a_beginning_that_is_still_to_come_is_refused() -> None:
    """Nothing would be read, and nobody would be told."""
    with pytest.raises(BadText, match="still to come"):
        sweep.beginning("2100-01-01", NOW)


def test_a_beginning_that_is_no_time_is_refused() -> None:
    """The setting is named."""
    with pytest.raises(BadText, match=r"slurm\.since"):
        sweep.beginning("a while ago", NOW)


def test_what_slurm_writes_down_late_is_read_by_night(store: Store, slurm: Slurm) -> None:
    """A run that slurmdbd learns of after a sweep has passed its time, and one whose end was mended."""
    run(store, slurm)
    later = NOW + HOUR
    slurm.rows[3] = ("COMPLETED", NOW - 6 * HOUR, NOW - 5 * HOUR)
    slurm.rows[2] = ("COMPLETED", NOW - DAY, NOW - DAY + 60)
    run(store, slurm, later)
    missed = cpu_seconds(store, later)

    found = sweep.again(store, slurm, now=later, means=whole_weeks())
    seen = cpu_seconds(store, later)
    nothing = sweep.again(store, slurm, now=later, means=whole_weeks())

    assert 2 * (100 + 60) == missed  # the mended one was asked for by its job
    assert (1, 0) == (found.new, found.changed)
    assert 2 * (100 + 60 + HOUR) == seen
    assert (0, 0) == (nothing.new, nothing.changed)
    assert later == covered(store)


def test_a_cluster_that_was_never_read_is_not_read_again(store: Store, slurm: Slurm) -> None:
    """Its first sweep reads all there is."""
    found = sweep.again(store, slurm, now=NOW)

    assert (0, []) == (found.windows, slurm.asked)
    assert covered(store) is None


# -- what slurmdbd can bear ----------------------------------------------------------------------------


def widths(slurm: Slurm) -> list[float]:
    """How wide the windows asked for were, in hours."""
    return [(asked[1] - asked[0]) / HOUR for asked in slurm.asked if isinstance(asked, tuple)]


def test_windows_grow_while_answers_come_quickly(store: Store, slurm: Slurm) -> None:
    """From a day on, twice as wide each time, up to the widest; the next sweep begins as the last ended."""
    pace = Pace(7 * DAY)
    sweep.run(store, slurm, now=NOW, since=NOW - 20 * DAY, means=sweep.Means(pace))

    assert [24, 48, 96, 168, 144] == widths(slurm)
    assert 7 * DAY == pace.width


def test_slow_answers_let_windows_stay(store: Store, slurm: Slurm) -> None:
    """Twelve seconds are no quick answer."""
    ticks = iter(range(0, 100_000, 12))
    pace = Pace(7 * DAY, clock=lambda: next(ticks))
    sweep.run(store, slurm, now=NOW, since=NOW - 4 * DAY, means=sweep.Means(pace))

    assert [24] * 4 == widths(slurm)


def test_a_window_that_is_too_wide_is_asked_for_in_halves(store: Store, slurm: Slurm) -> None:
    """Again from its start; nothing is left out, and nothing counts twice."""
    slurm.bears = 7 * HOUR
    slurm.rows = {job: ("COMPLETED", NOW - job * HOUR, NOW - job * HOUR + 1_800) for job in range(1, 24)}
    result = sweep.run(store, slurm, now=NOW, since=NOW - DAY, means=sweep.Means(Pace(DAY)))

    asked = [one for one in slurm.asked if isinstance(one, tuple)]
    answered = [one for one in asked if one[1] - one[0] <= slurm.bears]
    assert [24, 12, 6] == widths(slurm)[:3]
    assert [NOW - DAY] + [end for _, end in answered[:-1]] == [start for start, _ in answered]
    assert (NOW, 23) == (answered[-1][1], result.new)
    assert 2 * 23 * 1_800 == cpu_seconds(store, NOW)


def test_a_window_that_cannot_be_made_smaller_fails(store: Store, slurm: Slurm) -> None:
    """After an hour's window was too much."""
    slurm.bears = HOUR - 1
    with pytest.raises(TooWide):
        sweep.run(store, slurm, now=NOW, since=NOW - 4 * HOUR, means=sweep.Means(Pace(DAY)))

    assert [4, 2, 1] == widths(slurm)
    assert covered(store) is None


def test_too_many_jobs_at_once_are_asked_for_in_halves(store: Store, slurm: Slurm) -> None:
    """All of them are read."""
    slurm.rows = dict.fromkeys(range(1, 11), ("RUNNING", NOW - DAY, None))
    run(store, slurm)
    slurm.rows = dict.fromkeys(range(1, 11), ("COMPLETED", NOW - DAY, NOW - DAY + 5))
    slurm.bears_jobs = 3
    result = run(store, slurm, NOW + 60)

    assert (10, 10) == (result.asked_again, result.changed)
    assert 2 * 10 * 5 == cpu_seconds(store, NOW + 60)


def test_a_question_that_failed_is_asked_again_after_growing_pauses(store: Store, slurm: Slurm) -> None:
    """The third answer counts; a fourth try is left to the next sweep."""
    paused: list[float] = []
    slurm.fails_at = {1, 2}
    sweep.run(store, slurm, now=NOW, since=NOW - DAY, means=sweep.Means(Pace(DAY, sleep=paused.append)))

    assert [1.0, 4.0] == paused
    assert NOW == covered(store)


def test_a_process_that_ends_does_not_ask_again(store: Store, slurm: Slurm) -> None:
    """The command it had running was ended by it."""
    slurm.fails_at = {1}

    def go_on() -> None:
        if slurm.asked:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run(store, slurm, now=NOW, means=sweep.Means(go_on=go_on))

    assert 1 == len(slurm.asked)


# -- late, edited, fixed, purged -----------------------------------------------------------------------


def test_what_is_written_down_weeks_late_is_read_by_the_week(store: Store, slurm: Slurm) -> None:
    """Within ninety days, and not before the first run that is known; an edit of then as well."""
    slurm.rows[4] = ("COMPLETED", NOW - 80 * DAY, NOW - 80 * DAY + 10)
    sweep.run(store, slurm, now=NOW, since=NOW - 100 * DAY, means=whole_weeks())
    before = cpu_seconds_since(store, NOW - 100 * DAY)
    slurm.rows[5] = ("COMPLETED", NOW - 60 * DAY, NOW - 60 * DAY + 1_000)
    slurm.cpu[4] = 12
    slurm.clock = NOW + 60
    slurm.asked.clear()
    nightly = sweep.again(store, slurm, now=NOW + 60, means=whole_weeks())
    weekly = sweep.again(store, slurm, now=NOW + 60, back_seconds=sweep.FAR_BACK, means=whole_weeks())

    assert (0, 0) == (nightly.new, nightly.changed)
    assert (1, 1) == (weekly.new, weekly.changed)
    assert (NOW + 60 - 7 * DAY, NOW + 60) == slurm.asked[0]
    assert NOW - 80 * DAY == slurm.asked[1][0]
    assert 2 * 1_000 + 10 * 10 + 2 * 60 == cpu_seconds_since(store, NOW - 100 * DAY) - before


def cpu_seconds_since(store: Store, start: int) -> int:
    """What is counted from an instant on, open runs to a minute after the beginning."""
    with store.read() as connection:
        return usage.run(connection, Window(start, NOW + 60), ()).rows[0].measures.cpu_seconds


class Tables:
    """slurmdbd's own tables: when jobs ended, and when their rows changed."""

    def __init__(self) -> None:
        self.changed: dict[int, tuple[int, int]] = {}  # job -> end, change
        self.asked: list[tuple[int, Window]] = []
        self.broken: OpsdError | None = None

    def modified(self, since: int, ended: Window) -> list[int]:
        """Jobs that ended in a window and whose row changed at or after an instant."""
        if self.broken:
            raise self.broken
        self.asked.append((since, ended))
        return [
            job
            for job, (end, at) in self.changed.items()
            if at >= since and ended.start <= end < ended.end
        ]  # fmt: skip


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where suspensions were put in place: cluster and when."""
    found: list[tuple[str, int]] = []

    def run(_store: Store, _tables: object, *, cluster: str, now: int) -> None:
        found.append((cluster, now))

    stand_in = ModuleType("opsd.pipeline.placement")
    stand_in.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "opsd.pipeline.placement", stand_in)
    monkeypatch.setattr("opsd.pipeline.placement", stand_in, raising=False)
    return found


def beside(tables: Tables) -> sweep.Means:
    """Windows of a week, and slurmdbd's tables beside sacct."""
    return sweep.Means(Pace(7 * DAY, width=7 * DAY), tables=tables)  # type: ignore[arg-type]


def edit(slurm: Slurm, tables: Tables, job: int, at: int) -> None:
    """Another number of CPUs, in the row of a run that has ended."""
    end = slurm.rows[job][2]
    assert end is not None
    tables.changed[job] = end, at
    slurm.cpu[job] = 64


def test_an_edit_of_the_last_week_is_read_at_once_where_the_tables_tell_of_it(
    store: Store, slurm: Slurm, placed: list[tuple[str, int]]
) -> None:
    """Only what ended before the window is asked for, and only what changed since the last reading."""
    tables = Tables()
    slurm.rows[4] = slurm.rows[6] = ("COMPLETED", NOW - 3 * DAY, NOW - 3 * DAY + 10)
    sweep.run(store, slurm, now=NOW, since=NOW - 14 * DAY, means=beside(tables))
    edit(slurm, tables, 4, NOW + 30)
    edit(slurm, tables, 6, NOW - 3 * HOUR)
    slurm.clock = NOW + 60
    result = sweep.run(store, slurm, now=NOW + 60, means=beside(tables))

    nothing = Window(NOW - 14 * DAY, NOW - 14 * DAY)
    assert [nothing, Window(NOW + 60 - 7 * DAY, NOW - 2 * HOUR)] == [ended for _, ended in tables.asked]
    assert NOW - 2 * HOUR == tables.asked[-1][0]
    assert ([4], 1, 1) == (slurm.asked[-1], result.modified, result.changed)
    assert (64 + 2) * 10 + 2 * (100 + DAY + 60) == cpu_seconds_since(store, NOW - 300 * DAY)
    assert [("lab", NOW), ("lab", NOW + 60)] == placed


@pytest.mark.usefixtures("placed")
def test_an_edit_of_months_ago_is_read_at_night_however_long_the_tables_were_away(
    store: Store, slurm: Slurm
) -> None:
    """The mark stays until all was asked, and no question looks at more than a month of ends."""
    tables = Tables()
    slurm.rows[4] = ("COMPLETED", NOW - 200 * DAY, NOW - 200 * DAY + 10)
    sweep.run(store, slurm, now=NOW, since=NOW - 300 * DAY, means=beside(tables))
    edit(slurm, tables, 4, NOW + 30)
    tables.asked.clear()
    tables.broken = Unavailable("slurmdbd's database is away")
    for days in (1, 2, 3):
        slurm.clock = NOW + days * DAY
        for read in (sweep.run, sweep.again):
            assert read(store, slurm, now=slurm.clock, means=beside(tables)).database
    tables.broken = None
    slurm.clock = now = NOW + 4 * DAY
    result = sweep.again(store, slurm, now=now, means=beside(tables))

    assert ([4], 1, 1) == (slurm.asked[-1], result.modified, result.changed)
    assert {NOW - 2 * HOUR} == {since for since, _ in tables.asked}
    first, last = NOW - 200 * DAY, now - 7 * DAY
    assert [*range(first, last, 30 * DAY)] == [ended.start for _, ended in tables.asked]
    assert [*range(first + 30 * DAY, last, 30 * DAY), last] == [ended.end for _, ended in tables.asked]
    tables.asked.clear()
    sweep.again(store, slurm, now=now + DAY, means=beside(tables))
    assert {now - 2 * HOUR} == {since for since, _ in tables.asked}


class Suspending(Tables):
    """Tables that tell of no edit, and not when runs were suspended."""

    def suspensions(self, db_indexes: Sequence[int]) -> dict[int, str]:
        """Asked for after the edits."""
        raise Unavailable("slurmdbd's database went\naway")


def swept(store: Store) -> sweeps.Sweep:
    """What is known of the last sweep."""
    with store.read() as connection:
        return sweeps.every(connection)[0]


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize(
    "broken", [Unavailable("it is away"), Refused("the password is wrong")], ids=["a", "r"]
)
def test_without_slurmdbds_database_the_windows_are_read(
    store: Store, slurm: Slurm, broken: OpsdError
) -> None:
    """It is asked once a sweep, why it failed is kept until it answers, and its mark stays where it was."""
    tables = Tables()
    tables.broken = broken
    first = sweep.run(store, slurm, now=NOW, since=NOW - 14 * DAY, means=beside(tables))
    assert (2, [f"{broken}: {sweep.NO_DATABASE}"]) == (first.new, [*swept(store).notes])
    assert first.database == swept(store).notes[0]
    slurm.rows[3] = ("COMPLETED", NOW + 10, NOW + 20)
    slurm.clock = NOW + 10 * DAY
    second = sweep.run(store, slurm, now=NOW + 60, means=beside(tables))
    night = sweep.again(store, slurm, now=NOW + 10 * DAY, means=beside(tables))
    assert (1, True, True) == (second.new, bool(second.database), bool(night.database))
    assert (NOW + 60, NOW) == (swept(store).covered_until, swept(store).modified_until)

    tables.broken = None
    assert "" == sweep.again(store, slurm, now=NOW + 10 * DAY, means=beside(tables)).database
    assert ((), NOW + 10 * DAY) == (swept(store).notes, swept(store).modified_until)


def test_suspensions_that_cannot_be_asked_for_hinder_nothing(store: Store, slurm: Slurm) -> None:
    """They wait for the next sweep; a reason of two lines is one note."""
    slurm.rows[7] = ("COMPLETED", NOW - 100, NOW - 50)
    slurm.suspended = True
    result = sweep.run(store, slurm, now=NOW, since=NOW - 14 * DAY, means=beside(Suspending()))

    assert (3, NOW) == (result.new, swept(store).covered_until)
    assert (f"slurmdbd's database went away: {sweep.NO_DATABASE}",) == swept(store).notes


def test_sacct_failing_over_an_edit_is_a_failure(store: Store, slurm: Slurm) -> None:
    """Only what slurmdbd's database itself does not tell is done without."""
    tables = Tables()
    sweep.run(store, slurm, now=NOW, since=NOW - 14 * DAY, means=beside(tables))
    slurm.rows[4] = ("COMPLETED", NOW - 3 * DAY, NOW - 3 * DAY + 10)
    edit(slurm, tables, 4, NOW + 30)
    slurm.fails_at = set(range(len(slurm.asked) + 2, 100))

    with pytest.raises(Unavailable, match="sacct ended with 1"):
        sweep.run(store, slurm, now=NOW + 60, means=beside(tables))


def test_a_run_of_another_cluster_is_refused(store: Store, slurm: Slurm) -> None:
    """It would count beside what is read from that one; the window counts as not read."""
    slurm.more = f"3|far|a|COMPLETED|{NOW - 50}|{NOW - 50}|{NOW - 50}|{NOW - 40}|cpu=2,node=1\n"
    with pytest.raises(BadInput, match="asked about cluster lab, it told of job 3 of cluster far"):
        run(store, slurm)

    assert None is covered(store)


def test_an_ended_run_that_slurm_purges_stays(store: Store, slurm: Slurm) -> None:
    """A row that is gone is no usage given back, whatever sweep looks."""
    run(store, slurm)
    del slurm.rows[1]
    before = cpu_seconds(store, NOW)
    result = sweep.again(store, slurm, now=NOW, back_seconds=sweep.FAR_BACK, means=whole_weeks())

    assert (0, 0, ()) == (result.new, result.changed, result.gone)
    assert 2 * (100 + DAY) == before == cpu_seconds(store, NOW)


def test_an_open_run_that_slurm_purges_counts_to_when_it_was_last_seen(store: Store, slurm: Slurm) -> None:
    """It is asked for by its job, and told as long as nothing is heard of it."""
    run(store, slurm)
    del slurm.rows[2]
    result = run(store, slurm, NOW + HOUR)

    assert ([2], (2,)) == (slurm.asked[-1], result.gone)
    assert 2 * (100 + DAY) == cpu_seconds(store, NOW + HOUR)
    with store.read() as connection:
        assert [(2,)] == [found.gone for found in sweeps.every(connection)]
    slurm.rows[2] = ("COMPLETED", NOW - DAY, NOW - DAY + 5)
    assert () == run(store, slurm, NOW + 2 * HOUR).gone
    assert 2 * (100 + 5) == cpu_seconds(store, NOW + 2 * HOUR)


class Controlled(Slurm):
    """A Slurm whose controller can be asked."""

    knows: frozenset[int] | None = frozenset({2})

    def known_jobs(self) -> frozenset[int]:
        """The jobs that the controller knows."""
        if self.knows is None:
            raise Unavailable("squeue ended with 1: nobody answers")
        return self.knows


def suspected(store: Store) -> tuple[int, ...]:
    """What `opsd status` will show."""
    with store.read() as connection:
        return sweeps.every(connection)[0].suspected


def test_a_run_that_the_controller_does_not_know_is_suspected(store: Store) -> None:
    """It goes on counting until its record changes; without a controller the suspicion stays as it was."""
    slurm = Controlled()
    slurm.rows = {2: ("RUNNING", NOW - DAY, None), 3: ("RUNNING", NOW - 2 * DAY, None)}
    first = run(store, slurm)
    assert ((3,), (3,)) == (first.suspected, suspected(store))

    slurm.knows = None
    away = run(store, slurm, NOW + 60)
    assert ("squeue ended with 1: nobody answers", (3,)) == (away.controller, suspected(store))
    assert 2 * (3 * DAY + 120) == cpu_seconds(store, NOW + 60)

    slurm.knows = frozenset({2})
    slurm.rows[3] = ("FAILED", NOW - 2 * DAY, NOW - 2 * DAY)  # as `sacctmgr show runaway` mends it
    fixed = run(store, slurm, NOW + 120)
    assert ((), (), 1) == (fixed.suspected, suspected(store), fixed.changed)
    assert 2 * (DAY + 120) == cpu_seconds(store, NOW + 120)


def test_a_run_that_began_after_the_controller_was_asked_is_no_suspect(store: Store) -> None:
    """Nor one that has not begun."""
    slurm = Controlled()
    slurm.rows = {2: ("RUNNING", NOW - DAY, None), 9: ("RUNNING", NOW, None)}

    assert () == run(store, slurm).suspected
