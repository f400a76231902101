"""What differs between two dossiers of one period, told by ever finer keys."""

from __future__ import annotations

from dataclasses import replace

from opsd.core import corrections, editions
from opsd.core.dossier import Seconds
from tests.fakes.dossiers import sample


def test_nothing_differs_from_itself() -> None:
    """No change at all."""
    assert () == editions.changes(sample(), sample())


def test_every_way_of_telling_adds_up_to_the_same() -> None:
    """A line that grew and one that is gone: in all, by cluster, pool, country, award and line."""
    before = sample()
    grown = before.lines[0]._replace(seconds=before.lines[0].seconds.plus(Seconds(gpu=7, cpu=11)))
    after = replace(before, lines=(grown, *before.lines[1:-1]))
    expected = Seconds(gpu=7, cpu=11).minus(before.lines[-1].seconds)
    found = editions.changes(before, after)

    assert set(editions.KINDS[:-1]) == {one.by for one in found}
    for by in editions.KINDS[:-1]:
        assert expected == corrections.total(one.difference for one in found if one.by == by)


def test_a_charge_alone_is_a_change_of_its_award() -> None:
    """Where the seconds are the same."""
    before = sample()
    first = before.balances[0]
    after = replace(before, balances=(replace(first, charged=first.charged + 5), *before.balances[1:]))
    (found,) = editions.changes(before, after)
    assert (editions.AWARD, first.award, Seconds(), 5) == (
        found.by,
        found.id,
        found.difference,
        found.charged,
    )


def test_persons_are_told_apart_by_no_change() -> None:
    """Only what a line amounts to counts, not which of its users it was."""
    before = sample()
    moved = before.lines[0]._replace(key=before.lines[0].key._replace(person=999))
    assert () == editions.changes(before, replace(before, lines=(moved, *before.lines[1:])))
