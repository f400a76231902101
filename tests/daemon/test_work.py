"""What the steps do with the pipeline: settings go in, counts come out, pauses lie between transactions."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence

import pytest

from collectors.protocol import AccountingText
from collectors.slurm.commands import FIELDS
from opsd.core.errors import Refused, Unavailable
from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import DOWN, NodeEvent
from opsd.daemon import named
from opsd.daemon.steps import Outcome, Stopped, Work
from opsd.pipeline.pace import Pace
from opsd.pipeline.sources import ClusterSources
from opsd.store import machine, sweeps
from opsd.store.engine import Store
from tests.fakes import books
from tests.fakes.consortia import CLUSTER

NOW = books.T + 5 * DAY
BAD = "|".join("?" for _ in FIELDS)


class OneJobADay:
    """A Slurm whose jobs run for the first hour of each day; the one that was running has ended."""

    name = CLUSTER

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.rubbish = False
        self._jobs = {day: ("es-new", day * DAY, day * DAY) for day in range(books.T // DAY, NOW // DAY)}
        self._jobs[3] = ("es-large", books.T, books.T + 8 * HOUR)

    def prove(self) -> str:
        """The name of its cluster."""
        return self.name

    def changed(self, start: int, end: int) -> AccountingText:
        """The jobs in between."""
        self.asked.append((start, end))
        inside = [job for job, (_, _, begin) in self._jobs.items() if begin < end and begin + HOUR > start]
        return self._text(inside, [BAD] * self.rubbish)

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Jobs by their numbers."""
        return self._text(job_ids)

    def _text(self, jobs: Sequence[int], more: Sequence[str] = ()) -> AccountingText:
        rows = ("|".join(FIELDS), *(_row(self.name, job, *self._jobs[job]) for job in jobs), *more)
        return AccountingText(io.BytesIO("".join(f"{row}\n" for row in rows).encode()), NOW, "sacct")


def _row(cluster: str, job: int, account: str, submit: int, begin: int) -> str:
    known = dict.fromkeys(FIELDS, "") | {
        "JobIDRaw": str(job), "JobID": str(job), "Cluster": cluster, "Account": account, "User": "ana",
        "Partition": "acc", "QOS": "normal", "State": "COMPLETED", "Submit": str(submit),
        "Eligible": str(submit), "Start": str(begin), "End": str(begin + HOUR), "ElapsedRaw": str(HOUR),
        "Suspended": "00:00:00", "TimelimitRaw": "60", "AllocTRES": books.ONE_GPU, "NodeList": "a1",
    }  # fmt: skip
    return "|".join(known[name] for name in FIELDS)


@pytest.fixture
def slurm() -> OneJobADay:
    """A Slurm."""
    return OneJobADay()


Does = Callable[..., Outcome]


@pytest.fixture
def does(store: Store, slurm: OneJobADay) -> Does:
    """What a step brings, five days after the books were made."""
    clusters = [ClusterSources(slurm, since="2026-09-04", pace=Pace(48 * HOUR))]

    def run(name: str, go_on: Callable[[], None] = lambda: None) -> Outcome:
        return named([name])[0].run(Work(store, clusters, NOW, go_on))

    return run


def test_an_ingest(does: Does, slurm: OneJobADay, store: Store) -> None:
    """It begins where the settings say, in windows up to what they say, and counts what it found."""
    done = does("ingest")

    assert books.T == slurm.asked[0][0]
    assert [24 * HOUR, 48 * HOUR, 48 * HOUR] == [end - start for start, end in slurm.asked]
    assert {"windows": 3, "new": 5, "changed": 1, "quarantined": 0} == {
        name: count
        for name, count in done.counts.items()
        if name in ("windows", "new", "changed", "quarantined")
    }
    with store.read() as connection:
        assert ({CLUSTER: NOW}, {CLUSTER: 0}) == (sweeps.covered(connection), sweeps.open_runs(connection))


def test_an_ingest_again(does: Does, slurm: OneJobADay) -> None:
    """Only what may have changed is asked for, and nothing counts twice."""
    does("ingest")
    slurm.asked.clear()
    done = does("ingest")

    assert ([(NOW - 2 * HOUR, NOW)], 0, 0) == (slurm.asked, done.counts["new"], done.counts["changed"])


def test_an_ingest_that_is_told_to_stop(does: Does, slurm: OneJobADay, store: Store) -> None:
    """It ends after a window, which is covered; the next one goes on from there."""

    def stop() -> None:
        if slurm.asked:
            raise Stopped

    with pytest.raises(Stopped):
        does("ingest", go_on=stop)
    with store.read() as connection:
        assert {CLUSTER: books.T + DAY} == sweeps.covered(connection)
    slurm.asked.clear()
    does("ingest")

    assert books.T + DAY - 2 * HOUR == slurm.asked[0][0]


def test_rubbish_is_counted(does: Does, slurm: OneJobADay) -> None:
    """And shown: in the ingest's line, and in the balances' page."""
    slurm.rubbish = True
    assert does("ingest").counts["quarantined"] >= 1

    page = does("balances").page
    assert page is not None
    assert b"\nopsd_quarantine_records 1.0\n" in page.plain


def test_a_rebuild(does: Does) -> None:
    """What was stale is built, once; a stop ends it after a transaction."""
    does("ingest")
    told: list[None] = []
    first, second = does("rebuild", go_on=lambda: told.append(None)), does("rebuild")

    assert first.counts["cells"] > 0
    assert ({"cells": 0, "runs": 0}, True) == (second.counts, len(told) > 0)


