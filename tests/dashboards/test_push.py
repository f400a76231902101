"""`opsd dashboards push`: Grafana holds what is built, once; and says in plain words why not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import configuration
from dashboards.build import boards
from dashboards.configuration import Site
from dashboards.push import FOLDER_UID, Change, PushFailed, is_loopback, push
from dashboards.uids import ALLOCATIONS, DATASOURCE, WASTE
from opsd.cli import main
from tests.fakes.grafana import TOKEN, VERSIONS, Grafana
from tests.stack.programs import free_port

BOARDS = boards()
UID = ALLOCATIONS
FEW = {uid: BOARDS[uid] for uid in (WASTE, UID)}
UIDS = list(FEW)
TITLE = "Allocations"
ALL = ["folder opsd", *(f"dashboard {board['title']}" for board in BOARDS.values())]
PROMETHEUS = "http://prometheus.example:9090"


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    """An empty Grafana."""
    with Grafana() as server:
        yield server


@pytest.fixture(params=VERSIONS)
def any_grafana(request: pytest.FixtureRequest) -> Iterator[Grafana]:
    """One of each version."""
    with Grafana(version=request.param) as server:
        yield server


def pushed(grafana: Grafana, *, title: str = "opsd", **options: Any) -> list[str]:
    """What a push says it did to each thing."""
    return [it.done for it in push(grafana.url, TOKEN, title, FEW, **options)]


def each(folder: str, **of: str) -> list[str]:
    """The outcome of the folder, and of every dashboard: unchanged, but for those named by uid."""
    return [folder, *(of.get(uid.replace("-", "_"), "unchanged") for uid in UIDS)]


CREATED = ["created"] * (1 + len(UIDS))


def test_the_first_push_makes_everything(any_grafana: Grafana) -> None:
    """The folder, and in it every dashboard as built."""
    grafana = any_grafana
    assert ["created"] * 10 == [it.done for it in push(grafana.url, TOKEN, "opsd", BOARDS)]

    assert "opsd" == grafana.folders[FOLDER_UID]["title"]
    assert 9 == len(grafana.boards)
    for uid, stored in grafana.boards.items():
        assert FOLDER_UID == stored["meta"]["folderUid"]
        assert BOARDS[uid]["panels"] == stored["dashboard"]["panels"]


def test_the_second_push_writes_nothing(any_grafana: Grafana) -> None:
    """Not even a new version of the same; whatever Grafana itself adds to what it keeps."""
    grafana = any_grafana
    pushed(grafana, prometheus=PROMETHEUS)
    before = list(grafana.writes)

    assert {"unchanged"} == set(pushed(grafana, prometheus=PROMETHEUS, prune=True))
    assert before == grafana.writes


def test_what_somebody_changed_is_put_right(any_grafana: Grafana) -> None:
    """As a new version, so that Grafana keeps theirs; a moved dashboard comes back, too."""
    grafana = any_grafana
    pushed(grafana)
    grafana.boards[UID]["dashboard"] |= {"title": "Mine", "version": 5}
    grafana.boards[UID]["meta"]["folderUid"] = "elsewhere"

    assert each("unchanged", opsd_allocations="updated") == pushed(grafana)

    assert TITLE == grafana.boards[UID]["dashboard"]["title"]
    assert 6 == grafana.boards[UID]["dashboard"]["version"]
    assert FOLDER_UID == grafana.boards[UID]["meta"]["folderUid"]


def test_what_is_overwritten_is_shown_before_it_is(any_grafana: Grafana) -> None:
    """Panel by panel, what goes and what comes: titles, queries, what was added, what was taken away."""
    grafana = any_grafana
    pushed(grafana)
    held = grafana.boards[UID]
    board = held["dashboard"] = json.loads(json.dumps(held["dashboard"]))
    held["meta"]["folderUid"] = "elsewhere"
    first, second, third = [panel for panel in board["panels"] if panel.get("targets")][:3]
    kept = {panel["id"]: panel["title"] for panel in board["panels"]}
    query = first["targets"][0]["expr"]
    first["title"], first["targets"][0]["expr"] = "My title", "sum(mine)"
    second["gridPos"]["h"] += 1
    board["panels"].remove(third)
    board["panels"].append({"id": 999, "title": "My panel", "type": "text"})
    board["refresh"] = "5s"
    told: list[Change] = []
    before = len(grafana.writes)

    def tell(change: Change) -> None:
        assert before == len(grafana.writes)
        told.append(change)

    assert "updated" in pushed(grafana, tell=tell)

    (change,) = (it for it in told if it.done == "updated")
    lines, height = "\n".join(change.lines), second["gridPos"]["h"]
    assert (
        f"""\
