"""Grants are a fold over entries, entries follow from what changed, and a chain shows what was done to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsd.core.amounts import GPU_HOURS, LARGEST, MICRO_PER_HOUR
from opsd.core.awards import Award
from opsd.core.changes import merge, postings
from opsd.core.errors import Refused
from opsd.core.fields import BadField
from opsd.core.journal import DOCUMENTS, FIRST, GRANTING, Entry, chained, granted, walk
from opsd.core.period import HOUR
from tests.fakes.consortia import award, consortium

WHO = {"author": "me", "reason": ""}


def entry(**changes: object) -> Entry:
    """One grant of one GPU-hour at hour 10."""
    values: dict[str, object] = {
        "at": 10 * HOUR, "posted": 0, "kind": "grant", "award": "a", "unit": GPU_HOURS,
        "amount": MICRO_PER_HOUR, "reason": "", "author": "me",
    }  # fmt: skip
    return Entry(**(values | changes))  # type: ignore[arg-type]


def document(kind: str, **changes: object) -> Entry:
    """One entry that stands for a document: it has no award, unit or amount."""
    named = {"award": "", "unit": "", "amount": 0, "subject": "2026-10/1", "digest": "0f" * 32}
    return entry(kind=kind, **(named | changes))


def test_granted_is_what_was_in_effect() -> None:
    """Entries count from their instant on; corrections and closes grant nothing."""
    entries = [entry(), entry(at=20 * HOUR, kind="expiry", amount=-5), document("close")]
    at = [granted(entries, hour * HOUR).get("a", 0) for hour in (9, 10, 20)]
    assert [0, MICRO_PER_HOUR, MICRO_PER_HOUR - 5] == at


@given(
    st.permutations(
        [entry(amount=n, kind=kind, award=f"a{n % 2}") for n, kind in enumerate(GRANTING)]
        + [document(kind, at=n) for n, kind in enumerate(DOCUMENTS)]
    )
)
def test_the_fold_does_not_depend_on_order(entries: list[Entry]) -> None:
    """The same entries in any order grant the same."""
    assert granted(sorted(entries, key=lambda e: e.amount), LARGEST) == granted(entries, LARGEST)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("kind", {"kind": "gift"}),
        ("unit", {"unit": "hours"}),
        ("amount", {"amount": LARGEST + 1}),
        ("award", {"award": ""}),
        ("reason", {"reason": "two\nlines"}),
        ("author", {"author": "\x1b[1m"}),
        ("approver", {"approver": "a\tb"}),
        ("subject", {"kind": "close", "award": "", "unit": "", "amount": 0, "digest": "0f" * 32}),
        ("digest", {"kind": "correction", "award": "", "unit": "", "subject": "2026-10", "digest": "0F"}),
    ],
)
def test_entries_check_themselves(field: str, changes: dict[str, object]) -> None:
    """An entry that no balance could use is refused."""
    with pytest.raises(BadField) as caught:
        entry(**changes)
    assert field == caught.value.field


def test_a_new_award_posts_its_grant() -> None:
    """The grant takes effect when the award starts, not when somebody typed it in."""
    due = postings(consortium(), consortium(award("a", 10)), [], **WHO, now=99 * HOUR)
    assert [("grant", 10 * HOUR, 99 * HOUR, 100 * MICRO_PER_HOUR)] == [
        (e.kind, e.at, e.posted, e.amount) for e in due
    ]


@pytest.mark.parametrize(("amount", "kind", "hours"), [(150, "extension", 50), (30, "adjustment", -70)])
def test_a_changed_amount_posts_the_difference(amount: int, kind: str, hours: int) -> None:
    """More is an extension, less an adjustment, in effect from now or the award's start."""
    before, after = consortium(award("a", 10)), consortium(award("a", 10, amount=Fraction(amount)))
    late = postings(before, after, [], **WHO, now=99 * HOUR)
    early = postings(before, after, [], **WHO, now=0)
    assert [(kind, 99 * HOUR, hours * MICRO_PER_HOUR)] == [(e.kind, e.at, e.amount) for e in late]
    assert [10 * HOUR] == [e.at for e in early]


