"""Series that Prometheus keeps computed, so that dashboards and alerts stay light: one table.

Invariant: a recorded series is named `opsd:…` and has exactly the labels of its row; it is made of what the
catalogue names, or of rows above it. Several daemons that publish the same thing are counted once in it.
"""

from __future__ import annotations

from difflib import get_close_matches

from dashboards.promql import UnknownName, checked, series
from dashboards.recorded_gpus import RECORDED_OF_GPUS
from dashboards.recorded_series import Recorded

INTERVAL = "1m"  # how often the rules are evaluated

_AWARD = ("award", "project", "organisation", "country", "pool", "unit")
_KEY = ("by", "key", "unit")


RECORDED: tuple[Recorded, ...] = (
    *RECORDED_OF_GPUS,
    *(
        Recorded(
            f"opsd:award_{it}:seconds", _AWARD,
            f"{which} by ({', '.join(_AWARD)}) ({series(f'opsd_award_{it}_seconds')})",
            f"Of an award, {it}, once.",
        )
        for it, which in (("granted", "max"), ("left", "min"))
    ),
    Recorded(
        "opsd:award_used:seconds", _AWARD, "opsd:award_granted:seconds - opsd:award_left:seconds",
        "Charged for ended and open runs: granted less left, because both are always there.",
    ),
    *(
        Recorded(
            f"opsd:balance_{it}:seconds", _KEY,
            f"{which} by ({', '.join(_KEY)}) ({series(f'opsd_balance_{it}_seconds')})",
            f"Of a project, organisation, country or pool, {it}, once.",
        )
        for it, which in (("granted", "max"), ("left", "min"))
    ),
    Recorded(
        "opsd:balance_used:seconds", _KEY, "opsd:balance_granted:seconds - opsd:balance_left:seconds",
        "Charged to it for ended and open runs.",
    ),
    Recorded(
        "opsd:slurm_jobs:sum", ("cluster", "partition", "state"),
        "sum by (cluster, partition, state) "
        f"(max by (cluster, partition, account, state) ({series('opsd_slurm_jobs')}))",
        "Jobs by partition and state.",
    ),
    *(
        Recorded(
            f"opsd:slurm_{it}_gpus:sum", ("cluster", "partition"),
            "sum by (cluster, partition) "
            f"(max by (cluster, partition, account) ({series(f'opsd_slurm_{it}_gpus')}))",
            f"GPUs of {it} jobs by partition.",
        )
        for it in ("pending", "running")
    ),
)  # fmt: skip

RECORDED_BY_NAME = {it.name: it for it in RECORDED}


def recorded(name: str, *matchers: str) -> str:
    """A recorded series with matchers, such as `country=~"$country"`.

    Raises:
        UnknownName: no rule records it, or it has no such label.
    """
    if name not in RECORDED_BY_NAME:
        close = get_close_matches(name, RECORDED_BY_NAME, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UnknownName(f"dashboards/recording.py records no {name}{hint}")
    return checked(name, RECORDED_BY_NAME[name].labels, matchers)
