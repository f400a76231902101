"""`opsd web`: the portal."""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from opsd.cli import signals
from opsd.cli.context import note, open_store
from opsd.config import WEB_ADDRESS, Web, settings

if TYPE_CHECKING:
    from opsd.web import WebServer

_LOOK_SECONDS = 1


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="HOST:PORT",
        help=f"where to listen, on this machine only (default: {WEB_ADDRESS}, or web.listen_address)",
    )


def run(args: Namespace) -> int:
    """Serve until told to stop."""
    from opsd.cli import edition_files
    from opsd.systemd import notify
    from opsd.web import WebServer

    logging.basicConfig(format="opsd: %(levelname)s: %(name)s: %(message)s", level=logging.WARNING)
    chosen = settings(args.db, args.config)
    if args.listen_address is not None:
        chosen = replace(chosen, web=Web(args.listen_address))
    with signals.told() as ends, open_store(args) as store:
        configuration = edition_files.configuration(chosen)
        server = WebServer(store, chosen, clock=time.time, configuration=configuration)
        server.start()
        note(f"the portal is at {server.url}")
        notify("READY=1")
        wanted = _wait(server, ends)
        notify("STOPPING=1")
        server.stop()
    return 0 if wanted else 1  # 1: it ended by itself, and its thread said why


def _wait(server: WebServer, ends: SimpleQueue[str]) -> bool:
    """Until a signal (true) or the server's own end."""
    while server.alive:
        try:
            ends.get(timeout=_LOOK_SECONDS)
        except Empty:
            continue
        return True
    return False
