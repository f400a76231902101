"""How opsd's usage stands beside Slurm's own report, as metrics.

Invariant: a cluster that was never compared has no sample; zero means that nothing was left unexplained. Of
one that was not compared for two days only when it was, and up to when, is told: what was then is not now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporters.page import Page

OLD_SECONDS = 172_800  # two nights; from then on OpsdCertificateOld speaks


class Standing(NamedTuple):
    """The certificate that says how a cluster stands."""

    cluster: str
    made_at: int
    end: int
    unexplained_cells: int
    unknowable_cells: int
    seconds: Mapping[str, tuple[int, int]]  # by TRES: unexplained, and what Slurm reports in all
    hours_not_added_up: int | None  # of its window, by slurmdbd; None: nobody knows


def add(page: Page, found: Iterable[Standing], as_of: int) -> None:
    """Put certificates on a page of an instant."""
    for one in found:
        where = {"cluster": one.cluster}
        page.add("opsd_certificate_made_timestamp_seconds", one.made_at, **where)
        page.add("opsd_certificate_end_timestamp_seconds", one.end, **where)
        if as_of - one.made_at > OLD_SECONDS:
            continue
        page.add("opsd_certificate_unexplained_cells", one.unexplained_cells, **where)
        page.add("opsd_certificate_unknowable_cells", one.unknowable_cells, **where)
        if one.hours_not_added_up is not None:
            page.add("opsd_certificate_hours_not_added_up", one.hours_not_added_up, **where)
        for tres, (unexplained, reported) in one.seconds.items():
            page.add("opsd_certificate_unexplained_seconds", unexplained, **where, tres=tres)
            page.add("opsd_certificate_reported_seconds", reported, **where, tres=tres)