moved in Grafana to elsewhere: comes back
refresh:
  - 5s
  + {BOARDS[UID]["refresh"]}
panel {first["id"]} {kept[first["id"]]!r}:
  targets[{first["targets"][0]["refId"]}].expr:
    - sum(mine)
"""
        in lines + "\n"
    )
    assert "".join(f"    + {line}\n" for line in query.splitlines() if len(line) <= 160) in lines + "\n"
    assert f"  title:\n    - My title\n    + {kept[first['id']]}" in lines
    assert (
        f"panel {second['id']} {kept[second['id']]!r}:\n  gridPos.h:\n    - {height}\n    + {height - 1}"
        in lines
    )
    assert f"panel {third['id']} {kept[third['id']]!r}: was taken away in Grafana, comes back" in lines
    assert "panel 999 'My panel': is in Grafana alone, goes away" in lines


def test_a_dashboard_that_grafana_keeps_in_its_newer_form() -> None:
    """Saved in the editor of 13, it has no panels: it is replaced as a whole, by its version."""
    with Grafana(version=13) as grafana:
        pushed(grafana)
        spec = {"title": TITLE, "elements": {}, "version": 7}
        grafana.boards[UID]["dashboard"] = spec | {"uid": UID, "id": 17}
        told: list[Change] = []

        assert each("unchanged", opsd_allocations="updated") == pushed(grafana, tell=told.append)
        assert ("kept by Grafana in its newer form: replaced as a whole",) in [it.lines for it in told]
        assert BOARDS[UID]["panels"] == grafana.boards[UID]["dashboard"]["panels"]


def test_a_folder_is_renamed(any_grafana: Grafana) -> None:
    """grafana.folder is its title; its uid stays."""
    grafana = any_grafana
    pushed(grafana)

    assert each("updated") == pushed(grafana, title="Operations")
    assert "Operations" == grafana.folders[FOLDER_UID]["title"]


def test_a_dry_run_writes_nothing(any_grafana: Grafana) -> None:
    """It says what would be done, before and after a change."""
    grafana = any_grafana
    assert ["created", *CREATED] == pushed(grafana, dry_run=True, prometheus=PROMETHEUS)
    assert [] == grafana.writes
    pushed(grafana)
    grafana.boards[UID]["dashboard"]["title"] = "Mine"
    grafana.boards["opsd-old"] = old_board()
    before = list(grafana.writes)

    assert [*each("updated", opsd_allocations="updated"), "removed"] == pushed(
        grafana, dry_run=True, title="Other", prune=True
    )
    assert before == grafana.writes


# ---------------------------------------------------------------------------------------- what is left over


def old_board(folder: str = FOLDER_UID, tag: str = "opsd") -> dict[str, Any]:
    """A dashboard that is made no longer."""
    return {
        "dashboard": {"title": "Old", "tags": [tag], "version": 1, "id": 3},
        "meta": {"folderUid": folder, "version": 1},
    }


def test_what_is_made_no_longer_stays_until_told_otherwise(any_grafana: Grafana) -> None:
    """It is named; --prune removes it, and nobody else's: of another folder, tag or name."""
    grafana = any_grafana
    pushed(grafana)
    others = {
        "opsd-elsewhere": old_board(folder="mine"), "opsd-untagged": old_board(tag="mine"),
        "kjs7sd": old_board(),
    }  # fmt: skip
    grafana.boards |= {"opsd-old": old_board(), **others}

    assert [*each("unchanged"), "left over"] == pushed(grafana)
    assert "opsd-old" in grafana.boards
    assert [*each("unchanged"), "removed"] == pushed(grafana, prune=True)
    assert {*UIDS, *others} == set(grafana.boards)


