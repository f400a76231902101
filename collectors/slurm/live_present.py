"""What a running Slurm is doing now, asked with its own commands.

Which controller is asked: the local one where it is that of the cluster, since it is found without slurmdbd,
and its statistics matter most when slurmdbd is away. Else `--clusters` names the other one. Which it is is
found out once, when the first question is asked.
Invariant: each answer is whole, about this cluster alone, and costs slurmctld one request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from collectors.slurm import commands
from collectors.slurm.client import Client
from opsd.core.errors import Unavailable

_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)\s*$", re.MULTILINE)
_OF_A_CLUSTER = "CLUSTER: "  # what squeue and sshare print first where a cluster was named


class LivePresent:
    """A cluster of a running Slurm.

    Args:
        folder, conf, timeout_seconds: as `Client` takes them.
        cluster: what Slurm calls it; "": the local one.
    """

    def __init__(
        self, *, folder: str | None, conf: str | None, timeout_seconds: int, cluster: str = ""
    ) -> None:
        self._client = Client(
            folder=folder, conf=conf, timeout_seconds=timeout_seconds, more=commands.PRESENT_ENVIRONMENT
        )
        self._cluster = cluster
        self._is_local: bool | None = None if cluster else True  # None: not found out yet

    def queue(self) -> str:
        """Every job that slurmctld knows."""
        return self._text(commands.queue(self._elsewhere()))

    def nodes(self) -> str:
        """Every node, also of hidden partitions."""
        return self._text(commands.at(self._elsewhere(), commands.PRESENT_NODES))

    def scheduler(self) -> str:
        """slurmctld's statistics."""
        return self._text(commands.at(self._elsewhere(), commands.SCHEDULER))

    def shares(self) -> str:
        """Accounts' shares."""
        return self._text(commands.at(self._elsewhere(), commands.ACCOUNT_SHARES))

    def reservations(self) -> str:
        """Every reservation."""
        return self._text(commands.at(self._elsewhere(), commands.PRESENT_RESERVATIONS))

    def licenses(self) -> str:
        """Every licence."""
        return self._text(commands.at(self._elsewhere(), commands.PRESENT_LICENSES))

    def _elsewhere(self) -> str:
        """The cluster to be named; "" where the local controller is its own."""
        if self._is_local is None:
            self._is_local = self._asks_its_own()
        return "" if self._is_local else self._cluster

    def _asks_its_own(self) -> bool | None:
        """Whether the local controller is this cluster's; None: it does not answer."""
        try:
            found = _CLUSTER_NAME.search(self._client.text(commands.CONFIGURATION))
        except Unavailable:
            return None  # then slurmdbd has to say where ours is; if it is this one, that fails as well
        return found is not None and found[1] == self._cluster

    def _text(self, question: Sequence[str]) -> str:
        """Without the line that only says which cluster was asked.

        Raises:
            Unavailable: its last line has no end: a number in it may be cut, and a cut one is one, too.
        """
        text = self._client.text(question)
        _, _, rest = text.rpartition("\n")
        if rest:
            raise Unavailable(
                f"{question[0]} broke off: the last line of its answer has no end, {rest[-40:]!r}: "
                "nothing of it was taken"
            )
        first, end, others = text.partition("\n")
        return others if first.startswith(_OF_A_CLUSTER) and end else text
