"""Passwords of HTTP's basic authentication, checked against bcrypt's hashes.

Invariant: hashing for whoever guesses takes a quarter of one core at most, and he learns nothing from the
time an answer takes: an unknown user costs as much as a known one, and a scraper that was known once costs
nothing more.
"""

from __future__ import annotations

import binascii
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b

import bcrypt

from opsd.core.errors import BadInput

_HASH = re.compile(r"\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_MOST_BYTES = 72  # bcrypt looks at no more of a password, in any of its programs
_WAITING = 4  # at once, the one that is checked included; others are told to come back
_PAUSE = 3  # after a wrong password, so many times as long as the check took
_MOST_PAUSE_SECONDS = 10.0
_REMEMBERED = 128  # of right ones and of wrong ones


class Verdict(Enum):
    """What is known of a client."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    BUSY = "busy"


class Passwords:
    """Who may look."""

    def __init__(self, users: Mapping[str, str]) -> None:
        """Takes user to hash.

        Raises:
            BadInput: a hash is none.
        """
        self._hashes = {user.encode(): _checked(user, text) for user, text in users.items()}
        costs = [int(found[4:6]) for found in self._hashes.values()]
        # Of no password: what follows the salt is not what any would give.
        self._nobody = bcrypt.gensalt(max(costs)) + b"." * 31
        self._secret = os.urandom(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._queue = threading.BoundedSemaphore(_WAITING)
        self._checking = threading.Lock()
        self._remembering = threading.Lock()
        self._not_before = 0.0

    def check(self, authorization: str) -> Verdict:
        """Judge a request by its header Authorization."""
        given = _credentials(authorization)
        if given is None:
            return Verdict.UNKNOWN
        user, password = given
        # Keyed with a secret of this process: the time of a look-up tells nobody anything.
        digest = blake2b(len(user).to_bytes(4) + user + password, key=self._secret, digest_size=32).digest()
        known = self._remembered(digest)
        if known is not None:
            return known
        if not self._queue.acquire(blocking=False):
            return Verdict.BUSY
        try:
            with self._checking:
                return self._remembered(digest) or self._judge(user, password, digest)
        finally:
            self._queue.release()

    def _remembered(self, digest: bytes) -> Verdict | None:
        with self._remembering:
            if digest in self._right:
                return Verdict.KNOWN
            return Verdict.UNKNOWN if digest in self._wrong else None

    def _judge(self, user: bytes, password: bytes, digest: bytes) -> Verdict:
        """Ask bcrypt: one at a time, and after a wrong one not at once."""
        time.sleep(max(0.0, self._not_before - time.monotonic()))
        started = time.monotonic()
        fits = bcrypt.checkpw(password[:_MOST_BYTES], self._hashes.get(user, self._nobody))
        ended = time.monotonic()
        is_known = fits and user in self._hashes
        if not is_known:
            self._not_before = ended + min(_PAUSE * (ended - started), _MOST_PAUSE_SECONDS)
        with self._remembering:
            seen = self._right if is_known else self._wrong
            seen[digest] = None
            if len(seen) > _REMEMBERED:
                seen.popitem(last=False)
        return Verdict.KNOWN if is_known else Verdict.UNKNOWN


def _checked(user: str, text: str) -> bytes:
    if not _HASH.fullmatch(text):
        raise BadInput(
            f"basic_auth_users: what stands for {user!r} is no hash of bcrypt: "
            'write what `htpasswd -nBC 10 ""` prints after the colon'
        )
    return text.encode("ascii")


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """User and password; None: there are none, or they cannot be read."""
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = binascii.a2b_base64(coded.strip(), strict_mode=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon and b"\0" not in password else None
