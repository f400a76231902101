"""What an ingest reads, whoever answers: a Slurm asked by its commands, or the demo's simulated one.

Invariant: a source hands over whole answers only. Anything less (no rights, a time-out, a complaint on
stderr, a cut answer) is raised, so that no reader can take half an answer for all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

from opsd.core.measured import Measured
from opsd.core.period import Window
from opsd.core.records import Association, NodeEvent, PartitionLimit, Reservation


@dataclass(frozen=True, slots=True)
class AccountingText:
    """One whole answer: what `sacct -a -D -X -P` prints, header first, its times as epoch seconds."""

    stream: BinaryIO  # at its start; whoever reads it closes it
    observed_at: int  # when the question was asked: nothing that happened later need be in it
    source: str  # where runs and bad records are traced back to


class AccountingSource(Protocol):
    """The accounting of one cluster."""

    def prove(self) -> str:
        """Make sure that answers will show everybody's runs; the name of the cluster they are about.

        Raises:
            Refused: the rights are missing, and what to do about it.
            Unavailable: Slurm could not be asked.
        """
        ...

    def changed(self, start: int, end: int) -> AccountingText:
        """Every run that was eligible before `end` and had not ended before `start`."""
        ...

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Every run of these jobs, whenever it was."""
        ...


@runtime_checkable
class Partial(Protocol):
    """A source that may lack columns that others have."""

    def lost(self) -> Sequence[str]:
        """Each column that it cannot give, with what opsd loses by it."""
        ...


@runtime_checkable
class Controller(Protocol):
    """Who decides whether a job still runs, whatever the accounting says."""

    def known_jobs(self) -> Collection[int]:
        """Every job that it knows now, ended ones of the last minutes included."""
        ...


@runtime_checkable
class Progress(Protocol):
    """A machine whose slurmdbd tells, without its tables, how far it has added up."""

    def rolled_until(self) -> int | None:
        """The end of the last hour that it has added up; None: it has not since it was started."""
        ...


class Reported(NamedTuple):
    """What Slurm's own report says one line used."""

    account: str
    user: str  # "" on an account's line, which includes the accounts below it
    tres: str
    seconds: int  # TRES-seconds


class Utilised(NamedTuple):
    """One line of Slurm's report on a whole cluster, in TRES-seconds."""

    tres: str
    allocated: int
    down: int
    planned_down: int
    idle: int
    planned: int
    reported: int


class Share(NamedTuple):
    """What Slurm's scheduler holds against an association: decayed, times the QOS's UsageFactor."""

    account: str
    user: str
    raw_usage: int  # billing-seconds
    limits: Mapping[str, int]  # GrpTRESMins by TRES, in minutes
    used: Mapping[str, int]  # the usage those limits are compared with, in minutes, where Slurm tells it


class Machine(Protocol):
    """What a cluster consists of, what could not be used when, and what Slurm itself reports of it."""

    def events(self, start: int, end: int) -> Sequence[NodeEvent]:
        """Every event that overlaps [start, end), registrations included."""
        ...

    def reservations(self, start: int, end: int) -> Sequence[Reservation]:
        """Every record of a reservation that overlaps [start, end), ended ones included."""
        ...

    def associations(self) -> Sequence[Association]:
        """The whole tree as it is now, with what was deleted from it."""
        ...

    def partitions(self) -> Sequence[PartitionLimit]:
        """The partitions as they are configured now."""
        ...

    def tracked(self) -> Sequence[str]:
        """The TRES that the accounting keeps."""
        ...

    def reported(self, start: int, end: int, tres: Sequence[str]) -> Sequence[Reported]:
        """`sreport cluster AccountUtilizationByUser` in seconds. Lines of one name are added up.

        Args:
            start, end: full hours of slurmdbd's clock (`hour_offset`).
        """
        ...

    def utilised(self, start: int, end: int, tres: Sequence[str]) -> Sequence[Utilised]:
        """`sreport cluster Utilization` in seconds. Slurm refuses the TRES node here."""
        ...

    def shares(self) -> Sequence[Share]:
        """`sshare`: what limits are enforced by. Never to be mixed with usage."""
        ...

    def hour_offset(self) -> int:
        """Seconds into a UTC hour at which slurmdbd's hours begin: 1800 where its clock is India's."""
        ...


class Clocks(NamedTuple):
    """slurmdbd's clock between two looks at ours."""

    before: int
    there: int
    after: int
    rolled_up: int | None  # when it last added up; None: not since it was started
    hour: int | None = None  # the end of the last hour it added up, where it says so


class NodeFacts(NamedTuple):
    """A node as slurmctld has it."""

    name: str
    gpus: int  # of its Gres
    counted_gpus: int  # of its TRES, which is what accounting sees
    partitions: tuple[str, ...]


class Qos(NamedTuple):
    """A quality of service, and what it multiplies usage by where limits are checked."""

    name: str
    usage_factor: str  # as Slurm prints it: 1.000000


class OpenRow(NamedTuple):
    """A row of the accounting that began and has no end."""

    job_id: int
    account: str
    user: str
    start: int


