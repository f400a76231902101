"""Applying master data: idempotent, whole or not at all, and everything granted is in the journal."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest

import opsd.pipeline.consortium
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.consortium import Consortium, Item
from opsd.core.errors import Refused
from opsd.core.journal import granted
from opsd.core.parties import AccountHint, NodeClass, Person
from opsd.core.period import HOUR
from opsd.pipeline.accounts import listing
from opsd.pipeline.consortium import apply, bind, import_people, plan
from opsd.store import parties
from opsd.store.engine import Store, open_engine
from opsd.store.migrate import upgrade
from tests.fakes.consortia import CLUSTER, award, binding, consortium

NOW = 50 * HOUR
ME = {"author": "me", "now": NOW}
FULL = consortium(award("one"), award("two", 60), binding("a", "one", 0, 10))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A database of either kind, with all tables."""
    opened = open_engine(store_url)
    upgrade(opened)
    yield opened
    opened.close()


def present(store: Store) -> Consortium:
    """What the database says."""
    with store.read() as connection:
        return parties.load(connection)


def journal(store: Store) -> list[tuple[str, str, int]]:
    """(award, kind, amount) of every entry."""
    with store.read() as connection:
        return [(entry.award, entry.kind, entry.amount) for entry in parties.journal(connection)]


def only(*items: Item) -> Consortium:
    """A file that mentions nothing else."""
    return Consortium.of(items)


def test_applying_twice_changes_nothing(store: Store) -> None:
    """The first apply writes and posts grants, the second finds nothing to do."""
    first = apply(store, FULL, **ME)
    assert {"cluster", "award", "binding"} <= {change.table for change in first.changes}
    assert FULL == present(store)
    assert [("one", "grant", 100 * MICRO_PER_HOUR), ("two", "grant", 100 * MICRO_PER_HOUR)] == journal(store)
    assert not apply(store, FULL, **ME)
    assert len(journal(store)) == 2


def test_a_dry_run_changes_nothing(store: Store) -> None:
    """The same diff is shown, and nothing is written."""
    shown = apply(store, FULL, **ME, dry_run=True)
    assert (Consortium(book_zone="UTC"), []) == (present(store), journal(store))
    assert shown == apply(store, FULL, **ME)


def test_what_a_file_does_not_mention_stays(store: Store) -> None:
    """A file with one entry adds or replaces that entry."""
    apply(store, FULL, **ME)
    diff = apply(store, only(binding("a", "one", 0, 20), binding("b", "two")), **ME)
    assert [("binding", "changed"), ("binding", "new")] == [(c.table, c.what) for c in diff.changes]
    assert (("valid_until", 10 * HOUR, 20 * HOUR),) == diff.changes[0].fields
    assert consortium(*FULL.awards.values(), binding("a", "one", 0, 20), binding("b", "two")) == present(
        store
    )


def test_a_changed_amount_posts_the_difference(store: Store) -> None:
    """The journal adds up to the award, with who and why."""
    apply(store, FULL, **ME)
    apply(store, only(award("one", amount=Fraction("120.5"))), **ME, reason="call 2")
    with store.read() as connection:
        entries = parties.journal(connection)
    assert ("extension", "call 2", "me", NOW) == (
        entries[-1].kind, entries[-1].reason, entries[-1].author, entries[-1].posted,
    )  # fmt: skip
    assert Fraction("120.5") * MICRO_PER_HOUR == granted(entries, NOW)["one"]


WRONG = [
    ("overlaps mini/a", only(binding("a", "two", 5))),
    ("unknown award 'x'", only(binding("b", "x"))),
    ("unknown cluster 'x'", only(Person("u", "uv", cluster="x"))),
    ("node a2 is also in mini/acc", only(NodeClass(CLUSTER, "other", nodes="a2"))),
    ("cannot become node-hours", only(award("one", unit="node-hours", policy="nodes"))),
]


