"""The dashboard *Slurm queue and nodes*: what waits and why, what is out of service, is the scheduler well.

Invariant: everything is what slurmctld says of itself; where it does not answer there is nothing, never 0.
"""

from __future__ import annotations

from collections.abc import Callable

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, uids
from dashboards.expressions import once
from dashboards.palette import GPU_STATES, NEUTRAL, NODE_STATES, SHARE, of_states
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
)  # fmt: skip
from dashboards.promql import age
from dashboards.recording import recorded
from dashboards.tables import Column, grid

_CLUSTER = 'cluster=~"$cluster"'
# A job that waits for several partitions stands under the list of them.
_PARTITION = 'partition=~"(.*,)?$partition(,.*)?"'
_HOUR = 3600
# Counters go on where another daemon takes over: first once, whoever publishes them, then what they grew by.
_WHOLE = "[$__range:1m]"
_WIDE = {"Reserved": 80, "Draining": 78, "Drained": 70}
_LINES = 8  # of a table that could be long
_WAITS = (Step(None, PLAIN), Step(86_400, WARN), Step(7 * 86_400, BAD))
_CYCLES = (Step(None, GOOD), Step(30, WARN), Step(60, BAD))
_RESTED = (Step(None, GOOD), Step(300, WARN), Step(1800, BAD))
_BACKLOG = (Step(None, GOOD), Step(1_000, WARN), Step(10_000, BAD))
_USE = (Step(None, WARN), Step(0.5, "blue"), Step(0.8, GOOD))
_SERVED = (Step(None, PLAIN), Step(1, GOOD))
_OUT = (Step(None, PLAIN), Step(1, WARN))
_STATE_TEXTS = tuple(
    (word, word.replace("_", " "), color)
    for words, color in NODE_STATES.values()
    for word in words.split("|")
)
_RESERVATION_TEXTS = (("active", "active", GOOD), ("inactive", "to come", PLAIN))
_RANKS = ("median", "p90", "max")


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.SLURM,
        "Slurm queue and nodes",
        "What waits and why, which nodes take no jobs, how GPUs are spent, and is the scheduler well.",
        [board.cluster(), board.partition()],
        [
            board.Row(1, 0, "Now", _now()),
            board.Row(2, 5, "Queue", [*_queue(), *_waits(), *_who()]),
            board.Row(3, 34, "Nodes", [*_nodes(), *_partitions()]),
            board.Row(4, 52, "GPUs", _gpus()),
            board.Row(5, 61, "Scheduler", [*_scheduler(), *_load()]),
            board.Row(6, 79, "Reservations and licences", _set_aside()),
        ],
    )


def _jobs(*matchers: str) -> str:
    return f"sum({recorded('opsd:slurm_jobs:sum', _CLUSTER, _PARTITION, *matchers)})"


def _state_of_gpus(*matchers: str) -> str:
    return f"sum({once('opsd_slurm_gpus', _CLUSTER, *matchers)})"


def _wanted() -> str:
    """GPUs that waiting jobs ask for: 0 where none does, absent where the queue could not be asked."""
    asked = recorded("opsd:slurm_pending_gpus:sum", _CLUSTER, _PARTITION)
    return f"sum({asked}) or 0 * {_asked_queue()}"


def _now() -> list[Shaped]:
    running, waiting = _jobs('state="running"'), _jobs('state="pending"')
    allocated, idle = _state_of_gpus('state="allocated"'), _state_of_gpus('state="idle"')
    usable = _state_of_gpus('state!~"down|drained|maintenance"')
    longest = once("opsd_slurm_pending_wait_seconds", _CLUSTER, _PARTITION, 'rank="max"')
    return [
        panels.number(
            Head(10, 0, 1, 4, 4, "Jobs running",
                 "Jobs that run in the chosen partitions, each task of an array counted."),
            Query(f"{running} or 0 * {_asked_queue()}"), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(11, 4, 1, 4, 4, "Jobs waiting",
                 "Jobs that wait, each task of an array counted. Many are no trouble by themselves: look at "
                 "why they wait, and how long."),
            Query(f"{waiting} or 0 * {_asked_queue()}"), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(12, 8, 1, 4, 4, "GPUs wanted",
                 "GPUs that waiting jobs ask for. Beside free GPUs it says that jobs do not fit, or may not "
                 "start: look at why they wait."),
            Query(_wanted()), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(13, 12, 1, 4, 4, "GPUs free",
                 "GPUs that no job holds and that take jobs, of the whole cluster, whatever partition is "
                 "chosen."),
            Query(idle), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(14, 16, 1, 4, 4, "GPUs in use",
                 "Share of the GPUs in service that jobs hold, of the whole cluster. Those that are down, "
                 "drained or in maintenance are not counted."),
            Query(f"{allocated} / ({usable} > 0)"), PERCENT, NEUTRAL,
        ),
        panels.number(
            Head(15, 20, 1, 4, 4, "Longest wait",
                 "How long the job has been waiting that has waited longest among those that may start. Past "
                 "a day look whether it can ever start."),
            Query(f"max({longest}) or 0 * {_asked_queue()}"), SECONDS, _WAITS, decimals=1,
        ),
    ]  # fmt: skip


