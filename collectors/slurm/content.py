"""The content hash of a run record: same content, same hash, whatever file it came in.

Invariant: the hash depends on the parsed columns a record carries and nothing else: not on the
source's time format, units or column order, not on what drifts while a run is open.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b

from opsd.core.records import RunRecord

NOT_CARRIED = "\0"  # no parsed text holds control characters, so neither mark can be forged
DRIFTS = "\1"  # carried, by a run that is open
BETWEEN = "\x1f"
_EMPTY = blake2b(digest_size=8)
_ELAPSED = RunRecord._fields.index("elapsed")
_SUSPENDED = RunRecord._fields.index("suspended")
_SUSPENSIONS = RunRecord._fields.index("suspensions")


def digests(contents: Iterable[str]) -> tuple[int, ...]:
    """The signed 64-bit hashes of canonical texts."""
    packed = []
    for content in contents:
        state = _EMPTY.copy()  # a third cheaper than making one anew
        state.update(content.encode())
        packed.append(state.digest())
    return struct.unpack(f">{len(packed)}q", b"".join(packed))


def canonical(record: RunRecord) -> str:
    """Every column but the hash, in the record's order, as one text."""
    texts = [NOT_CARRIED if value is None else str(value) for value in record[:-1]]
    if record.end is None:  # they grow while the run is open: no new content, but carried or not is
        for place in (_ELAPSED, _SUSPENDED):
            texts[place] = NOT_CARRIED if record[place] is None else DRIFTS
    if record.suspensions is None:  # younger than stored hashes, which stay what they are
        del texts[_SUSPENSIONS]
    elif record.end is None:
        texts[_SUSPENSIONS] = DRIFTS
    return BETWEEN.join(texts)


def content_hash(record: RunRecord) -> int:
    """The hash of what the record says; its own `hash` column has no part in it."""
    return digests((canonical(record),))[0]
