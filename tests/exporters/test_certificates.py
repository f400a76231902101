"""Certificates as metrics."""

from __future__ import annotations

from exporters import certificates
from exporters.certificates import Standing
from exporters.page import Page


def test_a_cluster_that_was_compared() -> None:
    """When, up to when, how many cells, and the seconds of each TRES."""
    page = Page()

    certificates.add(page, [Standing("mn5", 7_200, 3_600, 4, 3, {"cpu": (2, 112)}, 1)], 180_000)

    assert {("mn5",): 7_200} == page.series("opsd_certificate_made_timestamp_seconds")
    assert {("mn5",): 3_600} == page.series("opsd_certificate_end_timestamp_seconds")
    assert {("mn5",): 4} == page.series("opsd_certificate_unexplained_cells")
    assert {("mn5",): 3} == page.series("opsd_certificate_unknowable_cells")
    assert {("mn5",): 1} == page.series("opsd_certificate_hours_not_added_up")
    assert {("mn5", "cpu"): 2} == page.series("opsd_certificate_unexplained_seconds")
    assert {("mn5", "cpu"): 112} == page.series("opsd_certificate_reported_seconds")


def test_a_cluster_that_never_was() -> None:
    """No sample: zero would say that all is well."""
    page = Page()

    certificates.add(page, [], 180_000)

    assert {} == page.series("opsd_certificate_unexplained_cells")


def test_hours_that_nobody_knows_of_are_absent() -> None:
    """Zero says that slurmdbd has added up all; where it did not tell, there is no sample."""
    page, told = Page(), Standing("mn5", 7_200, 3_600, 0, 0, {}, 0)

    certificates.add(page, [told, told._replace(cluster="lumi", hours_not_added_up=None)], 180_000)

    assert {("mn5",): 0} == page.series("opsd_certificate_hours_not_added_up")


def test_what_was_two_days_ago_is_not_told_as_if_it_were_now() -> None:
    """After two nights without a comparison only its time is left, from which the alert is made."""
    page = Page()

    certificates.add(page, [Standing("mn5", 7_200, 3_600, 0, 0, {"cpu": (0, 112)}, 90)], 180_001)

    assert {("mn5",): 7_200} == page.series("opsd_certificate_made_timestamp_seconds")
    assert {} == page.series("opsd_certificate_unexplained_cells")
    assert {} == page.series("opsd_certificate_unknowable_cells")
    assert {} == page.series("opsd_certificate_hours_not_added_up")
    assert {} == page.series("opsd_certificate_unexplained_seconds")
    assert {} == page.series("opsd_certificate_reported_seconds")