def _asked_queue() -> str:
    """1 where the queue was told, else absent: an empty queue is 0 jobs, a silent slurmctld is not."""
    return "max(" + once("opsd_slurm_source_up", _CLUSTER, 'source="queue"') + " > 0)"


def _queue() -> list[Shaped]:
    states = {"running": "running|completing|configuring", "waiting": "pending"}
    free = _state_of_gpus('state="idle"')
    return [
        panels.lines(
            Head(30, 0, 6, 12, 8, "Jobs by state",
                 "What slurmctld knows, jobs that ended in the last minutes among the others. A queue that "
                 "only grows asks for more than there is."),
            list(of_states(_jobs, states)), COUNT, NEUTRAL,
        ),
        panels.lines(
            Head(31, 12, 6, 12, 8, "GPUs asked for, and free",
                 "Asked for by waiting jobs of the chosen partitions; free in the whole cluster. Both high "
                 "at once: jobs that do not fit what is free, or reservations that keep it."),
            [Query(_wanted(), "asked for"), Query(free, "free")], COUNT, NEUTRAL,
            colors={"asked for": WARN, "free": GPU_STATES["idle"]},
        ),
    ]  # fmt: skip


def _waits() -> list[Shaped]:
    def wait(name: str, rank: str) -> str:
        return once(f"opsd_slurm_{name}_wait_seconds", _CLUSTER, _PARTITION, f'rank="{rank}"')

    def by_partition(expr: str) -> str:
        return f"max by (cluster, partition) ({expr})"

    shown = [Query(by_partition(wait(name, rank))) for name in ("pending", "started") for rank in _RANKS]
    heads = ("Now: half", "90 %", "longest", "24 h: half", "90 % ", "longest ")
    columns = [
        Column(f"Value #{letter}", heading, 77, SECONDS, 1, steps=_WAITS)
        for letter, heading in zip("ABCDEF", heads, strict=True)
    ]
    return [
        grid(
            Head(32, 0, 14, 14, 9, "Waits, by partition",
                 "Half and nine of ten jobs waited no longer than this. Now: those that wait and may start; "
                 "24 h: those that started within that time, by the accounting."),
            shown,
            [Column("partition", "Partition"), *columns],
            sort=("-longest", "Partition"), none="no job waits, none started",
        ),
        panels.lines(
            Head(33, 14, 14, 10, 9, "How long nine of ten jobs waited",
                 "Of jobs that started within the 24 hours before, from when they might start. Colours of "
                 "the thresholds: a day, a week."),
            [Query(by_partition(wait("started", "p90")), "{{partition}}")], SECONDS, _WAITS,
        ),
    ]  # fmt: skip


