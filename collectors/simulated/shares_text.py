"""The simulated accounts' shares as `sshare` prints them.

Invariant: usage is what the accounting says they ran, worth half after a week; over all accounts it is 1,
and so are the shares, of which every account has those that its project was promised.
"""

from __future__ import annotations

from collections import defaultdict

from collectors.simulated import projects
from collectors.simulated.live import Moment
from collectors.simulated.rhythm import DAY
from collectors.simulated.shapes import billing

HEADER = "Account|User|NormShares|EffectvUsage|LevelFS\n"
_HALF_LIFE = 7 * DAY
_FORGOTTEN = 6 * _HALF_LIFE  # what is worth less than a sixtieth


def shares(now: Moment) -> str:
    """Every account, below the root."""
    used = _used(now)
    promised = {project.account: project.load for project in projects.EVERYBODY}
    everything, whole = sum(promised.values()), sum(used.values()) or 1.0
    accounts = [
        _line(account, load / everything, used[account] / whole) for account, load in sorted(promised.items())
    ]
    return "".join([HEADER, "root||0.000000|1.000000|\n", " root|root|0.000000|0.000000|inf\n", *accounts])


def _line(account: str, share: float, usage: float) -> str:
    level = f"{share / usage:.6f}" if usage else "inf"
    return f" {account}||{share:.6f}|{usage:.6f}|{level}\n"


def _used(now: Moment) -> dict[str, float]:
    used: dict[str, float] = defaultdict(float)
    for run in now.runs:
        end = now.at if run.end is None else min(run.end, now.at)
        if run.start is not None and end > now.at - _FORGOTTEN:
            worth = 0.5 ** ((now.at - end) / _HALF_LIFE)
            used[run.request.account] += billing(run.request.shape) * (end - run.start) * worth
    return used
