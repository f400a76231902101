"""`opsd dashboards push`: Grafana holds what is built, once; and says in plain words why not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards.build import boards
from dashboards.push import FOLDER_UID, PushFailed, is_loopback, push
from opsd.cli import main
from tests.fakes.grafana import TOKEN, Grafana
from tests.stack.programs import free_port

BOARDS = boards()
(UID,) = BOARDS
ALL = ["folder opsd", "dashboard Allocations and GPUs"]


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    """An empty Grafana."""
    with Grafana() as server:
        yield server


def pushed(grafana: Grafana, *, dry_run: bool = False, title: str = "opsd") -> list[str]:
    """What a push says it did to each thing."""
    return [it.done for it in push(grafana.url, TOKEN, title, BOARDS, dry_run=dry_run)]


def test_the_first_push_makes_everything(grafana: Grafana) -> None:
    """The folder, and in it the dashboard as built."""
    assert ["created", "created"] == pushed(grafana)

    stored = grafana.boards[UID]
    assert "opsd" == grafana.folders[FOLDER_UID]["title"]
    assert FOLDER_UID == stored["meta"]["folderUid"]
    assert BOARDS[UID]["panels"] == stored["dashboard"]["panels"]


def test_the_second_push_writes_nothing(grafana: Grafana) -> None:
    """Not even a new version of the same."""
    pushed(grafana)
    before = list(grafana.writes)

    assert ["unchanged", "unchanged"] == pushed(grafana)
    assert before == grafana.writes


def test_what_somebody_changed_is_put_right(grafana: Grafana) -> None:
    """As a new version, so that Grafana keeps theirs; a moved dashboard comes back, too."""
    pushed(grafana)
    grafana.boards[UID]["dashboard"] |= {"title": "Mine", "version": 5}
    grafana.boards[UID]["meta"]["folderUid"] = "elsewhere"

    assert ["unchanged", "updated"] == pushed(grafana)

    assert "Allocations and GPUs" == grafana.boards[UID]["dashboard"]["title"]
    assert 6 == grafana.boards[UID]["dashboard"]["version"]
    assert FOLDER_UID == grafana.boards[UID]["meta"]["folderUid"]


def test_a_folder_is_renamed(grafana: Grafana) -> None:
    """grafana.folder is its title; its uid stays."""
    pushed(grafana)

    assert ["updated", "unchanged"] == pushed(grafana, title="Operations")
    assert "Operations" == grafana.folders[FOLDER_UID]["title"]


def test_a_dry_run_writes_nothing(grafana: Grafana) -> None:
    """It says what would be done, before and after a change."""
    assert ["created", "created"] == pushed(grafana, dry_run=True)
    assert [] == grafana.writes
    pushed(grafana)
    grafana.boards[UID]["dashboard"]["title"] = "Mine"
    before = list(grafana.writes)

    assert ["updated", "updated"] == pushed(grafana, dry_run=True, title="Other")
    assert before == grafana.writes


def test_a_grafana_below_a_path() -> None:
    """`https://host/grafana/` is as good as a host of its own."""
    with Grafana("/some/grafana") as server:
        assert ["created", "created"] == [it.done for it in push(f"{server.url}/", TOKEN, "opsd", BOARDS)]


def test_a_wrong_token(grafana: Grafana) -> None:
    """The message says what to do, and does not show the token."""
    with pytest.raises(
        PushFailed, match="the token is not accepted: make one for a service account"
    ) as found:
        push(grafana.url, "hunter2", "opsd", BOARDS)

    assert "hunter2" not in str(found.value)
    assert {} == grafana.folders


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, '{"message": "Access denied"}', "Access denied .*needs the role Editor"),
        (412, '{"message": "changed by someone else"}', "changed by someone else .*then push again"),
        (400, '{"message": "Cannot save provisioned dashboard"}', "Cannot save provisioned dashboard"),
        (500, '{"message": "database is locked"}', "database is locked: Grafana's log says why"),
        (502, "<html>bad gateway</html>", "502.*Grafana's log says why"),
    ],
)
def test_a_write_that_is_refused(grafana: Grafana, status: int, body: str, expected: str) -> None:
    """The folder or dashboard, Grafana's own words, and what to do."""
    grafana.fail_writes = (status, "application/json", body)

    with pytest.raises(PushFailed, match=f"127.0.0.1.*: folder opsd: .*{expected}"):
        push(grafana.url, TOKEN, "opsd", BOARDS)


