"""Bars and tables on a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from opsd.cli import draw
from opsd.cli.draw import Bar, Column


def printed(what: object, width: int = 80, encoding: str = "utf-8") -> list[str]:
    """Lines as they reach a terminal without colour."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    draw.console(file, width).print(what)
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


@given(st.floats(0, 3), st.integers(1, 60))
def test_a_bar_is_as_wide_as_asked(fraction: float, width: int) -> None:
    """Whatever it shows."""
    assert width == len(draw.bar(fraction, width))


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, "    "), (0.0001, "▏   "), (0.5, "██  "), (0.53, "██▏ "), (1.0, "████"), (1.2, "███▶")],
)
def test_bars(fraction: float, expected: str) -> None:
    """Something is never nothing, and more than all is marked."""
    assert expected == draw.bar(fraction, 4)


@pytest.mark.parametrize(
    ("used", "granted", "expected"),
    [
        (0, 100, draw.FINE),
        (80, 100, draw.WATCH),
        (95, 100, draw.NEAR),
        (100, 100, draw.NEAR),
        (101, 100, draw.OVER),
        (1, 0, draw.OVER),
    ],
)
def test_the_colour_of_a_balance(used: int, granted: int, expected: str) -> None:
    """By the default thresholds."""
    assert expected == draw.state_style(used, granted)


def sample(bars: Sequence[float] = (0.2, 1.3)) -> draw.Drawn:
    """A table with everything in it."""
    columns = [
        Column("award", least=5),
        Column("granted hours", numeric=True),
        Column("", least=5),
        Column("state"),
    ]
    rows = [["Câmara de Ribeira Clara", 1_234_567, Bar(part, width=30), "over quota"] for part in bars]
    return draw.table("Awards", columns, rows, total=["total", 2_469_134, "", ""], caption="a note")


def test_a_table_foots_below_a_rule() -> None:
    """Title, head, rule, rows, rule, total, note."""
    lines = printed(sample(), 100)
    assert "Awards" == lines[0]
    assert lines[1].split() == ["award", "granted", "hours", "state"]
    assert set(lines[2]) == set(lines[5]) == {"─"}
    assert lines[6].split() == ["total", "2,469,134"]
    assert "a note" == lines[7]


@pytest.mark.parametrize("width", [24, 30, 40, 50, 60, 72, 80, 100, 200])
def test_numbers_survive_in_any_room(width: int) -> None:
    """Bars and texts give way; no line is wider than the terminal."""
    lines = printed(sample(), width)
    assert max(map(len, lines)) <= width
    assert sum("1,234,567" in line for line in lines) == 2


def test_without_room_bars_go_first() -> None:
    """And names are cut with an ellipsis only after them."""
    assert any("▶" in line for line in printed(sample(), 80))
    narrow = printed(sample(), 45)
    assert not any("▶" in line for line in narrow)
    assert any("…" in line for line in narrow)


def test_an_ascii_terminal_gets_ascii() -> None:
    """No character it cannot show, and no failure."""
    lines = printed(sample(), 80, "ascii")
    assert any("#" in line and ">" in line for line in lines)
    assert all(line.isascii() for line in lines)


def test_no_colour_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file gets text alone; so does a terminal under NO_COLOR (which may still be bold)."""
    assert not any("\x1b" in line for line in printed(sample()))
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    Console(file=file, force_terminal=True, width=80, color_system="truecolor").print(Bar(1.0, style="red"))
    assert "\x1b[3" not in file.getvalue()
