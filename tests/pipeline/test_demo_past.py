"""What a demonstration's agents measured before it began: as if they had always looked every few seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.simulated.live import Holding
from collectors.simulated_gpus import TURN_SECONDS, SimulatedGpus, habit, jobs_of
from exporters.spool_file import SpoolFile
from opsd.core import open_records
from opsd.core.holders import Evidence, Job, resolve
from opsd.core.measured import Measured
from opsd.core.measuring import Round, State, advance
from opsd.pipeline import demo_past

START = 1_764_000_000  # a turn of work begins
SEED = "1/0"
TIMES = ("covered_ms", "idle_ms", "sm_active_ms", "tensor_active_ms", "process_ms")
HABITS = ("busy", "half", "waiting", "empty")


def job(wanted: str) -> int:
    """The first job with a habit."""
    return next(number for number in range(4_100_000, 4_100_500) if habit(str(number)) == wanted)


def holding(wanted: str, gpus: tuple[int, ...], started: int, ended: int | None) -> Holding:
    """A job on the node, with times since START."""
    return Holding(
        "acc01", job(wanted), "es", "ana", gpus, START + started, None if ended is None else START + ended
    )


def test_every_habit_comes_out_as_it_is() -> None:
    """Who computes, waits, or holds an empty GPU; all of the time seen; whose jobs they were."""
    spans = [holding(one, (place,), 60, 3 * TURN_SECONDS) for place, one in enumerate(HABITS)]
    records = demo_past.ended(spans, SEED)
    of_job = {record.job_id: record for record in records}
    whole = 1_000 * (3 * TURN_SECONDS - 60)
    busy, half, waiting, empty = (of_job[job(one)] for one in HABITS)

    assert {(whole, whole, whole)} == {(one.allocated_ms, one.covered_ms, one.gpm_ms) for one in records}
    assert [whole, whole, whole, 0] == [one.process_ms for one in (busy, half, waiting, empty)]
    assert [0, 1_000 * TURN_SECONDS, whole, whole] == [one.idle_ms for one in (busy, half, waiting, empty)]
    assert {("es", "ana", START + 60, START + 3 * TURN_SECONDS)} == {
        (one.account, one.user, one.started, one.ended) for one in records
    }
    assert (
        (busy.energy_mj or 0) > (half.energy_mj or 0) > (waiting.energy_mj or 0) > (empty.energy_mj or 0) > 0
    )


def test_as_an_agent_would_have_measured_it() -> None:
    """The same records as of an agent that looks every five seconds, to within one of its intervals."""
    spans = [
        holding("half", (0, 1), 0, 2_500), holding("busy", (2,), 100, 5_000),
        holding("waiting", (2, 3), 5_000, 9_000),
    ]  # fmt: skip
    quick = demo_past.ended(spans, SEED)
    _, slow = looked_at(spans, 9_000)

    assert len(quick) == len(slow) == 5
    for one, other in zip(sorted(quick), sorted(slow), strict=True):
        assert one[:5] == other[:5]
        for name in TIMES:
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=20_000), name
        assert one.energy_mj == pytest.approx(other.energy_mj, rel=0.01)
        assert one.memory_peak_bytes == pytest.approx(other.memory_peak_bytes, rel=0.1)


def test_what_is_open_as_an_agent_would_have_it() -> None:
    """The state that an agent goes on with is the one that it would have come to by itself."""
    spans = [
        holding("half", (0, 1), 0, None),
        holding("busy", (2,), 100, None),
        holding("empty", (3,), 5, None),
    ]
    quick = demo_past.still_open(spans, 4, SEED, START + 1_500)
    slow, _ = looked_at(spans, 1_500)

    assert quick.at == slow.at
    assert quick.records.keys() == slow.records.keys()
    assert quick.samples.keys() == slow.samples.keys()
    for key, one in quick.records.items():
        other = slow.records[key]
        assert one.holding == other.holding
        for name in TIMES:
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=20_000), name
        assert one.energy_mj == pytest.approx(other.energy_mj, rel=0.01)
        assert (one.share, one.is_computing, one.is_idle) == (other.share, other.is_computing, other.is_idle)


def looked_at(spans: list[Holding], seconds: int) -> tuple[State, tuple[Measured, ...]]:
    """What an agent that looks every five seconds makes of it."""
    at, here = 0, list[Job]()
    gpus = SimulatedGpus(
        4, SEED, clock=lambda: at, holders=lambda: {gpu: job.job_id for job in here for gpu in job.minors}
    )
    state, records = State(), tuple[Measured, ...]()
    for at in range(START, START + seconds + 5, 5):
        here = [
            Job(str(one.job), one.account, one.user, one.gpus, started=one.started)
            for one in spans
            if one.started <= at < (one.ended or at + 1)
        ]
        seen = gpus.collect()
        holders = resolve(here, seen.gpus, Evidence(job_of=jobs_of(here)))
        state, closed = advance(state, Round(at, seen, holders, here, 15))
        records += closed
    return state, records


def test_an_agent_goes_on_with_it(tmp_path: Path) -> None:
    """The folder is an agent's own: what ended waits to be fetched, and what is open goes on."""
    spans = [holding("busy", (0, 1), 0, 900), holding("half", (2,), 300, None)]
    written = demo_past.write(tmp_path / "node" / "spool", spans, 4, SEED, START + 1_000)
    contents, faults = SpoolFile(tmp_path / "node" / "spool").read("another")
    state = open_records.from_json(contents.state)

    assert () == faults
    assert 2 == written == len(contents.entries)
    assert contents.last == 1_000 * (START + 1_000)
    assert [str(job("half"))] == [record.holding.job_id for record in state.records.values()]
    assert [700_000.0] == [record.covered_ms for record in state.records.values()]
    assert state.at == START + 1_000


def test_the_same_again(tmp_path: Path) -> None:
    """The same jobs and seed give the same bytes."""
    spans = [holding("half", (0, 1), 0, 90_000), holding("busy", (2,), 300, None)]
    for name in ("one", "other"):
        demo_past.write(tmp_path / name, spans, 4, SEED, START + 100_000)

    for name in ("closed.jsonl", "open.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
