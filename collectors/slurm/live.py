"""A running Slurm as a source of accounting, asked with its own commands.

Invariant: an answer is handed over only if the command ended with 0, said nothing on stderr, and printed
the header that was asked for and a last line with its end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import BinaryIO

from collectors.protocol import AccountingText
from collectors.slurm import commands
from collectors.slurm.client import Client, refuse_failed, user
from opsd.core.errors import Refused, Unavailable

_ENOUGH = frozenset({"Operator", "Administrator"})
_HEADER = "|".join(commands.FIELDS).encode() + b"\n"
_DENIED = re.compile("privilege|access denied|permission", re.IGNORECASE)
_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)$", re.MULTILINE)


class LiveSlurm:
    """The Slurm that this machine's clients talk to.

    Args:
        folder: where its commands are; None: on PATH.
        conf: its slurm.conf; None: as SLURM_CONF says, or Slurm's own default.
    """

    def __init__(
        self, *, folder: str | None, conf: str | None, timeout_seconds: int, clock: Callable[[], float]
    ) -> None:
        self._client = Client(folder=folder, conf=conf, timeout_seconds=timeout_seconds)
        self._clock = clock

    def prove(self) -> str:
        """Make sure of operator rights; the name of the cluster.

        Without them `sacct -a` shows one's own runs alone wherever PrivateData is set, and does not say so.
        """
        who = user()
        if _ENOUGH.isdisjoint(self._client.lines(commands.rights(who))) and not self._is_administrator():
            raise Refused(
                f"user {who} may not see everybody's runs in Slurm, so usage would silently be too small: "
                f"give it the right to look (sacctmgr add user {who} … adminlevel=Operator, or "
                f"sacctmgr modify user {who} set adminlevel=Operator), or run opsd as another user"
            )
        return self._cluster()

    def changed(self, start: int, end: int) -> AccountingText:
        """Every run that was eligible before `end` and had not ended before `start`."""
        return self._sacct(commands.changed(start, end))

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Every run of these jobs."""
        return self._sacct(commands.runs(job_ids))

    def _sacct(self, arguments: Sequence[str]) -> AccountingText:
        asked_at = int(self._clock())
        answer = self._client.whole(arguments)
        try:
            _refuse_cut(answer)
        except BaseException:
            answer.close()
            raise
        return AccountingText(answer, asked_at, "sacct")

    def _is_administrator(self) -> bool:
        answer = self._client.ask(commands.STATISTICS)
        answer.stdout.close()
        if _DENIED.search(answer.stderr):
            return False
        refuse_failed(commands.STATISTICS[0], answer)
        return True

    def _cluster(self) -> str:
        """The one cluster that the accounting knows; of several, the controller says which is ours."""
        known = self._client.lines(commands.CLUSTERS)
        if len(known) == 1:
            return known[0]
        configuration = self._client.text(commands.CONFIGURATION)
        if found := _CLUSTER_NAME.search(configuration):
            return found[1]
        raise Unavailable(f"scontrol: no ClusterName in its configuration: {configuration[:80]!r}")


def _refuse_cut(answer: BinaryIO) -> None:
    """An answer without its first or its last line end is none."""
    header = answer.read(len(_HEADER))
    if header != _HEADER:
        shown = header[:80].decode("utf-8", "backslashreplace")
        raise Unavailable(
            f"sacct printed no header of the columns asked for but {shown!r}: nothing of its answer was taken"
        )
    answer.seek(-1, os.SEEK_END)
    if answer.read(1) != b"\n":
        raise Unavailable("sacct broke off: the last line of its answer has no end: nothing of it was taken")
    answer.seek(0)
