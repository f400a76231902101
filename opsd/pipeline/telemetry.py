"""What Slurm allocated beside what the node agents saw, read from what is stored.

Invariant: everything is read on the caller's connection, so all of it is of one instant of the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo

from opsd.core import plan, telemetry_certificate
from opsd.core.attribution import KEYS as ATTRIBUTION_KEYS
from opsd.core.attribution import Attribution
from opsd.core.errors import WrongUsage
from opsd.core.gpu_use import MS, Use
from opsd.core.period import CALENDARS, Window
from opsd.core.telemetry_certificate import (
    DRIFT_PERCENT,
    DRIFT_SLACK_MS,
    REASONS,
    Asked,
    Comparison,
    Drift,
    Line,
    Stray,
)
from opsd.core.usage import cut, spread
from opsd.pipeline import books, usage
from opsd.pipeline.seconds import pieces_of
from opsd.store import gpu_use, parties, read, sweeps
from opsd.store.engine import Connection
from opsd.store.gpu_use import Silent

KEYS = ("project", "country")
_FEW_JOBS = 5
Key = tuple[str, ...]


def run(
    connection: Connection, window: Window, keys: Sequence[str] = KEYS, *, tz: tzinfo = UTC
) -> Comparison:
    """Compare a window by keys of usage."""
    keys = usage.check_keys(keys)
    if "gpu_class" in keys:
        raise WrongUsage("--by gpu_class: opsd usage --measured --by gpu_class has what agents saw by class")
    used = usage.run(connection, window, keys, tz=tz, with_measured=True)
    silent = _silent(connection, window, keys, tz)
    uses = used.uses or {}
    lines = [
        Line(row.key, row.measures.gpu_seconds, uses.get(row.key, Use()), tuple(silent[row.key]))
        for row in used.rows
        if row.measures.gpu_seconds or row.key in uses
    ]
    strays, early = _strays(connection, window)
    return Comparison(window, keys, tuple(lines), tuple(_drifts(connection, window)), strays, early)


def _silent(
    connection: Connection, window: Window, keys: tuple[str, ...], tz: tzinfo
) -> dict[Key, list[int]]:
    """GPU-seconds of runs without a record, by key and reason."""
    names = read.names(connection)
    known = Attribution(parties.load(connection)) if any(key in ATTRIBUTION_KEYS for key in keys) else None
    others = [key for key in keys if key not in CALENDARS]
    calendars = [key for key in keys if key in CALENDARS]
    cuts = plan.make(window, calendars, tz)
    runs = {one.held.id: one for one in gpu_use.silent(connection, window.start, window.end)}
    why = _reasons(connection, runs, names.words)
    labeller = usage.ByKeys(others, names, known)
    order = [[*calendars, *others].index(key) for key in keys]
    found: dict[Key, list[int]] = defaultdict(lambda: [0] * len(REASONS))
    held = [one.held for one in runs.values()]
    for one, cell, a, b in pieces_of(connection, cuts, labeller, names.counts, held):
        gpus, line = names.counts[one.shape][2], (*cell.periods, *cell.labels)
        seconds = cut(one.begin, one.finish, 0, a, b).run
        found[tuple(line[place] for place in order)][REASONS.index(why[one.id])] += gpus * seconds
    return found


def _reasons(connection: Connection, runs: Mapping[int, Silent], words: Mapping[int, str]) -> dict[int, str]:
    asked: dict[str, dict[str, Asked]] = defaultdict(dict)
    for one in gpu_use.fetched(connection):
        asked[one.cluster][host(one.node)] = Asked(one.at, one.failure)
    expand = books.expander()
    return {number: _reason(one, asked[words[one.cluster]], expand) for number, one in runs.items()}


def _reason(one: Silent, asked: Mapping[str, Asked], expand: Callable[[str], Sequence[str]]) -> str:
    nodes = expand(one.nodes) if one.nodes else ()
    named = [host(node) for node in nodes]
    return telemetry_certificate.reason(named, one.held.finish, asked, is_open=one.is_open)


def beyond_agents_ms(connection: Connection, found: Comparison) -> dict[str, int]:
    """What runs held, by Slurm, on nodes whose agents nobody asks, by cluster.

    Of such a run there are records of its other nodes alone, so the rest is no difference: it is unrecorded.
    How many of its GPUs were on which node Slurm does not say: it is no more than evenly these nodes' part,
    so that what agents who are asked did not see stays a difference.
    """
    asked: dict[str, set[str]] = defaultdict(set)
    for one in gpu_use.fetched(connection):
        asked[one.cluster].add(host(one.node))
    expand = books.expander()
    beyond: dict[str, int] = defaultdict(int)
    for drift in found.drifts:
        nodes = {host(node) for node in expand(drift.nodes)} if drift.nodes else set()
        others = nodes - asked[drift.cluster]
        if drift.agents_ms < drift.slurm_ms and others:
            theirs = drift.slurm_ms * len(others) // len(nodes)
            part = spread(theirs, drift.begin, drift.finish, found.window.start, found.window.end)
            beyond[drift.cluster] += min(drift.off_ms(found.window), part)
    return beyond


def host(address: str) -> str:
    """The name of a node as Slurm has it, of the address that its agent is asked at."""
    name = address.partition(":")[0]
    return name if name.replace(".", "").isdigit() else name.partition(".")[0]


def _drifts(connection: Connection, window: Window) -> list[Drift]:
    differing = gpu_use.differing(connection, window.start, window.end, DRIFT_PERCENT, DRIFT_SLACK_MS)
    return [
        Drift(
            one.cluster, one.job_id, one.submit, one.begin, one.finish, one.gpus, one.devices, one.nodes,
            MS * one.gpus * (one.finish - one.begin), one.allocated_ms,
        )
        for one in differing
    ]  # fmt: skip


def _strays(connection: Connection, window: Window) -> tuple[tuple[Stray, ...], int]:
    """Records without a run by node; and how many more are younger than what was read of Slurm."""
    read_until = {one.cluster: one.covered_until for one in sweeps.every(connection)}
    found: dict[tuple[str, str], list[gpu_use.Stray]] = defaultdict(list)
    early = 0
    for one in gpu_use.strays(connection, window.start, window.end):
        if one.started >= read_until.get(one.cluster, one.started + 1):
            early += 1
        else:
            found[one.cluster, one.node].append(one)
    lines = [_stray(where, some, window) for where, some in sorted(found.items())]
    return tuple(lines), early


def _stray(where: tuple[str, str], some: Sequence[gpu_use.Stray], window: Window) -> Stray:
    jobs = tuple(sorted({one.job_id for one in some})[:_FEW_JOBS])
    held = (spread(one.allocated_ms, one.started, one.ended, window.start, window.end) for one in some)
    return Stray(*where, len(some), jobs, sum(held))
