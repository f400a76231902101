"""Who holds a device and who computes on it: each told thing counts once, what is not told is counted too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.holders import Computing, Evidence, Holders, Holding, Job, resolve
from opsd.core.telemetry import Gpu, Identity, Process, Slice

SEVEN = 7_000_000.0


def gpu(name: str, minor: int | None, *processes: Process, slices: tuple[Slice, ...] = ()) -> Gpu:
    """A GPU that tells its processes."""
    who = Identity(f"GPU-{name}", minor)
    return Gpu(minor or 0, "up", who, is_mig=bool(slices), slices=slices, processes=processes)


def silent(name: str, minor: int | None) -> Gpu:
    """A GPU that tells no processes."""
    return replace(gpu(name, minor), processes=None)


def job(number: int, *minors: int, uuids: tuple[str, ...] = (), **more: object) -> Job:
    """A job of a user of its own account."""
    return Job(str(number), f"a{number}", f"u{number}", minors, uuids, **more)  # type: ignore[arg-type]


def shares(found: Holders) -> dict[tuple[str, str], float]:
    """Shares by device and job."""
    return {(holding.uuid, holding.job_id): share for holding, share in found.shares.items()}


NODE = [silent("a", 0), silent("b", 1), silent("c", None)]
PARTS = (Slice("MIG-1", 1, 0, "1g.10gb"), Slice("MIG-2", 2, 0, "1g.10gb"), Slice("MIG-3", 2, 1, "1g.10gb"))

# ---------------------------------------------------------------------------------------------- who holds


def test_a_job_holds_the_gpus_of_its_minor_numbers() -> None:
    """A whole GPU is a share of one; a number that no GPU has is unresolved."""
    found = resolve([job(7, 1, 0, 9, started=5, sluid="s1")], NODE)

    me = ("7", "a7", "u7", "", 5, "s1")
    assert {Holding("GPU-b", *me): 1, Holding("GPU-a", *me): 1} == found.shares
    assert 1 == found.unresolved


def test_uuids_say_more_than_numbers() -> None:
    """Where a job names UUIDs its numbers are not looked at, for they may be another node's order."""
    found = resolve([job(7, 0, uuids=("GPU-c", "GPU-x"))], NODE)

    assert {("GPU-c", "7"): 1} == shares(found)
    assert 1 == found.unresolved


def test_a_number_among_uuids_is_told_by_nothing() -> None:
    """Before 25.11 a node with MIG mixes them, and the number is Slurm's own, not the minor number."""
    found = resolve([job(7, 0, 1, uuids=("MIG-1", "0"))], [silent("b", 0), gpu("a", 1, slices=PARTS)])

    assert {("MIG-1", "7"): 1} == shares(found)
    assert 1 == found.unresolved


def test_jobs_that_share_a_gpu_hold_equal_parts() -> None:
    """Two jobs on one GPU hold half of it each; naming it twice gives no more."""
    found = resolve([job(1, 0, 0), job(2, 0, 1)], NODE)

    assert {("GPU-a", "1"): 0.5, ("GPU-a", "2"): 0.5, ("GPU-b", "2"): 1} == shares(found)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([job(1, 0, mps=40)], [0.4]),
        ([job(1, 0, mps=40), job(2, 0, mps=25)], [0.4, 0.25]),
        ([job(1, 0, mps=80), job(2, 0, mps=80)], [0.5, 0.5]),
        ([job(1, 0, mps=40), job(2, 0, mps=0)], [0.5, 0.5]),
        ([job(1, 0, shards=3), job(2, 0, shards=1)], [0.75, 0.25]),
        ([job(1, 0, shards=3), job(2, 0)], [0.5, 0.5]),
        ([job(1, 0, 1, shards=4), job(2, 0, shards=2)], [0.5, 0.5, 1]),
        ([job(1, 0), job(2, 0), job(3, 0)], [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_shares_by_what_each_was_given(jobs: list[Job], expected: list[float]) -> None:
    """Percent of MPS and numbers of shards count where all tell theirs; else parts are equal."""
    assert expected == [share for _, share in sorted(shares(resolve(jobs, NODE)).items())]


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 3), max_size=4),
            st.none() | st.integers(0, 120),
            st.none() | st.integers(0, 9),
        ),
        max_size=6,
    )
)
def test_no_part_of_a_gpu_is_held_twice(wanted: list[tuple[list[int], int | None, int | None]]) -> None:
    """Shares of a GPU add up to one at most, and exactly so where one does not tell its part."""
    jobs = [
        job(number, *minors, mps=mps, shards=shards) for number, (minors, mps, shards) in enumerate(wanted)
    ]

    found = resolve(jobs, NODE)

    totals = Counter[str]()
    for holding, share in found.shares.items():
        assert 0 < share <= 1
        totals[holding.uuid] += share  # type: ignore[assignment]
    named = {minor for one in jobs for minor in one.minors}
    assert {uuid for uuid, minor in (("GPU-a", 0), ("GPU-b", 1)) if minor in named} == totals.keys()
    for uuid, minor in (("GPU-a", 0), ("GPU-b", 1)):
        assert totals[uuid] <= 1 + 1e-9
        if any(minor in one.minors and not one.mps for one in jobs):
            assert pytest.approx(1) == totals[uuid]
    assert sum(minor > 1 for one in jobs for minor in set(one.minors)) == found.unresolved


