"""Expressions that several panels share: what the reader chose, what is counted once.

Invariant: what several daemons publish about the same thing is counted once.
"""

from __future__ import annotations

from dashboards.panels import Query
from dashboards.promql import series
from dashboards.recorded_awards import AWARD
from dashboards.recording import RECORDED_BY_NAME, recorded
from exporters.catalogue import BY_NAME

GPU = "cluster, node, gpu, uuid"  # what makes a GPU
UNATTRIBUTED = "unattributed"  # the country of what no award pays for


def gpu(name: str, *matchers: str) -> str:
    """A metric of the chosen nodes."""
    return series(name, 'cluster=~"$cluster"', 'node=~"$node"', *matchers)


def once(name: str, *matchers: str) -> str:
    """A metric of the daemon's page, once, however many daemons publish it."""
    return f"max by ({', '.join(BY_NAME[name].labels)}) ({series(name, *matchers)})"


def unnamed(name: str, *matchers: str) -> str:
    """A recorded series without its own name, so that a table puts it beside others of the same labels."""
    return f"max by ({', '.join(RECORDED_BY_NAME[name].labels)}) ({recorded(name, *matchers)})"


def numbered(shares: str) -> str:
    """What jobs hold, with the number of the GPU in its node: agents tell jobs by the names of GPUs."""
    chosen = 'cluster=~"$cluster"'
    gpus = f"0 * {recorded('opsd:gpu_state:code', chosen)}"
    return f"({shares}) + on (cluster, node, uuid) group_left (gpu) {gpus}"


def listed(*troubles: tuple[str, str]) -> str:
    """Series of several expressions with a label `what`, for a table with a line for each trouble."""
    return " or ".join(f'label_replace({expr}, "what", "{what}", "", "")' for expr, what in troubles)


def by_country(name: str, *matchers: str) -> list[Query]:
    """Sums of a recorded series, and always a line of what nobody pays for."""
    paid, nobodys = (recorded(name, *matchers, f'country{sign}"{UNATTRIBUTED}"') for sign in ("!=", "="))
    none = f"0 * sum({recorded(name, *matchers)})"
    return [
        Query(f"sum by (country) ({paid})", "{{country}}"),
        Query(f"sum({nobodys}) or {none}", UNATTRIBUTED),
    ]


def award(name: str) -> str:
    """A metric of the chosen awards, once, however many daemons publish it."""
    chosen = series(name, 'country=~"$country"', 'project=~"$project"')
    return f"max by ({AWARD}) ({chosen})"


def heat() -> str:
    """Core temperatures."""
    return gpu("opsd_gpu_temperature_celsius", 'sensor="gpu"')
