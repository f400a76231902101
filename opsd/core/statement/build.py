"""From a dossier to a statement: every section that has something to say, in order.

Invariant: pure and total: the same dossier and scope give the same statement, whatever the language or
format it is then written in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from opsd.core.dossier import Dossier
from opsd.core.statement.sections import (
    adjustments,
    aid,
    capacity,
    caps,
    cover,
    energy,
    entitlement,
    forecast,
    funding,
    matrix,
    modes,
    organisations,
    privacy,
    projects,
    reconciliation,
    reproduce,
    units,
    unused,
)
from opsd.core.statement.table import Section
from opsd.core.statement.view import KNOWN, REPORTED, Part, View

__all__ = ["KNOWN", "REPORTED", "SECTIONS", "Made", "Statement", "build"]


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything a report says, in no format and no language yet."""

    dossier: Dossier
    scope: str  # `country:PT`; empty: the whole
    standing: str  # REPORTED or KNOWN
    parts: tuple[Part, ...]  # the use that its tables add up
    sections: tuple[Section, ...]

    def section(self, name: str) -> Section:
        """One section by its id."""
        return next(section for section in self.sections if section.id == name)


class Made(NamedTuple):
    """A row of SECTIONS: its id and what makes it; None where it has nothing to say of a view."""

    id: str
    make: Callable[[View], Section | None]


# One file and one row for each; the order is that of the statement.
SECTIONS: tuple[Made, ...] = (
    Made("cover", cover.section),
    Made("funding", funding.section),
    Made("capacity", capacity.section),
    Made("entitlement", entitlement.section),
    Made("organisations", organisations.section),
    Made("matrix", matrix.section),
    Made("modes", modes.section),
    Made("caps", caps.section),
    Made("projects", projects.section),
    Made("adjustments", adjustments.section),
    Made("forecast", forecast.section),
    Made("aid", aid.section),
    Made("energy", energy.section),
    Made("unused", unused.section),
    Made("reconciliation", reconciliation.section),
    Made("units", units.section),
    Made("privacy", privacy.section),
    Made("reproduce", reproduce.section),
)


def build(dossier: Dossier, scope: str = "", standing: str = KNOWN) -> Statement:
    """The statement of a dossier.

    Raises:
        WrongUsage: there is no such scope, or nothing of that name.
    """
    view = View(dossier, scope, standing)
    sections = (made.make(view) for made in SECTIONS)
    return Statement(dossier, scope, standing, view.parts, tuple(one for one in sections if one is not None))
