"""A site of a size: what its Slurm tells, its consortium, and a year of its runs in a database.

Invariant: the same size gives the same texts; all of them are as Slurm prints, for the real readers.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

from collectors.consortium.document import read as read_consortium
from collectors.simulated import nodes_text, queue_text, scheduler_text, shares_text
from collectors.simulated.live import Moment
from collectors.slurm.sacct import SacctReader
from opsd.core.period import DAY
from opsd.pipeline import consortium, ingest, rebuild
from opsd.store import migrate
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.benchmarks.generate import CLUSTER, COLUMNS, Year

GPUS = 4  # of a node
REASONS = ("Priority", "Resources", "QOSGrpGRES", "Dependency", "AssocGrpGRES", "JobHeldUser")
PARTITIONS = ("acc", "accdebug", "gpp")
COUNTRIES = ("ES", "PT", "TR", "RO", "FR", "DE", "IT", "NL", "GR", "FI")
POOLS = ("ju", "spain", "generalitat", "portugal", "turkiye", "romania")
NOTES = ("Not responding", "NVLink errors on GPU 2, ticket 4711", "memory exchange, RMA 2291")


class Size(NamedTuple):
    """How large a site is."""

    nodes: int
    queued: int
    projects: int
    runs: int

    @property
    def gpus(self) -> int:
        """All of its GPUs."""
        return self.nodes * GPUS


def node_names(size: Size) -> list[str]:
    """As Slurm calls them."""
    return [f"as{node // 72 + 1:02}r{node // 18 % 4 + 1}b{node % 18 + 1:02}" for node in range(size.nodes)]


def account(project: int) -> str:
    """Of a project, and of a user: each works on one."""
    return f"acct{project:03}"


class Slurm:
    """Answers as slurmctld would (`collectors.protocol.Present`)."""

    def __init__(self, size: Size, at: int) -> None:
        self._size = size
        self._at = at
        self._dice = Random(1)
        self._empty = Moment(at, at, [], [], [], {}, {}, [])

    def queue(self) -> str:
        """Who waits, and who fills nine nodes in ten."""
        running = range(self._size.nodes * 9 // 10)
        lines = [*map(self._waiting, range(self._size.queued)), *map(self._running, running)]
        return "".join(f"{line}\n" for line in (queue_text.HEADER, *lines))

    def nodes(self) -> str:
        """One in fifty takes no jobs."""
        return "".join(self._node(place, name) for place, name in enumerate(node_names(self._size)))

    def scheduler(self) -> str:
        """Statistics of a slurmctld without history."""
        return scheduler_text.statistics(self._empty)

    def shares(self) -> str:
        """Of every account."""
        part, every = 1 / self._size.projects, range(self._size.projects)
        lines = [f" {account(it)}||{part:.6f}|{part * 0.9:.6f}|1.111111\n" for it in every]
        return "".join([shares_text.HEADER, "root||0.000000|1.000000|\n", *lines])

    def reservations(self) -> str:
        """One, of nodes that are not here."""
        return nodes_text.reservations(self._empty)

    def licenses(self) -> str:
        """Nobody uses any."""
        return queue_text.licenses(self._empty)

    def _waiting(self, job: int) -> str:
        partition, nodes = self._dice.choice(PARTITIONS), self._dice.choice((1, 1, 2, 4, 16))
        submitted = self._at - self._dice.randrange(3 * DAY)
        asked = f"cpu={160 * nodes},mem={500_000 * nodes}M,node={nodes},billing={160 * nodes}"
        asked += "" if partition == "gpp" else f",gres/gpu={GPUS * nodes}"
        whose = self._dice.randrange(self._size.projects)
        return (
            f"{9_000_000 + job}|{partition}|{account(whose)}|u{whose:03}|normal|PENDING|{nodes}|{submitted}|"
            f"{submitted}|N/A|{asked}|{self._dice.choice(REASONS)}"
        )

    def _running(self, place: int) -> str:
        begun, whose = self._at - self._dice.randrange(DAY), self._dice.randrange(self._size.projects)
        held = f"cpu=160,mem=500000M,node=1,billing=160,gres/gpu={GPUS},gres/gpu:h100={GPUS}"
        return (
            f"{8_000_000 + place}|acc|{account(whose)}|u{whose:03}|normal|RUNNING|1|{begun - 600}|"
            f"{begun - 600}|{begun}|{held}|None"
        )

    def _node(self, place: int, name: str) -> str:
        used = 160 if place < self._size.nodes * 9 // 10 else 0
        state, why = "ALLOCATED" if used else "IDLE", ""
        if place % 50 == 49:
            state, why = f"{state}+DRAIN", f" Reason={NOTES[place // 50 % 3]} [root@{self._at - 7_200}]"
        tres = "cpu=160,mem=500000M,billing=160,gres/gpu=4,gres/gpu:h100=4"
        return (
            f"NodeName={name} Arch=x86_64 CPUAlloc={used} CPUEfctv=160 CPUTot=160 CPULoad=1.00 "
            f"Gres=gpu:h100:{GPUS}(S:0-1) GresDrain=N/A GresUsed=gpu:h100:{GPUS if used else 0}(IDX:0-3) "
            f"RealMemory=500000 AllocMem=0 FreeMem=400000 Sockets=2 Boards=1 State={state} ThreadsPerCore=2 "
            f"Partitions={'acc,accdebug' if place < 64 else 'acc'} CfgTRES={tres} "
            f"AllocTRES={tres if used else ''}{why}\n"
        )


def filled(folder: Path, size: Size, at: int) -> Store:
    """A database with the consortium and a year of runs up to now."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.ensure_current(store)
    held = read_consortium("".join(consortium_toml(size, at)), "scale.toml")
    consortium.apply(store, held, author="make scale", now=at)
    year = Year(rows=size.runs, seed=1, until=datetime.fromtimestamp(at - at % DAY, UTC))
    text = "".join(f"{line}\n" for line in ("|".join(COLUMNS), *(_own(it, size) for it in year.lines())))
    reader = SacctReader(io.BytesIO(text.encode()), name="scale", zone=UTC)
    ingest.run(store, reader, source="scale", observed_at=at, now=at)
    rebuild.run(store)
    return store


