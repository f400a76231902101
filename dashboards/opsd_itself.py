"""The dashboard *opsd itself*: can the numbers on the other dashboards be trusted.

Invariant: ages are taken by the clock that made the page; what is watched here is named by an alert.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, uids
from dashboards.expressions import once
from dashboards.palette import DATA_AGE, NEUTRAL, RESULTS, SHARE, ZERO_IS_BEST, ZERO_IS_GOOD
from dashboards.panels import (
    BAD,
    COUNT,
    GOOD,
    PERCENT,
    PLAIN,
    SECONDS,
    WARN,
    Head,
    Query,
    Shaped,
    Step,
)
from dashboards.promql import DAEMON, NODE, accounting_age, age, series, up
from dashboards.tables import Column, grid

_CLUSTER = 'cluster=~"$cluster"'
_HOUR = 3600
_PAGE_AGE = (Step(None, GOOD), Step(120, WARN), Step(600, BAD))
_DRIFT = (Step(None, GOOD), Step(0.02, WARN), Step(0.1, BAD))
_SEEN = (Step(None, BAD), Step(0.8, WARN), Step(0.98, GOOD))
_FETCHED = (Step(None, GOOD), Step(3 * 86_400, WARN), Step(7 * 86_400, BAD))
_BEHIND = (Step(None, PLAIN), Step(3, WARN), Step(6, BAD))
_COMPARED = (Step(None, GOOD), Step(2 * 86_400, WARN), Step(4 * 86_400, BAD))
_UPS = (("1", "up", GOOD), ("0", "down", BAD))


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.ITSELF,
        "opsd itself",
        "Whether the numbers can be trusted: is everything asked, answered, fresh and complete, and does it "
        "agree with Slurm.",
        [board.cluster()],
        [
            board.Row(1, 0, "Can the numbers be trusted", [*_fresh(), *_complete()]),
            board.Row(2, 10, "Daemon and versions", _daemon()),
            board.Row(3, 25, "Agreement with Slurm", [*_agreement(), *_books(), *_report()]),
            board.Row(4, 49, "Pages", _pages()),
        ],
    )


def _fresh() -> list[Shaped]:
    pages = "max(time() - " + series("opsd_page_timestamp_seconds") + ")"
    covered = accounting_age("opsd_ingest_covered_timestamp_seconds", _CLUSTER)
    ours = f'job=~"{DAEMON}|{NODE}"'
    waiting = once("opsd_notices_waiting")
    return [
        panels.number(
            Head(10, 0, 1, 6, 3, "Targets down",
                 "Nodes and daemons whose last scrape failed: their numbers are absent, not zero. Below is "
                 "which."),
            Query(f"count({up(ours)} == 0) or 0 * count({up(ours)})"), COUNT, ZERO_IS_GOOD,
        ),
        panels.number(
            Head(11, 6, 1, 6, 3, "Data age",
                 "What Slurm recorded within this time may not be in the balances yet. The oldest of the "
                 "chosen clusters."),
            Query(f"max({covered})"), SECONDS, DATA_AGE, decimals=1,
        ),
        panels.number(
            Head(12, 12, 1, 6, 3, "Oldest page",
                 "How old the oldest page is by this Prometheus' clock. Minutes: an agent that hangs, or a "
                 "clock that is wrong."),
            Query(pages), SECONDS, _PAGE_AGE, decimals=1,
        ),
        panels.number(
            Head(13, 18, 1, 6, 3, "Notices waiting",
                 "Notices to people that are due and could not be sent. Absent where no mail is configured."),
            Query(f"max({waiting})"), COUNT, (Step(None, PLAIN), Step(1, WARN)), none="no mail",
        ),
    ]  # fmt: skip


def _complete() -> list[Shaped]:
    dropped = series("opsd_series_dropped")
    failing = series("opsd_node_collector_up", _CLUSTER)
    unread = series("opsd_gpu_job_unresolved", _CLUSTER)
    runaways = once("opsd_runs_suspected_runaway", _CLUSTER)
    unmatched = once("opsd_measured_unmatched_records", _CLUSTER)
    quarantine = once("opsd_quarantine_records")
    return [
        panels.number(
            Head(uids.QUARANTINE.id, 0, 4, 6, 3, "Quarantine",
                 "Accounting records that could not be read: opsd quarantine list says why. Their use is in "
                 "no number until somebody helps."),
            Query(f"max({quarantine})"), COUNT, ZERO_IS_BEST,
        ),
        panels.number(
            Head(uids.DROPPED.id, 6, 4, 6, 3, "Series dropped",
                 "Series left out of a page because their family is past its ceiling: some numbers are "
                 "too low."),
            Query(f"sum({dropped}) or 0 * count({series('opsd_page_timestamp_seconds')})"),
            COUNT, ZERO_IS_GOOD,
        ),
        panels.number(
            Head(uids.COLLECTORS.id, 12, 4, 6, 3, "Failing collectors",
                 "Collections on nodes that failed the last time they ran: opsd-node's log says why."),
            Query(f"sum(1 - {failing})"), COUNT, ZERO_IS_BEST,
        ),
        panels.number(
            Head(uids.JOB_FILES.id, 18, 4, 6, 3, "Unread job files",
                 "Entries of job files that name no GPU of their node, or cannot be read: whose GPU it is"
                 " remains unknown."),
            Query(f"sum({unread})"), COUNT, ZERO_IS_BEST,
        ),
        panels.number(
            Head(14, 0, 7, 6, 3, "Runaway runs",
                 "Runs open in the accounting that slurmctld no longer knows: counted until somebody mends "
                 "them with sacctmgr show runawayjobs."),
            Query(f"sum({runaways})"), COUNT, ZERO_IS_BEST,
        ),
        panels.number(
            Head(15, 6, 7, 6, 3, "Unmatched records",
                 "Records of node agents whose run is not in the accounting. A few are jobs that have just "
                 "ended; many are a wrong cluster name."),
            Query(f"sum({unmatched})"), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(16, 12, 7, 6, 3, "Steps stale or failing",
                 "Steps of the daemon whose last run failed, or whose last success is older than its limit. "
                 "The table below says which."),
            Query(_bad_steps()), COUNT, ZERO_IS_GOOD,
        ),
        panels.number(
            Head(17, 18, 7, 6, 3, "Questions that fail",
                 "Questions to slurmctld that were not answered the last time; what they tell is absent. The "
                 "table below says which."),
            Query("sum(1 - " + once("opsd_slurm_source_up", _CLUSTER) + ")"), COUNT, ZERO_IS_GOOD,
        ),
    ]  # fmt: skip


def _bad_steps() -> str:
    failed = f"max by (step) ({series('opsd_step_success')}) == 0"
    limit = f"max by (step) ({series('opsd_step_stale_after_seconds')})"
    old = f"max by (step) ({age('opsd_step_last_success_timestamp_seconds')})"
    return f"count({failed} or {old} > {limit}) or 0 * count({limit})"


def _daemon() -> list[Shaped]:
    def of_step(expression: str) -> str:
        return f"max by (step) ({expression})"

    old = age("opsd_step_last_success_timestamp_seconds")
    asked = "cluster, source"
    answered = age("opsd_slurm_source_last_success_timestamp_seconds", _CLUSTER)
    versions = [
        Query(f"count by (version, python) ({series(name)})")
        for name in ("opsd_build_info", "opsd_node_build_info")
    ]
    return [
        grid(
            Head(uids.STEPS.id, 0, 11, 14, 14, "Steps of the daemon",
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
                Column("Value #A", "Last run", 76, COUNT, 0, texts=RESULTS),
                Column("Value #B", "Age", 84, SECONDS, 1),
                Column("Value #C", "Age / limit", None, PERCENT, 0, bar=True, steps=SHARE),
                Column("Value #D", "Took", 78, SECONDS, 1),
                Column("Value #E", "Failures", 74, COUNT, 0, steps=ZERO_IS_BEST),
            ],
            sort=("-Age / limit",), none="no daemon has been scraped", paged=True,
        ),
        grid(
            Head(uids.SOURCES.id, 14, 11, 10, 9, "Questions to Slurm",
                 "What is asked of slurmctld each round. What fails is absent on the other dashboards, never "
                 "0: look at rights, slurmctld and the daemon's log."),
            [
                Query(once("opsd_slurm_source_up", _CLUSTER)),
                Query(f"max by ({asked}) ({answered})"),
                Query(once("opsd_slurm_source_duration_seconds", _CLUSTER)),
            ],
            [
                Column("cluster", "Cluster", 72),
                Column("source", "Question"),
                Column("Value #A", "Answer", 78, COUNT, 0, texts=RESULTS),
                Column("Value #B", "Age", 72, SECONDS, 1, steps=DATA_AGE),
                Column("Value #C", "Took", 76, SECONDS, 2),
            ],
            sort=("Answer", "Question"), none="nobody asks Slurm",
        ),
        grid(
            Head(31, 14, 20, 10, 5, "Versions",
                 "How many daemons and agents run which version. After an update all lines should be the new "
                 "one."),
            versions,
            [
                Column("version", "opsd"),
                Column("python", "Python", 70),
                Column("Value #A", "Daemons", 80, COUNT, 0),
                Column("Value #B", "Agents", 70, COUNT, 0),
            ],
            sort=("-opsd",), none="nothing is scraped",
        ),
    ]  # fmt: skip


def _agreement() -> list[Shaped]:
    of_slurm, of_agents, covered, unrecorded = (
        once(f"opsd_telemetry_{it}_gpu_seconds", _CLUSTER)
        for it in ("slurm", "agent", "covered", "unrecorded")
    )
    failed = once("opsd_spool_nodes", _CLUSTER, 'state="failed"')
    fetched = age("opsd_spool_oldest_fetch_timestamp_seconds", _CLUSTER)
    return [
        grid(
            Head(uids.TELEMETRY.id, 0, 26, 24, 5, "What agents saw, beside what Slurm allocated",
                 "GPU-hours of yesterday. Drift: how far agents and Slurm disagree on the same runs; seen: "
                 "with readings; unrecorded: of runs without a record. No answer: agents in the last round."),
            [
                Query(f"abs({of_agents} - {of_slurm}) / ({of_slurm} > 0)"),
                Query(f"{of_slurm} / {_HOUR}"), Query(f"{of_agents} / {_HOUR}"),
                Query(f"{covered} / ({of_agents} > 0)"), Query(f"{unrecorded} / {_HOUR}"),
                Query(f"sum by (cluster) ({failed})"), Query(f"max by (cluster) ({fetched})"),
            ],
            [
                Column("cluster", "Cluster"),
                Column("Value #A", "Drift", 75, PERCENT, 2, steps=_DRIFT),
                Column("Value #B", "Slurm, h", 90, "locale", 0),
                Column("Value #C", "Agents, h", 95, "locale", 0),
                Column("Value #D", "Seen", 75, PERCENT, 1, steps=_SEEN),
                Column("Value #E", "Unrecorded, h", 115, "locale", 0),
                Column("Value #F", "No answer", 95, COUNT, 0, steps=ZERO_IS_BEST),
                Column("Value #G", "Longest away", 110, SECONDS, 1, steps=_FETCHED),
            ],
            sort=("-Drift", "Cluster"), none="no agent's records were fetched",
        ),
    ]  # fmt: skip


def _books() -> list[Shaped]:
    by = "cluster, node_class, resource"

    def line(name: str) -> Query:
        matched = series("opsd_capacity_seconds", _CLUSTER, f'line="{name}"')
        return Query(f"max by ({by}) ({matched}) / {_HOUR}")

    missed = f"max by ({by}) ({series('opsd_capacity_unbalanced_seconds', _CLUSTER)}) / {_HOUR}"
    return [
        grid(
            Head(uids.CAPACITY.id, 0, 31, 24, 9, "Yesterday's capacity: do the books balance",
                 "Hours of CPUs and GPUs of yesterday, UTC. Missed: by how much the lines miss the total; "
                 "other than 0 means a wrong node inventory or lost node events: opsd explain capacity."),
            [
                Query(missed), line("total"), line("allocated"), line("reserved_idle"), line("planned_down"),
                line("down"), line("unallocated"),
            ],
            [
                Column("cluster", "Cluster", 78),
                Column("node_class", "Node class"),
                Column("resource", "Resource", 82),
                Column("Value #A", "Missed", 76, "locale", 0, steps=ZERO_IS_GOOD),
                Column("Value #B", "Total", 90, "locale", 0),
                Column("Value #C", "Allocated", 90, "locale", 0),
                Column("Value #D", "Reserved, idle", 112, "locale", 0),
                Column("Value #E", "Planned down", 110, "locale", 0),
                Column("Value #F", "Down", 78, "locale", 0),
                Column("Value #G", "Unallocated", 100, "locale", 0),
            ],
            sort=("-Missed", "Cluster", "Node class"), none="not counted yet", paged=True,
        ),
    ]  # fmt: skip


def _report() -> list[Shaped]:
    made = age("opsd_certificate_made_timestamp_seconds", _CLUSTER)
    unexplained = once("opsd_certificate_unexplained_seconds", _CLUSTER)
    reported = once("opsd_certificate_reported_seconds", _CLUSTER)
    of_slurm, of_agents = (once(f"opsd_telemetry_{it}_gpu_seconds", _CLUSTER) for it in ("slurm", "agent"))
    return [
        grid(
            Head(uids.CERTIFICATE.id, 0, 40, 12, 9, "Usage beside Slurm's own report",
                 "The last nightly comparison, by TRES. No cause: the share of what Slurm reports that "
                 "nothing explains. Cells: of the whole certificate, opsd reconcile says which. Behind: "
                 "what slurmdbd had not added up yet."),
            [
                Query(f"{unexplained} / ({reported} > 0)"),
                Query(once("opsd_certificate_unexplained_cells", _CLUSTER)),
                Query(once("opsd_certificate_hours_not_added_up", _CLUSTER)),
                Query(f"max by (cluster) ({made})"),
            ],
            [
                Column("cluster", "Cluster", 66),
                Column("tres", "TRES"),
                Column("Value #A", "No cause", 96, PERCENT, 3, steps=_DRIFT),
                Column("Value #B", "Cells", 54, COUNT, 0, steps=ZERO_IS_BEST),
                Column("Value #C", "Behind, h", 80, COUNT, 0, steps=_BEHIND),
                Column("Value #D", "Made", 76, SECONDS, 1, steps=_COMPARED),
            ],
            sort=("-No cause", "TRES"), none="never compared yet",
        ),
        panels.lines(
            Head(32, 12, 40, 12, 9, "Differences over time",
                 "Drift of the agents, and what no cause explains of the worst TRES. Dashed: "
                 "2 and 10 %. A step: a changed machine, a lost agent, a wrong inventory."),
            [
                Query(f"abs({of_agents} - {of_slurm}) / ({of_slurm} > 0)", "{{cluster}}, agents"),
                Query(f"max by (cluster) ({unexplained} / ({reported} > 0))", "{{cluster}}, unexplained"),
            ],
            PERCENT, _DRIFT, marked=True,
        ),
    ]  # fmt: skip


def _pages() -> list[Shaped]:
    target = "job, instance"
    ours = f'job=~"{DAEMON}|{NODE}"'
    old = f"time() - max by ({target}) ({series('opsd_page_timestamp_seconds')})"
    steps = f"max by (step) ({series('opsd_step_duration_seconds')})"
    return [
        grid(
            Head(uids.SCRAPES.id, 0, 50, 12, 10, "Targets, those that are down first",
                 "Each daemon and agent that Prometheus asks, and how old its page is by Prometheus' clock."),
            [Query(f"max by ({target}) ({up(ours)})"), Query(old)],
            [
                Column("job", "Job", 88),
                Column("instance", "Instance"),
                Column("Value #A", "State", 62, COUNT, 0, texts=_UPS),
                Column("Value #B", "Page age", 90, SECONDS, 1, steps=_PAGE_AGE),
            ],
            sort=("State", "-Page age", "Instance"), none="nothing is scraped", paged=True,
        ),
        panels.lines(
            Head(30, 12, 50, 12, 10, "How long steps take",
                 "Each step's last run. One that grows with the month wants an index or a bigger machine "
                 "before it is late."),
            [Query(steps, "{{step}}")], SECONDS, NEUTRAL,
        ),
    ]  # fmt: skip
