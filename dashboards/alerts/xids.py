"""XID errors by what they ask for, after NVIDIA's catalogue of them.

Invariant: a number is in one class; one that is in none is new, and is told of.
"""

from __future__ import annotations

from dashboards.promql import age, series

# These need a reset or a reboot. 79: the GPU has fallen off the bus.
PAGING = (46, 62, 64, 79, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158)
# Look at the XIDs beside it: 45 follows another, 48, 171 and 172 are of memory, the rest of NVLink.
WORKFLOW = (45, 48, 74, *range(144, 151), 171, 172)
# 45 comes whenever a program on a GPU is ended, also by its user: twice a day means nothing.
REPEATED = tuple(xid for xid in WORKFLOW if xid != 45)
APPLICATION = (13, 31, 32, 39, 40, 41, 68, 69, 80, 94)  # the program's own doing, mostly
TREND = (43, 44, 63, 66, 92, 121, 137)  # follow from others, or are mended already
BY_ACTION = (154,)  # the advice to recover has changed: that is read by itself
KNOWN = tuple(sorted({*PAGING, *WORKFLOW, *APPLICATION, *TREND, *BY_ACTION}))
LAST = "opsd_gpu_xid_last_timestamp_seconds"
RECENT_SECONDS = 1800


def of(xids: tuple[int, ...]) -> str:
    """A matcher of these."""
    return 'xid=~"' + "|".join(map(str, xids)) + '"'


def recent(matcher: str) -> str:
    """XIDs that were reported within the last half hour, by GPU."""
    return f"max by (cluster, node, gpu, uuid, xid) ({age(LAST, matcher)}) < {RECENT_SECONDS}"


def again(matcher: str) -> str:
    """XIDs reported within the last half hour that had been reported in the day before: seconds between.

    A burst is one event: what is compared is half an hour old.
    """
    last = series(LAST, matcher)
    since = f"{last} - last_over_time({last}[1d] offset 30m)"
    return f"max by (cluster, node, gpu, uuid, xid) ({since}) > 0 < 86400"


def unknown() -> str:
    """A matcher of all that are in no class."""
    return 'xid!~"' + "|".join(map(str, KNOWN)) + '"'
