"""What Prometheus keeps computed: exactly the labels of its row, in an order that works, and true."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.promql import UnknownName
from dashboards.recording import RECORDED, RECORDED_BY_NAME, recorded
from dashboards.rules import recording_rules
from exporters.catalogue import BY_NAME
from tests.dashboards.queries import foreign, named
from tests.stack.programs import require

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- recorded: written by make golden -->\n", "<!-- end of recorded -->"
Given = dict[str, str]  # series with labels -> values, one a minute
NODE = {"job": "opsd-node", "instance": "n:1", "cluster": "c", "node": "n"}
DAEMON = {"job": "opsd", "instance": "d:1"}
SHARED = {"cluster": "c", "gpu": "0", "uuid": "G1", "parent": "", "jobid": "7", "account": "a", "user": "u"}
# Readings that make every row say something: the GPU is held, hot, and does nothing.
VALUES = {"opsd_gpu_sm_active_ratio": 0, "opsd_gpu_job_processes": 0, "opsd_gpu_hung": 0, "opsd_gpu_lost": 0}
PICKED = {"reason": "hw_thermal_slowdown", "sensor": "gpu"}


def of(name: str, **labels: str) -> str:
    """A series as PromQL writes it."""
    shown = ",".join(f'{key}="{value}"' for key, value in labels.items() if value)
    return f"{name}{{{shown}}}"


def agent(name: str, **labels: str) -> str:
    """A series of an agent's page."""
    return of(name, **(NODE | labels))


def everything() -> Given:
    """One series of every metric that a row reads."""
    found = {}
    for name in sorted({it for row in RECORDED for it, _ in named(row.expr).metrics} & BY_NAME.keys()):
        metric = BY_NAME[name]
        target = NODE if metric.where == "node" else DAEMON
        labels = {it: PICKED.get(it, SHARED.get(it, f"some {it}")) for it in metric.labels}
        if name == "opsd_gpu_mig_sm_active_ratio":
            labels |= {"uuid": "MIG-1", "parent": "G9", "gpu": "1"}
        counts = "0+30x60" if metric.kind == "counter" else f"{VALUES.get(name, 1)}x60"
        found[of(name, **(target | labels))] = counts
    return found


def told(given: Given, minute: int, cases: list[tuple[str, dict[str, float]]], folder: Path) -> str:
    """What promtool has to object."""
    promtool = require("promtool")
    (folder / "rules.yml").write_text(recording_rules())
    asked: list[dict[str, Any]] = [
        {
            "expr": expr,
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
        }
        for expr, expected in cases
    ]
    series = [{"series": name, "values": values} for name, values in given.items()]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    (folder / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [test]}))
    command = [promtool, "test", "rules", "test.yml"]
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


@pytest.mark.golden
def test_every_row_is_documented() -> None:
    """Name, labels and meaning stand in docs/metrics.md; `make golden` writes them."""
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    written, end, after = rest.partition(END)
    rows = [f"| `{it.name}` | {', '.join(f'`{one}`' for one in it.labels)} | {it.help} |" for it in RECORDED]
    expected = "\n".join(["", "| series | labels | meaning |", "| --- | --- | --- |", *rows, "", ""])
    assert begin
    assert end
    if os.environ.get("OPSD_GOLDEN"):
        written = expected
        DOCUMENT.write_text(before + begin + written + end + after, encoding="utf-8")

    assert expected == written


def test_names_are_of_one_form() -> None:
    """`opsd:<level>_<what>:<operation>`, each once, with words; Grafana's variables are nobody's here."""
    names = [row.name for row in RECORDED]

    assert len(set(names)) == len(names) > 40
    assert [] == [it for it in names if not re.fullmatch(r"opsd:[a-z]+_[a-z0-9_]+:[a-z0-9]+", it)]
    assert [] == [row.name for row in RECORDED if len(row.help) < 10 or "$" in named_only(row.expr)]


def named_only(expression: str) -> str:
    """Without the group of label_replace, which looks like a variable."""
    return expression.replace('"$1"', "")


def test_a_row_uses_pages_and_rows_above_it() -> None:
    """Prometheus evaluates them in this order."""
    above: set[str] = set()
    for row in RECORDED:
        unknown = {it for it, _ in named(row.expr).metrics} - BY_NAME.keys() - above

        assert set() == unknown, row.name
        assert [] == foreign(row.expr), row.name
        above.add(row.name)


