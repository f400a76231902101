"""The dashboard *Job*: what one job did with its GPUs, side by side; also of a job that is over.

Invariant: every number is of the time within which the job held the GPU, and within the time shown.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, uids
from dashboards.expressions import GPU, gpu, heat
from dashboards.gpu_fleet import BUSY, FULL, HOT, REASONS, SLOWED
from dashboards.palette import COUNTRY_TEXTS, NEUTRAL, ZERO_IS_GOOD
from dashboards.panels import (
    BAD,
    BYTES,
    BYTES_A_SECOND,
    CELSIUS,
    COUNT,
    HERTZ,
    HOURS,
    PERCENT,
    PLAIN,
    WARN,
    WATTS,
    Head,
    Query,
    Shaped,
    Step,
)
from dashboards.promql import age, series
from dashboards.recording import recorded
from dashboards.tables import Column, grid

_JOB = ('cluster=~"$cluster"', 'jobid="$jobid"')
_CHOSEN = ('cluster=~"$cluster"', 'node=~"$node"')
_TIME = "[$__range:1m]"
_MINUTES = 60  # in an hour, of which each is a sample
_USED = (Step(None, BAD), Step(0.1, WARN), Step(0.3, PLAIN))
_WASTED = (Step(None, PLAIN), Step(1, WARN), Step(24, BAD))
_BEHIND = (Step(None, BAD), Step(-0.2, WARN), Step(-0.1, PLAIN))


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.JOB,
        "Job",
        "What a job did with its GPUs within the time shown, GPU beside GPU; also of a job that is over.",
        [board.cluster(), board.job(), board.nodes_of_job()],
        [
            board.Row(1, 0, "In short", [_whose(), *_short(), *_sums()]),
            board.Row(2, 9, "Its GPUs beside each other", [_side_by_side()]),
            board.Row(3, 20, "Over time", [*_activity(), *_rest()]),
            board.Row(4, 46, "Troubles on its GPUs", _troubles()),
        ],
        time="now-6h",
    )


def _held(expression: str) -> str:
    """A reading of GPUs or MIG devices while the job held them."""
    return f"({expression} and on (cluster, node, uuid) {series('opsd_gpu_job_info', *_JOB)})"


def _each(name: str, *matchers: str) -> str:
    return _held(f"max by ({GPU}) ({gpu(name, *matchers)})")


def _live() -> str:
    return _held(recorded("opsd:device_activity:ratio", *_CHOSEN))


def _mean(expression: str) -> str:
    return f"avg_over_time({expression}{_TIME})"


def _power() -> str:
    """What it draws: of a GPU that jobs share, by its share."""
    watts = f"max by (cluster, node, uuid) ({gpu('opsd_gpu_power_average_watts')})"
    return f"{recorded('opsd:gpu_jobs:share', *_JOB)} * on (cluster, node, uuid) group_left () {watts}"


def _memory() -> str:
    """In use on what it holds: of a MIG device, that device's."""
    whole, device = "opsd_gpu_memory_used_bytes", "opsd_gpu_mig_memory_used_bytes"
    return f"({_each(whole)} or {_each(device)})"


def _whose() -> Shaped:
    whose = "jobid, account, user, project, organisation, country, pool"
    seen = f"sum by ({whose}) (count_over_time({recorded('opsd:gpu_held:share', *_JOB)}[$__range]))"
    longest = f"topk by (jobid) (1, {seen})"  # of the first minute its project may not have been known
    gpus = f"sum by (jobid, account, user) ({recorded('opsd:gpu_jobs:share', *_JOB)})"
    return grid(
        Head(10, 0, 1, 12, 4, "Whose job it is",
             "The account's project and who pays, as bound at the time. GPUs: the most it held at once."),
        [Query(f"{longest} * 0 + on (jobid, account, user) group_left () max_over_time(({gpus}){_TIME})")],
        [
            Column("jobid", "Job", 78),
            Column("Value", "GPUs", 55, COUNT, 0),
            Column("user", "User", 86),
            Column("account", "Account", 86),
            Column("project", "Project", link=uids.ALLOCATIONS),
            Column("country", "Country", 74, texts=COUNTRY_TEXTS),
        ],
        sort=("Project",),
    )  # fmt: skip


