"""`opsd-node top`: the GPUs of a node, live in the terminal.

It shows the page of the agent that runs; where none answers it reads the GPUs itself, as the agent would.
Invariant: it never makes a second client of the driver while an agent is there.
"""

from __future__ import annotations

import argparse
import contextlib
import select
import socket
import ssl
import sys
import termios
import time
import tty
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from exporters.catalogue import BY_NAME
from exporters.page import Page
from opsd.core.errors import BadInput, OpsdError
from opsd.node.agent import to_stderr
from opsd.node.board import board
from opsd.node.command_line import duration
from opsd.node.options import Options

if TYPE_CHECKING:
    from rich.console import RenderableType

DEFAULT_URL = "http://127.0.0.1:9751"
_PATIENCE_SECONDS = 5.0
_IS_THERE = (
    "something listens there, so the GPUs are not read a second time: an agent behind TLS or passwords is "
    "shown by --url, --ca-file, --cert-file or --username"
)
_LEAVE = ("q", "Q", "\x03", "\x1b")


class NobodyThereError(OpsdError):
    """Nothing listens at an agent's address."""


class Source(Protocol):
    """Where pages come from."""

    name: str

    def page(self) -> Page:
        """The page now."""

    def close(self) -> None:
        """Leave it."""


class Remote:
    """An agent, by its address."""

    def __init__(self, url: str, context: ssl.SSLContext | None = None, login: str = "") -> None:
        """`login`: what the header Authorization says; empty for none."""
        self.name = url.partition("//")[2].rstrip("/")
        self._url = url.rstrip("/") + "/metrics"
        self._context = context
        self._headers = {"Authorization": login} if login else {}

    def page(self) -> Page:
        """Its page.

        Raises:
            NobodyThereError: nothing listens there.
            OpsdError: it does not answer, or not with a page.
        """
        asked = urllib.request.Request(self._url, headers=self._headers)  # noqa: S310 (http or https, checked)
        try:
            with urllib.request.urlopen(asked, timeout=_PATIENCE_SECONDS, context=self._context) as answer:  # noqa: S310
                return parse(answer.read().decode("utf-8", "replace"))
        except urllib.error.HTTPError as err:
            with err:
                said = err.read(200).decode("utf-8", "replace").strip()
            raise OpsdError(f"{self._url}: {err.code} {said or err.reason}") from err
        except (OSError, ValueError) as err:
            reason = getattr(err, "reason", None) or err
            refused = isinstance(reason, ConnectionRefusedError)
            raise (NobodyThereError if refused else OpsdError)(f"{self._url}: {reason}") from err

    def close(self) -> None:
        """Nothing is open."""


class Local:
    """This node, read here."""

    def __init__(self, options: Options) -> None:
        from opsd.node.collection import Node

        self.name = f"{socket.gethostname()} (no agent: read here)"
        self._node = Node(options, time.time, lambda _: None)

    def page(self) -> Page:
        """One round of collectors."""
        return self._node.page()

    def close(self) -> None:
        """Leave the driver."""
        self._node.close()


def parse(text: str) -> Page:
    """A page from its text; families that this version does not know, or knows otherwise, are left out."""
    from prometheus_client.parser import text_string_to_metric_families

    page = Page()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            metric = BY_NAME.get(sample.name)
            if metric and set(metric.labels) >= sample.labels.keys():
                labels = dict.fromkeys(metric.labels, "") | sample.labels
                page.add(sample.name, sample.value, **labels)
    return page


def main(words: Sequence[str]) -> int:
    """Show it until q or Ctrl-C; the exit code."""
    given = _parser().parse_args(words)
    try:
        source = _source(given)
        try:
            return _once(source) if given.once or not sys.stdout.isatty() else _live(source, given.interval)
        finally:
            source.close()
    except OpsdError as err:
        to_stderr(str(err))
        return err.exit_code
    except KeyboardInterrupt:
        return 0


