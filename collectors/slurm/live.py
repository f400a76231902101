"""A running Slurm as a source of accounting, asked with its own commands.

Invariant: an answer is handed over only if the command ended with 0, said nothing on stderr, and printed
the header that was asked for and a last line with its end.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from collectors import command
from collectors.protocol import AccountingText
from collectors.slurm import commands
from opsd.core.errors import Refused, Unavailable

_ENOUGH = frozenset({"Operator", "Administrator"})
_HEADER = "|".join(commands.FIELDS).encode() + b"\n"
_DENIED = re.compile("privilege|access denied|permission", re.IGNORECASE)
_NO_CONFIGURATION = re.compile("configuration source|slurm.conf", re.IGNORECASE)
_NO_CONFIGURATION_REMEDY = "; run opsd where `sacctmgr show cluster` works, or set [slurm] conf"
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
        self._folder = folder
        self._environment = {**commands.ENVIRONMENT, **command.found("SLURM_CONF")}
        if conf is not None:
            self._environment["SLURM_CONF"] = str(Path(conf).absolute())
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    def prove(self) -> str:
        """Make sure of operator rights; the name of the cluster.

        Without them `sacct -a` shows one's own runs alone wherever PrivateData is set, and does not say so.
        """
        user = _user()
        if self._lines(commands.rights(user)).isdisjoint(_ENOUGH) and not self._is_administrator():
            raise Refused(
                f"user {user} may not see everybody's runs in Slurm, so usage would silently be too small: "
                f"give it the right to look (sacctmgr add user {user} … adminlevel=Operator, or "
                f"sacctmgr modify user {user} set adminlevel=Operator), or run opsd as another user"
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
        answer = self._whole(arguments)
        try:
            _refuse_cut(answer)
        except BaseException:
            answer.close()
            raise
        return AccountingText(answer, asked_at, "sacct")

    def _is_administrator(self) -> bool:
        answer = self._ask(commands.STATISTICS)
        answer.stdout.close()
        if _DENIED.search(answer.stderr):
            return False
        _refuse_failed(commands.STATISTICS[0], answer)
        return True

    def _cluster(self) -> str:
        """The one cluster that the accounting knows; of several, the controller says which is ours."""
        known = self._lines(commands.CLUSTERS)
        if len(known) == 1:
            return known.pop()
        configuration = "\n".join(self._lines(commands.CONFIGURATION))
        if found := _CLUSTER_NAME.search(configuration):
            return found[1]
        raise Unavailable(f"scontrol: no ClusterName in its configuration: {configuration[:80]!r}")

    def _lines(self, arguments: Sequence[str]) -> set[str]:
        with self._whole(arguments) as answer:
            text = answer.read().decode("utf-8", "backslashreplace")
        return {line.strip() for line in text.splitlines() if line.strip()}

    def _whole(self, arguments: Sequence[str]) -> BinaryIO:
        answer = self._ask(arguments)
        try:
            _refuse_failed(arguments[0], answer)
        except BaseException:
            answer.stdout.close()
            raise
        return answer.stdout

    def _ask(self, arguments: Sequence[str]) -> command.Answer:
        name, *others = arguments
        program = name if self._folder is None else str(Path(self._folder, name).absolute())
        return command.run(
            [program, *others], timeout_seconds=self._timeout_seconds,
            environment=self._environment, without=commands.CLEARED,
        )  # fmt: skip


def _user() -> str:
    """Slurm's accounting knows users by name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as err:
        raise Refused(
            f"user id {os.geteuid()} has no name here, so Slurm cannot know it: run opsd as another user"
        ) from err


def _refuse_failed(name: str, answer: command.Answer) -> None:
    """A word on stderr is a failure, whatever the code: until 23.11 sacct ended with 0 on many an error."""
    if answer.code == 0 and not answer.stderr:
        return
    ended = f"ended with {answer.code}" if answer.code >= 0 else f"was ended by signal {-answer.code}"
    said = answer.stderr.splitlines()[-1] if answer.stderr else "without a word"
    remedy = _NO_CONFIGURATION_REMEDY if _NO_CONFIGURATION.search(answer.stderr) else ""
    raise Unavailable(f"{name} {ended}: {said[:300]}: nothing of its answer was taken{remedy}")


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