@pytest.mark.prometheus
def test_a_row_has_exactly_its_labels(tmp_path: Path) -> None:
    """By Prometheus' own evaluation: none is missing or empty, and there is no other."""
    cases: list[tuple[str, dict[str, float]]] = []
    for row in RECORDED:
        cases.append((f"group without ({', '.join(row.labels)}) ({row.name})", {"{}": 1.0}))
        cases += [(f'group({row.name}{{{label}=""}})', {}) for label in row.labels]

    assert "" == told(everything(), 45, cases, tmp_path)


def test_one_group_at_its_own_pace() -> None:
    """The rule file is the table."""
    (group,) = yaml.safe_load(recording_rules())["groups"]

    assert ("opsd-recorded", "1m") == (group["name"], group["interval"])
    assert [(it.name, it.expr) for it in RECORDED] == [(it["record"], it["expr"]) for it in group["rules"]]


def test_a_recorded_series_is_asked_for_by_its_labels() -> None:
    """A wrong name or label ends the build."""
    assert 'opsd:node_gpus:count{node="n"}' == recorded("opsd:node_gpus:count", 'node="n"')
    with pytest.raises(UnknownName, match="did you mean opsd:node_gpus:count"):
        recorded("opsd:node_gpus:counts")
    with pytest.raises(UnknownName, match="not a matcher of one of its labels cluster, node"):
        recorded("opsd:node_gpus:count", 'gpu="0"')
    assert len(RECORDED) == len(RECORDED_BY_NAME)


ACCOUNT = {of("opsd_account_info", **DAEMON, cluster="c", account="a", award="w", project="P",
              organisation="o", country="PT", pool="p"): "1x90"}  # fmt: skip


def held(uuid: str, job: str, since: int = 0, parent: str = "") -> Given:
    """A job that holds a GPU or MIG device from a minute on."""
    labels = {"uuid": uuid, "parent": parent, "jobid": job, "account": "a", "user": "u"}
    return {agent("opsd_gpu_job_info", **labels): f"_x{since} 1x90" if since else "1x90"}


def active(uuid: str, values: str, parent: str = "", name: str = "sm_active") -> Given:
    """The activity of a GPU or MIG device."""
    mig = {"parent": parent} if parent else {}
    return {agent(f"opsd_gpu_{'mig_' if parent else ''}{name}_ratio", gpu="0", uuid=uuid, **mig): values}


IDLE = "sum by (uuid, jobid) (opsd:gpu_idle:share)"


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("given", "minute", "expected"),
    [
        (held("G1", "7") | active("G1", "0x90"), 40, {'{uuid="G1", jobid="7"}': 1.0}),
        (held("G1", "7") | active("G1", "0x90", name="utilization"), 40, {'{uuid="G1", jobid="7"}': 1.0}),
        (held("G1", "7") | active("G1", "0.02x90"), 40, {}),
        (held("G1", "7") | active("G1", "0x30 0.5x1 0x90"), 45, {}),  # one minute of work is 1.6 %
        (held("G1", "7", since=20) | active("G1", "0x90"), 45, {}),  # it has just begun
        (held("G1", "7"), 40, {}),  # whether it works cannot be told
        (held("G1", "7") | active("G1", "0x90", name="utilization") | active("G1", "0.9x90"), 40, {}),
        (
            held("M1", "7", parent="G2") | held("M2", "7", parent="G2") | held("M3", "8", parent="G2")
            | active("M1", "0x90", "G2") | active("M2", "0.9x90", "G2") | active("M3", "0x90", "G2"),
            40,
            {'{uuid="G2", jobid="7"}': 1 / 3, '{uuid="G2", jobid="8"}': 1 / 3},
        ),
    ],
    ids=["idle", "without-gpm", "works-a-little", "worked", "young", "blind", "gpm-counts", "mig"],
)  # fmt: skip
def test_what_is_held_and_idle(given: Given, minute: int, expected: dict[str, float], tmp_path: Path) -> None:
    """Under 1 % of the SMs on average over half an hour, of a job that has held it for so long."""
    total = sum(expected.values())
    seen = {"{}": total} if any("ratio" in name for name in given) else {}

    assert "" == told(
        given | ACCOUNT, minute,
        [(IDLE, expected), ('sum(opsd:project_gpus_idle:sum{project="P"})', seen)], tmp_path,
    )  # fmt: skip


