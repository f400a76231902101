"""Made-up accounting text, as `sacct -a -D -X -P` of one cluster prints it: a year of an AI factory's runs.

Reproducible: the same rows, seed and end give the same bytes. The text streams, so that a file of any size
needs the same memory. opsd reads the file as it is; slurm2sql reads it through a csv reader told of the `|`,
or directly if written with `--comma`. Times are ISO 8601 in UTC, the one form that both understand.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import math
import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import NormalDist
from typing import TextIO, TypeVar

CLUSTER = "mn5"
DAYS = 365
MEDIAN_SECONDS = 20 * 60
MEAN_SECONDS = 3 * 3600
LONGEST_SECONDS = 14 * 86400
DEFAULT_UNTIL = datetime(2026, 11, 1, tzinfo=UTC)

# No JobName: what users type does not belong into an export for accounting (docs/slurm-text.md).
COLUMNS = [
    "JobID",
    "JobIDRaw",
    "Cluster",
    "Account",
    "User",
    "Partition",
    "QOS",
    "State",
    "ExitCode",
    "Submit",
    "Eligible",
    "Start",
    "End",
    "Elapsed",
    "ElapsedRaw",
    "Suspended",
    "Timelimit",
    "Priority",
    "ReqMem",
    "ReqCPUS",
    "NCPUS",
    "NNodes",
    "ReqTRES",
    "AllocTRES",
    "NodeList",
]

USERS = 500
# Account families of MareNostrum 5, which carry the share they are granted from: 60 accounts in all.
ACCOUNTS = [
    f"{family}{number:02}"
    for family, count in (("ehpc", 24), ("bsc", 14), ("res", 8), ("etur", 5), ("epor", 4), ("erom", 3))
    for number in range(1, count + 1)
] + ["eporaif01", "eporaif02"]

PARTITION_WEIGHTS = {"acc": 45, "gpp": 42, "accdebug": 9, "hbm": 4}
QOS_OF = {
    "acc": ("normal", "normal", "normal", "boost"),
    "gpp": ("normal", "normal", "normal", "normal", "boost"),
    "accdebug": ("debug",),
    "hbm": ("normal",),
}

# Who leads the projects of a family's accounts, in turn; the JU's awards are led from many countries.
LEADS = {
    "ehpc": ["FR", "DE", "IT", "NL", "GR", "FI", "ES"],
    "bsc": ["ES"],
    "res": ["ES"],
    "etur": ["TR"],
    "epor": ["PT"],
    "erom": ["RO"],
    "eporaif": ["PT"],
}
# Nobody is bound to these: usage of a real site always has some.
UNBOUND = {"res08", "erom03"}
# Accounts with an even number draw on another award from this hour on: a day that no day fact can answer.
MOVED = "2026-05-14T10:00:00Z"

# How a run that started ends: the state's text, its exit code, its weight in a thousand.
ENDINGS = (
    ("COMPLETED", "0:0", 790),
    ("FAILED", "1:0", 80),
    ("FAILED", "0:9", 10),
    ("CANCELLED by 20117", "0:0", 40),
    ("TIMEOUT", "0:0", 48),
    ("OUT_OF_MEMORY", "0:125", 12),
    ("NODE_FAIL", "1:0", 2),
    ("PREEMPTED", "0:0", 3),
    ("REQUEUED", "0:0", 15),
)
NEVER_STARTED_SHARE = 0.03
SUSPENDED_SHARE = 0.003
ARRAY_SHARE = 0.034  # of submissions; about three runs in ten are array tasks
LONGEST_ARRAY = 24

LIMIT_STEPS = [900, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 259200, 604800, 1209600]
CLOCK = [f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}" for second in range(86400)]

TABLE_BITS = 14  # a weighted choice is one look into a table of 2^14 draws

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class Shape:
    """One form of allocation: where it runs, and what Slurm writes about it."""

    partition: str
    cpus: int
    memory: str
    nodes: int
    requested: str
    allocated: str
    node_lists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Submission:
    """What the runs of one submission share: a run, or all tasks of an array."""

    account: str
    user: str
    qos: str
    shape: Shape


# ---------------------------------------------------------------------------------------- shapes


def shapes() -> list[Shape]:
    """Every form of allocation of the made-up site: 68, of 64 different texts."""
    gpu_parts = [
        _shape("acc", cpus=gpus * cpus, memory=gpus * memory, gpus=gpus)
        for gpus in (1, 2, 3, 4)
        for cpus in (20, 40)
        for memory in (60000, 125000)
    ]
    gpu_nodes = [_whole("acc", nodes) for nodes in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)]
    debug = [_shape("accdebug", cpus=40 * gpus, memory=125000 * gpus, gpus=gpus) for gpus in (1, 2, 4)]
    cpu_parts = [
        _shape("gpp", cpus=cpus, memory=cpus * memory)
        for cpus in (1, 2, 4, 8, 16, 28, 56, 112)
        for memory in (1800, 2200)
    ]
    cpu_nodes = [
        _whole("gpp", nodes) for nodes in (2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128)
    ]
    bandwidth = [_whole("hbm", nodes) for nodes in (1, 2, 4, 8, 16)]
    return [*gpu_parts, *gpu_nodes, *debug, _whole("accdebug", 2), *cpu_parts, *cpu_nodes, *bandwidth]


def _whole(partition: str, nodes: int) -> Shape:
    if partition.startswith("acc"):
        return _shape(partition, cpus=160 * nodes, memory=500000 * nodes, gpus=4 * nodes, nodes=nodes)
    memory = 120000 if partition == "hbm" else 246400
    return _shape(partition, cpus=112 * nodes, memory=memory * nodes, nodes=nodes)


def _shape(partition: str, *, cpus: int, memory: int, gpus: int = 0, nodes: int = 1) -> Shape:
    """In the order of Slurm's own text; a request names no GPU type, the allocation does."""
    requested = f"billing={cpus},cpu={cpus}"
    allocated = requested
    if gpus:
        requested += f",gres/gpu={gpus}"
        allocated += f",gres/gpu:h100={gpus},gres/gpu={gpus}"
    rest = f",mem={memory}M,node={nodes}"
    return Shape(
        partition=partition,
        cpus=cpus,
        memory=f"{memory}M",
        nodes=nodes,
        requested=requested + rest,
        allocated=allocated + rest,
        node_lists=tuple(_node_list(partition, rack, nodes) for rack in range(1, 36)),
    )