def test_somebody_saves_between_look_and_write(grafana: Grafana, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their version is not overwritten unseen."""
    pushed(grafana)
    grafana.boards[UID]["dashboard"]["title"] = "Mine"
    save = grafana._save

    def saved_before(body: dict[str, object]) -> tuple[int, object]:
        grafana.boards[UID]["dashboard"]["version"] += 1
        return save(body)

    monkeypatch.setattr(grafana, "_save", saved_before)

    with pytest.raises(PushFailed, match="somebody has saved it meanwhile"):
        pushed(grafana)
    assert "Mine" == grafana.boards[UID]["dashboard"]["title"]


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", "<html>welcome</html>"),
        (200, "application/json", "<html>welcome</html>"),
        (200, "application/json", "[]"),
        (200, "application/json", "{}"),
        (404, "text/html", "<html>no such page</html>"),
    ],
)
def test_an_address_that_is_no_grafana(grafana: Grafana, answer: tuple[int, str, str]) -> None:
    """A web page, or another API, is told from an empty Grafana: nothing is written."""
    grafana.fail = answer

    with pytest.raises(PushFailed, match=r"is grafana\.url the root"):
        push(grafana.url, TOKEN, "opsd", BOARDS)
    assert [] == grafana.writes


def test_a_grafana_that_does_not_answer(grafana: Grafana) -> None:
    """It is given up after the time-out."""
    grafana.delay_seconds = 2.0

    with pytest.raises(PushFailed, match="no answer in time"):
        push(grafana.url, TOKEN, "opsd", BOARDS, timeout_seconds=0.2)


def test_nobody_listens() -> None:
    """A refused connection comes out in our words, too."""
    with pytest.raises(PushFailed, match="cannot be reached: is Grafana up"):
        push(f"http://127.0.0.1:{free_port()}", TOKEN, "opsd", BOARDS)


@pytest.mark.parametrize(
    "url", ["grafana.example.org", "ftp://x", "http://", "http://host:port", "http://[1"]
)
def test_what_is_no_address(url: str) -> None:
    """The setting and an example."""
    with pytest.raises(PushFailed, match=r"grafana\.url .*write https://grafana\.example\.org"):
        push(url, TOKEN, "opsd", BOARDS)


def test_which_addresses_stay_here() -> None:
    """To the others a token should go encrypted."""
    assert is_loopback("http://localhost:3000")
    assert is_loopback("http://127.0.0.2")
    assert is_loopback("http://[::1]:3000")
    assert not is_loopback("http://127.example.org")
    assert not is_loopback("http://grafana")
    assert not is_loopback("http://[::1")


# ----------------------------------------------------------------------------------------------- command


def configured(folder: Path, **values: str) -> list[str]:
    """The command line with a configuration."""
    config = folder / "opsd.toml"
    config.write_text("[grafana]\n" + "".join(f'{key} = "{value}"\n' for key, value in values.items()))
    return ["dashboards", "push", "--config", str(config)]


def test_the_command_pushes(grafana: Grafana, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Address, token and folder come from the configuration; it says what it did."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    command = configured(tmp_path, url=grafana.url, token_file=str(tmp_path / "token"))

    assert 0 == main([*command, "--dry-run"])
    assert [f"{it} would be created" for it in ALL] == capsys.readouterr().out.splitlines()
    assert 0 == main(command)
    assert [f"{it} created" for it in ALL] == capsys.readouterr().out.splitlines()
    assert 0 == main([*command, "--dry-run"])
    assert [f"{it} unchanged" for it in ALL] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("values", "missing"), [({}, "url"), ({"url": "http://127.0.0.1:1"}, r"token \(or token_file\)")]
)
def test_a_setting_is_missing(
    values: dict[str, str], missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage: the setting is named."""
    assert 2 == main(configured(tmp_path, **values))

    assert f"[grafana] {missing}".replace("\\", "") in capsys.readouterr().err


def test_a_failure_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a traceback."""
    command = configured(tmp_path, url=f"http://127.0.0.1:{free_port()}", token="t")

    assert 1 == main(command)
    assert 1 == len(capsys.readouterr().err.splitlines())


def test_a_token_over_plain_http(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody on the way could read it: a warning, before the attempt."""
    assert 1 == main(configured(tmp_path, url="http://grafana.invalid", token="t"))

    warning, failure = capsys.readouterr().err.splitlines()
    assert "goes to http://grafana.invalid unencrypted: use https" in warning
    assert "cannot be reached" in failure


def test_without_grafana_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the extra to install."""
    monkeypatch.setitem(sys.modules, "grafana_client", None)
    monkeypatch.setitem(sys.modules, "grafana_client.api", None)

    assert 1 == main(configured(tmp_path, url="http://127.0.0.1:1", token="t"))
    assert "install opsd-hpc[grafana]" in capsys.readouterr().err
