"""What Slurm itself reports: sreport's usage of accounts and of a cluster, and sshare's of limits.

Invariant: a report counts only if it is about exactly the time that was asked for. sreport cuts the end of a
window back to the last full hour without a word; such an answer is refused, never taken for the window.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from collectors.protocol import Reported, Share, Utilised
from collectors.slurm import commands, grammar
from collectors.slurm.client import Client
from opsd.core.errors import Unavailable
from opsd.core.period import HOUR, isoformat

_TITLES = ("Cluster", "Account", "Login", "TRES Name", "Used")
_UTILISATION = ("Cluster", "TRES Name", "Allocated", "Down", "PLND Down", "Idle", "Planned", "Reported")
_SHARE_TITLES = commands.SHARE_FIELDS
_SPAN = re.compile(r"Utilization (\d+) - (\d+)", re.ASCII)  # the second one is its last second
_ROLLED = re.compile(r"^Internal DBD rollup last ran .*\((\d+)\)$", re.MULTILINE | re.ASCII)
_OF_A_CLUSTER = "CLUSTER: "  # what sshare prints above the titles where a cluster was named


def reported(
    client: Client, start: int, end: int, tres: Sequence[str], offset: int, cluster: str
) -> list[Reported]:
    """`sreport cluster AccountUtilizationByUser` in seconds; lines of one name are added up.

    Args:
        start, end: full hours of slurmdbd's clock.
        offset: seconds into a UTC hour at which those begin.

    Raises:
        Unavailable: sreport failed, or answered about another time.
    """
    question = commands.reported(cluster, start, end, tres, offset)
    sums: dict[tuple[str, str, str], int] = {}
    for name, account, user, kind, used in _rows(client, question, _TITLES, start, end, offset):
        if name == cluster:
            key = account, user, kind  # a user with a partition's association has two lines
            sums[key] = sums.get(key, 0) + grammar.whole(used, "Used")
    return [Reported(*key, seconds) for key, seconds in sums.items()]


def utilised(
    client: Client, start: int, end: int, tres: Sequence[str], offset: int, cluster: str
) -> list[Utilised]:
    """`sreport cluster Utilization` in seconds, without the TRES node, which Slurm refuses there.

    Raises:
        as `reported`.
    """
    question = commands.utilised(cluster, start, end, [name for name in tres if name != "node"], offset)
    rows = _rows(client, question, _UTILISATION, start, end, offset)
    return [
        Utilised(kind, *(grammar.whole(value, "Utilization") for value in values))
        for name, kind, *values in rows
        if name == cluster
    ]


def shares(client: Client, cluster: str) -> list[Share]:
    """`sshare`: decayed usage, and the limits that it is held against.

    Raises:
        Unavailable: sshare failed, or printed other columns.
    """
    lines = [line for line in client.lines(commands.shares(cluster)) if not line.startswith(_OF_A_CLUSTER)]
    return [
        Share(account.strip(), user.strip(), grammar.whole(raw, "RawUsage"), _minutes(limits), _minutes(used))
        for account, user, raw, limits, used in _columns("sshare", lines, _SHARE_TITLES)
    ]


def rolled_until(client: Client, offset: int) -> int | None:
    """The last full hour before slurmdbd's own roll-up last ran, by its statistics; None: it has not run."""
    found = _ROLLED.search(client.text(commands.STATISTICS))
    if found is None or not int(found[1]):
        return None
    return (int(found[1]) - offset) // HOUR * HOUR + offset


def _rows(
    client: Client, question: Sequence[str], titles: Sequence[str], start: int, end: int, offset: int
) -> Iterator[list[str]]:
    lines = client.lines(question, zone=commands.hour_zone(offset))
    _refuse_other_time(lines, start, end)
    at = next((place for place, line in enumerate(lines) if line.startswith("Cluster|")), len(lines))
    return _columns("sreport", lines[at:], titles)


def _refuse_other_time(lines: Sequence[str], start: int, end: int) -> None:
    """The heading names the first and the last second that a report is about."""
    found = next(filter(None, map(_SPAN.search, lines[:3])), None)
    if found is None:
        raise Unavailable(f"sreport printed no heading with its time: {' '.join(lines[:3])[:120]!r}")
    said = int(found[1]), int(found[2]) + 1
    if said != (start, end):
        raise Unavailable(
            f"sreport answered about {isoformat(said[0])} to {isoformat(said[1])}, asked about "
            f"{isoformat(start)} to {isoformat(end)}: has the last hour ended on its host?"
        )


def _columns(program: str, lines: Sequence[str], titles: Sequence[str]) -> Iterator[list[str]]:
    if not lines or lines[0].split("|") != list(titles):
        shown = lines[0][:120] if lines else ""
        raise Unavailable(f"{program} printed the titles {shown!r}, not {'|'.join(titles)!r}")
    for line in lines[1:]:
        values = line.split("|")
        if len(values) != len(titles):
            raise Unavailable(f"{program} printed {len(values)} columns, not {len(titles)}: {line[:120]!r}")
        yield values


def _minutes(text: str) -> Mapping[str, int]:
    """`cpu=10,gres/gpu=0`; memory in MB-minutes, without a unit."""
    pairs = (entry.rpartition("=") for entry in text.split(",") if entry)
    return {name: grammar.whole(count, "TRES minutes") for name, _, count in pairs}