def _node_list(partition: str, rack: int, nodes: int) -> str:
    prefix = "as" if partition.startswith("acc") else "gs"
    first = rack * 3 % 40 + 1
    if nodes == 1:
        return f"{prefix}{rack:02}r{first % 4}b{first:02}"
    return f"{prefix}{rack:02}r{first % 4}b[{first:02}-{first + nodes - 1:02}]"


# ---------------------------------------------------------------------------------------- durations


def spread() -> float:
    """The sigma of a log-normal whose mean, cut at the longest run, is the mean asked for.

    Uncut it would be sqrt(2 ln(mean / median)); the cut takes a little, so sigma is found by halving.
    """
    low, high = 0.1, 4.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _cut_mean(middle) < MEAN_SECONDS else (low, middle)
    return low


def _cut_mean(sigma: float) -> float:
    """The mean of min(X, longest) for a log-normal X with our median."""
    normal = NormalDist()
    edge = math.log(LONGEST_SECONDS / MEDIAN_SECONDS) / sigma
    below = MEDIAN_SECONDS * math.exp(sigma * sigma / 2) * normal.cdf(edge - sigma)
    return below + LONGEST_SECONDS * (1 - normal.cdf(edge))


# ---------------------------------------------------------------------------------------- writing


class Year:
    """One year of runs, or so many days; `lines()` yields them in the order of their submission."""

    def __init__(self, *, rows: int, seed: int, until: datetime, days: int = DAYS) -> None:
        self._rows = rows
        self._length = days
        self._random = random.Random(seed)
        self._until = int(until.timestamp())
        self._from = int((until - timedelta(days=days)).timestamp())
        self._first_day = self._from // 86400
        first = datetime.fromtimestamp(self._from, UTC).date()
        self._days = [f"{first + timedelta(days=day):%Y-%m-%d}T" for day in range(days + 1)]
        self._sigma = spread()
        self._endings = self._table([ending[:2] for ending in ENDINGS], [ending[2] for ending in ENDINGS])
        self._shapes = self._table(*_weighted_shapes())
        self._people = self._table(*self._weighted_people())
        self._next_id = 1_000_000
        # Runs to come after a requeue: (submit, raw id, job id, submission), the earliest first.
        self._requeued: list[tuple[int, int, str, Submission]] = []

    def lines(self) -> Iterator[str]:
        """Exactly the rows asked for, without line ends."""
        written = 0
        owed = 0  # requeued runs written so far that have not yet taken the place of a new one
        for submit, job_id, raw_id, submission in self._submitted():
            while self._requeued and self._requeued[0][0] <= submit:
                again, again_raw, again_id, again_submission = heapq.heappop(self._requeued)
                yield self._line(again, again_id, again_raw, again_submission)
                written += 1
                owed += 1
                if written == self._rows:
                    return
            if owed:
                owed -= 1
                continue
            yield self._line(submit, job_id, raw_id, submission)
            written += 1
            if written == self._rows:
                return

    def _submitted(self) -> Iterator[tuple[int, str, int, Submission]]:
        """New runs, in time order: as many in each hour as its weight asks for."""
        weights = [_hour_weight(self._from + 3600 * hour) for hour in range(self._length * 24)]
        total = sum(weights)
        so_far = 0.0
        done = 0
        for hour, weight in enumerate(weights):
            so_far += weight
            due = round(self._rows * so_far / total)
            times = sorted(self._random.randrange(3600) for _ in range(due - done))
            done = due
            yield from self._hour(self._from + 3600 * hour, times)

    def _hour(self, start: int, times: Sequence[int]) -> Iterator[tuple[int, str, int, Submission]]:
        draw = self._random
        position = 0
        while position < len(times):
            submit = start + times[position]
            submission = self._submission()
            first_id = self._next_id
            if draw.random() < ARRAY_SHARE:
                tasks = min(draw.randrange(2, LONGEST_ARRAY), len(times) - position)
                for task in range(tasks):
                    yield submit, f"{first_id}_{task}", first_id + task, submission
            else:
                tasks = 1
                yield submit, str(first_id), first_id, submission
            self._next_id += tasks
            position += tasks

    def _submission(self) -> Submission:
        draw = self._random
        account, user = self._people[draw.getrandbits(TABLE_BITS)]
        shape = self._shapes[draw.getrandbits(TABLE_BITS)]
        qos = QOS_OF[shape.partition]
        return Submission(account, user, qos[draw.getrandbits(8) % len(qos)], shape)

    def _line(self, submit: int, job_id: str, raw_id: int, submission: Submission) -> str:
        """A run's row: how long it waits and runs, how it ends, and where the end of the year cuts it."""
        draw = self._random
        start = submit + min(3 * 86400, int(draw.lognormvariate(4.0, 2.5)))
        if start >= self._until:
            return self._idle_line(submit, job_id, raw_id, submission, "PENDING", "Unknown", "Unknown")
        if draw.random() < NEVER_STARTED_SHARE:
            gone = self._text(start)
            return self._idle_line(submit, job_id, raw_id, submission, "CANCELLED by 20117", "None", gone)
        wall = min(LONGEST_SECONDS, max(1, int(MEDIAN_SECONDS * draw.lognormvariate(0.0, self._sigma))))
        state, exit_code = self._endings[draw.getrandbits(TABLE_BITS)]
        limit = _limit(wall)
        if state == "TIMEOUT":
            limit = wall // 60 * 60 + 60
            wall = limit + 7
        end = start + wall
        suspended = wall // 9 if draw.random() < SUSPENDED_SHARE else 0
        if end > self._until:
            state, exit_code, suspended = "RUNNING", "0:0", 0
            elapsed, end_text = self._until - start, "Unknown"
        else:
            elapsed, end_text = wall - suspended, self._text(end)
            if state == "REQUEUED":
                heapq.heappush(self._requeued, (end, raw_id, job_id, submission))
        shape = submission.shape
        nodes = shape.node_lists[draw.getrandbits(10) % 35]
        submitted = self._text(submit)
        return (
            f"{job_id}|{raw_id}|{CLUSTER}|{submission.account}|{submission.user}|{shape.partition}|"
            f"{submission.qos}|{state}|{exit_code}|{submitted}|{submitted}|{self._text(start)}|{end_text}|"
            f"{_duration(elapsed)}|{elapsed}|{_duration(suspended)}|{_duration(limit)}|{4000 + raw_id % 997}|"
            f"{shape.memory}|{shape.cpus}|{shape.cpus}|{shape.nodes}|{shape.requested}|{shape.allocated}|"
            f"{nodes}"
        )

    def _idle_line(
        self, submit: int, job_id: str, raw_id: int, submission: Submission, state: str, start: str, end: str
    ) -> str:
        """The row of a run that got nothing: pending, or cancelled before it started."""
        shape = submission.shape
        submitted = self._text(submit)
        return (
            f"{job_id}|{raw_id}|{CLUSTER}|{submission.account}|{submission.user}|{shape.partition}|"
            f"{submission.qos}|{state}|0:0|{submitted}|{submitted}|{start}|{end}|"
            f"00:00:00|0|00:00:00|1-00:00:00|{4000 + raw_id % 997}|"
            f"{shape.memory}|{shape.cpus}|{shape.cpus}|{shape.nodes}|{shape.requested}||"
            "None assigned"
        )

    def _text(self, epoch: int) -> str:
        day, second = divmod(epoch, 86400)
        return self._days[day - self._first_day] + CLOCK[second]

    def _table(self, choices: Sequence[Choice], weights: Sequence[float]) -> list[Choice]:
        return self._random.choices(choices, weights, k=1 << TABLE_BITS)

    def _weighted_people(self) -> tuple[list[tuple[str, str]], list[float]]:
        """Each user in one account; the n-th most active submits about 1/n as much as the first."""
        people = [(ACCOUNTS[number * 7 % len(ACCOUNTS)], f"u{number:03}") for number in range(1, USERS + 1)]
        return people, [1 / (number + 12) for number in range(USERS)]


