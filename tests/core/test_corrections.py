"""Corrections: what moved a month, item by item, adding up to the difference of two states."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core import corrections
from opsd.core.amounts import MICRO
from opsd.core.corrections import Booked, Part, RunUse
from opsd.core.dossier import Correction, Item, Key, Seconds
from opsd.core.errors import BadText

POLICIES = {"A1": "gpu", "A2": "share"}


def key(award: str = "A1", *, uses: str = "ES", node_class: str = "acc", outside: str = "") -> Key:
    """A line's key on one cluster."""
    return Key("mn5", node_class, award, "" if award else "lost", outside, uses, 0)


def use(gpu: int, charged: str = "0", name: str = "1", mark: str = "m", **where: str) -> RunUse:
    """A run with one part; 4 GPUs a node."""
    part = Part(key(**where), Seconds(gpu, gpu // 4, gpu * 40, 0, gpu), Fraction(charged))  # type: ignore[arg-type]
    return RunUse(f"mn5/{name}@7", mark, "es-a", (part,))


def booked(runs: Sequence[RunUse]) -> Booked:
    """Their state, charges rounded once."""
    charged: dict[str, Fraction] = {}
    for part in (part for run in runs for part in run.parts):
        if part.key.award and not part.key.outside:
            charged[part.key.award] = charged.get(part.key.award, Fraction(0)) + part.charged
    whole = {award: round(value * MICRO) for award, value in charged.items()}
    return corrections.booked_of(corrections.lines_of(runs), whole)


def between(old: Sequence[RunUse], new: Sequence[RunUse]) -> Correction | None:
    """The correction from one list of runs to another."""
    named = [{run.id: run for run in runs} for runs in (old, new)]
    return corrections.between("2026-08", booked(old), booked(new), *named, POLICIES)


def items(old: Sequence[RunUse], new: Sequence[RunUse]) -> list[tuple[str, str, str, int, int]]:
    """Its items in short."""
    found = between(old, new)
    assert found is not None
    return [(item.what, item.id, item.award, item.seconds.gpu, item.charged) for item in found.items]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (use(60, "60", mark="n"), [("run", "mn5/1@7", "A1", 20, 20 * MICRO)]),
        (use(40, "7", award="A2"), [
            ("binding", "mn5/es-a", "A1", -40, -40 * MICRO), ("binding", "mn5/es-a", "A2", 40, 7 * MICRO),
        ]),
        (use(40, "7", award="A2", mark="n"), [
            ("run", "mn5/1@7", "A1", -40, -40 * MICRO), ("run", "mn5/1@7", "A2", 40, 7 * MICRO),
        ]),
        (use(40, "30"), [("policy", "gpu", "A1", 0, -10 * MICRO)]),
        (use(40, "40", uses="PT"), [("people", "PT", "A1", 0, 0)]),
        (use(40, "80", node_class="gpp"), [("node-class", "mn5/gpp", "A1", 0, 40 * MICRO)]),
        (use(40, outside="after-end"), [
            ("award", "A1", "A1", -40, -40 * MICRO), ("award", "A1", "A1", 40, 0),
        ]),
        (use(40, award=""), [
            ("binding", "mn5/es-a", "", 40, 0), ("binding", "mn5/es-a", "A1", -40, -40 * MICRO),
        ]),
    ],
    ids=["run", "binding", "run-and-binding", "policy", "people", "node-class", "award", "nobody"],
)  # fmt: skip
def test_what_moved_is_told_by_its_evidence(new: RunUse, expected: list[object]) -> None:
    """A run that Slurm tells otherwise is the run; else it is whatever it is joined with that changed."""
    assert expected == items([use(40, "40")], [new])


def test_runs_that_came_or_went() -> None:
    """Each is an item by its name."""
    expected = [("run", "mn5/1@7", "A1", -4, -4 * MICRO), ("run", "mn5/2@7", "A1", 8, 8 * MICRO)]
    assert expected == items([use(4, "4")], [use(8, "8", name="2")])


def test_many_runs_of_one_binding_are_one_item() -> None:
    """However many it moved."""
    old = [use(4, "4", name=str(number)) for number in range(50)]
    new = [use(4, "1/3", name=str(number), award="A2") for number in range(50)]
    moved = round(Fraction(50, 3) * MICRO)
    assert [
        ("binding", "mn5/es-a", "A1", -200, -200 * MICRO),
        ("binding", "mn5/es-a", "A2", 200, moved),
    ] == items(old, new)


def test_nothing_changed_is_no_correction() -> None:
    """Also where Slurm tells a run otherwise and it counts the same."""
    assert between([use(4, "4")], [use(4, "4", mark="other")]) is None


def test_what_rounding_moved_is_named() -> None:
    """A charge that moved without a run is an item of its own."""
    run = use(4, "4")
    then, now = booked([run]), booked([run])
    now = Booked(now.lines, {"A1": now.charged["A1"] + 1})
    found = corrections.between("2026-08", then, now, {run.id: run}, {run.id: run}, POLICIES)
    assert found is not None
    assert ((), {"A1": 1}, (Item("rounding", "A1", "A1", "", "", Seconds(), 1),)) == (
        found.lines, found.charged, found.items,
    )  # fmt: skip


RUN = st.builds(
    use,
    gpu=st.integers(0, 50).map(lambda number: number * 4),
    charged=st.sampled_from(["0", "1/3", "2/3", "5/7", "12.000001", "0.0000004"]),
    name=st.sampled_from(["1", "2", "3", "4"]),
    mark=st.sampled_from(["m", "n"]),
    award=st.sampled_from(["A1", "A2", ""]),
    uses=st.sampled_from(["ES", "PT"]),
    outside=st.sampled_from(["", "after-end"]),
)
RUNS = st.lists(RUN, max_size=4, unique_by=lambda run: run.id)


@given(RUNS, RUNS)
def test_items_add_up_and_books_balance(old: list[RunUse], new: list[RunUse]) -> None:
    """Items add up to the lines by line and to the charges by award; then plus the correction is now."""
    found = between(old, new)
    if found is None:
        assert booked(old) == booked(new)
        return
    charged: dict[str, int] = {}
    sums: dict[tuple[str, str], Seconds] = {}
    for item in found.items:
        charged[item.award] = charged.get(item.award, 0) + item.charged
        where = item.award, item.outside
        sums[where] = sums.get(where, Seconds()).plus(item.seconds)
    lines: dict[tuple[str, str], Seconds] = {}
    for line in found.lines:
        where = line.key.award, line.key.outside
        lines[where] = lines.get(where, Seconds()).plus(line.seconds)
    assert {where: seconds for where, seconds in lines.items() if any(seconds)} == {
        where: seconds for where, seconds in sums.items() if any(seconds)
    }
    assert dict(found.charged) == {award: micro for award, micro in charged.items() if micro}
    assert booked(new) == booked(old).plus(found)


@given(RUNS)
def test_run_lists_come_back(runs: list[RunUse]) -> None:
    """As text and back, the same whatever the order they are given in."""
    text = corrections.written(runs)
    assert {run.id: run for run in runs} == corrections.listed(text)
    assert text == corrections.written(reversed(runs))


def test_damaged_run_lists_are_refused() -> None:
    """With the line."""
    with pytest.raises(BadText, match="not a frozen run"):
        corrections.listed('["mn5/1@7","m"]\n')
