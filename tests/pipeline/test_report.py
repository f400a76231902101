"""Which statement a reader gets: as a month was closed, or as now known; and the file that was frozen."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from opsd.core.dossier import Dossier
from opsd.core.errors import Refused, StoreError, WrongUsage
from opsd.core.period import DAY
from opsd.core.statement.build import KNOWN, REPORTED, Statement
from opsd.core.statement.view import View
from opsd.pipeline import close, dossier, report
from opsd.pipeline.close import Means, Request
from opsd.store.editions import File
from opsd.store.engine import Store
from tests.pipeline.closing_world import SEEN, ZONE, late, stored, window, world

MONTH, NOW = "2026-08", SEEN + 30 * DAY


def render(made: Dossier) -> tuple[File, ...]:
    """Two files, of which one is asked for."""
    return (File("a.txt", made.span.text.encode()), File("b.txt", b"b"))


def closed(store: Store, *, restate: bool = False) -> None:
    """The month, with whatever stands against it."""
    means = Means(render, "configuration", "program", "1")
    with store.read() as connection:
        names = tuple(one.name for one in dossier.run(connection, MONTH, now=NOW).concerns)
    asked = Request(MONTH, "test", "a reason", "another", names, restate)
    assert close.run(store, asked, means, now=NOW).edition is not None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Three months, the first closed; then late truth; then restated; then more late truth."""
    made, chance = world(1), random.Random(3)
    found = stored(f"sqlite:///{tmp_path_factory.mktemp('report') / 'opsd.db'}", made)
    closed(found)
    for turn in (1, 2, 3):
        made = late(found, made, chance, turn)
    closed(found, restate=True)
    for turn in (4, 5, 6):
        made = late(found, made, chance, turn)
    yield found
    found.close()


def told(store: Store, period: str = MONTH, **asked: object) -> Statement:
    """The statement of a period."""
    with store.read() as connection:
        return report.run(connection, period, now=NOW, **asked)  # type: ignore[arg-type]


def total(found: Statement) -> tuple[int, ...]:
    """All of its use."""
    return tuple(View.total(found.parts).seconds)


def test_a_closed_month_is_told_as_it_was_closed(store: Store) -> None:
    """By its last edition, or the one that is named; not by what came to light since."""
    plain, first, second = told(store), told(store, edition=1), told(store, edition=2)
    known = told(store, standing=KNOWN)

    assert (REPORTED, REPORTED, KNOWN) == (plain.standing, first.standing, known.standing)
    assert second.dossier == plain.dossier
    assert plain.dossier.closing is not None
    assert first.dossier.closing is not None
    assert (2, 1) == (plain.dossier.closing.edition, first.dossier.closing.edition)
    assert known.dossier.closing is None
    assert len({total(first), total(second), total(known)}) == 3
    with store.read() as connection:
        assert dossier.run(connection, MONTH, now=NOW).lines == known.dossier.lines


def test_an_open_month_is_told_as_known(store: Store) -> None:
    """And any longer period, with the closed months that it holds."""
    quarter = told(store, "2026-Q3")

    assert KNOWN == told(store, "2026-10").standing == quarter.standing
    (month,) = quarter.dossier.closed
    assert (MONTH, 2) == (month.period, month.edition)
    assert total(told(store, edition=1)) == tuple(month.reported)
    assert total(told(store, standing=KNOWN)) == tuple(month.known)


def test_the_next_month_knows_what_was_left_as_reported(store: Store) -> None:
    """Beside its opening as now known; what the closed month was entitled to is there, too."""
    first, following = told(store, edition=1).dossier, told(store, "2026-09").dossier
    expected = {one.award: one.granted_total - one.settled - one.accrued for one in first.balances}

    assert expected == {one.award: one.reported_closing for one in following.balances}
    assert any(one.opening != one.reported_closing for one in following.balances)
    assert {one.reported_closing for one in told(store, standing=KNOWN).dossier.balances} == {None}


def test_a_month_of_another_zone_was_never_closed(store: Store) -> None:
    """The book zone may be named; any other is told as known."""
    assert REPORTED == told(store, timezone=ZONE).standing
    other = told(store, timezone="UTC")
    assert KNOWN == other.standing
    assert window(MONTH) != other.dossier.span.window


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"period": "2026-10", "standing": REPORTED}, Refused, "2026-10 is not closed"),
        ({"period": "2026-10", "edition": 1}, Refused, "2026-10 is not closed"),
        ({"period": "2026-Q3", "standing": REPORTED}, Refused, "only months are closed"),
        ({"edition": 3}, Refused, "no edition 3: there are 1, 2"),
        ({"standing": REPORTED, "timezone": "UTC"}, Refused, "closed in Europe/Madrid"),
        ({"standing": KNOWN, "edition": 1}, WrongUsage, "leave it out"),
        ({"standing": "knwn"}, WrongUsage, "did you mean 'known'"),
        ({"scope": "user:ana"}, WrongUsage, "write one of"),
    ],
)
def test_what_was_never_reported_is_refused(
    store: Store, asked: dict[str, object], error: type[Exception], words: str
) -> None:
    """With what there is instead."""
    with pytest.raises(error, match=words):
        told(store, **asked)  # type: ignore[arg-type]


def test_the_frozen_file_is_handed_out(store: Store) -> None:
    """Of the whole, as reported; of a scope or of what is known now there is none."""
    reported, scoped, known = told(store), told(store, scope="country:ES"), told(store, standing=KNOWN)
    with store.read() as connection:
        assert MONTH.encode() == report.frozen(connection, reported, "a.txt")
        assert [None] * 3 == [
            report.frozen(connection, found, name)
            for found, name in ((reported, "c.txt"), (scoped, "a.txt"), (known, "a.txt"))
        ]


def test_a_frozen_file_that_was_changed_is_not_handed_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One byte, changed by somebody who took the triggers away."""
    found = stored(f"sqlite:///{tmp_path_factory.mktemp('flipped') / 'opsd.db'}", world(1))
    closed(found)
    with found.write() as connection:
        names = connection.scalars(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'edition_file'")
        ).all()
        for name in names:
            connection.execute(text(f'DROP TRIGGER "{name}"'))
        connection.execute(text("UPDATE edition_file SET content = X'78' WHERE name = 'b.txt'"))
    with found.read() as connection, pytest.raises(StoreError, match=r"b\.txt: the frozen file was changed"):
        report.frozen(connection, told(found), "b.txt")
    found.close()
