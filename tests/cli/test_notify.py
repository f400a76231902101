"""`opsd notify` on a command line, and the daemon's step of that name, before a real mail server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exporters.mail import Server
from opsd import config
from opsd.cli import main
from opsd.core.errors import BadInput
from opsd.core.period import DAY, isoformat
from opsd.daemon import named, post
from opsd.daemon.runner import Runner, World
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.fakes import books
from tests.fakes.books import KNOWN, NOW, T
from tests.fakes.post import MailServer
from tests.pipeline.test_notify import ANA, FCT, RUI, add

AS_OF = ("--as-of", isoformat(NOW))
RECENT = int(time.time()) // DAY * DAY  # the command sends as of the machine's clock
TO = "office@fct.example", "rui@fct.example"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Award `small` is over quota, and its report is due: both are news of today."""
    path = tmp_path_factory.mktemp("notify") / "filled.db"
    store = open_engine(sqlite_address(path))
    books.fill(store)
    small = replace(KNOWN.awards["small"], start=T - 700 * DAY, report_due=RECENT + 30 * DAY)
    add(store, ANA, RUI, FCT, small, replace(KNOWN.awards["large"], start=T - 700 * DAY))
    store.close()
    return path


@pytest.fixture
def url(tmp_path: Path, filled: Path) -> str:
    """The address of a copy."""
    return sqlite_address(Path(shutil.copy(filled, tmp_path / "opsd.db")))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """It, opened."""
    found = open_engine(url)
    yield found
    found.close()


@pytest.fixture
def server() -> Iterator[MailServer]:
    """Where letters go."""
    with MailServer() as found:
        yield found


def configured(folder: Path, port: int, *more: str) -> list[str]:
    """The option that names a configuration with a mail server."""
    path = folder / "opsd.toml"
    lines = ['[mail]\nhost = "127.0.0.1"\ntls = "none"', f"port = {port}", *more]
    path.write_text("\n".join([*lines, 'sender = "AI Factory <opsd@site.example>"', ""]))
    return ["--config", str(path)]


