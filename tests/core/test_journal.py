"""Grants are a fold over entries, and entries follow from what changed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.amounts import GPU_HOURS, LARGEST, MICRO_PER_HOUR
from opsd.core.awards import Award
from opsd.core.changes import merge, postings
from opsd.core.errors import Refused
from opsd.core.fields import BadField
from opsd.core.journal import KINDS, Entry, granted
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


def test_granted_is_what_was_in_effect() -> None:
    """Entries count from their instant on; corrections and closes grant nothing."""
    entries = [entry(), entry(at=20 * HOUR, kind="expiry", amount=-5), entry(kind="close", amount=7)]
    at = [granted(entries, hour * HOUR).get("a", 0) for hour in (9, 10, 20)]
    assert [0, MICRO_PER_HOUR, MICRO_PER_HOUR - 5] == at


@given(st.permutations([entry(amount=n, kind=kind, award=f"a{n % 2}") for n, kind in enumerate(KINDS)]))
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
    before, booked = consortium(), []
    for now, (amount, start) in enumerate(states):
        held = replace(award("a", start), amount=Fraction(amount))
        after = merge(before, consortium(held))
        booked += postings(before, after, booked, **WHO, now=now * HOUR)
        assert () == postings(after, after, booked, **WHO, now=now * HOUR)
        before = after
    final: Award = before.awards["a"]
    assert final.amount * MICRO_PER_HOUR == granted(booked, LARGEST).get("a", 0)
    assert granted(booked, final.start - 1).get("a", 0) == 0
