"""What panels make of numbers: by Prometheus' own evaluation of a small case, against what is so by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards import uids
from dashboards.build import boards
from tests.dashboards.test_recording import DAEMON, NODE, Given, agent, of, told

BOARDS = boards()
VARIABLES = {"$__range": "1h", "$cluster": ".+", "$node": ".+", "$partition": ".+", "$country": ".+",
             "$project": ".+"}  # fmt: skip
AWARD = {"award": "w", "project": "P", "organisation": "o", "country": "PT", "pool": "p", "unit": "gpu-hours"}
DAY, HOUR = 86_400, 3600
NOW = 400 * DAY  # of the accounting


def query(uid: str, panel: int, letter: str = "A") -> str:
    """A query of a panel, everything chosen."""
    (found,) = (it for it in BOARDS[uid]["panels"] if it["id"] == panel)
    (expr,) = (it["expr"] for it in found["targets"] if it["refId"] == letter)
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return str(expr)


def of_award(name: str, value: float, **labels: str) -> Given:
    """A reading of the award that does not change."""
    return {of(f"opsd_award_{name}", **DAEMON, **AWARD, **labels): f"{value}x90"}


@pytest.mark.prometheus
def test_gpu_hours_go_on_where_another_daemon_takes_over(tmp_path: Path) -> None:
    """The counters are the database's: what the first daemon counted is not lost with its address."""
    labels = {"job": "opsd", "cluster": "c", "class": "h", "state": "allocated"}
    name = "opsd_slurm_gpu_seconds_total"
    given = {
        of(name, instance="a:1", **labels): "0+240x30 stale",
        of(name, instance="b:1", **labels): "_x32 7680+240x60",
    }

    of_class = {'{cluster="c", class="h"}': 4.0}
    assert "" == told(given, 60, [(query(uids.SLURM, 51, "B"), of_class)], tmp_path)


@pytest.mark.prometheus
def test_held_is_a_share_of_gpus_that_can_be_told(tmp_path: Path) -> None:
    """A node whose agent knows no jobs is not taken for a free one."""
    blind = NODE | {"node": "m"}
    given = {
        of("opsd_gpu_devices_visible", **NODE): "2x60",
        of("opsd_gpu_devices_visible", **blind): "6x60",
        agent("opsd_gpu_job_unresolved"): "0x60",
        agent("opsd_gpu_job_info", uuid="G1", jobid="7", account="a", user="u"): "1x60",
    }
    cases = [(query(uids.FLEET, 12), {"{}": 0.5}), (query(uids.FLEET, 31, "D"), {"{}": 0.5})]

    assert "" == told(given, 30, cases, tmp_path)


@pytest.mark.prometheus
@pytest.mark.parametrize(("age", "pace"), [(2, 1.0), (30, 2 / 7)], ids=["young", "old"])
def test_the_pace_of_a_young_award_is_that_of_its_life(age: int, pace: float, tmp_path: Path) -> None:
    """As its forecast has it: 20 hours in two days are ten a day, and 100 left last ten days."""
    given = (
        {of("opsd_balances_as_of_timestamp_seconds", **DAEMON): f"{NOW}x90"}
        | of_award("granted_seconds", 120 * HOUR)
        | of_award("left_seconds", 100 * HOUR)
        | of_award("burn_seconds", 20 * HOUR, days="7")
        | of_award("start_timestamp_seconds", NOW - age * DAY)
        | of_award("end_timestamp_seconds", NOW + 10 * DAY)
        | of_award("state_info", 1, state="ok", phase="running")
    )
    paced = f"sum({query(uids.ALLOCATIONS, uids.FORECAST.id, 'E')})"

    assert "" == told(given, 60, [(paced, {"{}": pace})], tmp_path)


@pytest.mark.prometheus
def test_an_empty_queue_asks_for_nothing(tmp_path: Path) -> None:
    """A queue that was told and is empty is 0; one that nobody told is absent."""
    asked = [query(uids.FACTORY, 22), query(uids.FACTORY, 24)]
    for answered, expected in ((1, {"{}": 0.0}), (0, {})):
        up = of("opsd_slurm_source_up", **DAEMON, cluster="c", source="queue")

        assert "" == told({up: f"{answered}x60"}, 30, [(it, expected) for it in asked], tmp_path)


@pytest.mark.prometheus
def test_idle_is_a_share_of_what_can_be_told(tmp_path: Path) -> None:
    """As opsd usage --measured has it: GPUs without such readings are not taken for busy ones."""
    names = {"project": "P", "organisation": "o", "country": "PT"}
    given = {
        of(f"opsd_project_{it}_gpu_seconds", **DAEMON, **names): f"{seconds}x60"
        for it, seconds in (("held", 1000), ("idle_told", 400), ("idle", 100))
    }
    shares = (
        f"sum({query(uids.WASTE, 30, 'C')})", f"sum({query(uids.WASTE, 31)})", query(uids.COUNTRIES, 13),
        f"sum({query(uids.COUNTRIES, 23)})",
    )  # fmt: skip

    assert "" == told(given, 30, [(it, {"{}": 0.25}) for it in shares], tmp_path)


@pytest.mark.prometheus
def test_nothing_is_no_share_of_nothing(tmp_path: Path) -> None:
    """Of a class whose nodes are gone, and where every GPU is out of service, a share is absent, not NaN."""
    gone = DAEMON | {"cluster": "c", "class": "h"}
    given = {
        of("opsd_slurm_gpu_seconds_total", **gone, state=state): f"{seconds}x90"
        for state, seconds in (("allocated", 500), ("idle", 70), ("unseen", 5))
    }
    given |= {
        of("opsd_slurm_gpus", **gone, state=state): f"{count}x90"
        for state, count in (("allocated", 0), ("idle", 0), ("down", 4))
    }

    assert "" == told(given, 70, [(query(uids.SLURM, 51), {}), (query(uids.SLURM, 14), {})], tmp_path)
