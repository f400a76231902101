"""A small world for the portal: odd runs, bindings that move, grants that run out, hostile names."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from starlette.testclient import TestClient

from opsd.core.consortium import Consortium
from opsd.core.parties import AccountHint
from opsd.core.period import DAY
from opsd.core.shape import Inventory
from opsd.pipeline import consortium as master
from opsd.store import imports, migrate
from opsd.store.engine import Store, open_engine, sqlite_address
from opsd.store.write import Writer
from opsd.web.app import application
from tests.pipeline import small_world

NOW = small_world.BASE + 12 * DAY  # in November, the runs lie around the end of October
HOSTILE = "<script>alert(\"1\")</script> & 'x'"


def known(chance: random.Random) -> Consortium:
    """The small world's consortium with a name, Madrid's months, small grants and hostile names."""
    found = small_world.consortium(chance)
    awards = {
        key: replace(award, amount=Fraction(30 * n)) for n, (key, award) in enumerate(found.awards.items(), 1)
    }
    projects = {key: replace(project, title=HOSTILE) for key, project in found.projects.items()}
    organisations = {key: replace(one, name=HOSTILE) for key, one in found.organisations.items()}
    return replace(
        found, name=HOSTILE, book_zone="Europe/Madrid", awards=awards, projects=projects,
        organisations=organisations, account_hints={"nob": AccountHint("nob", HOSTILE)},
    )  # fmt: skip


def build(folder: Path, seed: int = 1, count: int = 150) -> Store:
    """A database with all of it."""
    chance = random.Random(seed)
    store = empty(folder)
    records = small_world.records(chance, count)
    seen = small_world.BASE + 9 * DAY
    master.apply(store, known(chance), author="test", now=small_world.BASE - 9 * DAY)
    with store.write() as connection:
        number = imports.open_import(connection, "test", seen, seen)
        Writer(connection, Inventory((), lambda text: [text]), number, seen).batch(connection, records)
        imports.close_import(connection, number, seen)
    return store


def empty(folder: Path) -> Store:
    """A database with tables and nothing in them."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.upgrade(store)
    return store


def client(store: Store, now: Callable[[], float] = lambda: NOW) -> TestClient:
    """A browser in front of the portal, on this machine."""
    return TestClient(application(store, now), base_url="http://127.0.0.1", raise_server_exceptions=False)


class Cell(NamedTuple):
    """A cell of a table: its text, and the exact value in its title."""

    text: str
    title: str


class Tables(HTMLParser):
    """The tables of a page, by the heading that labels them: rows of cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[Cell]]] = {}
        self._rows: list[list[Cell]] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A table, a row or a cell begins."""
        named = dict(attrs)
        if tag == "div" and named.get("class") == "scroll":
            self._rows = self.tables.setdefault(named.get("aria-labelledby") or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._open = True
            self._rows[-1].append(Cell("", named.get("title") or ""))

    def handle_endtag(self, tag: str) -> None:
        """A cell ends."""
        if tag in ("td", "th"):
            self._open = False

    def handle_data(self, data: str) -> None:
        """Text of a cell."""
        if self._open:
            cell = self._rows[-1][-1]
            self._rows[-1][-1] = cell._replace(text=f"{cell.text} {data.strip()}".strip())


def whole(text: str) -> int:
    """A grouped number back; `<1` stands for a part of an hour that a column counts as none."""
    return int(text.replace("<1", "0").replace(",", "").replace("−", "-"))  # noqa: RUF001 (the minus sign that is shown)


def seconds(title: str) -> int:
    """The seconds of a title such as `1,234 GPU-seconds`."""
    return int(title.partition(" ")[0].replace(",", ""))