def _who() -> list[Shaped]:
    by = "cluster, account"
    busy = once("opsd_slurm_jobs", _CLUSTER, _PARTITION, 'state=~"running|pending"')
    busiest = f"topk({_LINES}, sum by ({by}) ({busy}))"

    def of_them(expr: str) -> Query:
        return Query(f"sum by ({by}) ({expr}) and on ({by}) {busiest}")

    def jobs(state: str) -> Query:
        return of_them(once("opsd_slurm_jobs", _CLUSTER, _PARTITION, f'state="{state}"'))

    def gpus(kind: str) -> Query:
        return of_them(once(f"opsd_slurm_{kind}_gpus", _CLUSTER, _PARTITION))

    reasons = once("opsd_slurm_pending_jobs", _CLUSTER, _PARTITION)
    shares = [
        of_them(once(f"opsd_slurm_account_{it}_ratio", _CLUSTER))
        for it in ("shares", "usage", "level_fairshare")
    ]
    return [
        grid(
            Head(34, 0, 23, 9, 11, "Why jobs wait",
                 f"Slurm's reason, the {_LINES} most frequent. Priority and Resources are the ordinary "
                 "queue; what names a limit, a dependency or a node needs somebody."),
            [Query(f"topk({_LINES}, sum by (cluster, reason) ({reasons}))")],
            [Column("reason", "Reason"), Column("Value", "Jobs", 90, "locale", 0)],
            sort=("-Jobs", "Reason"), none="no job waits",
        ),
        grid(
            Head(35, 9, 23, 15, 11, "Busiest accounts and their fair share",
                 f"The {_LINES} accounts with most jobs, GPUs that they hold and ask for, and what is "
                 "promised and used of their siblings'. Level below 1: had more than promised, and waits."),
            [jobs("running"), jobs("pending"), gpus("running"), gpus("pending"), *shares],
            [
                Column("account", "Account"),
                Column("Value #A", "Running", 84, "locale", 0),
                Column("Value #B", "Waiting", 74, "locale", 0),
                Column("Value #C", "Held", 60, "locale", 0),
                Column("Value #D", "Asked", 62, "locale", 0),
                Column("Value #E", "Promised", 84, PERCENT, 1),
                Column("Value #F", "Used", 62, PERCENT, 1),
                Column("Value #G", "Level", 62, COUNT, 2, steps=_SERVED),
            ],
            sort=("-Held", "-Running", "Account"), none="no job",
        ),
    ]  # fmt: skip


def _nodes() -> list[Shaped]:
    def nodes(matcher: str) -> str:
        return "sum(" + once("opsd_slurm_nodes", _CLUSTER, matcher) + ")"

    words = {called: words for called, (words, _) in NODE_STATES.items()}
    colors = {called: color for called, (_, color) in NODE_STATES.items()}
    gpus, out = (once(f"opsd_slurm_node_{it}", _CLUSTER) for it in ("gpus", "unavailable_info"))
    since = age("opsd_slurm_node_unavailable_since_timestamp_seconds", _CLUSTER)
    return [
        grid(
            Head(uids.UNAVAILABLE.id, 0, 35, 14, 10, "Nodes that take no jobs",
                 "Drained, down or kept out, with the reason somebody gave and for how long. What nobody "
                 "explains, or what is old, wants a ticket or a resume."),
            [
                Query(out),
                Query(f"max by (cluster, node) ({since})"),
                Query(f"sum by (cluster, node) ({gpus}) and on (cluster, node) {out}"),
            ],
            [
                Column("node", "Node", 100, link=uids.NODE),
                Column("state", "State", 110, texts=_STATE_TEXTS),
                Column("reason", "Reason"),
                Column("Value #B", "For", 100, SECONDS, 1, steps=_WAITS),
                Column("Value #C", "GPUs", 65, COUNT, 0),
            ],
            sort=("-For", "Node"), none="every node takes jobs", paged=True,
        ),
        panels.lines(
            Head(40, 14, 35, 10, 10, "Nodes by state",
                 "Each node in one state, all partitions; planned ones count as idle. A step in drained or "
                 "down is an event to look for."),
            list(of_states(nodes, words)), COUNT, NEUTRAL, stacked=True, colors=colors | {"other": "#7d7d78"},
        ),
    ]  # fmt: skip


def _partitions() -> list[Shaped]:
    def nodes(matcher: str) -> str:
        return (
            "sum by (cluster, partition) ("
            + once("opsd_slurm_partition_nodes", _CLUSTER, _PARTITION, matcher)
            + ")"
        )

    def gpus(matcher: str) -> str:
        found = once("opsd_slurm_partition_gpus", _CLUSTER, _PARTITION, matcher)
        return f"sum by (cluster, partition, class) ({found})"

    groups = (("allocated", "mixed"), ("idle",), ("reserved", "maintenance"), ("draining",),
              ("drained", "down", "off"))  # fmt: skip
    words = tuple("|".join(NODE_STATES[it][0] for it in group) for group in groups)
    states = ("allocated", "idle", "reserved|maintenance", "drained|down")
    return [
        grid(
            Head(41, 0, 45, 12, 7, "Nodes by partition",
                 "A node of several partitions counts in each. Kept: reserved or in maintenance. Out: "
                 "drained, down or off."),
            _table(nodes, words),
            [Column("partition", "Partition"), *_columns("In use", "Idle", "Kept", "Draining", "Out")],
            sort=("Partition",),
        ),
        grid(
            Head(42, 12, 45, 12, 7, "GPUs by partition",
                 "GPUs of the nodes of a partition; a node of several counts in each. Idle ones take jobs "
                 "now; kept and out as for nodes."),
            _table(gpus, states),
            [
                Column("partition", "Partition"),
                Column("class", "Class", 66),
                *_columns("In use", "Idle", "Kept", "Out"),
            ],
            sort=("Partition", "Class"),
        ),
    ]  # fmt: skip


