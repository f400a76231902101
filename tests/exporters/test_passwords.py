"""Passwords: who is known, what bcrypt is asked, and what a flood of guesses costs."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterator

import bcrypt
import pytest

from exporters import passwords
from exporters.passwords import Passwords, Verdict
from opsd.core.errors import BadInput

SECRET = "correct horse"


def hashed(password: str) -> str:
    """Quick to check."""
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()


def basic(user: str, password: str) -> str:
    """The header of a client."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


class Bcrypt:
    """Counts what is asked of bcrypt, and can hold it up."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.together = 0
        self.most_together = 0
        self.gate = threading.Event()
        self.gate.set()

    def checkpw(self, password: bytes, against: bytes) -> bool:
        """As bcrypt's own."""
        self.asked.append(against)
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        assert self.gate.wait(30)
        self.together -= 1
        return bool(bcrypt.checkpw(password, against))

    def gensalt(self, rounds: int) -> bytes:
        """As bcrypt's own."""
        return bcrypt.gensalt(rounds)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bcrypt]:
    """What bcrypt is asked."""
    counting = Bcrypt()
    monkeypatch.setattr(passwords, "bcrypt", counting)
    monkeypatch.setattr(passwords, "_MOST_PAUSE_SECONDS", 0.0)
    yield counting
    counting.gate.set()


def test_who_is_known() -> None:
    """User and password must fit together; also a hash by htpasswd (2y), and a password with a colon."""
    users = {"ana": hashed(SECRET), "bob": hashed("a:b").replace("$2b$", "$2y$")}
    known = Passwords(users)

    assert Verdict.KNOWN == known.check(basic("ana", SECRET))
    assert Verdict.KNOWN == known.check(basic("bob", "a:b"))
    assert Verdict.KNOWN == known.check(basic("ana", SECRET).replace("Basic", "basic"))
    assert Verdict.UNKNOWN == known.check(basic("bob", SECRET))
    assert Verdict.UNKNOWN == known.check(basic("eve", SECRET))
    assert Verdict.UNKNOWN == known.check(basic("ana", ""))


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ?", "Basic YW5h", "Bearer YW5hOg==", "Basic " + b64encode(b"ana:a\0b").decode()],
)
def test_what_is_no_password(header: str, counted: Bcrypt) -> None:
    """It is refused, and costs nothing."""
    assert Verdict.UNKNOWN == Passwords({"ana": hashed("a")}).check(header)
    assert [] == counted.asked


def test_long_passwords_are_as_bcrypt_has_them() -> None:
    """Only 72 bytes count, as in every program that makes such hashes."""
    known = Passwords({"ana": hashed("ä" * 50)})
    assert Verdict.KNOWN == known.check(basic("ana", "ä" * 50))
    assert Verdict.UNKNOWN == known.check(basic("ana", "ä" * 35))


def test_a_client_is_checked_once(counted: Bcrypt) -> None:
    """A scrape every few seconds must not cost a hash each time, be the password right or wrong."""
    known = Passwords({"ana": hashed(SECRET)})
    for _ in range(3):
        assert Verdict.KNOWN == known.check(basic("ana", SECRET))
        assert Verdict.UNKNOWN == known.check(basic("ana", "wrong"))
    assert 2 == len(counted.asked)


def test_many_guesses_do_not_make_it_forget_who_is_known(counted: Bcrypt) -> None:
    """What is remembered of guesses is bounded, and apart from the right ones."""
    known = Passwords({"ana": hashed(SECRET)})
    known.check(basic("ana", SECRET))
    for number in range(passwords._REMEMBERED + 2):
        known.check(basic("eve", str(number)))
    before = len(counted.asked)
    assert Verdict.KNOWN == known.check(basic("ana", SECRET))
    assert before == len(counted.asked)
    assert passwords._REMEMBERED == len(known._wrong)


def test_an_unknown_user_costs_as_much(counted: Bcrypt) -> None:
    """Bcrypt is asked all the same, at the highest cost of those who are known, and never says yes."""
    users = {"ana": hashed("a"), "bob": bcrypt.hashpw(b"b", bcrypt.gensalt(5)).decode()}
    assert Verdict.UNKNOWN == Passwords(users).check(basic("eve", "a"))
    (against,) = counted.asked
    assert against.startswith(b"$2b$05$")


def test_one_at_a_time_and_a_short_queue(counted: Bcrypt) -> None:
    """However many guess at once, one is checked, a few wait, and all others are told to come back."""
    known = Passwords({"ana": hashed(SECRET)})
    verdicts: list[Verdict] = []
    done = threading.Semaphore(0)

    def guess(number: int) -> None:
        verdicts.append(known.check(basic("eve", str(number))))
        done.release()

    counted.gate.clear()
    threads = [threading.Thread(target=guess, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(20 - passwords._WAITING):  # these are answered while bcrypt is still busy
        assert done.acquire(timeout=30)
    assert [Verdict.BUSY] * (20 - passwords._WAITING) == verdicts
    counted.gate.set()
    for thread in threads:
        thread.join(30)
    assert passwords._WAITING == verdicts.count(Verdict.UNKNOWN)
    assert 1 == counted.most_together


def test_after_a_wrong_one_the_next_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """So guesses take a part of one core and no more; right ones are followed at once."""
    slept: list[float] = []
    monkeypatch.setattr("exporters.passwords.time.sleep", slept.append)
    monkeypatch.setattr("exporters.passwords.time.monotonic", iter(range(100)).__next__)
    monkeypatch.setattr(passwords, "_MOST_PAUSE_SECONDS", 7.5)
    known = Passwords({"ana": hashed("a"), "bob": hashed("b")})
    for user, password in (("ana", "a"), ("bob", "b"), ("eve", "1"), ("eve", "2"), ("bob", "c")):
        known.check(basic(user, password))

    # A check takes from one tick to the next; then comes three times as long, less the tick that went by.
    assert [0.0, 0.0, 0.0, 2.0, 2.0] == slept


@pytest.mark.parametrize(
    "text", ["", "secret", "$2y$10$tooshort", "$1$abc$def", "$2b$03$" + "a" * 53, "$2b$04$" + "a" * 53]
)
def test_what_is_no_hash(text: str) -> None:
    """A password in clear, or a hash of another kind, is refused by its user's name, and not shown."""
    with pytest.raises(BadInput, match="'ana' is no hash of bcrypt") as refused:
        Passwords({"ana": text})
    assert not text or text not in str(refused.value)
