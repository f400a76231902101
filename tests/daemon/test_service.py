"""The daemon in one process: schedule, page, hold."""

from __future__ import annotations

import gzip
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from psycopg import connect, sql

from collectors import command
from exporters.page import Page
from opsd.core.errors import BadInput, Refused
from opsd.daemon import STEPS, Daemon
from opsd.daemon.steps import Outcome, Stopped, Work
from opsd.store import hold, steps
from opsd.store.engine import Store, open_engine
from opsd.store.steps import RUNNING, STOPPED
from tests.conftest import PostgresServer
from tests.fakes import books
from tests.fakes.daemons import SLURM_AWAY, broken, nothing, page_of, samples, settings, step, until

Started = Callable[..., Daemon]
BALANCES = next(row for row in STEPS if row.name == "balances")
LEFT, AGE = "opsd_award_left_seconds", "opsd_step_last_success_timestamp_seconds"
FAILURES = "opsd_step_consecutive_failures"


class Counted:
    """A step that counts its runs, and how many went on at once."""

    def __init__(self, then: Callable[[Work], Outcome | None] = nothing) -> None:
        self.runs = self.at_once = self.most_at_once = 0
        self._then = then

    def __call__(self, work: Work) -> Outcome | None:
        """One run."""
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self._then(work)
        finally:
            self.at_once -= 1


def test_a_failing_step_harms_no_other(started: Started) -> None:
    """It waits longer each time, while another goes on at its pace."""
    failing, well = Counted(broken), Counted()
    daemon = started([step("failing", failing, seconds=0.1), step("well", well, seconds=0.05)])
    until(lambda: well.runs >= 30)

    assert 2 <= failing.runs <= well.runs / 2  # after 0.1, 0.3, 0.7, 1.5 s: ten in a minute
    assert {"failing": 0, "well": 1} == samples(daemon.url, "opsd_step_success")
    assert samples(daemon.url, FAILURES)["failing"] >= 2


def test_a_step_never_overlaps_itself(started: Started) -> None:
    """While one run takes long its times pass; they become one run."""
    free = threading.Event()
    long, other = Counted(lambda _: free.wait(30) and None), Counted()
    started([step("long", long, seconds=0.05), step("other", other, seconds=0.05)])
    until(lambda: other.runs >= 10)
    assert (1, 1) == (long.runs, long.most_at_once)

    free.set()
    until(lambda: long.runs >= 3)
    assert 1 == long.most_at_once


def test_a_step_follows_another(started: Started, another: Store) -> None:
    """After its success, long before its own time; not after its failure."""
    first, second = Counted(), Counted()
    started([step("first", first, seconds=0.2), step("second", second, follows="first")])
    until(lambda: second.runs >= 4)

    failing, third = Counted(broken), Counted()
    started([step("failing", failing, seconds=0.05), step("third", third, follows="failing")], of=another)
    until(lambda: failing.runs >= 3)
    assert third.runs <= 1


def test_the_page_before_the_first_balances(started: Started) -> None:
    """It serves the daemon's health, and nothing that is not known yet."""
    free = threading.Event()

    def slow(work: Work) -> Outcome:
        free.wait(30)
        return BALANCES.run(work)

    daemon = started([step("balances", slow), step("other", nothing)])
    until(lambda: "other" in samples(daemon.url, "opsd_step_success"))
    assert ({}, {"other"}) == (samples(daemon.url, LEFT), set(samples(daemon.url, "opsd_step_success")))

    free.set()
    until(lambda: samples(daemon.url, LEFT))
    assert {"large": 88 * 3600.0, "small": -2 * 3600.0} == samples(daemon.url, LEFT)


