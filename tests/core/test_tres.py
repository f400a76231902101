"""Allocations keep every name, in one order, and count GPUs once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.tres import Tres

# Names as Slurm may print them: known, typed, licences, and some that nobody has heard of.
names = st.sampled_from(
    [
        "billing",
        "cpu",
        "energy",
        "fs/disk",
        "gres/gpu",
        "gres/gpu:a100",
        "gres/gpu:h100",
        "gres/nic:mlx=5",
        "mem",
    ]
) | st.text(st.characters(exclude_characters=",", exclude_categories=["C", "Z"]), min_size=1)
counts = st.integers(0, 2**63 - 1)
held = st.dictionaries(names, counts)


@given(held)
def test_the_canonical_text_is_read_back(entries: dict[str, int]) -> None:
    """Whatever names and counts there are, the text holds all of them."""
    tres = Tres.of(entries)

    assert tres == Tres.from_canonical(tres.text)
    assert entries == dict(tres)


@given(held, st.integers())
def test_order_makes_no_difference(entries: dict[str, int], seed: int) -> None:
    """The same entries in any order are the same value and the same text."""
    shuffled = list(entries.items())
    random.Random(seed).shuffle(shuffled)

    assert Tres.of(entries) == Tres.of(dict(shuffled))
    assert Tres.of(entries).text == Tres.of(dict(shuffled)).text


def test_the_canonical_text() -> None:
    """Sorted by name, memory in MB, no suffix; nothing allocated is an empty text."""
    assert (
        "cpu=4,gres/gpu=2,mem=8000,node=1" == Tres.of({"node": 1, "mem": 8000, "cpu": 4, "gres/gpu": 2}).text
    )
    assert ("", Tres()) == (Tres().text, Tres.from_canonical(""))


def test_unknown_names_are_kept_and_missing_ones_are_zero() -> None:
    """A TRES of tomorrow is carried along; one that is not there counts nothing."""
    tres = Tres.of({"license/abaqus": 3, "cpu": 2})

    assert (3, 2, 0, 7) == (tres.get("license/abaqus"), tres.get("cpu"), tres.get("mem"), tres.get("mem", 7))


@pytest.mark.parametrize(
    ("text", "gpus", "typed"),
    [
        ("cpu=4", 0, {}),
        ("gres/gpu=4", 4, {}),
        ("gres/gpu:h100=4", 4, {"h100": 4}),
        ("gres/gpu=4,gres/gpu:h100=4", 4, {"h100": 4}),
        ("gres/gpu=4,gres/gpu:a100=1,gres/gpu:h100=2", 4, {"a100": 1, "h100": 2}),
        ("gres/gpu:a100=1,gres/gpu:h100=2", 3, {"a100": 1, "h100": 2}),
        ("gres/gpu=2,gres/gpu:h100=3", 2, {"h100": 3}),
        ("gres/gpu=0,gres/gpu:h100=3", 0, {"h100": 3}),
        ("gres/gpu:h100=0", 0, {}),
        ("gres/gpumem=80,gres/gpuutil=100", 0, {}),
    ],
)
def test_gpus_are_never_counted_twice(text: str, gpus: int, typed: dict[str, int]) -> None:
    """`gres/gpu` if it is there, else the sum of the typed entries; other gres are no GPUs."""
    tres = Tres.from_canonical(text)

    assert (gpus, typed) == (tres.gpus, tres.typed_gpus)


@pytest.mark.parametrize(
    "entries", [(("node", 1), ("cpu", 2)), (("cpu", 1), ("cpu", 2)), (("cpu", -1),), (("a", 1), ("b", -7))]
)
def test_what_is_no_allocation_cannot_be_built(entries: tuple[tuple[str, int], ...]) -> None:
    """Unsorted or doubled names and negative counts are bugs of the caller."""
    with pytest.raises(ValueError, match="must"):
        Tres(entries)


def test_stored_text_out_of_order_is_no_value() -> None:
    """Text that `text` cannot have made is refused, not repaired in silence."""
    with pytest.raises(ValueError, match="sorted and distinct"):
        Tres.from_canonical("node=1,cpu=2")
