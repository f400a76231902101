"""The simulated factory: one workload, told twice, as master data and as accounting text.

Invariant: same `until` and `seed`, same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from collectors.simulated import master, text
from collectors.simulated.grants import grants
from collectors.simulated.quirks import with_quirks
from collectors.simulated.scheduler import Run, Scheduler, breakdowns
from collectors.simulated.workload import requests


@lru_cache(maxsize=1)
def history(until: int, seed: int) -> tuple[Run, ...]:
    """What happened in the 90 days before `until`; kept, since both tellings need it."""
    runs = Scheduler(until, seed).work(requests(until, seed), breakdowns(until, seed))
    return tuple(with_quirks(runs, until))


def consortium_toml(until: int, seed: int) -> str:
    """Who pays, leads and uses, with grants that fit what was used."""
    return master.toml(grants(history(until, seed), until, seed), until)


def sacct_text(until: int, seed: int) -> Iterator[bytes]:
    """What `sacct -a -D -X -P --noconvert` would have printed at `until`, in pieces."""
    return text.chunks(history(until, seed), until)
