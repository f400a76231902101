"""A mail server on the loopback: aiosmtpd in a thread of its own, which can be told to fail.

Invariant: it takes letters as a real one does, with STARTTLS, TLS and logins where asked for; `with` starts
and stops it.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

LOGIN = ("opsd", "a password for tests")


class MailServer:
    """Keeps what it is sent in `letters`, in that order."""

    def __init__(
        self, certificates: Path | None = None, *, tls: str = "none", login: bool = False, utf8: bool = True
    ) -> None:
        self.letters: list[tuple[str, EmailMessage]] = []  # recipient and letter
        self.senders: list[str] = []
        self.refuse: dict[str, str] = {}  # recipient to the reply to RCPT
        self.data_reply = "250 taken"
        self.mail_reply = ""
        self.before_reply: Callable[[], None] = lambda: None  # once a letter is kept, before that is said
        self.drops = 0  # so many connections end within a letter
        self.hangs = False
        self.connections = 0
        context = None
        if certificates is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
        self._options: dict[str, Any] = {"enable_SMTPUTF8": utf8, "hostname": "mail.test"}
        if tls == "starttls":
            self._options |= {"tls_context": context, "require_starttls": True}
        if login:
            self._options |= {
                "authenticator": self._login, "auth_required": True, "auth_require_tls": tls == "starttls",
            }  # fmt: skip
        self._implicit = context if tls == "tls" else None
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._release = asyncio.Event()

    # -- its life -------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=self._implicit)

    def _protocol(self) -> SMTP:
        self.connections += 1
        return SMTP(self, loop=self._loop, **self._options)

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        self._release.set()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # -- what aiosmtpd asks it ---------------------------------------------------------------------------

    def _login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == LOGIN, handled=False)

    async def handle_MAIL(  # noqa: N802 (aiosmtpd looks for these names)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Who writes."""
        if self.mail_reply:
            return self.mail_reply
        envelope.mail_from = address
        return "250 ok"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """To whom."""
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """What."""
        if self.hangs:
            await self._release.wait()
        if self.drops:
            self.drops -= 1
            server.transport.abort()
            return "421 gone"
        if self.data_reply.startswith("250"):
            self.senders.append(str(envelope.mail_from))
            read = message_from_string(bytes(envelope.content or b"").decode(), policy=default)
            assert isinstance(read, EmailMessage)
            self.letters += [(to, read) for to in envelope.rcpt_tos]
            self.before_reply()
        return self.data_reply
