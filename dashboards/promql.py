"""Names in queries: the only way from the catalogue into PromQL.

Invariant: a metric or label that no page has cannot stand in a dashboard or an alert; asking for it raises.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    return checked(name, (*BY_NAME[name].labels, *TARGET_LABELS), matchers)


def checked(name: str, labels: Sequence[str], matchers: Sequence[str]) -> str:
    """A selector whose matchers name labels that the series has.

    Raises:
        UnknownName: one of them does not.
    """
    for matcher in matchers:
        found = _MATCHER.fullmatch(matcher)
        if not found or found[1] not in labels:
            raise UnknownName(f"{name}: {matcher}: not a matcher of one of its labels {', '.join(labels)}")
    return f"{name}{{{', '.join(matchers)}}}" if matchers else name


def up(*matchers: str) -> str:
    """Prometheus' own series: whether the last scrape of a target succeeded."""
    return f"up{{{', '.join(matchers)}}}"


def age(name: str, *matchers: str) -> str:
    """How old a moment on a page is, by the clock that made the page.

    Not `time() - x`: a clock that is wrong would make everything stale; that a page is made at all is
    watched by an alert of its own.
    """
    return _since(name, matchers, "opsd_page_timestamp_seconds")


def accounting_age(name: str, *matchers: str) -> str:
    """How old a moment of the accounting is, by the accounting's clock, which a demonstration may choose.

    It is absent where balances are: that they are made at all is watched as the age of their step.
    """
    return _since(name, matchers, "opsd_balances_as_of_timestamp_seconds")


def bridged(function: str, name: str) -> str:
    """The most or the least of the last quarter of an hour, for what must not end where series are absent.

    A daemon that starts anew, or a step that fails once, takes its samples off the page for minutes.
    """
    return f"{function}_over_time({series(name)}[15m])"


def _since(name: str, matchers: tuple[str, ...], clock: str) -> str:
    return f"{series(clock)} - on (job, instance) group_right () {series(name, *matchers)}"
