"""Notices that could not be sent yet, as a metric of the daemon.

Invariant: where no mail is configured there is no page, and so no sample that says all is well.
"""

from __future__ import annotations

from exporters.page import Page


def page(waiting: int) -> Page:
    """How many letters are due and not sent."""
    made = Page()
    made.add("opsd_notices_waiting", waiting)
    return made
