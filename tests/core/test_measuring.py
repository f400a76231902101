"""Rounds folded into records: what each job did with its devices, whatever the rounds missed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core import open_records
from opsd.core.errors import BadText
from opsd.core.holders import Computing, Holders, Holding, Job
from opsd.core.measured import Measured, from_json
from opsd.core.measuring import Round, State, advance
from opsd.core.telemetry import Condition, Gpu, Identity, Reading, Slice, Snapshot, Xid

T = 1_000_000  # when the first round is
GAP = 15.0


def gpu(
    uuid: str = "GPU-a",
    *,
    energy: float | None = 0.0,
    busy: float | None = None,
    sm: float | None = None,
    tensor: float | None = None,
    gpm_seconds: float | None = 5.0,
    memory: float | None = None,
    condition: Condition = "up",
    xids: Mapping[int, Xid] | None = None,
    slices: tuple[Slice, ...] = (),
) -> Gpu:
    """A GPU as a round shows it."""
    readings = {
        "energy_joules_total": energy,
        "utilization_ratio": busy,
        "sm_active_ratio": sm,
        "tensor_active_ratio": tensor,
        "memory_used_bytes": memory,
    }
    return Gpu(
        index=0,
        condition=condition,
        identity=Identity(uuid, 0),
        values={Reading(name): value for name, value in readings.items() if value is not None},
        gpm_seconds=None if sm is None else gpm_seconds,
        xids=xids or {},
        slices=slices,
        is_mig=bool(slices),
    )


@dataclass
class Node:
    """A node whose rounds are made up, one after the other."""

    state: State = field(default_factory=State)
    jobs: dict[str, int] = field(default_factory=dict)  # job id to its start
    closed: list[Measured] = field(default_factory=list)

    def round(
        self,
        at: float,
        *gpus: Gpu,
        hold: Mapping[str, Sequence[str]] | None = None,
        computing: Mapping[str, int] | None = None,
        memory: int | None = None,
        stale: Sequence[str] = (),
        unreadable: Sequence[str] = (),
    ) -> Node:
        """One round, `at` seconds after the first; `hold`: device to the jobs that share it evenly."""
        hold = hold if hold is not None else {"GPU-a": list(self.jobs)}
        parents = {part.uuid: one.uuid for one in gpus for part in one.slices}
        shares = {
            Holding(uuid, job, "es-bio", "ana", parents.get(uuid, ""), self.jobs[job]): 1 / len(jobs)
            for uuid, jobs in hold.items()
            for job in jobs
        }
        pairs = {
            (holding.uuid, holding.job_id): Computing(computing.get(holding.job_id, 0), memory)
            for holding in shares
            if computing is not None
        }
        seen = Round(
            at=T + at,
            snapshot=Snapshot(gpus),
            holders=Holders(shares=shares, computing=pairs, stale=tuple(stale)),
            jobs=[Job(job, "es-bio", "ana", started=start) for job, start in self.jobs.items()],
            longest_gap=GAP,
            unreadable=unreadable,
        )
        self.state, closed = advance(self.state, seen)
        self.closed += closed
        return self

    def restarted(self) -> Node:
        """The same node with an agent that read its state from a file."""
        tree = json.loads(json.dumps(open_records.as_json(self.state)))
        state = open_records.from_json(tree)
        assert self.state == replace(state, earlier=self.state.earlier)
        return replace(self, state=state)


def one_job(rounds: Sequence[tuple[float, Gpu]], computing: int | None = None) -> Measured:
    """The record of job 7, which began with the first round and was over in the last."""
    node = Node(jobs={"7": T})
    told = None if computing is None else {"7": computing}
    for at, seen in rounds[:-1]:
        node.round(at, seen, computing=told)
    node.jobs = {}
    node.round(*rounds[-1], computing=told)
    assert len(node.closed) == 1
    return node.closed[0]


# ---------------------------------------------------------------------------------------------- one job


def test_a_job_from_its_start_to_its_end() -> None:
    """A record says who, when, and how much of everything: the figures of the last interval included."""
    node = Node().round(0, gpu(energy=500, sm=0.0))
    node.jobs = {"7": T + 2}
    node.round(5, gpu(energy=1000, sm=0.5, tensor=0.25), computing={"7": 2}, memory=10)
    node.round(10, gpu(energy=1500, sm=0.005, tensor=0.0), computing={"7": 0}, memory=70)
    node.round(15, gpu(energy=2000, sm=0.5, tensor=0.25), computing={"7": 1}, memory=30)
    node.jobs = {}
    node.round(20, gpu(energy=2500, sm=1.0, tensor=0.5))

    assert [
        Measured(
            job_id=7,
            uuid="GPU-a",
            started=T + 2,
            ended=T + 20,
            account="es-bio",
            user="ana",
            allocated_ms=18_000,
            covered_ms=18_000,
            process_ms=13_000,
            idle_ms=5_000,
            gpm_ms=18_000,
            sm_active_ms=1500 + 25 + 2500 + 5000,
            tensor_active_ms=750 + 1250 + 2500,
            energy_mj=1_800_000,
            memory_peak_bytes=70,
        )
    ] == node.closed


def test_without_gpm_idle_is_no_utilisation() -> None:
    """An older GPU tells utilisation alone; what only GPM tells is None, and so is what nobody tells."""
    found = one_job([(0, gpu(busy=0)), (5, gpu(busy=0)), (10, gpu(busy=0.01)), (15, gpu(busy=0))])

    assert (15_000, 5_000, 0) == (found.covered_ms, found.idle_ms, found.gpm_ms)
    assert (None, None, None) == (found.sm_active_ms, found.tensor_active_ms, found.process_ms)


def test_no_value_at_all() -> None:
    """A GPU that is up and tells nothing is covered, with nothing in it."""
    found = one_job([(0, gpu(energy=None)), (5, gpu(energy=None))])

    assert 5_000 == found.covered_ms
    assert (None, None, None) == (found.energy_mj, found.idle_ms, found.memory_peak_bytes)


def test_gpm_tells_of_a_part_of_the_time() -> None:
    """A mean over 2 of 5 seconds counts for those 2; one without a time counts for none."""
    found = one_job(
        [(0, gpu()), (5, gpu(sm=0.5, gpm_seconds=2)), (10, gpu(sm=0.5, gpm_seconds=None)), (15, gpu())]
    )

    assert (2_000, 1_000) == (found.gpm_ms, found.sm_active_ms)


def test_memory_of_a_sole_holder() -> None:
    """Where the driver tells no process's memory, the device's is a sole holder's, and nobody's else."""
    alone = one_job([(0, gpu(memory=10)), (5, gpu(memory=90)), (10, gpu(memory=0))], computing=1)
    node = Node(jobs={"7": T, "8": T}).round(0, gpu(memory=90), computing={"7": 1, "8": 1})
    node.jobs = {}
    node.round(5, gpu(memory=90))

    assert 90 == alone.memory_peak_bytes
    assert [None, None] == [record.memory_peak_bytes for record in node.closed]


# ------------------------------------------------------------------------------------------ what is missed


def test_a_device_that_does_not_answer() -> None:
    """A hung device covers nothing past the longest gap; its energy is whole all the same."""
    hung = gpu(condition="hung", energy=None)
    rounds = [(0, gpu(energy=0)), (5, gpu(energy=500))]
    rounds += [(at, hung) for at in range(10, 60, 5)]
    rounds += [(60, gpu(energy=6000)), (65, gpu(energy=6500))]
    found = one_job(rounds)

    assert (65_000, 10_000, 6_500_000) == (found.allocated_ms, found.covered_ms, found.energy_mj)
    assert not found.is_energy_estimated


def test_a_round_or_two_missed_are_covered() -> None:
    """Samples not further apart than the longest gap cover what is between them."""
    hung = gpu(condition="hung", energy=None)
    found = one_job([(0, gpu()), (5, hung), (10, hung), (15, gpu(energy=900)), (20, gpu(energy=1000))])

    assert (20_000, 20_000) == (found.allocated_ms, found.covered_ms)


def test_a_job_that_ends_while_its_device_hangs() -> None:
    """What was not seen is allocated only."""
    found = one_job([(0, gpu()), (5, gpu(energy=500)), (10, gpu(condition="hung", energy=None))])

    assert (10_000, 5_000, 500_000) == (found.allocated_ms, found.covered_ms, found.energy_mj)


@pytest.mark.parametrize("gpus", [(), (Gpu(0, "hung"),)], ids=["none", "nameless"])
def test_a_device_that_is_not_there_ends_nothing(gpus: tuple[Gpu, ...]) -> None:
    """Without a driver nobody knows whose file means which device: open records go on as they were."""
    node = Node(jobs={"7": T}).round(0, gpu(energy=0)).round(5, *gpus, hold={}).round(10, *gpus, hold={})
    node.round(15, gpu(energy=1500))
    node.jobs = {}
    node.round(20, gpu(energy=2000))

    (found,) = node.closed
    assert (20_000, 20_000, 2_000_000) == (found.allocated_ms, found.covered_ms, found.energy_mj)


def test_a_file_that_cannot_be_read_ends_nothing() -> None:
    """Only a file that is gone says that the job is."""
    node = Node(jobs={"7": T}).round(0, gpu())
    node.jobs = {}
    node.round(5, gpu(energy=500), unreadable=["7"])
    assert [] == node.closed

    node.round(10, gpu(energy=1000))
    assert [10_000] == [record.covered_ms for record in node.closed]


def test_a_stale_file() -> None:
    """A job that is over although its file is there is closed, and its end was not seen."""
    node = Node(jobs={"7": T}).round(0, gpu()).round(5, gpu())
    node.round(10, gpu(), hold={}, stale=["7"]).round(15, gpu(), hold={}, stale=["7"])

    (found,) = node.closed
    assert (T + 10, False, 5_000) == (found.ended, found.is_end_seen, found.covered_ms)


def test_a_stale_file_on_a_device_that_is_not_there() -> None:
    """Nor does it stay open because its device is lost, too."""
    node = Node(jobs={"7": T}).round(0, gpu()).round(5, hold={}, stale=["7"])

    assert [False] == [record.is_end_seen for record in node.closed]


# ---------------------------------------------------------------------------------- restarts and clocks


def test_a_restart_within_the_longest_gap() -> None:
    """It costs nothing."""
    node = Node(jobs={"7": T}).round(0, gpu(busy=1)).round(5, gpu(busy=1, energy=500)).restarted()
    node.round(12, gpu(busy=1, energy=1200))
    node.jobs = {}
    node.round(17, gpu(energy=1700))

    (found,) = node.closed
    assert (17_000, 17_000, 1_700_000) == (found.allocated_ms, found.covered_ms, found.energy_mj)


def test_an_outage_of_the_agent() -> None:
    """A job that goes on has its energy whole; the outage is not covered."""
    node = Node(jobs={"7": T}).round(0, gpu()).round(5, gpu(energy=500)).restarted()
    node.round(605, gpu(energy=60_500))
    node.jobs = {}
    node.round(610, gpu(energy=61_000))

    (found,) = node.closed
    assert (610_000, 10_000, 61_000_000) == (found.allocated_ms, found.covered_ms, found.energy_mj)
    assert (True, False) == (found.is_end_seen, found.is_energy_estimated)


def test_a_job_that_ended_in_an_outage() -> None:
    """Nobody saw when: it ends when it was last seen, and what the device did since is not its own."""
    node = Node(jobs={"7": T}).round(0, gpu()).round(5, gpu(energy=500)).restarted()
    node.jobs = {"8": T + 305}
    node.round(605, gpu(energy=60_500))
    node.jobs = {}
    node.round(610, gpu(energy=61_000))

    first, second = node.closed
    assert (7, T + 5, False, 5_000, 500_000) == (
        first.job_id,
        first.ended,
        first.is_end_seen,
        first.allocated_ms,
        first.energy_mj,
    )
    # Half of the outage was the second one's, and so is half of the energy: an estimate, and said to be one.
    assert (305_000, 5_000, 30_500_000, True) == (
        second.allocated_ms,
        second.covered_ms,
        second.energy_mj,
        second.is_energy_estimated,
    )


def test_a_counter_that_fell() -> None:
    """After a reload of the driver it counts from 0."""
    found = one_job([(0, gpu(energy=9000)), (5, gpu(energy=9500)), (10, gpu(energy=200))])

    assert 700_000 == found.energy_mj


def test_a_clock_that_is_set_back() -> None:
    """No time is negative; what the counters say is not lost."""
    found = one_job(
        [(0, gpu(energy=0)), (5, gpu(energy=500)), (-3595, gpu(energy=1000)), (-3590, gpu(energy=1500))]
    )

    assert (10_000, 10_000, 1_500_000) == (found.allocated_ms, found.covered_ms, found.energy_mj)
    assert (T, T) == (found.started, found.ended)


def test_a_job_that_the_clock_puts_into_the_future() -> None:
    """It is allocated from when it is seen."""
    node = Node(jobs={"7": T + 9999}).round(0, gpu()).round(5, gpu(energy=500))
    node.jobs = {}
    node.round(10, gpu(energy=1000))

    (found,) = node.closed
    assert (10_000, T + 9999, T + 9999) == (found.allocated_ms, found.started, found.ended)
    assert found == from_json(json.loads(json.dumps(found.as_json())))


def test_an_agent_that_starts_late() -> None:
    """A job that it finds running is allocated from its start, and covered from the first sample on."""
    node = Node(jobs={"7": T - 1000}).round(0, gpu(energy=5000)).round(5, gpu(energy=5500))
    node.jobs = {}
    node.round(10, gpu(energy=6000))

    (found,) = node.closed
    assert (1_010_000, 10_000, 1_000_000) == (found.allocated_ms, found.covered_ms, found.energy_mj)


def test_a_file_without_a_start() -> None:
    """It began when it was first seen."""
    node = Node(jobs={"7": 0}).round(3, gpu()).round(5, gpu())
    node.jobs = {}
    node.round(10, gpu())

    assert [(T + 3, 7_000)] == [(record.started, record.allocated_ms) for record in node.closed]


def test_a_requeued_job() -> None:
    """Its second run is another record, also when its first was not missed between two rounds."""
    node = Node(jobs={"7": T}).round(0, gpu()).round(5, gpu(energy=500))
    node.jobs = {"7": T + 8}
    node.round(10, gpu(energy=1000))
    node.jobs = {}
    node.round(15, gpu(energy=1500))

    assert [(T, T + 8, 8_000, 800_000), (T + 8, T + 15, 7_000, 700_000)] == [
        (record.started, record.ended, record.allocated_ms, record.energy_mj) for record in node.closed
    ]


# --------------------------------------------------------------------------------------- parts of a device


def slices(*activity: float, part: float | None = 0.25) -> tuple[Slice, ...]:
    """MIG devices with so much SM activity each."""
    return tuple(
        Slice(
            f"MIG-{number}",
            number,
            0,
            "1g.20gb",
            part,
            {Reading("mig_sm_active_ratio"): sm, Reading("mig_memory_used_bytes"): 100 * number},
            gpm_seconds=5.0,
        )
        for number, sm in enumerate(activity)
    )


def test_mig_devices() -> None:
    """Each has its own activity, a part of the board's energy, which is an estimate, and the board's XIDs."""
    node = Node(jobs={"7": T, "8": T})
    hold = {"MIG-0": ["7"], "MIG-1": ["8"]}
    node.round(0, gpu(energy=0, slices=slices(0, 0)), hold=hold)
    board = gpu(energy=1000, slices=slices(0.5, 0.0), xids={31: Xid(1, T + 4)})
    node.round(5, board, hold=hold, computing={"7": 1, "8": 0}, memory=None)
    node.jobs = {}
    node.round(10, gpu(energy=2000, slices=slices(0.5, 0.0), xids={31: Xid(1, T + 4)}), hold={})

    first, second = node.closed
    assert ("MIG-0", "GPU-a", 10_000, 0, 5_000) == (
        first.uuid,
        first.parent,
        first.process_ms,
        first.idle_ms,
        first.sm_active_ms,
    )
    assert ("MIG-1", 10_000, 0, 100) == (
        second.uuid,
        second.idle_ms,
        second.process_ms,
        second.memory_peak_bytes,
    )
    for record in node.closed:
        assert (500_000, True, ((31, 1),)) == (record.energy_mj, record.is_energy_estimated, record.xids)


def test_a_slice_of_unknown_size() -> None:
    """Without its part of the board there is no estimate of its energy."""
    node = Node(jobs={"7": T})
    for at in (0, 5):
        node.round(at, gpu(energy=at, slices=slices(0.5, part=None)), hold={"MIG-0": ["7"]})
    node.jobs = {}
    node.round(10, gpu(energy=10, slices=slices(0.5, part=None)), hold={})

    assert [None] == [record.energy_mj for record in node.closed]


def test_a_sharer_that_comes_and_goes() -> None:
    """Time and energy are divided by the shares of the moment, from the second the other one began."""
    node = Node(jobs={"7": T}).round(0, gpu(energy=0))
    node.jobs["8"] = T + 2
    node.round(5, gpu(energy=500)).round(10, gpu(energy=1000))
    del node.jobs["8"]
    node.round(15, gpu(energy=1500)).round(20, gpu(energy=2000))
    node.jobs = {}
    node.round(25, gpu(energy=2500))

    second, first = node.closed
    assert (8, 6_500, 650_000, True) == (
        second.job_id,
        second.allocated_ms,
        second.energy_mj,
        second.is_energy_estimated,
    )
    assert (7, 18_500, 1_850_000, True) == (
        first.job_id,
        first.allocated_ms,
        first.energy_mj,
        first.is_energy_estimated,
    )


# ------------------------------------------------------------------------------------------------- XIDs


def test_xids_of_the_holding() -> None:
    """Those that appeared while the job had the device: not older ones, and not those of its successor."""
    node = Node().round(0, gpu(xids={79: Xid(2, T - 50), 31: Xid(1, T - 9)}))
    node.jobs = {"7": T + 2}
    node.round(5, gpu(xids={79: Xid(2, T - 50), 31: Xid(2, T + 1)}))  # before it began
    node.round(10, gpu(xids={79: Xid(3, T + 9), 31: Xid(2, T + 1)}))
    lost = {79: Xid(5, T + 13), 31: Xid(2, T + 1)}
    node.round(15, gpu(condition="lost", energy=None, xids=lost))
    node.jobs = {"8": T + 18}
    node.round(20, gpu(xids={**lost, 13: Xid(1, T + 19)}))
    node.jobs = {}
    node.round(25, gpu(xids={**lost, 13: Xid(1, T + 19)}))

    assert [((79, 3),), ((13, 1),)] == [record.xids for record in node.closed]


def test_xids_across_a_restart() -> None:
    """The agent counts from 0 again; when the last one was tells whether there was another."""
    node = Node(jobs={"7": T}).round(0, gpu()).round(5, gpu(xids={31: Xid(2, T + 4)})).restarted()
    # The kernel's log still has the last one, a moment off; then there is one more.
    node.round(10, gpu(xids={31: Xid(0, T + 4.5)})).round(15, gpu(xids={31: Xid(1, T + 14)}))
    node = node.restarted()
    # While no agent ran there were others, and nobody knows how many: one at least.
    node.round(60, gpu(xids={31: Xid(0, T + 50), 13: Xid(0, T - 99)}))
    node.jobs = {}
    node.round(65, gpu(xids={31: Xid(2, T + 62), 13: Xid(0, T - 99)}))

    assert [((31, 2 + 1 + 1 + 2),)] == [record.xids for record in node.closed]


def test_one_xid_from_two_sources() -> None:
    """The driver's event may come after the kernel's line: it is the same one."""
    node = Node(jobs={"7": T}).round(0, gpu()).round(5, gpu(xids={31: Xid(1, T + 4)}))
    node.round(10, gpu(xids={31: Xid(1, T + 5.5)}))
    node.jobs = {}
    node.round(15, gpu(xids={31: Xid(1, T + 5.5)}))

    assert [((31, 1),)] == [record.xids for record in node.closed]


# --------------------------------------------------------------------------------------------- properties

Steps = list[tuple[float, bool, float]]
STEPS = st.lists(
    st.tuples(st.sampled_from([0.5, 5.0, 14.0, 40.0, -3.0]), st.booleans(), st.floats(0, 1)),
    min_size=1,
    max_size=25,
)


def walked(steps: Steps, sharers: int) -> list[Measured]:
    """Records of jobs 1, 2, … on one device through these rounds: how long, whether read, how active."""
    node = Node(jobs={str(number): T for number in range(1, sharers + 1)}).round(0, gpu())
    at = energy = 0.0
    for long, is_read, activity in steps:
        at += long
        energy += max(long, 0.0) * 100
        seen = gpu(energy=energy, sm=activity, tensor=activity / 2, gpm_seconds=max(long, 0.1))
        told = {job: int(activity > 0.5) for job in node.jobs}
        if is_read:
            node.round(at, seen, computing=told)
        else:
            node.round(at, gpu(condition="hung", energy=None))
    node.jobs = {}
    node.round(at + 5, gpu(energy=energy + 500, sm=0.0, tensor=0.0))
    return node.closed


@given(STEPS, st.integers(1, 4))
def test_nothing_is_impossible(steps: Steps, sharers: int) -> None:
    """No figure is negative, and a part is never more than its whole; what is written can be read."""
    for record in walked(steps, sharers):
        assert 0 <= record.covered_ms <= record.allocated_ms
        for part in (record.process_ms, record.idle_ms, record.gpm_ms):
            assert part is None or 0 <= part <= record.covered_ms
        for part in (record.sm_active_ms, record.tensor_active_ms):
            assert part is None or 0 <= part <= record.gpm_ms
        assert record.energy_mj is not None
        assert record.energy_mj >= 0
        assert record == from_json(json.loads(json.dumps(record.as_json())))


@given(STEPS, st.integers(2, 4))
def test_sharers_add_up_to_the_device(steps: Steps, sharers: int) -> None:
    """What jobs on one device have together is what a job alone on it would have had."""
    (alone,) = walked(steps, 1)
    together = walked(steps, sharers)

    for name in (
        "allocated_ms",
        "covered_ms",
        "process_ms",
        "idle_ms",
        "gpm_ms",
        "sm_active_ms",
        "energy_mj",
    ):
        whole = getattr(alone, name)
        parts = [getattr(record, name) for record in together]
        if whole is None:
            assert {None} == set(parts), name
        else:
            assert whole == pytest.approx(sum(parts), abs=sharers), name


@given(st.lists(st.sampled_from([1, 2, 3, 5, 7]), min_size=1, max_size=30))
def test_however_rounds_are_cut(lengths: list[int]) -> None:
    """Two minutes of steady work come to the same, in whatever steps they are looked at."""
    node = Node(jobs={"7": T}).round(0, gpu(sm=0.5))
    at = 0
    for long in lengths:
        if at + long < 120:
            at += long
            node.round(at, gpu(energy=at * 300, sm=0.5, gpm_seconds=long), computing={"7": 1})
            node = node.restarted()
    while at < 110:
        at += 10
        node.round(at, gpu(energy=at * 300, sm=0.5, gpm_seconds=10), computing={"7": 1})
    node.jobs = {}
    node.round(120, gpu(energy=36_000, sm=0.5, gpm_seconds=120 - at))

    (found,) = node.closed
    assert (120_000, 120_000, 120_000, 0, 60_000, 36_000_000) == (
        found.allocated_ms,
        found.covered_ms,
        found.process_ms,
        found.idle_ms,
        found.sm_active_ms,
        found.energy_mj,
    )


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), min_size=1, max_size=8))
def test_jobs_one_after_the_other(jobs: list[tuple[int, int]]) -> None:
    """However short they are and however close they follow, together they never have more than the device."""
    node = Node().round(0, gpu())
    begins: dict[int, int] = {}
    clock = 0
    for number, (pause, long) in enumerate(jobs, start=1):
        begins[number] = clock + pause
        clock += pause + long
        jobs[number - 1] = (clock - long, clock)
    for at in range(5, clock + 10, 5):
        node.jobs = {
            str(number): T + start for number, (start, end) in enumerate(jobs, start=1) if start <= at < end
        }
        node.round(at, gpu(energy=100.0 * at))

    for record in node.closed:
        start, end = jobs[record.job_id - 1]
        # An end is seen in the next round, or when the next job begins.
        assert 0 <= record.allocated_ms - 1000 * (end - start) < 5000
        assert record.allocated_ms == 1000 * (record.ended - record.started)
    assert sum(record.allocated_ms for record in node.closed) <= 1000 * (clock + 5)
    assert sum(record.energy_mj or 0 for record in node.closed) <= 100_000 * (clock + 5)


# ---------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize(
    "harm",
    [
        lambda tree: tree.pop("samples"),
        lambda tree: tree.update(at="now"),
        lambda tree: tree["records"][0].update(covered_ms=-1),
        lambda tree: tree["records"][0].update(energy_mj=float("nan")),
        lambda tree: tree["records"][0].update(is_idle=1),
        lambda tree: tree["records"][0].update(started=1.5),
        lambda tree: tree["records"][0].pop("share"),
        lambda tree: tree["records"][0].update(holding=["GPU-a", "7"]),
        lambda tree: tree["records"][0]["holding"].__setitem__(1, "x"),
        lambda tree: tree["records"][0]["holding"].__setitem__(2, 5),
        lambda tree: tree.update(heard={"GPU-a": [[79, 1]]}),
        lambda tree: tree.update(records=None),
    ],
    ids=range(12),
)
def test_a_state_that_was_tampered_with(harm: object) -> None:
    """It is refused whole."""
    node = Node(jobs={"7": T}).round(0, gpu(energy=1, sm=0.5, xids={79: Xid(1, T)})).round(5, gpu(energy=2))
    tree = json.loads(json.dumps(open_records.as_json(node.state)))
    harm(tree)  # type: ignore[operator]

    with pytest.raises(BadText, match="open records: "):
        open_records.from_json(tree)


def test_what_is_no_state() -> None:
    """Nor is anything else one."""
    trees: list[object] = [None, [], "x", {}]
    for tree in trees:
        with pytest.raises(BadText):
            open_records.from_json(tree)


def test_devices_that_nobody_needs_are_forgotten() -> None:
    """Of MIG devices that were made anew only those that are there, or held, are kept."""
    node = Node(jobs={"7": T}).round(0, gpu(slices=slices(0.1, 0.2)), hold={"MIG-1": ["7"]})
    node.round(5, gpu(), hold={})

    assert {"GPU-a", "MIG-1"} == set(node.state.samples)
