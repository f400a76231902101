"""Pages: only what the catalogue lists, with its labels, in its order, up to its ceiling."""

from __future__ import annotations

import gzip

import pytest

from exporters.catalogue import BY_NAME, METRICS
from exporters.page import Page


def test_a_page_in_prometheus_text() -> None:
    """Families come in the catalogue's order with help and type; a counter keeps its name."""
    page = Page()
    page.add("opsd_gpu_energy_joules_total", 12.5, gpu="0", uuid="GPU-a")
    page.add("opsd_page_timestamp_seconds", 1)

    rendered = page.render()

    lines = rendered.plain.decode().splitlines()
    assert lines[:3] == [
        "# HELP opsd_page_timestamp_seconds When this page was rendered.",
        "# TYPE opsd_page_timestamp_seconds gauge",
        "opsd_page_timestamp_seconds 1.0",
    ]
    assert "# TYPE opsd_gpu_energy_joules_total counter" in lines
    assert 'opsd_gpu_energy_joules_total{gpu="0",uuid="GPU-a"} 12.5' == lines[-1]
    assert rendered.plain == gzip.decompress(rendered.gzipped)


def test_text_from_outside_stays_in_its_label() -> None:
    """Backslash, quote and newline cannot break out of a label value."""
    page = Page()
    page.add("opsd_gpu_job_info", 1, uuid="u", parent="", jobid="1", account='a"} 9\nopsd_x 1 \\', user="u")

    (sample,) = [line for line in page.render().plain.decode().splitlines() if line[0] != "#"]
    assert r'account="a\"} 9\nopsd_x 1 \\"' in sample


def test_unknown_names_and_labels_are_refused() -> None:
    """A misspelt name or label is a bug, found at once."""
    page = Page()
    with pytest.raises(KeyError):
        page.add("opsd_gpu_upp", 1)
    with pytest.raises(ValueError, match=r"opsd_gpu_up has the labels \('gpu', 'uuid'\)"):
        page.add("opsd_gpu_up", 1, gpu="0")


def test_the_same_series_again_replaces_it() -> None:
    """A series stands once on a page."""
    page = Page()
    page.add("opsd_gpu_up", 1, gpu="0", uuid="a")
    page.add("opsd_gpu_up", 0, gpu="0", uuid="a")

    assert {("0", "a"): 0} == page.series("opsd_gpu_up")


def test_past_its_ceiling_a_family_loses_series_and_says_so() -> None:
    """What is too much is dropped and counted; a series that is there may still change."""
    ceiling = BY_NAME["opsd_gpu_up"].ceiling
    page = Page()
    for number in range(ceiling + 3):
        page.add("opsd_gpu_up", 1, gpu=str(number), uuid="u")
    page.add("opsd_gpu_up", 0, gpu="0", uuid="u")

    text = page.render().plain.decode()
    assert ceiling == len(page.series("opsd_gpu_up"))
    assert 'opsd_series_dropped{family="opsd_gpu_up"} 3.0' in text
    assert 'opsd_gpu_up{gpu="0",uuid="u"} 0.0' in text


def test_pages_add_up() -> None:
    """Another page's samples and losses join this one's."""
    one, other = Page(), Page()
    one.add("opsd_gpu_up", 1, gpu="0", uuid="a")
    other.add("opsd_gpu_up", 0, gpu="1", uuid="b")
    for number in range(BY_NAME["opsd_gpu_hung"].ceiling + 1):
        other.add("opsd_gpu_hung", 1, gpu=str(number), uuid="u")
    one.update(other)

    assert {("0", "a"): 1, ("1", "b"): 0} == one.series("opsd_gpu_up")
    assert 'opsd_series_dropped{family="opsd_gpu_hung"} 1.0' in one.render().plain.decode()


def test_the_catalogue_is_sound() -> None:
    """Names are unique; counters, and they alone, end in _total; information ends in _info."""
    assert len(METRICS) == len(BY_NAME)
    assert [] == [m.name for m in METRICS if (m.kind == "counter") != m.name.endswith("_total")]
    assert [] == [m.name for m in METRICS if not m.name.startswith("opsd_") or m.ceiling < 1]
    assert [] == [m.name for m in METRICS if {"cluster", "node", "instance", "job"} & set(m.labels[:1])
                  and m.where == "node"]  # fmt: skip