def test_what_is_left_over_but_comes_from_files(grafana: Grafana) -> None:
    """Grafana does not remove it: the message says who can."""
    pushed(grafana)
    grafana.boards["opsd-old"] = old_board()
    grafana.provisioned.add("opsd-old")

    with pytest.raises(
        PushFailed, match=r"dashboard Old .*cannot be deleted \(400\): Grafana reads it from files"
    ):
        pushed(grafana, prune=True)


# ----------------------------------------------------------------------------------------- the data source


def test_the_data_source_is_made_where_asked_for(grafana: Grafana) -> None:
    """As the provisioning file has it; without an address it is nobody's business."""
    pushed(grafana)
    assert {} == grafana.sources
    assert [*each("unchanged")[:1], "created", *each("")[1:]] == pushed(grafana, prometheus=PROMETHEUS)

    (file,) = yaml.safe_load(configuration.grafana(Site(prometheus=PROMETHEUS))["datasources/opsd.yml"])[
        "datasources"
    ]
    held = grafana.sources[DATASOURCE]
    assert file == {key: held[key] for key in file}


def test_only_what_is_ours_is_changed(any_grafana: Grafana) -> None:
    """The address is put right; the name, a login, its secret and other options stay."""
    grafana = any_grafana
    pushed(grafana, prometheus="http://old.example:9090")
    theirs = {"name": "Prometheus", "basicAuth": True, "basicAuthUser": "grafana", "isDefault": True}
    grafana.sources[DATASOURCE] |= theirs
    grafana.sources[DATASOURCE]["jsonData"] |= {"timeInterval": "1m", "customQueryParameters": "x=1"}
    grafana.secrets[DATASOURCE] = {"basicAuthPassword": "hunter2"}
    told: list[Change] = []

    assert "updated" == pushed(grafana, prometheus=PROMETHEUS, tell=told.append)[1]

    held = grafana.sources[DATASOURCE]
    assert theirs == {key: held[key] for key in theirs}
    assert {"timeInterval": "15s", "httpMethod": "POST", "customQueryParameters": "x=1"} == held["jsonData"]
    assert {"basicAuthPassword": "hunter2"} == grafana.secrets[DATASOURCE]
    assert (
        "url:", "  - http://old.example:9090", f"  + {PROMETHEUS}", "timeInterval:", "  - 1m", "  + 15s",
    ) == told[1].lines  # fmt: skip
    assert "unchanged" == pushed(grafana, prometheus=PROMETHEUS)[1]


def test_a_data_source_that_comes_from_a_file(grafana: Grafana) -> None:
    """It is left alone where it is right, and else the message says where to change it."""
    pushed(grafana, prometheus=PROMETHEUS)
    grafana.provisioned.add(DATASOURCE)

    assert "unchanged" == pushed(grafana, prometheus=PROMETHEUS)[1]
    with pytest.raises(
        PushFailed, match=r"data source .*read-only data source \(403\): Grafana reads it from files"
    ):
        pushed(grafana, prometheus="http://new.example:9090")


def test_a_data_source_of_the_same_name(grafana: Grafana) -> None:
    """It is another one: nothing of it is changed."""
    grafana.sources["theirs"] = {"name": "opsd Prometheus", "url": "http://theirs.example"}

    with pytest.raises(PushFailed, match=r"data source .*already exists \(409\): .*another one has its name"):
        pushed(grafana, prometheus=PROMETHEUS)
    assert {"theirs": {"name": "opsd Prometheus", "url": "http://theirs.example"}} == grafana.sources


def test_a_token_that_may_not_touch_data_sources(grafana: Grafana) -> None:
    """That takes another role than dashboards do."""
    pushed(grafana)
    grafana.fail_writes = (403, "application/json", '{"message": "You need permissions"}')

    with pytest.raises(PushFailed, match=r"data source .*its service account needs the role Admin"):
        pushed(grafana, prometheus=PROMETHEUS)


# ------------------------------------------------------------------------------------------------- failures


def test_a_grafana_below_a_path() -> None:
    """`https://host/grafana/` is as good as a host of its own."""
    with Grafana("/some/grafana") as server:
        assert CREATED == [it.done for it in push(f"{server.url}/", TOKEN, "opsd", FEW)]


