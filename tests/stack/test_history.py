"""The past that is made up ends where the living demonstration begins: the same jobs, labels and values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors.simulated import prolog
from collectors.simulated.live import Holding, LiveFactory
from collectors.simulated.present import SimulatedPresent
from collectors.slurm import present as reader
from dashboards.recording import RECORDED
from exporters import slurm
from exporters.catalogue import BY_NAME
from exporters.page import Page
from exporters.slurm import Look
from opsd.node.collection import Node
from opsd.node.options import Options
from tests.stack import past_rules, programs
from tests.stack.blocks import Blocks, shown
from tests.stack.history import Demonstration
from tests.stack.past_daemon import PastSteps, between
from tests.stack.past_nodes import PastNode, Trouble
from tests.stack.past_slurm import PastSlurm

START, SEED, DAY = 1_796_000_000, 1, 86_400
# Each says something of the moments before, of which a first look has none.
OF_THE_PAST = ("_total", "_active_ratio", "_occupancy_ratio", "_seconds", "_spool_")
GPUS = 4


@pytest.fixture(scope="module")
def factory() -> LiveFactory:
    """As the living demonstration has it when it begins."""
    return LiveFactory(START, SEED)


def values(page: Page, names: tuple[str, ...] = tuple(BY_NAME)) -> dict[tuple[str, tuple[str, ...]], float]:
    """Everything on a page."""
    return {(name, key): value for name in names for key, value in page.series(name).items()}


def test_an_agent_goes_on_with_what_the_past_ends_with(factory: LiveFactory, tmp_path: Path) -> None:
    """Which job holds and computes on which GPU, and what they read now; the same families."""
    node = factory.busy_nodes(START, 1)[0]
    holdings = factory.past(START, [node], START - 29 * DAY)
    past = PastNode(holdings, GPUS, "1/0")
    for at in range(START - 3_600, START + 1, 300):
        last = past.page(at)
    prolog.keep(tmp_path, [it for it in factory.holdings(START, [node]) if it.node == node])
    options = Options(simulated=GPUS, simulated_seed="1/0", jobs_directory=tmp_path)
    living = Node(options, lambda: float(START), lambda _: None, listens=False).page()

    ended, begun = ({k: v for k, v in values(it).items() if not any(x in k[0] for x in OF_THE_PAST)}
                    for it in (last, living))  # fmt: skip
    told = {key for key in ended if key[0] == "opsd_node_collector_up"}  # the living one keeps no spool here
    expected, found = ({key: it[key] for key in it if key not in told} for it in (begun, ended))
    assert expected == found
    assert len(expected) > 150
    assert last.series("opsd_gpu_job_info")


def test_slurm_goes_on_with_what_the_past_ends_with(factory: LiveFactory) -> None:
    """Every sample of the queue, nodes, shares; those that add up what was before aside."""
    past = PastSlurm(factory, START, SEED, START - DAY, lambda _span: {})
    for at in (START - DAY, START - 43_200, START):
        last = past.page(at, BY_NAME)
    seen = reader.read(SimulatedPresent(factory, lambda: float(START)), lambda: 0.0)
    living = slurm.page([Look("demo", START, seen)])

    expected = {key: value for key, value in values(living).items() if "source" not in key[0]}
    found = {key: value for key, value in values(last).items() if "source" not in key[0]}
    found = {key: value for key, value in found.items() if key[0] != "opsd_slurm_gpu_seconds_total"}
    assert len(expected) > 400
    assert expected == pytest.approx(found)
    assert DAY * 256 == sum(last.series("opsd_slurm_gpu_seconds_total").values())


def test_targets_are_those_of_the_demonstration(tmp_path: Path) -> None:
    """So that no series is there twice where the past ends."""
    (tmp_path / "targets").mkdir()
    listed = [{"targets": ["127.0.0.1:8752"], "labels": {"cluster": "demo", "node": "acc01"}}]
    (tmp_path / "targets" / "nodes.json").write_text(json.dumps(listed))

    expected = {"job": "opsd-node", "instance": "127.0.0.1:8752", "cluster": "demo", "node": "acc01"}
    assert [expected] == Demonstration(tmp_path, START).targets("nodes", "opsd-node")


def test_a_lost_gpu_has_no_readings() -> None:
    """For an hour; then it is well again."""
    past = PastNode([], GPUS, "1/0", [Trouble("lost", 0, 2, START, START + 3_600)])
    before, lost, after = (past.page(at) for at in (START - 300, START + 300, START + 3_600))

    assert [4, 3, 4] == [len(it.series("opsd_gpu_utilization_ratio")) for it in (before, lost, after)]
    assert [0, 1, 0] == [sum(it.series("opsd_gpu_lost").values()) for it in (before, lost, after)]
    assert {"79"} == {xid for _, _, xid in lost.series("opsd_gpu_xid_errors_total")}


def test_figures_move_between_two_days() -> None:
    """Amounts evenly; what is no amount stays until the next day."""
    first, last, labels = Page(), Page(), dict.fromkeys(BY_NAME["opsd_award_left_seconds"].labels, "x")
    for page, left, since in ((first, 100, 7), (last, 50, 9)):
        page.add("opsd_award_left_seconds", left, **labels)
        page.add("opsd_award_over_quota_since_timestamp_seconds", since, **labels)
    made = between((first, last), (0, DAY), DAY // 2)

    assert [75] == list(made.series("opsd_award_left_seconds").values())
    assert [7] == list(made.series("opsd_award_over_quota_since_timestamp_seconds").values())


def test_the_accounting_could_once_not_be_read() -> None:
    """Four days ago; then the step fails, and the books stand still."""
    past = PastSteps(START)
    silent, heard = (past.page(START - 4 * DAY - ago, BY_NAME) for ago in (5 * 3_600 - 600, 0))

    assert [0, 1] == [it.series("opsd_step_success")[("ingest",)] for it in (silent, heard)]
    behind = silent.series("opsd_ingest_covered_timestamp_seconds")[("demo",)]
    assert 600 <= silent.series("opsd_page_timestamp_seconds")[()] - behind < 700


@pytest.mark.prometheus
@pytest.mark.slow
def test_recorded_values_are_what_the_rules_say(tmp_path: Path) -> None:
    """A real Prometheus has every series of the past, and its rules compute what is recorded there."""
    for program in ("promtool", "prometheus"):
        programs.require(program)
    begin, end = START - START % 300, START - START % 300 + 3_600
    turn = begin + 1_800  # one job follows another on the same GPUs
    held = [
        Holding("acc01", 7, "ehpc201", "ana", (0, 1), begin, turn),
        Holding("acc01", 8, "etur14", "eda", (0, 1), turn),
    ]
    past, made = PastNode(held, GPUS, "1/0"), Blocks(tmp_path / "tsdb")
    target = {"job": "opsd-node", "instance": "127.0.0.1:8752", "cluster": "demo", "node": "acc01"}
    for at in range(begin, end, 60):
        made.add_page(past.page(at), target, at)
    made.close()
    spans = [(begin, end, 60)]
    count = past_rules.record(tmp_path / "tsdb", spans, lambda _: None, [it.name for it in RECORDED])

    at = end - 300
    with past_rules.server(tmp_path / "tsdb", lookback=59) as url:
        found, expected = {}, {}
        for rule in RECORDED:
            for name, into in ((rule.name, found), (rule.expr, expected)):
                for one in past_rules.ask(url, "query", query=name, time=at)["result"]:
                    labels = {it: text for it, text in one["metric"].items() if it != "__name__"}
                    into[rule.name + shown(dict(sorted(labels.items())))] = float(one["value"][1])
        both = "max_over_time(sum(opsd:gpus_held:sum)[1h:5m])"
        most = past_rules.ask(url, "query", query=both, time=at)["result"]
        ups = past_rules.ask(url, "query", query="count(opsd_gpu_up)", time=at)["result"]
    assert "4" == ups[0]["value"][1]
    assert "2" == most[0]["value"][1]
    assert count > len(found) > 20
    assert expected == found
