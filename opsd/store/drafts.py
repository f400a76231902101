"""Drafts of journal entries in the database.

Invariant: only a draft that waits is changed, and deciding it is one statement: it is decided once.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, column, insert, select, table, update

from opsd.core.drafts import WAITING, Content, Draft
from opsd.core.errors import Refused

_COLUMNS = (
    "id", "made_at", "mark", "kind", "entries", "author", "state", "decided_at", "decided_by", "reason",
)  # fmt: skip
_LARGEST = 2**31 - 1  # what a number may be in either database
_draft = table("draft", *(column(name) for name in _COLUMNS))


def keep(connection: Connection, draft: Draft) -> int:
    """Add a draft; returns its number."""
    values = {**_values(draft), "state": draft.state, "decided_at": draft.decided_at}
    values |= {"decided_by": draft.decided_by, "reason": draft.reason}
    return int(connection.execute(insert(_draft).values(values).returning(_draft.c.id)).scalar_one())


def renew(connection: Connection, number: int, draft: Draft) -> None:
    """Other content for a draft that waits; an approval of what it was before no longer counts."""
    _require(connection, number, _values(draft))


def take_over(connection: Connection, number: int, author: str) -> None:
    """Let a person answer for a draft that waits."""
    _require(connection, number, {"author": author})


def decide(connection: Connection, number: int, *, state: str, by: str, at: int, reason: str = "") -> None:
    """Post or decline a draft that waits."""
    _require(connection, number, {"state": state, "decided_by": by, "decided_at": at, "reason": reason})


def _values(draft: Draft) -> dict[str, Any]:
    return {
        "made_at": draft.made_at, "mark": draft.mark, "kind": draft.kind, "entries": draft.content.text,
        "author": draft.author,
    }  # fmt: skip


def _require(connection: Connection, number: int, values: dict[str, Any]) -> None:
    waiting = update(_draft).where(_draft.c.id == number, _draft.c.state == WAITING)
    if not connection.execute(waiting.values(values)).rowcount:
        raise Refused(f"draft {number} waits no longer: opsd journal list --drafts shows what became of it")


def every(connection: Connection) -> list[Draft]:
    """All of them, oldest first."""
    return [_read(row) for row in connection.execute(select(*_draft.c).order_by(_draft.c.id))]


def one(connection: Connection, number: int) -> Draft:
    """A draft by its number."""
    query = select(*_draft.c).where(_draft.c.id == number)
    row = connection.execute(query).first() if number <= _LARGEST else None
    if row is None:
        raise Refused(f"draft {number}: there is none; opsd journal list --drafts lists them")
    return _read(row)


def _read(row: Any) -> Draft:  # noqa: ANN401  # a row of _COLUMNS
    values = dict(zip(_COLUMNS, row, strict=True))
    return Draft(content=Content.read(values.pop("entries")), **values)
