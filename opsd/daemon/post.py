"""How notices leave, from the settings: the mail server, and in whose name.

Invariant: what could not work is an error that names the setting, before anything is sent.
"""

from __future__ import annotations

from exporters import mail
from exporters.mail import Server
from opsd.config import Mail
from opsd.pipeline.notify import Sender


def is_set(asked: Mail) -> bool:
    """Whether notices can be sent at all."""
    return bool(asked.host and asked.sender)


def server(asked: Mail) -> Server:
    """The server, checked.

    Raises:
        BadInput: a setting makes no sense.
    """
    assert asked.host
    assert asked.sender
    found = Server(
        asked.host, asked.port, asked.tls, asked.username, asked.password, asked.ca_file,
        asked.timeout_seconds,
    )  # fmt: skip
    mail.check(found, asked.sender, asked.reply_to)
    return found


def sender(asked: Mail) -> Sender:
    """In whose name."""
    assert asked.sender
    return Sender(asked.sender, mail.domain_of(asked.sender), asked.reply_to)