def _weighted_shapes() -> tuple[list[Shape], list[float]]:
    """Within a partition the first shapes, which are the small ones, are the most used."""
    every = shapes()
    weights = []
    for partition, weight in PARTITION_WEIGHTS.items():
        ranks = [1 / (rank + 3) for rank in range(sum(shape.partition == partition for shape in every))]
        weights += [(partition, weight * rank / sum(ranks)) for rank in ranks]
    by_partition = sorted(every, key=lambda shape: list(PARTITION_WEIGHTS).index(shape.partition))
    return by_partition, [weight for _, weight in weights]


def _hour_weight(epoch: int) -> float:
    """Working hours see more submissions than nights and weekends."""
    moment = datetime.fromtimestamp(epoch, UTC)
    if moment.weekday() >= 5:
        return 0.7
    return 1.6 if 8 <= moment.hour < 18 else 1.0


def _limit(wall: int) -> int:
    return next(step for step in LIMIT_STEPS if step >= wall)


def _duration(seconds: int) -> str:
    if seconds < 86400:
        return CLOCK[seconds]
    return f"{seconds // 86400}-{CLOCK[seconds % 86400]}"


def as_comma_separated(line: str) -> str:
    """The same row with commas, quoted where a field holds one: what `slurm2sql --csv-input` reads."""
    return ",".join(f'"{field}"' if "," in field else field for field in line.split("|"))


