"""The accounting tables: runs with their versions, day facts, dirty cells, quarantine, imports.

These are plain Core tables because they are only ever touched in bulk; master data (who pays, who
leads) are sqlmodel classes in `opsd.store.master`, on the same `METADATA`. Keeping them apart lets
`opsd usage` answer without importing sqlmodel and pydantic (0.35 s of a one-second budget).

Invariants: times are UTC epoch seconds; every measure is a whole number in a 64-bit column;
`day_fact` can be deleted and rebuilt from `run` at any time.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared INTEGER.
AutoId = BigInteger().with_variant(Integer, "sqlite")

# Texts that repeat by the million (users, partitions, QOS, states, clusters), each stored once.
# Word 0 is the empty text, so that a missing user or partition is empty, never NULL, in a fact's key.
EMPTY_WORD = 0
word = Table(
    "word",
    METADATA,
    Column("id", AutoId, primary_key=True),
    Column("text", Text, nullable=False, unique=True),
)

# A Slurm account belongs to one cluster: the same name elsewhere is another account.
account = Table(
    "account",
    METADATA,
    Column("id", AutoId, primary_key=True),
    Column("cluster_id", ForeignKey("word.id"), nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("cluster_id", "name"),
)

# AllocTRES with its GPU classes and node class: everything a second of a run can be multiplied by.
shape = Table(
    "shape",
    METADATA,
    Column("id", AutoId, primary_key=True),
    Column("tres", Text, nullable=False),
    Column("gpus", Text, nullable=False),
    Column("node_class", Text, nullable=False),
    Column("cpu", BigInteger, nullable=False),
    Column("node", BigInteger, nullable=False),
    Column("gpu", BigInteger, nullable=False),
    Column("mem_mb", BigInteger, nullable=False),
    Column("billing", BigInteger, nullable=False),
    UniqueConstraint("tres", "gpus", "node_class"),
)

# One reading of accounting text: where every run came from.
import_log = Table(
    "import_log",
    METADATA,
    Column("id", AutoId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("new", BigInteger, nullable=False, server_default="0"),
    Column("changed", BigInteger, nullable=False, server_default="0"),
    Column("unchanged", BigInteger, nullable=False, server_default="0"),
    Column("steps", BigInteger, nullable=False, server_default="0"),
    Column("quarantined", BigInteger, nullable=False, server_default="0"),
)

# The columns of a run as its source carried them. NULL: not carried.
_CARRIED = (
    ("start", BigInteger),
    ("end", BigInteger),
    ("eligible", BigInteger),
    ("elapsed", BigInteger),
    ("suspended", BigInteger),
    ("limit_seconds", BigInteger),
    ("nodes", Text),
    ("label", Text),
    ("reservation_id", BigInteger),
    ("assoc_id", BigInteger),
    ("db_index", BigInteger),
    ("sluid", Text),
    ("suspensions", Text),
)


def _carried() -> list[Column[object]]:
    return [Column(name, kind) for name, kind in _CARRIED]


# The current truth of each run: its winning version, with columns it lacks taken from the others.
run = Table(
    "run",
    METADATA,
    Column("id", AutoId, primary_key=True),
    Column("cluster_id", BigInteger, nullable=False),
    Column("job_id", BigInteger, nullable=False),
    Column("submit", BigInteger, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("user_id", BigInteger),
    Column("partition_id", BigInteger),
    Column("qos_id", BigInteger),
    Column("state_id", BigInteger, nullable=False),
    Column("slurm_flags_id", BigInteger),
    Column("shape_id", BigInteger, nullable=False),
    *_carried(),
    # What usage is counted from: NULL begin = holds nothing, NULL finish = still open.
    Column("begin", BigInteger),
    Column("finish", BigInteger),
    Column("seen_open", BigInteger),
    Column("flags", Integer, nullable=False),
    Column("hash", BigInteger, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("versions", SmallInteger, nullable=False),
    Column("import_id", BigInteger, nullable=False),
    UniqueConstraint("cluster_id", "job_id", "submit"),
)
Index("ix_run_account_id_begin", run.c.account_id, run.c.begin)
Index("ix_run_begin", run.c.begin)
# "Alive at T" is: begun in the day before T, or one of the few runs that this look would miss. So no
# index on `finish` is needed, and an import does not pay for one.
LONGER_THAN_A_DAY = text("finish - begin > 86400")
STILL_OPEN = text("finish IS NULL AND begin IS NOT NULL")
NEEDS_EYES = text("(flags & 225) <> 0")  # opsd.core.flags.NEEDS_EYES: what a person must hear about
SUSPENDED = text("suspended > 0")  # opsd.store.suspended: the few whose intervals slurmdbd may know
_PARTIAL = (
    Index("ix_run_long", run.c.begin, run.c.finish, sqlite_where=LONGER_THAN_A_DAY),
    Index("ix_run_open", run.c.begin, sqlite_where=STILL_OPEN),
    Index("ix_run_needs_eyes", run.c.flags, sqlite_where=NEEDS_EYES),
    Index("ix_run_suspended", run.c.cluster_id, sqlite_where=SUSPENDED),
)


def partial_on_postgresql() -> None:
    """Make the partial indexes partial there too, for migrations.

    Not said above, because naming an option of PostgreSQL loads its dialect: a tenth of a second of
    every command.
    """
    for index in _PARTIAL:
        index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]


# Every content ever seen of a run that was seen with more than one.
run_version = Table(
    "run_version",
    METADATA,
    Column("run_id", BigInteger, primary_key=True),
    Column("hash", BigInteger, primary_key=True),
    Column("observed_at", BigInteger, nullable=False),
    Column("import_id", BigInteger, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("user_id", BigInteger),
    Column("partition_id", BigInteger),
    Column("qos_id", BigInteger),
    Column("state_id", BigInteger, nullable=False),
    Column("slurm_flags_id", BigInteger),
    Column("tres", Text, nullable=False),
    *_carried(),
    sqlite_with_rowid=False,
)

# Usage of ended runs by UTC day: the one derived table. Its key is the order in which it is asked:
# grouping by a head of it needs no sort, one account's days of a month lie together, and rebuilding
# some days touches the pages of their month only.
day_fact = Table(
    "day_fact",
    METADATA,
    Column("month", Integer, primary_key=True),  # opsd.core.period.month_number of the day
    Column("account_id", BigInteger, primary_key=True),
    Column("user_id", BigInteger, primary_key=True),
    Column("state_id", BigInteger, primary_key=True),
    Column("partition_id", BigInteger, primary_key=True),
    Column("qos_id", BigInteger, primary_key=True),
    Column("shape_id", BigInteger, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("run_seconds", BigInteger, nullable=False),
    Column("suspended_seconds", BigInteger, nullable=False),
    Column("starts", BigInteger, nullable=False),
    # Seconds times the shape's counts, which most questions ask for: a table of them is read twice as
    # fast as one that must look up each shape.
    Column("cpu_seconds", BigInteger, nullable=False),
    Column("node_seconds", BigInteger, nullable=False),
    Column("gpu_seconds", BigInteger, nullable=False),
    Column("mem_mb_seconds", BigInteger, nullable=False),
    Column("billing_seconds", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# (account, UTC day) cells whose facts may be stale: reads take these from the runs.
dirty_cell = Table(
    "dirty_cell",
    METADATA,
    Column("day", Integer, primary_key=True),
    Column("account_id", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

# Records that could not be read, with their bytes, until someone has seen to them.
quarantine = Table(
    "quarantine",
    METADATA,
    Column("id", AutoId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("layout", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    UniqueConstraint("source", "position", "digest"),
)

# What the daemon's steps did last: one row per step, written by whoever ran it, daemon or command line.
step = Table(
    "step",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),  # NULL: running, or its process died
    Column("succeeded_at", BigInteger),
    Column("duration_ms", BigInteger),
    Column("result", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("next_at", BigInteger),
)

# How far each cluster's accounting has been read.
sweep = Table(
    "sweep",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("covered_until", BigInteger, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    # Rows of slurmdbd's that changed before this were read again, however old; none: its tables are not read.
    Column("modified_until", BigInteger),
    Column(
        "notes", Text, nullable=False, server_default=text("''")
    ),  # what its source cannot tell, a line each
    # Jobs open here, joined by commas: unknown to slurmctld, and no longer in the accounting.
    Column("suspected", Text, nullable=False, server_default=text("''")),
    Column("gone", Text, nullable=False, server_default=text("''")),
)

# What a cluster consisted of, and when nodes could not be used (opsd.core.records.NodeEvent).
node_event = Table(
    "node_event",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("end", BigInteger),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("tres", Text, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
)

# opsd.core.records.Reservation; its associations joined by commas, NULL where nobody could tell.
reservation = Table(
    "reservation",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True),
    Column("end", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("flags", Text, nullable=False),
    Column("tres", Text, nullable=False),
    Column("associations", Text),
    Column("observed_at", BigInteger, nullable=False),
)

# opsd.core.records.PartitionLimit, in force from when it was first seen so.
partition_limit = Table(
    "partition_limit",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("partition", Text, primary_key=True),
    Column("since", BigInteger, primary_key=True),
    Column("seconds", BigInteger, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("tres", Text, nullable=False),
)

# opsd's usage beside what Slurm itself reports: the last certificate of each window.
certificate = Table(
    "certificate",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("end", BigInteger, primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("cells", BigInteger, nullable=False),
    Column("unexplained_cells", BigInteger, nullable=False),
    Column("figures", Text, nullable=False),  # what the daemon's page shows of it, as JSON
    Column("document", LargeBinary, nullable=False),  # as `opsd reconcile --format json` prints it; deflated
)

# What runs really did with GPUs (opsd.core.measured.Measured), by the agent that saw it. `cluster` is the
# stable name; `run_id` the run that it was matched with, NULL until that run is known.
measured = Table(
    "measured",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("uuid", Text, primary_key=True),
    Column("started", BigInteger, primary_key=True, autoincrement=False),
    Column("node", Text, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("parent", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("sluid", Text, nullable=False),
    Column("allocated_ms", BigInteger, nullable=False),
    Column("covered_ms", BigInteger, nullable=False),
    Column("process_ms", BigInteger),
    Column("idle_ms", BigInteger),
    Column("gpm_ms", BigInteger, nullable=False),
    Column("sm_active_ms", BigInteger),
    Column("tensor_active_ms", BigInteger),
    Column("energy_mj", BigInteger),
    Column("is_energy_estimated", SmallInteger, nullable=False),
    Column("memory_peak_bytes", BigInteger),
    Column("xids", Text, nullable=False),  # as JSON: [[code, times], ...]
    Column("is_end_seen", SmallInteger, nullable=False),
    Column("fetched_at", BigInteger, nullable=False),
    Column("run_id", BigInteger),
)
Index("ix_measured_run_id", measured.c.run_id)
Index("ix_measured_ended", measured.c.ended)

# How far each agent's spool was fetched. Another `spool` is another file: its numbers begin anew.
spool = Table(
    "spool",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("node", Text, primary_key=True),  # NODE:PORT
    Column("spool", Text, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("fetched_at", BigInteger),  # the last time that it answered
    Column("failure", Text, nullable=False, server_default=text("''")),  # why it did not, since
)

# GPU-seconds of each cluster by what its GPUs were doing: counters that only rise, also over restarts.
gpu_seconds = Table(
    "gpu_seconds",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("gpu_class", Text, primary_key=True),
    Column("state", Text, primary_key=True),  # opsd.core.present.GPU_STATES, or unseen
    Column("seconds", BigInteger, nullable=False),
)

# The last look that `gpu_seconds` were counted up to, and what was seen then.
gpu_seen = Table(
    "gpu_seen",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("counts", Text, nullable=False),  # as JSON: [[class, state, GPUs], ...]
)

# Notices to people: each is sent once to each of them.
notice = Table(
    "notice",
    METADATA,
    Column("award", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # threshold, over, grace, ending, report
    Column("mark", Text, primary_key=True),  # what makes it news again: 80, or the end it speaks of
    Column("recipient", Text, primary_key=True),  # a mail address; empty: it is told to nobody
    Column("due_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),  # NULL: not yet
    Column("next_at", BigInteger),  # when it is tried next; NULL: never, it was sent, refused or withdrawn
    Column("message_id", Text, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("error", Text, nullable=False, server_default=text("''")),
)

# What was reported: closed months and restatements, each frozen as canonical text (opsd.core.dossier).
# Triggers of migration 0006 refuse every change of these tables' rows.
edition = Table(
    "edition",
    METADATA,
    Column("id", AutoId, primary_key=True),
    Column("period", Text, nullable=False),
    Column("number", Integer, nullable=False),  # 1: the close; later ones restate and change no book
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("zone", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("journal_id", BigInteger, nullable=False),  # the entry `close` that vouches for it
    Column("records", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),  # of the digests of all its records, runs and files, in order
    Column("digests", Text, nullable=False),  # of facts, master, configuration, program: canonical JSON
    UniqueConstraint("period", "number"),
)

edition_record = Table(
    "edition_record",
    METADATA,
    Column("edition_id", BigInteger, ForeignKey("edition.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),  # header, line, balance, correction, …
    Column("text", Text, nullable=False),  # canonical JSON
    Column("sha256", Text, nullable=False),
)

# The runs behind the lines of a month, as they were counted: what later truth is compared with. An
# edition holds its own month's, and those of every earlier month that it corrects.
edition_runs = Table(
    "edition_runs",
    METADATA,
    Column("edition_id", BigInteger, ForeignKey("edition.id"), primary_key=True),
    Column("period", Text, primary_key=True),
    Column("runs", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),  # canonical text, deflated
    Column("sha256", Text, nullable=False),  # of the text
)

edition_file = Table(
    "edition_file",
    METADATA,
    Column("edition_id", BigInteger, ForeignKey("edition.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
)
