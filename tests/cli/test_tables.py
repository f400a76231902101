"""Balances as people see them, on terminals of any width."""

from __future__ import annotations

from fractions import Fraction

import pytest

from opsd.cli.tables import balance_table
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.forecast import Forecast
from opsd.pipeline.balance import Balances, Line
from opsd.pipeline.outlook import Outlook, Outlooks


def balances(*, after_end: int = 380) -> Outlooks:
    """A long name, wide figures, one award over quota, one whose commitment is not known and that is open."""
    hours = MICRO_PER_HOUR
    lines = (
        Line("ehpc-dev-2026", "gpu-hours", 45_500 * hours, 21_988 * hours, 50 * hours, 70 * hours),
        Line("ptcore", "core-hours", 1_942_000 * hours, 1_732_320 * hours, 123 * hours, None),
        Line("cier05-a", "gpu-hours", 3_560 * hours, 3_690 * hours, 9 * hours, 23 * hours, after_end * hours),
    )
    outlooks = (
        Outlook((0, 1_750 * hours, 9 * hours), Fraction(58, 100), Forecast("expected", 1_804_700_800)),
        Outlook((0, 0, 0), None, Forecast("none")),
        Outlook((0, 516 * hours, 0), Fraction(79, 100), Forecast("already")),
    )
    found = {(line.key, line.unit): one for line, one in zip(lines, outlooks, strict=True)}
    return Outlooks(Balances("award", 1_794_700_800, lines, 1, (), unattributed=False), found)


def drawn(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the table on a terminal of this width."""
    monkeypatch.setenv("COLUMNS", str(width))
    balance_table(balances())
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("width", "missing"),
    [
        (140, []),
        (120, ["committed", "free"]),
        (110, ["committed", "free", "accrued"]),
        (100, ["committed", "free", "accrued", "outside"]),
        (80, ["committed", "free", "accrued", "outside", "settled", "7 days", "elapsed"]),
        (
            40,
            [
                "committed",
                "free",
                "accrued",
                "outside",
                "settled",
                "7 days",
                "elapsed",
                "used",
                "granted",
                "forecast",
                "state",
            ],
        ),
    ],
)
def test_columns_are_left_out_before_anything_is_cut(
    width: int, missing: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and figures stay whole; what found no room is named below, in the order of going."""
    lines = drawn(width, capsys, monkeypatch)
    head = next(line for line in lines if line.startswith("award")).replace("7 days", "7_days").split()
    said = " ".join(line.strip() for line in lines)
    everything = (
        "award unit granted settled accrued committed left free outside 7_days elapsed used forecast state"
    )

    gone = [title.replace(" ", "_") for title in missing]
    assert [title for title in everything.split() if title not in gone] == head
    assert (f"no room for {', '.join(missing)}: --format csv --forecast" in said) is bool(missing)


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


def test_how_long_it_lasts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The burn of a week, the time that is over beside what is used, and the day or a word."""
    lines = {line.split()[0]: line for line in drawn(160, capsys, monkeypatch) if line.strip()}

    assert "1,750     58 %   48 %" in lines["ehpc-dev-2026"]
    assert "2027-03-10  ok" in lines["ehpc-dev-2026"]
    assert "  0            89 %" in lines["ptcore"]
    assert "none        threshold-80" in lines["ptcore"]
    assert "516     79 %  104 %" in lines["cier05-a"]
    assert "already     over" in lines["cier05-a"]
