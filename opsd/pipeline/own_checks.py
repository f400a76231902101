"""What opsd checks of itself: its database, what its daemon did, what waits for a person.

Invariant: the database is opened, locked for an instant and let go again; nothing is written.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from opsd.core.attribution import UNATTRIBUTED
from opsd.core.errors import StoreError
from opsd.core.period import DAY, HOUR, Window, isoformat
from opsd.pipeline import status, usage
from opsd.pipeline.doctor import ERROR, OK, WARNING, Check, Finding, Group, Patient, hours
from opsd.store import facts, imports, migrate, quality, sweeps
from opsd.store.engine import Store

DAYS = 30
_MIB = 1 << 20
_DISK_ERROR, _DISK_WARNING = 200 * _MIB, 2_048 * _MIB
_NAMED = 6


def schema(patient: Patient) -> Finding:
    """Whether the tables are those of this program."""
    if patient.store is None:
        return Finding(OK, f"{patient.address}: not there yet", "made by the first command that needs it")
    at, mine = migrate.revision(patient.store), migrate.known()[-1]
    if at == mine:
        return Finding(OK, f"{patient.address}: schema {at}")
    shown = f"{patient.address}: schema {at or 'none yet'}, this opsd has {mine}"
    newer = at is not None and at > mine
    meaning = "a newer opsd made it" if newer else "no command can read it until it is upgraded"
    return Finding(ERROR, shown, meaning, "install that opsd" if newer else "opsd db upgrade")


def writable(patient: Patient) -> Finding:
    """Whether it can be written."""
    store = _ready(patient)
    with store.note():
        return Finding(OK, "can be locked for writing")


def disk(patient: Patient) -> Finding:
    """Whether it has room to grow."""
    store = _ready(patient)
    if not store.is_sqlite:
        return Finding(OK, "PostgreSQL: its server looks after its disk")
    folder = Path(str(store.engine.url.database)).absolute().parent
    free = shutil.disk_usage(folder).free
    shown = f"{free // _MIB:,} MiB free in {folder}"
    if free >= _DISK_WARNING:
        return Finding(OK, shown)
    meaning = "a full disk stops ingest; nothing is lost, Slurm keeps its records"
    return Finding(
        ERROR if free < _DISK_ERROR else WARNING, shown, meaning, "make room, or move the database"
    )


def clock(patient: Patient) -> Finding:
    """Whether the clock here has gone back."""
    store = _ready(patient)
    with store.read() as connection:
        last = quality.last_reading(connection)
    if last is None or last.observed_at <= patient.now:
        return Finding(OK, f"{isoformat(patient.now)}, later than all that was read")
    shown = f"{isoformat(patient.now)}, but something was read at {isoformat(last.observed_at)}"
    meaning = "the clock here has gone back: of two versions of a run the wrong one may count"
    return Finding(ERROR, shown, meaning, "timedatectl status; let chronyd keep the clock")


def steps(patient: Patient) -> Finding:
    """Whether the daemon's steps succeed."""
    store = _ready(patient)
    found = status.run(store, patient.expected, now=patient.now)
    bad = [line.name for line in found.lines if line.stale or line.failing]
    who = str(found.holder) if found.holder else "no daemon runs on this database"
    if not bad:
        return Finding(OK, f"every step in time; {who}")
    meaning = f"stale or failing: {', '.join(bad)}"
    return Finding(ERROR if found.holder else WARNING, who, meaning, "opsd status says more; opsd daemon")


def read(patient: Patient) -> Finding:
    """How far the accounting was read."""
    store = _ready(patient)
    with store.read() as connection:
        covered = sweeps.every(connection)
    if not covered:
        return Finding(WARNING, "Slurm was never read into this database", "no usage is known", "opsd ingest")
    late = [sweep for sweep in covered if patient.now - sweep.covered_until > DAY]
    shown = "; ".join(
        f"{sweep.cluster}: {isoformat(sweep.covered_until)}, {hours(patient.now - sweep.covered_until)} ago"
        for sweep in covered
    )
    if not late:
        return Finding(OK, shown)
    return Finding(WARNING, shown, "later use is not known yet", "opsd ingest")


def quarantine(patient: Patient) -> Finding:
    """Whether records could not be read."""
    store = _ready(patient)
    with store.read() as connection:
        waiting = imports.quarantine_count(connection)
    if not waiting:
        return Finding(OK, "no record waits")
    meaning = "these records could not be read and are not counted"
    return Finding(ERROR, f"{waiting:,} records", meaning, "opsd quarantine list, then opsd quarantine retry")


def stale(patient: Patient) -> Finding:
    """Whether the day facts are rebuilt."""
    store = _ready(patient)
    with store.read() as connection:
        dirty = facts.dirty_count(connection)
    if not dirty:
        return Finding(OK, "every day is up to date")
    meaning = "figures are right, but made from the runs, which takes longer"
    return Finding(OK, f"{dirty:,} account-days await a rebuild", meaning, "opsd db rebuild")


def unbound(patient: Patient) -> Finding:
    """Accounts whose use is nobody's."""
    store = _ready(patient)
    with store.read() as connection:
        window = Window(patient.now - DAYS * DAY, patient.now)
        rows = usage.run(connection, window, ("cluster", "account", "award")).rows
    found = sorted(
        ((row.measures, row.key) for row in rows if row.key[2] == UNATTRIBUTED),
        key=lambda pair: (-pair[0].gpu_seconds, -pair[0].cpu_seconds, pair[1]),
    )
    if not found:
        return Finding(OK, f"every account used in the last {DAYS} days is bound to an award")
    named = ", ".join(f"{key[0]}/{key[1]} ({_use(measures)})" for measures, key in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    cluster, account, _ = found[0][1]
    meaning = f"their use of the last {DAYS} days stands in reports as unattributed"
    mend = f"opsd account bind {cluster}/{account} AWARD --from T"
    return Finding(WARNING, f"{named}{more}", meaning, mend)


def _use(measures: usage.Measures) -> str:
    if measures.gpu_seconds:
        return f"{measures.gpu_seconds // HOUR:,} GPU-hours"
    return f"{measures.cpu_seconds // HOUR:,} CPU-hours"


def _ready(patient: Patient) -> Store:
    """The database; a check that needs its tables is not made without them."""
    if patient.store is None:
        raise StoreError("there is no database yet")
    if migrate.revision(patient.store) != migrate.known()[-1]:
        raise StoreError("the database is not one that this opsd can read: see schema")
    return patient.store


GROUPS = (
    Group("opsd's database", (
        Check("schema", schema), Check("writable", writable), Check("disk", disk), Check("clock", clock),
    )),
    Group("opsd's work", (
        Check("read up to", read), Check("daemon", steps), Check("quarantine", quarantine),
        Check("day facts", stale), Check("unbound accounts", unbound),
    )),
)  # fmt: skip
