"""What cases of alerts are made of: series as a page has them, and what is then told.

Invariant: values come one a minute; labels are those that Prometheus would have.
"""

from __future__ import annotations

from typing import NamedTuple

DAEMON = {"job": "opsd", "instance": "d:9750"}
NODE = {"job": "opsd-node", "instance": "n:9751", "cluster": "mn5", "node": "acc01"}
CLUSTER = {"cluster": "mn5"}
GPU = {"cluster": "mn5", "node": "acc01", "gpu": "2", "uuid": "GPU-9"}
TICKING = ("opsd_page_timestamp_seconds", "0+60x240")

Given = dict[str, str]  # series with labels -> values, one a minute


class Case(NamedTuple):
    """What Prometheus holds, at which minute one looks, and what is then told (nothing: empty)."""

    alert: str
    given: Given
    minute: int
    labels: dict[str, str] | None = None
    summary: str = ""


def of(name: str, *labels: dict[str, str]) -> str:
    """A series as PromQL writes it."""
    joined = {key: value for part in labels for key, value in part.items()}
    shown = ",".join(f'{key}="{value}"' for key, value in joined.items())
    return f"{name}{{{shown}}}"


def on_daemon(**values: str) -> Given:
    """Series of the daemon's page."""
    return {of(f"opsd_{name}", DAEMON): value for name, value in values.items()}
