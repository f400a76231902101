"""Explaining a certificate: contributions of a line, what cannot be known, what looks odd in the rest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opsd.core.certificate import (
    LATE_RECORD,
    SUSPENSION,
    Certificate,
    Contribution,
    Subject,
    Unknown,
    cells,
)
from opsd.core.errors import WrongUsage
from opsd.core.explanation import Explanation, Table
from opsd.core.period import HOUR, Window
from opsd.core.records import RunRecord
from opsd.pipeline.explain import certificate as explain
from opsd.pipeline.explain.cells import parse
from opsd.store.engine import Store
from tests.pipeline.test_usage import stored

START = 1_795_000_000 // HOUR * HOUR
TREE = {"root": "", "es": "root", "es-bio": "es", "es-cfd": "es"}
PARTS = (
    Contribution(SUSPENSION, "es-bio", "ana", "cpu", 70, Subject("run", 5, START), "placed"),
    Contribution(SUSPENSION, "es-bio", "ana", "cpu", -20, Subject("run", 6, START), "placed"),
    Contribution(LATE_RECORD, "es-bio", "bruno", "cpu", 1_000, Subject("run", 7, START), "late"),
    Contribution(LATE_RECORD, "es-cfd", "ana", "cpu", 30_000, Subject("run", 8, START), "late"),
    Contribution(LATE_RECORD, "es-bio", "ana", "mem", 9, Subject("run", 5, START), "late"),
)


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """One odd run, suspended nobody knows when, and a plain one."""
    common = {"start": START, "end": START + 900, "state": "COMPLETED", "account": "es-bio", "user": "ana"}
    rows = [
        RunRecord("lab", 6, START, tres="cpu=2,mem=1,node=1", suspended=100, hash=1, **common),  # type: ignore[arg-type]
        RunRecord("lab", 5, START, tres="cpu=2,mem=1,node=1", hash=2, **common),  # type: ignore[arg-type]
    ]
    found = stored(sqlite_url, rows)
    yield found
    found.close()


def certified(ana: int) -> Certificate:
    """Ana used 100 cpu-seconds by opsd, `ana` by Slurm."""
    usage = {("es-bio", "ana", "cpu"): 100, ("es-cfd", "ana", "cpu"): 50}
    lines = {("es-bio", "ana", "cpu"): ana, ("es-bio", "", "cpu"): ana + 1_000}
    window = Window(START, START + HOUR)
    unknown = Unknown(SUSPENSION, "es-bio", "ana", "cpu", -5, 5, Subject("run", 6, START), "cannot")
    return Certificate(
        "lab", window, window, "UTC", START + 2 * HOUR, "sacct", ("cpu", "mem"),
        cells(usage, lines, PARTS, TREE), PARTS, (unknown,), TREE,
    )  # fmt: skip


def table(found: Explanation, name: str) -> Table:
    """One of its tables."""
    return next(table for table in found.tables if table.name == name)


def explained(store: Store, found: Certificate, text: str, limit: int = 20) -> Explanation:
    """A cell explained."""
    with store.read() as connection:
        return explain.run(connection, found, parse([text], explain.KEYS), limit=limit)


def test_a_cell_that_is_explained(store: Store) -> None:
    """Its own contributions, the largest first; opsd and the causes lead to sreport's figure."""
    found = explained(store, certified(150), "account=es-bio,user=ana,tres=cpu")

    assert {"opsd": 100, "sreport": 150, "suspension": 50, "unexplained": 0} == found.figure
    assert ["run 5@" + str(START), "run 6@" + str(START)] == [
        row[1] for row in table(found, "contributions").rows
    ]
    assert (50, 150) == (table(found, "contributions").total, table(found, "causes").total)
    assert () == found.eyes
    assert "unknown" in {table.name for table in found.tables}


def test_what_is_left_over_needs_eyes(store: Store) -> None:
    """The rest is named, with runs about which something is odd."""
    found = explained(store, certified(153), "account=es-bio,user=ana,tres=cpu")

    assert ("3 cpu-seconds are unexplained",) == found.eyes
    assert ["6"] == [row[0] for row in table(found, "candidates").rows]


@pytest.mark.parametrize(("account", "total"), [("es-bio", 1_050), ("es", 31_050), ("root", 31_050)])
def test_an_account_holds_what_is_below_it(store: Store, account: str, total: int) -> None:
    """The account's line has its users' contributions, and those of accounts below."""
    found = explained(store, certified(150), f"account={account},tres=cpu", limit=1)

    assert total == table(found, "contributions").total
    assert table(found, "contributions").rows[1][0] == ("2 more" if account == "es-bio" else "3 more")


def test_a_line_that_is_nowhere(store: Store) -> None:
    """A TRES of which nothing was used is 0, without causes."""
    found = explained(store, certified(150), "account=es-cfd,user=ana,tres=mem")

    assert {"opsd": 0, "sreport": 0, "unexplained": 0} == found.figure


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user=ana,tres=cpu", "name the account"),
        ("account=es-boi,tres=cpu", "did you mean 'es-bio'"),
        ("account=es-bio,tres=gpu", "no such tres"),
        ("account=es-bio,user=anna,tres=cpu", "did you mean 'ana'"),
    ],
)
def test_a_wrong_cell_is_refused(store: Store, text: str, said: str) -> None:
    """With the nearest there is."""
    with pytest.raises(WrongUsage, match="--cell") as caught:
        explained(store, certified(150), text)

    assert said in str(caught.value)
