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


def awards(**each: dict[str, float]) -> Given:
    """Readings of awards by their ids, as two daemons publish them; the country of "w…" is PT."""
    given = {}
    for instance in ("a:1", "b:1"):
        target = {"job": "opsd", "instance": instance}
        given[of("opsd_balances_as_of_timestamp_seconds", **target)] = f"{NOW}x90"
        for id_, readings in each.items():
            whose = AWARD | {"award": id_, "project": f"P-{id_}", "country": "PT" if id_[0] == "w" else "ES"}
            state = whose | {"state": "ok", "phase": "running"}
            given[of("opsd_award_state_info", **target, **state)] = "1x90"
            for name, value in readings.items():
                given[of(f"opsd_award_{name}", **target, **whose)] = f"{value}x90"
    return given


def reading(left: float = 50, **moments: float) -> dict[str, float]:
    """Of an award of 100 hours, with days from now until some of its moments."""
    return {
        "granted_seconds": 100 * HOUR, "left_seconds": left * HOUR, "over_quota": float(left < 0),
        "threshold_reached_ratio": 0.0 if left > 20 else 0.8, "elapsed_ratio": 0.25,
    } | {f"{name}_timestamp_seconds": NOW + days * DAY for name, days in moments.items()}  # fmt: skip


@pytest.mark.prometheus
def test_awards_that_need_somebody_are_counted(tmp_path: Path) -> None:
    """Each once, however many daemons publish it; those that have ended only where it matters."""
    given = awards(
        w1=reading(-5, end=100), w2=reading(-5, end=-1, report_due=-59),
        w3=reading(10, end=40, exhaustion=29),
        w4=reading(10, end=29, report_due=29), w5=reading(end=31, report_due=31),
        e1=reading(-5, end=100), e2=reading(report_due=-61),
    )  # fmt: skip
    expected = {10: 2, 11: 2, 12: 1, 13: 1, 14: 2}
    cases = [(query(uids.ALLOCATIONS, panel), {"{}": float(count)}) for panel, count in expected.items()]
    cases.append((query(uids.FACTORY, 15), {"{}": 2.0}))
    over = query(uids.ALLOCATIONS, 10)
    assert over.count('=~".+"') == 2
    of_one = (
        over.replace('project=~".+"', 'project=~"P-w1"'),
        over.replace('project=~".+"', 'project=~"P-w3"'),
    )
    cases += [(of_one[0], {"{}": 1.0}), (of_one[1], {"{}": 0.0})]

    assert "" == told(given, 60, cases, tmp_path)


@pytest.mark.prometheus
def test_nobody_knows_of_awards_without_balances(tmp_path: Path) -> None:
    """It is not taken for none."""
    given = {of("opsd_balances_as_of_timestamp_seconds", **DAEMON): f"{NOW}x90"}
    shown = [query(uids.ALLOCATIONS, panel) for panel in range(10, 15)]

    assert "" == told(given, 60, [(it, {}) for it in (*shown, query(uids.FACTORY, 15))], tmp_path)


@pytest.mark.prometheus
def test_the_fullest_award_is_drawn(tmp_path: Path) -> None:
    """Of the chosen ones that have not ended; one of nothing, or of which nothing is used, has no share."""
    given = awards(w1=reading(10), w2=reading(40), w3=reading(100), w4=reading() | {"granted_seconds": 0.0})
    for name, value in list(given.items()):
        if 'award="w1"' in name and "state_info" in name:
            given[name.replace("running", "ended")] = given.pop(name)
            assert "1x90" == value
    full = of("", **(AWARD | {"award": "w2", "project": "P-w2"}))
    shares = {of("opsd:award_used:ratio", **(AWARD | {"award": "w2", "project": "P-w2"})): 0.6}
    cases = [(query(uids.ALLOCATIONS, 30), shares)] + [
        (query(uids.ALLOCATIONS, 31, letter), {full: hours})
        for letter, hours in (("A", 100.0), ("B", 60.0), ("C", 25.0))
    ]

    assert "" == told(given, 60, cases, tmp_path)


@pytest.mark.prometheus
def test_a_mean_is_over_gpus_that_tell(tmp_path: Path) -> None:
    """Not over nodes: one with a GPU counts as much as each of the other's three; a silent one is no zero."""
    given = {of("opsd_gpu_devices_visible", **(NODE | {"node": node})): "4x60" for node in ("n", "m")}
    for node, gpu, value in (("n", "0", 1.0), ("m", "0", 0.2), ("m", "1", 0.2), ("m", "2", 0.2)):
        for name in ("utilization", "sm_active", "tensor_active"):
            labels = NODE | {"node": node, "gpu": gpu, "uuid": f"{node}{gpu}"}
            given[of(f"opsd_gpu_{name}_ratio", **labels)] = f"{value}x60"
    means = [query(uids.FLEET, 31, letter) for letter in "ABC"]

    assert "" == told(given, 30, [(it, {"{}": 0.4}) for it in means], tmp_path)


@pytest.mark.prometheus
def test_a_country_that_holds_no_gpu_is_at_zero(tmp_path: Path) -> None:
    """And so is nobody; where no agent tells who holds what, nothing is known of any country."""
    account = {"account": "a", "award": "w", "project": "P", "organisation": "o", "pool": "p"}
    known = {
        of(
            "opsd_account_info", **DAEMON, cluster="c", country=country, **account | {"account": country}
        ): "1x90"
        for country in ("PT", "RO")
    }
    held = {
        agent("opsd_gpu_job_unresolved"): "0x90",
        agent("opsd_gpu_job_info", uuid="G1", jobid="7", account="PT", user="u"): "1x90",
    }
    name = "opsd:country_gpus_held:sum"
    of_each = {
        f'{name}{{cluster="c", country="{country}"}}': value
        for country, value in (("PT", 1.0), ("RO", 0.0), ("unattributed", 0.0))
    }

    assert "" == told(known | held, 60, [(name, of_each)], tmp_path)
    assert "" == told(known, 60, [(name, {})], tmp_path)
