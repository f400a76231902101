"""From nothing to today's schema on both databases, once, and never from a schema of tomorrow."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import opsd.store.master  # noqa: F401 (adds its tables to METADATA)
from opsd.core.errors import StoreError
from opsd.core.flags import NEEDS_EYES
from opsd.store import migrate, tables
from opsd.store.engine import Store, open_engine, sqlite_address
from opsd.store.tables import METADATA

ROOT = Path(__file__).resolve().parents[2]
PARTIAL = {
    "ix_run_long": tables.LONGER_THAN_A_DAY,
    "ix_run_open": tables.STILL_OPEN,
    "ix_run_needs_eyes": tables.NEEDS_EYES,
    "ix_run_suspended": tables.SUSPENDED,
}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database of either kind, without a table."""
    store = open_engine(store_url)
    yield store
    store.close()


def snapshot(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every table with its rows."""
    with store.read() as connection:
        names = inspect(connection).get_table_names()
        return {
            name: sorted(tuple(row) for row in connection.execute(text(f'SELECT * FROM "{name}"')))
            for name in sorted(names)
        }


def set_revision(store: Store, revision: str) -> None:
    """Pretend that another program migrated the database."""
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})


# ------------------------------------------------------------------------------------------------ upgrade


def test_upgrade_from_nothing(store: Store) -> None:
    """Every table is there, empty but for the empty word, and the revision is the newest."""
    assert (None, migrate.known()[-1]) == migrate.upgrade(store)

    found = snapshot(store)
    assert [(migrate.known()[-1],)] == found.pop("alembic_version")
    assert [(tables.EMPTY_WORD, "")] == found.pop("word")
    assert {name: [] for name in sorted(set(METADATA.tables) - {"word"})} == found


def test_a_second_upgrade_changes_nothing(store: Store) -> None:
    """What is current stays as it is, by either way of asking."""
    migrate.upgrade(store)
    before = snapshot(store)
    newest = migrate.known()[-1]

    assert (newest, newest) == migrate.upgrade(store)
    migrate.ensure_current(store)

    assert before == snapshot(store)


def test_the_schema_is_what_the_code_declares(store: Store) -> None:
    """Comparing migrated tables with the declared ones, as alembic does, finds nothing to do."""
    migrate.upgrade(store)
    with store.read() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)

    assert [] == differences


def test_partial_indexes_are_as_declared(store: Store) -> None:
    """alembic does not compare conditions, so the database is asked for each; no other index has one."""
    migrate.upgrade(store)
    dialect = store.engine.dialect.name
    with store.read() as connection:
        indexes = inspect(connection).get_indexes("run")
    found = {
        str(index["name"]): plain(str(where))
        for index in indexes
        if (where := index.get("dialect_options", {}).get(f"{dialect}_where")) is not None
    }

    assert {name: plain(str(condition)) for name, condition in PARTIAL.items()} == found


def plain(condition: str) -> str:
    """A condition without the brackets and blanks that a database adds."""
    return "".join(condition.replace("(", "").replace(")", "").split()).lower()


def test_partial_indexes_answer_their_question(store: Store) -> None:
    """The condition that the reading code writes is one for which the database takes the index."""
    migrate.upgrade(store)
    with store.read() as connection:
        if not store.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
        plans = {
            name: str(connection.execute(text(f"{explain} SELECT id FROM run WHERE {condition}")).all())
            for name, condition in PARTIAL.items()
        }

    assert {} == {name: plan for name, plan in plans.items() if name not in plan}


def test_the_index_of_runs_that_need_eyes_holds_every_such_flag() -> None:
    """The number in the index's condition is the one that the flags add up to."""
    assert plain(f"flags & {int(NEEDS_EYES)} <> 0") == plain(str(tables.NEEDS_EYES))


def test_revisions_are_one_line_without_branches() -> None:
    """The files' numbers, in order, are the chain that alembic walks."""
    directory = ScriptDirectory.from_config(migrate.configuration())
    walked = [script.revision for script in directory.walk_revisions()]

    assert migrate.known() == walked[::-1]
    assert [walked[0]] == directory.get_heads()


# ------------------------------------------------------------------------------------ what does not fit


@pytest.mark.parametrize("attempt", [migrate.ensure_current, migrate.upgrade])
def test_a_newer_schema_is_refused_untouched(store: Store, attempt: Any) -> None:
    """A database from a newer program is named as such, and nothing in it changes."""
    migrate.upgrade(store)
    set_revision(store, "9999")
    before = snapshot(store)

    with pytest.raises(StoreError, match="has schema 9999, newer than this opsd"):
        attempt(store)

    assert before == snapshot(store)
    assert "9999" == migrate.revision(store)


def test_an_older_schema_is_not_upgraded_unasked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyday commands say what to run; they do not migrate a site's database."""
    migrate.upgrade(store)
    newest = migrate.known()[-1]
    monkeypatch.setattr(migrate, "known", lambda: [newest, "9998"])
    before = snapshot(store)

    with pytest.raises(StoreError, match=rf"has schema {newest}, this opsd needs 9998: run opsd db upgrade"):
        migrate.ensure_current(store)

    assert before == snapshot(store)


def test_an_empty_embedded_database_is_made_on_first_use(sqlite_url: str) -> None:
    """Nobody has to prepare a file."""
    store = open_engine(sqlite_url)
    assert migrate.revision(store) is None

    migrate.ensure_current(store)

    assert migrate.known()[-1] == migrate.revision(store)
    store.close()


@pytest.mark.postgresql
def test_an_empty_server_database_is_not_filled_unasked(postgres_url: str) -> None:
    """On a server a wrong address is likelier than a first use, so making tables takes a command."""
    store = open_engine(postgres_url)

    with pytest.raises(StoreError, match="has no opsd tables: run opsd db upgrade"):
        migrate.ensure_current(store)

    assert {} == snapshot(store)
    store.close()


# ------------------------------------------------------------------------------------- the next migration

NEXT = """
from alembic import op
import sqlalchemy as sa
revision, down_revision, branch_labels, depends_on = "{after}", "{before}", None, None
def upgrade():
    op.create_table("novelty", sa.Column("id", sa.Integer(), primary_key=True))
    {then}
"""


@pytest.fixture
def next_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a copy of the migrations with one more, which ends with a given statement."""

    def add(then: str = "pass") -> str:
        before = migrate.known()[-1]
        after = f"{int(before) + 1:04}"
        folder = shutil.copytree(migrate.scripts(), tmp_path / "scripts")
        (folder / "versions" / f"{after}_next.py").write_text(
            NEXT.format(after=after, before=before, then=then)
        )
        monkeypatch.setattr(migrate, "scripts", lambda: folder)
        return after

    return add


def test_the_next_migration_runs_on_a_filled_database(store: Store, next_revision: Any) -> None:
    """What is stored stays, what is new is added, and the two revisions are told."""
    migrate.upgrade(store)
    with store.write() as connection:
        connection.execute(tables.word.insert().values(text="kept"))
    before, old = snapshot(store), migrate.known()[-1]
    new = next_revision()

    assert (old, new) == migrate.upgrade(store)
    assert {**before, "alembic_version": [(new,)], "novelty": []} == snapshot(store)


def test_a_migration_that_fails_leaves_nothing(store: Store, next_revision: Any) -> None:
    """All of an upgrade or none: a half-made schema would fit no program."""
    migrate.upgrade(store)
    before = snapshot(store)
    next_revision("1 / 0")

    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(store)

    assert before == snapshot(store)


def test_a_first_upgrade_that_fails_leaves_nothing(store: Store, next_revision: Any) -> None:
    """From nothing, a failure in the last of several migrations undoes all of them."""
    next_revision("1 / 0")

    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(store)

    assert {} == snapshot(store)


def test_two_upgrades_at_once(store: Store, store_url: str) -> None:
    """Two processes that find an empty database make its tables once, and both go on."""
    other = open_engine(store_url)
    failed: list[Exception] = []
    threads = [threading.Thread(target=upgrade_noting, args=(one, failed)) for one in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    assert [] == failed
    assert migrate.known()[-1] == migrate.revision(store)


def upgrade_noting(store: Store, failed: list[Exception]) -> None:
    """Upgrade, and keep what goes wrong for the test to see."""
    try:
        migrate.upgrade(store)
    except Exception as err:  # noqa: BLE001 (the test looks at it)
        failed.append(err)


# ------------------------------------------------------------------------------------------ an installation

PROGRAM = """
import sys
from opsd.store import migrate
from opsd.store.engine import open_engine
store = open_engine(sys.argv[1])
migrate.ensure_current(store)
print(migrate.scripts(), migrate.revision(store))
"""


def test_an_installed_opsd_brings_its_migrations(tmp_path: Path) -> None:
    """Laid out as in a wheel, with the scripts in opsd/_alembic, a first use makes the tables."""
    site = tmp_path / "site"
    ignored = shutil.ignore_patterns("__pycache__", "_alembic")
    shutil.copytree(ROOT / "opsd", site / "opsd", ignore=ignored)
    shutil.copytree(ROOT / "alembic", site / "opsd" / "_alembic", ignore=ignored)
    database = tmp_path / "opsd.db"

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, sqlite_address(database)],
        cwd=tmp_path, env={"PYTHONPATH": str(site)}, check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert [str(site / "opsd" / "_alembic"), migrate.known()[-1]] == ran.stdout.split(), ran.stderr
    store = open_engine(sqlite_address(database))
    assert set(METADATA.tables) | {"alembic_version"} == set(snapshot(store))
    store.close()


def test_a_checkout_uses_its_own_folder() -> None:
    """Where nothing is packed, the scripts are those beside the package."""
    if (ROOT / "opsd" / "_alembic").is_dir():
        pytest.skip("these tests run on an installed opsd")

    assert ROOT / "alembic" == migrate.scripts()


def test_a_database_with_a_version_table_of_its_own_is_not_taken_for_ours(store: Store) -> None:
    """Tables of another program that also uses alembic are left alone."""
    with store.write() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('27c6a30d7c24')"))
    before = snapshot(store)

    with pytest.raises(StoreError, match="has schema 27c6a30d7c24"):
        migrate.ensure_current(store)

    assert before == snapshot(store)
