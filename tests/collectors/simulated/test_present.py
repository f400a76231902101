"""The simulated factory's present: read by Slurm's readers, and the same as its accounting says."""

from __future__ import annotations

from collections import Counter

import pytest

from collectors.simulated.live import LiveFactory
from collectors.simulated.machine import PARTITIONS
from collectors.simulated.present import SimulatedPresent
from collectors.simulated.text import COLUMNS
from collectors.slurm import present as reader
from opsd.core import present_counts
from opsd.core.present import SOURCES, Present

START = 1_794_700_800 + 3 * 86_400
SEED = 2  # then a node is broken, one drains, and jobs wait for several reasons
LATER = START + 5 * 3_600
Row = dict[str, str]


def look(factory: LiveFactory, at: int) -> Present:
    """What a daemon would see."""
    return reader.read(SimulatedPresent(factory, lambda: at), lambda: 0.0)


@pytest.fixture(scope="module")
def factory() -> LiveFactory:
    """One for all tests: what they ask of it comes later and later."""
    return LiveFactory(START, SEED)


@pytest.fixture(scope="module")
def stepped(factory: LiveFactory) -> list[Present]:
    """What it was doing every hour, up to now."""
    return [look(factory, at) for at in range(START + 3_600, LATER + 1, 3_600)]


@pytest.fixture(scope="module")
def now(stepped: list[Present]) -> Present:
    """Its present."""
    return stepped[-1]


@pytest.fixture(scope="module")
def rows(factory: LiveFactory) -> list[Row]:
    """What its accounting says at the same moment."""
    text = b"".join(factory.sacct_text(LATER, 0, LATER + 1)).decode()
    return [dict(zip(COLUMNS, line.split("|"), strict=True)) for line in text.splitlines()[1:]]


def gpus(row: Row) -> int:
    """GPUs of a row."""
    return sum(
        int(amount)
        for name, _, amount in (part.partition("=") for part in row["AllocTRES"].split(","))
        if name == "gres/gpu"
    )


def test_every_answer_can_be_read(now: Present) -> None:
    """By the readers of a real Slurm's text."""
    assert ({}, set(SOURCES)) == (now.failed, {name for name in SOURCES if getattr(now, name)})


def test_the_queue_is_what_the_accounting_has(now: Present, rows: list[Row]) -> None:
    """Jobs that run and wait, and the GPUs of those that run, by account and partition."""
    assert now.queue
    states = Counter(row["State"].lower() for row in rows if row["State"] in ("RUNNING", "PENDING"))
    counted = Counter[str]()
    for (_, _, state), count in present_counts.jobs(now.queue).items():
        counted[state] += count
    held: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row["State"] == "RUNNING" and gpus(row):
            held[row["Partition"], row["Account"]] += gpus(row)

    assert states["running"] > 10
    assert states["pending"] > 5
    assert states == {state: counted[state] for state in states}
    assert held == present_counts.gpus_held(now.queue)


def test_what_ended_in_the_last_minutes_is_still_known(now: Present, rows: list[Row]) -> None:
    """As long as MinJobAge says."""
    assert now.queue
    expected = Counter(
        row["State"].split()[0].lower()
        for row in rows
        if row["End"].isdigit() and LATER - 300 < int(row["End"]) <= LATER
    )
    states = Counter(job.state for job in now.queue if job.state not in ("running", "pending"))

    assert expected == states


def test_nodes_hold_what_jobs_hold(now: Present, factory: LiveFactory) -> None:
    """All GPUs that jobs hold are allocated on nodes, and each node is configured with its partition's."""
    assert now.nodes
    assert now.queue
    allocated = sum(sum(node.allocated.values()) for node in now.nodes)
    assert present_counts.gpus_held(now.queue).total() == allocated
    configured = {
        (partition.gpu_type, partition.nodes * partition.gpus) for partition in PARTITIONS if partition.gpus
    }
    counted = Counter[str]()
    for (gpu_class, _), count in present_counts.gpus(now.nodes).items():
        counted[gpu_class] += count
    assert configured == set(counted.items())
    agents = {node.name: node for node in now.nodes if node.name in factory.busy_nodes(LATER, 4)}
    assert [{"h100": 4}] * 4 == [dict(node.gpus) for node in agents.values()]
    held = Counter[str]()
    for holding in factory.holdings(LATER, agents):
        held[holding.node] += len(holding.gpus)
    assert held == {name: sum(node.allocated.values()) for name, node in agents.items()}