def test_balances_are_as_of_the_accountings_present(does: Does) -> None:
    """The time is the clock's that the daemon was given, not the machine's."""
    page = does("balances").page
    assert page is not None

    (line,) = [row for row in page.plain.decode().splitlines() if row.startswith("opsd_balances_as_of")]
    assert NOW == float(line.split()[1])


class Broken:
    """slurmdbd's tables, which do not answer until they do."""

    broken = True

    def modified(self, _since: int, _ended: Window) -> list[int]:
        """Which jobs were edited."""
        if self.broken:
            raise Refused("the password is wrong")
        return []


def test_an_ingest_without_slurmdbds_database(
    store: Store, slurm: OneJobADay, caplog: pytest.LogCaptureFixture
) -> None:
    """It succeeds, so that nothing waits longer; the log tells it once each time that it breaks."""
    tables = Broken()
    clusters = [ClusterSources(slurm, since="2026-09-04", open_tables=lambda _name: tables)]  # type: ignore[arg-type,return-value]
    away, told = [], []
    for broken in (True, True, False, True):
        tables.broken = broken
        caplog.clear()
        done = named(["ingest"])[0].run(Work(store, clusters, NOW, lambda: None))
        assert ("", True) == (done.failed, done.served)
        away.append(done.counts["database_away"])
        told.append(sum("the password is wrong" in line for line in caplog.messages))

    assert ([1, 1, 0, 1], [1, 0, 0, 1]) == (away, told)
    assert {"WARNING"} == {record.levelname for record in caplog.records}


# -- several clusters ----------------------------------------------------------------------------------


class Far(OneJobADay):
    """Another cluster, whose Slurm is away until it is not."""

    name, away = "far", True

    def prove(self) -> str:
        """Its name, if it answers."""
        if self.away:
            raise Unavailable("sacctmgr ended with 1: nobody answers")
        return self.name


def test_a_cluster_that_fails_harms_no_other(store: Store, slurm: OneJobADay) -> None:
    """It is named with why, the other is read, and once it answers it is read as if nothing had been."""
    far = Far()
    clusters = [ClusterSources(far, "far", "2026-09-04"), ClusterSources(slurm, CLUSTER, "2026-09-04")]
    work = Work(store, clusters, NOW, lambda: None)
    first = named(["ingest"])[0].run(work)

    assert ("cluster far: sacctmgr ended with 1: nobody answers", True) == (first.failed, first.served)
    assert 5 == first.counts["new"]
    with store.read() as connection:
        assert {CLUSTER: NOW} == sweeps.covered(connection)
    far.away = False
    second = named(["ingest"])[0].run(work)
    assert ("", True) == (second.failed, second.served)
    with store.read() as connection:
        assert {CLUSTER: NOW, "far": NOW} == sweeps.covered(connection)


def test_all_clusters_fail(store: Store) -> None:
    """Nothing was done, so the step waits longer; a single one fails with its own words."""
    work = Work(store, [ClusterSources(Far(), "far"), ClusterSources(Far(), "afar")], NOW, lambda: None)
    done = named(["ingest"])[0].run(work)
    assert not done.served
    assert ["far", "afar"] == re.findall(r"cluster (\w+): ", done.failed)

    with pytest.raises(Unavailable, match=r"^sacctmgr ended with 1: nobody answers$"):
        named(["ingest"])[0].run(Work(store, [ClusterSources(Far(), "far")], NOW, lambda: None))


def test_a_review_reads_ninety_days(store: Store, slurm: OneJobADay) -> None:
    """From the first run that is known on, in windows."""
    clusters = [ClusterSources(slurm, CLUSTER, "2026-09-04")]
    named(["ingest"])[0].run(Work(store, clusters, NOW, lambda: None))
    slurm.asked.clear()
    done = named(["review"])[0].run(Work(store, clusters, NOW, lambda: None))

    assert (0, 0) == (done.counts["new"], done.counts["changed"])
    assert (books.T - 2 * DAY < slurm.asked[0][0] <= books.T, NOW) == (True, slurm.asked[-1][1])


def test_how_the_machine_is_used_is_a_page_of_its_own(does: Does, store: Store) -> None:
    """What nobody told is not on it; no family of it stands on the balances' page."""
    first = does("efficiency")
    with store.write() as connection:
        down = NodeEvent(CLUSTER, "a4", NOW - 2 * DAY, NOW, DOWN, "DOWN", "", "", "")
        machine.save_events(connection, [down], NOW)
    second, balances = does("efficiency").page, does("balances").page
    assert first.page is not None
    assert second is not None
    assert balances is not None

    assert ({"projects": 0, "classes": 0, "unbalanced": 0}, b"") == (first.counts, first.page.plain)
    where = f'cluster="{CLUSTER}",node_class="acc",resource="gpu"'
    down_gpus = f'{{cluster="{CLUSTER}",line="down",node_class="acc",resource="gpu"}} {4.0 * DAY}'
    assert f"\nopsd_capacity_seconds{down_gpus}\n" in second.plain.decode()
    assert f"opsd_capacity_unbalanced_seconds{{{where}}} 0.0" in second.plain.decode()
    pages = (second.plain.decode(), balances.plain.decode())
    families = [set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE)) for page in pages]
    assert set() == set.intersection(*families)
