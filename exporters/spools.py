"""How fetching from agents stands, as metrics of the daemon.

Invariant: a cluster none of whose agents was asked has no sample.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporters.page import Page


def page(
    answered: Mapping[str, int],
    failed: Mapping[str, int],
    unmatched: Mapping[str, int],
    oldest: Mapping[str, int],
) -> Page:
    """A round: agents by cluster, records whose run is not known, and when who is away longest answered."""
    made = Page()
    for cluster in sorted(answered.keys() | failed.keys()):
        made.add("opsd_spool_nodes", answered.get(cluster, 0), cluster=cluster, state="answered")
        made.add("opsd_spool_nodes", failed.get(cluster, 0), cluster=cluster, state="failed")
    for cluster, count in sorted(unmatched.items()):
        made.add("opsd_measured_unmatched_records", count, cluster=cluster)
    for cluster, at in sorted(oldest.items()):
        made.add("opsd_spool_oldest_fetch_timestamp_seconds", at, cluster=cluster)
    return made