def write(out: TextIO, year: Year, *, comma: bool = False) -> None:
    """Write header and rows."""
    form = as_comma_separated if comma else str
    out.write(form("|".join(COLUMNS)) + "\n")
    out.writelines(form(line) + "\n" for line in year.lines())


def consortium() -> Iterator[str]:
    """Lines of a consortium file that binds the accounts: who leads, and from which award."""
    yield f'[[cluster]]\nid = "{CLUSTER}"\n'
    for country in sorted({country for leads in LEADS.values() for country in leads}):
        yield f'[[organisation]]\nid = "org-{country.lower()}"\nname = "{country}"\ncountry = "{country}"\n'
    yield '[[funder]]\nid = "state"\nname = "State"\nkind = "state"\ncountry = "ES"\n'
    yield '[[pool]]\nid = "pool"\nfunder = "state"\n'
    yield '[[policy]]\nid = "gpu"\nrule = "gpu_hours"\n'
    for account in sorted(set(ACCOUNTS) - UNBOUND):
        leads = LEADS[account[:-2]]
        number = int(account[-2:])
        organisation = f"org-{leads[number % len(leads)].lower()}"
        yield f'[[project]]\nid = "p-{account}"\ntitle = "{account}"\norganisation = "{organisation}"\n'
        spans = [("", MOVED), (MOVED, "")] if number % 2 == 0 else [("", "")]
        for turn, (begin, end) in enumerate(spans):
            award = f"a-{account}-{turn}"
            yield _award(award, f"p-{account}")
            until = f'until = "{end}"\n' if end else ""
            yield (
                f'[[binding]]\ncluster = "{CLUSTER}"\naccount = "{account}"\naward = "{award}"\n'
                f'from = "{begin or "2025-01-01"}"\n{until}'
            )


def _award(award: str, project: str) -> str:
    return (
        f'[[award]]\nid = "{award}"\nproject = "{project}"\npool = "pool"\namount = 100000\n'
        'unit = "gpu-hours"\nstart = "2025-01-01"\nend = "2027-01-01"\npolicy = "gpu"\n'
    )


def main() -> None:
    """Write a file, or standard output; a file gets the end of the year as its time, as if printed then."""
    parser = argparse.ArgumentParser(description="Write made-up sacct text of one year.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", type=lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC))
    parser.add_argument("--comma", action="store_true", help="commas and quotes instead of |")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--consortium", action="store_true", help="write who is behind the accounts instead")
    options = parser.parse_args()
    until = options.until or DEFAULT_UNTIL
    with contextlib.ExitStack() as closing:
        out = sys.stdout
        if options.output is not None:
            out = closing.enter_context(options.output.open("w", encoding="utf-8", newline=""))
        if options.consortium:
            out.writelines(consortium())
        else:
            year = Year(rows=options.rows, seed=options.seed, until=until)
            write(out, year, comma=options.comma)
    if options.output is not None:
        os.utime(options.output, (until.timestamp(), until.timestamp()))


if __name__ == "__main__":
    main()
