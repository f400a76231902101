"""The simulated slurmctld's statistics as `sdiag` prints them.

Invariant: jobs are those of the accounting since midnight, UTC, when Slurm begins anew; every count since
then only grows until the next.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from collectors.simulated.live import Moment
from collectors.simulated.rhythm import DAY

_WAITED_SECONDS = 60  # who waits longer was started by backfill
_BACKFILL_SECONDS = 30
_MAIN_MICROSECONDS, _BACKFILL_MICROSECONDS, _OF_EACH_JOB = 900, 21_000, 37
# Requests in an hour: some come by themselves, others with each job. Code, an hour, a job, microseconds each.
_RPCS = (
    ("REQUEST_PARTITION_INFO", 2009, 240, 0, 310),
    ("REQUEST_JOB_INFO", 2003, 120, 0, 5_200),
    ("REQUEST_NODE_INFO", 2007, 60, 0, 2_400),
    ("REQUEST_JOB_INFO_SINGLE", 2021, 30, 3, 640),
    ("MESSAGE_NODE_REGISTRATION_STATUS", 1002, 96, 0, 560),
    ("REQUEST_SUBMIT_BATCH_JOB", 4003, 0, 1, 1_900),
    ("REQUEST_COMPLETE_BATCH_SCRIPT", 5018, 0, 1, 3_100),
    ("MESSAGE_EPILOG_COMPLETE", 6012, 0, 2, 810),
    ("REQUEST_STATS_INFO", 2035, 60, 0, 380),
)


def statistics(now: Moment) -> str:
    """All of it."""
    since = now.at - now.at % DAY
    jobs = _jobs(now, since)
    waiting = sum(map(len, now.waiting))
    return "".join(
        f"{line}\n"
        for line in (
            "*" * 55,
            f"sdiag output at {_stamp(now.at)}",
            f"Data since      {_stamp(since)}",
            "*" * 55,
            f"Server thread count:  {2 + now.at // 15 % 4}",
            f"Agent queue size:     {now.at // 15 % 3}",
            "Agent count:          0",
            "Agent thread count:   0",
            f"DBD Agent queue size: {now.at // 15 % 2}",
            "",
            f"Jobs submitted: {jobs['submitted']}",
            f"Jobs started:   {jobs['started']}",
            f"Jobs completed: {jobs['COMPLETED']}",
            f"Jobs canceled:  {jobs['CANCELLED']}",
            f"Jobs failed:    {jobs['FAILED']}",
            "",
            f"Job states ts:  {_stamp(now.at)}",
            f"Jobs pending:   {waiting + len(now.held)}",
            f"Jobs running:   {len(now.running)}",
            "",
            *_main(now.at - since, waiting),
            "",
            *_backfill(now.at, since, waiting, jobs["backfilled"]),
            "",
            "Latency for 1000 calls to gettimeofday(): 20 microseconds",
            "",
            *_rpcs(now.at - since, jobs["submitted"]),
            "",
            "Pending RPC statistics",
            "\tNo pending RPCs",
        )
    )


def _stamp(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%a %b %d %H:%M:%S %Y} ({at})"


def _jobs(now: Moment, since: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for run in now.runs:
        found["submitted"] += since <= run.request.submit <= now.at
        if run.start is not None and run.start >= since:
            found["started"] += 1
            found["backfilled"] += run.start - run.request.eligible > _WAITED_SECONDS
        if run.end is not None and run.end >= since:
            found[run.state] += 1
    return found


def _main(seconds: int, waiting: int) -> list[str]:
    mean = _MAIN_MICROSECONDS + _OF_EACH_JOB * min(waiting, 100)
    return [
        "Main schedule statistics (microseconds):",
        f"\tLast cycle:   {mean + seconds * 7 % 400}",
        f"\tMax cycle:    {mean * 9}",
        f"\tTotal cycles: {seconds // 4}",
        f"\tMean cycle:   {mean}",
        f"\tMean depth cycle:  {min(waiting, 100)}",
        "\tCycles per minute: 15",
        f"\tLast queue length: {waiting}",
    ]


def _backfill(at: int, since: int, waiting: int, backfilled: int) -> list[str]:
    mean = _BACKFILL_MICROSECONDS + 40 * _OF_EACH_JOB * waiting
    return [
        "Backfilling stats",
        f"\tTotal backfilled jobs (since last slurm start): {backfilled}",
        f"\tTotal backfilled jobs (since last stats cycle start): {backfilled}",
        "\tTotal backfilled heterogeneous job components: 0",
        f"\tTotal cycles: {(at - since) // _BACKFILL_SECONDS}",
        f"\tLast cycle when: {_stamp(at - at % _BACKFILL_SECONDS)}",
        f"\tLast cycle: {mean + at * 11 % 9_000}",
        f"\tMax cycle:  {mean * 5}",
        f"\tMean cycle: {mean}",
        f"\tLast depth cycle: {waiting}",
        f"\tLast depth cycle (try sched): {waiting}",
        f"\tDepth Mean: {waiting}",
        f"\tDepth Mean (try depth): {waiting}",
        f"\tLast queue length: {waiting}",
        f"\tQueue length mean: {waiting}",
        "\tLast table size: 24",
        "\tMean table size: 24",
    ]


def _rpcs(seconds: int, submitted: int) -> list[str]:
    found = []
    for name, code, hourly, of_a_job, microseconds in _RPCS:
        count = seconds * hourly // 3_600 + submitted * of_a_job
        if count:
            found.append(
                f"\t{name:<40}({code:>5}) count:{count:<6} ave_time:{microseconds:<6} "
                f"total_time:{count * microseconds}"
            )
    return ["Remote Procedure Call statistics by message type", *found]