def _columns(*headings: str) -> list[Column]:
    """All, and those in each state."""
    alarms = {"Draining": _OUT, "Out": _OUT}
    return [
        Column(f"Value #{letter}", it, _WIDE.get(it, 60), COUNT, 0, steps=alarms.get(it, ()))
        for letter, it in zip("ABCDEF", ("All", *headings), strict=False)
    ]


def _table(select: Callable[[str], str], words: tuple[str, ...]) -> list[Query]:
    """All, then a column for each state, 0 where nothing is in it."""
    everything = select('state=~".+"')
    each = [Query(select(f'state=~"{it}"') + f" or 0 * {everything}") for it in words]
    return [Query(everything), *each]


def _gpus() -> list[Shaped]:
    def spent(matcher: str) -> str:
        counted = once("opsd_slurm_gpu_seconds_total", _CLUSTER, matcher)
        return f"sum by (cluster, class) (increase({counted}{_WHOLE})) / {_HOUR}"

    states = ("allocated", "idle", "reserved", "maintenance", "drained", "down", "unseen")
    # Counters of a class stay when its last node is gone: then there is no share.
    share = "(" + spent('state="allocated"') + ") / (" + spent('state!="unseen"') + " > 0)"
    heads = ("In use", "Idle", "Reserved", "Maint.", "Drained", "Down", "Unseen")
    columns = [
        Column(f"Value #{letter}", heading, _WIDE.get(heading, 66), "locale", 0)
        for letter, heading in zip("BCDEFGH", heads, strict=True)
    ]
    return [
        panels.lines(
            Head(50, 0, 53, 8, 8, "GPUs by state",
                 "Each GPU in one state, all partitions: what is not in use is idle, kept for somebody, or "
                 "out of service."),
            list(of_states(_state_of_gpus, {it: it for it in states if it != "unseen"})),
            COUNT, NEUTRAL, stacked=True,
            colors={it: color for it, color in GPU_STATES.items() if it != "unseen"} | {"other": "#7d7d78"},
        ),
        grid(
            Head(51, 8, 53, 16, 8, "GPU-hours of this time range, by class",
                 "What became of every GPU-hour in the range above. In use is their share of the hours that "
                 "somebody looked at; unseen ones are those in which no daemon asked Slurm."),
            [Query(share), *(Query(spent(f'state="{it}"')) for it in states)],
            [
                Column("class", "Class", 66),
                Column("Value #A", "Share in use", None, PERCENT, 0, bar=True, steps=_USE),
                *columns,
            ],
            sort=("Class",),
        ),
    ]  # fmt: skip


def _scheduler() -> list[Shaped]:
    def cycle(kind: str) -> str:
        return once("opsd_slurm_scheduler_cycle_seconds", _CLUSTER, f'kind="{kind}"')

    seen = age("opsd_slurm_scheduler_last_cycle_timestamp_seconds", _CLUSTER, 'scheduler="backfill"')
    return [
        panels.lines(
            Head(uids.SCHEDULER.id, 0, 62, 10, 8, "Scheduler cycles",
                 "How long slurmctld's cycles take. Dashed: past half a minute users notice it; past a "
                 "minute lower bf_max_job_test or find who sends so many requests."),
            [
                Query(cycle("last"), "{{scheduler}}, last"),
                Query(cycle("mean"), "{{scheduler}}, mean"),
            ],
            SECONDS, _CYCLES, marked=True,
        ),
        panels.number(
            Head(63, 10, 62, 4, 8, "Last backfill",
                 "Since backfill last ran. With jobs waiting, some minutes mean that it is stuck, or "
                 "that every cycle is cut short: small jobs then start no earlier than large ones."),
            Query(f"max({seen})"), SECONDS, _RESTED, decimals=0,
        ),
        panels.lines(
            Head(uids.DBD_QUEUE.id, 14, 62, 10, 8, "Records on their way to slurmdbd",
                 "Accounting that slurmctld could not hand over yet. If it only grows, slurmdbd is down or "
                 "slow; past its limit Slurm drops records, and usage is lost."),
            [Query(once("opsd_slurm_dbd_queue_records", _CLUSTER), "{{cluster}}")],
            COUNT, _BACKLOG, marked=True,
        ),
    ]  # fmt: skip


