"""Awards' units as GPU- or CPU-hours of the machines they can run on.

An award's classes of nodes are those it ran on in the period; of one that did not run, those that its pool's
agreements divide. One that ran elsewhere alone is worth nothing here, as GPU-hours are worth no CPU-hours.

Invariant: nothing is converted by guess: where the classes of nodes in question do not agree on one rate,
there is none.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from opsd.core.amounts import CORE_HOURS, GPU_HOURS, NODE_HOURS
from opsd.core.consortium import Consortium
from opsd.core.fields import in_force
from opsd.core.parties import UnitTable


def rate(
    held: Consortium,
    unit: str,
    resource: str,
    places: Collection[str],
    at: int,
    ran_on: Collection[str] = (),
) -> Fraction | None:
    """Resource-hours that one unit is worth on some classes of nodes (CLUSTER/CLASS); None: not known.

    GPU-hours are GPU-hours everywhere; node- and core-hours follow the unit tables in force.

    Args:
        places: the classes in question.
        ran_on: those that the award ran on, if it did.
    """
    if not set(ran_on) <= set(places) and set(ran_on) & set(places) and unit != GPU_HOURS:
        return None
    found = set(_rates(held, unit, resource, places, at, ran_on))
    return found.pop() if len(found) == 1 else None


def most(
    held: Consortium,
    unit: str,
    resource: str,
    places: Collection[str],
    at: int,
    ran_on: Collection[str] = (),
) -> Fraction | None:
    """The same where classes differ: what one unit can be worth at most."""
    found = _rates(held, unit, resource, places, at, ran_on)
    known = [rate for rate in found if rate is not None]
    return max(known) if known and len(known) == len(found) else None


def _rates(
    held: Consortium, unit: str, resource: str, places: Collection[str], at: int, ran_on: Collection[str]
) -> list[Fraction | None]:
    """That of each class that an award can run on."""
    if unit == GPU_HOURS:
        return [Fraction(resource == "gpu")]
    here = set(ran_on) & set(places) if ran_on else set(places)
    if ran_on and not here:
        return [Fraction(0)]
    tables = {
        f"{table.cluster}/{table.node_class}": table
        for table in held.unit_tables
        if in_force(table.valid_from, table.valid_until, at)
    }
    return [_rate(tables[place], unit, resource) if place in tables else None for place in sorted(here)]


def _rate(table: UnitTable, unit: str, resource: str) -> Fraction | None:
    node = table.gpu_hours if resource == "gpu" else table.cpu_hours
    if node is None:
        return None
    if unit == NODE_HOURS:
        return node
    if unit == CORE_HOURS and table.core_hours:
        return node / table.core_hours
    return None
