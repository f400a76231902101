"""The table of columns against what a real sacct printed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from collectors.slurm.columns import FREE_TEXT, KEPT, KIND, is_free, shape

EXPORT = Path(__file__).parents[2] / "data" / "slurm-text" / "sacct.us.gz"


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    """The header and the unbroken lines of a real export of every column."""
    text = gzip.decompress(EXPORT.read_bytes()).decode("utf-8", "surrogateescape")
    split = [line.split("\x1f") for line in text.split("\n")]
    return [row for row in split if len(row) == len(split[0])]


def test_every_column_of_sacct_is_known(rows: list[list[str]]) -> None:
    """As free text or by its shape, never both; what is kept has a shape."""
    assert set() == FREE_TEXT & set(KIND)
    assert [] == [name for name in rows[0] if name.lower() not in FREE_TEXT and name.lower() not in KIND]
    assert [] == [name for name in KEPT if shape(name) is None]
    assert is_free("JobName")
    assert is_free("NeverHeardOf")


def test_every_real_value_fits_its_column(rows: list[list[str]]) -> None:
    """A shape narrower than what sacct prints would lose records with pipes in their names."""
    assert len(rows) > 1000
    shapes = [(at, name, pattern) for at, name in enumerate(rows[0]) if (pattern := shape(name))]
    assert [] == [(name, row[at]) for row in rows[1:] for at, name, fits in shapes if not fits.match(row[at])]