def _load() -> list[Shaped]:
    def grown(name: str, window: str) -> str:
        return f"increase({once(name, _CLUSTER)}{window})"

    requests = grown("opsd_slurm_controller_rpcs_total", _WHOLE)
    seconds = grown("opsd_slurm_controller_rpc_seconds_total", _WHOLE)
    most = f"topk(7, {seconds})"
    threads = once("opsd_slurm_controller_threads", _CLUSTER)
    waiting = once("opsd_slurm_controller_agent_queue", _CLUSTER)
    return [
        grid(
            Head(60, 0, 70, 10, 9, "Requests to slurmctld, by time spent",
                 "What kept slurmctld busy in the range above, the seven dearest. One kind that takes most "
                 "of the time is somebody's loop of squeue or sbatch."),
            [
                Query(most),
                Query(f"{requests} and on (cluster, rpc) {most}"),
                Query(f"({seconds} / ({requests} > 0)) and on (cluster, rpc) {most}"),
            ],
            [
                Column("rpc", "Request"),
                Column("Value #A", "Time", 80, SECONDS, 1),
                Column("Value #B", "Count", 74, "locale", 0),
                Column("Value #C", "Each", 78, SECONDS, 1),
            ],
            sort=("-Time",),
        ),
        panels.lines(
            Head(61, 10, 70, 7, 9, "Jobs an hour",
                 "What happened to jobs in the hour before, by slurmctld's own count. Many failures at once "
                 "are a node or a file system rather than programs."),
            [Query(grown("opsd_slurm_controller_jobs_total", "[1h:1m]"), "{{event}}")],
            COUNT, NEUTRAL,
        ),
        panels.lines(
            Head(62, 17, 70, 7, 9, "slurmctld's load",
                 "Threads that serve (256 at most), and messages to nodes that are not sent yet. Both high: "
                 "nodes that do not answer, or too many requests."),
            [Query(threads, "threads"), Query(waiting, "messages")], COUNT, NEUTRAL,
        ),
    ]  # fmt: skip


def _set_aside() -> list[Shaped]:
    def of(what: str) -> Query:
        return Query(once(f"opsd_slurm_reservation_{what}", _CLUSTER))

    def moment(what: str) -> Query:
        return Query(once(f"opsd_slurm_reservation_{what}_timestamp_seconds", _CLUSTER) + " * 1000")

    def licenses(*states: str) -> str:
        words = "|".join(states)
        found = once("opsd_slurm_licenses", _CLUSTER, f'state=~"{words}"')
        return f"sum by (cluster, license) ({found})"

    return [
        grid(
            Head(70, 0, 80, 16, 8, "Reservations",
                 "Nodes kept for somebody or for maintenance, now or to come. GPUs of one that is active and "
                 "empty are paid for and idle."),
            [of("info"), moment("start"), moment("end"), of("nodes"), of("gpus")],
            [
                Column("reservation", "Reservation"),
                Column("state", "State", 72, texts=_RESERVATION_TEXTS),
                Column("Value #B", "Begins", 132, "time:YYYY-MM-DD HH:mm"),
                Column("Value #C", "Ends", 132, "time:YYYY-MM-DD HH:mm"),
                Column("Value #D", "Nodes", 60, COUNT, 0),
                Column("Value #E", "GPUs", 58, COUNT, 0),
                Column("flags", "Flags"),
            ],
            sort=("Begins", "Reservation"), none="no reservation", paged=True,
        ),
        grid(
            Head(71, 16, 80, 8, 8, "Licences",
                 "Used as a share of all; reserved ones are among the free. At 100 % jobs wait with the "
                 "reason Licenses."),
            [
                Query(licenses("used") + " / (" + licenses("used", "free") + " > 0)"),
                Query(licenses("used")), Query(licenses("free")),
            ],
            [
                Column("license", "Licence"),
                Column("Value #A", "Share", None, PERCENT, 0, bar=True, steps=SHARE),
                Column("Value #B", "Used", 58, COUNT, 0),
                Column("Value #C", "Free", 56, COUNT, 0),
            ],
            sort=("-Share", "Licence"), none="no licence",
        ),
    ]  # fmt: skip
