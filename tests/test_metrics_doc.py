"""docs/metrics.md lists every metric of the catalogue; `make golden` writes its tables anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

import promql_parser
import pytest

from exporters.catalogue import BY_NAME, METRICS, Metric

DOCUMENT = Path(__file__).parent.parent / "docs" / "metrics.md"
BEGIN, END = "<!-- tables: written by make golden -->\n", "<!-- end of tables -->"
PAGES = {"both": "On both pages", "node": "On a node's page", "daemon": "On the daemon's page"}


def row(metric: Metric) -> str:
    """One metric as a row."""
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def tables() -> str:
    """One table for each page."""
    parts = []
    for where, title in PAGES.items():
        rows = [row(metric) for metric in METRICS if metric.where == where]
        head = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
        parts.append("\n".join([f"### {title}", "", *head, *rows, ""]))
    return "\n" + "\n".join(parts) + "\n"


@pytest.mark.golden
def test_every_metric_is_documented() -> None:
    """Name, type, labels and meaning stand in the document as they stand in the catalogue."""
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    written, end, after = rest.partition(END)
    assert begin
    assert end
    if os.environ.get("OPSD_GOLDEN"):
        written = tables()
        DOCUMENT.write_text(before + begin + written + end + after, encoding="utf-8")

    assert tables() == written
    assert {metric.where for metric in METRICS} <= PAGES.keys()


def test_the_queries_shown_can_be_asked() -> None:
    """Each query of the document is PromQL, and names metrics and labels that exist."""
    (block,) = re.findall(r"```promql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    queries = [text.strip() for text in re.split(r"^#.*$", block, flags=re.MULTILINE) if text.strip()]

    assert 3 == len(queries)
    for query in queries:
        promql_parser.parse(query)
        assert [] == [name for name in re.findall(r"opsd_\w+", query) if name not in BY_NAME]