def _short() -> list[Shaped]:
    share = recorded("opsd:gpu_jobs:share", *_JOB)
    idle = recorded("opsd:gpu_idle:share", *_JOB)
    held = f"sum(sum_over_time({share}{_TIME})) / {_MINUTES}"
    shown = (
        ("Activity", "Mean share of busy SMs over its GPUs. Under 10 % it hardly uses them.",
         f"avg({_mean(_live())})", PERCENT, _USED, 0),
        ("Held", "GPU-hours that it held within the time shown.", held, HOURS, NEUTRAL, 1),
        ("Of that idle", "GPU-hours in which a GPU had done nothing for half an hour.",
         f"sum(sum_over_time({idle}{_TIME})) / {_MINUTES} or 0 * {held}", HOURS, _WASTED, 1),
    )  # fmt: skip
    return [
        panels.number(Head(11 + place, 12 + 4 * place, 1, 4, 4, title, words), Query(expr), unit, steps,
                      decimals=decimals, course=False)
        for place, (title, words, expr, unit, steps, decimals) in enumerate(shown)
    ]  # fmt: skip


def _sums() -> list[Shaped]:
    gap = f"quantile(0.5, {_mean(_live())}) - min({_mean(_live())})"
    energy = f"sum(sum_over_time(({_power()}){_TIME})) * 60 / 3.6e6"
    seen = f"max_over_time({recorded('opsd:gpu_jobs:share', *_JOB)}[$__range])"
    xids = f"count({_met_xids()}) or 0 * count({seen})"
    processes = f"max_over_time(sum({_of_job('opsd_gpu_job_processes')}){_TIME})"
    shown = (
        ("Energy", "What its GPUs used, from readings of their power each minute.", energy, "kwatth",
         NEUTRAL, 2),
        ("Mean power", "Of a GPU. Far below the others' of its kind: it waits.",
         f"avg({_mean(f'({_power()})')})", WATTS, NEUTRAL, 0),
        ("Memory", "The most that processes held on all its GPUs together.",
         f"max_over_time(sum({_memory()}){_TIME})", BYTES, NEUTRAL, 1),
        ("Processes", "Compute processes on its GPUs; 0: it has never begun to use them.",
         processes, COUNT, (Step(None, BAD), Step(1, PLAIN)), 0),
        ("Straggler", "How far the least active GPU lies behind the job's median: others may wait for it.",
         gap, PERCENT, (Step(None, PLAIN), Step(0.1, WARN), Step(0.2, BAD)), 0),
        ("XIDs", "Errors that drivers reported of its GPUs while it held them.", xids, COUNT,
         ZERO_IS_GOOD, 0),
    )  # fmt: skip
    return [
        panels.number(Head(14 + place, 4 * place, 5, 4, 4, title, words), Query(expr), unit, steps,
                      decimals=decimals, course=False)
        for place, (title, words, expr, unit, steps, decimals) in enumerate(shown)
    ]  # fmt: skip


def _of_job(name: str) -> str:
    return series(name, *_JOB)


def _side_by_side() -> Shaped:
    live = _mean(_live())
    total = f"({_each('opsd_gpu_memory_total_bytes')} or {_each('opsd_gpu_mig_memory_total_bytes')})"
    return grid(
        Head(uids.JOB_GPUS.id, 0, 10, 24, 10, "Its GPUs",
             "Means within the time shown; memory and temperature: the most. Behind the median: points of "
             "activity less than the middle GPU of the job; one far behind slows all of them down."),
        [
            Query(live),
            Query(f"round({live} - on () group_left () quantile(0.5, {live}), 0.01)"),
            Query(_mean(_each("opsd_gpu_tensor_active_ratio"))),
            Query(f"max_over_time({_memory()}{_TIME}) / max_over_time({total}{_TIME})"),
            Query(_mean(_each("opsd_gpu_power_average_watts"))),
            Query(_mean(_each("opsd_gpu_clock_hertz", 'domain="sm"'))),
            Query(f"max_over_time({_held(f'max by ({GPU}) ({heat()})')}{_TIME})"),
        ],
        [
            Column("node", "Node", 110, link=uids.NODE),
            Column("gpu", "GPU", 60),
            Column("Value #A", "Activity", None, PERCENT, 0, bar=True, steps=BUSY),
            Column("Value #B", "Behind median", 130, PERCENT, 0, steps=_BEHIND),
            Column("Value #C", "Tensor", None, PERCENT, 0, bar=True, steps=BUSY),
            Column("Value #D", "Memory", None, PERCENT, 0, bar=True, steps=FULL),
            Column("Value #E", "Power", 90, WATTS, 0),
            Column("Value #F", "SM clock", 100, HERTZ, 2),
            Column("Value #G", "Temp.", 80, CELSIUS, 0, steps=HOT),
            Column("uuid", "GPU's name"),
        ],
        sort=("Behind median", "Node", "GPU"),
        paged=True,
    )  # fmt: skip


