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
from opsd.core.names import nearest

_ENOUGH = frozenset({"Operator", "Administrator"})
_DENIED = re.compile("privilege|access denied|permission", re.IGNORECASE)
_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)$", re.MULTILINE)
_CLUSTER_LINE = "CLUSTER:"  # squeue --clusters begins with it, whatever it is asked


class LiveSlurm:
    """The Slurm that this machine's clients talk to.

    Args:
        folder: where its commands are; None: on PATH.
        conf: its slurm.conf; None: as SLURM_CONF says, or Slurm's own default.
        cluster: the one of several that a slurmdbd serves; "": the local one.
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
        self._clock = clock
        self._name = cluster
        self._fields: tuple[str, ...] = ()  # those that this Slurm has; () until it is asked

    def prove(self) -> str:
        """Make sure of operator rights and of the columns; the name of the cluster.

        Without the rights `sacct -a` shows one's own runs alone wherever PrivateData is set, and does not
        say so.
        """
        who = user()
        if _ENOUGH.isdisjoint(self._client.lines(commands.rights(who))) and not self._is_administrator():
            raise Refused(
                f"user {who} may not see everybody's runs in Slurm, so usage would silently be too small: "
                f"give it the right to look (sacctmgr add user {who} … adminlevel=Operator, or "
                f"sacctmgr modify user {who} set adminlevel=Operator), or run opsd as another user"
            )
        found = self._cluster()
        self.fields()
        return found

    def fields(self) -> tuple[str, ...]:
        """The columns asked for: those of ours that this Slurm has. Probed once."""
        if not self._fields:
            has = {name.lower() for name in self._client.text(commands.COLUMNS).split()}
            if missing := [name for name in commands.NEEDED if name.lower() not in has]:
                raise Refused(
                    f"this sacct has no column {', '.join(missing)}, without which no run can be counted: "
                    "see `sacct --helpformat`, and set [slurm] bin to the commands of the Slurm that runs"
                )
            self._fields = tuple(name for name in (*commands.FIELDS, *commands.LATER) if name.lower() in has)
        return self._fields

    def lost(self) -> list[str]:
        """Each column that this Slurm lacks, with what opsd loses by it."""
        has = self.fields()
        return [
            f"sacct has no column {name}: {loss}" for name, loss in commands.LOST.items() if name not in has
        ]

    def changed(self, start: int, end: int) -> AccountingText:
        """Every run that was eligible before `end` and had not ended before `start`."""
        return self._sacct(commands.changed(self.fields(), self._name, start, end))

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Every run of these jobs."""
        return self._sacct(commands.runs(self.fields(), self._name, job_ids))

    def known_jobs(self) -> frozenset[int]:
        """Every job that slurmctld knows now."""
        lines = self._client.lines(commands.known_jobs(self._name))
        jobs = [line for line in lines if not line.startswith(_CLUSTER_LINE)]
        if odd := next((line for line in jobs if not line.isdecimal()), None):
            raise Unavailable(
                f"squeue printed {odd[:80]!r} where a job id should stand: nothing of it was taken"
            )
        return frozenset(map(int, jobs))

    def _sacct(self, arguments: Sequence[str]) -> AccountingText:
        asked_at, fields = int(self._clock()), self.fields()
        try:
            answer = self._client.whole(arguments)
            try:
                _refuse_cut(answer, fields)
            except BaseException:
                answer.close()
                raise
        except Unavailable:
            self._fields = ()  # Slurm may have been replaced by another version: look again the next time
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
        """The one that was named, or the only one; of several, the controller says which is ours."""
        known = self._client.lines(commands.CLUSTERS)
        if self._name:
            if self._name not in known:
                listed = nearest(self._name, known, f"it knows {' '.join(known) or 'none'}")
                raise Refused(f"cluster {self._name}: slurmdbd knows no such cluster{listed}")
            return self._name
        if len(known) == 1:
            return known[0]
        configuration = self._client.text(commands.CONFIGURATION)
        if found := _CLUSTER_NAME.search(configuration):
            return found[1]
        raise Unavailable(f"scontrol: no ClusterName in its configuration: {configuration[:80]!r}")


def _refuse_cut(answer: BinaryIO, fields: Sequence[str]) -> None:
    """An answer without its first or its last line end is none."""
    expected = "|".join(fields).encode() + b"\n"
    header = answer.read(len(expected))
    if header != expected:
        shown = header[:80].decode("utf-8", "backslashreplace")
        raise Unavailable(
            f"sacct printed no header of the columns asked for but {shown!r}: nothing of its answer was taken"
        )
    answer.seek(-1, os.SEEK_END)
    if answer.read(1) != b"\n":
        raise Unavailable("sacct broke off: the last line of its answer has no end: nothing of it was taken")
    answer.seek(0)
