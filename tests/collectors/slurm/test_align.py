"""Records with free text: found if there is one way to read them, at a cost that grows with length only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.align import Joiner, Shapes, dealt, is_record
from collectors.slurm.layout import Layout
from tests.collectors.slurm.exports import FREE, fields, line

LAYOUT = Layout(FREE, "|")
NAMES = st.text(alphabet="ab|\n 1:=,", max_size=30)


def joined(lines: list[str], layout: Layout = LAYOUT) -> list[int | None]:
    """What a joiner says after each line."""
    joiner = Joiner(Shapes(layout))
    return [joiner.add(text) for text in lines]


def test_pipes_and_line_ends_in_a_name() -> None:
    """The columns around a name say where it ends."""
    text = line(FREE, JobName="a|b||c\nd|e", Comment="|x|\n")[:-1].decode()
    found = dealt(text, Shapes(LAYOUT))
    assert found is not None
    assert (fields(FREE)[4:8], "101") == (found[4:8], found[0])


@given(NAMES, NAMES)
def test_any_free_text_is_read_rightly_or_not_at_all(name: str, comment: str) -> None:
    """If the pieces are dealt, every kept column has what was written into it."""
    expected = fields(FREE, JobName=name, Comment=comment)
    text = "|".join(expected)
    shapes = Shapes(LAYOUT)
    assert is_record(text, shapes)
    if (found := dealt(text, shapes)) is not None:
        kept = [place for place, column in enumerate(FREE) if column not in ("JobName", "Comment")]
        assert [expected[place] for place in kept] == [found[place] for place in kept]


def test_two_ways_that_agree_are_one() -> None:
    """Where the border between two free columns lies does not matter."""
    layout = Layout((*FREE[:4], "Comment", *FREE[4:8], *FREE[9:]), "|")
    text = line(layout.columns, JobName="a|b", Comment="c|d")[:-1].decode()
    found = dealt(text, Shapes(layout))
    assert found is not None
    assert "COMPLETED" == found[5]


def test_two_ways_that_disagree_are_none() -> None:
    """A name that holds other columns after it can be read twice: it is a record, but not dealt."""
    row = fields(FREE, State="FAILED")
    forged = "|".join(["x", *row[4:8], "y"])
    text = line(FREE, JobName=forged)[:-1].decode()
    shapes = Shapes(LAYOUT)
    assert is_record(text, shapes)
    assert dealt(text, shapes) is None


@pytest.mark.parametrize("text", ["", "|", "|" * 200, "a", line(FREE, State="1")[:-1].decode()])
def test_what_is_no_record(text: str) -> None:
    """Some column does not fit, whatever the way."""
    assert not is_record(text, Shapes(LAYOUT))


def test_lines_are_joined_until_they_are_a_record() -> None:
    """And not one line further."""
    lines = line(FREE, JobName="a\nb|c\n\nd").decode()[:-1].split("\n")
    assert [None, None, None, 4] == joined(lines)


def test_the_fewest_lines_that_fit_are_the_record() -> None:
    """A torn record before it does not swallow its neighbour."""
    torn = line(FREE, JobName="torn\noff").decode().split("\n")[0]
    lines = line(FREE, JobName="a\nb").decode()[:-1].split("\n")
    assert [None, None, 2] == joined([torn, *lines])


def test_a_trailing_delimiter_ends_the_record() -> None:
    """With sacct -p even a last column of free text has an end."""
    layout = Layout((*FREE, "WorkDir"), "|", trailing=True)
    text = line(layout.columns, WorkDir="/a|b\n/c").decode()[:-1] + "|"
    assert [None, 2] == joined(text.split("\n"), layout)


@pytest.mark.parametrize(
    "name", ["|" * 65_536, "\n" * 65_536, "a|\n" * 20_000, "|\n|" * 20_000, "COMPLETED|" * 8_000]
)
def test_a_long_name_costs_its_length(name: str) -> None:
    """64 KiB of pipes or line ends: each piece is looked at a fixed number of times."""
    text = line(FREE, JobName=name).decode()[:-1]
    shapes = Shapes(LAYOUT)
    joiner = Joiner(shapes)
    answers = [joiner.add(part) for part in text.split("\n")]
    assert len(answers) == answers[-1]
    dealt(text, shapes)
    assert shapes.work <= 3 * (text.count("|") + text.count("\n") + 1)


def test_lines_that_never_become_a_record_cost_their_length() -> None:
    """A torn head and then nothing but fragments."""
    shapes = Shapes(LAYOUT)
    joiner = Joiner(shapes)
    lines = [line(FREE).decode()[:-40], *["x|y"] * 30_000]
    for text in lines:
        assert joiner.add(text) is None
    assert shapes.work <= 3 * len(lines)
