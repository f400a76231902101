"""What waits for a second person, and what may be done to awards: posted once, by two names where asked."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from opsd.core.agreements import Policy
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.consortium import Consortium
from opsd.core.errors import Refused
from opsd.core.journal import Entry
from opsd.core.period import HOUR
from opsd.pipeline import awards, consortium, journal
from opsd.pipeline.awards import Act
from opsd.store import drafts, migrate, parties
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.fakes import consortia
from tests.fakes.consortia import award

NOW = 50 * HOUR
ANA = Act("Ana", "as agreed", NOW)
GUARDED = ["adjustment", "credit", "extension", "grant", "transfer"]


def prepare(url: str) -> Store:
    """Two awards of 100 GPU-hours and one of node-hours, in a new database."""
    store = open_engine(url)
    migrate.upgrade(store)
    nodes = award("nodes", unit="node-hours", policy="by-node")
    held = consortia.consortium(award("one", 0, 100), award("two"), nodes, Policy("by-node", "node_hours"))
    consortium.apply(store, held, author="Ana", now=0)
    return store


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a database as a file, to copy."""
    path = tmp_path_factory.mktemp("prepared") / "opsd.db"
    prepare(sqlite_address(path)).close()
    return path


@pytest.fixture
def store(prepared: Path, tmp_path: Path) -> Iterator[Store]:
    """Such a database."""
    store = open_engine(sqlite_address(Path(shutil.copy(prepared, tmp_path / "copy.db"))))
    yield store
    store.close()


@pytest.fixture
def either(store_url: str) -> Iterator[Store]:
    """Such a database of either kind."""
    store = prepare(store_url)
    yield store
    store.close()


def guard(store: Store, kinds: list[str]) -> None:
    """Ask for a second person."""
    consortium.apply(store, Consortium.of([], second_person=kinds), author="Ana", now=0)


def posted(store: Store) -> list[Entry]:
    """The entries behind the three grants."""
    with store.read() as connection:
        assert () == journal.verify(connection).faults
        return parties.journal(connection)[3:]


def told(entries: list[Entry]) -> list[tuple[str, str, Fraction, str, str, str]]:
    """(kind, award, unit-hours, subject, author, approver) of each."""
    return [
        (one.kind, one.award, Fraction(one.amount, MICRO_PER_HOUR), one.subject, one.author, one.approver)
        for one in entries
    ]


def present(store: Store) -> Consortium:
    """The master data."""
    with store.read() as connection:
        return parties.load(connection)


def waiting(store: Store) -> list[tuple[int, str, str]]:
    """(number, kind, state) of every draft."""
    with store.read() as connection:
        return [(one.id, one.kind, one.state) for one in drafts.every(connection)]


# ------------------------------------------------------------------------------------------- one person


def test_a_grant_makes_an_award_and_posts_it(store: Store) -> None:
    """The award stands in the master data, its grant takes effect at its start, and its author is named."""
    new = award("new", 60, amount=Fraction("0.5"))
    done = awards.grant(store, new, ANA)
    assert (
        [("grant", "new", Fraction(1, 2), "", "Ana", "")] == told(posted(store)) == told(list(done.entries))
    )
    assert (new, 60 * HOUR, "as agreed") == (
        present(store).awards["new"], posted(store)[0].at, posted(store)[0].reason,
    )  # fmt: skip
    with pytest.raises(Refused, match="award 'new' exists"):
        awards.grant(store, new, ANA)


def test_an_extension_changes_master_data_so_that_their_file_agrees(store: Store) -> None:
    """More time and a later end in one entry; what is exported and applied again changes nothing."""
    awards.extend(store, "one", ANA, more=Fraction(20), until=200 * HOUR)
    assert replace(award("one", 0, 200), amount=Fraction(120)) == present(store).awards["one"]
    assert [("extension", "one", Fraction(20), "", "Ana", "")] == told(posted(store))
    assert (
        '{"end":{"after":"1970-01-09T08:00:00+00:00","before":"1970-01-05T04:00:00+00:00"}}'
        == posted(store)[0].evidence
    )
    assert not consortium.apply(store, present(store), author="Ana", now=NOW + 9)


