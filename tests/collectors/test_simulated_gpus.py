"""GPUs that are not there: the same again from the same seed, busy exactly as the job that holds them."""

from __future__ import annotations

import pytest

from collectors.simulated_gpus import TURN_SECONDS, SimulatedGpus, habit, jobs_of
from opsd.core.holders import Job
from opsd.core.telemetry import QUANTITIES, Gpu, Reading, Snapshot, is_possible

START = 1_764_000_000.0  # a turn of work begins
WATTS = Reading("power_average_watts")
JOULES = Reading("energy_joules_total")
BUSY = Reading("utilization_ratio")
SM_ACTIVE = Reading("sm_active_ratio")
MEMORY = Reading("memory_used_bytes")
SUPPOSED_IDLE_WATTS = 72.0


def job(wanted: str) -> str:
    """The first job with a habit."""
    return next(name for name in map(str, range(4_100_000, 4_100_500)) if habit(name) == wanted)


class Machine:
    """Two simulated GPUs, with a clock and a job to steer them by."""

    def __init__(self, seed: str = "acc01") -> None:
        self.now = START
        self.held: dict[int, str] = {}
        self.gpus = SimulatedGpus(2, seed, clock=lambda: self.now, holders=lambda: self.held)

    def at(self, seconds: float, held: dict[int, str]) -> Snapshot:
        """What is seen so many seconds after the start, while these are held."""
        self.now, self.held = START + seconds, held
        return self.gpus.collect()


def first(seen: Snapshot) -> Gpu:
    """GPU 0."""
    return seen.gpus[0]


def test_only_a_held_gpu_is_busy() -> None:
    """Work, power, memory and a process follow the job; an idle GPU has none."""
    machine = Machine()
    machine.at(0, {0: job("busy")})
    held, idle = machine.at(5, {0: job("busy")}).gpus

    assert held.values[BUSY] > 0.5
    assert held.values[SM_ACTIVE] > 0.5
    assert held.values[WATTS] > 300
    assert 1 == held.values[Reading("processes")]
    assert 0 == idle.values[BUSY] == idle.values[MEMORY] == idle.values[SM_ACTIVE]
    assert () == idle.processes
    assert 1 == idle.values[Reading("clock_event_active", ("gpu_idle",))]


def test_what_jobs_that_waste_a_gpu_do() -> None:
    """One waits with a process and memory, one has nothing there at all; neither computes."""
    machine = Machine()
    held = {0: job("waiting"), 1: job("empty")}
    machine.at(0, held)
    waiting, empty = machine.at(60, held).gpus

    assert [0, 0] == [gpu.values[SM_ACTIVE] for gpu in (waiting, empty)]
    assert [1, 0] == [len(gpu.processes or ()) for gpu in (waiting, empty)]
    assert waiting.values[MEMORY] > 0 == empty.values[MEMORY]
    assert waiting.values[WATTS] > empty.values[WATTS] == SUPPOSED_IDLE_WATTS


def test_half_of_some_jobs_is_work() -> None:
    """In turns: it works as a busy one does, then it waits as long."""
    half, busy = Machine(), Machine()
    for machine, wanted in ((half, "half"), (busy, "busy")):
        machine.at(0, {0: job(wanted)})
    works = first(half.at(TURN_SECONDS, {0: job("half")})).values[SM_ACTIVE]
    waits = first(half.at(2 * TURN_SECONDS, {0: job("half")})).values[SM_ACTIVE]

    assert first(busy.at(TURN_SECONDS, {0: job("busy")})).values[SM_ACTIVE] == works
    assert 0 == waits


def test_processes_belong_to_the_jobs_that_hold() -> None:
    """Every process can be told to be a job's, by the jobs alone."""
    seen = Machine().at(0, {0: job("busy"), 1: job("half")})
    known = jobs_of([Job(job("busy"), "", "", (0,)), Job(job("half"), "", "", (1,))])

    assert [job("busy"), job("half")] == [
        known[process.pid] for gpu in seen.gpus for process in gpu.processes or ()
    ]


def test_the_same_seed_and_time_give_the_same() -> None:
    """Two runs cannot be told apart; another seed is another node."""
    held = {1: job("busy")}
    runs = [[machine.at(second, held) for second in (0, 5, 60)] for machine in (Machine(), Machine())]

    assert runs[0] == runs[1]
    other = Machine("acc02").at(0, held)
    assert not {gpu.uuid for gpu in other.gpus} & {gpu.uuid for gpu in runs[0][0].gpus}


