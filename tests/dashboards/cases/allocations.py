"""Cases of the alerts for the office that grants hours."""

from __future__ import annotations

from tests.dashboards.cases.case import DAEMON, Case, Given, of, on_daemon

AWARD = {
    "award": "a1", "project": "P1", "organisation": "uni", "country": "PT", "pool": "ju", "unit": "gpu-hours",
}  # fmt: skip
ACCOUNT = {"cluster": "mn5", "account": "etur77"}
DAY = 86_400


def awards(left: str, over: str, reached: str, end: str = "") -> Given:
    """An award, and the clock of the accounting, which is not that of the page."""
    named = {"left_seconds": left, "over_quota": over, "threshold_reached_ratio": reached}
    named |= {"end_timestamp_seconds": end} if end else {}
    return award(**named)


def award(**values: str) -> Given:
    """An award by its metrics' names, likewise."""
    clocks = on_daemon(balances_as_of_timestamp_seconds="0+60x90", page_timestamp_seconds="9000000+60x90")
    return clocks | {of(f"opsd_award_{name}", DAEMON, AWARD): value for name, value in values.items()}


def at(**days: float) -> Given:
    """Moments of an award of which a tenth is used, in days from now."""
    moments = {f"{name}_timestamp_seconds": f"{int(after * DAY)}x90" for name, after in days.items()}
    return award(granted_seconds="1000x90", left_seconds="900x90", **moments)


def pace(left: int, elapsed: float, exhausted: float) -> Given:
    """An award of 1000 seconds, how much of its time is over, and the forecast in days."""
    return award(
        granted_seconds="1000x90", left_seconds=f"{left}x90", elapsed_ratio=f"{elapsed}x90",
        exhaustion_timestamp_seconds=f"{int(exhausted * DAY)}x90", over_quota=f"{int(left < 0)}x90",
    )  # fmt: skip


def after(grace: str, accrued: str = "3600x90", **more: str) -> Given:
    """An award whose days of grace end at a moment."""
    return award(grace_end_timestamp_seconds=grace, accrued_seconds=accrued, **more)


UNATTRIBUTED, OF_CPUS = (
    of("opsd_unattributed_seconds", DAEMON, ACCOUNT, {"resource": resource}) for resource in ("gpu", "cpu")
)
SPENT, NEAR = awards("-7200x60", "1x60", "1x60"), awards("7200x60", "0x60", "0.8x60")
IN_TEN_MINUTES, IN_AN_HOUR = "600x60", "3600x60"
GAP = "{0}x20 stale _x8 {0}x30"  # off the page from minute 21 to 29
RUNNING_ON = "P1 still runs jobs on a1, whose days of grace are over"