def test_a_dry_run_needs_no_mail_server(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Who would be told what, and how much is no news."""
    assert 0 == main(["--db", url, "notify", "--dry-run", *AS_OF])

    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()[3:]]
    assert [(to, "small:", "over", "send") for to in TO] == [(*row[:3], row[-1]) for row in rows]
    assert "3 notices older than a week, or said by another: not sent\n" == err
    assert not list(Path(url.removeprefix("sqlite:///")).parent.glob("*-sender"))


def test_the_whole_letter(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one award, or of all with -v."""
    for options in (["--award", "small"], ["-v"]):
        main(["--db", url, "notify", "--dry-run", *AS_OF, *options])

        out = capsys.readouterr().out
        assert 2 == out.count("More is used than was granted to this award.")
        assert "Questions: answer this mail\n" in out  # nobody knows yet from whom
        assert "To: Rui Conceição <rui@fct.example>\nSubject: [Mini] small: over quota by 2.00" in out


def test_rows_for_programs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as objects."""
    main(["--db", url, "notify", "--dry-run", *AS_OF, "--format", "json"])

    assert {
        "award": "small", "project": "climate", "kind": "over", "mark": "of 10", "recipient": TO[0],
        "outcome": "send", "why": "", "subject": "[Mini] small: over quota by 2.00 GPU-hours",
    } == json.loads(capsys.readouterr().out)[0]  # fmt: skip


def test_nothing_to_tell(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That is said."""
    assert 0 == main(["--db", url, "notify", "--dry-run", "--award", "large"])
    assert "nothing to tell anybody" in capsys.readouterr().out


@pytest.mark.parametrize(("line", "missing"), [("", "host"), ('host = "mail.example.org"', "sender")])
def test_without_a_mail_server(
    line: str, missing: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage: the setting is named."""
    path = tmp_path / "opsd.toml"
    path.write_text(f"[mail]\n{line}\n")

    assert 2 == main(["--db", url, "--config", str(path), "notify"])
    assert f"[mail] {missing} is not set" in capsys.readouterr().err


def test_an_instant_is_for_dry_runs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is told today how things were."""
    assert 2 == main(["--db", url, "notify", *AS_OF])
    assert "--as-of: what is sent is sent now: add --dry-run" in capsys.readouterr().err


def test_people_are_told_once(
    url: str, tmp_path: Path, server: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is news today; the second run has nothing to say."""
    command = ["--db", url, *configured(tmp_path, server.port), "notify"]

    assert 0 == main(command)
    assert 1 == capsys.readouterr().out.count(" sent")
    assert 0 == main(command)
    assert "nothing to tell anybody" in capsys.readouterr().out
    ((to, letter),) = server.letters
    assert ("rui@fct.example", "AI Factory <opsd@site.example>") == (to, letter["From"])
    assert str(letter["Subject"]).startswith("[Mini] small: its report is due in ")


def test_who_cannot_be_told(
    url: str, tmp_path: Path, server: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address that is refused needs eyes: exit code 3."""
    server.refuse["rui@fct.example"] = "550 5.1.1 no such user"

    assert 3 == main(["--db", url, *configured(tmp_path, server.port), "notify"])
    assert "warning: rui@fct.example: 550 5.1.1 no such user: not tried again" in capsys.readouterr().err


def test_nobody_to_tell(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """So does a project without contacts."""
    add(store, replace(RUI, email=""), replace(FCT, email=""))

    assert 3 == main(["--db", url, "notify", "--dry-run", *AS_OF, "-v"])
    out, err = capsys.readouterr()
    assert "\nTo: nobody\nSubject: [Mini] small: over quota by" in out
    assert "warning: award small: no contact of climate or its organisation has a mail address: add a" in err


def test_a_server_that_is_away(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; what waits is shown."""
    assert 1 == main(["--db", url, *configured(tmp_path, 1), "notify"])

    out, err = capsys.readouterr()
    assert "waiting" in out
    assert "opsd: mail server 127.0.0.1:1: cannot be used" in err
    assert err.rstrip().endswith("1 letter will be sent later")


def test_killed_before_it_heard_that_a_letter_was_taken(url: str, tmp_path: Path, server: MailServer) -> None:
    """kill -9: the next run sends it once more under the same Message-ID; no other run does."""
    command = [sys.executable, "-m", "opsd", "--db", url, *configured(tmp_path, server.port), "notify"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"})
    server.before_reply = lambda: os.kill(process.pid, signal.SIGKILL)
    assert -signal.SIGKILL == process.wait(60)
    server.before_reply = lambda: None

    for _ in range(2):
        assert 0 == main(command[3:])
    first, second = (str(letter["Message-ID"]) for _, letter in server.letters)
    assert first == second


# ------------------------------------------------------------------------------------------------- the daemon


def step(store: Store, mail: config.Mail, now: int = NOW) -> tuple[str, str, list[str]]:
    """How the step ends in a daemon with these settings, and its samples."""
    runner = Runner(
        World(store, (), config.Settings(store.shown, "test", mail=mail), lambda: now, lambda: now)
    )
    ended = runner.run(named(["notify"])[0])
    _, pages = runner.seen({})
    lines = [line for page in pages for line in page.plain.decode().splitlines() if line[0] != "#"]
    return ended.result, ended.message, lines


def mail(port: int) -> config.Mail:
    """Settings of a server on this machine."""
    return config.Mail("127.0.0.1", port, "none", sender="opsd@site.example")


def test_the_daemon_tells_people(store: Store, server: MailServer) -> None:
    """Once; the page says that nothing waits."""
    for _ in range(2):
        assert ("ok", "", ["opsd_notices_waiting 0.0"]) == step(store, mail(server.port))
    assert list(TO) == [to for to, _ in server.letters]


def test_a_daemon_without_a_mail_server(store: Store) -> None:
    """The step has nothing to do, and no page says that all is well."""
    assert ("ok", "", []) == step(store, config.Mail())


def test_a_daemon_whose_mail_server_is_away(store: Store) -> None:
    """The step has failed and says why; its page tells how many letters wait."""
    result, message, lines = step(store, mail(1))

    assert ("failed", ["opsd_notices_waiting 2.0"]) == (result, lines)
    assert message.startswith("mail server 127.0.0.1:1: cannot be used")


def test_a_daemon_with_a_setting_that_makes_no_sense(store: Store) -> None:
    """It is named where failures of steps are."""
    result, message, lines = step(store, replace(mail(1), tls="ssl"))

    assert ("failed", []) == (result, lines)
    assert "mail.tls 'ssl'" in message


def test_settings_become_a_server() -> None:
    """Each in its place; a sender that is none is refused."""
    asked = config.Mail(
        "mail.example.org", 2525, "starttls", None, "opsd", "x", "opsd@example.org", None, timeout_seconds=7
    )
    assert Server("mail.example.org", 2525, "starttls", "opsd", "x", None, 7) == post.server(asked)
    assert ("mail server mail.example.org:2525", "example.org") == (
        post.server(asked).shown, post.sender(asked).domain,
    )  # fmt: skip
    with pytest.raises(BadInput, match=r"mail\.sender"):
        post.server(replace(asked, sender="opsd"))
