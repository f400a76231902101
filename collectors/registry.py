"""Where accounting comes from: one row per kind of source, loaded when it is asked for.

Invariant: adding a collector is a file of its own and a row here; nobody else names its module.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, cast

from collectors.protocol import AccountingSource, Machine


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