def test_a_moved_start_takes_the_grant_along() -> None:
    """At any instant, what is granted is what an award entered rightly at once would have granted."""
    wrong, right = consortium(award("a", 10)), consortium(award("a", 5))
    booked = list(postings(consortium(), wrong, [], **WHO, now=0))
    booked += postings(wrong, right, booked, **WHO, now=50 * HOUR)
    plain = postings(consortium(), right, [], **WHO, now=0)
    for hour in (4, 5, 9, 10, 60):
        assert granted(plain, hour * HOUR).get("a", 0) == granted(booked, hour * HOUR).get("a", 0)


def test_a_unit_cannot_change() -> None:
    """What was granted in one unit is not silently another."""
    with pytest.raises(Refused, match="cannot become node-hours"):
        postings(consortium(award("a")), consortium(award("a", unit="node-hours")), [], **WHO, now=0)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 20)), min_size=1, max_size=6))
def test_any_history_ends_at_the_award(states: list[tuple[int, int]]) -> None:
    """However often amount and start change, the journal grants the award's present amount."""
    before, booked = consortium(), list[Entry]()
    for now, (amount, start) in enumerate(states):
        held = replace(award("a", start), amount=Fraction(amount))
        after = merge(before, consortium(held))
        booked += postings(before, after, booked, **WHO, now=now * HOUR)
        assert () == postings(after, after, booked, **WHO, now=now * HOUR)
        before = after
    final: Award = before.awards["a"]
    assert final.amount * MICRO_PER_HOUR == granted(booked, LARGEST).get("a", 0)
    assert granted(booked, final.start - 1).get("a", 0) == 0


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(0, 20), st.integers(-50, 50), st.sampled_from(GRANTING)),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_master_data_take_back_nothing_of_the_journals_own(
    states: list[tuple[int, int, int, str]],
) -> None:
    """Whatever was posted beside master data, of whatever kind, still counts after any change of these."""
    before, booked, own = consortium(), list[Entry](), 0
    for now, (amount, start, extra, kind) in enumerate(states):
        after = merge(before, consortium(replace(award("a", start), amount=Fraction(amount))))
        booked += postings(before, after, booked, **WHO, now=now * HOUR)
        booked.append(entry(at=now * HOUR, kind=kind, amount=extra))
        own += extra
        assert () == postings(after, after, booked, **WHO, now=now * HOUR)
        before = after
    whole = before.awards["a"].amount * MICRO_PER_HOUR + own
    assert whole == granted(booked, LARGEST).get("a", 0)


# ------------------------------------------------------------------------------------------- the chain

WORDS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=8)
ENTRIES = st.lists(
    st.builds(
        entry, at=st.integers(0, 10**10), amount=st.integers(-LARGEST, LARGEST), reason=WORDS, author=WORDS,
        kind=st.sampled_from(GRANTING), evidence=WORDS,
    )
    | st.builds(document, st.sampled_from(DOCUMENTS), reason=WORDS, approver=WORDS),
    min_size=3, max_size=8,
)  # fmt: skip
LINKED = ENTRIES.map(lambda entries: [asdict(one) for one in chained(entries, None)])
PLACES = st.integers(0, 10**6)


def first_named(rows: list[dict[str, object]]) -> int:
    """The number of the entry that the first fault names."""
    return int(re.findall(r"[0-9]+", walk(rows).faults[0])[0])


@settings(max_examples=40)
@given(ENTRIES, st.integers(1, 2))
def test_a_chain_is_whole_however_it_was_posted(entries: list[Entry], cut: int) -> None:
    """In one go or in two, entries are numbered from 1, each carries the hash before, and all is well."""
    whole = list(chained(entries, None))
    first = list(chained(entries[:cut], None))
    assert whole == [*first, *chained(entries[cut:], first[-1])]
    assert list(range(1, len(entries) + 1)) == [one.id for one in whole]
    assert [FIRST, *(one.hash for one in whole)][:-1] == [one.previous for one in whole]
    assert (len(whole), whole[-1].hash, ()) == walk([asdict(one) for one in whole])
    assert [one.sealed for one in whole] == [one.hash for one in whole]


