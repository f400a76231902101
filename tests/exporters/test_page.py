"""Pages: only what the catalogue lists, with its labels, in its order, up to its ceiling."""

from __future__ import annotations

import gzip
import math
import subprocess
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporters.catalogue import BY_NAME, METRICS
from exporters.page import Page, Rendered, joined

VALUES = st.one_of(
    st.floats(), st.integers(-(2**63), 2**64).map(float), st.booleans(), st.just(1_795_000_000)
)


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


class Ready:
    """A page's samples, as prometheus-client takes them."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def collect(self) -> list[Metric]:
        """Families in the catalogue's order."""
        families: list[Metric] = []
        for metric in METRICS:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=metric.labels)
            for key, value in self.page.series(metric.name).items():
                family.add_metric(key, value)
            families += [family] if family.samples else []
        return families

    def describe(self) -> list[Metric]:
        """Nothing beforehand."""
        return []


def by_prometheus_client(page: Page, write: Callable[[CollectorRegistry], bytes]) -> bytes:
    """The page in the words of prometheus-client."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Ready(page))
    return write(registry)


@st.composite
def pages(draw: st.DrawFn) -> Page:
    """A few families with any label values and numbers."""
    page = Page()
    for metric in draw(st.lists(st.sampled_from(METRICS), min_size=1, max_size=4)):
        for _ in range(draw(st.integers(1, 3))):
            page.add(
                metric.name, draw(VALUES), **{label: draw(st.text(max_size=8)) for label in metric.labels}
            )
    return page


@given(pages())
def test_the_text_is_that_of_prometheus_client(page: Page) -> None:
    """To the byte, in both formats, whatever stands in a label and whatever the number."""
    rendered = page.render()

    assert by_prometheus_client(page, generate_latest) == rendered.plain
    assert by_prometheus_client(page, generate_openmetrics) == rendered.openmetrics
    assert rendered.openmetrics == gzip.decompress(rendered.openmetrics_gzipped)


def whole_page(where: tuple[str, ...] = ("node", "daemon", "both")) -> Page:
    """A series of every family there is, numbered."""
    page = Page()
    for number, metric in enumerate(METRICS):
        if metric.where not in where:
            continue
        page.add(metric.name, number, **{label: f'{label} "\\\n' for label in metric.labels})
    return page


def test_every_metric_is_good_openmetrics() -> None:
    """A strict reader finds all families: a counter loses its ending there, its series do not."""
    parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families
    families = list(parse(whole_page().render().openmetrics.decode()))

    read = {sample.name: sample.value for family in families for sample in family.samples}
    assert {metric.name: float(number) for number, metric in enumerate(METRICS)} == read
    assert {m.name.removesuffix("_total") for m in METRICS} == {family.name for family in families}
    assert {m.kind for m in METRICS} == {family.type for family in families}


@pytest.mark.prometheus
def test_promtool_has_nothing_to_say(promtool: str) -> None:
    """Names, types and help of everything an agent may show are as Prometheus wants them."""
    text = whole_page(("node", "both")).render().plain
    checked = subprocess.run([promtool, "check", "metrics"], input=text, check=False, capture_output=True)
    assert (0, b"", b"") == (checked.returncode, checked.stdout, checked.stderr)


@pytest.mark.parametrize(("value", "expected"), [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")])
def test_numbers_without_an_end(value: float, expected: str) -> None:
    """They are written as Go reads them."""
    page = Page()
    page.add("opsd_page_timestamp_seconds", value)
    assert f"opsd_page_timestamp_seconds {expected}\n" in page.render().plain.decode()


def test_a_name_that_is_no_text_costs_itself_alone() -> None:
    """Half a character, as a broken file name gives, becomes a question mark; the page is there."""
    page = Page()
    page.add("opsd_series_dropped", 1, family="a\udcff")
    assert b'opsd_series_dropped{family="a?"} 1.0\n' in page.render().plain


def test_pages_on_end_are_one_page() -> None:
    """In all four forms; OpenMetrics ends once, at the end."""
    one, other = Page(), Page()
    one.add("opsd_page_timestamp_seconds", 1)
    other.add("opsd_gpu_energy_joules_total", 2, gpu="0", uuid="a")
    both = joined([one.render(), other.render()])
    one.update(other)

    expected = one.render()
    assert (expected.plain, expected.openmetrics) == (both.plain, both.openmetrics)
    assert expected.plain == gzip.decompress(both.gzipped)
    assert expected.openmetrics == gzip.decompress(both.openmetrics_gzipped)
    assert Rendered(b"ab", b"cd") == joined([Rendered(b"a", b"c"), Rendered(b"b", b"d")])