def test_nodes_that_take_no_jobs(now: Present, factory: LiveFactory) -> None:
    """Two take no new jobs, one of them with jobs still on it; one is broken. All have a reason."""
    assert now.nodes
    away = {node.name: node for node in now.nodes if not node.is_available}
    assert Counter({"drained": 1, "draining": 1, "down": 1}) == Counter(node.state for node in away.values())
    assert all(node.reason and node.reason_since and node.reason_since <= LATER for node in away.values())
    for (partition, number), since in factory.moment(LATER).drained.items():
        assert [] == [
            run.request.job
            for run in factory.moment(LATER).runs
            if run.request.shape.partition == partition and number in run.nodes
            and run.start is not None and run.start >= since
        ]  # fmt: skip


def test_the_queue_says_why_jobs_wait(now: Present) -> None:
    """The first of a partition waits for room, the others for it, some for their QOS."""
    assert now.queue
    reasons = Counter[str]()
    for (_, reason), count in present_counts.reasons(now.queue).items():
        reasons[reason] += count

    assert {"Resources", "Priority", "QOSGrpGRES"} <= set(reasons)


def test_the_scheduler_counts_the_accountings_jobs(
    now: Present, stepped: list[Present], rows: list[Row]
) -> None:
    """Those of today; and its counts only rise within a day."""
    assert now.scheduler
    today = LATER - LATER % 86_400
    started = sum(
        row["Start"].isdigit() and int(row["Start"]) >= today and row["AllocTRES"] != "" for row in rows
    )
    assert started == now.scheduler.jobs["started"] > 0
    earlier = stepped[0].scheduler
    assert earlier
    assert all(count <= now.scheduler.jobs[name] for name, count in earlier.jobs.items())
    later = {rpc.name: rpc for rpc in now.scheduler.rpcs}
    assert all(rpc.requests <= later[rpc.name].requests for rpc in earlier.rpcs)


def test_shares_and_usage_are_parts_of_one(now: Present) -> None:
    """Of all accounts; each account's usage is about what the accounting says it used."""
    assert now.shares
    accounts = [share for share in now.shares if share.account != "root"]

    assert 1 == pytest.approx(sum(share.shares or 0 for share in accounts), abs=1e-4)
    assert 1 == pytest.approx(sum(share.usage or 0 for share in accounts), abs=1e-4)
    much = [share for share in accounts if share.usage and share.usage > 0.01]
    assert len(much) > 10
    assert [share.level for share in much] == [
        pytest.approx((share.shares or 0) / (share.usage or 1), rel=0.01) for share in much
    ]


def test_licences_are_used_and_free(now: Present) -> None:
    """Never more than there are."""
    assert now.licenses
    assert all(0 <= one.used <= one.total for one in now.licenses)
    assert any(one.used for one in now.licenses)


def test_a_maintenance_is_to_come(now: Present) -> None:
    """In two days, of all nodes of a partition, with their GPUs."""
    assert now.reservations
    (one,) = now.reservations
    assert ("inactive", 8, 64) == (one.state, one.nodes, one.gpus)
    assert 86_400 < one.start - START < 3 * 86_400


def test_the_same_bytes(now: Present) -> None:
    """Same seed and moment, same text and state, also where somebody asked on the way."""
    assert now == look(LiveFactory(START, SEED), LATER)


def test_nodes_in_maintenance(now: Present, factory: LiveFactory) -> None:
    """When it is there, its nodes say so; after it there is none."""
    assert now.reservations
    span = now.reservations[0].start, now.reservations[0].end
    then = look(factory, span[0])
    assert then.reservations
    assert then.nodes
    assert ("active", 8) == (then.reservations[0].state, present_counts.nodes(then.nodes)["maintenance"])
    after = look(factory, span[1])
    assert after.nodes
    assert (0, []) == (present_counts.nodes(after.nodes)["maintenance"], after.reservations)
