"""Any order and any grouping of what was seen of a run gives one truth."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.content import content_hash
from opsd.core.records import RunRecord
from opsd.core.versions import Truth, Version, distinct, merge, placed, same_content

REQUIRED = RunRecord._fields[: RunRecord._fields.index("user")]
OPTIONAL = RunRecord._fields[len(REQUIRED) : -1]
DRIFTING = ("elapsed", "suspended")


def seen(observed_at: int, import_id: int = 1, **columns: Any) -> Version:
    """One sighting of a run, with its content hash."""
    values: dict[str, Any] = {
        "cluster": "mn5", "job_id": 7, "submit": 100, "start": 110, "end": None, "state": "RUNNING",
        "account": "es-a", "tres": "cpu=4,node=1", **columns,
    }  # fmt: skip
    record = RunRecord(**values)
    return Version(record._replace(hash=content_hash(record)), observed_at, import_id)


def truth(versions: Iterable[Version]) -> Truth:
    """What all sightings add up to."""
    return merge(distinct(versions).values())


ENDED = {"end": 500, "state": "COMPLETED"}

# ---------------------------------------------------------------------------------------------- properties

maybe_text = st.none() | st.sampled_from(["", "a", "b"])
maybe_count = st.none() | st.integers(0, 3)


@st.composite
def sightings(draw: st.DrawFn) -> Version:
    """One of few contents, so that sightings of the same content are common, at one of few times."""
    ended = draw(st.booleans())
    columns: dict[str, Any] = {
        "user": draw(maybe_text),
        "qos": draw(maybe_text),
        "sluid": draw(maybe_text),
        "limit": draw(maybe_count),
        "account": draw(st.sampled_from(["es-a", "pt-b"])),
        "tres": draw(st.sampled_from(["cpu=4", "cpu=8"])),
        "elapsed": draw(maybe_count),
        "suspended": draw(maybe_count),
    }
    if ended:
        columns |= {
            "end": draw(st.sampled_from([500, 501])),
            "state": draw(st.sampled_from(["FAILED", "TIMEOUT"])),
        }
    return seen(draw(st.integers(1, 3)), draw(st.integers(1, 4)), **columns)


several = st.lists(sightings(), min_size=1, max_size=6)


@given(several, st.randoms(use_true_random=False))
def test_order_makes_no_difference(versions: list[Version], chance: random.Random) -> None:
    """The same sightings in another order, some of them twice, are the same truth."""
    shuffled = [*versions, *chance.choices(versions, k=3)]
    chance.shuffle(shuffled)

    assert truth(versions) == truth(shuffled)
    assert distinct(versions) == distinct(shuffled)


@given(several, st.data())
def test_grouping_makes_no_difference(versions: list[Version], data: st.DataObject) -> None:
    """Folding group by group, as batches arrive, gives what folding all at once gives."""
    kept: dict[int, Version] = {}
    rest = list(versions)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        group, rest = rest[:size], rest[size:]
        kept = distinct([*kept.values(), *distinct(group).values()])

    assert distinct(versions) == kept
    assert truth(versions) == merge(kept.values())


def rank(version: Version) -> tuple[bool, int, int]:
    """Ended beats open, then later beats earlier, then the content decides."""
    return version.record.end is not None, version.observed_at, version.record.hash


def best_carried(versions: Sequence[Version], column: str) -> Any:
    """A column's value by the rule in words: of the best sighting that carries it, the most it grew to."""
    carrying = [v for v in versions if getattr(v.record, column) is not None]
    if not carrying:
        return None
    top = max(map(rank, carrying))
    return max(getattr(v.record, column) for v in carrying if rank(v) == top)


@given(several)
def test_each_column_comes_from_the_best_sighting_carrying_it(versions: list[Version]) -> None:
    """Required columns are the best sighting's; each other one is that of the best one that has it."""
    found = truth(versions)
    best = max(versions, key=rank)

    assert [getattr(best.record, name) for name in REQUIRED] == [
        getattr(found.record, name) for name in REQUIRED
    ]
    for name in OPTIONAL:
        assert best_carried(versions, name) == getattr(found.record, name), name
    assert (best.record.hash, best.observed_at) == (found.record.hash, found.observed_at)


@given(several, st.data())
def test_placements_add_when_and_nothing_else(versions: list[Version], data: st.DataObject) -> None:
    """Whenever a run's suspensions were asked for, and however late that is met, text decides the rest."""
    placements = []
    for text in data.draw(st.lists(st.sampled_from(["", "110-120", "110-", "130-140"]), max_size=3)):
        some = data.draw(st.lists(st.sampled_from(versions), min_size=1))
        known = truth(some)
        placements.append(
            placed(Version(known.record, known.observed_at, known.import_id), text, content_hash)
        )

    found = truth(data.draw(st.permutations([*versions, *placements])))

    expected = truth(versions)
    assert expected == found._replace(record=found.record._replace(suspensions=None))
    told = {(v.record.end is not None, v.observed_at): set[str]() for v in placements}
    for v in placements:
        told[v.record.end is not None, v.observed_at].add(v.record.suspensions or "")
    assert (found.record.suspensions in told[max(told)]) if told else found.record.suspensions is None


@given(several)
def test_what_else_the_truth_tells(versions: list[Version]) -> None:
    """When the run was last seen open, and whether it had two SLUIDs."""
    found = truth(versions)
    opens = [v.observed_at for v in versions if v.record.end is None]

    assert max(opens, default=None) == found.seen_open
    assert (len({v.record.sluid for v in versions} - {None, ""}) > 1) == found.two_sluids


