"""`opsd web`: the portal."""

from __future__ import annotations

import logging
import signal
import threading
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace

from opsd.cli.context import note, open_store
from opsd.config import WEB_ADDRESS, Web, settings

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
    from opsd.notify import notify
    from opsd.web import WebServer

    logging.basicConfig(format="opsd: %(levelname)s: %(name)s: %(message)s", level=logging.WARNING)
    chosen = settings(args.db, args.config)
    if args.listen_address is not None:
        chosen = replace(chosen, web=Web(args.listen_address))
    stop = _told_to_stop()
    with open_store(args) as store:
        server = WebServer(store, chosen, clock=time.time)
        server.start()
        note(f"the portal is at {server.url}")
        notify("READY=1")
        while server.alive and not stop.wait(_LOOK_SECONDS):
            pass
        notify("STOPPING=1")
        server.stop()
    return 0 if stop.is_set() else 1  # 1: it ended by itself, and its thread said why


def _told_to_stop() -> threading.Event:
    """Set by SIGTERM and SIGINT, from before the server starts."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