def test_a_mig_device_is_held_by_its_uuid() -> None:
    """Jobs hold slices of one GPU, each all of its own."""
    node = [gpu("a", 0, slices=PARTS)]

    found = resolve([job(1, 0, uuids=("MIG-1", "MIG-3")), job(2, 0, uuids=("MIG-2",))], node)

    assert {("MIG-1", "1"): 1, ("MIG-3", "1"): 1, ("MIG-2", "2"): 1} == shares(found)
    assert {"GPU-a"} == {holding.parent for holding in found.shares}
    assert 0 == found.unresolved


@pytest.mark.parametrize(("names", "uuids"), [((0,), ()), ((), ("GPU-a",))])
def test_which_slice_is_not_guessed(names: tuple[int, ...], uuids: tuple[str, ...]) -> None:
    """A GPU in slices, named as a whole, tells nothing, unless it is in one."""
    asked = [job(1, *names, uuids=uuids)]
    several = resolve(asked, [gpu("a", 0, slices=PARTS)])
    one = resolve(asked, [gpu("a", 0, slices=PARTS[:1])])
    none = resolve(asked, [replace(gpu("a", 0), is_mig=True)])

    assert ({}, 1) == (shares(several), several.unresolved)
    assert ({("MIG-1", "1"): 1}, 0) == (shares(one), one.unresolved)
    assert {("GPU-a", "1"): 1} == shares(none)


def test_a_driver_that_shows_no_gpu_makes_no_name_wrong() -> None:
    """While the driver is away nothing is resolved, and nothing is counted as unresolved."""
    assert Holders() == resolve([job(1, 0)], [])


# ------------------------------------------------------------------------------------------- stale files


def over(jobs: Iterable[Job], **evidence: object) -> tuple[str, ...]:
    """Whose files are stale at seven million seconds."""
    return resolve(jobs, NODE, Evidence(now=SEVEN, **evidence)).stale  # type: ignore[arg-type]


def test_a_file_older_than_the_boot_is_stale() -> None:
    """It holds nothing, and neither its good nor its bad names count."""
    jobs = [job(1, 0, 9, started=6_999_000), job(2, 1, started=6_999_500)]

    found = resolve(jobs, NODE, Evidence(booted=6_999_400, now=SEVEN))

    assert ("1",) == found.stale
    assert {("GPU-b", "2"): 1} == shares(found)
    assert 0 == found.unresolved


def test_a_job_with_a_control_group_is_never_stale() -> None:
    """Not by a clock that was wrong at boot, nor by a younger job; its name there may be a SLUID."""
    jobs = [job(1, 0, started=1), job(2, 0, started=2, sluid="s2"), job(3, 0, started=6_999_990)]

    assert () == over(jobs, living=frozenset({"1", "s2"}), booted=6_999_000, is_complete=True)


def test_where_jobs_have_control_groups_one_without_is_stale() -> None:
    """After a minute, for a prolog may take that long; but not where Slurm makes them for steps alone."""
    jobs = [job(1, 0, started=6_999_939), job(2, 1, started=6_999_941)]

    assert ("1",) == over(jobs, living=frozenset({"9"}), is_complete=True)
    assert () == over(jobs, living=frozenset({"9"}), is_complete=False)


def test_a_job_whose_control_group_has_gone_is_stale() -> None:
    """A minute after it was last seen, for an epilog may take that long; a requeued run is another run."""
    first, again = job(1, 0, started=6_000_000), job(1, 0, started=6_999_999)

    assert () == over([first], last_seen={first.run: 6_999_950})
    assert ("1",) == over([first], last_seen={first.run: 6_999_930})
    assert () == over([again], last_seen={first.run: 6_999_930})


def test_the_younger_of_two_that_claim_all_is_right() -> None:
    """Slurm gives a device to one job at a time: the older one's epilog did not run."""
    found = resolve([job(1, 0, 1, started=10), job(2, 0, started=20)], NODE, Evidence(now=SEVEN))

    assert ("1",) == found.stale
    assert {("GPU-a", "2"): 1} == shares(found)


@pytest.mark.parametrize("part", [{"mps": 50}, {"mps": 0}, {"shards": 2}])
def test_a_younger_job_that_shares_displaces_nobody(part: dict[str, int]) -> None:
    """Jobs on shards or under MPS are on a GPU together."""
    assert () == over([job(1, 0, started=10, **part), job(2, 0, started=20, **part)])


