"""Reading what runs did with GPUs: sums of measured records, and what has none or belongs to no run.

Invariant: a record counts for the run it was matched with, and only once it is; nothing is decided here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, exists, func, not_, or_, select

from opsd.core.gpu_use import Use
from opsd.core.measured import Measured
from opsd.store import tables
from opsd.store.facts import dims, overlapping
from opsd.store.read import DIMENSIONS, Held, Key, Subset

_run, _shape, _spool, _word = tables.run, tables.shape, tables.spool, tables.word
_measured = tables.measured
_NAMED_IDS = 500


def _sums() -> tuple[ColumnElement[Any], ...]:
    """The measures of `Use`, in its order, of records joined with their runs."""
    m = _measured.c
    no_gpu = _run.c.shape_id.in_(select(_shape.c.id).where(_shape.c.gpu == 0))

    def of(told: ColumnElement[Any], time: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((told.is_not(None), time), else_=0)

    found = (
        m.allocated_ms, m.covered_ms, m.process_ms, of(m.process_ms, m.covered_ms), m.idle_ms,
        of(m.idle_ms, m.covered_ms), m.sm_active_ms, of(m.sm_active_ms, m.gpm_ms), m.tensor_active_ms,
        of(m.tensor_active_ms, m.gpm_ms), m.energy_mj, of(m.energy_mj, m.covered_ms),
        case((m.is_energy_estimated != 0, m.energy_mj), else_=0),
        case((no_gpu, m.allocated_ms), else_=0), case((no_gpu, m.covered_ms), else_=0),
    )  # fmt: skip
    return tuple(func.coalesce(func.sum(one), 0) for one in found)


def is_any(connection: Connection) -> bool:
    """Whether anything was ever measured."""
    return connection.execute(select(_measured.c.job_id).limit(1)).first() is not None


def _use(values: Iterable[Any]) -> Use:
    return Use(*map(int, values))  # PostgreSQL adds bigints up to a numeric


def within(
    connection: Connection, start: int, end: int, wanted: Sequence[str], beside: Subset, *, by_shape: bool
) -> Iterator[tuple[Key, int, Use]]:
    """Sums by (key, shape) over the ended runs that lie wholly in [start, end).

    Args:
        wanted: which of DIMENSIONS to tell apart.
        beside: accounts and users to leave out.
        by_shape: tell shapes apart, too; else shape 0.
    """
    named = [column for name, column in zip(DIMENSIONS, dims(), strict=False) if name in wanted]
    named += [_run.c.shape_id] if by_shape else []
    query = (
        select(*named, *_sums())
        .join_from(_run, _measured, _measured.c.run_id == _run.c.id)
        .where(_run.c.begin >= start, _run.c.begin < end, _run.c.finish <= end)
    )
    if beside.accounts:
        query = query.where(_run.c.account_id.not_in(beside.accounts))
    if beside.users:
        query = query.where(func.coalesce(_run.c.user_id, tables.EMPTY_WORD).not_in(beside.users))
    places = [place for place, name in enumerate(DIMENSIONS) if name in wanted]
    groups = [getattr(column, "element", column) for column in named]
    for row in connection.execute(query.group_by(*groups)):
        key = [0] * len(DIMENSIONS)
        for place, value in zip(places, row, strict=False):
            key[place] = value
        found = _use(row[len(named) :])
        if any(found):  # without groups there is a line even for none
            yield tuple(key), row[len(places)] if by_shape else 0, found


def of_runs(connection: Connection, ids: Iterable[int]) -> dict[int, Use]:
    """The sums of each of some runs that has a record."""
    named, found = sorted(set(ids)), {}
    for at in range(0, len(named), _NAMED_IDS):
        chosen = _measured.c.run_id.in_(named[at : at + _NAMED_IDS])
        joined = select(_measured.c.run_id, *_sums()).join_from(
            _measured, _run, _measured.c.run_id == _run.c.id
        )
        query = joined.where(chosen).group_by(_measured.c.run_id)
        for number, *values in connection.execute(query):
            found[int(number)] = _use(values)
    return found


# -- what does not fit -------------------------------------------------------------------------------------


class Silent(NamedTuple):
    """A run with GPUs of which no agent has told anything."""

    held: Held
    nodes: str
    cluster: int  # a word
    is_open: bool


def silent(connection: Connection, start: int, end: int) -> Iterator[Silent]:
    """The runs with GPUs and without a record that overlap [start, end); open ones until last seen."""
    has_gpus = _run.c.shape_id.in_(select(_shape.c.id).where(_shape.c.gpu > 0))
    lacking = and_(has_gpus, not_(exists().where(_measured.c.run_id == _run.c.id)))
    last = func.coalesce(_run.c.finish, _run.c.seen_open, _run.c.begin)
    columns = (
        _run.c.id, _run.c.begin, last.label("last"), *dims(), _run.c.nodes, _run.c.cluster_id,
        _run.c.finish.is_(None).label("is_open"), lacking.label("lacking"),
    )  # fmt: skip
    still = select(*columns).where(tables.STILL_OPEN, lacking, _run.c.begin < end, last > start)
    for query in (overlapping(columns, start, end), still):
        for number, begin, finish, *who, nodes, cluster, is_open, is_lacking in connection.execute(query):
            if is_lacking:
                held = Held(number, begin, max(begin, finish), 0, *who)
                yield Silent(held, nodes or "", cluster, bool(is_open))


class Told(NamedTuple):
    """What agents say that an ended run held of GPUs, beside what Slurm says."""

    cluster: str
    job_id: int
    submit: int
    begin: int
    finish: int
    gpus: int
    nodes: str
    devices: int
    allocated_ms: int


def differing(connection: Connection, start: int, end: int, percent: int, slack_ms: int) -> Iterator[Told]:
    """Ended runs in [start, end) with GPUs and records that hold more or less than Slurm says.

    Args:
        percent, slack_ms: what may be between them: so much of Slurm's, and so much for each GPU besides.
    """
    told, devices = func.sum(_measured.c.allocated_ms), func.count()
    length = _run.c.finish - _run.c.begin
    most = _shape.c.gpu * (10 * percent * length + slack_ms)
    off = told - 1000 * _shape.c.gpu * length
    who = (
        _run.c.id, _word.c.text, _run.c.job_id, _run.c.submit, _run.c.begin, _run.c.finish, _shape.c.gpu,
        _run.c.nodes,
    )  # fmt: skip
    query = (
        select(*who, devices, told)
        .join_from(_run, _measured, _measured.c.run_id == _run.c.id)
        .join(_shape, _shape.c.id == _run.c.shape_id)
        .join(_word, _word.c.id == _run.c.cluster_id)
        .where(_run.c.begin < end, _run.c.finish > start, _shape.c.gpu > 0)
        .group_by(*who)
        .having(or_(off > most, -off > most))
        .order_by(_word.c.text, _run.c.job_id, _run.c.submit)
    )
    for _, cluster, job, submit, begin, finish, gpus, nodes, count, sum_ms in connection.execute(query):
        yield Told(cluster, job, submit, begin, finish, gpus, nodes or "", count, int(sum_ms))


class Stray(NamedTuple):
    """A record that belongs to no run that is stored."""

    cluster: str
    node: str
    job_id: int
    started: int
    ended: int
    allocated_ms: int


def strays(connection: Connection, start: int, end: int) -> Iterator[Stray]:
    """Records without a run whose time meets [start, end)."""
    m = _measured.c
    query = select(m.cluster, m.node, m.job_id, m.started, m.ended, m.allocated_ms)
    for row in connection.execute(query.where(m.run_id.is_(None), m.started < end, m.ended >= start)):
        yield Stray(*row)


class Fetched(NamedTuple):
    """How it stands with the spool of a node."""

    cluster: str
    node: str  # as it is addressed
    at: int | None  # when it last answered
    failure: str


def fetched(connection: Connection) -> list[Fetched]:
    """Every spool that was ever asked for."""
    s = _spool.c
    query = select(s.cluster, s.node, s.fetched_at, s.failure).order_by(s.cluster, s.node)
    return [Fetched(*row) for row in connection.execute(query)]


class Met(NamedTuple):
    """XIDs that a job's records hold."""

    cluster: str
    node: str
    gpu: str  # the UUID of the GPU, also where the job held a slice of it
    user: str
    codes: tuple[int, ...]