def _source(given: argparse.Namespace) -> Source:
    """The agent that was named or runs here; else the GPUs themselves."""
    remote = Remote(given.url or DEFAULT_URL, _context(given), _login(given))
    if given.url:
        if not given.url.startswith(("http://", "https://")):
            raise BadInput(f"--url {given.url}: must begin with http:// or https://")
        remote.page()
        return remote
    if given.simulated is None:
        try:
            remote.page()
        except NobodyThereError:
            pass  # no agent here: then we look ourselves
        except OpsdError as err:
            raise OpsdError(f"{err}: {_IS_THERE}") from err
        else:
            return remote
    return Local(
        Options(
            interval=given.interval,
            jobs_directory=given.jobs_directory,
            simulated=given.simulated,
            collectors=Options().collectors - {"spool"},
        )
    )


def _context(given: argparse.Namespace) -> ssl.SSLContext | None:
    if not given.ca_file and not given.cert_file:
        return None
    try:
        context = ssl.create_default_context(cafile=given.ca_file)
        if given.cert_file:
            context.load_cert_chain(given.cert_file, given.key_file)
    except OSError as err:
        raise BadInput(f"--ca-file, --cert-file, --key-file: {err}: check the paths") from err
    return context


def _login(given: argparse.Namespace) -> str:
    if not given.username:
        return ""
    if not given.password_file:
        raise BadInput(f"--username {given.username}: needs --password-file")
    try:
        password = given.password_file.read_text(encoding="utf-8").strip()
    except OSError as err:
        raise BadInput(f"--password-file {given.password_file}: {err.strerror}") from err
    return "Basic " + b64encode(f"{given.username}:{password}".encode()).decode()


def _once(source: Source) -> int:
    from rich.console import Console

    from opsd.node.top_table import table

    console = Console(highlight=False)
    now = time.time()
    console.print(table(board(source.page(), now), source.name, console.width, now))
    return 0


def _live(source: Source, interval: float) -> int:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from opsd.node.top_table import table

    console = Console(highlight=False)
    shown: RenderableType | None = None
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            now = time.time()
            try:
                shown = table(board(source.page(), now), source.name, console.width, now)
                live.update(Group(shown, Text("\nq: leave", "dim")), refresh=True)
            except OpsdError as err:  # an agent that restarts comes back
                said = Text(f"{err}\nasked again every {interval:g} s", "bold red")
                live.update(Group(said, *([shown] if shown else [])), refresh=True)
            if pressed(interval):
                return 0


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Keys one by one, without Enter; the terminal is left as it was found."""
    if not sys.stdin.isatty():
        yield _asleep
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield _is_leaving
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _asleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _is_leaving(seconds: float) -> bool:
    """Whether somebody pressed q in so many seconds; any other key shows the next picture at once."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and sys.stdin.read(1) in _LEAVE


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="opsd-node top",
        description="The GPUs of a node, live: jobs, activity, memory, power, temperature, faults. q leaves.",
    )
    given = Options()
    add = made.add_argument
    add(
        "--url",
        metavar="URL",
        help=f"the agent to show (default: {DEFAULT_URL}, else the GPUs are read here)",
    )
    add("--ca-file", metavar="FILE", help="the certificate that signs the agent's")
    add("--cert-file", metavar="FILE", help="a certificate of one's own, where the agent asks for one")
    add("--key-file", metavar="FILE", help="its key")
    add("--username", metavar="NAME", help="where the agent asks for one")
    add("--password-file", type=Path, metavar="FILE", help="a file that holds the password")
    add("--interval", type=duration, default=2.0, metavar="TIME", help="between two pictures (default 2s)")
    add("--once", action="store_true", help="print the table once and end")
    add(
        "--jobs.directory",
        dest="jobs_directory",
        type=Path,
        default=given.jobs_directory,
        metavar="FOLDER",
        help="where Slurm's prolog drops its files (default %(default)s)",
    )
    add("--simulated", type=int, metavar="N", help="show N GPUs that are not there")
    return made
