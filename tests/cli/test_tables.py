"""Balances as people see them, on terminals of any width."""

from __future__ import annotations

import pytest

from opsd.cli.tables import balance_table
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.pipeline.balance import Balances, Line


def balances(*, after_end: int = 380) -> Balances:
    """A long name, wide figures, one award over quota, one whose commitment is not known."""
    hours = MICRO_PER_HOUR
    lines = (
        Line("ehpc-dev-2026", "gpu-hours", 45_500 * hours, 21_988 * hours, 50 * hours, 70 * hours),
        Line("ptcore", "core-hours", 1_942_000 * hours, 1_732_320 * hours, 123 * hours, None),
        Line("cier05-a", "gpu-hours", 3_560 * hours, 3_690 * hours, 9 * hours, 23 * hours, after_end * hours),
    )
    return Balances("award", 1_794_700_800, lines, 1, (), unattributed=False)


def drawn(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the table on a terminal of this width."""
    monkeypatch.setenv("COLUMNS", str(width))
    balance_table(balances())
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("width", "missing"),
    [
        (120, []),
        (100, ["used", "committed"]),
        (80, ["used", "committed", "free", "outside"]),
        (40, ["used", "committed", "free", "outside", "accrued", "settled", "granted", "state"]),
    ],
)
def test_columns_are_left_out_before_anything_is_cut(
    width: int, missing: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and figures stay whole; what found no room is named below, in the order of going."""
    lines = drawn(width, capsys, monkeypatch)
    head = next(line for line in lines if line.startswith("award")).split()
    said = " ".join(line.strip() for line in lines)
    everything = "award unit granted settled accrued committed left free outside used state"

    assert [title for title in everything.split() if title not in missing] == head
    assert (f"no room for {', '.join(missing)}: --format csv" in said) is bool(missing)


def test_no_width_cuts_a_name_or_a_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a third of a terminal to two of them: never an ellipsis, and what is left is always there."""
    for width in range(40, 161):
        lines = drawn(width, capsys, monkeypatch)

        assert [] == [line for line in lines if "…" in line]
        assert "23,462" in next(line for line in lines if line.startswith("ehpc-dev-2026 "))
        assert "209,557" in next(line for line in lines if line.startswith("ptcore "))
        assert [] == [line for line in lines if len(line) > width]
