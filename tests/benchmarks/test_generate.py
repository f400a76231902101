"""The benchmark's text is what its page says it is."""

from __future__ import annotations

import io
from collections import Counter
from statistics import mean, median

import pytest

from tests.benchmarks.generate import COLUMNS, DEFAULT_UNTIL, LONGEST_SECONDS, Year, as_comma_separated, write

ROWS = 20_000


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """A small year."""
    header, *lines = _text(ROWS, seed=1).splitlines()
    return [dict(zip(header.split("|"), line.split("|"), strict=True)) for line in lines]


def _text(rows: int, *, seed: int) -> str:
    out = io.StringIO()
    write(out, Year(rows=rows, seed=seed, until=DEFAULT_UNTIL))
    return out.getvalue()


def test_the_seed_decides_every_byte() -> None:
    """The same seed gives the same text, another seed another."""
    assert _text(500, seed=1) == _text(500, seed=1)
    assert _text(500, seed=1) != _text(500, seed=2)


def test_rows_are_as_many_as_asked_for_and_in_order(rows: list[dict[str, str]]) -> None:
    """Exactly the rows asked for, by the time of their submission, each with a key of its own."""
    submits = [row["Submit"] for row in rows]

    assert len(rows) == ROWS
    assert submits == sorted(submits)
    assert len({(row["JobIDRaw"], row["Submit"]) for row in rows}) == ROWS


def test_requeued_attempts_come_back(rows: list[dict[str, str]]) -> None:
    """One to two rows in a hundred repeat an earlier job id with a new submit time."""
    attempts = Counter(row["JobIDRaw"] for row in rows)

    assert 0.01 < 1 - len(attempts) / ROWS < 0.02


def test_durations_are_skewed_as_described(rows: list[dict[str, str]]) -> None:
    """A median of about twenty minutes, a mean of about three hours, and none beyond the longest."""
    ran = [int(row["ElapsedRaw"]) for row in rows if row["AllocTRES"]]

    assert median(ran) == pytest.approx(20 * 60, rel=0.05)
    assert mean(ran) == pytest.approx(3 * 3600, rel=0.1)
    assert max(ran) <= LONGEST_SECONDS + 67


def test_it_has_the_breadth_of_a_site(rows: list[dict[str, str]]) -> None:
    """Accounts, partitions, QOS and shapes are as many as the page says."""
    shapes = {row["AllocTRES"] for row in rows if row["AllocTRES"]}

    assert len({row["Account"] for row in rows}) == 60
    assert len({row["Partition"] for row in rows}) == 4
    assert len({row["QOS"] for row in rows}) == 3
    assert len(shapes) == 64
    assert len(COLUMNS) == 25


def test_commas_are_quoted() -> None:
    """In the comma-separated form a field with commas stays one field."""
    assert as_comma_separated("1|cpu=1,mem=2M|x") == '1,"cpu=1,mem=2M",x'
