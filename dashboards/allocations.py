"""The dashboard *Allocations*: who is out of hours, who will be, what ends unused, what nobody pays for.

Invariant: units are never added up, and what several daemons publish about an award counts once.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, recorded_awards, uids
from dashboards.expressions import award, once, unnamed
from dashboards.palette import COUNTRY_TEXTS, NEUTRAL, NOT_BELOW_ZERO, SHARE, ZERO_IS_BEST, ZERO_IS_GOOD
from dashboards.panels import BAD, COUNT, GOOD, PERCENT, PLAIN, WARN, Head, Query, Shaped, Step
from dashboards.promql import series
from dashboards.recorded_awards import AWARD, LATER
from dashboards.recording import recorded
from dashboards.tables import Column, grid

_CHOSEN = ('country=~"$country"', 'project=~"$project"')
_HOUR = 3600
_MOST = 6  # awards in a graph
_LIVING = once("opsd_award_state_info", 'phase!="ended"')
_DATE = "time:YYYY-MM-DD"
_ELAPSED = (Step(None, "blue"),)
_DAYS_LEFT = (Step(None, PLAIN), Step(-1e6, BAD), Step(7, WARN), Step(30, PLAIN))
_PACE = (Step(None, "blue"), Step(0.5, GOOD), Step(1.2, WARN), Step(2, BAD))
_STATES = (
    ("ok", "ok", GOOD),
    ("threshold-80", "past 80 %", "yellow"),
    ("threshold-95", "past 95 %", WARN),
    ("threshold-100", "all used", WARN),
    ("over", "over quota", BAD),
)
_PHASES = (
    ("upcoming", "to come", PLAIN),
    ("running", "running", GOOD),
    ("grace", "in grace", WARN),
    ("ended", "ended", "#7d7d78"),
)
_FORECASTS = (
    ("none", "lasts", GOOD),
    ("expected", "runs out", WARN),
    ("already", "used up", BAD),
)


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.ALLOCATIONS,
        "Allocations",
        "Who is out of hours, who will be, what ends unused or unreported, and what nobody pays for.",
        [board.country(), board.project()],
        [
            board.Row(1, 0, "What needs somebody", _eyes()),
            board.Row(2, 5, "Awards", [_awards(), _forecasts()]),
            board.Row(3, 29, "Ending, and nobody's", _loose_ends()),
            board.Row(4, 39, "Course of the fullest of the chosen projects", _courses()),
        ],
        time="now-30d",
        refresh="5m",
    )


def granted() -> str:
    """Of the chosen awards, in seconds of their units."""
    return recorded("opsd:award_granted:seconds", *_CHOSEN)


def used() -> str:
    """For ended and open runs."""
    return recorded("opsd:award_used:seconds", *_CHOSEN)


def left() -> str:
    """Negative when over quota."""
    return recorded("opsd:award_left:seconds", *_CHOSEN)


def share() -> str:
    """Used of what was granted; an award of nothing has none."""
    return recorded("opsd:award_used:ratio", *_CHOSEN)


def until(moment: str) -> str:
    """Days until a moment of an award, by the accounting's clock; below 0: since."""
    return recorded_awards.until(moment, *_CHOSEN)


def burn(days: int) -> str:
    """Charged a day, in hours of the award's unit, on average of so many days, or of all it has lived.

    As the forecast has it; of an award's first day nobody knows more than that.
    """
    found = series("opsd_award_burn_seconds", f'days="{days}"', *_CHOSEN)
    lived = f"clamp(-({until('start')}), 1, {days})"
    return f"max by ({AWARD}) ({found}) / {lived} / {_HOUR}"


def _alive(expr: str) -> str:
    """Without awards that have ended, their days of grace included: nobody need look after them."""
    return f"({expr}) and on ({AWARD}) {_LIVING}"


def _counted(name: str) -> str:
    """Of the chosen awards: 0 where none meets it, absent where no balances are known."""
    return f"sum({recorded(f'opsd:project_awards_{name}:count', *_CHOSEN)})"


