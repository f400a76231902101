"""The content hash: the same for the same content, and only then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.content import content_hash
from opsd.core.records import RunRecord
from tests.collectors.slurm.exports import PLAIN, T, export, read

RECORD = RunRecord(
    "mn5", 101, T, T + 60, T + 3660, "COMPLETED", "ehpc01", "cpu=80,node=1", user="ana", elapsed=3600
)


def test_the_hash_does_not_change_between_versions() -> None:
    """It is stored: another hash for old content would make every run look changed."""
    assert -8_449_380_466_876_472_548 == content_hash(RECORD)


def test_its_own_column_has_no_part_in_it() -> None:
    """A record that carries its hash has the hash of one that does not yet."""
    assert content_hash(RECORD) == content_hash(RECORD._replace(hash=7))


def test_every_column_counts() -> None:
    """A change in any column, and carrying a column at all, is new content."""
    changed = {
        RECORD._replace(**{name: value})
        for name in RunRecord._fields[:-1]
        for value in ([None, "", "x", "None"] if isinstance(getattr(RECORD, name), str) else [None, 1, 2, ""])
        if getattr(RECORD, name) != value
    }
    assert len(changed) == len({content_hash(record) for record in changed} - {content_hash(RECORD)})


def test_what_drifts_in_an_open_run_does_not_count() -> None:
    """Elapsed and Suspended grow with every look at it; whether they are carried at all does count."""
    still_open = RECORD._replace(end=None, elapsed=1, suspended=0)
    later = still_open._replace(elapsed=9999, suspended=50)
    assert content_hash(still_open) == content_hash(later)
    assert content_hash(still_open) != content_hash(still_open._replace(suspended=None))
    assert content_hash(RECORD) != content_hash(RECORD._replace(elapsed=9999))


def test_where_the_cluster_was_said_does_not_count() -> None:
    """By a column or by --cluster."""
    without = tuple(name for name in PLAIN if name != "Cluster")
    (by_column,) = read(export(PLAIN, [{}])).runs
    (by_option,) = read(export(without, [{}]), cluster="mn5").runs
    assert by_column == by_option


@given(st.permutations(PLAIN), st.sampled_from(["|", "\x1f", ";|;"]))
def test_order_and_delimiter_do_not_count(columns: list[str], delimiter: str) -> None:
    """The same content in another dress."""
    assert read(export(PLAIN, [{}])).runs == read(export(columns, [{}], delimiter)).runs
