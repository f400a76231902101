"""Names in queries: only what the catalogue has gets in, and the tests' own eye for it sees."""

from __future__ import annotations

import pytest

from dashboards.promql import UnknownName, accounting_age, age, series
from tests.dashboards import queries


def test_a_metric_of_the_catalogue() -> None:
    """Its name, with matchers of its own labels or of a target's."""
    assert "opsd_gpu_up" == series("opsd_gpu_up")
    assert 'opsd_gpu_up{gpu="0", node=~"acc.*"}' == series("opsd_gpu_up", 'gpu="0"', 'node=~"acc.*"')


def test_a_metric_that_no_page_has() -> None:
    """The build ends there, and says which name comes near."""
    with pytest.raises(UnknownName, match=r"has no metric opsd_gpu_upp; did you mean opsd_gpu_up\?"):
        series("opsd_gpu_upp")


@pytest.mark.parametrize("matcher", ['xid="79"', "gpu=0", "gpu", 'gpu="0", xid="79" or'])
def test_a_label_that_the_metric_has_not(matcher: str) -> None:
    """A matcher on a foreign label would silently match nothing."""
    with pytest.raises(UnknownName, match="not a matcher of one of its labels"):
        series("opsd_gpu_up", matcher)


def test_an_age_is_taken_by_the_pages_clock() -> None:
    """A wrong clock of the server that asks makes nothing stale."""
    expected = (
        "opsd_page_timestamp_seconds - on (job, instance) group_right () "
        "opsd_step_last_success_timestamp_seconds"
    )

    assert expected == age("opsd_step_last_success_timestamp_seconds")


def test_an_age_of_the_accounting_is_taken_by_its_clock() -> None:
    """One that a demonstration set to another year makes nothing stale."""
    expected = (
        "opsd_balances_as_of_timestamp_seconds - on (job, instance) group_right () "
        "opsd_ingest_covered_timestamp_seconds"
    )

    assert expected == accounting_age("opsd_ingest_covered_timestamp_seconds")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("sum by (node) (opsd_gpu_up)", []),
        ("sum by (nodes) (opsd_gpu_up)", ["nodes"]),
        ('rate(opsd_gpu_xid_errors_total{gpux="0"}[5m])', ["opsd_gpu_xid_errors_total.gpux"]),
        ("opsd_gpu_up * on (uid) group_left (jobid) opsd_gpu_job_info", ["uid"]),
        ("max_over_time(opsd_gpux[6h])", ["opsd_gpux"]),
        ("-(1 - no_such_metric)", ["no_such_metric"]),
    ],
)
def test_the_tests_see_foreign_names(expression: str, expected: list[str]) -> None:
    """What checks dashboards and rules finds a wrong name wherever it stands."""
    assert expected == queries.foreign(expression)
