"""The step that looks at Slurm: one question of each kind, and what fails is absent."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from opsd import config
from opsd.core.errors import Unavailable
from opsd.core.period import DAY
from opsd.core.present import SOURCES
from opsd.daemon import named
from opsd.daemon.steps import Outcome, Work
from opsd.pipeline.sources import ClusterSources
from opsd.store import sweeps
from opsd.store.engine import Store
from tests.fakes import books
from tests.fakes.consortia import CLUSTER
from tests.fakes.daemons import SlurmAway
from tests.fakes.present import RecordedPresent

NOW = books.T + DAY
Samples = dict[tuple[tuple[str, str], ...], float]


class Named(SlurmAway):
    """An accounting that tells nothing but its cluster's name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def prove(self) -> str:
        """The name."""
        return self._name


def cluster(present: RecordedPresent, name: str = CLUSTER) -> ClusterSources:
    """A cluster whose present is told by one of them."""
    return ClusterSources(Named(name), name, open_present=lambda _name: present)


def run(store: Store, *clusters: ClusterSources, at: int = NOW) -> Outcome:
    """The step, once."""
    asked = config.Daemon(slurm_seconds=60)
    return named(["slurm"])[0].run(Work(store, clusters, at, lambda: None, daemon=asked))


def samples(outcome: Outcome, name: str) -> Samples:
    """A metric's samples on the step's page, by labels."""
    assert outcome.page is not None
    families = text_string_to_metric_families(outcome.page.plain.decode())
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def by(outcome: Outcome, name: str, label: str) -> dict[str, float]:
    """The same by one label."""
    return {dict(labels)[label]: value for labels, value in samples(outcome, name).items()}


def test_each_source_is_asked_once_a_cycle(store: Store) -> None:
    """One squeue, one scontrol of each kind, one sdiag, one sshare: for however many metrics."""
    present = RecordedPresent()
    one = cluster(present)
    done = run(store, one)
    assert dict.fromkeys(SOURCES, 1) == dict(present.asked)
    run(store, one, at=NOW + 60)

    assert dict.fromkeys(SOURCES, 2) == dict(present.asked)
    assert (0, "", True) == (done.counts["silent_sources"], done.failed, done.served)
    assert dict.fromkeys(SOURCES, 1.0) == by(done, "opsd_slurm_source_up", "source")


