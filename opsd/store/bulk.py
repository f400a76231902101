"""Many rows into a table at once, as fast as each database takes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam


@lru_cache(maxsize=16)
def sqlite_insert(table: Table, names: tuple[str, ...]) -> str:
    """The text of an INSERT with one placeholder per column."""
    from sqlalchemy.dialects import sqlite

    statement = table.insert().values({name: bindparam(name) for name in names})
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark"), column_keys=names))


def bulk_insert(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Many rows at once: the driver's own executemany, or COPY.

    SQLAlchemy compiles the statement once; its handling of each row's parameters would cost as much
    as everything else in an import.
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(sqlite_insert(table, names), list(rows))
        return
    columns = ", ".join(connection.dialect.identifier_preparer.quote(name) for name in names)
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