_ACCOUNT, _USER = COLUMNS.index("Account"), COLUMNS.index("User")


def _own(line: str, size: Size) -> str:
    """Each user in the account of a project of his own."""
    fields = line.split("|")
    fields[_ACCOUNT] = account(int(fields[_USER][1:]) % size.projects)
    return "|".join(fields)


def consortium_toml(size: Size, at: int) -> Iterator[str]:
    """An award for each project; pools and countries take turns."""
    start, end = (datetime.fromtimestamp(at - at % DAY + days * DAY, UTC).isoformat() for days in (-200, 165))
    yield f'[[cluster]]\nid = "{CLUSTER}"\n'
    yield '[[funder]]\nid = "state"\nname = "State"\nkind = "state"\ncountry = "ES"\n'
    yield '[[policy]]\nid = "gpu"\nrule = "gpu_hours"\n'
    yield from (f'[[pool]]\nid = "{pool}"\nfunder = "state"\n' for pool in POOLS)
    for place in range(size.projects // 5 + 1):
        country = COUNTRIES[place % len(COUNTRIES)]
        yield f'[[organisation]]\nid = "org-{place:03}"\nname = "O {place}"\ncountry = "{country}"\n'
    for place in range(size.projects):
        yield (
            f'[[project]]\nid = "P-{place:03}"\ntitle = "Project {place}"\n'
            f'organisation = "org-{place // 5:03}"\n'
            f'[[award]]\nid = "a-{place:03}"\nproject = "P-{place:03}"\n'
            f'pool = "{POOLS[place % len(POOLS)]}"\n'
            f'amount = {2_000 + 500 * (place % 40)}\nunit = "gpu-hours"\nstart = {start}\nend = {end}\n'
            f'policy = "gpu"\nreport_due = {end}\n'
            f'[[binding]]\ncluster = "{CLUSTER}"\naccount = "{account(place)}"\naward = "a-{place:03}"\n'
            f"from = {start}\n"
        )