@pytest.mark.parametrize(("message", "incoming"), WRONG)
def test_what_does_not_fit_is_refused_whole(store: Store, message: str, incoming: Consortium) -> None:
    """An overlap, a reference to nothing or a changed unit leaves everything as it was."""
    from opsd.core.agreements import Policy

    base = Consortium.of([*consortium(Policy("nodes", "node_hours")).policies])
    apply(store, FULL, **ME)
    apply(store, base, **ME)
    before, booked = present(store), journal(store)
    with pytest.raises(Refused, match=message):
        apply(store, incoming, **ME)
    assert (before, booked) == (present(store), journal(store))


def test_every_problem_is_shown_with_its_place() -> None:
    """A refusal names all problems at once, each where it stands."""
    incoming = only(binding("b", "x"), binding("c", "y"))
    with pytest.raises(Refused) as caught:
        plan(consortium(), incoming, place=lambda problem: f"file:{problem.key[1]}")
    assert ["file:b: binding", "file:c: binding"] == [row[:15] for row in str(caught.value).splitlines()]


def test_bind_and_rebind(store: Store) -> None:
    """A binding is added, is the same again, is replaced under its key, and is refused where it overlaps."""
    apply(store, FULL, **ME)
    assert bind(store, binding("b", "one"), **ME).changes
    assert not bind(store, binding("b", "one"), **ME)
    assert bind(store, binding("b", "two", 0, 7), **ME).changes
    with pytest.raises(Refused, match="overlaps"):
        bind(store, binding("b", "one", 6), **ME)
    assert ["one", "two"] == [held.award for held in present(store).bindings]


def test_people_keep_their_zone_and_their_past(store: Store) -> None:
    """Taking in a list of people leaves the others, and the book zone, alone."""
    apply(store, Consortium.of([*FULL.organisations.values(), Person("u", "uv")], "", "Europe/Madrid"), **ME)
    diff = import_people(
        store, [Person("v", "fct"), Person("u", "uv", 0, HOUR), Person("u", "fct", HOUR)], **ME
    )
    assert ["changed", "new", "new"] == [change.what for change in diff.changes]
    assert ("Europe/Madrid", 3) == (present(store).book_zone, len(present(store).people))


def test_changed_node_classes_reclassify(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored runs are classified anew when node classes change, and only then, in the same transaction."""
    asked: list[int] = []
    monkeypatch.setattr(opsd.pipeline.consortium, "reclassify", lambda _: asked.append(1) or 0)
    apply(store, FULL, **ME)
    apply(store, only(binding("b", "one")), **ME)
    assert [1] == asked

    def fails(_: object) -> int:
        raise Refused("cannot be classified")

    monkeypatch.setattr(opsd.pipeline.consortium, "reclassify", fails)
    with pytest.raises(Refused, match="cannot be classified"):
        apply(store, only(NodeClass(CLUSTER, "new")), **ME)
    assert ["acc", "gpp"] == [held.id for held in present(store).node_classes]


def test_unattributed_accounts_come_first() -> None:
    """The largest unattributed use is first, with what its name suggests; bound accounts follow by name."""
    held = consortium(
        award("one"), binding("z", "one"), binding("idle", "one"), AccountHint("epor", "Portugal")
    )
    used = [
        (CLUSTER, "z", "one", 7, 7),
        (CLUSTER, "epor1", "unattributed", 5, 9),
        (CLUSTER, "cpu", "unattributed", 0, 9),
        (CLUSTER, "big", "unattributed", 6, 0),
    ]
    lines = listing(used, held, NOW)
    assert ["big", "epor1", "cpu", "idle", "z"] == [line.account for line in lines]
    assert [True, True, True, False, False] == [line.unattributed for line in lines]
    assert (CLUSTER, "epor1", "unattributed", 5, 9, "Portugal") == lines[1].values


def test_accounts_bound_and_used_are_listed_once() -> None:
    """Use after an award's end stands for its binding; an account bound for one partition is found too."""
    held = consortium(
        award("one", 0, 5), award("two"), binding("a", "one"), binding("b", "two", partition="acc")
    )
    lines = listing([(CLUSTER, "a", "after-end:one", 1, 1)], held, NOW)
    assert [("a", "after-end:one"), ("b", "two")] == [(line.account, line.award) for line in lines]
