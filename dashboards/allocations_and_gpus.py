"""The dashboard *Allocations and GPUs*: who is out of hours, which GPU is sick, are the numbers fresh.

Invariant: ids of panels never change, because links and reviews point at them.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from dashboards import panels
from dashboards.expressions import GPU, award, ended, gpu, heat, held, shares, used
from dashboards.panels import (
    BAD,
    BYTES,
    CELSIUS,
    COUNT,
    GOOD,
    PERCENT,
    PLAIN,
    SECONDS,
    WARN,
    WATTS,
    Column,
    Head,
    Query,
    Shaped,
    Step,
)
from dashboards.promql import DAEMON, NODE, accounting_age, age, series, up

UID = "opsd-allocations-and-gpus"
TITLE = "Allocations and GPUs"
# Panels that alerts link to.
SCRAPES, AWARDS, UNATTRIBUTED, GPUS, XIDS = 15, 20, 23, 46, 47
STEPS, QUARANTINE, DROPPED, COLLECTORS, JOB_FILES = 60, 61, 62, 63, 64

_ZERO_IS_GOOD = (Step(None, GOOD), Step(1, BAD))
_ZERO_IS_BEST = (Step(None, GOOD), Step(1, WARN))
_NEUTRAL = (Step(None, PLAIN),)
_SHARE = (Step(None, GOOD), Step(0.8, WARN), Step(1, BAD))
_DATA_AGE = (Step(None, GOOD), Step(900, WARN), Step(3600, BAD))
_HOT = (Step(None, GOOD), Step(83, WARN), Step(90, BAD))
_FULL = (Step(None, "blue"), Step(0.95, WARN))
_BUSY = (Step(None, "dark-blue"), Step(0.05, "blue"), Step(0.4, "yellow"), Step(0.7, GOOD))
_STATES = (
    ("0", "ok", "transparent"),
    ("1", "no answer", WARN),
    ("2", "hung", BAD),
    ("3", "lost", BAD),
    ("4", "lost", BAD),
)
_RESULTS = (("1", "done", GOOD), ("0", "failed", BAD))
_HOUR = 3600
# As the portal has them; other countries take what Grafana gives.
COUNTRIES = {
    "ES": "#cf9021", "PT": "#2a8a80", "TR": "#b84e44", "RO": "#4a86c4", "unattributed": "#9b9b93",
}  # fmt: skip
_COUNTRY_TEXTS = tuple((country, country, color) for country, color in COUNTRIES.items())


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    made = builders.Dashboard(TITLE).uid(UID).tags(["opsd"]).timezone("browser").refresh("1m")
    made = made.description(
        "Allocations of all funders, every GPU, and whether these numbers can be trusted."
    )
    made = made.time("now-24h", "now").tooltip(DashboardCursorSync.CROSSHAIR).editable()
    for variable in _variables():
        made = made.with_variable(variable)
    for id_, y, title, shaped in (
        (1, 0, "What needs eyes", _eyes()),
        (2, 5, "Allocations", _allocations()),
        (3, 28, "GPUs", _gpu_numbers() + _gpu_courses() + _gpu_tables()),
        (4, 59, "opsd itself", _opsd()),
    ):
        made = made.with_row(panels.row(id_, y, title))
        for panel in shaped:
            made = made.with_panel(panel)
    return made


def _variables() -> list[builders.DatasourceVariable | builders.QueryVariable]:
    return [
        panels.source(),
        panels.choice("cluster", "Cluster", series("opsd_gpu_devices_visible")),
        panels.choice("node", "Node", series("opsd_gpu_devices_visible", 'cluster=~"$cluster"')),
        panels.choice("country", "Country", series("opsd_award_granted_seconds")),
        panels.choice("project", "Project", series("opsd_award_granted_seconds", 'country=~"$country"')),
    ]


def _eyes() -> list[Shaped]:
    over, reached = award("opsd_award_over_quota"), award("opsd_award_threshold_reached_ratio")
    spent = f"count(({over} == 1) unless {ended()}) or (0 * count({over}))"
    past = f"count(({reached} > 0) unless ({over} == 1) unless {ended()}) or (0 * count({reached}))"
    unattributed = series("opsd_unattributed_seconds", 'resource=~"gpu.*"', 'cluster=~"$cluster"')
    nobodys = f"sum(max by (cluster, account) ({unattributed})) / {_HOUR} or vector(0)"
    covered = accounting_age("opsd_ingest_covered_timestamp_seconds", 'cluster=~"$cluster"')
    ours = f'job=~"{DAEMON}|{NODE}"'
    silent = f"count({up(ours)} == 0) or vector(0)"
    return [
        panels.number(
            Head(10, 0, 1, 4, 4, "Over quota",
                 "Awards that have been charged more than was granted, and have not ended."),
            Query(spent), COUNT, _ZERO_IS_GOOD,
        ),
        panels.number(
            Head(11, 4, 1, 4, 4, "Past threshold",
                 "Awards that have passed one of their thresholds (80, 95 and 100 % by default), are not "
                 "over quota, and have not ended."),
            Query(past), COUNT, _ZERO_IS_BEST,
        ),
        panels.number(
            Head(12, 8, 1, 4, 4, "Unattributed",
                 "GPU-hours of the last 30 days that no award pays for: opsd account list says whose they"
                 " are."),
            Query(nobodys), "suffix: GPU-h", _ZERO_IS_BEST,
        ),
        panels.number(
            Head(13, 12, 1, 4, 4, "Data age",
                 "What Slurm recorded within this time may not be in the balances yet. The oldest of the "
                 "chosen clusters."),
            Query(f"max({covered})"), SECONDS, _DATA_AGE, decimals=1, course=False,
        ),
        panels.number(
            Head(14, 16, 1, 4, 4, "GPUs silent",
                 "GPUs that gave no reading in the last collection: hung, lost or in error. The table "
                 "below says which."),
            Query(f"sum(1 - {gpu('opsd_gpu_up')})"), COUNT, _ZERO_IS_GOOD,
        ),
        panels.number(
            Head(SCRAPES, 20, 1, 4, 4, "Targets down",
                 "Nodes and daemons whose last scrape failed: their numbers are absent, not zero."),
            Query(silent), COUNT, _ZERO_IS_GOOD,
        ),
    ]  # fmt: skip


def _allocations() -> list[Shaped]:
    granted, left = award("opsd_award_granted_seconds"), award("opsd_award_left_seconds")
    unattributed = series("opsd_unattributed_seconds", 'cluster=~"$cluster"')
    return [
        panels.grid(
            Head(AWARDS, 0, 6, 24, 12, "Awards, the fullest first",
                 "Granted, used (ended and open runs) and left in hours of the award's own unit. "
                 "Over quota: more is charged than was granted."),
            [
                Query(f"{granted} / {_HOUR}"),
                Query(f"{used()} / {_HOUR}"),
                Query(f"{left} / {_HOUR}"),
                Query(f"{used()} / {granted}"),
            ],
            [
                Column("award", "Award", 130),
                Column("project", "Project"),
                Column("country", "Country", 80, texts=_COUNTRY_TEXTS),
                Column("Value #D", "Used share", 220, PERCENT, 0, bar=True, steps=_SHARE),
                Column("Value #C", "Left, h", 100, "locale", 0, steps=(Step(None, BAD), Step(0, PLAIN))),
                Column("Value #B", "Used, h", 100, "locale", 0),
                Column("Value #A", "Granted, h", 100, "locale", 0),
                Column("unit", "Unit", 110),
                Column("organisation", "Organisation"),
                Column("pool", "Pool"),
            ],
            sort=("-Used share", "Award"),
        ),
        _shares(
            Head(21, 0, 18, 8, 10, "Used share, by country",
                 "Charged as a share of what was granted to projects that each country leads, unit by unit."),
            "country", "Country",
        ),
        _shares(
            Head(22, 8, 18, 8, 10, "Used share, by pool",
                 "Charged as a share of what was granted from each pool, whoever leads the project."),
            "pool", "Pool",
        ),
        panels.grid(
            Head(UNATTRIBUTED, 16, 18, 8, 10, "Used, but bound to no award",
                 "Hours of the last 30 days of Slurm accounts that no award pays for. "
                 "opsd account list says more; opsd account bind says whose they are."),
            [Query(f"max by (cluster, account, resource) ({unattributed}) / {_HOUR}")],
            [
                Column("cluster", "Cluster", 100),
                Column("account", "Account"),
                Column("resource", "Resource", 90),
                Column("Value", "Hours", 90, "locale", 0, steps=_ZERO_IS_BEST),
            ],
            sort=("-Hours",),
        ),
    ]  # fmt: skip


def _shares(head: Head, label: str, heading: str) -> Shaped:
    """Units are never added up: a line for each."""

    def by(expression: str) -> str:
        return f"sum by ({label}, unit) ({expression})"

    granted, left = award("opsd_award_granted_seconds"), award("opsd_award_left_seconds")
    columns = [
        Column(label, heading, 110, texts=_COUNTRY_TEXTS if label == "country" else ()),
        Column("unit", "Unit", 100),
        Column("Value #B", "Used share", None, PERCENT, 0, bar=True, steps=_SHARE),
        Column("Value #A", "Left, h", 90, "locale", 0),
    ]
    queries = [Query(f"{by(left)} / {_HOUR}"), Query(f"{by(used())} / {by(granted)}")]
    return panels.grid(head, queries, columns, sort=("-Used share",))


def _gpu_numbers() -> list[Shaped]:
    busy = f"avg_over_time({gpu('opsd_gpu_utilization_ratio')}[30m])"
    jobs = gpu("opsd_gpu_job_info")
    idle = f"count(max by (cluster, node, uuid) ({jobs}) and on (cluster, node, uuid) ({busy} < 0.01))"
    return [
        panels.number(
            Head(30, 0, 29, 4, 4, "GPUs", "GPUs that the drivers of the chosen nodes count."),
            Query(f"sum({gpu('opsd_gpu_devices_visible')})"), COUNT, _NEUTRAL,
        ),
        panels.number(
            Head(31, 4, 29, 4, 4, "Held by jobs",
                 "Share of the GPUs that jobs hold now, by the prolog's job files."),
            Query(f"(sum({shares()}) or vector(0)) / sum({gpu('opsd_gpu_devices_visible')})"),
            PERCENT, _NEUTRAL,
        ),
        panels.number(
            Head(32, 8, 29, 4, 4, "Utilisation",
                 "Share of time in which a kernel ran, over all GPUs that answer: busy, not necessarily "
                 "efficient."),
            Query(f"avg({gpu('opsd_gpu_utilization_ratio')})"), PERCENT, _NEUTRAL,
        ),
        panels.number(
            Head(33, 12, 29, 4, 4, "Held, but idle",
                 "GPUs that a job holds and that ran nothing (under 1 % on average) in the last 30 minutes."),
            Query(f"{idle} or vector(0)"),
            COUNT, _ZERO_IS_BEST,
        ),
        panels.number(
            Head(34, 16, 29, 4, 4, "Power",
                 "What the GPUs of the chosen nodes draw, without the rest of the node."),
            Query(f"sum({gpu('opsd_gpu_power_average_watts')})"), WATTS, _NEUTRAL, decimals=1,
        ),
        panels.number(
            Head(35, 20, 29, 4, 4, "Hottest GPU",
                 "The highest core temperature now; clocks are lowered near 90 °C."),
            Query(f"max({heat()})"), CELSIUS, _HOT,
        ),
    ]  # fmt: skip


def _gpu_courses() -> list[Shaped]:
    memory = f"sum by (node) ({gpu('opsd_gpu_memory_used_bytes')})"
    return [
        panels.heat(
            Head(40, 0, 33, 12, 8, "Utilisation, by node",
                 "Mean over a node's GPUs of the share of time in which a kernel ran."),
            Query(f"avg by (node) ({gpu('opsd_gpu_utilization_ratio')})", "{{node}}"), PERCENT, _BUSY,
        ),
        panels.lines(
            Head(41, 12, 33, 12, 8, "GPUs held, by country",
                 "GPUs that jobs of projects led by each country hold; one that jobs share counts by its "
                 "shares. The table below says which account."),
            [Query(f"sum by (country) ({held()})", "{{country}}")],
            COUNT, _NEUTRAL, stacked=True, colors=COUNTRIES,
        ),
        panels.lines(
            Head(42, 0, 41, 8, 8, "Power, by node", "What the GPUs of each node draw."),
            [Query(f"sum by (node) ({gpu('opsd_gpu_power_average_watts')})", "{{node}}")], WATTS, _NEUTRAL,
        ),
        panels.lines(
            Head(43, 8, 41, 8, 8, "GPU memory in use, by node",
                 "GPU memory that processes hold, without what the driver keeps."),
            [Query(memory, "{{node}}")], BYTES, _NEUTRAL,
        ),
        panels.lines(
            Head(44, 16, 41, 8, 8, "Hottest GPU, by node",
                 "The highest core temperature on each node. Dashed: 83 and 90 °C."),
            [Query(f"max by (node) ({heat()})", "{{node}}")], CELSIUS, _HOT, marked=True,
        ),
    ]  # fmt: skip


def _gpu_tables() -> list[Shaped]:
    state = (
        f"max by ({GPU}) (1 - {gpu('opsd_gpu_up')}) + max by ({GPU}) ({gpu('opsd_gpu_hung')})"
        f" + 2 * max by ({GPU}) ({gpu('opsd_gpu_lost')})"
    )
    xid = "cluster, node, gpu, xid"
    memory = f"{gpu('opsd_gpu_memory_used_bytes')} / {gpu('opsd_gpu_memory_total_bytes')}"
    return [
        panels.grid(
            Head(GPUS, 0, 49, 17, 10, "Every GPU",
                 "State, load and the job on it. A GPU that does not answer has no readings; the sick "
                 "ones stand first."),
            [
                Query(state),
                Query(f"max by ({GPU}) ({gpu('opsd_gpu_utilization_ratio')})"),
                Query(f"max by ({GPU}) ({memory})"),
                Query(f"max by ({GPU}) ({gpu('opsd_gpu_power_average_watts')})"),
                Query(f"max by ({GPU}) ({heat()})"),
                Query(held()),
            ],
            [
                Column("node", "Node", 80),
                Column("gpu", "GPU", 60),
                Column("Value #A", "State", 90, COUNT, 0, texts=_STATES, show="color-background"),
                Column("Value #B", "Busy", 120, PERCENT, 0, bar=True, steps=_BUSY),
                Column("Value #C", "Memory", 120, PERCENT, 0, bar=True, steps=_FULL),
                Column("Value #D", "Power", 80, WATTS, 0),
                Column("Value #E", "Temp.", 70, CELSIUS, 0, steps=_HOT),
                Column("jobid", "Job", 90),
                Column("account", "Account", 110),
                Column("project", "Project"),
                Column("country", "Country", 80, texts=_COUNTRY_TEXTS),
            ],
            sort=("-State", "Node", "GPU"),
            none="-",
        ),
        panels.grid(
            Head(XIDS, 17, 49, 7, 10, "XID errors",
                 "Errors the driver reported since each agent started; the runbook says which of them "
                 "need a drain."),
            [
                Query(f"max by ({xid}) ({gpu('opsd_gpu_xid_last_timestamp_seconds')}) * 1000"),
                Query(f"max by ({xid}) ({gpu('opsd_gpu_xid_errors_total')})"),
            ],
            [
                Column("node", "Node", 80),
                Column("gpu", "GPU", 55),
                Column("xid", "XID", 55),
                Column("Value #B", "Count", 65, COUNT, 0),
                Column("Value #A", "Last", None, "dateTimeFromNow"),
            ],
            sort=("-Last",),
        ),
    ]  # fmt: skip


def _opsd() -> list[Shaped]:
    def of_step(expression: str) -> str:
        return f"max by (step) ({expression})"

    old = age("opsd_step_last_success_timestamp_seconds")
    return [
        panels.grid(
            Head(STEPS, 0, 60, 14, 8, "Steps of the daemon",
                 "What the daemon does by itself. Age: since the last success; at 100 % of its limit the "
                 "data are stale."),
            [
                Query(of_step(series("opsd_step_success"))),
                Query(of_step(old)),
                Query(of_step(f"({old}) / {series('opsd_step_stale_after_seconds')}")),
                Query(of_step(series("opsd_step_duration_seconds"))),
                Query(of_step(series("opsd_step_consecutive_failures"))),
            ],
            [
                Column("step", "Step"),
                Column("Value #A", "Last run", 90, COUNT, 0, texts=_RESULTS),
                Column("Value #B", "Age", 110, SECONDS, 1),
                Column("Value #C", "Age / limit", 200, PERCENT, 0, bar=True, steps=_SHARE),
                Column("Value #D", "Took", 100, SECONDS, 1),
                Column("Value #E", "Failures", 90, COUNT, 0, steps=_ZERO_IS_BEST),
            ],
            sort=("-Age / limit",),
            none="no daemon has been scraped",
        ),
        panels.number(
            Head(QUARANTINE, 14, 60, 5, 4, "Quarantine",
                 "Accounting records that could not be read: opsd quarantine list says why."),
            Query(f"max({series('opsd_quarantine_records')})"), COUNT, _ZERO_IS_BEST,
        ),
        panels.number(
            Head(DROPPED, 19, 60, 5, 4, "Series dropped",
                 "Series left out of a page because their family is past its ceiling: some numbers are "
                 "too low."),
            Query(f"sum({series('opsd_series_dropped')}) or vector(0)"), COUNT, _ZERO_IS_GOOD,
        ),
        panels.number(
            Head(COLLECTORS, 14, 64, 5, 4, "Failing collectors",
                 "Collections on nodes that failed the last time they ran."),
            Query(f"sum(1 - {gpu('opsd_node_collector_up')})"), COUNT, _ZERO_IS_BEST,
        ),
        panels.number(
            Head(JOB_FILES, 19, 64, 5, 4, "Unread job files",
                 "Entries of job files that name no GPU of their node, or cannot be read: whose GPU it is"
                 " remains unknown."),
            Query(f"sum({gpu('opsd_gpu_job_unresolved')})"), COUNT, _ZERO_IS_BEST,
        ),
    ]  # fmt: skip
