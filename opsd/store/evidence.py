"""The runs behind a certificate: those whose usage Slurm's report may count otherwise than opsd.

Invariant: a run that is left out here is counted alike by both, whatever slurmdbd's clock: it was eligible
when it began, has no suspension, no reservation, no second start, an end, and an association.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, exists, false, func, literal_column, or_, select

from opsd.core.flags import Flag
from opsd.core.period import DAY, Window
from opsd.core.plan import joined
from opsd.core.reconcile import Run
from opsd.core.rollup import Row, Spans
from opsd.core.tres import Tres
from opsd.core.usage import suspension
from opsd.store import tables
from opsd.store.intern import texts

_run, _version, _account, _shape = tables.run, tables.run_version, tables.account, tables.shape
_NAMED_IDS = 500
_READ = (
    "id", "job_id", "submit", "user_id", "start", "end", "eligible", "suspended", "suspensions",
    "reservation_id", "assoc_id", "db_index", "begin", "finish", "seen_open", "hash", "observed_at",
    "versions",
)  # fmt: skip
_tres = lru_cache(maxsize=4_096)(Tres.from_canonical)  # a month has many runs and few shapes


class Found(NamedTuple):
    """A run as stored; whoever asks finds out where its suspensions lie."""

    id: int
    run: Run
    suspensions: str | None


def runs(
    connection: Connection,
    cluster_word: str,
    window: Window,
    *,
    wholly: Sequence[tuple[int, int]],
    again: bool,
) -> list[Found]:
    """Runs of a cluster that Slurm may count otherwise in a window.

    Args:
        wholly: spans of which every run is wanted, since slurmdbd has not added them up for good.
        again: whether records came late, so that a run may have been seen open after its end.
    """
    words = texts(connection)
    cluster = next((number for number, text in words.items() if text == cluster_word), None)
    several = _run.c.versions > 1
    found = _chosen(
        connection, cluster, window, _near(window), _reaches(window.start),
        or_(_odd(), _in_spans(wholly), and_(several, _moved())),
    )  # fmt: skip
    if again:
        found |= _chosen(connection, cluster, window, several, _seen_open_later(window.start))
    rows = sorted(found.values(), key=lambda row: (row["job_id"], row["submit"]))
    before = _before(connection, [row for row in rows if row["versions"] > 1], words)
    others = _others(connection, cluster, [row for row in rows if _starts_early(row)])
    return [_found(row, words, before.get(row["id"], ()), others.get(row["id"], ())) for row in rows]


def _chosen(
    connection: Connection, cluster: int | None, window: Window, *conditions: ColumnElement[bool]
) -> dict[int, dict[str, Any]]:
    query = (
        select(*(_run.c[name] for name in _READ), _account.c.name.label("account"), _shape.c.tres)
        .join(_account, _account.c.id == _run.c.account_id)
        .join(_shape, _shape.c.id == _run.c.shape_id)
        .where(
            _run.c.cluster_id + literal_column("0") == cluster,  # hidden: its index would be walked
            _run.c.begin.is_not(None),
            func.coalesce(_run.c.start, _run.c.begin) < window.end, *conditions,
        )
    )  # fmt: skip
    return {row["id"]: dict(row) for row in connection.execute(query).mappings()}


def _near(window: Window) -> ColumnElement[bool]:
    """Each part by an index: runs of about the window's days, longer ones, open ones.

    A resized run that begins after the window may reach back into it, but not further than its hour.
    """
    return or_(
        and_(_run.c.begin > window.start - DAY, _run.c.begin < window.end + DAY),
        and_(tables.LONGER_THAN_A_DAY, _run.c.begin <= window.start - DAY),
        tables.STILL_OPEN,
    )


def _reaches(start: int) -> ColumnElement[bool]:
    return or_(_run.c.finish.is_(None), _run.c.finish > start)


def _odd() -> ColumnElement[bool]:
    return or_(
        _run.c.finish.is_(None),
        _run.c.suspended > 0,
        _run.c.flags.op("&")(int(Flag.START_BEFORE_SUBMIT)) != 0,
        _run.c.eligible == 0,
        _run.c.eligible > _run.c.begin,
        _run.c.reservation_id > 0,
        _run.c.assoc_id == 0,
    )


def _in_spans(spans: Iterable[tuple[int, int]]) -> ColumnElement[bool]:
    return or_(false(), *(and_(_run.c.begin < end, _reaches(start)) for start, end in spans))


def _moved() -> ColumnElement[bool]:
    """Whether it was ever seen under another account or user, or with another answer to "any association"."""
    return exists().where(
        _version.c.run_id == _run.c.id,
        _version.c.start.is_not(None),
        or_(
            _version.c.account_id != _run.c.account_id,
            _version.c.user_id != _run.c.user_id,
            and_(_version.c.assoc_id == 0, _run.c.assoc_id != 0),
            and_(_version.c.assoc_id != 0, _run.c.assoc_id == 0),
        ),
    )


def _seen_open_later(start: int) -> ColumnElement[bool]:
    """Whether it was seen open after what is now its end, and inside the window."""
    return exists().where(
        _version.c.run_id == _run.c.id,
        _version.c.end.is_(None),
        _version.c.start.is_not(None),
        _version.c.observed_at > _run.c.finish,
        _version.c.observed_at > start,
    )


def _before(
    connection: Connection, rows: Sequence[dict[str, Any]], words: dict[int, str]
) -> dict[int, tuple[Row, ...]]:
    """The superseded rows of runs, in the order in which they were last seen."""
    by_id = {row["id"]: row for row in rows}
    found: dict[int, list[Row]] = {}
    ids = sorted(by_id)
    for at in range(0, len(ids), _NAMED_IDS):
        query = (
            select(_version, _account.c.name.label("account"))
            .join(_account, _account.c.id == _version.c.account_id)
            .where(_version.c.run_id.in_(ids[at : at + _NAMED_IDS]))
            .order_by(_version.c.observed_at)
        )
        for stored in connection.execute(query).mappings():
            now = by_id[stored["run_id"]]
            if stored["hash"] != now["hash"]:
                found.setdefault(stored["run_id"], []).append(_row(dict(stored), words, beside=now))
    return {number: tuple(several) for number, several in found.items()}


def _starts_early(row: dict[str, Any]) -> bool:
    return row["start"] is not None and row["start"] < row["begin"]


def _others(connection: Connection, cluster: int | None, rows: Sequence[dict[str, Any]]) -> dict[int, Spans]:
    """When earlier rows of the same job ran before a row that says it started before it was submitted."""
    jobs = sorted({row["job_id"] for row in rows})
    held: dict[int, list[tuple[int, int, int]]] = {}
    for at in range(0, len(jobs), _NAMED_IDS):
        finish = func.coalesce(_run.c.finish, _run.c.seen_open, _run.c.begin)
        query = select(_run.c.job_id, _run.c.submit, _run.c.begin, finish).where(
            _run.c.cluster_id == cluster, _run.c.job_id.in_(jobs[at : at + _NAMED_IDS]),
            _run.c.begin.is_not(None),
        )  # fmt: skip
        for job, *ran in connection.execute(query):
            held.setdefault(job, []).append((ran[0], ran[1], ran[2]))
    return {row["id"]: _earlier(row, held[row["job_id"]]) for row in rows}


def _earlier(row: dict[str, Any], held: Sequence[tuple[int, int, int]]) -> Spans:
    return tuple(
        joined(
            (max(begin, row["start"]), min(finish, row["begin"]))
            for submit, begin, finish in held
            if submit < row["submit"]
        )
    )


def _row(row: dict[str, Any], words: dict[int, str], beside: dict[str, Any]) -> Row:
    """A stored row; what it did not carry is as in the one beside it."""
    user, association, eligible, reservation = (
        beside[name] if row[name] is None else row[name]
        for name in ("user_id", "assoc_id", "eligible", "reservation_id")
    )
    return Row(
        row["observed_at"], row["account"], words.get(user, ""), association, row["start"], row["end"],
        eligible, _tres(row["tres"]), reservation or 0,
    )  # fmt: skip


def _found(row: dict[str, Any], words: dict[int, str], before: tuple[Row, ...], others: Spans) -> Found:
    is_open = row["finish"] is None
    finish = max(row["begin"], row["seen_open"] or 0) if is_open else row["finish"]
    total, text = row["suspended"] or 0, row["suspensions"]
    run = Run(
        row["job_id"], row["submit"], row["begin"], finish,
        suspension(row["suspended"], text, row["begin"], finish, ended=not is_open), total, None,
        now=_row(row, words, row), before=before, db_index=row["db_index"], others=others,
    )  # fmt: skip
    return Found(row["id"], run, text)


def newest_before(connection: Connection, instant: int) -> int:
    """The id of the newest run that was stored before an instant; 0: there was none.

    Runs are numbered in the order in which they are stored, and every reading keeps how many were new to it.
    """
    read = tables.import_log
    later = or_(read.c.observed_at >= instant, read.c.started_at >= instant)
    since = connection.scalar(select(func.coalesce(func.sum(read.c.new), 0)).where(later))
    newest = select(_run.c.id).order_by(_run.c.id.desc()).limit(1).offset(int(since or 0))
    return int(connection.scalar(newest) or 0)


def known_clusters(connection: Connection) -> Iterator[str]:
    """The clusters that runs are stored of."""
    query = select(tables.word.c.text).where(tables.word.c.id.in_(select(_account.c.cluster_id).distinct()))
    yield from sorted(connection.scalars(query))