def xids(connection: Connection, since: int) -> Iterator[Met]:
    """The records with XIDs that ended at an instant or later."""
    m = _measured.c
    query = select(m.cluster, m.node, m.uuid, m.parent, m.user, m.xids)
    for cluster, node, uuid, parent, user, text in connection.execute(
        query.where(m.ended >= since, m.xids.not_in(("", "[]")))
    ):
        yield Met(cluster, node, parent or uuid, user, tuple(code for code, _ in json.loads(text)))


class Record(NamedTuple):
    """A measured record, and the node whose agent it comes from."""

    node: str
    measured: Measured
    is_matched: bool


def of_job(connection: Connection, cluster: str, job_id: int) -> list[Record]:
    """Every record of a job id, by time and device."""
    m = _measured.c
    query = select(_measured).where(m.cluster == cluster, m.job_id == job_id)
    rows = connection.execute(query.order_by(m.started, m.node, m.uuid)).mappings()
    return [Record(row["node"], _measured_of(row), row["run_id"] is not None) for row in rows]


def _measured_of(row: RowMapping) -> Measured:
    found = {name: row[name] for name in Measured._fields}
    found["xids"] = tuple((code, times) for code, times in json.loads(row["xids"] or "[]"))
    for name in ("is_energy_estimated", "is_end_seen"):
        found[name] = bool(row[name])
    return Measured(**found)
