"""Series that Prometheus keeps computed, so that dashboards and alerts stay light: one table.

Invariant: a recorded series is named `opsd:…` and has exactly the labels of its row; it is made of what the
catalogue names, or of rows above it. Several daemons that publish the same thing are counted once in it.
"""

from __future__ import annotations

from difflib import get_close_matches

from dashboards.promql import UnknownName, checked, series
from dashboards.recorded_awards import RECORDED_OF_AWARDS
from dashboards.recorded_gpus import RECORDED_OF_GPUS
from dashboards.recorded_series import Recorded

INTERVAL = "1m"  # how often the rules are evaluated

RECORDED: tuple[Recorded, ...] = (
    *RECORDED_OF_GPUS,
    *RECORDED_OF_AWARDS,
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
