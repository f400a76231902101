"""Asks a Slurm with its own commands: one question, one whole answer.

Invariant: an answer is handed over only if the command ended with 0 and said nothing on stderr.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from collectors import command
from collectors.slurm import commands
from opsd.core.errors import Refused, TooWide, Unavailable

_NO_CONFIGURATION = re.compile("configuration source|slurm.conf", re.IGNORECASE)
# slurmdbd.conf MaxQueryTimeRange, and answers beyond its 3 GiB (texts of src/common/slurm_errno.c).
_TOO_WIDE = re.compile(r"too wide (of )?a date range|result exceeds size limit", re.IGNORECASE)
_NO_CONFIGURATION_REMEDY = "; run opsd where `sacctmgr show cluster` works, or set [slurm] conf"


class Client:
    """The commands of one installation of Slurm.

    Args:
        folder: where they are; None: on PATH.
        conf: the slurm.conf they read; None: as SLURM_CONF says, or Slurm's own default.
        more: what they find set besides.
    """

    def __init__(
        self,
        *,
        folder: str | None,
        conf: str | None,
        timeout_seconds: int,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._environment = {**commands.ENVIRONMENT, **(more or {}), **command.found("SLURM_CONF")}
        if conf is not None:
            self._environment["SLURM_CONF"] = str(Path(conf).absolute())
        self._timeout_seconds = timeout_seconds

    def ask(self, arguments: Sequence[str], *, zone: str | None = None) -> command.Answer:
        """Run a command to its end, however it ended.

        Args:
            zone: the TZ in which it reads and prints times; None: UTC.
        """
        name, *others = arguments
        self._refuse_missing_conf()
        program = name if self._folder is None else str(Path(self._folder, name).absolute())
        environment = self._environment if zone is None else {**self._environment, "TZ": zone}
        return command.run(
            [program, *others], timeout_seconds=self._timeout_seconds,
            environment=environment, without=commands.CLEARED,
        )  # fmt: skip

    def _refuse_missing_conf(self) -> None:
        """Slurm's commands wait a minute each for a file that is not there."""
        conf = self._environment.get("SLURM_CONF")
        if conf and not Path(conf).exists():
            raise Unavailable(f"{conf}: no such file: set [slurm] conf, or SLURM_CONF, to slurm.conf")

    def whole(self, arguments: Sequence[str], *, zone: str | None = None) -> BinaryIO:
        """What a command printed; whoever reads it closes it.

        Raises:
            Unavailable: it failed, or complained.
        """
        answer = self.ask(arguments, zone=zone)
        try:
            refuse_failed(arguments[0], answer)
        except BaseException:
            answer.stdout.close()
            raise
        return answer.stdout

    def text(self, arguments: Sequence[str], *, zone: str | None = None) -> str:
        """The same, as text."""
        with self.whole(arguments, zone=zone) as answer:
            return answer.read().decode("utf-8", "backslashreplace")

    def lines(self, arguments: Sequence[str], *, zone: str | None = None) -> list[str]:
        """Its lines that hold something, in their order."""
        return [line.strip() for line in self.text(arguments, zone=zone).splitlines() if line.strip()]


def user() -> str:
    """Who asks. Slurm's accounting knows users by name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as err:
        raise Refused(
            f"user id {os.geteuid()} has no name here, so Slurm cannot know it: run opsd as another user"
        ) from err


def refuse_failed(name: str, answer: command.Answer) -> None:
    """A word on stderr is a failure, whatever the code: until 23.11 sacct ended with 0 on many an error."""
    if answer.code == 0 and not answer.stderr:
        return
    ended = f"ended with {answer.code}" if answer.code >= 0 else f"was ended by signal {-answer.code}"
    said = answer.stderr.splitlines()[-1] if answer.stderr else "without a word"
    remedy = _NO_CONFIGURATION_REMEDY if _NO_CONFIGURATION.search(answer.stderr) else ""
    kind = TooWide if _TOO_WIDE.search(answer.stderr) else Unavailable
    raise kind(f"{name} {ended}: {said[:300]}: nothing of its answer was taken{remedy}")
