"""A real Slurm's export with every column comes to the same runs as its epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsd.core.records import RunRecord
from tests.collectors.slurm.exports import Content, read

DATA = Path(__file__).parents[2] / "data" / "slurm-text"
EMPTIED = {
    81,
    330,
}  # gave their nodes to another job: still open, so their Elapsed went on between the two exports


def content(name: str, **options: str) -> Content:
    """Everything in a recorded file."""
    return read((DATA / name).read_bytes(), **options)


@pytest.fixture(scope="module")
def epochs() -> dict[tuple[int, int], RunRecord]:
    """The runs by key, from numbers."""
    found = content("sacct-num.psv.gz", cluster="lab")
    assert (512, 0, []) == (len(found.runs), found.steps, found.bad)
    return {(run.job_id, run.submit): run for run in found.runs}


@pytest.mark.parametrize("name", ["sacct.psv.gz", "sacct.us.gz"])
def test_text_with_names_comes_to_the_numbers(name: str, epochs: dict[tuple[int, int], RunRecord]) -> None:
    """Every run is found among the broken lines, with the same content in every column both carry."""
    found = content(name, zone="+00:15")
    runs = {(run.job_id, run.submit): run for run in found.runs}
    assert (512, 540, []) == (len(runs), found.steps, found.bad)
    carried = ["cluster", "start", "end", "state", "account", "tres", "user", "partition", "qos", "eligible"]
    carried += ["suspended", "reservation_id", "db_index", "flags"]
    assert epochs.keys() == runs.keys()
    for key, run in runs.items():
        names = carried if key[0] in EMPTIED else [*carried, "elapsed"]
        assert [getattr(epochs[key], name) for name in names] == [getattr(run, name) for name in names]


def test_the_two_delimiters_come_to_the_same_records() -> None:
    """Hashes included."""
    assert content("sacct.psv.gz", zone="+00:15").runs == content("sacct.us.gz", zone="+00:15").runs


def test_what_only_the_long_export_has() -> None:
    """Labels of array tasks, host lists, limits."""
    runs = {run.job_id: run for run in content("sacct.psv.gz", zone="+00:15").runs}
    assert ("31_1", "c4", 180) == (runs[68].label, runs[68].nodes, runs[68].limit)
    assert runs[1].label is None
