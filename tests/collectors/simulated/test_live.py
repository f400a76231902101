"""The factory that goes on: the same history wherever one stops, and GPUs held by one job at a time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from collectors.simulated.live import AHEAD, Holding, LiveFactory
from collectors.simulated.text import COLUMNS

START = 1_794_700_800
SEED = 3
HOUR = 3_600
LATER = START + 6 * HOUR
EVER = START + AHEAD


def rows(text: bytes) -> dict[tuple[str, str], tuple[str, ...]]:
    """Rows by job and submission, without the header; each stands there once."""
    header, *lines = text.decode().splitlines()
    fields = [line.split("|") for line in lines]
    at = [COLUMNS.index(name) for name in ("JobIDRaw", "Submit")]
    keyed = {(row[at[0]], row[at[1]]): tuple(row) for row in fields}
    assert header == "|".join(COLUMNS)
    assert len(fields) == len(keyed)
    return keyed


@pytest.fixture(scope="module")
def stepped() -> tuple[LiveFactory, list[bytes]]:
    """A factory asked every hour, and what it said of the hour before."""
    factory = LiveFactory(START, SEED)
    said = [b"".join(factory.sacct_text(at, at - HOUR, at)) for at in range(START + HOUR, LATER + HOUR, HOUR)]
    return factory, said


@pytest.fixture(scope="module")
def at_once() -> bytes:
    """All of another factory's history, asked once."""
    return b"".join(LiveFactory(START, SEED).sacct_text(LATER, 0, EVER))


def test_stopping_on_the_way_changes_nothing(
    stepped: tuple[LiveFactory, list[bytes]], at_once: bytes
) -> None:
    """Asked every hour or once: the same runs; only Slurm's own numbering may come in another order."""
    asked_often = rows(b"".join(stepped[0].sacct_text(LATER, 0, EVER)))
    asked_once = rows(at_once)
    numbers = {COLUMNS.index(name) for name in ("DBIndex", "AssocID")}

    def told(row: tuple[str, ...]) -> list[str]:
        return [text for place, text in enumerate(row) if place not in numbers]

    assert {key: told(row) for key, row in asked_once.items()} == {
        key: told(row) for key, row in asked_often.items()
    }


def test_life_goes_on_after_the_start(stepped: tuple[LiveFactory, list[bytes]]) -> None:
    """Every hour some runs begin and some end."""
    start, end = COLUMNS.index("Start"), COLUMNS.index("End")
    for hour, text in enumerate(stepped[1]):
        since = START + hour * HOUR
        inside = Counter(
            name
            for row in rows(text).values()
            for name, place in (("begun", start), ("ended", end))
            if row[place].isdigit() and since <= int(row[place]) < since + HOUR
        )
        assert inside["begun"]
        assert inside["ended"]


def test_a_row_keeps_its_database_number(stepped: tuple[LiveFactory, list[bytes]]) -> None:
    """What was printed before is printed with the same number later: no new content, no new version."""
    number = COLUMNS.index("DBIndex")
    whole = rows(b"".join(stepped[0].sacct_text(LATER, 0, EVER)))
    for text in stepped[1]:
        assert [] == [key for key, row in rows(text).items() if whole[key][number] != row[number]]


def test_an_hour_holds_what_was_alive_in_it(stepped: tuple[LiveFactory, list[bytes]], at_once: bytes) -> None:
    """As sacct -S -E: nothing that had ended before, and no job twice."""
    end = COLUMNS.index("End")
    last = rows(stepped[1][-1])
    expected = {
        key
        for key, row in rows(at_once).items()
        if int(key[1]) < LATER and (not row[end].isdigit() or int(row[end]) >= LATER - HOUR)
    }

    assert expected == set(last)


def test_single_jobs_can_be_asked_for(stepped: tuple[LiveFactory, list[bytes]]) -> None:
    """All rows of the jobs named, and no others."""
    wanted = {int(key[0]) for key in [*rows(stepped[1][0])][:3]}

    found = rows(b"".join(stepped[0].sacct_text_of(LATER, wanted)))

    assert wanted == {int(key[0]) for key in found}


def test_gpus_are_held_by_one_job_at_a_time(stepped: tuple[LiveFactory, list[bytes]]) -> None:
    """Over hours: no GPU twice, none that the node has not, and a job keeps those it was given."""
    factory = LiveFactory(START, SEED)
    nodes = factory.busy_nodes(START, 4)
    given: dict[tuple[str, int], Holding] = {}
    seen = 0
    for at in range(START, LATER, HOUR // 4):
        held = factory.holdings(at, nodes)
        gpus = [(holding.node, gpu) for holding in held for gpu in holding.gpus]
        assert len(gpus) == len(set(gpus))
        assert {gpu for _, gpu in gpus} <= {0, 1, 2, 3}
        for holding in held:
            assert given.setdefault((holding.node, holding.job), holding) == holding
        seen += len(gpus)

    assert len(nodes) == len(set(nodes)) == 4
    assert seen > 0


def test_the_past_of_nodes(stepped: tuple[LiveFactory, list[bytes]]) -> None:
    """Who held which GPUs, never two at a time; what is open goes on where it was; Slurm tells the same."""
    factory = LiveFactory(START, SEED)
    nodes = factory.busy_nodes(START, 2)
    since = START - 30 * 24 * HOUR
    past = factory.past(START, nodes, since)
    told = {
        (int(row[COLUMNS.index("JobIDRaw")]), int(row[COLUMNS.index("Start")]))
        for row in rows(b"".join(factory.sacct_text(START, 0, EVER))).values()
        if row[COLUMNS.index("Start")].isdigit()
    }
    for node in nodes:
        for gpu in range(4):
            here = [holding for holding in past if holding.node == node and gpu in holding.gpus]
            assert [] == [
                (one, other)
                for one, other in pairwise(here)
                if one.ended is None or one.ended > other.started
            ]

    assert len(past) > 100
    assert all(holding.gpus for holding in past)
    assert [] == [holding for holding in past if holding.ended is not None and holding.ended <= since]
    assert {(holding.job, holding.started) for holding in past} <= told
    assert [holding for holding in past if holding.ended is None] == sorted(
        factory.holdings(START, nodes), key=lambda holding: (holding.node, holding.started, holding.job)
    )
