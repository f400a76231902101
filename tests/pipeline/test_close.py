"""Closing months: what is frozen, what is refused, and that the books balance whatever comes late."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from opsd.core import canonical, corrections, journal
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.dossier import Correction, Dossier, Key, Seconds
from opsd.core.errors import OpsdError, Refused, WrongUsage
from opsd.core.period import DAY, HOUR
from opsd.pipeline import balance, close, editions, run_list, usage
from opsd.pipeline.close import Request, Result
from opsd.store import editions as kept
from opsd.store import parties, sweeps
from opsd.store.editions import File
from opsd.store.engine import Store
from tests.pipeline import closing_world, priced_world
from tests.pipeline.close_and_die import DEADLY
from tests.pipeline.closing_world import BASE, MEANS, MONTHS, window

Told = dict[tuple[str, ...], Seconds]


def made(tmp_path: Path, seed: int, runs: int = 90) -> tuple[Store, closing_world.World]:
    """A world in a database of its own."""
    found = closing_world.world(seed, runs)
    return closing_world.stored(f"sqlite:///{tmp_path / f'{seed}.db'}", found), found


def known_use(store: Store, period: str) -> Told:
    """What `opsd usage` says now, by cluster, award and country of the user."""
    with store.read() as connection:
        found = usage.run(connection, window(period), ("cluster", "award", "uses"), as_of=window(period).end)
    sums = {
        row.key: Seconds(
            row.measures.gpu_seconds, row.measures.node_seconds, row.measures.cpu_seconds,
            row.measures.mem_mb_seconds, row.measures.billing_seconds,
        )
        for row in found.rows
    }  # fmt: skip
    return {key: seconds for key, seconds in sums.items() if any(seconds)}


def known_charges(store: Store, period: str) -> dict[str, int]:
    """What balances grew by within a month, as now known."""
    with store.read() as connection:
        before, after = (
            {line.key: line.used for line in balance.run(connection, as_of=at).lines}
            for at in (window(period).start, window(period).end)
        )
    return {award: after[award] - before[award] for award in after if after[award] != before[award]}


def booked(store: Store, period: str, pending: tuple[Correction, ...]) -> tuple[Told, dict[str, int]]:
    """As reported plus every correction, in the words of `opsd usage`."""
    with store.read() as connection:
        month = next(found for found in editions.months(connection) if found.period == period)
    state = month.booked
    for correction in pending:
        if correction.period == period:
            state = state.plus(correction)
    return told(state.lines), dict(state.charged)


def told(lines: Mapping[Key, Seconds]) -> Told:
    """Lines by cluster, award and country of the user, as `opsd usage` says them."""
    sums: Told = defaultdict(Seconds)
    for key, seconds in lines.items():
        mark = f"{key.outside}:" if key.outside else ""
        whose = key.cluster, f"{mark}{key.award}" if key.award else UNATTRIBUTED, key.uses
        sums[whose] = sums[whose].plus(seconds)
    return {key: seconds for key, seconds in sums.items() if any(seconds)}


@pytest.mark.parametrize("seed", [0, 2])
def test_reported_and_corrected_is_what_is_known(tmp_path: Path, seed: int) -> None:
    """Three months are closed, late truth in between: the books say what usage and balance say."""
    store, held = made(tmp_path, seed)
    chance = random.Random(seed)
    corrected = 0
    for turn, period in enumerate(MONTHS, 1):
        assert closing_world.closed(store, period).edition is not None
        held = closing_world.late(store, held, chance, turn)
        with store.read() as connection:
            pending = close.pending(connection)
        corrected += len(pending)
        for month in MONTHS[:turn]:
            assert (known_use(store, month), known_charges(store, month)) == booked(store, month, pending)
    assert corrected
    store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Store, closing_world.World]]:
    """One world, nothing closed."""
    store, held = made(tmp_path, 5, 40)
    yield store, held
    store.close()


def counts(store: Store) -> tuple[int, int]:
    """How many editions and documents of the journal there are."""
    with store.read() as connection:
        return len(kept.every(connection)), len(
            [entry for entry in parties.journal(connection) if entry.kind in journal.DOCUMENTS]
        )


def test_what_is_frozen(world: tuple[Store, closing_world.World]) -> None:
    """The dossier comes back as it was, the runs add up to its lines, the journal vouches for the whole."""
    store, _ = world
    found = closing_world.closed(store, "2026-09")

    assert found.prepared is not None
    assert found.edition is not None
    with store.read() as connection:
        assert found.prepared.dossier == editions.reported(connection, "2026-09")
        assert found.edition == kept.find(connection, "2026-09", 1)
        runs = editions.runs(connection, found.edition)
        last = parties.last_entry(connection)
    own = corrections.booked(found.prepared.dossier).lines
    assert own == corrections.booked_of(corrections.lines_of(runs.values()), {}).lines
    assert last is not None
    assert ("close", "2026-09/1", found.edition.digest, "Ana", "month end") == (
        last.kind, last.subject, last.digest, last.author, last.reason,
    )  # fmt: skip
    assert last.previous == found.prepared.dossier.closing.chain  # type: ignore[union-attr]
    acknowledged = found.prepared.dossier.closing.acknowledged  # type: ignore[union-attr]
    assert found.prepared.dossier.concerns == acknowledged


def test_a_closed_month_is_closed(world: tuple[Store, closing_world.World]) -> None:
    """The same command again says so and changes nothing, whatever became known since."""
    store, held = world
    first = closing_world.closed(store, "2026-08").edition
    closing_world.late(store, held, random.Random(1), 1)

    again = close.run(store, Request("2026-08", "Bea"), MEANS, now=window("2026-08").end + DAY)
    assert (True, first) == (again.again, again.edition)
    assert (1, 1) == counts(store)


def refused(store: Store, asked: Request, now: int | None = None) -> str:
    """Why a close is refused."""
    at = window(asked.period).end + DAY if now is None else now
    with pytest.raises(Refused) as told:
        close.run(store, asked, MEANS, now=at)
    return str(told.value)


def test_months_are_closed_in_order(world: tuple[Store, closing_world.World]) -> None:
    """An open month with use comes first, none before the first close, and none that goes on."""
    store, _ = world
    asked = Request("2026-09", "Ana", "month end")
    at = window("2026-09").end

    assert "2026-09 is not over: close it after 2026-10-01T00:00:00+02:00" == refused(store, asked, at - 1)
    assert closing_world.closed(store, "2026-08").edition
    assert "2026-09 is open and has use: close it first, then 2026-10" == refused(
        store, Request("2026-10", "Ana", "x")
    )
    assert "2026-07 is before 2026-08, with which the books of opsd begin: it stays open" == refused(
        store, Request("2026-07", "Ana", "x")
    )
    with pytest.raises(WrongUsage, match="'2026-Q3' is no month: write 2026-10"):
        close.run(store, Request("2026-Q3", "Ana", "x"), MEANS, now=at)
    with pytest.raises(WrongUsage, match="say --reason TEXT"):
        close.run(store, Request("2026-09", "Ana"), MEANS, now=at)
    assert (1, 1) == counts(store)


def test_accounting_must_be_read_to_the_end(tmp_path: Path) -> None:
    """Of every cluster; how far it was read is said."""
    held = closing_world.world(5, 40)
    store = priced_world.stored(
        f"sqlite:///{tmp_path / 'a.db'}", (), held.known, priced_world.grants(held.known), 0
    )
    end = window("2026-10").end
    closing_world.read(store, held.rows, held.known, end - HOUR)

    said = refused(store, Request("2026-10", "Ana", "x"))
    assert said.startswith(
        "the accounting of aiup is read up to 2026-10-31T23:00:00+01:00 only: read it up to"
    )
    closing_world.read(store, (), held.known, end)
    with store.write() as connection:
        sweeps.cover(connection, "mn5", end - 1, end)
    assert refused(store, Request("2026-10", "Ana", "x")).startswith(
        "the accounting of mn5 is read up to 2026-10-31"
    )
    store.close()


def test_concerns_are_acknowledged_by_name(world: tuple[Store, closing_world.World]) -> None:
    """Until each is, nothing is frozen; a name that is none is refused with the nearest."""
    store, _ = world
    asked = Request("2026-10", "Ana", "x")
    at = window("2026-10").end
    open_ = close.run(store, asked, MEANS, now=at)
    assert open_.prepared is not None
    names = tuple(concern.name for concern in open_.prepared.missing)
    assert {"unattributed", "no-certificate:mn5"} < set(names)

    fewer = replace(asked, acknowledged=names[1:])
    left = close.run(store, fewer, MEANS, now=at)
    assert left.prepared is not None
    assert (None, names[:1]) == (left.edition, tuple(one.name for one in left.prepared.missing))
    with pytest.raises(WrongUsage, match="no such concern; did you mean 'unattributed'"):
        close.run(store, replace(asked, acknowledged=("unatributed",)), MEANS, now=at)
    assert (0, 0) == counts(store)
    assert close.run(store, replace(asked, acknowledged=names), MEANS, now=at).edition
    assert (1, 1) == counts(store)


def test_the_zone_of_the_books_stays(world: tuple[Store, closing_world.World]) -> None:
    """Months of another zone overlap those that are closed: seven hours would be reported twice."""
    store, held = world
    assert closing_world.closed(store, "2026-08").edition
    with store.write() as connection:
        parties.save(connection, held.known, replace(held.known, book_zone="Asia/Tokyo"))

    for asked in (Request("2026-09", "Ana", "x"), Request("2026-08", "Ana", "x", restate=True)):
        assert "put book_zone back to Europe/Madrid" in refused(store, asked)
    assert (1, 1) == counts(store)


def test_a_second_person_is_another(world: tuple[Store, closing_world.World]) -> None:
    """Where the consortium asks for one, a close needs an approver, who is not its author."""
    store, held = world
    asked = Request("2026-10", "Ana", "x")
    with store.write() as connection:
        parties.save(connection, held.known, replace(held.known, second_person=("close",)))

    assert "say --approver NAME" in refused(store, asked)
    for same in (" ANA ", "\uff21na", "An\u0061 "):
        assert "another person" in refused(store, replace(asked, approver=same))
    looked = close.run(store, asked, MEANS, now=closing_world.SEEN, dry_run=True)
    assert looked.prepared is not None
    assert looked.edition is None
    found = closing_world.closed(store, "2026-10", approver="Bea")
    with store.read() as connection:
        last = parties.last_entry(connection)
    assert found.edition
    assert last is not None
    assert ("Ana", "Bea") == (last.author, last.approver)


def test_what_changes_while_files_are_written_is_in_them(world: tuple[Store, closing_world.World]) -> None:
    """The close starts again; what it freezes is what is known when it is frozen."""
    store, held = world
    more = held.rows[0]._replace(
        job_id=9_999, hash=9_999, account="es-a", tres="billing=4,cpu=4,mem=8000,node=1", state="COMPLETED",
        submit=BASE, start=BASE, end=BASE + HOUR, suspended=0,
    )  # fmt: skip
    written: list[int] = []

    def render(told: Dossier) -> tuple[File, ...]:
        if not written:
            closing_world.read(store, (more,), held.known, closing_world.SEEN)
        written.append(1)
        return closing_world.render(told)

    found = closing_world.closed(store, "2026-10", means=MEANS._replace(render=render))
    assert found.edition
    assert 2 == len(written)
    with store.read() as connection:
        assert f"mn5/9999@{BASE}" in editions.runs(connection, found.edition) or (
            f"aiup/9999@{BASE}" in editions.runs(connection, found.edition)
        )
    assert (1, 1) == counts(store)


def test_two_closes_at_once_are_one(world: tuple[Store, closing_world.World]) -> None:
    """The one that comes second finds the month closed."""
    store, _ = world
    first: list[Result] = []

    def render(told: Dossier) -> tuple[File, ...]:
        if not first:
            first.append(closing_world.closed(store, "2026-10"))
        return closing_world.render(told)

    second = closing_world.closed(store, "2026-10", means=MEANS._replace(render=render))
    assert (True, first[0].edition) == (second.again, second.edition)
    assert (1, 1) == counts(store)


def test_a_restated_month_changes_no_book(world: tuple[Store, closing_world.World]) -> None:
    """Edition 2 says what is now known; what will be corrected stays the same, and edition 1 as it was."""
    store, held = world
    first = closing_world.closed(store, "2026-08")
    closing_world.longer(store, held, "2026-08")
    with store.read() as connection:
        before = close.pending(connection)
    second = closing_world.closed(store, "2026-08", restate=True)

    assert before
    assert second.edition is not None
    assert ("2026-08/2", 2) == (second.edition.name, counts(store)[0])
    with store.read() as connection:
        assert before == close.pending(connection)
        reported = editions.reported(connection, "2026-08")
        assert first.prepared is not None
        assert first.prepared.dossier == editions.reported(connection, "2026-08", 1)
        (month,) = editions.months(connection)
    assert reported is not None
    assert known_use(store, "2026-08") == told(corrections.booked(reported).lines)
    assert month.reported == corrections.booked(first.prepared.dossier)
    assert "2026-09 is not closed: there is nothing to restate; leave out --restate" == refused(
        store, Request("2026-09", "Ana", "x", restate=True)
    )


def test_corrections_have_entries_before_the_close(world: tuple[Store, closing_world.World]) -> None:
    """One for each month corrected, with the digest of what it says; then nothing is left to correct."""
    store, held = world
    closing_world.closed(store, "2026-08")
    closing_world.longer(store, held, "2026-08")
    found = closing_world.closed(store, "2026-09")

    assert found.prepared is not None
    (correction,) = found.prepared.dossier.corrections
    with store.read() as connection:
        entries = [entry for entry in parties.journal(connection) if entry.kind in journal.DOCUMENTS]
        assert () == close.pending(connection)
    assert [("close", "2026-08/1"), ("correction", "2026-08"), ("close", "2026-09/1")] == [
        (entry.kind, entry.subject) for entry in entries
    ]
    assert canonical.digest(canonical.text(correction)) == entries[1].digest


@pytest.mark.parametrize("point", DEADLY)
def test_killed_at_any_point_it_is_closed_once(tmp_path: Path, point: str) -> None:
    """kill -9, then close again: one edition, one entry of its kind, nothing left over."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    store = closing_world.stored(url, closing_world.world(5, 40))
    _killed(url, point)

    found = closing_world.closed(store, "2026-10")
    assert (point == "committed") == found.again
    assert (1, 1) == counts(store)
    store.close()


def test_killed_on_postgresql_too(postgres_url: str) -> None:
    """With everything written and nothing committed."""
    store = closing_world.stored(postgres_url, closing_world.world(5, 40))
    _killed(postgres_url, "added")

    assert (0, 0) == counts(store)
    assert closing_world.closed(store, "2026-10").edition
    assert (1, 1) == counts(store)
    store.close()


def test_runs_that_do_not_add_up_are_a_bug(
    world: tuple[Store, closing_world.World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is named, and nothing is frozen."""
    store, _ = world
    every = run_list.run
    monkeypatch.setattr(run_list, "run", lambda connection, month: every(connection, month)[1:])

    with pytest.raises(OpsdError, match=r"bug in opsd: line .* its runs add up to .* nothing was frozen"):
        closing_world.closed(store, "2026-10")
    assert (0, 0) == counts(store)


def _killed(url: str, point: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.pipeline.close_and_die", url, point], check=False)
    assert -signal.SIGKILL == done.returncode
