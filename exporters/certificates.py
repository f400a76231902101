"""How opsd's usage stands beside Slurm's own report, as metrics.

Invariant: a cluster that was never compared has no sample; zero means that nothing was left unexplained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporters.page import Page


class Standing(NamedTuple):
    """The certificate that says how a cluster stands."""

    cluster: str
    made_at: int
    end: int
    unexplained_cells: int
    unknowable_cells: int
    seconds: Mapping[str, tuple[int, int]]  # by TRES: unexplained, and what Slurm reports in all


def add(page: Page, found: Iterable[Standing]) -> None:
    """Put certificates on a page."""
    for one in found:
        where = {"cluster": one.cluster}
        page.add("opsd_certificate_made_timestamp_seconds", one.made_at, **where)
        page.add("opsd_certificate_end_timestamp_seconds", one.end, **where)
        page.add("opsd_certificate_unexplained_cells", one.unexplained_cells, **where)
        page.add("opsd_certificate_unknowable_cells", one.unknowable_cells, **where)
        for tres, (unexplained, reported) in one.seconds.items():
            page.add("opsd_certificate_unexplained_seconds", unexplained, **where, tres=tres)
            page.add("opsd_certificate_reported_seconds", reported, **where, tres=tres)