def test_a_wrong_token(grafana: Grafana) -> None:
    """The message says what to do, and does not show the token."""
    with pytest.raises(
        PushFailed, match="the token is not accepted: make one for a service account"
    ) as found:
        push(grafana.url, "hunter2", "opsd", FEW)

    assert "hunter2" not in str(found.value)
    assert {} == grafana.folders


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, '{"message": "Access denied"}', r"Access denied \(403\): .*needs the role Editor"),
        (404, '{"message": "folder not found"}', r"folder not found \(404\): .*the root of a Grafana"),
        (409, '{"message": "already exists"}', r"already exists \(409\): .*another one has its name or uid"),
        (
            412,
            '{"message": "changed by someone else", "status": "version-mismatch"}',
            r"changed by someone else \(412\): somebody has saved it meanwhile.*then push again",
        ),
        (
            412,
            '{"message": "same uid", "status": "name-exists"}',
            r"same uid \(412\): another one has its name",
        ),
        (
            412,
            '{"message": "The dashboard belongs to plugin X.", "status": "plugin-dashboard"}',
            r"\(412\): it belongs to a plugin of Grafana",
        ),
        (
            400,
            '{"message": "Cannot save provisioned dashboard"}',
            r"Cannot save provisioned dashboard \(400\): Grafana reads it from files",
        ),
        (413, '{"message": "Dashboard is too large"}', r"too large \(413\): Grafana's log may say more"),
        (500, '{"message": "database is locked"}', r"database is locked \(500\): Grafana's log says why"),
        (502, "<html>bad\ngateway</html>", r"502: <html>bad gateway</html> \(502\): Grafana's log says why"),
    ],
)
def test_a_write_that_is_refused(grafana: Grafana, status: int, body: str, expected: str) -> None:
    """The folder or dashboard, Grafana's own words, and what to do."""
    grafana.fail_writes = (status, "application/json", body)

    with pytest.raises(PushFailed, match=f"127.0.0.1.*: folder opsd: .*{expected}"):
        push(grafana.url, TOKEN, "opsd", FEW)


