"""Where things are in Grafana: uids of dashboards, and ids of the panels that alerts link to.

Invariant: none of them ever changes, because links, bookmarks and reviews point at them.
"""

from __future__ import annotations

from typing import NamedTuple

FOLDER = "opsd"
DATASOURCE = "opsd-prometheus"

FACTORY = "opsd-factory"
FLEET = "opsd-gpu-fleet"
NODE = "opsd-gpu-node"
JOB = "opsd-job"
SLURM = "opsd-slurm"
ALLOCATIONS = "opsd-allocations"
COUNTRIES = "opsd-countries"
WASTE = "opsd-waste"
ITSELF = "opsd-itself"


class Panel(NamedTuple):
    """A panel of a dashboard."""

    uid: str
    id: int


# Allocations
AWARDS = Panel(ALLOCATIONS, 20)  # the table of awards, the fullest first
UNATTRIBUTED = Panel(ALLOCATIONS, 21)  # used, but bound to no award
ENDING = Panel(ALLOCATIONS, 22)  # awards that end soon, reports that are due
FORECAST = Panel(ALLOCATIONS, 23)  # burn and exhaustion
# GPU fleet
GPUS = Panel(FLEET, 20)  # every GPU
XIDS = Panel(FLEET, 21)
ERRORS = Panel(FLEET, 22)  # ECC, remapped rows, recovery advice
THROTTLED = Panel(FLEET, 23)
LINKS = Panel(FLEET, 24)  # NVLink and PCIe
BLIND = Panel(FLEET, 25)  # released agents, MIG, missing GPUs
# Waste
HELD_IDLE = Panel(WASTE, 20)  # GPUs that are held and idle now
# Job
JOB_GPUS = Panel(JOB, 20)  # its GPUs beside each other
# Slurm queue and nodes
UNAVAILABLE = Panel(SLURM, 20)  # nodes that take no jobs, with reasons
SCHEDULER = Panel(SLURM, 21)
DBD_QUEUE = Panel(SLURM, 22)
# opsd itself
SCRAPES = Panel(ITSELF, 20)
STEPS = Panel(ITSELF, 21)
QUARANTINE = Panel(ITSELF, 22)
DROPPED = Panel(ITSELF, 23)
COLLECTORS = Panel(ITSELF, 24)
JOB_FILES = Panel(ITSELF, 25)
CERTIFICATE = Panel(ITSELF, 26)  # usage beside Slurm's own report
TELEMETRY = Panel(ITSELF, 27)  # what agents saw beside what Slurm allocated; spools
CAPACITY = Panel(ITSELF, 28)  # do the books balance
SOURCES = Panel(ITSELF, 29)  # which questions to Slurm fail
