"""The dashboard *GPU node*: one node, each of its GPUs over time, who held it, and how it is.

Invariant: a line is a GPU; one in MIG mode is absent where the driver tells nothing of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, uids
from dashboards.expressions import gpu, heat, numbered, once, unnamed
from dashboards.gpu_fleet import ACTIONS, BUSY, FULL, HOT, STATES, UNTOLD, each
from dashboards.palette import NEUTRAL, RESULTS, ZERO_IS_GOOD
from dashboards.panels import (
    BAD,
    BYTES,
    BYTES_A_SECOND,
    CELSIUS,
    COUNT,
    GOOD,
    HERTZ,
    PERCENT,
    PLAIN,
    SECONDS,
    WARN,
    WATTS,
    Head,
    Query,
    Shaped,
    Step,
)
from dashboards.promql import age
from dashboards.recording import recorded
from dashboards.tables import Column, grid

_CHOSEN = ('cluster=~"$cluster"', 'node=~"$node"')
_AGE = (Step(None, GOOD), Step(60, WARN), Step(300, BAD))
_HELD = (Step(None, "blue"),)
_REMAPS = (("0", "none", GOOD), ("1", "waits", WARN), ("2", "failed", BAD))


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.NODE,
        "GPU node",
        "One node: each GPU over time, who held it, and whether it is well.",
        [board.cluster(), board.one_node()],
        [
            board.Row(1, 0, "Now", _now()),
            board.Row(2, 7, "Who holds it", _holders()),
            board.Row(3, 17, "Activity", _activity()),
            board.Row(4, 34, "Power, heat and clocks", _power()),
            board.Row(5, 50, "Links", _links()),
            board.Row(6, 59, "Errors and agent", _errors()),
        ],
        time="now-6h",
    )


def _node(name: str) -> str:
    return recorded(f"opsd:node_{name}", *_CHOSEN)


def _now() -> list[Shaped]:
    used, total = _node("gpu_memory_used_bytes:sum"), _node("gpu_memory_total_bytes:sum")
    seen = age("opsd_node_collector_last_success_timestamp_seconds", *_CHOSEN, 'collector=~"nvml|simulated"')
    sick, missing = f"sum({_node('gpus_sick:count')})", f"sum({_node('gpus_missing:count')})"
    memory = f"sum({used}) / sum({total})"
    shown = (
        ("GPUs", "GPUs that its driver counts.", f"sum({_node('gpus:count')})", COUNT, NEUTRAL),
        ("Sick or missing", "GPUs that do not answer, and GPUs that Slurm expects and the driver lacks.",
         f"{sick} + ({missing} or 0 * {sick})", COUNT, ZERO_IS_GOOD),
        ("Held by jobs", "GPUs of this node that jobs hold, by the prolog's job files.",
         f"sum({_node('gpus_held:sum')})", COUNT, NEUTRAL),
        ("Activity", "Mean share of busy SMs; utilisation where the driver cannot tell.",
         f"avg({_whole('opsd:device_activity:ratio')})", PERCENT, NEUTRAL),
        ("GPU memory", "Share of the memory that processes hold.", memory, PERCENT, FULL),
        ("Hottest GPU", "The highest core temperature of the node now.",
         f"max({_node('gpu_temperature_celsius:max')})", CELSIUS, HOT),
        ("Readings' age", "Since when the agent has read its GPUs; past some intervals it hangs.",
         f"max({seen})", SECONDS, _AGE),
    )  # fmt: skip
    numbers = [
        panels.number(Head(10 + place, 6 * (place % 4), 1 + 3 * (place // 4), 6, 3, title, words),
                      Query(expr), unit, steps, course=False)
        for place, (title, words, expr, unit, steps) in enumerate(shown)
    ]  # fmt: skip
    state = once("opsd_slurm_node_state_info", *_CHOSEN)
    out = once("opsd_slurm_node_unavailable_info", *_CHOSEN)
    colored = f"({state} and on (cluster, node) {out}) or ({state} * 0)"
    word = panels.word(
        Head(17, 18, 4, 6, 3, "In Slurm", "What slurmctld says of the node; orange: it takes no jobs."),
        Query(colored, "{{state}}"), (Step(None, PLAIN), Step(1, WARN)), none="unknown",
    )  # fmt: skip
    return [*numbers, word]


def _whole(name: str) -> str:
    """Of GPUs, without MIG devices."""
    gpus = recorded("opsd:gpu_state:code", *_CHOSEN)
    return f"({unnamed(name, *_CHOSEN)} and on (cluster, node, uuid) {gpus})"


def _holders() -> list[Shaped]:
    share = recorded("opsd:gpu_jobs:share", *_CHOSEN)
    held = f"sum by (jobid, account) (sum_over_time({share}[$__range] @ end()))"
    jobs = f"sum by (jobid, account) ({share}) and topk(12, {held})"
    return [
        panels.timeline(
            Head(20, 0, 8, 12, 9, "Jobs on this node",
                 "The twelve jobs that held most GPU-time here: when, and how many GPUs. Times without any: "
                 "the node was free, or many small jobs shared it."),
            [Query(jobs, "{{jobid}} ({{account}})")], COUNT, _HELD,
        ),
        grid(
            Head(21, 12, 8, 12, 9, "GPUs now", "State of each GPU, and the job on it."),
            [
                Query(unnamed("opsd:gpu_state:code", *_CHOSEN)),
                Query(_whole("opsd:device_activity:ratio")),
                Query(numbered(unnamed("opsd:gpu_held:share", *_CHOSEN))),
            ],
            [
                Column("gpu", "GPU", 50),
                Column("Value #A", "State", 80, COUNT, 0, texts=STATES, steps=UNTOLD,
                       show="color-background"),
                Column("Value #B", "Activity", None, PERCENT, 0, bar=True, steps=BUSY),
                Column("jobid", "Job", link=uids.JOB),
                Column("user", "User"),
                Column("project", "Project", link=uids.ALLOCATIONS),
            ],
            sort=("GPU",),
            paged=True,
        ),
    ]  # fmt: skip


def _lines(id_: int, x: int, y: int, title: str, words: str, expr: str, unit: str, **more: object) -> Shaped:
    """A line for each GPU, a third of the page wide."""
    head = Head(id_, x, y, 8, 8, title, words)
    return panels.lines(head, [Query(each(expr), "GPU {{gpu}}")], unit, NEUTRAL, **more)  # type: ignore[arg-type]


def _activity() -> list[Shaped]:
    return [
        _lines(30, 0, 18, "SM active", "Share of the SMs that were busy: how much of the GPU works.",
               gpu("opsd_gpu_sm_active_ratio"), PERCENT, most=1),
        _lines(31, 8, 18, "Tensor active", "Share of the time in which tensor pipes were busy: matrix work.",
               gpu("opsd_gpu_tensor_active_ratio"), PERCENT, most=1),
        _lines(32, 16, 18, "Utilisation", "Share of the time in which a kernel ran, however small.",
               gpu("opsd_gpu_utilization_ratio"), PERCENT, most=1),
        _lines(33, 0, 26, "Memory in use", "What processes hold; a line that rises for ever is a leak.",
               gpu("opsd_gpu_memory_used_bytes"), BYTES),
        _lines(34, 8, 26, "Memory bandwidth", "Share of the highest bandwidth: near 100 % memory is what the "
               "job waits for.", gpu("opsd_gpu_dram_active_ratio"), PERCENT, most=1),
        _lines(35, 16, 26, "Processes", "Compute processes; none while a job holds the GPU: it has not "
               "begun, or has died.", gpu("opsd_gpu_processes"), COUNT),
    ]  # fmt: skip


def _power() -> list[Shaped]:
    enforced = 'kind="enforced"'
    limit = f"max({gpu('opsd_gpu_power_limit_watts', enforced)})"
    reasons = f"rate({gpu('opsd_gpu_clock_event_seconds_total')}[10m])"
    return [
        panels.lines(
            Head(40, 0, 35, 8, 8, "Power and its limit",
                 "At the limit (dashed) clocks are held down: normal under full load."),
            [Query(each(gpu("opsd_gpu_power_average_watts")), "GPU {{gpu}}"), Query(limit, "limit")],
            WATTS, NEUTRAL, dashed=("limit",),
        ),
        panels.lines(
            Head(41, 8, 35, 8, 8, "Core temperature", "Dashed: 83 and 90 °C. One line above the others: its "
                 "cooling; all of them: the node's, or the room's."),
            [Query(each(heat()), "GPU {{gpu}}")], CELSIUS, HOT, marked=True,
        ),
        _lines(42, 16, 35, "SM clock", "Low under load: look below for why.",
               gpu("opsd_gpu_clock_hertz", 'domain="sm"'), HERTZ),
        panels.lines(
            Head(43, 0, 43, 24, 7, "Why clocks are held down",
                 "Share of the time in which each reason held clocks down, of the GPU that met it most. Heat "
                 "and power brakes are faults; a power cap and low utilisation are not."),
            [Query(f"max by (reason) ({reasons})", "{{reason}}")], PERCENT, NEUTRAL,
        ),
    ]  # fmt: skip


def _links() -> list[Shaped]:
    def traffic(link: str, way: str) -> str:
        return each(f"rate({gpu(f'opsd_gpu_{link}_{way}_bytes_total')}[$__rate_interval])")

    return [
        panels.lines(
            Head(id_, x, 51, 12, 8, title, words),
            [
                Query(traffic(link, "transmit"), "out {{gpu}}"),
                Query(traffic(link, "receive"), "in {{gpu}}"),
            ],
            BYTES_A_SECOND, NEUTRAL, below="in",
        )
        for id_, x, link, title, words in (
            (50, 0, "pcie", "PCIe",
             "What each GPU sends, and below the line what it receives, from the host or other nodes."),
            (51, 12, "nvlink", "NVLink",
             "Likewise between GPUs; one that does not take part may be out of the job."),
        )
    ]  # fmt: skip


def _ecc(severity: str, lifetime: str) -> str:
    return each(gpu("opsd_gpu_ecc_errors_total", f'severity="{severity}"', f'lifetime="{lifetime}"'))


def _errors() -> list[Shaped]:
    xid = "gpu, xid"
    return [
        grid(
            Head(60, 0, 60, 7, 8, "XIDs of this node",
                 "Errors that the driver reported since the agent started."),
            [
                Query(f"max by ({xid}) ({gpu('opsd_gpu_xid_last_timestamp_seconds')}) * 1000"),
                Query(f"max by ({xid}) ({gpu('opsd_gpu_xid_errors_total')})"),
            ],
            [
                Column("gpu", "GPU", 50),
                Column("xid", "XID", 50),
                Column("Value #B", "Count", 65, COUNT, 0),
                Column("Value #A", "Last", None, "dateTimeFromNow"),
            ],
            sort=("-Last",),
        ),
        grid(
            Head(61, 7, 60, 10, 8, "Memory errors and repairs",
                 "Errors since the driver was loaded; whether a row of memory waits for a reset to be "
                 "replaced, or could not be (replace the GPU); what the driver advises."),
            _repairs(),
            [
                Column("gpu", "GPU", 55),
                Column("Value #A", "Corrected", 80, COUNT, 0),
                Column("Value #B", "Uncorrected", 95, COUNT, 0, steps=ZERO_IS_GOOD),
                Column("Value #C", "Remap", 65, COUNT, 0, texts=_REMAPS),
                Column("Value #D", "Advice", None, COUNT, 0, texts=(("0", "none", GOOD), *ACTIONS)),
            ],
            sort=("GPU",),
        ),
        grid(
            Head(62, 17, 60, 7, 8, "Agent",
                 "What the agent collects here, whether the last time succeeded, and how long it took."),
            [Query(each_collector("opsd_node_collector_up")),
             Query(each_collector("opsd_node_collector_duration_seconds"))],
            [
                Column("collector", "Collector"),
                Column("Value #A", "Last time", 85, COUNT, 0, texts=RESULTS),
                Column("Value #B", "Took", 80, SECONDS, 1),
            ],
            sort=("Collector",),
        ),
    ]  # fmt: skip


def _repairs() -> Sequence[Query]:
    waits = each(gpu("opsd_gpu_row_remap_pending"))
    return [
        Query(_ecc("corrected", "volatile")),
        Query(_ecc("uncorrected", "volatile")),
        Query(f"clamp_max({waits} + 2 * {each(gpu('opsd_gpu_row_remap_failure'))}, 2)"),
        Query(each(gpu("opsd_gpu_recovery_action"))),
    ]


def each_collector(name: str) -> str:
    """Once for each collector."""
    return f"max by (collector) ({gpu(name)})"
