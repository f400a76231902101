"""Serving the portal in a thread of its own.

Invariant: until people can sign in, it listens on the loopback and nowhere else.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import uvicorn

from exporters.serve import Address, parse_address, require_loopback
from opsd.config import Settings
from opsd.core.errors import BadInput, Refused
from opsd.store.engine import Store
from opsd.web.app import application

_OPTION = "--web.listen-address"
_BACKLOG = 128
_STOP_SECONDS = 3


class WebServer:
    """The portal of one database."""

    def __init__(
        self, store: Store, settings: Settings, clock: Callable[[], float], configuration: str = ""
    ) -> None:
        """Binds at once.

        Args:
            store: read from, never written.
            settings: `web.listen_address` is where to listen; port 0: the system chooses.
            clock: epoch seconds; decides which month is the present one.
            configuration: a digest of the settings, which stands in reports.

        Raises:
            BadInput: the address cannot be had.
            Refused: it is not on the loopback.
        """
        self._socket = _listen(_loopback(settings.web.listen_address))
        config = uvicorn.Config(
            application(store, clock, configuration),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="web", daemon=True
        )

    @property
    def address(self) -> Address:
        """Where it really listens."""
        host, port = self._socket.getsockname()[:2]
        return Address(str(host), int(port))

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://{self.address}"

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to answer; who came before waits in the queue of the socket."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; requests under way are waited for a few seconds."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(2 * _STOP_SECONDS)
        self._socket.close()


def _loopback(text: str) -> Address:
    address = parse_address(text, _OPTION)
    try:
        require_loopback(address, _OPTION)
    except Refused as err:
        raise Refused(
            f"{_OPTION} {address}: not on the loopback: nobody signs in yet, so nobody else may look: "
            "listen on 127.0.0.1:8750 and come through an SSH tunnel"
        ) from err
    return address


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as err:
        raise BadInput(f"{_OPTION} {address}: {err.strerror}: choose another port") from err