@pytest.mark.prometheus
def test_a_daemon_that_is_away_unbinds_nobody(tmp_path: Path) -> None:
    """For an hour its last word stands; an account that it no longer tells of while others are is unbound."""
    gone = dict.fromkeys(ACCOUNT, "1x40 stale _x90")
    other = {name.replace('account="a"', 'account="b"'): "1x90" for name in ACCOUNT}
    project = "sum by (project) (opsd:gpu_held:share)"
    for given, expected in ((gone, "P"), (gone | other, "unattributed")):
        shown = {f'{{project="{expected}"}}': 1.0}

        assert "" == told(held("G1", "7") | given, 70, [(project, shown)], tmp_path)


@pytest.mark.prometheus
@pytest.mark.parametrize("values", ["0x44 stale _x60", "_x58 0x60"], ids=["hung", "just-seen"])
def test_minutes_do_not_speak_for_half_an_hour(values: str, tmp_path: Path) -> None:
    """A GPU that has hung for a quarter of an hour, or is seen since two minutes, is not told of as idle."""
    assert "" == told(held("G1", "7") | active("G1", values) | ACCOUNT, 60, [(IDLE, {})], tmp_path)


@pytest.mark.prometheus
def test_what_no_process_uses(tmp_path: Path) -> None:
    """For ten minutes; a job whose process comes and goes is not told of."""
    given: Given = {}
    for job, processes in (("1", "0x90"), ("2", "0x25 1x1 0x90"), ("3", "_x25 0x90")):
        given |= held(f"G{job}", job) | ACCOUNT
        given[agent("opsd_gpu_job_processes", uuid=f"G{job}", jobid=job)] = processes
    expected = {'{jobid="1"}': 1.0}

    assert "" == told(given, 30, [("sum by (jobid) (opsd:gpu_unused:share)", expected)], tmp_path)


@pytest.mark.prometheus
def test_nobody_is_zero_where_it_can_be_told(tmp_path: Path) -> None:
    """A node without jobs holds none; of an agent without job files nobody knows."""
    asked = of("opsd_gpu_job_unresolved", **NODE)
    blind = of("opsd_gpu_devices_visible", **(NODE | {"node": "m"}))
    expected = {'opsd:node_gpus_held:sum{cluster="c", node="n"}': 0.0}

    assert "" == told({asked: "0x60", blind: "4x60"}, 40, [("opsd:node_gpus_held:sum", expected)], tmp_path)


@pytest.mark.prometheus
def test_states_of_a_gpu(tmp_path: Path) -> None:
    """The worst is told: silent, hung, lost."""
    given, expected = {}, {}
    for uuid, (up, hung, lost), code in (
        ("A", (1, 0, 0), 0), ("B", (0, 0, 0), 1), ("C", (0, 1, 0), 2), ("D", (0, 0, 1), 3),
        ("E", (0, 1, 1), 3),
    ):  # fmt: skip
        for name, value in (("up", up), ("hung", hung), ("lost", lost)):
            given[agent(f"opsd_gpu_{name}", gpu="0", uuid=uuid)] = f"{value}x60"
        expected[of("opsd:gpu_state:code", cluster="c", node="n", gpu="0", uuid=uuid)] = float(code)

    sick = {'{cluster="c"}': 4.0}
    cases = [("opsd:gpu_state:code", expected), ("sum by (cluster) (opsd:cluster_gpus_sick:count)", sick)]
    assert "" == told(given, 40, cases, tmp_path)


@pytest.mark.prometheus
def test_what_two_daemons_publish_is_counted_once(tmp_path: Path) -> None:
    """A standby, or the one before a restart, does not double an award."""
    labels = {it: f"some {it}" for it in ("award", "project", "organisation", "country", "pool", "unit")}
    given = {}
    for instance in ("a:1", "b:1"):
        target = {"job": "opsd", "instance": instance}
        given[of("opsd_award_granted_seconds", **target, **labels)] = "100x60"
        given[of("opsd_award_left_seconds", **target, **labels)] = "30x60"

    assert "" == told(given, 40, [("sum(opsd:award_used:seconds)", {"{}": 70.0})], tmp_path)
