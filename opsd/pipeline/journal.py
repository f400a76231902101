"""The journal: what was posted, whether its chain is whole, and what waits for a second person.

Invariant: an entry is posted inside one writing transaction behind the last one, and never changed.
"""

from __future__ import annotations

from opsd.core.journal import Walk, walk
from opsd.store import parties
from opsd.store.engine import Connection

Verified = Walk


def verify(connection: Connection) -> Verified:
    """Walk the whole chain as it is stored: how many entries, its head, and every link that is wrong."""
    return walk(parties.journal_rows(connection))
