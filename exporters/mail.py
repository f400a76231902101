"""Mail to people over SMTP.

Invariant: a letter is taken by the server or NotTaken says why and whether it is worth another try; a server
that cannot be used at all is Unavailable. Nothing that stands in a letter can become a header of its own.

Source: RFC 5321 (replies), RFC 3463 (enhanced codes), RFC 3834 (Auto-Submitted).
"""

from __future__ import annotations

import quopri
import re
import smtplib
import ssl
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.message import Message
from email.policy import compat32
from email.utils import format_datetime, formataddr, parseaddr
from types import TracebackType
from typing import NamedTuple, Self

from opsd.core.errors import BadInput, BadText, Unavailable

TLS = ("starttls", "tls", "none")
PORTS = {"starttls": 587, "tls": 465, "none": 25}
_BLANK = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_OTHER_LETTER = re.compile(r"[^\x00-\x7f]")
_WIRE = compat32.clone(linesep="\r\n")
_LONGEST_NAME = "Reply-To"  # of a header whose value is encoded: the first line has room for it
_LAST_PORT = 65_535
_CLOSING = 421
_FULL = 552  # a mailbox, which its owner may empty
_POLICY_CODE = re.compile(r"5\.7\.\d")  # the site's rules, which may be mended; not the address


class NotTaken(Exception):
    """The server did not take one letter."""

    def __init__(self, why: str, *, is_final: bool, is_connection_lost: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final
        self.is_connection_lost = is_connection_lost


class Server(NamedTuple):
    """How to reach the server that takes mail, and as whom."""

    host: str
    port: int | None = None  # None: as usual for `tls`
    tls: str = "starttls"
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    timeout_seconds: float = 30

    @property
    def shown(self) -> str:
        """Its address, for messages."""
        return f"mail server {self.host}:{self.port or PORTS[self.tls]}"


class Mail(NamedTuple):
    """One letter to one person."""

    sender: str
    name: str
    address: str
    subject: str
    text: str
    message_id: str
    at: int
    reply_to: str | None = None


def check(server: Server, sender: str, reply_to: str | None) -> None:
    """See that mail could be sent so.

    Raises:
        BadInput: a setting makes no sense, or a file cannot be read.
    """
    if server.tls not in TLS:
        raise BadInput(f"mail.tls {server.tls!r}: write one of {' '.join(TLS)}")
    if server.port is not None and server.port > _LAST_PORT:
        raise BadInput(f"mail.port {server.port}: ports end at {_LAST_PORT}")
    if bool(server.username) != bool(server.password):
        raise BadInput("mail.username: goes with mail.password_file: give both or none")
    for name, text in (("sender", sender), ("reply_to", reply_to)):
        if text is not None:
            _address_of(f"mail.{name}", text)
    _context(server)


def _address_of(name: str, text: str) -> Address:
    try:
        return _address(*parseaddr(text))
    except BadText as err:
        raise BadInput(f"{name} {text!r}: write opsd@example.org or AI Factory <opsd@example.org>") from err


def _address(name: str, address: str) -> Address:
    """An address that is one; letters of any alphabet may stand in it."""
    local, _, domain = address.rpartition("@")
    try:
        Address(addr_spec=_OTHER_LETTER.sub("x", address))
        if not local or not domain or _BLANK.search(address):
            raise BadText("not a mail address", address)
        return Address(_line(name), username=local, domain=domain)
    except (MessageError, ValueError, IndexError, AttributeError) as err:  # whatever its parser stumbles over
        raise BadText("not a mail address", address) from err


def _context(server: Server) -> ssl.SSLContext | None:
    if server.tls == "none":
        return None
    try:
        return ssl.create_default_context(cafile=server.ca_file)
    except (OSError, ssl.SSLError) as err:
        raise BadInput(f"mail.ca_file {server.ca_file}: {err.strerror or err}: check the path") from err


def domain_of(sender: str) -> str:
    """Where message ids are from."""
    return _address_of("mail.sender", sender).domain


def message(mail: Mail) -> Message:
    """The letter as it goes over the wire.

    Raises:
        NotTaken: the address is none.
    """
    try:
        _address(mail.name, mail.address)
    except BadText as err:
        raise NotTaken(f"not a mail address: {mail.address!r}", is_final=True) from err
    made = Message()
    made["MIME-Version"] = "1.0"
    made["Content-Type"] = 'text/plain; charset="utf-8"'
    made["Content-Transfer-Encoding"] = "quoted-printable"
    made.set_payload(quopri.encodestring(mail.text.encode()).decode("ascii"))
    made["From"] = _mailbox(*_parts("mail.sender", mail.sender))
    made["To"] = _mailbox(mail.name, mail.address)
    if mail.reply_to:
        made["Reply-To"] = _mailbox(*_parts("mail.reply_to", mail.reply_to))
    made["Subject"] = _encoded(_line(mail.subject))
    made["Date"] = format_datetime(datetime.fromtimestamp(mail.at, UTC))
    made["Message-ID"] = mail.message_id
    made["Auto-Submitted"] = "auto-generated"
    made["X-Auto-Response-Suppress"] = "All"
    return made


def _parts(setting: str, text: str) -> tuple[str, str]:
    found = _address_of(setting, text)
    return found.display_name, f"{found.username}@{found.domain}"


def _mailbox(name: str, address: str) -> str:
    """Name and address. The standard library's newer messages leave commas of some names bare: two people."""
    name = _line(name)
    if not address.isascii():  # only a server with SMTPUTF8 takes it, and that takes names as they are
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'.encode().decode("ascii", "surrogateescape")
    encoded = _encoded(name)
    return formataddr((name, address)) if encoded == name else f"{encoded} <{address}>"


def _encoded(text: str) -> str:
    """As RFC 2047 wants what is not ASCII, or looks as if it were encoded already."""
    if text.isascii() and "=?" not in text:
        return text
    return Header(text, "utf-8", header_name=_LONGEST_NAME).encode()


def _line(text: str) -> str:
    return _BLANK.sub(" ", text).strip()


class Session:
    """A connection to the server, made when the first letter is sent."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(politely=kind is None)

    def send(self, mail: Mail) -> None:
        """Hand one letter over.

        Raises:
            NotTaken: not this one, or it is not known whether it was taken.
            Unavailable: the server cannot be used.
        """
        made = message(mail).as_bytes(policy=_WIRE)
        _, sender = _parts("mail.sender", mail.sender)
        smtp = self._smtp or self._connect()
        try:
            smtp.sendmail(sender, [mail.address], made, _options(smtp, mail.address, sender))
        except smtplib.SMTPRecipientsRefused as err:
            ((code, said),) = err.recipients.values()
            raise self._refused(code, said) from err
        except smtplib.SMTPSenderRefused as err:
            reply = _said(err.smtp_code, err.smtp_error)
            see = "mail.tls" if "STARTTLS" in reply.upper() else "mail.sender and mail.username"
            raise Unavailable(
                f"{self._server.shown} does not take mail from {mail.sender}: {reply}: see {see}"
            ) from err
        except smtplib.SMTPDataError as err:
            raise self._refused(err.smtp_code, err.smtp_error) from err
        except smtplib.SMTPNotSupportedError as err:
            raise NotTaken(f"the server takes no such address: {err}", is_final=True) from err
        except (smtplib.SMTPException, OSError) as err:
            self._close(politely=False)
            why = f"{self._server.shown}: the connection ended: {_why(err)}"
            raise NotTaken(why, is_final=False, is_connection_lost=True) from err

    def _refused(self, code: int, said: bytes | str) -> NotTaken:
        if code == _CLOSING:
            self._close(politely=False)
        text = _said(code, said)
        is_final = 500 <= code < 600 and code != _FULL and not _POLICY_CODE.search(text)
        return NotTaken(text, is_final=is_final, is_connection_lost=code == _CLOSING)

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        try:
            self._smtp = self._opened()
            if server.tls == "starttls":
                self._smtp.starttls(context=_context(server))
            if server.username and server.password:
                self._smtp.login(server.username, server.password)
        except (smtplib.SMTPException, OSError) as err:
            self._close(politely=False)
            raise Unavailable(f"{server.shown}: {_unusable(err)}") from err
        except UnicodeError as err:  # a host that is no name; Python's own login takes ASCII alone
            self._close(politely=False)
            what = "mail.host is no host name, or mail.username or password have letters beyond ASCII"
            raise BadInput(f"{server.shown}: {what}") from err
        return self._smtp

    def _opened(self) -> smtplib.SMTP:
        server = self._server
        port = server.port or PORTS[server.tls]
        if server.tls == "tls":
            return smtplib.SMTP_SSL(
                server.host, port, timeout=server.timeout_seconds, context=_context(server)
            )
        return smtplib.SMTP(server.host, port, timeout=server.timeout_seconds)

    def _close(self, *, politely: bool) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        if politely:
            try:
                smtp.quit()
            except (smtplib.SMTPException, OSError):  # everything was handed over before
                smtp.close()
        else:
            smtp.close()


def _options(smtp: smtplib.SMTP, *addresses: str) -> list[str]:
    if all(address.isascii() for address in addresses):
        return []
    smtp.ehlo_or_helo_if_needed()
    if not smtp.has_extn("smtputf8"):
        raise smtplib.SMTPNotSupportedError("it needs SMTPUTF8, which the server does not have")
    return ["SMTPUTF8", "BODY=8BITMIME"]


def _said(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return _line(f"{code} {text}")


def _why(err: Exception) -> str:
    return _line(str(err)) or type(err).__name__


def _unusable(err: Exception) -> str:  # noqa: PLR0911 (one for each kind of trouble)
    """What is wrong with a server, and what to do."""
    match err:
        case smtplib.SMTPAuthenticationError():
            return f"it does not accept mail.username: {_said(err.smtp_code, err.smtp_error)}"
        case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(err):
            return "it offers no STARTTLS: set mail.tls to tls, or to none inside a network that you trust"
        case smtplib.SMTPNotSupportedError():
            return f"it offers no login: leave mail.username out, or see mail.tls: {_why(err)}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({err.verify_message}): see mail.host and mail.ca_file"
        case ssl.SSLError():
            return f"no TLS ({err.reason or _why(err)}): see mail.tls and mail.port"
        case TimeoutError() | smtplib.SMTPServerDisconnected() if "timed out" in str(err):
            return "no answer in time: is mail.port right, and mail.tls? Try again later"
        case smtplib.SMTPResponseException():
            return f"it takes no mail now: {_said(err.smtp_code, err.smtp_error)}"
    return f"cannot be used: {_why(err)}: see mail.host and mail.port"
