"""Mail over SMTP, with a real server at the other end: what is taken, and in which words it is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from email import message_from_bytes
from email.utils import getaddresses
from pathlib import Path
from typing import Any

import pytest

from exporters.mail import Mail, NotTaken, Server, Session, check, domain_of, message
from opsd.core.errors import BadInput, Unavailable
from tests.fakes.post import LOGIN, MailServer
from tests.stack.programs import free_port

SENDER = "Fábrica <opsd@example.org>"
LETTER = Mail(
    SENDER,
    "Núria Güell",
    "nuria@example.org",
    "80 % is used",
    "One.\n.\nTwo: ç\n",
    "<1@example.org>",
    1_790_000_000,
)


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A server without TLS."""
    with MailServer() as found:
        yield found


def plain(server: MailServer, **changes: Any) -> Server:
    """How to reach it."""
    return Server("127.0.0.1", server.port, "none")._replace(**changes)


def send(how: Server, mail: Mail = LETTER) -> None:
    """One letter in a session of its own."""
    with Session(how) as session:
        session.send(mail)


def test_a_letter_arrives(server: MailServer) -> None:
    """With who, when, what, its id, and what keeps other programs from answering it."""
    send(plain(server), LETTER._replace(reply_to="desk@example.org"))

    ((to, letter),) = server.letters
    assert ("nuria@example.org", ["opsd@example.org"]) == (to, server.senders)
    assert {
        "To": "Núria Güell <nuria@example.org>",
        "From": SENDER,
        "Reply-To": "desk@example.org",
        "Subject": "80 % is used",
        "Date": "Mon, 21 Sep 2026 14:13:20 +0000",
        "Message-ID": "<1@example.org>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Content-Type": 'text/plain; charset="utf-8"',
    } == {
        name: str(letter[name])
        for name in letter
        if name not in ("MIME-Version", "Content-Transfer-Encoding")
    }
    assert "One.\n.\nTwo: ç\n" == letter.get_content().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "name",
    [
        "Research office, Güneş Finans A.Ş.",
        "Doe, John",
        'Say "hi", ñ',
        "Muñoz (desk)",
        "ș" * 200,
        "",
    ],
)
@pytest.mark.parametrize("address", ["nuria@example.org", "núria@example.org"])
def test_a_name_is_one_person(name: str, address: str, server: MailServer) -> None:
    """Commas and letters of any alphabet; also for programs that know only the older rules."""
    send(plain(server), LETTER._replace(name=name, address=address))

    ((_, letter),) = server.letters
    (to,) = letter["To"].addresses
    # Python's parser puts blanks between the parts of a long name, which RFC 2047 says to drop.
    assert (name.replace(" ", ""), address) == (to.display_name.replace(" ", ""), to.addr_spec)
    raw = message(LETTER._replace(name=name, address=address)).as_bytes().partition(b"\n\n")[0]
    ((_, found),) = getaddresses([str(message_from_bytes(raw)["To"])])
    assert found == (address if address.isascii() else found)
    assert max(map(len, raw.splitlines())) <= 900


@pytest.mark.parametrize("subject", ["a " * 100, "ç " * 100, "ç" * 200])
def test_a_long_subject(subject: str, server: MailServer) -> None:
    """It is folded as mail wants it, begins on its first line, and arrives whole."""
    send(plain(server), LETTER._replace(subject=subject))

    ((_, letter),) = server.letters
    assert subject.strip() == letter["Subject"]
    assert b"\nSubject: \n" not in message(LETTER._replace(subject=subject)).as_bytes()


def test_lines_of_a_text_are_no_longer_than_mail_takes(server: MailServer) -> None:
    """And arrive as they were."""
    send(plain(server), LETTER._replace(text="ç " * 2_000 + "\n"))

    assert "ç " * 2_000 + "\n" == server.letters[0][1].get_content().replace("\r\n", "\n")


def test_several_letters_take_one_connection(server: MailServer) -> None:
    """A hundred letters are no hundred logins."""
    with Session(plain(server)) as session:
        for number in range(3):
            session.send(LETTER._replace(message_id=f"<{number}@example.org>"))

    assert (3, 1) == (len(server.letters), server.connections)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\x85", "\u2028"])
def test_a_name_cannot_add_a_header(end: str, server: MailServer) -> None:
    """Whatever ends a line becomes a blank."""
    evil = f"A{end}Bcc: all@example.org"

    send(plain(server), LETTER._replace(name=evil, subject=evil))

    ((to, letter),) = server.letters
    assert (None, "A Bcc: all@example.org", "nuria@example.org") == (letter["Bcc"], letter["Subject"], to)
    assert "A Bcc: all@example.org" == letter["To"].addresses[0].display_name


