"""Alerts for the office that grants hours: quota, pace, ends, reports, and use that nobody pays for.

Invariant: moments are compared with the accounting's clock, which a demonstration may choose; a daemon that
restarts, or a step that fails once, ends none of them.
"""

from __future__ import annotations

from dashboards.alerts.alert import Alert
from dashboards.promql import bridged, series
from dashboards.recorded_awards import AWARD, ended
from dashboards.uids import AWARDS, ENDING, FORECAST, UNATTRIBUTED

_DAY = 86_400
_SOON_DAYS, _ENDING_DAYS = 14, 30
_AHEAD = 0.2  # of the grant, before its time
_UNSPENT = 0.3  # of the grant

_WHOSE = (
    "Award {{ $labels.award }} of {{ $labels.project }} ({{ $labels.organisation }}, {{ $labels.country }}; "
    "pool {{ $labels.pool }})"
)
_CHOSEN = ("country", "project")


def _most(name: str) -> str:
    return f"max by ({AWARD}) ({bridged('max', name)})"


_over = _most("opsd_award_over_quota")
_left = f"min by ({AWARD}) ({bridged('min', 'opsd_award_left_seconds')})"
_reached = _most("opsd_award_threshold_reached_ratio")
_granted = f"({_most('opsd_award_granted_seconds')} > 0)"
_is_over = f"({_over} == 1)"


def _until(name: str) -> str:
    """Seconds until a moment; below 0 it has passed."""
    as_of = bridged("max", "opsd_balances_as_of_timestamp_seconds")
    return f"min by ({AWARD}) ({bridged('min', name)} - on (job, instance) group_left () {as_of})"


_exhausted = _until("opsd_award_exhaustion_timestamp_seconds")
_ends = _until("opsd_award_end_timestamp_seconds")
_due = _until("opsd_award_report_due_timestamp_seconds")


def _ahead() -> str:
    used = f"(1 - {_left} / {_granted})"
    early = f"{used} > {_most('opsd_award_elapsed_ratio')} + {_AHEAD}"
    return f"{early} and {_exhausted} >= {_SOON_DAYS * _DAY} unless {_is_over} unless {ended()}"


def _grace_over() -> str:
    """Seconds since; an award without days of grace says over quota alone."""
    grace = _most("opsd_award_grace_end_timestamp_seconds")
    given = " or ".join(
        f"{grace} > {_most(f'opsd_award_{it}_timestamp_seconds')}" for it in ("over_quota_since", "end")
    )
    # What began after the end is charged to no award, so that it is never accrued.
    later = f"delta({series('opsd_award_outside_seconds')}[1h])"
    still = f"({_most('opsd_award_accrued_seconds')} > 0 or max by ({AWARD}) ({later}) > 0)"
    passed = _until("opsd_award_grace_end_timestamp_seconds")
    return f"-({passed}) >= 0 and ({given}) and {still}"


def _unattributed(resource: str) -> str:
    used = series("opsd_unattributed_seconds", f'resource="{resource}"')
    return f"max by (cluster, account, resource) ({used}) / 3600 > 1"