def _eyes() -> list[Shaped]:
    unattributed = once("opsd_unattributed_seconds", 'resource=~"gpu.*"')
    return [
        panels.number(
            Head(10, 0, 1, 4, 4, "Over quota",
                 "Awards that have been charged more than was granted, and have not ended. Extend them, or "
                 "have their jobs held."),
            Query(_counted("over_quota")), COUNT, ZERO_IS_GOOD,
        ),
        panels.number(
            Head(11, 4, 1, 4, 4, "Nearly full",
                 "Awards that have passed one of their thresholds (80, 95 and 100 % by default), are not "
                 "over quota, and have not ended. Their leads should know."),
            Query(_counted("nearly_full")), COUNT, ZERO_IS_BEST,
        ),
        panels.number(
            Head(12, 8, 1, 4, 4, "Soon empty",
                 "Awards that will have nothing left within 30 days, and before they end, if use goes on as "
                 "in the last 7 days."),
            Query(_counted("soon_empty")), COUNT, ZERO_IS_BEST,
        ),
        panels.number(
            Head(13, 12, 1, 4, 4, "Ending soon",
                 "Awards that end within 30 days. The table below says how much each would leave unused."),
            Query(_counted("ending")), COUNT, ZERO_IS_BEST,
        ),
        panels.number(
            Head(14, 16, 1, 4, 4, "Reports due",
                 "Awards whose report is due within 30 days, or was within the last 60."),
            Query(_counted("reports_due")), COUNT, ZERO_IS_BEST,
        ),
        panels.number(
            Head(15, 20, 1, 4, 4, "Unattributed",
                 "GPU-hours of the last 30 days that no award pays for: opsd account list says whose they "
                 "are, whatever country or project is chosen."),
            Query(f"sum({unattributed}) / {_HOUR} or 0 * count({granted()})"), "suffix: GPU-h", ZERO_IS_BEST,
        ),
    ]  # fmt: skip


def _awards() -> Shaped:
    elapsed = award("opsd_award_elapsed_ratio")
    free = award("opsd_award_free_seconds")
    shown = (
        unnamed("opsd:award_used:ratio", *_CHOSEN), elapsed, f"{left()} / {_HOUR}", f"{free} / {_HOUR}",
        burn(7), once("opsd_award_state_info", *_CHOSEN),
    )  # fmt: skip
    return grid(
        Head(uids.AWARDS.id, 0, 6, 24, 13, "Awards, the fullest first",
             "Used beside elapsed: well above it, the award will not last; well below, it will end unused. "
             "In hours of the award's own unit. Free: left, less what open runs may still use. Ended awards "
             "are left out."),
        [Query(_alive(it)) for it in shown],
        [
            Column("project", "Project", 165, link=uids.ALLOCATIONS),
            Column("award", "Award", 100),
            Column("country", "Country", 74, texts=COUNTRY_TEXTS, link=uids.COUNTRIES),
            Column("state", "State", 84, texts=_STATES),
            Column("phase", "Phase", 66, texts=_PHASES),
            Column("Value #A", "Used", None, PERCENT, 0, bar=True, steps=SHARE),
            Column("Value #B", "Elapsed", None, PERCENT, 0, bar=True, steps=_ELAPSED),
            Column("Value #C", "Left, h", 74, "locale", 0, steps=NOT_BELOW_ZERO),
            Column("Value #D", "Free, h", 74, "locale", 0, steps=NOT_BELOW_ZERO),
            Column("Value #E", "A day, h", 66, "locale", 0),
            Column("unit", "Unit", 90),
        ],
        sort=("-Used", "Award"), none="no award", paged=True,
    )  # fmt: skip


def _forecasts() -> Shaped:
    affordable = f"({left()} > 0) / {_HOUR} / clamp_min({until('end')}, 1)"
    shown = (
        once("opsd_award_forecast_info", *_CHOSEN), burn(1), burn(7), burn(30), f"{burn(7)} / ({affordable})",
        until("exhaustion"), f"{award('opsd_award_exhaustion_timestamp_seconds')} * 1000", until("end"),
    )  # fmt: skip
    return grid(
        Head(uids.FORECAST.id, 0, 19, 24, 10, "Burn and exhaustion",
             "Hours charged a day, and what would be left of them if that went on as in the last 7 days. "
             "Pace: 1 uses exactly what is left until the award's end; 2 uses it up at half time."),
        [Query(_alive(it)) for it in shown],
        [
            Column("project", "Project", None, link=uids.ALLOCATIONS),
            Column("award", "Award", 100),
            Column("forecast", "Forecast", 76, texts=_FORECASTS),
            Column("Value #G", "Used up on", 90, _DATE),
            Column("Value #F", "In days", 62, COUNT, 0, steps=_DAYS_LEFT),
            Column("Value #H", "Ends in, d", 76, COUNT, 0),
            Column("Value #E", "Pace", 58, COUNT, 1, steps=_PACE),
            Column("Value #B", "1 day, h/d", 76, "locale", 0),
            Column("Value #C", "7 days, h/d", 84, "locale", 0),
            Column("Value #D", "30 days, h/d", 92, "locale", 0),
            Column("unit", "Unit", 90),
        ],
        sort=("-Pace",), none="no award is running", paged=True,
    )  # fmt: skip


