"""Names in queries: the only way from the catalogue into PromQL.

Invariant: a metric or label that no page has cannot stand in a dashboard or an alert; asking for it raises.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from exporters.catalogue import BY_NAME

# Given to every series by Prometheus itself, or by the lists of targets.
TARGET_LABELS = ("job", "instance", "cluster", "node")
DAEMON, NODE = "opsd", "opsd-node"  # names of the scrape jobs
_MATCHER = re.compile(r'([a-zA-Z_]\w*)(?:=~|!~|!=|=)".*"')


class UnknownName(Exception):
    """A query names a metric or a label that no page has."""


def series(name: str, *matchers: str) -> str:
    """A metric of the catalogue with matchers, such as `gpu="0"`.

    Raises:
        UnknownName: the catalogue has no such metric, or the metric no such label.
    """
    if name not in BY_NAME:
        close = get_close_matches(name, BY_NAME, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UnknownName(f"exporters/catalogue.py has no metric {name}{hint}")
    allowed = (*BY_NAME[name].labels, *TARGET_LABELS)
    for matcher in matchers:
        found = _MATCHER.fullmatch(matcher)
        if not found or found[1] not in allowed:
            raise UnknownName(f"{name}: {matcher}: not a matcher of one of its labels {', '.join(allowed)}")
    return f"{name}{{{', '.join(matchers)}}}" if matchers else name


def up(*matchers: str) -> str:
    """Prometheus' own series: whether the last scrape of a target succeeded."""
    return f"up{{{', '.join(matchers)}}}"


def age(name: str, *matchers: str) -> str:
    """How old a moment on a page is, by the clock that made the page.

    Not `time() - x`: a clock that is wrong, or simulated, would make everything stale; that a page is
    made at all is watched by an alert of its own.
    """
    made = series("opsd_page_timestamp_seconds")
    return f"{made} - on (job, instance) group_right () {series(name, *matchers)}"