def test_energy_is_power_over_time() -> None:
    """An idle GPU's counter grows by its power times the time; a clock set back takes nothing away."""
    machine = Machine()
    before = first(machine.at(0, {})).values
    after = first(machine.at(100, {})).values

    assert before[WATTS] * 100 == pytest.approx(after[JOULES] - before[JOULES])
    assert after[JOULES] == first(machine.at(50, {})).values[JOULES]


@pytest.mark.parametrize("wanted", ["busy", "half", "waiting", "empty"])
def test_energy_and_activity_are_integrals(wanted: str) -> None:
    """Looked at each second or once after an hour: the same energy, and the same mean activity."""
    held = {0: job(wanted)}
    often, once = Machine(), Machine()
    for machine in (often, once):
        machine.at(0, held)
    seconds = [first(often.at(second, held)) for second in range(1, 3_601)]
    hour = first(once.at(3_600, held))
    watts = [gpu.values[WATTS] for gpu in seconds]

    assert seconds[-1].values[JOULES] == pytest.approx(hour.values[JOULES], abs=0.01)
    assert sum(watts) == pytest.approx(hour.values[JOULES], rel=0.002)
    assert sum(gpu.values[SM_ACTIVE] for gpu in seconds) / 3_600 == pytest.approx(
        hour.values[SM_ACTIVE], abs=1e-5
    )
    assert 3_600 == hour.gpm_seconds


def test_what_was_done_is_of_who_held_it() -> None:
    """Energy and activity since the last look are those of the job before, not of the one that follows."""
    machine = Machine()
    machine.at(0, {0: job("empty")})
    changed = first(machine.at(10, {0: job("busy")})).values

    assert 0 == changed[SM_ACTIVE]
    assert 10 * SUPPOSED_IDLE_WATTS == changed[JOULES]
    assert changed[BUSY] > 0.5


def test_what_moves_and_what_holds_clocks_down() -> None:
    """Bytes move while it works, and clocks are low while it does not; an idle GPU moves nothing."""
    machine, moved = Machine(), Reading("nvlink_receive_bytes_total")
    low, hot = (
        Reading("clock_event_seconds_total", (it,)) for it in ("low_utilization", "hw_thermal_slowdown")
    )
    begin, worked, rested = (
        first(machine.at(turn * TURN_SECONDS, {0: job("half")})).values for turn in range(3)
    )
    idle = machine.at(2 * TURN_SECONDS, {0: job("half")}).gpus[1].values

    assert 0 == begin[moved] == begin[low]
    assert 0 < begin[moved] + 0.5 * 6.6e10 * TURN_SECONDS < worked[moved] == rested[moved]
    assert TURN_SECONDS == pytest.approx(rested[low] - worked[low])
    assert (0, 2 * TURN_SECONDS) == (idle[moved], idle[low])
    assert 0 == rested[hot]


# What no demonstration needs: rare health, links one by one, what H100s do not have.
NOT_SHOWN = {
    "bar1_used_bytes", "decoder_utilization_ratio", "ecc_location_errors_total", "ecc_mode_pending",
    "encoder_utilization_ratio", "fabric_state", "fan_speed_ratio", "nvlink_errors_total",
    "nvlink_link_errors_total", "nvlink_link_receive_bytes_total", "nvlink_link_transmit_bytes_total",
    "nvlink_link_up", "pcie_errors_total", "power_memory_average_watts", "repair_pending", "retired_pages",
    "retired_pages_pending", "row_remap_banks", "sram_threshold_exceeded", "sram_uncorrected_errors_total",
    "temperature_margin_celsius", "temperature_margin_threshold_celsius", "temperature_threshold_celsius",
}  # fmt: skip


def test_every_value_is_a_possible_reading() -> None:
    """What is shown passes the checks that real readings of a GPU must pass, with the kinds they have."""
    machine = Machine()
    machine.at(0, {0: job("busy")})
    values = first(machine.at(5, {0: job("busy")})).values
    shown = {reading.quantity for reading in values}

    assert {name for name in QUANTITIES if QUANTITIES[name].of == "gpu"} - NOT_SHOWN == shown
    assert NOT_SHOWN <= QUANTITIES.keys()
    assert [] == [reading for reading, value in values.items() if not is_possible(reading, value)]
    assert [] == [r for r in values if len(QUANTITIES[r.quantity].labels) != len(r.kinds)]
