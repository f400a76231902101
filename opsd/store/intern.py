"""Texts to small numbers and back: words, accounts, shapes.

A cache is filled inside a write transaction and is only true if that transaction commits, so a
writer that fails is thrown away with its caches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, select

from opsd.core.shape import Shape
from opsd.store import tables

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT of the connection's dialect, which knows ON CONFLICT.

    Each dialect is loaded when it is used: PostgreSQL's alone costs a tenth of a second.
    """
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


class Words(dict[str | None, int | None]):
    """Text -> word id; a text not carried (None) stays None."""

    def __init__(self, connection: Connection) -> None:
        super().__init__({None: None, "": tables.EMPTY_WORD})
        self.connection = connection

    def __missing__(self, text: str | None) -> int:
        word = tables.word
        found = self.connection.scalar(select(word.c.id).where(word.c.text == text))
        if found is None:
            found = _added(self.connection, word, {"text": text})
        self[text] = found
        return int(found)

    def id(self, text: str) -> int:
        """The id of a text that is surely there."""
        found = self[text]
        assert found is not None
        return found


class Accounts(dict[tuple[str, str], int]):
    """(cluster, account) -> account id."""

    def __init__(self, connection: Connection, words: Words) -> None:
        super().__init__()
        self.connection = connection
        self.words = words

    def __missing__(self, key: tuple[str, str]) -> int:
        account = tables.account
        row = {"cluster_id": self.words.id(key[0]), "name": key[1]}
        found = self.connection.scalar(
            select(account.c.id).where(
                account.c.cluster_id == row["cluster_id"], account.c.name == row["name"]
            )
        )
        self[key] = found if found is not None else _added(self.connection, account, row)
        return self[key]


class Shapes(dict[Shape, int]):
    """Shape -> shape id."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def __missing__(self, shape: Shape) -> int:
        table, row = tables.shape, shape_row(shape)
        found = self.connection.scalar(
            select(table.c.id).where(
                table.c.tres == row["tres"],
                table.c.gpus == row["gpus"],
                table.c.node_class == row["node_class"],
            )
        )
        self[shape] = found if found is not None else _added(self.connection, table, row)
        return self[shape]


def shape_row(shape: Shape) -> dict[str, str | int]:
    """The stored form of a shape."""
    tres = shape.tres
    return {
        "tres": tres.text,
        "gpus": ",".join(f"{name}={count}" for name, count in shape.gpus),
        "node_class": shape.node_class,
        "cpu": tres.get("cpu"),
        "node": tres.get("node"),
        "gpu": tres.gpus,
        "mem_mb": tres.get("mem"),
        "billing": tres.get("billing"),
    }


def _added(connection: Connection, table: Table, row: Mapping[str, object]) -> int:
    result = connection.execute(table.insert().values(**row).returning(table.c.id))
    return int(result.scalar_one())


def texts(connection: Connection) -> dict[int, str]:
    """Every word by id: a few thousand at most, users included."""
    return {row.id: row.text for row in connection.execute(select(tables.word.c.id, tables.word.c.text))}
