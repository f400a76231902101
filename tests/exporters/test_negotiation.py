"""Which form a client gets: OpenMetrics and gzip only when it names them."""

from __future__ import annotations

import pytest

from exporters.negotiation import takes_gzip, takes_openmetrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("expected", "accept"),
    [
        (True, PROMETHEUS_2),
        (True, PROMETHEUS_3),
        (False, PROMETHEUS_3_TEXT_FIRST),
        (True, "application/openmetrics-text"),
        (True, 'Application/OpenMetrics-Text; Version="1.0.0"; charset=utf-8, text/plain'),
        (False, ""),
        (False, "*/*"),
        (False, "application/*"),
        (False, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        (False, "application/openmetrics-text;version=0.0.1,text/plain;q=0.5"),
        (False, "application/openmetrics-text;q=0"),
        (False, "application/openmetrics-text;q=0.4,text/*;q=0.5"),
        (True, "application/openmetrics-text;q=0.4,text/plain;q=0.3,*/*"),
        (False, "application/openmetrics-text;q=many"),
        (False, "application/openmetrics-text;q=nan"),
        (False, "application/openmetrics-text;q=2"),
        (False, ";;,=,q=1"),
    ],
)
def test_openmetrics_when_it_is_named_and_as_welcome_as_text(expected: bool, accept: str) -> None:
    """Prometheus of either generation gets it; a browser, curl and what cannot be read get plain text."""
    assert expected == takes_openmetrics(accept)


@pytest.mark.parametrize(
    ("expected", "encodings"),
    [
        (True, "gzip"),
        (True, "deflate, GZIP;q=0.5"),
        (True, "x-gzip"),
        (True, "*"),
        (False, ""),
        (False, "identity"),
        (False, "gzip;q=0, *"),
        (False, "gzip;q=0.000"),
        (False, "*;q=0"),
        (False, "notgzip"),
    ],
)
def test_gzip_when_it_is_welcome(expected: bool, encodings: str) -> None:
    """With quality 0 it is refused."""
    assert expected == takes_gzip(encodings)
