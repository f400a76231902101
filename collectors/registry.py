"""Where accounting comes from: one row per kind of source, loaded when it is asked for.

Invariant: adding a collector is a file of its own and a row here; nobody else names its module.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, cast

from collectors.protocol import AccountingSource, AccountingTables, Health, Machine


class Collector(NamedTuple):
    """One row: a class that answers as `AccountingSource`, and what it asks."""

    name: str
    module: str
    source: str
    what: str


COLLECTORS = (
    Collector("slurm", "collectors.slurm.live", "LiveSlurm", "Slurm, by sacct, sacctmgr and scontrol"),
)


def accounting(name: str, **settings: object) -> AccountingSource:
    """A source of accounting by its name, with the settings its class takes."""
    row = next(collector for collector in COLLECTORS if collector.name == name)
    make = cast("Callable[..., AccountingSource]", getattr(import_module(row.module), row.source))
    return make(**settings)


MACHINES = {"slurm": ("collectors.slurm.machine", "LiveMachine")}


def machine(name: str, *settings: object, **named: object) -> Machine:
    """What a cluster consists of, from a source by its name, with the settings its class takes."""
    module, source = MACHINES[name]
    make = cast("Callable[..., Machine]", getattr(import_module(module), source))
    return make(*settings, **named)


TABLES = {"slurm": ("collectors.slurm.accounting_tables", "AccountingTables")}


def tables(name: str, **settings: object) -> AccountingTables:
    """The accounting's own tables, from a source by its name, with the settings its class takes."""
    module, source = TABLES[name]
    make = cast("Callable[..., AccountingTables]", getattr(import_module(module), source))
    return make(**settings)


HEALTH = {"slurm": ("collectors.slurm.health", "LiveHealth")}


def health(name: str, **settings: object) -> Health:
    """What a check asks of a source by its name, with the settings it takes."""
    module, source = HEALTH[name]
    make = cast("Callable[..., Health]", getattr(import_module(module), source))
    return make(**settings)
