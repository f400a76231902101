"""sdiag's text to slurmctld's statistics. Its times are microseconds.

Invariant: what sdiag does not print, or of a scheduler that has not run yet, is None, never 0.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from collectors.slurm import grammar
from collectors.slurm.present_words import each
from opsd.core.errors import BadText, Unavailable
from opsd.core.present import Cycle, Rpc, SchedulerNow

_GENERAL = ""
_MAIN, _BACKFILL = "Main schedule statistics", "Backfilling stats"
_RPCS = "Remote Procedure Call statistics by message type"
_THREADS = "Server thread count"
_JOBS = ("submitted", "started", "completed", "canceled", "failed")
# Not the line "since last slurm start": the others are since the last reset.
_BACKFILLED = "Total backfilled jobs (since last stats cycle start)"
_RPC = re.compile(r"\s*(\S+)\s*\(\s*\d+\)\s+count:(\d+)\s+ave_time:\d+\s+total_time:(\d+)\b", re.ASCII)
_EPOCH = re.compile(r"\((\d+)\)\Z", re.ASCII)
_MICRO = 1_000_000

Values = Mapping[str, str]


def read(text: str) -> SchedulerNow:
    """slurmctld's statistics.

    Raises:
        Unavailable: a line cannot be read, or it is not sdiag's.
    """
    sections, rpcs = _sections(text)
    general = sections[_GENERAL]
    if _THREADS not in general:
        raise Unavailable(f"sdiag: no {_THREADS} in {text[:120]!r}: is it Slurm's?")
    try:
        return SchedulerNow(
            [
                _cycle(name, sections[section])
                for name, section in (("main", _MAIN), ("backfill", _BACKFILL))
                if section in sections
            ],
            _count(general, _THREADS), _count(general, "Agent queue size"),
            _count(general, "DBD Agent queue size"), _jobs(general, sections.get(_BACKFILL, {})), rpcs,
        )  # fmt: skip
    except BadText as err:
        raise Unavailable(f"sdiag: {err}: nothing of its answer was taken") from err


def _sections(text: str) -> tuple[Mapping[str, Values], list[Rpc]]:
    """Values by section and name, and the requests. A section's lines are indented; a title may say more."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    current, rpcs = _GENERAL, []
    for line in filter(str.strip, text.split("\n")):
        name, colon, value = line.strip().partition(":")
        if not line[0].isspace():
            title = next((known for known in (_MAIN, _BACKFILL, _RPCS) if line.startswith(known)), None)
            current = title or (current if value.strip() else name)
        if current == _RPCS and line[0].isspace():
            rpcs.append(line)
        elif colon:
            found[current if line[0].isspace() else _GENERAL].setdefault(name, value.strip())
    return found, _rpcs(rpcs)


def _rpcs(lines: list[str]) -> list[Rpc]:
    """By kind; later versions may print more behind, and one name twice."""
    sums: dict[str, tuple[int, int]] = {}
    for name, requests, micros in each("sdiag", lines, _rpc):
        before = sums.get(name, (0, 0))
        sums[name] = before[0] + requests, before[1] + micros
    return [Rpc(name, requests, micros / _MICRO) for name, (requests, micros) in sorted(sums.items())]


def _rpc(line: str) -> tuple[str, int, int]:
    if (found := _RPC.match(line)) is None:
        raise BadText("a request is not NAME (NUMBER) count: ave_time: total_time:", line.strip())
    return found[1], int(found[2]), int(found[3])


def _cycle(name: str, values: Values) -> Cycle:
    if not _count(values, "Total cycles"):
        return Cycle(name, None, None, None, None, None)
    when = _EPOCH.search(values.get("Last cycle when", ""))
    return Cycle(
        name, _seconds(values, "Last cycle"), _seconds(values, "Mean cycle"), _seconds(values, "Max cycle"),
        int(when[1]) or None if when else None, _count(values, "Last queue length"),
    )  # fmt: skip


def _jobs(general: Values, backfill: Values) -> Mapping[str, int]:
    told = {name: _count(general, f"Jobs {name}") for name in _JOBS}
    told["backfilled"] = _count(backfill, _BACKFILLED)
    return {name: count for name, count in told.items() if count is not None}


def _seconds(values: Values, name: str) -> float | None:
    micros = _count(values, name)
    return None if micros is None else micros / _MICRO


def _count(values: Values, name: str) -> int | None:
    told = values.get(name)
    return None if told is None else grammar.whole(told, name)