def _lines(head: Head, expr: str, unit: str, most: float | None = None) -> Shaped:
    return panels.lines(head, [Query(expr, "{{node}} GPU {{gpu}}")], unit, NEUTRAL, most=most)


def _activity() -> list[Shaped]:
    return [
        _lines(
            Head(30, 0, 21, 12, 9, "Activity", "Busy SMs of each GPU. All drop together: input or a barrier; "
                 "one alone: a straggler, or a rank that died."),
            _live(), PERCENT, 1,
        ),
        _lines(
            Head(31, 12, 21, 12, 9, "Tensor active", "Matrix work. None: the job does not train in reduced "
                 "precision, or something else takes its time."),
            _each("opsd_gpu_tensor_active_ratio"), PERCENT, 1,
        ),
    ]  # fmt: skip


def _rest() -> list[Shaped]:
    received = f"max by ({GPU}) (rate({gpu('opsd_gpu_nvlink_receive_bytes_total')}[$__rate_interval]))"
    pcie = f"max by ({GPU}) (rate({gpu('opsd_gpu_pcie_receive_bytes_total')}[$__rate_interval]))"
    return [
        _lines(Head(32, 0, 30, 8, 8, "Memory in use", "A line that rises for ever ends with out of memory."),
               _memory(), BYTES),
        _lines(Head(33, 8, 30, 8, 8, "Power", "It follows what is really computed more closely than "
                    "utilisation does."), _each("opsd_gpu_power_average_watts"), WATTS),
        _lines(Head(34, 16, 30, 8, 8, "Core temperature", "One GPU hotter than its neighbours runs slower "
                    "than they do."), _held(f"max by ({GPU}) ({heat()})"), CELSIUS),
        _lines(Head(35, 0, 38, 8, 8, "SM clock", "Different from GPU to GPU under the same load: heat or a "
                    "power limit."), _each("opsd_gpu_clock_hertz", 'domain="sm"'), HERTZ),
        _lines(Head(36, 8, 38, 8, 8, "Received over NVLink", "Exchange between the GPUs of a node."),
               _held(received), BYTES_A_SECOND),
        _lines(Head(37, 16, 38, 8, 8, "Received over PCIe", "From the host, its storage and other nodes: "
                    "what feeds the GPU."), _held(pcie), BYTES_A_SECOND),
    ]  # fmt: skip


def _met_xids() -> str:
    """XIDs reported in a minute in which the job held the GPU."""
    last = "opsd_gpu_xid_last_timestamp_seconds"
    new = f"({gpu(last)} and ({age(last, *_CHOSEN)}) < 300)"
    held = recorded("opsd:gpu_jobs:share", *_JOB)
    return f"max by ({GPU}, xid) (max_over_time(({new} and on (cluster, node, uuid) {held}){_TIME}))"


def _troubles() -> list[Shaped]:
    slowed = recorded("opsd:gpu_slowed:ratio", *_CHOSEN)
    held = recorded("opsd:gpu_jobs:share", *_JOB)
    return [
        grid(
            Head(40, 0, 47, 12, 7, "XIDs while it ran",
                 "Errors that drivers reported of its GPUs meanwhile. 13, 31 and 43 are mostly the program's "
                 "own; others take the node out: see the runbook."),
            [Query(f"{_met_xids()} * 1000")],
            [
                Column("node", "Node", 110, link=uids.NODE),
                Column("gpu", "GPU", 60),
                Column("xid", "XID", 70),
                Column("Value", "Last", None, "dateTimeAsIso"),
            ],
            sort=("-Last",),
        ),
        grid(
            Head(41, 12, 47, 12, 7, "Slowed by heat or supply",
                 "The largest share of ten minutes in which clocks of its GPUs were held down."),
            [Query(f"max_over_time(({slowed} and on (cluster, node, uuid) {held}){_TIME})")],
            [
                Column("node", "Node", 110, link=uids.NODE),
                Column("gpu", "GPU", 60),
                Column("reason", "Why", None, texts=REASONS),
                Column("Value", "Share", 160, PERCENT, 0, bar=True, steps=SLOWED),
            ],
            sort=("-Share",),
        ),
    ]  # fmt: skip
