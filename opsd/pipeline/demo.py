"""A simulated AI factory from text to balances: the real import path on made-up input.

Invariant: everything is a function of `until` and `seed`; the clock is not looked at, so that the
same call leaves the same numbers behind, and a folder that holds anything else is left alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collectors.consortium.document import read as read_consortium
from collectors.simulated.factory import consortium_toml, sacct_text
from collectors.simulated.rhythm import LENGTH
from collectors.slurm.sacct import SacctReader
from opsd.core.consortium import Consortium
from opsd.core.errors import Refused
from opsd.core.period import Window
from opsd.pipeline import accounts, balance, consortium, ingest, rebuild, usage
from opsd.pipeline.accounts import Line as Account
from opsd.pipeline.balance import Balances
from opsd.pipeline.usage import Usage
from opsd.store import hold, imports
from opsd.store.engine import Store, open_engine, sqlite_address

MARK = "made-by-opsd-demo"
TOML, TEXT, DATABASE = "consortium.toml", "sacct.psv", "opsd.db"
NODES, TARGETS = "nodes", "targets"  # folders of the living demonstration
OURS = frozenset(
    {MARK, TOML, TEXT, NODES, TARGETS, DATABASE}
    | {f"{DATABASE}{suffix}" for suffix in ("-wal", "-shm", "-journal", *hold.SUFFIXES)}
)
AUTHOR = "opsd demo"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demonstration shows."""

    window: Window
    titles: dict[str, str]  # of projects
    read: ingest.Result
    waiting: int  # records in quarantine
    by_country_day: Usage
    by_country_month: Usage
    by_pays_leads_uses: Usage
    balances: Balances
    projects: dict[str, str]  # of awards
    unbound: tuple[Account, ...]


def prepare(folder: Path, until: int, seed: int) -> None:
    """Write the input files; an earlier demonstration in the folder makes way.

    Raises:
        Refused: the folder holds something that no demonstration made.
    """
    clear(folder, until, seed)
    (folder / TOML).write_text(consortium_toml(until, seed), encoding="utf-8", newline="\n")
    with (folder / TEXT).open("wb") as out:
        out.writelines(sacct_text(until, seed))


def clear(folder: Path, until: int, seed: int) -> None:
    """An empty folder with our mark on it; an earlier demonstration there makes way.

    Raises:
        Refused: the folder holds something that no demonstration made, or one lives there.
    """
    _require_ours(folder)
    _require_at_rest(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(f"until = {until}\nseed = {seed}\n", encoding="utf-8")
    for name in OURS - {MARK}:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def _require_ours(folder: Path) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise Refused(f"{folder}: not a folder; name one with --dir")
    held = {entry.name for entry in folder.iterdir()}
    foreign = sorted(held - OURS)
    if held and (foreign or MARK not in held):
        what = foreign[0] if foreign else "files"
        raise Refused(f"{folder} holds {what!r}, which no demonstration made; name another folder with --dir")


def _require_at_rest(folder: Path) -> None:
    if not (folder / DATABASE).exists():
        return
    store = open_engine(sqlite_address(folder / DATABASE))
    try:
        found = hold.holder(store)
    finally:
        store.close()
    if found:
        raise Refused(f"{folder}: a demonstration lives there ({found}): stop it, or name another with --dir")


def refuse_made_up(store: Store) -> None:
    """Nothing real may be read into a demonstration's database: nobody could tell the two apart again.

    Raises:
        Refused: the database lies where a demonstration made it.
    """
    if not store.is_sqlite:
        return
    database = Path(str(store.engine.url.database)).absolute()
    if database.name == DATABASE and (database.parent / MARK).exists():
        raise Refused(
            f"database {store.shown} belongs to opsd demo, and a real Slurm is not read into it: "
            "unset OPSD_DB, or name another database with --db"
        )


def run(store: Store, folder: Path, until: int, progress: Progress = lambda _: None) -> Demo:
    """Apply the consortium, import the text, ask every question once.

    Args:
        store: an empty, migrated database.
        folder: prepared by `prepare`.
        progress: told what is being done.
    """
    progress("applying consortium.toml")
    held = apply(store, folder, until)
    progress("importing sacct.psv")
    with (folder / TEXT).open("rb") as stream:
        reader = SacctReader(stream, name=TEXT)
        done = ingest.run(store, reader, source=TEXT, observed_at=until, now=until)
    progress("building day facts")
    rebuild.run(store)
    progress("asking")
    return _asked(
        store,
        done,
        until,
        {it.id: it.title for it in held.projects.values()},
        {it.id: it.project for it in held.awards.values()},
    )


def apply(store: Store, folder: Path, until: int) -> Consortium:
    """The folder's consortium file into an empty database."""
    held = read_consortium((folder / TOML).read_text(encoding="utf-8"), TOML)
    consortium.apply(store, held, author=AUTHOR, now=until)
    return held


def _asked(
    store: Store, done: ingest.Result, until: int, titles: dict[str, str], projects: dict[str, str]
) -> Demo:
    window = Window(until - LENGTH, until)
    unbound = tuple(line for line in accounts.run(store, window, now=until) if line.unattributed)
    with store.read() as connection:
        return Demo(
            window=window,
            titles=titles,
            read=done,
            waiting=imports.quarantine_count(connection),
            by_country_day=usage.run(connection, window, ("country", "day")),
            by_country_month=usage.run(connection, window, ("country", "month")),
            by_pays_leads_uses=usage.run(connection, window, ("pays", "country", "uses")),
            balances=balance.run(connection, as_of=until),
            projects=projects,
            unbound=unbound,
        )
