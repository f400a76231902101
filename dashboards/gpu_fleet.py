"""The dashboard *GPU fleet*: how all GPUs are, what each does, and what is wrong with which.

Invariant: a table of troubles lists only GPUs that have one; where it is empty, nothing is wrong.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, uids
from dashboards.expressions import GPU, gpu, heat, listed, numbered, once, unnamed
from dashboards.palette import NEUTRAL, ZERO_IS_BEST, ZERO_IS_GOOD
from dashboards.panels import (
    BAD,
    BYTES,
    CELSIUS,
    COUNT,
    GOOD,
    PERCENT,
    PLAIN,
    WARN,
    WATTS,
    Head,
    Query,
    Shaped,
    Step,
)
from dashboards.promql import NODE, up
from dashboards.recording import recorded
from dashboards.tables import Column, grid

HOT = (Step(None, GOOD), Step(83, WARN), Step(90, BAD))
BUSY = (Step(None, "dark-blue"), Step(0.05, "blue"), Step(0.4, "yellow"), Step(0.7, GOOD))
FULL = (Step(None, "blue"), Step(0.95, WARN))
UNTOLD = (Step(None, "transparent"),)  # of the second job on a GPU: its state stands at the first
STATES = (("0", "ok", "transparent"), ("1", "no answer", WARN), ("2", "hung", BAD), ("3", "lost", BAD))
ACTIONS = (
    ("1", "reset", WARN), ("2", "reboot node", BAD), ("3", "drain peers", WARN), ("4", "drain, reset", BAD),
)  # fmt: skip
REASONS = (
    ("thermal", "heat", WARN), ("sw_thermal_slowdown", "heat (driver)", WARN),
    ("hw_thermal_slowdown", "heat (hardware)", BAD), ("hw_power_brake_slowdown", "power brake", BAD),
)  # fmt: skip
_CHOSEN = ('cluster=~"$cluster"', 'node=~"$node"')
SLOWED = (Step(None, WARN), Step(0.05, BAD))


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.FLEET,
        "GPU fleet",
        "All GPUs: how many, how busy, how hot; each with its job; and what is wrong with which.",
        [board.cluster(), board.node()],
        [
            board.Row(1, 0, "Now", _now()),
            board.Row(2, 7, "Activity", _courses()),
            board.Row(3, 26, "Every GPU", [_every_gpu()]),
            board.Row(4, 39, "Troubles", [*_errors(), *_blindness()]),
        ],
    )


def _node(name: str) -> str:
    return recorded(f"opsd:node_{name}", *_CHOSEN)


def _mean(name: str) -> str:
    """A mean over the GPUs that tell it, not over nodes."""
    return f"sum({_node(f'{name}:sum')}) / sum({_node(f'{name}:count')})"


def _held() -> str:
    """Of the GPUs of nodes whose agents can tell."""
    return f"sum({_node('gpus_held:sum')}) / sum({_node('gpus_asked:count')})"


def _now() -> list[Shaped]:
    shown = (
        ("GPUs", "GPUs that the drivers of the chosen nodes count.", f"sum({_node('gpus:count')})", COUNT,
         NEUTRAL, 0),
        ("Sick", "GPUs that do not answer: hung, lost or in error; they stand first in the table below.",
         f"sum({_node('gpus_sick:count')})", COUNT, ZERO_IS_GOOD, 0),
        ("Held by jobs", "Share of GPUs that jobs hold, of nodes that have the prolog's job files.",
         _held(), PERCENT, NEUTRAL, 0),
        ("Held, but idle", "GPUs that a job holds and that did nothing for half an hour.",
         f"sum({_node('gpus_idle:sum')})", COUNT, ZERO_IS_BEST, 0),
        ("Utilisation", "Share of time in which a kernel ran: busy, not necessarily efficient.",
         _mean("gpu_utilization"), PERCENT, NEUTRAL, 0),
        ("SM active", "Share of the SMs that were busy: far below the utilisation, kernels are too small.",
         _mean("gpu_sm_active"), PERCENT, NEUTRAL, 0),
        ("Power", "What these GPUs draw, without the rest of their nodes.",
         f"sum({_node('gpu_power_watts:sum')})", WATTS, NEUTRAL, 1),
        ("Hottest GPU", "The highest core temperature now; clocks are lowered near 90 °C.",
         f"max({_node('gpu_temperature_celsius:max')})", CELSIUS, HOT, 0),
    )  # fmt: skip
    return [
        panels.number(Head(10 + place, 6 * (place % 4), 1 + 3 * (place // 4), 6, 3, title, words),
                      Query(expr), unit, steps, decimals=decimals, course=False)
        for place, (title, words, expr, unit, steps, decimals) in enumerate(shown)
    ]  # fmt: skip


def _courses() -> list[Shaped]:
    active = _node("gpu_sm_active:avg")
    # The same nodes all along: by what they did over the whole time shown.
    least = f"bottomk(30, avg_over_time({active}[$__range] @ end()))"
    heats = _node("gpu_temperature_celsius:max")
    return [
        panels.heat(
            Head(30, 0, 8, 12, 10, "SM active, the 30 least busy nodes",
                 "Mean over a node's GPUs. Dark lines are nodes that nobody uses, or whose jobs wait for "
                 "something: look at one."),
            Query(f"{active} and {least}", "{{node}}"), PERCENT, BUSY,
        ),
        panels.lines(
            Head(31, 12, 8, 12, 10, "Utilisation, SM active, tensor",
                 "Means over all chosen GPUs. Utilisation high and SM active low: small kernels. Tensor low: "
                 "no matrix work, or not in reduced precision."),
            [
                Query(_mean("gpu_utilization"), "utilisation"),
                Query(_mean("gpu_sm_active"), "SM active"),
                Query(_mean("gpu_tensor_active"), "tensor active"),
                Query(_held(), "held by jobs"),
            ],
            PERCENT, NEUTRAL, most=1, dashed=("held by jobs",),
        ),
        panels.lines(
            Head(32, 0, 18, 8, 8, "Power",
                 "What the chosen GPUs draw, also by their counters of energy: where these differ, power is "
                 "sampled badly."),
            [
                Query(f"sum({_node('gpu_power_watts:sum')})", "power"),
                Query(f"sum({_node('gpu_energy_watts:sum')})", "by energy counters"),
            ],
            WATTS, NEUTRAL,
        ),
        panels.lines(
            Head(33, 8, 18, 8, 8, "GPU memory", "What processes hold, without what drivers keep."),
            [
                Query(f"sum({_node('gpu_memory_used_bytes:sum')})", "in use"),
                Query(f"sum({_node('gpu_memory_total_bytes:sum')})", "there is"),
            ],
            BYTES, NEUTRAL, dashed=("there is",),
        ),
        panels.lines(
            Head(34, 16, 18, 8, 8, "Hottest GPU of a node",
                 "Over the chosen nodes: the hottest, the hottest tenth, the middle. Dashed: 83 and 90 °C. "
                 "All of them rise: the cooling. One rises: that node."),
            [
                Query(f"max({heats})", "hottest"),
                Query(f"quantile(0.9, {heats})", "90 % are below"),
                Query(f"quantile(0.5, {heats})", "median"),
            ],
            CELSIUS, HOT, marked=True,
        ),
    ]  # fmt: skip


def each(expression: str) -> str:
    """Once for each GPU."""
    return f"max by ({GPU}) ({expression})"


def _every_gpu() -> Shaped:
    state = unnamed("opsd:gpu_state:code", *_CHOSEN)
    whole = f"and on (cluster, node, uuid) {state}"  # without MIG devices, which are lines of their own
    memory = f"{gpu('opsd_gpu_memory_used_bytes')} / {gpu('opsd_gpu_memory_total_bytes')}"
    return grid(
        Head(uids.GPUS.id, 0, 27, 24, 12, "Every GPU",
             "State, load and the job on it. A GPU that does not answer has no readings; the sick ones stand "
             "first. Activity: SMs that are busy, or utilisation where the driver cannot tell."),
        [
            Query(state),
            Query(f"{unnamed('opsd:device_activity:ratio', *_CHOSEN)} {whole}"),
            Query(each(gpu("opsd_gpu_tensor_active_ratio"))),
            Query(each(memory)),
            Query(each(gpu("opsd_gpu_power_average_watts"))),
            Query(each(heat())),
            Query(numbered(unnamed("opsd:gpu_held:share", *_CHOSEN))),
        ],
        [
            Column("node", "Node", link=uids.NODE),
            Column("gpu", "GPU", 60),
            Column("Value #A", "State", 95, COUNT, 0, texts=STATES, steps=UNTOLD, show="color-background"),
            Column("Value #B", "Activity", 100, PERCENT, 0, bar=True, steps=BUSY),
            Column("Value #C", "Tensor", 100, PERCENT, 0, bar=True, steps=BUSY),
            Column("Value #D", "Memory", 100, PERCENT, 0, bar=True, steps=FULL),
            Column("Value #E", "Power", 75, WATTS, 0),
            Column("Value #F", "Temp.", 70, CELSIUS, 0, steps=HOT),
            Column("jobid", "Job", link=uids.JOB),
            Column("user", "User"),
            Column("project", "Project", link=uids.ALLOCATIONS),
        ],
        sort=("-State", "Node", "GPU"),
        paged=True,
    )  # fmt: skip


def _errors() -> list[Shaped]:
    xid = "cluster, node, gpu, xid"
    last = f"max by ({xid}) ({gpu('opsd_gpu_xid_last_timestamp_seconds')}) * 1000"
    met = once("opsd_gpu_application_xid_users", *_CHOSEN)
    gpus = f"0 * {recorded('opsd:gpu_state:code', *_CHOSEN)}"  # tells the number of a GPU
    users = f"max by ({xid}) ({met} + on (cluster, node, uuid) group_left (gpu) {gpus})"
    return [
        grid(
            Head(uids.XIDS.id, 0, 40, 12, 8, "XID errors",
                 "Errors that drivers reported since each agent started, the last first; the runbook says "
                 "which of them need a drain. Users: whose jobs met the same one on this GPU within a week; "
                 "two or more: it is the GPU, not their programs."),
            [
                Query(last),
                Query(f"max by ({xid}) ({gpu('opsd_gpu_xid_errors_total')})"),
                Query(f"{users} or 0 * {last}"),
            ],
            [
                Column("node", "Node", 110, link=uids.NODE),
                Column("gpu", "GPU", 60),
                Column("xid", "XID", 60),
                Column("Value #B", "Count", 70, COUNT, 0),
                Column("Value #C", "Users", 70, COUNT, 0, steps=(Step(None, PLAIN), Step(2, WARN)),
                       texts=(("0", "-", PLAIN),)),
                Column("Value #A", "Last", None, "dateTimeFromNow"),
            ],
            sort=("-Last",),
            paged=True,
        ),
        grid(
            Head(uids.ERRORS.id, 12, 40, 12, 8, "Memory errors and repairs",
                 "Uncorrected errors since the driver was loaded, rows that wait for a reset or could not be "
                 "replaced, and what the driver advises. A failed remap, or SRAM past its threshold: replace "
                 "the GPU."),
            [Query(_repairs())],
            [
                Column("node", "Node", 110, link=uids.NODE),
                Column("gpu", "GPU", 60),
                Column("what", "What", None, texts=_REPAIRS),
                Column("Value", "How many", 100, COUNT, 0),
            ],
            sort=("Node", "GPU"),
            paged=True,
        ),
    ]  # fmt: skip


_REPAIRS = (
    ("uncorrected", "uncorrected memory errors", WARN),
    ("waits", "row remap waits for a reset", WARN),
    ("failed", "row remap failed: replace the GPU", BAD),
    ("sram", "SRAM errors past the threshold: replace the GPU", BAD),
    ("reset", "the driver advises a reset", WARN),
    ("reboot", "the driver advises a reboot of the node", BAD),
    ("peers", "the driver advises to drain peer-to-peer", WARN),
    ("drain", "the driver advises to drain and reset", BAD),
)


def _repairs() -> str:
    kind = ('severity="uncorrected"', 'lifetime="volatile"')
    advice = each(gpu("opsd_gpu_recovery_action"))
    advised = (
        (f"{advice} / {code} == 1", what)
        for code, what in enumerate(("reset", "reboot", "peers", "drain"), start=1)
    )
    return listed(
        (f"{each(gpu('opsd_gpu_ecc_errors_total', *kind))} > 0", "uncorrected"),
        (f"{each(gpu('opsd_gpu_row_remap_pending'))} == 1", "waits"),
        (f"{each(gpu('opsd_gpu_row_remap_failure'))} == 1", "failed"),
        (f"{each(gpu('opsd_gpu_sram_threshold_exceeded'))} == 1", "sram"),
        *advised,
    )


_LINKS = (
    ("lanes", "PCIe lanes", BAD), ("generation", "PCIe generation under load", WARN),
    ("replays", "PCIe packets sent again, 1 h", WARN), ("nvlinks", "NVLinks up", BAD),
    ("errors", "NVLink errors, 1 h", WARN),
)  # fmt: skip


def _links() -> list[Query]:
    """What is narrow, slow, down or errs; and what it should be."""
    busy = f"{each(gpu('opsd_gpu_utilization_ratio'))} > 0.1"
    width, widest = (each(gpu(f"opsd_gpu_pcie_link_width_{it}lanes")) for it in ("", "max_"))
    speed, fastest = (each(gpu(f"opsd_gpu_pcie_link_generation{it}")) for it in ("", "_max"))
    active = each(gpu("opsd_gpu_nvlink_links_active"))
    most = f"max by (cluster, node) ({gpu('opsd_gpu_nvlink_links_active')})"
    others = f"0 * {active} + on (cluster, node) group_left () {most}"
    replays = f"{each(_in_an_hour(gpu('opsd_gpu_pcie_replays_total')))} > 0"
    errors = f"sum by ({GPU}) ({_in_an_hour(gpu('opsd_gpu_nvlink_errors_total'))}) > 0"
    narrow, slow = f"{width} < {widest}", f"{speed} < {fastest} and {busy}"
    down = f"{active} < on (cluster, node) group_left () {most}"
    return [
        Query(listed((narrow, "lanes"), (slow, "generation"), (replays, "replays"), (down, "nvlinks"),
                     (errors, "errors"))),
        Query(listed((f"{widest} and ({narrow})", "lanes"), (f"{fastest} and ({slow})", "generation"),
                     (f"0 * ({replays})", "replays"), (f"{others} and ({down})", "nvlinks"),
                     (f"0 * ({errors})", "errors"))),
    ]  # fmt: skip


def _in_an_hour(counter: str) -> str:
    """Two samples of each series: increase() would read every one of thousands of GPUs."""
    return f"({counter} - {counter} offset 1h)"


_BLIND = (
    ("missing", "GPUs missing: Slurm expects more", BAD), ("silent", "agent does not answer", BAD),
    ("released", "agent has left the driver", WARN), ("mig", "GPUs in MIG mode", PLAIN),
)  # fmt: skip


def _blind() -> str:
    job = f'job="{NODE}"'
    return listed(
        (f"{unnamed('opsd:node_gpus_missing:count', *_CHOSEN)} > 0", "missing"),
        (f"1 - max by (cluster, node) ({up(job, *_CHOSEN)}) == 1", "silent"),
        (f"max by (cluster, node) ({gpu('opsd_node_released')}) == 1", "released"),
        (f"sum by (cluster, node) ({gpu('opsd_gpu_mig_mode')}) > 0", "mig"),
    )


def _blindness() -> list[Shaped]:
    return [
        grid(
            Head(uids.THROTTLED.id, 12, 48, 12, 8, "Slowed by heat or supply",
                 "Share of the last ten minutes in which a GPU's clocks were held down by heat or by a power "
                 "brake. Under a power cap every GPU is, and that is not listed."),
            [Query(unnamed("opsd:gpu_slowed:ratio", *_CHOSEN))],
            [
                Column("node", "Node", 110, link=uids.NODE),
                Column("gpu", "GPU", 60),
                Column("reason", "Why", None, texts=REASONS),
                Column("Value", "Share", 110, PERCENT, 0, bar=True, steps=SLOWED),
            ],
            sort=("-Share",),
            paged=True,
        ),
        grid(
            Head(uids.LINKS.id, 0, 48, 12, 8, "Links",
                 "PCIe with fewer lanes, or under load an older generation, than it should have; packets "
                 "sent again and NVLink errors within an hour; fewer NVLinks than the node's other GPUs."),
            _links(),
            [
                Column("node", "Node", 110, link=uids.NODE),
                Column("gpu", "GPU", 60),
                Column("what", "What", None, texts=_LINKS),
                Column("Value #A", "Is", 65, COUNT, 0),
                Column("Value #B", "Should be", 95, COUNT, 0),
            ],
            sort=("Node", "GPU"),
            paged=True,
        ),
        grid(
            Head(uids.BLIND.id, 0, 56, 24, 7, "Where nobody looks",
                 "Nodes whose GPUs are seen in part or not at all: GPUs that Slurm expects and the driver "
                 "lacks, agents that have left the driver for maintenance or do not answer, GPUs in MIG mode "
                 "(which have no utilisation of their own)."),
            [Query(_blind())],
            [
                Column("node", "Node", 110, link=uids.NODE),
                Column("what", "What", None, texts=_BLIND),
                Column("Value", "How many", 200, COUNT, 0),
            ],
            sort=("Node",),
            paged=True,
        ),
    ]  # fmt: skip
