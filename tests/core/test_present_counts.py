"""Adding up one look at a cluster."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core import present_counts
from opsd.core.present import GPU_STATES, NodeNow, QueueJob
from opsd.core.present_counts import Waits

JOB = QueueJob("1", 1, "acc", "es-a", "ana", "normal", "pending", "Priority", 0, 1, 0, 0, None)
NODE = NodeNow("n1", "idle", ("acc",), {}, {}, "", None, "idle", is_available=True)

STATES = ("pending", "running", "suspended", "completed")
jobs = st.builds(
    lambda tasks, partition, account, state, gpus, eligible: JOB._replace(
        tasks=tasks, partition=partition, account=account, state=state, gpus=gpus, eligible=eligible
    ),
    st.integers(1, 30), st.sampled_from(["acc", "gpp"]), st.sampled_from(["a", "b"]),
    st.sampled_from(STATES), st.integers(0, 9), st.none() | st.integers(0, 2_000),
)  # fmt: skip
per_class = st.dictionaries(st.sampled_from(["h100", "b200", ""]), st.integers(0, 8))
nodes = st.builds(
    lambda gpus, held, state, partitions: NODE._replace(
        gpus=gpus, allocated=held, gpu_state=state, partitions=tuple(sorted(partitions))
    ),
    per_class, per_class, st.sampled_from(GPU_STATES[1:]), st.sets(st.sampled_from(["acc", "gpp", "all"])),
)  # fmt: skip


@given(st.lists(jobs))
def test_jobs_add_up(queue: list[QueueJob]) -> None:
    """Over states they are all tasks; over reasons all that wait; GPUs are held or asked for, never both."""
    assert sum(job.tasks for job in queue) == present_counts.jobs(queue).total()
    waiting = [job for job in queue if job.state == "pending"]
    assert sum(job.tasks for job in waiting) == present_counts.reasons(queue).total()
    wanted = {job for job in queue if job.state != "completed"}
    gpus = sum(job.tasks * job.gpus for job in queue if job in wanted)
    assert gpus == present_counts.gpus_asked(queue).total() + present_counts.gpus_held(queue).total()


@given(st.lists(nodes))
def test_gpus_add_up(known: list[NodeNow]) -> None:
    """Over states they are what is configured, of each class, and in each partition."""

    def whole(some: list[NodeNow]) -> dict[str, int]:
        classes = {name for node in some for name in node.gpus}
        return {name: sum(node.gpus.get(name, 0) for node in some) for name in classes}

    def by_class(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
        return {name: sum(n for (of, _), n in counts.items() if of == name) for name, _ in counts}

    assert whole(known) == by_class(present_counts.gpus(known))
    found = present_counts.partition_gpus(known)
    for partition in ("acc", "gpp", "all"):
        here = [node for node in known if partition in node.partitions]
        assert whole(here) == by_class(found.get(partition, {}))


def test_a_suspended_job_keeps_its_gpus() -> None:
    """One that has ended has none, also while its epilog runs: slurmctld counts no node as holding it."""
    queue = [
        JOB._replace(state=state, gpus=2, account=state) for state in ("suspended", "completing", "failed")
    ]

    assert {("acc", "suspended"): 2} == dict(present_counts.gpus_held(queue))


def test_a_reason_is_its_first_words() -> None:
    """The nodes that are missing would make a series of each list of them."""
    long = "ReqNodeNotAvail, UnavailableNodes:acc[01-04]"

    assert {("acc", "ReqNodeNotAvail"): 1} == dict(present_counts.reasons([JOB._replace(reason=long)]))


def test_waits_are_nearest_ranks_of_tasks() -> None:
    """Ten tasks waited 10 s, one 100 s: half and nine tenths of eleven are among the ten."""
    queue = [JOB._replace(tasks=10, eligible=90), JOB._replace(eligible=0)]

    assert {"acc": Waits(10, 10, 100)} == present_counts.waits(queue, 100)
    assert {"acc": Waits(10, 100, 100)} == present_counts.waits([*queue, JOB._replace(eligible=0)], 100)


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(1, 20)), min_size=1))
def test_waits_are_those_of_single_tasks(waited: list[tuple[int, int]]) -> None:
    """An array of many tasks counts as so many jobs."""
    single = sorted(seconds for seconds, tasks in waited for _ in range(tasks))
    expected = Waits(single[(len(single) + 1) // 2 - 1], single[-(-len(single) * 9 // 10) - 1], single[-1])

    queue = [JOB._replace(tasks=tasks, eligible=2_000 - seconds) for seconds, tasks in waited]
    assert {"acc": expected} == present_counts.waits(queue, 2_000)


@pytest.mark.parametrize(
    "job",
    [
        JOB._replace(state="running"),
        JOB._replace(eligible=None),
        JOB._replace(eligible=101),
        JOB._replace(reason="JobHeldUser"),
        JOB._replace(reason="JobHoldMaxRequeue"),
        JOB._replace(reason="launch failed requeued held"),
        JOB._replace(reason="Dependency"),
    ],
)
def test_who_may_not_start_does_not_wait(job: QueueJob) -> None:
    """What runs, is not eligible yet, is held, or comes after another job."""
    assert {} == present_counts.waits([job], 100)


def test_nodes_by_state_and_partition() -> None:
    """A node counts once in all, and once in each of its partitions."""
    known = [NODE, NODE._replace(state="down", partitions=("acc", "all")), NODE._replace(partitions=())]

    assert {"idle": 2, "down": 1} == dict(present_counts.nodes(known))
    assert {("acc", "idle"): 1, ("acc", "down"): 1, ("all", "down"): 1} == dict(
        present_counts.partition_nodes(known)
    )