def _loose_ends() -> list[Shaped]:
    ends = f"(({until('end')}) < {LATER}) >= 0"
    due = f"(({until('report_due')}) < {LATER}) > -{LATER}"
    concerned = f"({ends} or {due})"
    # Whichever comes first: an overdue report does, too.
    following = f"(({ends}) < ({due})) or ({due}) or ({ends})"

    def date(moment: str) -> str:
        return f"{award(f'opsd_award_{moment}_timestamp_seconds')} * 1000 and {concerned}"

    return [
        grid(
            Head(uids.ENDING.id, 0, 30, 16, 9, "Ending, or report due",
                 "Awards that end within 60 days with what they would leave, and reports due within 60 days "
                 "or overdue; days: until what comes first. Ask the lead before the hours are lost."),
            [
                Query(following), Query(f"{left()} / {_HOUR} and {concerned}"),
                Query(date("end")), Query(date("report_due")),
            ],
            [
                Column("project", "Project", None, link=uids.ALLOCATIONS),
                Column("award", "Award", 100),
                Column("Value #A", "Days", 60, COUNT, 0, steps=_DAYS_LEFT),
                Column("Value #C", "Ends", 88, _DATE),
                Column("Value #D", "Report due", 88, _DATE),
                Column("Value #B", "Left, h", 72, "locale", 0, steps=NOT_BELOW_ZERO),
                Column("unit", "Unit", 86),
            ],
            sort=("Days", "Award"), none="nothing ends, nothing is due", paged=True,
        ),
        grid(
            Head(uids.UNATTRIBUTED.id, 16, 30, 8, 9, "Used, but bound to no award",
                 "Hours of the last 30 days of Slurm accounts that no award pays for. "
                 "opsd account list says more; opsd account bind says whose they are."),
            [Query(once("opsd_unattributed_seconds") + f" / {_HOUR}")],
            [
                Column("cluster", "Cluster", 68),
                Column("account", "Account"),
                Column("resource", "Resource", 78),
                Column("Value", "Hours", 76, "locale", 0, steps=ZERO_IS_BEST),
            ],
            sort=("-Hours",), none="everything is paid for", paged=True,
        ),
    ]  # fmt: skip


def _courses() -> list[Shaped]:
    def of_the_fullest(number: int, expr: str) -> str:
        """Always the same awards over the whole range: the fullest at its end."""
        alive = series("opsd_award_state_info", 'phase!="ended"')
        fullest = f"topk({number}, {share()} @ end() > 0 and on ({AWARD}) {alive} @ end())"
        return f"({expr} and on ({AWARD}) {fullest})"

    even_use = recorded("opsd:award_even_use:seconds", *_CHOSEN)
    return [
        panels.lines(
            Head(30, 0, 40, 12, 9, "Used share",
                 f"Of the {_MOST} fullest of the chosen awards that have not ended. Dashed: 80 and 100 %. A "
                 "line that is flat is a project that rests; one that is steep will be here soon."),
            [Query(of_the_fullest(_MOST, share()), "{{award}}")], PERCENT, SHARE, marked=True,
        ),
        panels.lines(
            Head(31, 12, 40, 12, 9, "The fullest: granted, used, even use",
                 "Of the fullest of the chosen awards that have not ended; choose one project to see its "
                 "own. Even use: what would be used by now if each day took the same. Hours of its unit."),
            [
                Query(f"{of_the_fullest(1, granted())} / {_HOUR}", "granted to {{award}}"),
                Query(f"{of_the_fullest(1, used())} / {_HOUR}", "used"),
                Query(f"{of_the_fullest(1, even_use)} / {_HOUR}", "even use"),
            ],
            "locale", NEUTRAL, colors={"used": WARN, "even use": "blue"},
        ),
    ]  # fmt: skip