def test_somebody_saves_between_look_and_write(any_grafana: Grafana, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their version is not overwritten unseen."""
    grafana = any_grafana
    pushed(grafana)
    grafana.boards[UID]["dashboard"]["title"] = "Mine"
    save = grafana._save

    def saved_before(body: dict[str, object]) -> tuple[int, object]:
        grafana.boards[UID]["dashboard"]["version"] += 1
        return save(body)

    monkeypatch.setattr(grafana, "_save", saved_before)

    with pytest.raises(PushFailed, match=r"dashboard Allocations: .*somebody has saved it meanwhile"):
        pushed(grafana)
    assert "Mine" == grafana.boards[UID]["dashboard"]["title"]


def test_a_dashboard_that_comes_from_a_file(any_grafana: Grafana) -> None:
    """Grafana does not take another one: the message says what to do."""
    grafana = any_grafana
    pushed(grafana)
    grafana.provisioned.add(UID)
    assert {"unchanged"} == set(pushed(grafana))
    grafana.boards[UID]["dashboard"]["title"] = "Mine"

    with pytest.raises(
        PushFailed, match=r"Cannot save provisioned dashboard \(400\): Grafana reads it from files"
    ):
        pushed(grafana)


def test_a_login_page_before_grafana(grafana: Grafana) -> None:
    """A redirect is not followed: neither the token nor a dashboard goes anywhere else."""
    with Grafana() as elsewhere:
        grafana.redirect = f"{elsewhere.url}/login"
        with pytest.raises(PushFailed, match=r"it sends us elsewhere: .*A login page or proxy"):
            pushed(grafana)
        assert ([], {}) == (elsewhere.writes, elsewhere.boards)


def test_a_write_that_a_login_page_answers(grafana: Grafana) -> None:
    """HTML with 200 is no success."""
    grafana.fail_writes = (200, "text/html", "<html>please log in</html>")

    with pytest.raises(PushFailed, match=r"folder opsd: it answers, but not as Grafana does: .*A login page"):
        pushed(grafana)
    assert {} == grafana.folders


def test_a_grafana_with_a_certificate(certificates: Path) -> None:
    """Of an authority that ca_file names; without it nothing is sent."""
    with Grafana(certificates=certificates) as grafana:
        for ca_file in (None, str(certificates / "other-ca.crt")):
            with pytest.raises(PushFailed, match=r"certificate is not trusted: see .*grafana\.ca_file"):
                pushed(grafana, ca_file=ca_file)
        assert CREATED == pushed(grafana, ca_file=str(certificates / "ca.crt"))


def test_a_certificate_that_is_not_there(grafana: Grafana) -> None:
    """The setting is named."""
    with pytest.raises(PushFailed, match=r"grafana\.ca_file /nowhere\.crt: no such file"):
        pushed(grafana, ca_file="/nowhere.crt")


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
        push(grafana.url, TOKEN, "opsd", FEW)
    assert [] == grafana.writes


def test_a_grafana_that_does_not_answer(grafana: Grafana) -> None:
    """It is given up after the time-out."""
    grafana.delay_seconds = 2.0

    with pytest.raises(PushFailed, match="no answer in time"):
        push(grafana.url, TOKEN, "opsd", FEW, timeout_seconds=0.2)


def test_nobody_listens() -> None:
    """A refused connection comes out in our words, too."""
    with pytest.raises(PushFailed, match="cannot be reached: is Grafana up"):
        push(f"http://127.0.0.1:{free_port()}", TOKEN, "opsd", FEW)


@pytest.mark.parametrize(
    "url", ["grafana.example.org", "ftp://x", "http://", "http://host:port", "http://[1"]
)
def test_what_is_no_address(url: str) -> None:
    """The setting and an example."""
    with pytest.raises(PushFailed, match=r"grafana\.url .*write https://grafana\.example\.org"):
        push(url, TOKEN, "opsd", FEW)


def test_which_addresses_stay_here() -> None:
    """To the others a token should go encrypted."""
    assert is_loopback("http://localhost:3000")
    assert is_loopback("http://127.0.0.2")
    assert is_loopback("http://[::1]:3000")
    assert not is_loopback("http://127.example.org")
    assert not is_loopback("http://grafana")
    assert not is_loopback("http://[::1")


# ----------------------------------------------------------------------------------------------- command


def configured(place: Path, /, **values: str) -> list[str]:
    """The command line with a configuration."""
    config = place / "opsd.toml"
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


@pytest.mark.parametrize("option", [True, False])
def test_prometheus_needs_a_whole_address(
    option: bool, grafana: Grafana, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent; what to mend is named, the option or the setting."""
    wrong = {} if option else {"prometheus": "prom:9090"}
    command = configured(tmp_path, url=grafana.url, token=TOKEN, **wrong)

    assert 2 == main([*command, *(["--prometheus", "prom:9090"] if option else [])])

    named = "--prometheus" if option else "grafana.prometheus"
    assert f"{named} 'prom:9090': not an address: write https://HOST/PATH" in capsys.readouterr().err
    assert [] == grafana.writes


def test_the_folder_has_a_title(grafana: Grafana, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Grafana takes none without; nothing is sent."""
    assert 2 == main(configured(tmp_path, url=grafana.url, token=TOKEN, folder=" "))

    assert "grafana.folder is empty: write its title" in capsys.readouterr().err
    assert [] == grafana.writes


def test_the_command_shows_what_it_overwrites(
    grafana: Grafana, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it does; with the data source of the option or the configuration, and what --prune removes."""
    command = configured(tmp_path, url=grafana.url, token=TOKEN, prometheus="http://a.example:9090")
    main([*command, "--prometheus", "http://b.example:9090"])
    assert "http://b.example:9090" == grafana.sources[DATASOURCE]["url"]
    grafana.boards["opsd-old"] = old_board()
    grafana.boards[UID]["dashboard"]["title"] = "Mine"
    capsys.readouterr()

    assert 0 == main([*command, "--dry-run", "--prune"])
    assert "dashboard Old (opsd-old) would be removed" in capsys.readouterr().out.splitlines()
    assert 0 == main(command)
    out = capsys.readouterr().out
    assert out.startswith(
        """\
data source opsd Prometheus: what goes (-) and what comes (+)
  url:
    - http://b.example:9090
    + http://a.example:9090
dashboard Allocations: what goes (-) and what comes (+)
  title:
    - Mine
    + Allocations
folder opsd unchanged
data source opsd Prometheus updated
"""
    )
    assert "dashboard Old (opsd-old) left over: --prune removes it" in out.splitlines()


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