class Health(Protocol):
    """What a check asks of a Slurm; nothing of it changes anything."""

    def configuration(self) -> Mapping[str, str]:
        """What slurmctld runs with; "" for what is not set."""
        ...

    def clocks(self) -> Clocks:
        """slurmdbd's clock, and when it last added up."""
        ...

    def nodes(self) -> Sequence[NodeFacts]:
        """Every node."""
        ...

    def qos(self) -> Sequence[Qos]:
        """Every QOS."""
        ...

    def waiting(self) -> int:
        """Records on their way from slurmctld to slurmdbd."""
        ...

    def open_rows(self, at: int) -> Sequence[OpenRow]:
        """Rows of the accounting that began and have no end."""
        ...


@dataclass(frozen=True, slots=True)
class RolledHour:
    """An hour that slurmdbd has added up, and when it last did."""

    start: int
    rolled_at: int


@dataclass(frozen=True, slots=True)
class StaleUsage:
    """An hour's usage of an association that the last roll-up of that hour did not write anew."""

    association: int
    hour: int
    tres: str
    seconds: int
    written_at: int


@dataclass(frozen=True, slots=True)
class RollUp:
    """How far slurmdbd has added up, by its own marks."""

    hourly: int  # everything before is done
    daily: int
    monthly: int
    hours: Sequence[RolledHour] = field(default=())  # those asked for


@runtime_checkable
class Granted(Protocol):
    """Tables whose server says what it lets opsd do."""

    def rights(self) -> frozenset[str]:
        """The privileges, in the server's own words: SELECT is all that is needed."""
        ...


class AccountingTables(Protocol):
    """What only slurmdbd's own tables tell, read without changing anything; a site may not grant it."""

    def suspensions(self, db_indexes: Sequence[int]) -> Mapping[int, str]:
        """When runs were suspended, as `RunRecord.suspensions`, by DBIndex; without those that never were."""
        ...

    def modified(self, since: int, ended: Window) -> Sequence[int]:
        """Job ids of runs that ended in a window and whose row changed at or after an instant."""
        ...

    def modified_at(self, db_indexes: Sequence[int]) -> Mapping[int, int]:
        """When the rows of runs last changed, by DBIndex. A runaway job's fix does not count as a change."""
        ...

    def rolled_up(self, start: int, end: int) -> RollUp:
        """The marks, and the hours that begin in [start, end) and were added up."""
        ...

    def hour_offset(self) -> int | None:
        """As `Machine.hour_offset`; None: no association has any usage yet."""
        ...

    def stale_usage(self, start: int, end: int) -> Sequence[StaleUsage]:
        """Rows of hours in [start, end) that are older than their hour's last roll-up."""
        ...

    def events(self, start: int, end: int) -> Sequence[NodeEvent]:
        """As `Machine.events`."""
        ...

    def reservations(self, start: int, end: int) -> Sequence[Reservation]:
        """As `Machine.reservations`, with their associations."""
        ...


class Spooled(NamedTuple):
    """A part of an agent's spool."""

    spool: str  # which file: another one numbers its records anew
    cursor: int  # of the last record here; what `after` is next time
    records: Sequence[Measured]
    faults: Sequence[str]  # records that could not be read, in words
    more: bool  # whether there was more than one answer may hold


class Spool(Protocol):
    """Where an agent keeps what it measured, until it is told that it was fetched."""

    def fetch(self, spool: str, after: int) -> Spooled:
        """Records after a cursor; all of them if the agent's spool is another than this.

        Asking for what comes after a cursor tells the agent that everything up to it is safe.

        Raises:
            Unavailable: the agent does not answer, or not as it should.
        """
        ...


class Target(NamedTuple):
    """An agent; `cluster` and `node` are empty where its list does not name them."""

    address: str  # HOST:PORT
    cluster: str = ""
    node: str = ""  # as Slurm calls it

    @property
    def name(self) -> str:
        """NODE:PORT: by its node where that is known, however it is addressed."""
        host, _, port = self.address.rpartition(":")
        return f"{self.node or host}:{port}"


class Agents(Protocol):
    """All agents of a site."""

    def targets(self) -> Sequence[Target]:
        """Who is asked now.

        Raises:
            BadInput: the list cannot be used.
        """
        ...

    def spool(self, target: Target) -> Spool:
        """One agent's spool."""
        ...


class Present(Protocol):
    """What a cluster is doing now, in Slurm's own words, so that everything goes through the same parsers.

    Each is one cheap question to slurmctld, and raises Unavailable where no whole answer came.
    """

    def queue(self) -> str:
        """Every job that slurmctld knows: one squeue, as `collectors.slurm.commands.QUEUE` asks."""
        ...

    def nodes(self) -> str:
        """Every node: `scontrol --oneliner show node`."""
        ...

    def scheduler(self) -> str:
        """slurmctld's statistics: `sdiag`."""
        ...

    def shares(self) -> str:
        """Accounts' shares: one sshare, as `collectors.slurm.commands.ACCOUNT_SHARES` asks."""
        ...

    def reservations(self) -> str:
        """Every reservation: `scontrol --oneliner show reservation`."""
        ...

    def licenses(self) -> str:
        """Every licence: `scontrol --oneliner show license`."""
        ...
