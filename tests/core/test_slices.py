"""A MIG slice counts as what the table says of it, or as unknown."""

from __future__ import annotations

from fractions import Fraction

import pytest

from opsd.core.fields import BadField
from opsd.core.period import HOUR
from opsd.core.slices import MigSlice, Slice, SliceTable, slice_of

SEVENTH = Fraction(1, 7)


@pytest.mark.parametrize(
    ("gpu_class", "found"),
    [
        ("1g.10gb", Slice("", "1g.10gb")),
        ("h100_1g.10gb", Slice("h100", "1g.10gb")),
        ("a100_3g.20gb", Slice("a100", "3g.20gb")),
        ("H100_1G.10GB", Slice("h100", "1g.10gb")),
        ("h100-1g.10gb", Slice("h100", "1g.10gb")),
        ("h100.1g.10gb", Slice("h100", "1g.10gb")),
        ("nvidia_h100_80gb_hbm3_1g.10gb", Slice("nvidia_h100_80gb_hbm3", "1g.10gb")),
        ("1g.10gb+me", Slice("", "1g.10gb+me")),
        ("h100_1g.10gb+me", Slice("h100", "1g.10gb+me")),
        ("b200_1g.23gb+me.all", Slice("b200", "1g.23gb+me.all")),
        ("b200_1g.23gb-me", Slice("b200", "1g.23gb-me")),
        ("1g.24gb+gfx", Slice("", "1g.24gb+gfx")),
        ("10g.141gb", Slice("", "10g.141gb")),
        ("h100", None),
        ("nvidia_h100_80gb_hbm3", None),
        ("1g", None),
        ("g.10gb", None),
        ("1g.10gbx", None),
        ("1g.10gb+you", None),
        ("h1001g.10gb", None),
        ("0g.10gb", None),
        ("unclassified", None),
        ("", None),
    ],
)
def test_the_grammar_of_profiles(gpu_class: str, found: Slice | None) -> None:
    """A type of Slurm's names a slice if it ends in a profile; everything else is a whole GPU."""
    assert found == slice_of(gpu_class)


@pytest.mark.parametrize(
    ("field", "message", "values"),
    [
        ("profile", "not a MIG profile", {"profile": "1g"}),
        ("profile", "not a MIG profile", {"profile": "h100_1g.10gb"}),
        ("profile", "write 1g.10gb", {"profile": "1G.10GB"}),
        ("gpu_class", "with a profile in it", {"gpu_class": "h100_1g.10gb"}),
        ("gpu_class", "write h100", {"gpu_class": "H100"}),
        ("gpu_class", "not a name", {"gpu_class": ""}),
        ("gpus", "not a part of one GPU: '0'", {"gpus": Fraction(0)}),
        ("gpus", "not a part of one GPU: '8/7'", {"gpus": Fraction(8, 7)}),
        ("until", "before its beginning", {"valid_from": 5, "valid_until": 4}),
    ],
)
def test_an_entry_checks_itself(field: str, message: str, values: dict[str, object]) -> None:
    """A wrong class, profile, share or date is refused with the field it stands in."""
    whole = {"gpu_class": "h100", "profile": "1g.10gb", "gpus": SEVENTH} | values
    with pytest.raises(BadField, match=message) as caught:
        MigSlice(**whole)  # type: ignore[arg-type]  # some are wrong on purpose
    assert field == caught.value.field


TABLE = SliceTable(
    [
        MigSlice("h100", "1g.10gb", SEVENTH, valid_until=HOUR),
        MigSlice("h100", "1g.10gb", Fraction(1, 8), valid_from=HOUR),
        MigSlice("h100", "3g.40gb", Fraction(3, 7)),
        MigSlice("a100", "1g.10gb", Fraction("0.2")),
    ]
)


@pytest.mark.parametrize(
    ("gpu_class", "node_gpu_class", "at", "share"),
    [
        ("h100", "", 0, Fraction(1)),
        ("unclassified", "", 0, Fraction(1)),
        ("h100_1g.10gb", "", 0, SEVENTH),
        ("H100_1g.10gb", "", HOUR - 1, SEVENTH),
        ("h100_1g.10gb", "", HOUR, Fraction(1, 8)),
        ("1g.10gb", "H100", HOUR, Fraction(1, 8)),
        ("1g.10gb", "a100", HOUR, Fraction(1, 5)),
        ("1g.10gb", "h100_3g.40gb", HOUR, Fraction(1, 8)),
        ("h100_1g.10gb", "a100", 0, SEVENTH),
        ("h100_1g.10gb+me", "", 0, None),
        ("1g.10gb", "", 0, None),
        ("b200_1g.10gb", "h100", 0, None),
    ],
)
def test_shares(gpu_class: str, node_gpu_class: str, at: int, share: Fraction | None) -> None:
    """The entry of the make and the profile in force then; the nodes' class names the make Slurm left out."""
    assert share == TABLE.share(gpu_class, node_gpu_class, at)
