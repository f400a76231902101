"""The dashboard *Factory overview*: must somebody get up, how full is it, who uses it, what burns.

Invariant: the first numbers are green unless a person has something to do; each leads to the dashboard that
says what.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, uids
from dashboards.alerts import xids
from dashboards.expressions import by_country, once
from dashboards.palette import (
    COUNTRIES,
    COUNTRY_TEXTS,
    DATA_AGE,
    GPU_STATES,
    NEUTRAL,
    SHARE,
    ZERO_IS_BEST,
    ZERO_IS_GOOD,
    of_states,
)
from dashboards.panels import (
    COUNT,
    PERCENT,
    SECONDS,
    WATTS,
    Head,
    Query,
    Shaped,
    Step,
)
from dashboards.promql import DAEMON, NODE, accounting_age, series, up
from dashboards.recording import recorded
from dashboards.tables import Column, grid

_CLUSTER = 'cluster=~"$cluster"'
_WAIT = (Step(None, panels.PLAIN), Step(4 * 3600, panels.WARN))
_IDLE = (Step(None, panels.GOOD), Step(0.05, panels.WARN), Step(0.15, panels.BAD))
_SOON = (Step(None, panels.BAD), Step(7, panels.WARN), Step(30, panels.PLAIN))
_DAY = "[24h:5m]"


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.FACTORY,
        "Factory overview",
        "Whether somebody must get up, how full the machine is, who uses it, and what it burns.",
        [board.cluster()],
        [
            board.Row(1, 0, "Must somebody get up?", _eyes()),
            board.Row(2, 7, "How full is it?", [*_fullness(), *_filling()]),
            board.Row(3, 20, "Who uses it?", _users()),
            board.Row(4, 30, "What burns?", _burning()),
        ],
    )


def _of_cluster(name: str) -> str:
    return recorded(f"opsd:cluster_{name}", _CLUSTER)


def _eyes() -> list[Shaped]:
    nodes = f"0 * sum({once('opsd_slurm_nodes', _CLUSTER)})"
    out = f"count({once('opsd_slurm_node_unavailable_info', _CLUSTER)}) or {nodes}"
    targets = up(f'job=~"{DAEMON}|{NODE}"')
    silent = f"count({targets} == 0) or 0 * count({targets})"
    gpus = f"0 * count({recorded('opsd:gpu_state:code', _CLUSTER)})"
    paging = f"count({xids.recent(xids.of(xids.PAGING))}) or {gpus}"
    covered = accounting_age("opsd_ingest_covered_timestamp_seconds", _CLUSTER)
    unexplained = (
        f"sum({once('opsd_certificate_unexplained_cells', _CLUSTER)}"
        f" - {once('opsd_certificate_unknowable_cells', _CLUSTER)})"
    )
    shown = (
        ("GPUs sick", "GPUs that do not answer: hung, lost or in error. Drain their nodes.",
         f"sum({_of_cluster('gpus_sick:count')})", ZERO_IS_GOOD, uids.FLEET),
        ("GPUs missing", "GPUs that Slurm expects and drivers do not count: a job sent there fails.",
         f"sum({_of_cluster('gpus_missing:count')})", ZERO_IS_GOOD, uids.FLEET),
        ("XIDs to act on", "Errors of the last half hour that need a reset or a reboot.",
         paging, ZERO_IS_GOOD, uids.FLEET),
        ("Nodes out", "Nodes that take no jobs; some are meant so: the next dashboard has the reasons.",
         out, ZERO_IS_BEST, uids.SLURM),
        ("Targets down", "Agents and daemons whose last scrape failed: what they watch is not seen.",
         silent, ZERO_IS_BEST, uids.ITSELF),
        ("Over quota", "Awards charged more than was granted that have not ended: extend, or hold jobs.",
         f"sum({recorded('opsd:project_awards_over_quota:count')})", ZERO_IS_BEST, uids.ALLOCATIONS),
        ("Unexplained", "Cells in which usage differs from Slurm's without a cause: send no statement.",
         unexplained, ZERO_IS_BEST, uids.ITSELF),
    )  # fmt: skip
    numbers = [
        panels.number(
            Head(10 + place, 6 * (place % 4), 1 + 3 * (place // 4), 6, 3, title, words),
            Query(expr), COUNT, steps, filled=True, none="unknown", link=uid,
        )
        for place, (title, words, expr, steps, uid) in enumerate(shown)
    ]  # fmt: skip
    age = panels.number(
        Head(17, 18, 4, 6, 3, "Data age",
             "What Slurm recorded within this time may be missing from balances. The oldest cluster."),
        Query(f"max({covered})"), SECONDS, DATA_AGE, decimals=0, filled=True, none="unknown",
        link=uids.ITSELF,
    )  # fmt: skip
    return [*numbers, age]


def _gpus(*matchers: str) -> str:
    return f"sum({once('opsd_slurm_gpus', _CLUSTER, *matchers)})"


def _fullness() -> list[Shaped]:
    allocated, idle = 'state="allocated"', 'state="idle"'
    told = "max(" + once("opsd_slurm_source_up", _CLUSTER, 'source="queue"') + " > 0)"
    pending = f"sum({recorded('opsd:slurm_pending_gpus:sum', _CLUSTER)}) or 0 * {told}"
    median = 'rank="median"'
    wait = f"max({once('opsd_slurm_started_wait_seconds', _CLUSTER, median)})"
    running = recorded("opsd:slurm_jobs:sum", _CLUSTER, 'state="running"')
    return [
        panels.number(
            Head(20, 0, 8, 4, 4, "Allocated", "Share of all GPUs that jobs hold, as Slurm says."),
            Query(f"({_gpus(allocated)} or 0 * {_gpus()}) / {_gpus()}"), PERCENT, NEUTRAL,
        ),
        panels.number(
            Head(21, 4, 8, 4, 4, "Free GPUs", "GPUs that a job could get at once, if it fits."),
            Query(f"{_gpus(idle)} or 0 * {_gpus()}"), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(22, 8, 8, 4, 4, "Asked for", "What waiting jobs ask for, also those that may not start "
                 "yet: beside the free ones it says whether the queue is long or stuck."),
            Query(pending), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(23, 12, 8, 4, 4, "Median wait",
                 "How long jobs waited that started in the last 24 hours; the slowest partition."),
            Query(wait), SECONDS, _WAIT, decimals=1,
        ),
        panels.number(
            Head(24, 16, 8, 4, 4, "Jobs running", "Jobs that run now, each task of an array counted."),
            Query(f"sum({running}) or 0 * {told}"), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(25, 20, 8, 4, 4, "Held, but idle",
                 "Share of the held GPUs of which under 1 % of the SMs were busy for half an hour."),
            Query(f"sum({_of_cluster('gpus_idle:sum')}) / (sum({_of_cluster('gpus_held:sum')}) > 0)"
                  f" or 0 * sum({_of_cluster('gpus_held:sum')})"),
            PERCENT, _IDLE, decimals=1,
        ),
    ]  # fmt: skip


def _filling() -> list[Shaped]:
    def by_class(*matchers: str) -> str:
        return f"sum by (class) ({once('opsd_slurm_gpus', _CLUSTER, *matchers)})"

    def in_state(states: str) -> str:
        chosen = f'state=~"{states}"'
        return f"({by_class(chosen)} or 0 * {by_class()})"

    return [
        panels.lines(
            Head(26, 0, 12, 14, 8, "What the GPUs do",
                 "All GPUs by what Slurm says of them. Idle with a long queue: ask why. Unseen: nobody could "
                 "ask Slurm."),
            [*of_states(_gpus, {it: it for it in GPU_STATES})],
            COUNT, NEUTRAL, stacked=True, colors=GPU_STATES,
        ),
        grid(
            Head(27, 14, 12, 10, 8, "GPUs by class",
                 "Each class of GPUs now. Out: down, drained or in maintenance."),
            [
                Query(by_class()),
                Query(f"{in_state('allocated')} / {by_class()}"),
                Query(in_state("idle")),
                Query(in_state("down|drained|maintenance")),
            ],
            [
                Column("class", "Class"),
                Column("Value #A", "GPUs", 70, COUNT, 0),
                Column("Value #B", "Allocated", 105, PERCENT, 0, bar=True, steps=(Step(None, "blue"),)),
                Column("Value #C", "Free", 60, COUNT, 0),
                Column("Value #D", "Out", 55, COUNT, 0, steps=ZERO_IS_BEST),
            ],
            sort=("-GPUs",),
        ),
    ]  # fmt: skip


def _users() -> list[Shaped]:
    held = recorded("opsd:gpus_held:sum", _CLUSTER)
    mine = "sum by (project, country)"
    idle = recorded("opsd:project_gpus_idle:sum", _CLUSTER)
    waiting = f"sum by (partition) ({recorded('opsd:slurm_pending_gpus:sum', _CLUSTER)})"
    return [
        panels.lines(
            Head(30, 0, 21, 8, 9, "GPUs held, by country",
                 "GPUs that jobs of projects hold, by the country that leads them; one that jobs share "
                 "counts by its shares. Unattributed: no award pays for their account."),
            by_country("opsd:country_gpus_held:sum", _CLUSTER),
            COUNT, NEUTRAL, stacked=True, colors=COUNTRIES,
        ),
        grid(
            Head(31, 8, 21, 9, 9, "Largest projects now",
                 "The ten projects that hold most GPUs, and how many of these did nothing for half an hour."),
            [Query(f"topk(10, {mine} ({held}))"),
             Query(f"{mine} ({idle}) and topk(10, {mine} ({held}))")],
            [
                Column("project", "Project", link=uids.ALLOCATIONS),
                Column("country", "Country", 74, texts=COUNTRY_TEXTS),
                Column("Value #A", "GPUs", 74, COUNT, 0),
                Column("Value #B", "Idle", 54, COUNT, 0, steps=ZERO_IS_BEST),
            ],
            sort=("-GPUs",),
        ),
        panels.lines(
            Head(32, 17, 21, 7, 9, "GPUs asked for, by partition",
                 "What waiting jobs ask for. A line that only grows: the partition is too small, or stuck."),
            [Query(f"topk(10, {waiting})", "{{partition}}")], COUNT, NEUTRAL,
        ),
    ]  # fmt: skip


def _burning() -> list[Shaped]:
    power = f"sum({_of_cluster('gpu_power_watts:sum')})"
    idle = f"sum({recorded('opsd:project_idle_watts:sum', _CLUSTER)})"
    energy = f"sum(sum_over_time({_of_cluster('gpu_energy_watts:sum')}{_DAY})) * 300"
    as_of = f"scalar(max({series('opsd_balances_as_of_timestamp_seconds')}))"
    days = f"({once('opsd_award_exhaustion_timestamp_seconds')} - {as_of}) / 86400"
    soon = f"bottomk(12, {days} < 60)"
    used = f"{recorded('opsd:award_used:seconds')} / {recorded('opsd:award_granted:seconds')}"
    return [
        panels.number(
            Head(40, 0, 31, 5, 4, "Power of GPUs", "What all GPUs draw, without the rest of their nodes."),
            Query(power), WATTS, NEUTRAL, decimals=1, course=False,
        ),
        panels.number(
            Head(41, 5, 31, 5, 4, "Energy, 24 hours",
                 "What the GPUs used within a day, by their own counters of energy."),
            Query(f"{energy} / 3.6e6"), "kwatth", NEUTRAL, course=False,
        ),
        panels.lines(
            Head(42, 0, 35, 10, 6, "Power and what it is drawn for",
                 "Power of all GPUs, and of those that jobs hold without using them."),
            [Query(power, "all GPUs"),
             Query(f"{idle} or 0 * {power}", "held, but idle")],
            WATTS, NEUTRAL, colors={"held, but idle": panels.WARN},
        ),
        grid(
            Head(43, 10, 31, 14, 10, "Awards soon exhausted",
                 "Awards of which nothing will be left within 60 days if use goes on as in the last week. "
                 "Tell their leads now; extend, or slow them down."),
            [Query(soon), Query(f"{used} and on (award) {soon}")],
            [
                Column("award", "Award", 98),
                Column("project", "Project", link=uids.ALLOCATIONS),
                Column("country", "Country", 74, texts=COUNTRY_TEXTS),
                Column("Value #A", "Days left", 100, COUNT, 0, steps=_SOON),
                Column("Value #B", "Used share", 110, PERCENT, 0, bar=True, steps=SHARE),
            ],
            sort=("Days left",),
            paged=True,
        ),
    ]  # fmt: skip