ALLOCATIONS: tuple[Alert, ...] = (
    Alert(
        "OpsdAwardOverQuota", f"(-{_left} / 3600 and {_over} == 1) unless {ended()}",
        "5m", "warning", "allocations",
        "{{ $labels.project }} is over quota ({{ $labels.award }})",
        f"{_WHOSE} is charged "
        '{{ $value | printf "%.0f" }} {{ $labels.unit }} more than was granted. '
        "Extend it, or have its jobs held: opsd balance --by award.",
        AWARDS, _CHOSEN,
    ),
    Alert(
        "OpsdAwardGraceOver", _grace_over(), "15m", "critical", "allocations",
        "{{ $labels.project }} still runs jobs on {{ $labels.award }}, whose days of grace are over",
        f"{_WHOSE} was exhausted or ended, and its days of grace have been over for "
        "{{ $value | humanizeDuration }}; it still has jobs. Extend it (opsd consortium apply) or have Slurm "
        "hold its accounts: sacctmgr modify account ACCOUNT set GrpSubmitJobs=0.",
        AWARDS, _CHOSEN,
    ),
    Alert(
        # One alert a threshold, so that crossing the next one is news.
        "OpsdAwardThresholdReached",
        f'count_values by ({AWARD}) ("threshold", ({_reached} > 0) unless ({_over} == 1) unless {ended()})',
        "5m", "info", "allocations",
        "{{ $labels.project }} has used {{ $labels.threshold | humanizePercentage }} of {{ $labels.award }}",
        f"{_WHOSE} has passed its threshold of "
        "{{ $labels.threshold | humanizePercentage }}. "
        "Tell its lead how much is left: opsd balance --by award.",
        AWARDS, _CHOSEN,
    ),
    Alert(
        "OpsdAwardExhaustionNear",
        f"{_exhausted} < {_SOON_DAYS * _DAY} unless {_is_over} unless {ended()}",
        "1h", "warning", "allocations",
        "{{ $labels.project }} will have used {{ $labels.award }} up in {{ $value | humanizeDuration }}",
        f"{_WHOSE} will have nothing left in "
        "{{ $value | humanizeDuration }}, before it ends, if use goes on as in the last 7 days. Talk to its "
        "lead: opsd balance --by award shows the forecast.",
        FORECAST, _CHOSEN,
    ),
    Alert(
        "OpsdAwardBurnAhead", _ahead(), "1h", "info", "allocations",
        "{{ $labels.project }} has used {{ $value | humanizePercentage }} of {{ $labels.award }}, far ahead "
        "of its time",
        f"{_WHOSE} has used "
        "{{ $value | humanizePercentage }} of the grant, over 20 points more than of its time, and will be "
        "used up before it ends. Ask its lead whether that is the plan: opsd balance --by award.",
        FORECAST, _CHOSEN,
    ),
    Alert(
        "OpsdAwardEndsUnspent",
        f"{_left} / {_granted} > {_UNSPENT} and {_ends} > 0 <= {_ENDING_DAYS * _DAY}",
        "1h", "info", "allocations",
        "{{ $labels.award }} of {{ $labels.project }} ends within 30 days with "
        "{{ $value | humanizePercentage }} left",
        f"{_WHOSE} ends within 30 days, and "
        "{{ $value | humanizePercentage }} of it is left. Ask its lead: what is not used is lost, or its end "
        "is moved (opsd consortium apply).",
        ENDING, _CHOSEN,
    ),
    Alert(
        "OpsdAwardReportDue", f"{_due} > 0 <= {_ENDING_DAYS * _DAY}", "1h", "info", "allocations",
        "The report of {{ $labels.project }} on {{ $labels.award }} is due in "
        "{{ $value | humanizeDuration }}",
        "The project's report on award {{ $labels.award }} is due in {{ $value | humanizeDuration }}. "
        "opsd report writes its figures; remind its lead.",
        ENDING, _CHOSEN,
    ),
    Alert(
        "OpsdAwardReportOverdue", f"-({_due}) >= 0", "1h", "warning", "allocations",
        "The report of {{ $labels.project }} on {{ $labels.award }} is overdue by "
        "{{ $value | humanizeDuration }}",
        "The project's report on award {{ $labels.award }} was due {{ $value | humanizeDuration }} ago. "
        "Once it is in, take report_due out of the consortium file: opsd consortium apply.",
        ENDING, _CHOSEN,
    ),
    Alert(
        # Every run uses CPUs: they speak where there are no GPU-hours to tell of.
        "OpsdUnattributedUsage",
        f"({_unattributed('gpu')}) or on (cluster, account) ({_unattributed('cpu')})",
        "1h", "warning", "allocations",
        "No award pays for account {{ $labels.account }} on {{ $labels.cluster }}",
        "Slurm account {{ $labels.account }} used "
        '{{ $value | printf "%.0f" }} {{ $labels.resource }}-hours in the last 30 days that no award pays '
        "for. Find out whose they are: opsd account list, then opsd account bind.",
        UNATTRIBUTED,
    ),
)  # fmt: skip
