"""Ended runs with what a credit must know of them.

Invariant: a run is told under its cluster's stable name, as everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, select

from opsd.core.credits import NODE_FAIL, Mark, Run
from opsd.store import read, tables
from opsd.store.intern import texts

_run = tables.run


class Found(NamedTuple):
    """A run, and its hold on its allocation."""

    run: Run
    held: read.Held


def failed(connection: Connection, since: int) -> Iterator[Found]:
    """Runs that ended with their node after an instant, by key."""
    words = texts(connection)
    states = [number for number, text in words.items() if text == NODE_FAIL]
    if states:
        yield from _found(connection, words, [_run.c.state_id.in_(states), _run.c.finish > since])


def named(connection: Connection, mark: Mark) -> Found | None:
    """An ended run by its key; None: there is none, or it has not ended."""
    words = texts(connection)
    clusters = [number for number, text in words.items() if text == mark.cluster]
    key = [_run.c.cluster_id.in_(clusters), _run.c.job_id == mark.job, _run.c.submit == mark.submit]
    return next(_found(connection, words, key), None)


def _found(
    connection: Connection, words: dict[int, str], conditions: Sequence[ColumnElement[bool]]
) -> Iterator[Found]:
    columns = (*read.HELD, _run.c.cluster_id, _run.c.job_id, _run.c.submit, _run.c.nodes)
    query = select(*columns).where(*conditions, _run.c.begin.is_not(None), _run.c.finish.is_not(None))
    found = [_one(row, words) for row in connection.execute(query)]
    yield from sorted(found, key=lambda one: one.run.mark)


def _one(row: Any, words: dict[int, str]) -> Found:  # noqa: ANN401  # a row of the query
    *of_hold, cluster, job, submit, nodes = row
    held = read.held_of(of_hold, ended=True)
    mark = Mark(words[cluster], job, submit)
    return Found(Run(mark, words[held.state], held.begin, held.finish, nodes or ""), held)