def test_a_source_that_fails_harms_no_other(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """It is absent, with when it last answered; the step succeeds; the log tells it once."""
    present = RecordedPresent()
    one = cluster(present)
    run(store, one)
    present.silent = {"queue"}
    second, third = run(store, one, at=NOW + 60), run(store, one, at=NOW + 120)

    assert ("", True) == (third.failed, third.served)
    assert {"nodes", "silent_sources"} == set(third.counts)  # no jobs=0 in the log: nobody told how many
    assert 1 == third.counts["silent_sources"]
    assert f"cluster {CLUSTER}: queue: queue: nobody answers" == third.lacking
    assert {} == samples(third, "opsd_slurm_jobs")
    assert samples(third, "opsd_slurm_nodes")
    assert {"queue": 0.0} | dict.fromkeys(set(SOURCES) - {"queue"}, 1.0) == by(
        third, "opsd_slurm_source_up", "source"
    )
    last = "opsd_slurm_source_last_success_timestamp_seconds"
    assert (NOW, NOW + 60) == (by(second, last, "source")["queue"], by(second, last, "source")["nodes"])
    assert ["queue: nobody answers" in line for line in caplog.messages] == [True]
    assert {"WARNING"} == {record.levelname for record in caplog.records}


def test_a_source_that_fails_again_is_told_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Once it has answered in between."""
    present = RecordedPresent()
    one = cluster(present)
    for silent in ({"nodes"}, {"nodes"}, set(), {"nodes"}):
        present.silent = silent
        run(store, one)

    assert 2 == sum("nodes: nobody answers" in line for line in caplog.messages)


def test_nothing_answers(store: Store) -> None:
    """Then the step fails, and its page says so of each source: it is not old data."""
    present = RecordedPresent()
    present.silent = set(SOURCES)
    done = run(store, cluster(present))

    assert (f"cluster {CLUSTER}: queue: nobody answers", False) == (done.failed, done.served)
    assert dict.fromkeys(SOURCES, 0.0) == by(done, "opsd_slurm_source_up", "source")


def test_a_silent_cluster_harms_no_other(store: Store) -> None:
    """The other's metrics stand; the step fails, naming the silent one, and waits no longer for it."""
    away = RecordedPresent()
    away.silent = set(SOURCES)
    done = run(store, cluster(away, "far"), cluster(RecordedPresent()))

    assert ("cluster far: queue: nobody answers", True) == (done.failed, done.served)
    assert {CLUSTER} == {dict(labels)["cluster"] for labels in samples(done, "opsd_slurm_nodes")}


def test_where_nobody_tells_of_the_present_there_is_no_page(store: Store) -> None:
    """A site's clusters may have no controller that opsd may ask."""
    done = run(store, ClusterSources(Named(CLUSTER)))

    assert (None, "", True) == (done.page, done.failed, done.served)


def test_slurm_is_looked_at_while_its_accounting_is_away(store: Store) -> None:
    """When records pile up is when it matters: by its label, or as the only cluster that was ever read."""

    def away(label: str = "") -> ClusterSources:
        return ClusterSources(SlurmAway(), label, open_present=lambda _label: RecordedPresent())

    labelled = run(store, away("far"))
    with pytest.raises(Unavailable, match="sacctmgr"):
        run(store, away())
    with store.write() as connection:
        sweeps.cover(connection, CLUSTER, NOW, NOW)
    known = run(store, away())

    assert [{("cluster", "far")}, {("cluster", CLUSTER)}] == [
        {pair for labels in samples(done, "opsd_slurm_dbd_queue_records") for pair in labels}
        for done in (labelled, known)
    ]


def test_counters_go_on_over_restarts(store: Store) -> None:
    """All GPUs times the time between two looks, also by another process; not while nobody saw the nodes."""
    present = RecordedPresent()
    whole = sum(samples(run(store, cluster(present)), "opsd_slurm_gpus").values())
    second = run(store, cluster(present), at=NOW + 60)
    present.silent = {"nodes"}
    third = run(store, cluster(present), at=NOW + 120)
    present.silent = set()
    fourth = run(store, cluster(present), at=NOW + 180)
    name = "opsd_slurm_gpu_seconds_total"

    assert whole > 0
    assert [60 * whole, 60 * whole, 180 * whole] == [
        sum(samples(done, name).values()) for done in (second, third, fourth)
    ]


def test_two_at_once_count_no_second_twice(store: Store) -> None:
    """A second daemon, or --once beside the first, that looks in between."""
    present = RecordedPresent()
    whole = sum(samples(run(store, cluster(present)), "opsd_slurm_gpus").values())
    looks = [run(store, cluster(present), at=NOW + later) for later in (60, 30, 60, 61)]

    assert [60 * whole] * 3 + [61 * whole] == [
        sum(samples(done, "opsd_slurm_gpu_seconds_total").values()) for done in looks
    ]


def test_waits_of_what_started_come_from_the_accounting(store: Store) -> None:
    """The run of the small database that was eligible when it was submitted, eight hours before."""
    waited = books.RUNS[2]._replace(job_id=9, eligible=books.T, partition="acc", cluster=CLUSTER)
    books.read(store, [waited])
    done = run(store, cluster(RecordedPresent()))

    assert {"median", "p90", "max"} == set(by(done, "opsd_slurm_started_wait_seconds", "rank"))
    assert {8 * 3_600} == set(samples(done, "opsd_slurm_started_wait_seconds").values())