def test_a_stale_file_displaces_nobody() -> None:
    """A younger file that is itself stale says nothing about the older one."""
    jobs = [job(1, 0, started=6_000_000), job(2, 0, started=6_999_000)]

    seen = {jobs[1].run: 6_999_100.0}
    assert ("2",) == over(jobs, living=frozenset({"1"}), last_seen=seen)


# ------------------------------------------------------------------------------------------ who computes


def test_who_computes() -> None:
    """Processes and memory by device and job; a holder without a process has none."""
    node = [gpu("a", 0, Process(11, 100), Process(12, 50)), gpu("b", 1)]
    told = Evidence(job_of={11: "1", 12: "1"})

    found = resolve([job(1, 0, 1)], node, told)

    assert {("GPU-a", "1"): Computing(2, 150), ("GPU-b", "1"): Computing(0, 0)} == found.computing
    assert (0, 0) == (found.strangers, found.disagreeing)


def test_memory_is_told_for_all_or_not_at_all() -> None:
    """Half a sum is wrong."""
    node = [gpu("a", 0, Process(11, 100), Process(12, None))]

    found = resolve([job(1, 0)], node, Evidence(job_of={11: "1", 12: "1"}))

    assert {("GPU-a", "1"): Computing(2, None)} == found.computing


def test_a_gpu_whose_processes_are_not_told_is_left_out() -> None:
    """Neither idle nor busy; and where no GPU tells them there is no count of strangers."""
    found = resolve([job(1, 0, 1)], [gpu("a", 0), silent("b", 1)])

    assert {("GPU-a", "1"): Computing(0, 0)} == found.computing
    assert None is resolve([job(1, 0, 1)], NODE).strangers


def test_a_stranger_counts_for_the_only_holder() -> None:
    """Nobody else may compute there; among several holders, or without one, it counts for none."""
    node = [gpu(name, minor, Process(10 + minor, 5)) for minor, name in enumerate("abc")]

    found = resolve([job(1, 0, 1), job(2, 1)], node)

    expected = {("GPU-a", "1"): (1, 5), ("GPU-b", "1"): (0, 0), ("GPU-b", "2"): (0, 0)}
    assert expected == {pair: seen[:2] for pair, seen in found.computing.items()}
    assert (3, 0) == (found.strangers, found.disagreeing)


def test_a_job_on_a_device_that_it_does_not_hold_disagrees() -> None:
    """It is shown where it computes, and counted; what is left of a job that is over, too."""
    node = [gpu("a", 0, Process(11, 5), Process(12, 5)), gpu("b", 1, Process(13, 5))]
    jobs = [job(1, 0, started=10), job(2, 1, started=1)]

    found = resolve(jobs, node, Evidence(job_of={11: "1", 12: "9", 13: "2"}, booted=5, now=SEVEN))

    assert {("GPU-a", "1"), ("GPU-a", "9"), ("GPU-b", "2")} == found.computing.keys()
    assert (("2",), 2, 0) == (found.stale, found.disagreeing, found.strangers)


def test_processes_under_mig_are_on_their_slice() -> None:
    """By GPU and compute instance; one that names neither is on no slice that is known."""
    running = (Process(11, 1, 1, 0), Process(12, 2, 2, 1), Process(13, 4, 9, 0), Process(14, 8))
    told = Evidence(job_of={11: "1", 12: "2", 13: "1", 14: "1"})

    found = resolve(
        [job(1, uuids=("MIG-1",)), job(2, uuids=("MIG-3",))], [gpu("a", 0, *running, slices=PARTS)], told
    )

    expected = {("MIG-1", "1"): Computing(1, 1, "GPU-a"), ("MIG-3", "2"): Computing(1, 2, "GPU-a")}
    assert expected == found.computing
    assert 2 == found.strangers


def test_instances_of_a_gpu_without_slices_mean_nothing() -> None:
    """Drivers fill these fields with what they like where MIG is off."""
    found = resolve([job(1, 0)], [gpu("a", 0, Process(11, 5, 0, 0))], Evidence(job_of={11: "1"}))

    assert {("GPU-a", "1"): Computing(1, 5)} == found.computing


def test_sluids_become_job_numbers() -> None:
    """By the job files; a SLUID that no file names is a job without GPUs, if all files tell theirs."""
    node = [gpu("a", 0, Process(11, 5), Process(12, 5))]
    told = Evidence(job_of={11: "sAAA", 12: "sBBB"})

    all_tell = resolve([job(1, 0, sluid="sAAA")], node, told)
    some_tell = resolve([job(1, 0, sluid="sAAA"), job(2, 1)], [*node, gpu("b", 1)], told)

    assert {("GPU-a", "1"): 1, ("GPU-a", "sBBB"): 1} == {
        pair: seen.processes for pair, seen in all_tell.computing.items()
    }
    assert (1, 0) == (all_tell.disagreeing, all_tell.strangers)
    assert Computing(2, 10) == some_tell.computing["GPU-a", "1"]
    assert (0, 1) == (some_tell.disagreeing, some_tell.strangers)