@pytest.mark.parametrize("address", ["a@b@c", "ana", "a<b>@example.org", "ana@", "a\nb@example.org"])
def test_what_is_no_address(address: str) -> None:
    """It is refused for good without a connection."""
    with pytest.raises(NotTaken, match="not a mail address") as found:
        message(LETTER._replace(address=address))

    assert found.value.is_final


def test_an_address_that_the_server_cannot_take() -> None:
    """Letters of other alphabets need SMTPUTF8: without it the address is refused."""
    with MailServer(utf8=False) as server, pytest.raises(NotTaken, match="takes no such address") as found:
        send(plain(server), LETTER._replace(address="núria@example.org"))

    assert found.value.is_final


def test_an_address_of_another_alphabet(server: MailServer) -> None:
    """It arrives where the server can."""
    send(plain(server), LETTER._replace(address="núria@example.org"))

    assert ["núria@example.org"] == [to for to, _ in server.letters]


@pytest.mark.parametrize(
    ("reply", "is_final"),
    [
        ("550 5.1.1 no such user", True),
        ("553 mailbox name not allowed", True),
        ("450 4.2.0 greylisted", False),
        ("452 too many", False),
        ("552 5.2.2 mailbox full", False),
        ("550 5.7.1 relaying denied", False),
    ],
)
def test_a_refused_recipient(reply: str, is_final: bool, server: MailServer) -> None:
    """5xx is for good, but for a full mailbox and the site's own rules; others go on in the same session."""
    server.refuse["gone@example.org"] = reply

    with Session(plain(server)) as session:
        with pytest.raises(NotTaken, match=reply) as found:
            session.send(LETTER._replace(address="gone@example.org"))
        session.send(LETTER)

    assert (is_final, 1, 1) == (found.value.is_final, len(server.letters), server.connections)
    assert not found.value.is_connection_lost


@pytest.mark.parametrize(("reply", "is_final"), [("554 no spam", True), ("451 later", False)])
def test_a_refused_letter(reply: str, is_final: bool, server: MailServer) -> None:
    """The same after the letter itself."""
    server.data_reply = reply

    with pytest.raises(NotTaken, match=reply) as found:
        send(plain(server))
    assert is_final == found.value.is_final


def test_a_server_that_wants_starttls(server: MailServer) -> None:
    """The setting that is wrong is named, not the sender."""
    server.mail_reply = "530 5.7.0 Must issue a STARTTLS command first"

    with pytest.raises(Unavailable, match=r"STARTTLS command first: see mail\.tls$"):
        send(plain(server))
    assert [] == server.letters


def test_a_refused_sender(server: MailServer) -> None:
    """That is no letter's fault: the setting is named, and nothing is sent."""
    server.mail_reply = "550 5.7.1 not yours"

    with pytest.raises(
        Unavailable, match=r"does not take mail from Fábrica.*550 5\.7\.1 not yours: see mail\.sender"
    ):
        send(plain(server))


def test_a_connection_that_ends_within_a_letter(server: MailServer) -> None:
    """Nobody knows whether it was taken: it is worth another try, and the next one gets a new connection."""
    server.drops = 1

    with Session(plain(server)) as session:
        with pytest.raises(NotTaken, match="the connection ended") as found:
            session.send(LETTER)
        session.send(LETTER)

    assert (True, False) == (found.value.is_connection_lost, found.value.is_final)
    assert (1, 2) == (len(server.letters), server.connections)


def test_a_server_that_says_goodbye(server: MailServer) -> None:
    """421 ends the session; the next letter begins another."""
    server.refuse["gone@example.org"] = "421 4.7.0 too much for now"

    with Session(plain(server)) as session:
        with pytest.raises(NotTaken, match="421") as found:
            session.send(LETTER._replace(address="gone@example.org"))
        session.send(LETTER)

    assert (True, False, 2) == (found.value.is_connection_lost, found.value.is_final, server.connections)


def test_a_server_that_hangs(server: MailServer) -> None:
    """The time-out ends it."""
    server.hangs = True

    with pytest.raises(NotTaken, match=r"the connection ended: .*timed out") as found:
        send(plain(server, timeout_seconds=0.3))
    assert found.value.is_connection_lost


def test_nobody_listens() -> None:
    """The address, and which settings to look at."""
    port = free_port()

    with pytest.raises(Unavailable, match=rf"mail server 127\.0\.0\.1:{port}: cannot be used: .*mail\.host"):
        send(Server("127.0.0.1", port, "none"))