CHANGES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("at", "posted", "amount"), lambda value: value + 1),
    **dict.fromkeys(
        ("kind", "award", "unit", "reason", "author", "approver", "subject", "evidence", "digest"),
        lambda value: value + "x",
    ),
    **dict.fromkeys(("previous", "hash"), lambda value: ("1" if value[0] == "0" else "0") + value[1:]),
}


@settings(max_examples=40)
@given(LINKED, PLACES, st.sampled_from(sorted(CHANGES)))
def test_a_changed_entry_is_named(rows: list[dict[str, object]], place: int, field: str) -> None:
    """Whatever is changed in an entry, the walk names that entry first, and says that it was changed."""
    at = place % len(rows)
    rows[at] = rows[at] | {field: CHANGES[field](rows[at][field])}
    assert f"entry {at + 1} was changed: it does not match its hash" == walk(rows).faults[0]


@settings(max_examples=40)
@given(LINKED, PLACES)
def test_an_entry_changed_with_its_hash_breaks_the_next(rows: list[dict[str, object]], place: int) -> None:
    """Whoever makes the changed entry's hash fit breaks the link of the one behind it."""
    at = place % (len(rows) - 1)
    forged = replace(Entry(**rows[at]), reason="another")  # type: ignore[arg-type]
    rows[at] = asdict(replace(forged, hash=forged.sealed))
    if rows[at]["hash"] != rows[at + 1]["previous"]:
        assert (f"entry {at + 2} was changed: it does not match its hash",) == walk(rows).faults


@settings(max_examples=40)
@given(LINKED, PLACES)
def test_an_entry_taken_out_is_missed(rows: list[dict[str, object]], place: int) -> None:
    """One that is gone from before the end is named by its number, and nothing else is."""
    at = place % (len(rows) - 1)
    del rows[at]
    assert (f"entry {at + 1} is missing: the next is entry {at + 2}",) == walk(rows).faults


def test_several_taken_out_are_missed_together() -> None:
    """A gap of more than one is told once."""
    rows = [asdict(one) for one in chained([entry() for _ in range(6)], None)]
    assert ("entries 2 to 4 are missing: the next is entry 5",) == walk([rows[0], *rows[4:]]).faults


@settings(max_examples=40)
@given(LINKED, PLACES, PLACES)
def test_swapped_entries_are_named(rows: list[dict[str, object]], one: int, other: int) -> None:
    """Two that took each other's number: the first of them is out of order."""
    first, second = sorted((one % len(rows), other % len(rows)))
    if first == second:
        first, second = (first, first + 1) if first + 1 < len(rows) else (first - 1, first)
    a, b = rows[first], rows[second]
    rows[first], rows[second] = b | {"id": first + 1}, a | {"id": second + 1}
    place = f"it does not follow entry {first}" if first else "another was the first"
    assert f"entry {first + 1} is out of order: {place}" == walk(rows).faults[0]


@settings(max_examples=40)
@given(LINKED, PLACES)
def test_an_inserted_entry_is_named(rows: list[dict[str, object]], place: int) -> None:
    """One that was put in between, however well it is sealed, leaves the next without its place."""
    at = 1 + place % (len(rows) - 1)
    last = Entry(**rows[at - 1])  # type: ignore[arg-type]
    (new,) = chained([entry(reason="slipped in")], last)
    moved = [row | {"id": number} for number, row in enumerate(rows[at:], at + 2)]
    assert at + 2 == first_named([*rows[:at], asdict(new), *moved])


def test_an_empty_journal_is_whole() -> None:
    """Nothing posted: no entry, no fault, and the head is what the first entry has before it."""
    assert (0, FIRST, ()) == walk([])