FIRING = [
    Case("OpsdAwardOverQuota", SPENT, 10, AWARD, "P1 is over quota (a1)"),
    Case("OpsdAwardOverQuota", awards("-7200x60", "1x60", "1x60", IN_AN_HOUR), 40, AWARD,
         "P1 is over quota (a1)"),
    *(  # in the gap, and just after it: it neither ended nor began again
        Case("OpsdAwardOverQuota", awards(GAP.format(-7200), GAP.format(1), GAP.format(1)), minute, AWARD,
             "P1 is over quota (a1)")
        for minute in (22, 28, 30, 40)
    ),
    Case("OpsdAwardOverQuota", awards("-7200x20 7200x60", "1x20 0x60", "1x20 0x60"), 30, AWARD,
         "P1 is over quota (a1)"),  # it might be a gap still
    Case("OpsdAwardThresholdReached", NEAR, 10, AWARD | {"threshold": "0.8"}, "P1 has used 80% of a1"),
    Case("OpsdAwardThresholdReached", awards("7200x60", "0x60", "0.8x60", IN_AN_HOUR), 40,
         AWARD | {"threshold": "0.8"}, "P1 has used 80% of a1"),
    *(
        Case("OpsdAwardThresholdReached", awards(GAP.format(7200), GAP.format(0), GAP.format(0.8)), minute,
             AWARD | {"threshold": "0.8"}, "P1 has used 80% of a1")
        for minute in (22, 28, 30, 40)
    ),
    Case("OpsdAwardThresholdReached", awards("7200x60", "0x60", "0.8x20 0.95x40"), 27,
         AWARD | {"threshold": "0.95"}, "P1 has used 95% of a1"),  # another alert, at once
    Case("OpsdUnattributedUsage", {UNATTRIBUTED: "36000x90", OF_CPUS: "720000x90"}, 70,
         ACCOUNT | {"resource": "gpu"}, "No award pays for account etur77 on mn5"),
    Case("OpsdUnattributedUsage", {UNATTRIBUTED: "1800x90", OF_CPUS: "36000x90"}, 70,
         ACCOUNT | {"resource": "cpu"}, "No award pays for account etur77 on mn5"),
    # exhausted at 0, tolerated for half an hour
    Case("OpsdAwardGraceOver", after("1800x90", over_quota_since_timestamp_seconds="0x90"), 50, AWARD,
         RUNNING_ON),
    Case(  # ended, and a job began since
        "OpsdAwardGraceOver",
        after("1800x90", "0x90", end_timestamp_seconds="600x90", outside_seconds="0+60x90"), 50, AWARD,
        RUNNING_ON,
    ),
    Case(  # the daemon began anew in between
        "OpsdAwardGraceOver",
        after("1800x90", "3600x35 stale _x8 3600x40", over_quota_since_timestamp_seconds="0x90")
        | {of("opsd_award_accrued_seconds", DAEMON, AWARD): "3600x52 stale _x8 3600x20"}, 56, AWARD,
        RUNNING_ON,
    ),
    Case("OpsdAwardExhaustionNear", at(exhaustion=10, end=100), 70, AWARD,
         "P1 will have used a1 up in 9d 22h 50m 0s"),
    Case("OpsdAwardBurnAhead", pace(400, 0.3, 20), 70, AWARD, "P1 has used 60% of a1, far ahead of its time"),
    Case("OpsdAwardEndsUnspent", at(end=20), 70, AWARD, "a1 of P1 ends within 30 days with 90% left"),
    Case("OpsdAwardReportDue", at(report_due=20), 70, AWARD,
         "The report of P1 on a1 is due in 19d 22h 50m 0s"),
    Case("OpsdAwardReportOverdue", at(report_due=0), 70, AWARD,
         "The report of P1 on a1 is overdue by 1h 10m 0s"),
]  # fmt: skip
QUIET = [
    Case("OpsdAwardOverQuota", awards("0x20", "0x20", "1x20"), 10),
    Case("OpsdAwardOverQuota", awards("-7200x60", "1x60", "1x60", IN_TEN_MINUTES), 12),  # it has ended
    Case("OpsdAwardOverQuota", awards(GAP.format(-7200), GAP.format(1), GAP.format(1), GAP.format(600)), 28),
    Case("OpsdAwardOverQuota", awards("-7200x20 7200x60", "1x20 0x60", "1x20 0x60"), 36),
    Case("OpsdAwardThresholdReached", awards("7200x20", "0x20", "0x20"), 10),
    Case("OpsdAwardThresholdReached", SPENT, 10),  # the alert above speaks
    Case("OpsdAwardThresholdReached", awards("7200x60", "0x60", "0.8x60", IN_TEN_MINUTES), 12),
    Case("OpsdAwardThresholdReached", awards("7200x60", "0x60", "0.8x20 0x60"), 36),
    Case("OpsdAwardThresholdReached", awards("-7200x20 7200x60", "1x20 0x60", "1x20 0x60"), 36),
    Case("OpsdUnattributedUsage", {UNATTRIBUTED: "1800x90", OF_CPUS: "3000x90"}, 70),
    Case("OpsdAwardGraceOver", after("7200x90", over_quota_since_timestamp_seconds="0x90"), 50),  # tolerated
    Case("OpsdAwardGraceOver", after("0x90", over_quota_since_timestamp_seconds="0x90"), 50),  # none given
    Case("OpsdAwardGraceOver", after("1800x90", "0x90", over_quota_since_timestamp_seconds="0x90"), 50),
    Case("OpsdAwardExhaustionNear", at(exhaustion=20, end=100), 70),
    Case("OpsdAwardExhaustionNear", at(end=100), 70),  # the forecast sees no end of it
    Case("OpsdAwardExhaustionNear", pace(-10, 0.3, 0), 70),  # over quota: that is said by itself
    Case("OpsdAwardBurnAhead", pace(600, 0.3, 20), 70),
    Case("OpsdAwardBurnAhead", pace(400, 0.3, 10), 70),  # the alert above speaks
    Case("OpsdAwardBurnAhead", pace(-10, 0.3, 20), 70),
    Case("OpsdAwardEndsUnspent", at(end=40), 70),
    Case("OpsdAwardEndsUnspent", at(end=0), 70),  # it has ended
    Case("OpsdAwardEndsUnspent", pace(200, 0.9, 20) | at(end=20)
         | {of("opsd_award_left_seconds", DAEMON, AWARD): "200x90"}, 70),
    Case("OpsdAwardReportDue", at(report_due=40), 70),
    Case("OpsdAwardReportDue", at(report_due=0), 70),
    Case("OpsdAwardReportOverdue", at(report_due=1), 70),
]  # fmt: skip
