"""Who answers about a cluster: one row per kind of source, its classes loaded when they are asked for.

Invariant: adding a collector is a file of its own and a row here; nobody else names its module.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from collectors.protocol import AccountingSource, AccountingTables, Health, Machine, Present


class Collector(NamedTuple):
    """One row: where the classes are (module:class) that answer as the contracts of `collectors.protocol`."""

    name: str
    accounting: str  # AccountingSource
    machine: str  # Machine
    tables: str  # AccountingTables
    health: str  # Health
    present: str  # Present
    what: str  # it asks


COLLECTORS = (
    Collector(
        "slurm",
        "collectors.slurm.live:LiveSlurm",
        "collectors.slurm.machine:LiveMachine",
        "collectors.slurm.accounting_tables:AccountingTables",
        "collectors.slurm.health:LiveHealth",
        "collectors.slurm.live_present:LivePresent",
        "Slurm, by its own commands, and slurmdbd's database where a site grants it",
    ),
)
_BY_NAME = {collector.name: collector for collector in COLLECTORS}


def loaded(place: str) -> Callable[..., Any]:
    """The class at module:class."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def accounting(name: str, **settings: object) -> AccountingSource:
    """The accounting of a cluster, by the collector's name, with the settings its class takes."""
    made: AccountingSource = loaded(_BY_NAME[name].accounting)(**settings)
    return made


def machine(name: str, *settings: object, **named: object) -> Machine:
    """What a cluster consists of, in the same way."""
    made: Machine = loaded(_BY_NAME[name].machine)(*settings, **named)
    return made


def tables(name: str, **settings: object) -> AccountingTables:
    """The accounting's own tables, in the same way."""
    made: AccountingTables = loaded(_BY_NAME[name].tables)(**settings)
    return made


def health(name: str, **settings: object) -> Health:
    """What a check asks, in the same way."""
    made: Health = loaded(_BY_NAME[name].health)(**settings)
    return made


def present(name: str, **settings: object) -> Present:
    """What a cluster is doing now, in the same way."""
    made: Present = loaded(_BY_NAME[name].present)(**settings)
    return made
