"""Which of several observations of one run counts.

Invariant: the result depends on the set of observations only, never on the order they came in.
Ended beats open, then the later observation, then the content hash; a column that the best version
does not carry comes from the best version that does. What tells when a run was suspended (`placed`) vouches
for nothing else: it never stands before the observation that it was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from opsd.core.records import RunRecord

_FIRST_OPTIONAL = RunRecord._fields.index("user")
_OPTIONAL = tuple(name for name in RunRecord._fields[_FIRST_OPTIONAL:] if name != "hash")


class Version(NamedTuple):
    """One content of a run, and the last time it was seen with it."""

    record: RunRecord
    observed_at: int
    import_id: int

    @property
    def rank(self) -> tuple[bool, int, bool, int]:
        """Greater is better."""
        record = self.record
        return record.end is not None, self.observed_at, record.suspensions is None, record.hash


def same_content(a: Version, b: Version) -> Version:
    """Two sightings of one content: the later one, with the greater drift when both are equally late.

    What drifts while a run is open (elapsed, suspended, suspensions) is no part of its content hash.

    Args:
        a, b: versions with equal hash.
    """
    late, early = (a, b) if a.observed_at >= b.observed_at else (b, a)
    if late.observed_at > early.observed_at:
        return late
    record = late.record._replace(
        elapsed=_greater(a.record.elapsed, b.record.elapsed),
        suspended=_greater(a.record.suspended, b.record.suspended),
        suspensions=max(a.record.suspensions or "", b.record.suspensions or "") or a.record.suspensions,
    )
    first = a if a.import_id <= b.import_id else b
    return first._replace(record=record)


def _greater(x: int | None, y: int | None) -> int | None:
    known = [value for value in (x, y) if value is not None]
    return max(known, default=None)


def distinct(versions: Iterable[Version]) -> dict[int, Version]:
    """The versions by content hash, sightings of the same content folded into one."""
    found: dict[int, Version] = {}
    for version in versions:
        known = found.get(version.record.hash)
        found[version.record.hash] = version if known is None else same_content(known, version)
    return found


def placed(version: Version, suspensions: str, hash_of: Callable[[RunRecord], int]) -> Version:
    """What slurmdbd's tables add to an observation: when the run was suspended, and no other column.

    It is as old as the observation it is about, so that it can outlive none of its columns. The total that
    it was told for stands in it to be compared with (`opsd.store.suspended`); `merge` looks past it.
    """
    record = version.record
    columns: dict[str, Any] = dict.fromkeys(_OPTIONAL)
    columns |= {"suspensions": suspensions, "suspended": record.suspended}
    bare = record._replace(**columns)
    return version._replace(record=bare._replace(hash=hash_of(bare)))


def _vouches(version: Version, column: str) -> bool:
    return column == "suspensions" or version.record.suspensions is None


class Truth(NamedTuple):
    """What the versions of one run add up to."""

    record: RunRecord
    observed_at: int
    import_id: int
    seen_open: int | None  # last time the run was seen without an end
    two_sluids: bool


def merge(versions: Iterable[Version]) -> Truth:
    """The current truth of a run with at least one version."""
    ranked = sorted(versions, key=lambda version: version.rank, reverse=True)
    best = ranked[0]
    record = best.record
    for name in _OPTIONAL:
        if getattr(record, name) is None:
            carried = (getattr(v.record, name) for v in ranked[1:] if _vouches(v, name))
            value = next((x for x in carried if x is not None), None)
            if value is not None:
                record = record._replace(**{name: value})
    seen = [v.observed_at for v in ranked if v.record.end is None]
    sluids = {v.record.sluid for v in ranked if v.record.sluid}
    return Truth(record, best.observed_at, best.import_id, max(seen, default=None), len(sluids) > 1)
