"""The dashboard *Waste*: GPUs that somebody holds and nobody uses, whose they are, and what it costs.

Invariant: idle means the same everywhere: held for half an hour with under 1 % of the SMs busy on average.
What cannot be measured is not waste.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, uids
from dashboards.expressions import by_country, numbered, once
from dashboards.palette import COUNTRIES, COUNTRY_TEXTS, NEUTRAL, ZERO_IS_BEST
from dashboards.panels import (
    BAD,
    BYTES,
    COUNT,
    GOOD,
    HOURS,
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
from dashboards.recording import recorded
from dashboards.tables import Column, grid

_PEOPLE = ('country=~"$country"', 'project=~"$project"')
_CLUSTER = 'cluster=~"$cluster"'
_CHOSEN = (_CLUSTER, *_PEOPLE)
_DAY = "[24h:5m]"
_A_DAY_STEP, _PER_HOUR, _BEFORE = 300, 12, 1800  # seconds; samples; seconds until it counts as idle
_SHARE = (Step(None, GOOD), Step(0.05, WARN), Step(0.15, BAD))
_LONG = (Step(None, PLAIN), Step(7200, WARN), Step(21_600, BAD))
_MUCH = (Step(None, PLAIN), Step(4, WARN), Step(24, BAD))
_LOW = (Step(None, BAD), Step(0.05, WARN), Step(0.1, PLAIN))
_LITTLE = 0.2
_HOUR, _KWH = 3600, 3.6e6


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.WASTE,
        "Waste",
        "GPUs that are held and not used: whose they are, for how long, and what it costs.",
        [board.cluster(), board.country(), board.project()],
        [
            board.Row(1, 0, "Now", _now()),
            board.Row(2, 5, "Held and idle", [_idle_gpus()]),
            board.Row(3, 14, "Without a process, and over time", _unused()),
            board.Row(4, 24, "The last 7 days, as agents saw them", _week()),
            board.Row(5, 35, "Allocated, but hardly used", [_low()]),
        ],
    )


def _sum(name: str) -> str:
    return f"sum({recorded(name, *_CHOSEN)})"


def _now() -> list[Shaped]:
    held, idle = _sum("opsd:gpus_held:sum"), _sum("opsd:project_gpus_idle:sum")
    unused = _sum("opsd:gpu_unused:share")
    watts = f"{_sum('opsd:project_idle_watts:sum')} or 0 * {idle}"
    joules = f"sum(sum_over_time({recorded('opsd:project_idle_watts:sum', *_CHOSEN)}{_DAY})) * {_A_DAY_STEP}"
    nothing = f"0 * sum(sum_over_time({recorded('opsd:project_gpus_idle:sum', *_CHOSEN)}{_DAY}))"
    shown = (
        ("GPUs held", "GPUs that jobs of the chosen projects hold.", held, COUNT, NEUTRAL, 0, True),
        ("Of them idle", "GPUs that did nothing for half an hour, or longer.", idle, COUNT,
         ZERO_IS_BEST, 0, True),
        ("Share idle", "Idle GPUs as a share of the held ones. A little is normal; a tenth is much.",
         f"{idle} / ({held} > 0)", PERCENT, _SHARE, 1, True),
        ("No process", "Held, with no process for ten minutes: a job died, or asked for too many.",
         f"{unused} or 0 * {held}", COUNT, ZERO_IS_BEST, 0, True),
        ("Idle power", "What those GPUs draw for nothing.",
         watts, WATTS, NEUTRAL, 1, True),
        ("Idle energy", "What idle GPUs used within a day.",
         f"{joules} / {_KWH} or {nothing}", "kwatth",
         NEUTRAL, 1, False),
    )  # fmt: skip
    return [
        panels.number(Head(10 + place, 4 * place, 1, 4, 4, title, words), Query(expr), unit, steps,
                      decimals=decimals, course=course)
        for place, (title, words, expr, unit, steps, decimals, course) in enumerate(shown)
    ]  # fmt: skip


def _idle_gpus() -> Shaped:
    idle = recorded("opsd:gpu_idle:share", *_CHOSEN)
    long = f"count_over_time({idle}{_DAY}) * {_A_DAY_STEP} + {_BEFORE}"
    wasted = f"sum_over_time({idle}{_DAY}) / {_PER_HOUR} + {idle} * {_BEFORE / _HOUR}"
    return grid(
        Head(uids.HELD_IDLE.id, 0, 6, 24, 8, "GPUs held and idle now",
             "The costliest first. Idle for: all such times of the last day together. Ask the user, then "
             "cancel the job: scancel JOB. One that serves a model waits for questions: look at its memory."),
        [
            Query(numbered(f"({long}) and {idle}")),
            Query(numbered(f"({wasted})")),
        ],
        [
            Column("node", "Node", link=uids.NODE),
            Column("gpu", "GPU", 60),
            Column("jobid", "Job", link=uids.JOB),
            Column("user", "User"),
            Column("account", "Account"),
            Column("project", "Project", link=uids.ALLOCATIONS),
            Column("country", "Country", 105, texts=COUNTRY_TEXTS),
            Column("Value #A", "Idle for", 110, SECONDS, 1, steps=_LONG),
            Column("Value #B", "Wasted, GPU-h", 150, COUNT, 1, steps=_MUCH),
        ],
        sort=("-Wasted, GPU-h",),
        paged=True,
    )  # fmt: skip


def _unused() -> list[Shaped]:
    unused = recorded("opsd:gpu_unused:share", *_CHOSEN)
    return [
        grid(
            Head(21, 0, 15, 12, 9, "Held without a process now",
                 "By job: GPUs that no process of the job has used for ten minutes. Those of a job that uses "
                 "its other GPUs were asked for in vain."),
            [
                Query(f"sum by (jobid, user, project) ({unused})"),
                Query(f"sum by (jobid, user, project) ({recorded('opsd:gpu_held:share', *_CHOSEN)})"
                      f" and sum by (jobid, user, project) ({unused})"),
            ],
            [
                Column("jobid", "Job", link=uids.JOB),
                Column("user", "User"),
                Column("project", "Project", link=uids.ALLOCATIONS),
                Column("Value #A", "Unused", 95, COUNT, 1, steps=(Step(None, WARN),)),
                Column("Value #B", "Held", 75, COUNT, 1),
            ],
            sort=("-Unused",),
            paged=True,
        ),
        panels.lines(
            Head(22, 12, 15, 12, 9, "Idle GPUs, by country",
                 "GPUs held and idle, by the country that leads the project. At night and at weekends: "
                 "jobs that are forgotten."),
            by_country("opsd:project_gpus_idle:sum", *_CHOSEN), COUNT, NEUTRAL, stacked=True,
            colors=COUNTRIES,
        ),
    ]  # fmt: skip


def _week() -> list[Shaped]:
    def of_week(name: str) -> str:
        return once(f"opsd_project_{name}", *_PEOPLE)

    def of_country(name: str) -> str:
        return f"sum by (country) ({of_week(name)})"

    held, idle = of_week("held_gpu_seconds"), of_week("idle_gpu_seconds")
    share = f"{of_country('idle_gpu_seconds')} / ({of_country('idle_told_gpu_seconds')} > 0)"
    told = of_week("idle_told_gpu_seconds")
    return [
        grid(
            Head(30, 0, 25, 15, 10, "By project",
                 "GPU-hours of 7 days in which a project's jobs held GPUs, and those in which under 1 % of "
                 "the SMs were busy. Write to the lead of a project that wastes a tenth."),
            [
                Query(f"{held} / {_HOUR}"),
                Query(f"{idle} / {_HOUR}"),
                Query(f"{idle} / ({told} > 0)"),
                Query(f"{of_week('energy_joules')} / {_KWH}"),
            ],
            [
                Column("project", "Project", link=uids.ALLOCATIONS),
                Column("country", "Country", 105, texts=COUNTRY_TEXTS),
                Column("Value #A", "Held, h", 80, "locale", 0),
                Column("Value #B", "Idle, h", 85, "locale", 0),
                Column("Value #C", "Share idle", 120, PERCENT, 1, bar=True, steps=_SHARE),
                Column("Value #D", "Energy", 100, "kwatth", 1),
            ],
            sort=("-Idle, h",),
            paged=True,
        ),
        panels.bars(
            Head(31, 15, 25, 9, 5, "Share idle, by country",
                 "Idle GPU-hours of 7 days as a share of those that the country's projects held and of which "
                 "it can be told."),
            Query(f"sort_desc({share})", "{{country}}"),
            PERCENT, _SHARE, most=0.5, decimals=1,
        ),
        panels.bars(
            Head(32, 15, 30, 9, 5, "Idle GPU-hours, by country",
                 "The same in GPU-hours: what could have been given to others."),
            Query(f"sort_desc({of_country('idle_gpu_seconds')} / {_HOUR})", "{{country}}"), HOURS, NEUTRAL,
        ),
    ]  # fmt: skip


def _low() -> Shaped:
    """Jobs have no project here: their accounts say enough, and Prometheus has less to join."""
    mean = f"avg_over_time({recorded('opsd:job_activity:avg', _CLUSTER)}[2h])"
    old = f"{recorded('opsd:job_gpus:sum', _CLUSTER)} offset 1h"
    low = f"(({mean} < {_LITTLE}) and {old})"
    gpus = recorded("opsd:job_gpus:sum", _CLUSTER)
    memory = recorded("opsd:job_memory_used_bytes:sum", _CLUSTER)
    return grid(
        Head(40, 0, 36, 24, 8, "Jobs that hardly use their GPUs",
             "Jobs of at least an hour whose GPUs were less than 20 % active on average within the last two. "
             "Much memory and little activity: it serves a model, or waits for data."),
        [
            Query(f"{gpus} * 1 and {low}"),
            Query(f"{low} and {gpus}"),
            Query(f"{gpus} * (1 - {low})"),
            Query(f"{gpus} * 0 + on (cluster, jobid) group_left () {memory} and {low}"),
            Query(f"{recorded('opsd:job_power_watts:sum', _CLUSTER)} / {gpus} and {low}"),
        ],
        [
            Column("jobid", "Job", link=uids.JOB),
            Column("user", "User"),
            Column("account", "Account"),
            Column("Value #A", "GPUs", 90, COUNT, 0),
            Column("Value #B", "Activity", None, PERCENT, 0, bar=True, steps=_LOW),
            Column("Value #C", "GPUs' worth unused", 190, COUNT, 1, steps=(Step(None, PLAIN), Step(8, WARN))),
            Column("Value #D", "Memory", 110, BYTES, 0),
            Column("Value #E", "Power of a GPU", 130, WATTS, 0),
        ],
        sort=("-GPUs' worth unused",),
        paged=True,
    )  # fmt: skip
