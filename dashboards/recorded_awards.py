"""Recording rules of awards and balances: what is charged, and which awards need somebody.

Invariant: units are never added up, and what several daemons publish about an award counts once. Moments are
compared with the accounting's clock, which a demonstration may choose.
"""

from __future__ import annotations

from dashboards.promql import bridged, series
from dashboards.recorded_series import Recorded, by

SOON = 30  # days: of ends, of hours that run out, and of reports
LATER = 60  # days for which an overdue report is told of
_DAY = 86_400
_AWARD = ("award", "project", "organisation", "country", "pool", "unit")
AWARD = ", ".join(_AWARD)
_KEY = ("by", "key", "unit")
_PROJECT = ("project", "country")


def until(moment: str, *matchers: str) -> str:
    """Days until a moment of an award, by the accounting's clock; below 0: since."""
    clock = series("opsd_balances_as_of_timestamp_seconds")
    then = series(f"opsd_award_{moment}_timestamp_seconds", *matchers)
    return f"max by ({AWARD}) ({then} - on (job, instance) group_left () {clock}) / {_DAY}"


def ended() -> str:
    """Awards whose end has passed, by the accounting's clock: nobody need look after them."""
    end = bridged("max", "opsd_award_end_timestamp_seconds")
    as_of = bridged("max", "opsd_balances_as_of_timestamp_seconds")
    return f"max by ({AWARD}) ({end} <= on (job, instance) group_left () {as_of})"


def _of_award(name: str) -> str:
    return by("max", _AWARD, series(f"opsd_award_{name}"))


def _needing_somebody() -> tuple[Recorded, ...]:
    """Counts of awards, by what the reader of a dashboard chooses: 0 where a project has none."""
    over = f"({_of_award('over_quota')} == 1)"
    reached = f"({_of_award('threshold_reached_ratio')} > 0)"
    due = f"({until('report_due')} < {SOON}) > -{LATER}"
    every = by("count", _PROJECT, "opsd:award_granted:seconds")
    counted = (
        ("over_quota", f"{over} unless {ended()}", "that are over quota and have not ended"),
        ("nearly_full", f"{reached} unless {over} unless {ended()}",
         "past one of their thresholds, not over quota, not ended"),
        ("soon_empty", f"({until('exhaustion')} < {SOON}) unless {ended()}",
         f"that will have nothing left within {SOON} days, and before they end"),
        ("ending", f"({until('end')} < {SOON}) >= 0", f"that end within {SOON} days"),
        ("reports_due", due, f"whose report is due within {SOON} days, or was within the last {LATER}"),
    )  # fmt: skip
    return tuple(
        Recorded(f"opsd:project_awards_{name}:count", _PROJECT,
                 f"{by('count', _PROJECT, condition)} or 0 * {every}", f"Awards of a project {words}.")
        for name, condition, words in counted
    )  # fmt: skip


RECORDED_OF_AWARDS: tuple[Recorded, ...] = (
    *(
        Recorded(
            f"opsd:award_{it}:seconds", _AWARD, by(which, _AWARD, series(f"opsd_award_{it}_seconds")),
            f"Of an award, {it}, once.",
        )
        for it, which in (("granted", "max"), ("left", "min"))
    ),
    Recorded(
        "opsd:award_used:seconds", _AWARD, "opsd:award_granted:seconds - opsd:award_left:seconds",
        "Charged for ended and open runs: granted less left, because both are always there.",
    ),
    Recorded(
        "opsd:award_used:ratio", _AWARD, "opsd:award_used:seconds / (opsd:award_granted:seconds > 0)",
        "The same as a share of what was granted; an award of nothing has none.",
    ),
    Recorded(
        "opsd:award_even_use:seconds", _AWARD, f"opsd:award_granted:seconds * {_of_award('elapsed_ratio')}",
        "What would be charged by now if each day of the award took the same.",
    ),
    *_needing_somebody(),
    *(
        Recorded(
            f"opsd:balance_{it}:seconds", _KEY, by(which, _KEY, series(f"opsd_balance_{it}_seconds")),
            f"Of a project, organisation, country or pool, {it}, once.",
        )
        for it, which in (("granted", "max"), ("left", "min"))
    ),
    Recorded(
        "opsd:balance_used:seconds", _KEY, "opsd:balance_granted:seconds - opsd:balance_left:seconds",
        "Charged to it for ended and open runs.",
    ),
)  # fmt: skip