@given(several)
def test_distinct_keeps_each_content_once(versions: list[Version]) -> None:
    """One version per content, seen when it was last seen."""
    found = distinct(versions)

    assert {v.record.hash for v in versions} == set(found)
    for digest, version in found.items():
        assert max(v.observed_at for v in versions if v.record.hash == digest) == version.observed_at


# ------------------------------------------------------------------------------------------ rules, one by one


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_ended_beats_open_even_if_seen_earlier(order: tuple[int, ...]) -> None:
    """A stale look at a running job, read later, does not reopen it."""
    versions = [seen(10), seen(20, **ENDED), seen(30, state="SUSPENDED")]
    found = truth(versions[place] for place in order)

    assert ("COMPLETED", 20, 30) == (found.record.state, found.observed_at, found.seen_open)


def test_later_beats_earlier() -> None:
    """An edited end is believed from the moment it was seen."""
    first, edited = seen(10, **ENDED), seen(20, end=900, state="COMPLETED")

    assert [900, 900] == [truth([first, edited]).record.end, truth([edited, first]).record.end]


def test_an_edit_undone_is_believed_again() -> None:
    """The first content seen once more, after the edit, is the truth again."""
    versions = [seen(10, **ENDED), seen(20, end=900, state="COMPLETED"), seen(30, **ENDED)]

    assert (500, 30) == (truth(versions).record.end, truth(versions).observed_at)
    assert 2 == len(distinct(versions))


def test_equally_late_contents_are_decided_by_their_hash() -> None:
    """Nothing but the content may decide between two sightings of one instant."""
    versions = [seen(10, end=end, state="FAILED") for end in (501, 502, 503)]
    most = max(versions, key=lambda version: version.record.hash)

    assert {most.record} == {truth(found).record for found in permutations(versions)}


def test_a_narrow_export_takes_nothing_away() -> None:
    """A later export with fewer columns changes what it carries and keeps the rest."""
    wide = seen(10, user="ana", qos="high", suspended=7, limit=3600, **ENDED)
    narrow = seen(20, end=600, state="COMPLETED")

    found = truth([narrow, wide]).record

    assert (600, "ana", "high", 7, 3600) == (found.end, found.user, found.qos, found.suspended, found.limit)


def test_carried_and_empty_is_an_answer() -> None:
    """An empty user that was carried beats a name seen earlier: empty is not missing."""
    assert "" == truth([seen(10, user="ana", **ENDED), seen(20, user="", **ENDED)]).record.user


def test_what_drifts_is_no_new_content_while_open() -> None:
    """Looks at an open run that differ in Elapsed and Suspended are one version; the last look wins."""
    versions = [seen(at, elapsed=at, suspended=at // 2) for at in (10, 30, 20)]

    assert 1 == len(distinct(versions))
    assert (30, 15, 30) == (*truth(versions).record[12:14], truth(versions).seen_open)


def test_drift_at_one_instant_takes_the_greater() -> None:
    """Two equally late looks cannot be ordered, so the counts that only grow decide, column by column."""
    a, b = seen(10, elapsed=5, suspended=9), seen(10, elapsed=8, suspended=4)

    assert {(8, 9)} == {truth(pair).record[12:14] for pair in ([a, b], [b, a])}


def test_suspensions_of_an_open_run_drift() -> None:
    """They grow while it is open: a later look is believed, of two equally late ones what saw more."""
    first, more = ({"suspensions": text} for text in ("110-120,130-", "110-120,130-140,150-"))

    assert 1 == len(distinct([seen(10, **first), seen(10, **more)]))
    assert more["suspensions"] == truth([seen(10, **more), seen(10, **first)]).record.suspensions
    assert first["suspensions"] == truth([seen(20, **first), seen(10, **more)]).record.suspensions


def test_a_changed_text_keeps_the_suspensions_told_before() -> None:
    """Until they are asked for again, what is known stays known."""
    text = seen(10, suspended=10, **ENDED)
    changed = seen(20, suspended=10, account="pt-b", **ENDED)

    found = truth([text, placed(text, "110-120", content_hash), changed]).record

    assert ("pt-b", 10, "110-120") == (found.account, found.suspended, found.suspensions)


def test_what_drifted_is_content_once_ended() -> None:
    """After the end a corrected Suspended is an edit like any other."""
    versions = [seen(10, suspended=1, **ENDED), seen(20, suspended=2, **ENDED)]

    assert (2, 2) == (len(distinct(versions)), truth(versions).record.suspended)


@pytest.mark.parametrize("column", DRIFTING)
def test_a_later_look_without_a_drifting_column_keeps_it(column: str) -> None:
    """An open run seen again by an export without Suspended (or Elapsed) keeps the seconds seen before."""
    columns = {"elapsed": 50, "suspended": 40, "user": "ana"}
    wide = seen(10, **columns)
    narrow = seen(20, **{name: value for name, value in columns.items() if name != column})

    assert columns[column] == getattr(truth([wide, narrow]).record, column)
    assert truth([wide, narrow]) == truth([narrow, wide])


def test_two_sightings_of_one_content_by_two_readings() -> None:
    """The later sighting's reading is named; of two equally late ones the first reading."""
    early, late, twin = seen(10, 5, user="a"), seen(20, 6, user="a"), seen(20, 3, user="a")

    assert late == same_content(early, late) == same_content(late, early)
    assert twin == same_content(late, twin) == same_content(twin, late)


def test_two_sluids_are_noticed_and_one_counts() -> None:
    """Two Slurm ids under one key: one truth, and a mark; an empty id is none."""
    a, b, empty = (seen(at, sluid=text, **ENDED) for at, text in ((10, "sA"), (20, "sB"), (30, "")))

    assert ("sB", True) == (truth([a, b]).record.sluid, truth([a, b]).two_sluids)
    assert not truth([a, a, empty]).two_sluids
