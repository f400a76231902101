"""Panels that may show nothing on a sound machine: one table, for tests and for whoever looks at pictures.

Invariant: every other panel shows something wherever Prometheus has been fed; each row says why it may not.
"""

from __future__ import annotations

from collections.abc import Mapping

from dashboards import uids

NO_TROUBLE = "nothing is wrong"
NOBODY_IDLE = "no job wastes what it holds"
NOT_COMPARED = "usage has not been compared with Slurm's own report yet"
NOT_HANDED_OVER = "agents have handed over nothing of the last 7 days"
NOBODY_WAITS = "no job waits"
NOT_USED = "this machine has none"

# uid -> id of the panel -> why there may be nothing.
ALLOWED_EMPTY: Mapping[str, Mapping[int, str]] = {
    uids.FACTORY: {16: NOT_COMPARED, 43: "no award is about to be used up"},
    uids.FLEET: {
        uids.XIDS.id: NO_TROUBLE,
        uids.ERRORS.id: NO_TROUBLE,
        uids.THROTTLED.id: NO_TROUBLE,
        uids.LINKS.id: NO_TROUBLE,
        uids.BLIND.id: NO_TROUBLE,
    },
    uids.NODE: {60: NO_TROUBLE},
    uids.JOB: {40: NO_TROUBLE, 41: NO_TROUBLE},
    uids.SLURM: {
        uids.UNAVAILABLE.id: NO_TROUBLE,
        32: NOBODY_WAITS,
        34: NOBODY_WAITS,
        70: NOT_USED,
        71: NOT_USED,
    },
    uids.ALLOCATIONS: {uids.ENDING.id: NO_TROUBLE, uids.UNATTRIBUTED.id: NO_TROUBLE},
    uids.ITSELF: {
        13: "no mail is configured",
        uids.CERTIFICATE.id: NOT_COMPARED,
        uids.CAPACITY.id: "no event of a node was ever read",
    },
    uids.WASTE: {
        uids.HELD_IDLE.id: NOBODY_IDLE,
        21: NOBODY_IDLE,
        30: NOT_HANDED_OVER,
        31: NOT_HANDED_OVER,
        32: NOT_HANDED_OVER,
        40: NOBODY_IDLE,
    },
}