def test_the_page_compressed(started: Started) -> None:
    """Health and balances are compressed apart and read as one."""
    daemon = started([BALANCES])
    until(lambda: samples(daemon.url, LEFT))
    request = urllib.request.Request(f"{daemon.url}/metrics", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = gzip.decompress(answer.read()).decode()

    assert ("gzip", True) == (answer.headers["Content-Encoding"], "opsd_build_info" in text and LEFT in text)


def test_balances_that_cannot_be_collected_are_absent(started: Started, store: Store) -> None:
    """A database without its tables: no balances, the age of the last ones; and again when they are back."""
    daemon = started([step("balances", BALANCES.run, seconds=0.1)])
    until(lambda: samples(daemon.url, LEFT))
    with store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE binding RENAME TO gone")
    until(lambda: samples(daemon.url, FAILURES)["balances"])
    assert ({}, {"balances"}) == (samples(daemon.url, LEFT), set(samples(daemon.url, AGE)))

    with store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO binding")
    until(lambda: samples(daemon.url, LEFT))
    assert {"balances": 0} == samples(daemon.url, FAILURES)


def test_a_database_locked_by_a_writer(started: Started, store: Store) -> None:
    """Balances are read beside it, however long it writes."""
    with store.write():
        daemon = started([step("balances", BALANCES.run, seconds=0.1)])
        until(lambda: samples(daemon.url, LEFT))

    assert {"balances": 1} == samples(daemon.url, "opsd_step_success")


@pytest.mark.postgresql
def test_a_server_that_goes_and_comes_back(
    started: Started, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """No balances while it is away, the age shows, and all is well again by itself, the hold included."""
    store = open_engine(postgres_url)
    books.fill(store)
    daemon = started([step("balances", BALANCES.run, seconds=0.2)], of=store)
    until(lambda: samples(daemon.url, LEFT))
    with closed_to_all(postgres_server, postgres_url):
        until(lambda: samples(daemon.url, FAILURES)["balances"] >= 2)
        assert ({}, {"balances"}) == (samples(daemon.url, LEFT), set(samples(daemon.url, AGE)))

    until(lambda: samples(daemon.url, LEFT))
    found = hold.holder(store)
    assert found is not None
    assert daemon.stop()
    store.close()


@contextmanager
def closed_to_all(server: PostgresServer, url: str) -> Iterator[None]:
    """A database that ends all sessions and takes no more."""
    name = url.rpartition("/")[2]
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def test_a_second_daemon_is_refused(started: Started, store: Store) -> None:
    """It says who has the database, and leaves the first alone."""
    first = started([step("it", nothing)])
    second = Daemon(store, settings(), SLURM_AWAY, steps=[])

    with pytest.raises(Refused, match="a daemon runs on it already: process "):
        second.start()
    assert {"it": 0} == samples(first.url, FAILURES)


def test_a_lost_hold_ends_the_daemon(started: Started, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two daemons never run steps at once: whoever learns that another has the hold ends."""
    told: list[str] = []
    it = Counted()
    daemon = started([step("it", it, seconds=0.05)], on_end=told.append)
    until(lambda: it.runs)

    def lost() -> None:
        raise Refused("another daemon has it")

    monkeypatch.setattr(daemon._hold, "keep", lost)
    until(lambda: told)
    runs = it.runs
    until(lambda: len(told) > 1)
    assert (runs, "another daemon has it") == (it.runs, told[0])


def test_an_address_that_is_taken(started: Started, store: Store, another: Store) -> None:
    """The message names it; the hold is given back, so that another start succeeds."""
    first = started([step("it", nothing)], of=another)
    address = first.url.removeprefix("http://")
    second = Daemon(store, settings(listen_address=address), SLURM_AWAY, steps=[])

    with pytest.raises(BadInput, match=f"{address} cannot be listened on"):
        second.start()
    started([step("it", nothing)])


def test_only_the_loopback_without_certificates(store: Store) -> None:
    """Balances are nobody else's business."""
    daemon = Daemon(store, settings(listen_address="0.0.0.0:0"), SLURM_AWAY, steps=[])

    with pytest.raises(Refused, match=r"daemon\.listen_address|not on the loopback"):
        daemon.start()


def test_it_ends_while_a_step_runs(started: Started, store: Store) -> None:
    """The run ends at its next pause and is noted as stopped; nothing is left running."""
    running = threading.Event()

    def long(work: Work) -> None:
        while True:
            running.set()
            threading.Event().wait(0.01)
            work.go_on()

    daemon = started([step("long", long)])
    assert running.wait(30)
    assert daemon.stop()
    with store.read() as connection:
        assert STOPPED == steps.last(connection)["long"].result


def test_it_ends_though_a_step_hangs(store: Store) -> None:
    """It waits a bounded time, says that not everything has ended, and keeps others out until it has."""
    running, free = threading.Event(), threading.Event()

    def hang(_work: Work) -> None:
        running.set()
        free.wait(30)

    daemon = Daemon(store, settings(), SLURM_AWAY, steps=[step("hung", hang)])
    daemon.start()
    assert running.wait(30)

    assert not daemon.stop(seconds=0.1)
    assert hold.holder(store) is not None
    free.set()
    assert daemon.stop()
    assert hold.holder(store) is None


def test_a_command_begun_while_it_stops_is_ended(started: Started) -> None:
    """A run that was between two commands begins its next one after the others were ended: it goes, too."""
    running, codes = threading.Event(), list[int]()

    def between_commands(work: Work) -> None:
        with suppress(Stopped):
            while True:
                running.set()
                threading.Event().wait(0.01)
                work.go_on()
        threading.Event().wait(0.3)
        answer = command.run(["sleep", "600"], timeout_seconds=600, environment={})
        answer.stdout.close()
        codes.append(answer.code)

    daemon = started([step("it", between_commands)])
    assert running.wait(30)
    assert daemon.stop(seconds=4)
    assert [-signal.SIGKILL] == codes


def test_a_late_step_is_told(started: Started, caplog: pytest.LogCaptureFixture) -> None:
    """In the page and, once, in the log, while it still runs."""
    free = threading.Event()
    clock = [1_000.0]
    hung = step("hung", lambda _: free.wait(30) and None, deadline=60)
    daemon = started([hung], wall=lambda: clock[0])
    until(lambda: AGE.replace("success", "start") in page_of(daemon.url))
    assert {"hung": 0} == samples(daemon.url, "opsd_step_late")

    clock[0] += 61
    until(lambda: samples(daemon.url, "opsd_step_late")["hung"])
    until(lambda: samples(daemon.url, "opsd_page_timestamp_seconds")[""] == clock[0])
    free.set()
    assert 1 == caplog.text.count("step_late step=hung")


def test_old_samples_leave_the_page(started: Started) -> None:
    """A step that hangs must not let its last balances look like today's."""
    clock = [1_000.0]
    one = Page()
    one.add("opsd_quarantine_records", 3)
    daemon = started([step("it", lambda _: Outcome(page=one.render()), seconds=600)], wall=lambda: clock[0])
    until(lambda: samples(daemon.url, "opsd_quarantine_records"))

    clock[0] += 1_801
    until(lambda: samples(daemon.url, "opsd_page_timestamp_seconds")[""] == clock[0])
    assert ({}, {"it": 1_000}) == (samples(daemon.url, "opsd_quarantine_records"), samples(daemon.url, AGE))


def test_a_wedged_scheduler_is_not_well(started: Started) -> None:
    """Without heartbeats /healthz fails, and nobody tells the watchdog that all is well."""
    beats, blocked = Counted(), threading.Event()

    def beat() -> None:
        beats(None)  # type: ignore[arg-type]
        blocked.wait(30 if beats.runs > 3 else 0)

    daemon = started([step("it", nothing)], on_beat=beat)
    until(lambda: beats.runs > 3)
    until(lambda: health_of(daemon.url) == 503)
    assert 4 == beats.runs

    blocked.set()
    until(lambda: health_of(daemon.url) == 200)


def health_of(url: str) -> int:
    """The status of /healthz."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as err:
        err.close()
        return err.code


def test_it_remembers_across_restarts(started: Started, store: Store) -> None:
    """Failures and the last success of before stand on the page at once."""
    first = started([step("it", broken, seconds=0.05)])
    until(lambda: samples(first.url, FAILURES)["it"] >= 2)
    assert first.stop()
    with store.read() as connection:
        known = steps.last(connection)["it"].failures

    free = threading.Event()
    second = started([step("it", lambda _: free.wait(30) and None)])
    assert {"it": known} == samples(second.url, FAILURES)
    with store.read() as connection:
        until(lambda: steps.last(connection)["it"].result in (RUNNING, "failed"))
    free.set()


def test_certificates_that_are_not_there(store: Store) -> None:
    """The message names the file; the hold is given back."""
    daemon = Daemon(store, settings(web_config="/nowhere/web.yml"), SLURM_AWAY, steps=[])

    with pytest.raises(BadInput, match=r"web configuration /nowhere/web\.yml: No such file"):
        daemon.start()
    assert hold.holder(store) is None
