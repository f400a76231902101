"""GPUs that are not there: the same again from the same seed, busy exactly while a job holds them."""

from __future__ import annotations

import pytest

from collectors.simulated_gpus import SimulatedGpus
from opsd.core.telemetry import QUANTITIES, Reading, Snapshot, is_possible

WATTS = Reading("power_average_watts")
JOULES = Reading("energy_joules_total")
BUSY = Reading("utilization_ratio")


class Machine:
    """Two simulated GPUs, with a clock and a job to steer them by."""

    def __init__(self, seed: str = "acc01") -> None:
        self.now = 1_764_000_000.0
        self.held: set[int] = set()
        self.gpus = SimulatedGpus(2, seed, clock=lambda: self.now, busy=lambda: self.held)

    def at(self, seconds: float, held: set[int]) -> Snapshot:
        """What is seen so many seconds after the start, while these are held."""
        self.now, self.held = 1_764_000_000.0 + seconds, held
        return self.gpus.collect()


def test_only_a_held_gpu_is_busy() -> None:
    """Work, power and memory follow the job."""
    held, idle = Machine().at(0, {0}).gpus

    assert held.values[BUSY] > 0.5
    assert held.values[WATTS] > 300
    assert 1 == held.values[Reading("processes")]
    assert 0 == idle.values[BUSY] == idle.values[Reading("memory_used_bytes")]
    assert 1 == idle.values[Reading("clock_event_active", ("gpu_idle",))]


def test_the_same_seed_and_time_give_the_same() -> None:
    """Two runs cannot be told apart; another seed is another node."""
    runs = [[machine.at(second, {1}) for second in (0, 5, 60)] for machine in (Machine(), Machine())]

    assert runs[0] == runs[1]
    other = Machine("acc02").at(0, {1})
    assert not {gpu.uuid for gpu in other.gpus} & {gpu.uuid for gpu in runs[0][0].gpus}


def test_energy_is_power_over_time() -> None:
    """An idle GPU's counter grows by its power times the time; a clock set back takes nothing away."""
    machine = Machine()
    first = machine.at(0, set()).gpus[0].values
    last = machine.at(100, set()).gpus[0].values

    assert first[WATTS] * 100 == pytest.approx(last[JOULES] - first[JOULES])
    assert last[JOULES] == machine.at(50, set()).gpus[0].values[JOULES]


def test_every_value_is_a_possible_reading() -> None:
    """What is shown passes the checks that real readings must pass, with the kinds they have."""
    values = Machine().at(0, {0}).gpus[0].values

    assert QUANTITIES.keys() == {reading.quantity for reading in values}
    assert [] == [reading for reading, value in values.items() if not is_possible(reading, value)]
    assert [] == [r for r in values if len(QUANTITIES[r.quantity].labels) != len(r.kinds)]
