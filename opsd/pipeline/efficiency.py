"""What the daemon's page shows of how the machine is used: seen in the last week, and balanced yesterday.

Invariant: each figure is that of the command that shows it to people (`opsd usage --measured`, `opsd
reconcile --against telemetry`, `opsd capacity`), but that what runs did on nodes without an agent is
unrecorded here, so that an alert on the difference is not about them; of what nobody was asked about there
is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from exporters.efficiency import Capacity, Efficiency, Project, Telemetry, XidUsers
from opsd.core.gpu_use import MS
from opsd.core.period import DAY, Window
from opsd.pipeline import capacity, telemetry, usage
from opsd.store import gpu_use, machine, sweeps
from opsd.store.engine import Connection, Store

# Of the XIDs, those that a program may cause by itself (NVIDIA's catalogue; reference in docs/runbook.md).
APPLICATION_XIDS = frozenset({13, 31, 32, 39, 40, 41, 68, 69, 80, 94})
SEEN_DAYS = 7
_PROJECT = ("project", "organisation", "country")


def run(store: Store, *, now: int, go_on: Callable[[], None] = lambda: None) -> Efficiency:
    """Collect everything."""
    week = Window(now - SEEN_DAYS * DAY, now)
    yesterday = Window(now // DAY * DAY - DAY, now // DAY * DAY)
    with store.read() as connection:
        projects = tuple(_projects(connection, week))
        xids = tuple(_xids(connection, week.start))
    go_on()
    with store.read() as connection:
        told = tuple(_telemetry(connection, yesterday))
    go_on()
    with store.read() as connection:
        return Efficiency(projects, xids, told, tuple(_capacity(connection, yesterday)))


def _projects(connection: Connection, window: Window) -> Iterator[Project]:
    found = usage.run(connection, window, _PROJECT, with_measured=True)
    for (project, organisation, country), use in sorted((found.uses or {}).items()):
        told = use.covered, use.told("idle"), use.told("energy"), use.idle_of
        yield Project(project, organisation, country, *told)


def _xids(connection: Connection, since: int) -> Iterator[XidUsers]:
    """By GPU, a slice's under its GPU; whose user nobody knows is not counted."""
    users: dict[tuple[str, str, str, int], set[str]] = defaultdict(set)
    for met in gpu_use.xids(connection, since):
        for code in APPLICATION_XIDS.intersection(met.codes) if met.user else ():
            users[met.cluster, telemetry.host(met.node), met.gpu, code].add(met.user)
    for where, names in sorted(users.items()):
        yield XidUsers(*where, len(names))


def _telemetry(connection: Connection, window: Window) -> Iterator[Telemetry]:
    """Of clusters whose agents are asked, or told something."""
    asked = {one.cluster for one in gpu_use.fetched(connection)}
    found = telemetry.run(connection, window, ("cluster",))
    beyond = telemetry.beyond_agents_ms(connection, found)
    for line in found.lines:
        cluster, use = line.key[0], line.use
        if cluster in asked or any(use):
            elsewhere = beyond.get(cluster, 0)
            recorded, unrecorded = line.matched_ms - elsewhere, MS * sum(line.silent) + elsewhere
            yield Telemetry(cluster, recorded, use.counted, use.counted_covered, unrecorded)


def _capacity(connection: Connection, window: Window) -> Iterator[Capacity]:
    """Of clusters whose events were read, and their accounting to the end: what is not read looks idle."""
    covered = sweeps.covered(connection)
    for (cluster, node_class), resource, lines in capacity.run(connection, window).rows:
        is_read = covered.get(cluster, window.end) >= window.end
        if is_read and machine.is_known(connection, cluster):
            yield Capacity(cluster, node_class, resource, lines)
