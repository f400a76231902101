"""The stacked chart."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from opsd.cli.chart import Chart, Layer

COURSE = st.lists(st.integers(0, 10_000), min_size=12, max_size=12)


def printed(chart: Chart, width: int = 60, *, colour: bool = False, encoding: str = "utf-8") -> list[str]:
    """Its lines."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    system = "truecolor" if colour else None
    Console(file=file, width=width, force_terminal=colour, color_system=system).print(chart)  # type: ignore[arg-type]
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def test_a_column_is_as_high_as_its_sum() -> None:
    """Two layers of 4 and 4 reach the top, 2 and 2 the middle, nothing is empty."""
    chart = Chart([Layer("red", [4, 2, 0]), Layer("blue", [4, 2, 0])], ["", "", ""], height=2)
    assert ["8  █", "0  ██"] == [line.rstrip() for line in printed(chart)[:2]]


def test_eighths_of_a_line() -> None:
    """Sixteen levels in two lines."""
    chart = Chart([Layer("red", [16, 13, 3])], ["", "", ""], height=2)
    assert ["16  █▅", " 0  ██▃"] == [line.rstrip() for line in printed(chart)[:2]]


def test_marks_stand_below_their_columns() -> None:
    """A mark that would run over the edge is left out."""
    chart = Chart([Layer("red", [1] * 12)], ["", "2026-10", *[""] * 9, "2026-11"], height=1)
    assert "    2026-10" == printed(chart)[-1]


def test_too_many_values_share_columns() -> None:
    """Never wider than the terminal."""
    chart = Chart([Layer("red", list(range(100)))], [""] * 100)
    assert max(map(len, printed(chart, 40))) <= 40


@given(COURSE, COURSE, st.booleans(), st.sampled_from(["utf-8", "ascii"]))
def test_any_course_can_be_drawn(a: list[int], b: list[int], colour: bool, encoding: str) -> None:
    """In colour, without, and on a terminal of another age."""
    lines = printed(Chart([Layer("red", a), Layer("blue", b)], [""] * 12), colour=colour, encoding=encoding)
    assert len(lines) == 7


@pytest.mark.parametrize("layers", [[], [Layer("red", [])], [Layer("red", [0, 0])]])
def test_nothing_to_draw(layers: list[Layer]) -> None:
    """An empty chart is no failure."""
    assert len(printed(Chart(layers, [""] * (len(layers[0].values) if layers else 0)))) == 7
