"""Bringing a database to this program's schema, and refusing one from a newer program.

alembic costs a fifth of a second to import, so the everyday question ("is it current?") is answered
from one row and a folder listing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table

from opsd.core.errors import StoreError
from opsd.store.engine import Store

if TYPE_CHECKING:
    from alembic.config import Config

_REVISION = re.compile(r"(\d{4})_\w+\.py\Z")


def scripts() -> Path:
    """The migration folder: inside the wheel, or the checkout's."""
    package = Path(__file__).resolve().parent.parent
    packed = package / "_alembic"
    return packed if packed.is_dir() else package.parent / "alembic"


def known() -> list[str]:
    """The revisions this program can make, oldest first."""
    found = (_REVISION.match(path.name) for path in (scripts() / "versions").iterdir())
    return sorted(match[1] for match in found if match)


def revision(store: Store) -> str | None:
    """The database's revision; None when it has no opsd tables."""
    with store.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            _refuse_another_programs(store, inspect(connection).get_table_names())
            return None
        version = table("alembic_version", column("version_num"))
        return connection.execute(select(version.c.version_num)).scalar()


def _refuse_another_programs(store: Store, tables: Sequence[str]) -> None:
    """An SQLite file is one program's; a PostgreSQL database may be shared."""
    if tables and store.is_sqlite:
        raise StoreError(
            f"database {store.shown} holds the tables of another program ({', '.join(tables[:3])}): "
            "choose another file"
        )


def ensure_current(store: Store) -> None:
    """Create an empty embedded database; refuse one that this program does not fit."""
    at, mine = revision(store), known()
    if at == mine[-1]:
        return
    if at is None and store.is_sqlite:
        upgrade(store)
    elif at is None:
        raise StoreError(f"database {store.shown} has no opsd tables: run opsd db upgrade")
    elif at not in mine:
        raise StoreError(
            f"database {store.shown} has schema {at}, newer than this opsd ({mine[-1]}): upgrade opsd; "
            "nothing was changed"
        )
    else:
        raise StoreError(
            f"database {store.shown} has schema {at}, this opsd needs {mine[-1]}: run opsd db upgrade"
        )


def upgrade(store: Store) -> tuple[str | None, str]:
    """Run the missing migrations in one transaction.

    Returns:
        (revision before, revision now).
    """
    from alembic import command

    before, mine = revision(store), known()
    if before is not None and before not in mine:
        raise StoreError(
            f"database {store.shown} has schema {before}, newer than this opsd ({mine[-1]}): upgrade opsd"
        )
    with store.write() as connection:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, mine[-1]


def configuration() -> Config:
    """alembic's configuration for the shipped scripts."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts()))
    return config
