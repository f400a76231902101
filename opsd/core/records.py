"""What collectors hand over: one Slurm run as read, before anyone decides what it means.

A `RunRecord` is a value, not a truth: many records may describe the same run at different times
(see `opsd.core.versions`). Times are UTC epoch seconds. `None` in an optional column means *the
source did not carry it*; an empty text means *carried, and empty*. That difference decides which
version of a run supplies a column, so a collector must never turn one into the other.
"""

from __future__ import annotations

from typing import NamedTuple

UNLIMITED = -1
PARTITION_LIMIT = -2
EARLIEST = 631_152_000  # 1990-01-01: Slurm is younger; anything before is a broken clock or column

# Base states of sacct, as printed without "by UID". A state outside this set that comes with a
# start and an allocation is counted and flagged, never dropped.
ENDED_STATES = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL",
        "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REQUEUED", "RESIZING", "REVOKED", "TIMEOUT",
    }
)  # fmt: skip
OPEN_STATES = frozenset(
    {
        "COMPLETING", "CONFIGURING", "EXPEDITING", "POWER_UP_NODE", "PENDING", "REQUEUE_FED",
        "REQUEUE_HOLD", "RESV_DEL_HOLD", "RUNNING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
        "SUSPENDED",
    }
)  # fmt: skip
KNOWN_STATES = ENDED_STATES | OPEN_STATES


class RunRecord(NamedTuple):
    """One allocation row of Slurm accounting, parsed.

    The key is (cluster, job_id, submit): a requeue or resize is a new submit, so another run.
    """

    cluster: str
    job_id: int  # JobIDRaw
    submit: int
    start: int | None  # None: never started ("None", "Unknown", 0)
    end: int | None  # None: not ended ("Unknown")
    state: str  # base state: "CANCELLED", never "CANCELLED by 1000"
    account: str
    tres: str  # canonical text of AllocTRES (core.tres.Tres.text); "" = no allocation
    user: str | None = None
    partition: str | None = None
    qos: str | None = None
    eligible: int | None = None
    elapsed: int | None = None  # seconds, net of suspension; drifts while the run is open
    suspended: int | None = None  # seconds; drifts while the run is open
    limit: int | None = None  # seconds, or UNLIMITED, or PARTITION_LIMIT
    nodes: str | None = None  # host list as Slurm compresses it
    label: str | None = None  # JobID as people see it: 123_4, 123+1
    reservation_id: int | None = None
    assoc_id: int | None = None
    db_index: int | None = None
    sluid: str | None = None
    flags: str | None = None  # Slurm's own flags: SchedMain,StartRecieved
    # When it was suspended, as "start-end,start-": epoch seconds in time order, an open one without end.
    # Only slurmdbd's own tables tell; "" says that it never was.
    suspensions: str | None = None
    hash: int = 0  # content_hash of the columns above, signed 64 bit

    @property
    def is_open(self) -> bool:
        """Whether the row has no end yet."""
        return self.end is None


# What a `NodeEvent` is about. A registration says what the cluster consists of from then on.
REGISTERED = "registered"
CONTROLLER_AWAY = "controller-away"
DOWN = "down"
DRAIN = "drain"
MAINT = "maint"
POWERED_DOWN = "powered-down"
EVENT_KINDS = (REGISTERED, CONTROLLER_AWAY, DOWN, DRAIN, MAINT, POWERED_DOWN)


class NodeEvent(NamedTuple):
    """A time in which a node could not be used, or a cluster was as it was."""

    cluster: str
    node: str  # "" for the two kinds that are about the whole cluster
    start: int
    end: int | None  # None: it goes on
    kind: str  # one of EVENT_KINDS
    state: str  # as Slurm says it: DOWN*, DRAIN+MAINT, …
    reason: str
    tres: str  # canonical text: what the node, or the cluster, has
    nodes: str = ""  # of a registration: its host list


class Reservation(NamedTuple):
    """One record of a reservation; changing one makes another record of the same id."""

    cluster: str
    id: int
    start: int
    end: int
    name: str
    nodes: str  # host list
    flags: str  # Slurm's names, sorted, joined by commas: IGNORE_JOBS,MAINT
    tres: str  # canonical text
    associations: tuple[int, ...] | None  # None: the source could not tell


class Association(NamedTuple):
    """A row of Slurm's tree: an account (no user), or a user in an account."""

    cluster: str
    id: int
    account: str
    user: str
    partition: str
    parent: str  # the account above; "" at the root. Of a user: its account
    deleted: bool


class PartitionLimit(NamedTuple):
    """The longest time a partition gives a job that asks for none, and what it is made of."""

    cluster: str
    partition: str
    seconds: int  # or UNLIMITED
    nodes: str = ""  # host list; "" where the source does not tell
    tres: str = ""  # canonical text: what its nodes have together