def test_a_later_end_alone_is_an_entry_of_nothing(store: Store) -> None:
    """That an award may be used for longer stands in the journal, with its reason, and grants nothing."""
    awards.extend(store, "one", ANA, more=None, until=200 * HOUR)
    assert [("extension", "one", Fraction(0), "", "Ana", "")] == told(posted(store))
    assert 200 * HOUR == present(store).awards["one"].end


@pytest.mark.parametrize(
    ("name", "until", "message"),
    [
        ("one", 100, "ends 1970-01-05T04:00:00.00:00: an extension"),
        ("two", 100, "has no end"),
        ("onne", 1, "'one'"),
    ],
)
def test_what_no_extension_is(store: Store, name: str, until: int, message: str) -> None:
    """An end that is no later, one where there is none, and an award that does not exist are refused."""
    with pytest.raises(Refused, match=message):
        awards.extend(store, name, ANA, more=None, until=until * HOUR)
    assert [] == posted(store)


def test_a_transfer_is_two_entries_that_name_each_other(store: Store) -> None:
    """What one award gives the other gets; master data stay, and applying them again takes nothing back."""
    before = present(store)
    awards.transfer(store, "one", "two", Fraction(30), ANA)
    assert [
        ("transfer", "one", Fraction(-30), "two", "Ana", ""),
        ("transfer", "two", Fraction(30), "one", "Ana", ""),
    ] == told(posted(store))  # fmt: skip
    assert before == present(store)
    assert not consortium.apply(store, before, author="Ana", now=NOW + 9)
    with store.read() as connection:
        left = {one.award.id: one.left // MICRO_PER_HOUR for one in awards.standings(connection, NOW)}
    assert {"nodes": 100, "one": 70, "two": 130} == left


@pytest.mark.parametrize(
    ("source", "target", "hours", "message"),
    [
        ("one", "two", "100.5", "'one' has 100 gpu-hours left, not 100.5"),
        ("one", "nodes", "1", "'one' is in gpu-hours, 'nodes' in node-hours"),
        ("one", "one", "1", "needs two awards"),
        ("one", "twoo", "1", "award 'twoo': there is none; did you mean 'two'"),
    ],
)
def test_what_cannot_be_transferred(store: Store, source: str, target: str, hours: str, message: str) -> None:
    """More than is left, another unit, oneself and nobody are refused, and nothing is posted."""
    with pytest.raises(Refused, match=message):
        awards.transfer(store, source, target, Fraction(hours), ANA)
    assert [] == posted(store)


def test_a_dry_run_writes_nothing(store: Store) -> None:
    """It answers with what would be posted."""
    done = awards.extend(store, "one", replace(ANA, dry_run=True), more=Fraction(1), until=None)
    assert ([("extension", "one", Fraction(1), "", "Ana", "")], None) == (
        told(list(done.entries)),
        done.draft,
    )
    assert ([], Fraction(100)) == (posted(store), present(store).awards["one"].amount)


# ------------------------------------------------------------------------------------------ two persons


def test_a_second_person_posts_what_the_first_wrote(either: Store) -> None:
    """It waits, changes nothing, and is posted with both names when another approves; never twice."""
    guard(either, GUARDED)
    done = awards.extend(either, "one", ANA, more=Fraction(20), until=200 * HOUR)
    assert ([], Fraction(100), 1) == (posted(either), present(either).awards["one"].amount, done.draft)
    assert [(1, "extension", "waiting")] == waiting(either)

    journal.approve(either, 1, person="Bob", now=NOW + 5)
    assert [("extension", "one", Fraction(20), "", "Ana", "Bob")] == told(posted(either))
    assert (NOW + 5, "as agreed") == (posted(either)[0].posted, posted(either)[0].reason)
    assert replace(award("one", 0, 200), amount=Fraction(120)) == present(either).awards["one"]
    with pytest.raises(Refused, match="draft 1 was posted by Bob already"):
        journal.approve(either, 1, person="Eve", now=NOW + 6)
    assert 1 == len(posted(either))


@pytest.mark.parametrize("name", ["Ana", " ana ", "ANA", "\uff21na"])  # the last begins with a wide A
def test_the_same_person_is_no_second_one(store: Store, name: str) -> None:
    """However the name is typed."""
    guard(store, GUARDED)
    awards.transfer(store, "one", "two", Fraction(1), ANA)
    with pytest.raises(Refused, match="draft 1 is Ana's own: a second person must approve a transfer"):
        journal.approve(store, 1, person=name, now=NOW)
    assert ([], [(1, "transfer", "waiting")]) == (posted(store), waiting(store))


def test_two_approvers_at_once_post_once(either: Store) -> None:
    """One of them posts it, the other is told by whom it was posted."""
    guard(either, GUARDED)
    awards.grant(either, award("new"), ANA)
    together, refused = threading.Barrier(2), []

    def approve(name: str) -> None:
        together.wait()
        try:
            journal.approve(either, 1, person=name, now=NOW)
        except Refused as err:
            refused.append(str(err))

    both = [threading.Thread(target=approve, args=(name,)) for name in ("Bob", "Eve")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    [entry] = posted(either)
    assert ("grant", "new", "Ana") == (entry.kind, entry.award, entry.author)
    assert [f"draft 1 was posted by {entry.approver} already; nothing was posted"] == refused


def test_a_declined_draft_stays_with_its_reason(either: Store) -> None:
    """Nothing is posted, then or later, and it says who declined it and why."""
    guard(either, GUARDED)
    awards.transfer(either, "one", "two", Fraction(1), ANA)
    journal.decline(either, 1, person="Bob", reason="not agreed", now=NOW)
    with either.read() as connection:
        draft = drafts.one(connection, 1)
    assert ("declined", "Bob", "not agreed", NOW) == (
        draft.state, draft.decided_by, draft.reason, draft.decided_at,
    )  # fmt: skip
    for again in (
        lambda: journal.approve(either, 1, person="Eve", now=NOW),
        lambda: journal.decline(either, 1, person="Eve", reason="no", now=NOW),
    ):
        with pytest.raises(Refused, match="draft 1 was declined by Bob already"):
            again()
    assert [] == posted(either)


def test_an_award_that_changed_meanwhile_is_not_overwritten(store: Store) -> None:
    """Approving what was drafted of an older award is refused; the draft still waits."""
    guard(store, GUARDED)
    awards.extend(store, "one", ANA, more=Fraction(20), until=None)
    renamed = replace(present(store).awards["one"], mode="Fast Lane")
    consortium.apply(store, Consortium.of([renamed]), author="Ana", now=NOW)
    with pytest.raises(Refused, match="award 'one' was changed since this was drafted"):
        journal.approve(store, 1, person="Bob", now=NOW)
    assert ([], [(1, "extension", "waiting")]) == (posted(store), waiting(store))


def test_what_is_left_is_asked_again_when_posting(store: Store) -> None:
    """Two drafts that together take more than there is: the second is refused."""
    guard(store, GUARDED)
    awards.transfer(store, "one", "two", Fraction(60), ANA)
    awards.transfer(store, "one", "two", Fraction(60), ANA)
    journal.approve(store, 1, person="Bob", now=NOW)
    with pytest.raises(Refused, match="has 40 gpu-hours left, not 60"):
        journal.approve(store, 2, person="Bob", now=NOW)
    assert (2, [(1, "transfer", "posted"), (2, "transfer", "waiting")]) == (
        len(posted(store)),
        waiting(store),
    )


def test_a_file_does_not_pass_by_the_second_person(store: Store) -> None:
    """A consortium file that would post what two must answer for is refused; other changes are not."""
    guard(store, GUARDED)
    for changed in (award("new"), replace(award("one", 0, 100), amount=Fraction(101)), award("one", 5, 100)):
        with pytest.raises(Refused, match="a second person must approve a journal entry of kind"):
            consortium.apply(store, Consortium.of([changed]), author="Eve", now=NOW)
    assert consortium.apply(store, Consortium.of([award("two", mode="Fast Lane")]), author="Eve", now=NOW)
    assert [] == posted(store)


def test_where_nobody_asks_one_person_is_enough(store: Store) -> None:
    """Drafts that waited are posted by their author once the consortium asks for no second person."""
    guard(store, GUARDED)
    awards.transfer(store, "one", "two", Fraction(1), ANA)
    guard(store, [])
    journal.approve(store, 1, person="Ana", now=NOW)
    assert [("Ana", ""), ("Ana", "")] == [(one.author, one.approver) for one in posted(store)]
