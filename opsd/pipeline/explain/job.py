"""A job explained: each of its runs, every version of each, and which of them counts.

Invariant: every content ever seen is shown, also of what does not count.
"""

from __future__ import annotations

from collections.abc import Iterable

from opsd.core.errors import WrongUsage
from opsd.core.explanation import EXACT, NUMBER, TIME, Column, Explanation, Table, Value, sentence
from opsd.core.gpu_use import seconds
from opsd.core.names import nearest
from opsd.pipeline.explain import runs
from opsd.store import gpu_use, read, trace
from opsd.store.engine import Connection
from opsd.store.gpu_use import Record
from opsd.store.trace import Traced

_COLUMNS = (
    Column("job"), Column("cluster"), Column("submit", TIME), Column("account"), Column("user"),
    Column("partition"), Column("qos"), Column("state"), Column("from", TIME), Column("to", TIME),
    Column("seconds", NUMBER), Column("suspended", NUMBER), Column("limit_seconds", NUMBER), Column("tres"),
    Column("nodes"), Column("reservation"), Column("versions", NUMBER), Column("notes"),
)  # fmt: skip
_MEASURED = (
    Column("cluster"), Column("node"), Column("device"), Column("parent"), Column("from", TIME),
    Column("to", TIME), Column("allocated_seconds", EXACT), Column("covered_seconds", EXACT),
    Column("process_seconds", EXACT), Column("idle_seconds", EXACT), Column("gpm_seconds", EXACT),
    Column("sm_active_seconds", EXACT), Column("tensor_active_seconds", EXACT),
    Column("energy_joules", EXACT), Column("memory_peak_bytes", NUMBER), Column("notes"),
)  # fmt: skip
_KEPT = "one job id may stand for several runs: each requeue and resize has a Submit of its own"


def run(connection: Connection, job: str, cluster: str | None = None) -> Explanation:
    """Explain every run of a job id."""
    number = _number(job)
    _check_cluster(connection, cluster)
    found = trace.of_job(connection, number, cluster)
    if not found:
        raise WrongUsage(f"job {number}: no run of it is stored{_near(connection)}")
    rows = tuple(_row(one) for one in found)
    tables = [Table("runs", "The runs that are counted", _COLUMNS, rows)]
    tables += runs.versions(found)
    tables += _measured(connection, number, sorted({one.record.cluster for one in found}))
    tables.append(runs.readings(connection, found))
    asked: dict[str, Value] = {"job": number, **({} if cluster is None else {"cluster": cluster})}
    facts = {"runs": _KEPT, **runs.oddities(found)}
    seconds = sum(_held(one) or 0 for one in found)
    return Explanation("run", asked, {"runs": len(found), "seconds": seconds}, tuple(tables), facts)


def _measured(connection: Connection, job: int, clusters: Iterable[str]) -> list[Table]:
    """What node agents saw of the job's devices, one row per record; no table where they saw nothing."""
    records = [(cluster, one) for cluster in clusters for one in gpu_use.of_job(connection, cluster, job)]
    if not records:
        return []
    rows = tuple(_record(cluster, one) for cluster, one in records)
    return [Table("measured", "What the node agents saw of its devices", _MEASURED, rows)]


def _record(cluster: str, one: Record) -> tuple[Value, ...]:
    did = one.measured
    notes = (
        "" if one.is_matched else "of no run that is stored",
        "energy estimated" if did.is_energy_estimated else "",
        "" if did.is_end_seen else "its end was not seen",
        *(f"XID {code}: {times}" for code, times in did.xids),
    )
    return (
        cluster, one.node, did.uuid, did.parent, did.started, did.ended, *map(seconds, (
            did.allocated_ms, did.covered_ms, did.process_ms, did.idle_ms, did.gpm_ms, did.sm_active_ms,
            did.tensor_active_ms, did.energy_mj,
        )), did.memory_peak_bytes, sentence(notes),
    )  # fmt: skip


def _number(job: str) -> int:
    if not job.isascii() or not job.isdigit() or len(job) > 18:
        raise WrongUsage(f"job {job!r}: write the number that Slurm gave it (JobIDRaw), such as 1234567")
    return int(job)


def _check_cluster(connection: Connection, cluster: str | None) -> None:
    known = sorted({name for name, _ in read.names(connection).accounts.values()})
    if cluster is not None and cluster not in known:
        raise WrongUsage(
            f"--cluster {cluster!r}: no such cluster here"
            + nearest(cluster, known, f"there are: {' '.join(known)}")
        )


def _near(connection: Connection) -> str:
    known = trace.job_range(connection)
    if known is None:
        return ": no run is stored in this database"
    return f": ids from {known[0]} to {known[1]} are known; opsd ingest --from T reads a span of Slurm again"


def _row(one: Traced) -> tuple[Value, ...]:
    record = one.record
    return (
        runs.label(one), record.cluster, record.submit, record.account, record.user, record.partition,
        record.qos, record.state, one.begin, one.finish if one.finish is not None else one.seen_open,
        _held(one), record.suspended, record.limit, record.tres, record.nodes,
        record.reservation_id and str(record.reservation_id), len(one.versions), runs.flags(one),
    )  # fmt: skip


def _held(one: Traced) -> int | None:
    """Seconds from when it counts to its end, or to when it was last seen open."""
    if one.begin is None:
        return None
    end = one.finish if one.finish is not None else one.seen_open
    return None if end is None else max(0, end - one.begin)
