"""What is measured at a size is that size, and asked as Grafana asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from collectors.slurm import present as reader
from dashboards.build import boards
from opsd.core import present_counts
from tests.benchmarks.scale_daemon import counted
from tests.benchmarks.scale_prometheus import _of_text, drawn, filled, step_of, unknown, variables
from tests.benchmarks.scale_site import Size, Slurm, consortium_toml, node_names

SIZE = Size(nodes=100, queued=300, projects=30, runs=0)
AT = 1_796_000_000


def test_a_slurm_of_that_size() -> None:
    """Read by the real readers: every job, node and GPU is there, and no source fails."""
    seen = reader.read(Slurm(SIZE, AT), lambda: 0.0)

    assert {} == dict(seen.failed)
    assert seen.queue is not None
    assert seen.nodes is not None
    jobs = present_counts.jobs(seen.queue)
    assert (300, 90) == tuple(
        sum(count for key, count in jobs.items() if key[2] == state) for state in ("pending", "running")
    )
    assert 400 == sum(present_counts.gpus(seen.nodes).values())
    assert 360 == present_counts.gpus(seen.nodes)["h100", "allocated"]
    assert {"drained", "draining"} & {node.state for node in seen.nodes}
    assert len({*node_names(SIZE)}) == len(seen.nodes)


def test_a_consortium_of_that_size() -> None:
    """An award and an account for each project."""
    text = "".join(consortium_toml(SIZE, AT))

    assert [30, 30, 30] == [text.count(f"[[{table}]]") for table in ("project", "award", "binding")]


def test_series_of_the_daemon_get_its_labels() -> None:
    """As Prometheus would give them, with honor_labels."""
    page = '# HELP a x\nopsd_slurm_nodes{cluster="c",state="idle"} 4.0\nopsd_quarantine_records 0.0\n'
    target = '{job="opsd",instance="opsd.example:9750"'

    expected = [
        (f"up{target}}}", 1.0),
        (f'opsd_slurm_nodes{target},cluster="c",state="idle"}}', 4.0),
        (f"opsd_quarantine_records{target}}}", 0.0),
    ]
    assert expected == list(_of_text(page))
    assert {"opsd_slurm_nodes": 1, "opsd_quarantine_records": 1} == counted(page)


@pytest.mark.parametrize(("seconds", "expected"), [(3_600, 15), (86_400, 75), (2_592_000, 2_580)])
def test_the_step_is_grafanas(seconds: int, expected: int) -> None:
    """A thousand points, on a grid of the scrape interval, and never finer than that."""
    assert expected == step_of(seconds)


def test_variables_are_put_in() -> None:
    """In each of Grafana's forms; what label_replace means is its own."""
    text = 'label_replace(x{node=~"$node", a="${cluster:regex}"}[$__rate_interval], "b", "$1", "c", "(.*)")'
    chosen = {"node": "n1", "cluster": ".*", "__rate_interval": "60s"}

    expected = 'label_replace(x{node=~"n1", a=".*"}[60s], "b", "$1", "c", "(.*)")'
    assert expected == filled(text, chosen)
    with pytest.raises(KeyError, match="pool"):
        filled('x{pool="$pool"}', chosen)


def test_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything where that can be, else one; values of a list are named one by one."""

    def ask(_url: str, path: str, **_query: object) -> list[str]:
        return {"label/cluster/values": ["demo"], "label/node/values": ["a.1", "b"]}[path]

    monkeypatch.setattr("tests.benchmarks.scale_prometheus.ask", ask)
    board: Mapping[str, Any] = {"templating": {"list": [
        {"type": "datasource", "name": "datasource"},
        {"type": "query", "name": "cluster", "query": {"query": "label_values(x, cluster)"},
         "includeAll": True, "allValue": ".*"},
        {"type": "query", "name": "node", "query": {"query": 'label_values(x{c=~"$cluster"}, node)'},
         "includeAll": True},
    ]}}  # fmt: skip

    assert {"cluster": ".*", "node": r"(a\\.1|b)"} == variables("http://x", board, AT)


def test_dashboards_ask_for_what_there_is() -> None:
    """And each name that is drawn has a length."""
    built = list(boards().values())

    assert set() == unknown(built)
    assert {86_400, 2_592_000} <= set(drawn(built).values())
