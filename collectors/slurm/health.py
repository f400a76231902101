"""What a check of a Slurm asks it: its configuration, slurmdbd's clock, nodes' GPUs, rows without an end.

Invariant: every question is one that changes nothing, whatever it is answered. So `sacctmgr show runaway` is
not among them: where it finds something it asks whether to fix it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from collectors.protocol import Clocks, NodeFacts, OpenRow, Qos
from collectors.slurm import commands, grammar, listing
from collectors.slurm.client import Client
from opsd.core.errors import BadText, Unavailable

_SETTING = re.compile(r"^(\S+)\s+= ?(.*)$")
_PRINTED = re.compile(r"^sacctmgr show stats output at .*\((\d+)\)$", re.MULTILINE | re.ASCII)
_ROLLED = re.compile(r"^Internal DBD rollup last ran .*\((\d+)\)$", re.MULTILINE | re.ASCII)
_HOUR = re.compile(r"^Hour +last ran .*\((\d+)\)$", re.MULTILINE | re.ASCII)
_QUEUE = re.compile(r"^DBD Agent queue size:\s*(\d+)\s*$", re.MULTILINE | re.ASCII)
_NAME = re.compile(r"^NodeName=(\S+)")
_GRES, _CONFIGURED = re.compile(r" Gres=(\S+)"), re.compile(r" CfgTRES=(\S+)")
_PARTITIONS = re.compile(r" Partitions=(\S+)")
_GPU = re.compile(r"(?:^|,)gpu(?::[^,:()]+)?(?::(\d+))?(?=[,(]|$)", re.ASCII)
_A_MINUTE = 60
_NO_END = ("", "Unknown", "None", "0")


class LiveHealth:
    """A running Slurm.

    Args:
        folder, conf, timeout_seconds: as `Client` takes them.
        cluster: what Slurm calls it; "": the local one.
        clock: the time here.
    """

    def __init__(
        self,
        *,
        folder: str | None,
        conf: str | None,
        timeout_seconds: int,
        clock: Callable[[], float],
        cluster: str = "",
    ) -> None:
        self._client = Client(folder=folder, conf=conf, timeout_seconds=timeout_seconds)
        self._cluster = cluster
        self._clock = clock

    def configuration(self) -> Mapping[str, str]:
        """What slurmctld runs with: `scontrol show config`."""
        lines = self._client.text(commands.CONFIGURATION).splitlines()
        found = {pair[1]: pair[2] for line in lines if (pair := _SETTING.match(line))}
        if "ClusterName" not in found:
            raise Unavailable(f"scontrol show config: no ClusterName in {' '.join(lines)[:80]!r}")
        return {name: "" if value.strip() == "(null)" else value.strip() for name, value in found.items()}

    def clocks(self) -> Clocks:
        """What slurmdbd's clock says, between two looks at ours, and when it last added up."""
        before = int(self._clock())
        text = self._client.text(commands.STATISTICS)
        after = int(self._clock())
        printed, rolled = _PRINTED.search(text), _ROLLED.search(text)
        if printed is None:
            raise Unavailable(f"sacctmgr show stats: no time in its first lines: {text[:120]!r}")
        ends = (int(end) for end in _HOUR.findall(text))
        return Clocks(
            before, int(printed[1]), after, int(rolled[1]) if rolled and int(rolled[1]) else None,
            next((end for end in ends if end and end % _A_MINUTE == 0), None),
        )  # fmt: skip

    def nodes(self) -> Sequence[NodeFacts]:
        """Each node's GPUs as configured, and as the accounting will see them."""
        return [_node(line) for line in self._client.lines(commands.NODES)]

    def qos(self) -> Sequence[Qos]:
        """Each QOS and the factor by which it changes what limits are compared with."""
        rows = listing.records(self._client, commands.QOS, commands.QOS_FIELDS)
        return [Qos(name, factor) for name, factor in rows]

    def waiting(self) -> int:
        """Records that slurmctld has not yet handed to slurmdbd."""
        text = self._client.text(commands.SCHEDULER)
        if (found := _QUEUE.search(text)) is None:
            raise Unavailable(f"sdiag: no DBD Agent queue size in {text[:80]!r}")
        return int(found[1])

    def open_rows(self, at: int) -> Sequence[OpenRow]:
        """Rows of the accounting that began and have no end."""
        with self._client.whole(commands.alive(self._cluster, at)) as answer:
            lines = answer.read().decode("utf-8", "backslashreplace").split("\n")
        if lines[:1] != ["|".join(commands.ALIVE_FIELDS)] or lines[-1]:
            raise Unavailable(f"sacct: no whole answer: it begins with {lines[0][:80]!r}")
        return list(_open(lines[1:-1]))


def _open(lines: Sequence[str]) -> Iterator[OpenRow]:
    for line in lines:
        columns = line.split("|")
        if len(columns) != len(commands.ALIVE_FIELDS):
            raise Unavailable(f"sacct printed another number of columns: {line[:120]!r}")
        job, account, user, start, end = columns
        began = None if start in _NO_END else grammar.time(start, None, "Start")
        if end in _NO_END and began:
            yield OpenRow(grammar.whole(job, "JobIDRaw"), account, user, began)


def _node(line: str) -> NodeFacts:
    name, gres, configured = _NAME.match(line), _GRES.search(line), _CONFIGURED.search(line)
    if name is None:
        raise Unavailable(f"scontrol show node: no NodeName: {line[:80]!r}: is it Slurm's?")
    partitions = _PARTITIONS.search(line)
    return NodeFacts(
        name[1], gpus_of(gres[1]) if gres else 0, _counted(configured[1] if configured else ""),
        tuple(partitions[1].split(",")) if partitions else (),
    )  # fmt: skip


def gpus_of(gres: str) -> int:
    """The GPUs of a node's Gres: `gpu:h100:4(S:0-1),shard:8` has 4."""
    return sum(int(count or 1) for count in _GPU.findall(gres))


def _counted(tres: str) -> int:
    """The GPUs that slurmctld counts as TRES."""
    try:
        return grammar.tres(tres).gpus
    except BadText as err:
        raise Unavailable(f"scontrol show node: CfgTRES: {err}") from err