def test_a_port_that_says_nothing() -> None:
    """As where TLS is expected from the first byte: the time-out, and the settings."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        how = Server("127.0.0.1", silent.getsockname()[1], "none", timeout_seconds=0.2)
        with pytest.raises(Unavailable, match=r"no answer in time: is mail\.port right, and mail\.tls"):
            send(how)


# ---------------------------------------------------------------------------------------------- TLS, login


def secured(server: MailServer, certificates: Path, tls: str, **changes: Any) -> Server:
    """How to reach a server with a certificate of ours."""
    how = Server("127.0.0.1", server.port, tls, ca_file=str(certificates / "ca.crt"))
    return how._replace(**changes)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_letter_over_tls(tls: str, certificates: Path) -> None:
    """STARTTLS that the server insists on, or TLS from the first byte."""
    with MailServer(certificates, tls=tls) as server:
        send(secured(server, certificates, tls))

    assert 1 == len(server.letters)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize("authority", [None, "other-ca.crt"])
def test_a_certificate_of_somebody_else(tls: str, authority: str | None, certificates: Path) -> None:
    """Nothing is sent to whoever cannot prove to be the server."""
    ca_file = authority and str(certificates / authority)
    with (
        MailServer(certificates, tls=tls) as server,
        pytest.raises(Unavailable, match=r"its certificate is not trusted .*mail\.ca_file"),
    ):
        send(secured(server, certificates, tls, ca_file=ca_file))

    assert [] == server.letters


def test_a_server_without_starttls(server: MailServer, certificates: Path) -> None:
    """A letter that should be secret does not go in the clear instead."""
    with pytest.raises(Unavailable, match=r"offers no STARTTLS: set mail\.tls"):
        send(secured(server, certificates, "starttls"))
    assert [] == server.letters


def test_tls_to_a_plain_port(server: MailServer, certificates: Path) -> None:
    """The settings that may be wrong are named."""
    with pytest.raises(Unavailable, match=r"no TLS .*: see mail\.tls and mail\.port"):
        send(secured(server, certificates, "tls"))


def test_a_login(certificates: Path) -> None:
    """Name and password after STARTTLS."""
    with MailServer(certificates, tls="starttls", login=True) as server:
        send(secured(server, certificates, "starttls", username=LOGIN[0], password=LOGIN[1]))

    assert 1 == len(server.letters)


def test_a_wrong_password(certificates: Path) -> None:
    """The setting is named, the password is not."""
    with (
        MailServer(certificates, tls="starttls", login=True) as server,
        pytest.raises(Unavailable, match=r"does not accept mail\.username: 535") as found,
    ):
        send(secured(server, certificates, "starttls", username="opsd", password="hunter2"))

    assert "hunter2" not in str(found.value)


def test_a_login_that_nobody_asks_for(server: MailServer) -> None:
    """The server has none to offer."""
    with pytest.raises(Unavailable, match=r"offers no login: leave mail\.username out"):
        send(plain(server, username="opsd", password="x"))


def test_a_password_beyond_ascii(certificates: Path) -> None:
    """Python's login cannot say it: the setting is named, the password is not."""
    with (
        MailServer(certificates, tls="starttls", login=True) as server,
        pytest.raises(BadInput, match=r"mail\.username or password have letters beyond ASCII") as found,
    ):
        send(secured(server, certificates, "starttls", username="opsd", password="contraseña"))

    assert "contrase" not in str(found.value)


def test_a_host_that_is_no_name() -> None:
    """The setting is named."""
    with pytest.raises(BadInput, match=r"mail\.host is no host name"):
        send(Server("mail..example.org", 25, "none"))


# ------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("changes", "sender", "reply_to", "expected"),
    [
        ({"tls": "ssl"}, SENDER, None, r"mail\.tls 'ssl': write one of starttls tls none"),
        ({"port": 65_536}, SENDER, None, r"mail\.port 65536: ports end at 65535"),
        ({"username": "opsd"}, SENDER, None, r"mail\.username: goes with mail\.password_file"),
        ({"password": "x"}, SENDER, None, r"mail\.username: goes with mail\.password_file"),
        ({"ca_file": "/nowhere.pem"}, SENDER, None, r"mail\.ca_file /nowhere\.pem: No such file"),
        ({}, "opsd", None, r"mail\.sender 'opsd': write opsd@example\.org"),
        ({}, SENDER, "desk", r"mail\.reply_to 'desk': write"),
    ],
)
def test_settings_that_make_no_sense(
    changes: dict[str, str], sender: str, reply_to: str | None, expected: str
) -> None:
    """Found before anything is sent."""
    with pytest.raises(BadInput, match=expected):
        check(Server("mail.example.org")._replace(**changes), sender, reply_to)


def test_the_domain_of_message_ids() -> None:
    """That of the sender."""
    assert "example.org" == domain_of(SENDER)
