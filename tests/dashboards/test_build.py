"""`opsd dashboards build`: the same bytes each time, which Prometheus and Alertmanager accept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dashboards.build import build, files
from dashboards.configuration import Site
from opsd.cli import main
from tests.stack.programs import require

GENERATED = Path(__file__).parents[2] / "dashboards" / "generated"


def held(folder: Path) -> dict[str, str]:
    """Files below a folder, by path."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in found}


@pytest.mark.golden
def test_what_is_committed_is_what_is_built() -> None:
    """A review reads the difference; `make golden` and `make dashboards` write it."""
    if os.environ.get("OPSD_GOLDEN"):
        build(GENERATED)
    assert held(GENERATED) == files(), "run: make dashboards"


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    """In another process, with other hashes."""
    script = (
        "import sys; from pathlib import Path; from dashboards.build import build; build(Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):
        command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / seed)]
        subprocess.run(command, check=True, cwd=GENERATED.parents[1], env={"PYTHONHASHSEED": seed})

    assert held(tmp_path / "1") == held(tmp_path / "2") == files()


@pytest.mark.prometheus
def test_prometheus_accepts_it(tmp_path: Path) -> None:
    """Configuration and rules, as promtool reads them; a warning would be an error."""
    promtool = require("promtool")
    build(tmp_path)

    for command in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint-fatal", "rules/opsd-recorded.yml", "rules/opsd.yml"],
    ):
        ran = subprocess.run([promtool, *command], cwd=tmp_path, check=False, capture_output=True, text=True)
        assert (0, "") == (ran.returncode, ran.stderr), ran.stdout


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("audience=allocations", "country=ES", "severity=warning"), "allocations"),
        (("audience=allocations", "country=PT", "severity=warning"), "allocations-pt"),
        (("audience=operations", "node=acc01", "severity=critical"), "on-call"),
        (("audience=operations", "node=acc01", "severity=warning"), "operations"),
    ],
)
def test_alerts_reach_those_they_concern(labels: tuple[str, ...], receiver: str, tmp_path: Path) -> None:
    """By Alertmanager's own routing: allocations by country, machines by severity."""
    amtool = require("amtool")
    build(tmp_path)
    command = [
        amtool,
        "config",
        "routes",
        "test",
        "--config.file",
        str(tmp_path / "alertmanager.yml"),
        *labels,
    ]

    ran = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (0, receiver) == (ran.returncode, ran.stdout.strip()), ran.stderr


def test_the_site_stands_in_the_configurations(tmp_path: Path) -> None:
    """Each address is where it is used."""
    site = Site(
        targets="/srv/targets", alertmanager="am:1", receiver="http://hook:2/x", prometheus="http://prom:3",
        boards="/srv/boards",
    )  # fmt: skip
    build(tmp_path, site)
    prometheus = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    alertmanager = yaml.safe_load((tmp_path / "alertmanager.yml").read_text())
    grafana = tmp_path / "grafana" / "provisioning"

    assert ["am:1"] == prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert [["/srv/targets/daemon.json"], ["/srv/targets/nodes.json"]] == [
        job["file_sd_configs"][0]["files"] for job in prometheus["scrape_configs"]
    ]
    assert {"http://hook:2/x"} == {
        it["webhook_configs"][0]["url"].rpartition("/")[0] for it in alertmanager["receivers"]
    }
    sources = yaml.safe_load((grafana / "datasources" / "opsd.yml").read_text())["datasources"]
    providers = yaml.safe_load((grafana / "dashboards" / "opsd.yml").read_text())["providers"]
    assert ["http://prom:3"] == [it["url"] for it in sources]
    assert ["/srv/boards"] == [it["options"]["path"] for it in providers]


def test_the_command_lists_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names on stdout; links begin with the addresses that were given."""
    command = ["dashboards", "build", "--to", str(tmp_path / "made")]

    assert 0 == main(
        [*command, "--grafana", "https://g.example.org/", "--runbook", "https://d.example.org/r"]
    )

    assert sorted(files()) == sorted(capsys.readouterr().out.splitlines())
    rules = (tmp_path / "made" / "rules" / "opsd.yml").read_text()
    assert "https://g.example.org/d/opsd-allocations?" in rules
    assert "https://d.example.org/r#opsdgpulost" in rules


def test_lists_of_targets_are_kept(tmp_path: Path) -> None:
    """Building again after an update does not forget the site's nodes."""
    build(tmp_path)
    mine = json.dumps([{"targets": ["acc01:9751"], "labels": {"cluster": "mn5", "node": "acc01"}}])
    (tmp_path / "targets" / "nodes.json").write_text(mine)

    build(tmp_path)

    assert mine == (tmp_path / "targets" / "nodes.json").read_text()


def test_a_dashboard_that_is_made_no_longer_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Grafana would go on showing it, with panels that ask for what is gone."""
    command = ["dashboards", "build", "--to", str(tmp_path)]
    assert 0 == main(command)
    assert "warning" not in capsys.readouterr().err
    old = tmp_path / "grafana" / "dashboards" / "opsd-old.json"
    old.write_text("{}")

    assert 0 == main(command)

    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert [
        f"opsd: warning: {old}: this version does not make it, and Grafana shows it all the same: remove it"
    ] == said
    assert old.exists()


@pytest.mark.parametrize("option", ["--grafana", "--runbook"])
@pytest.mark.parametrize(
    "url", ["grafana.example.org", "https://", "http://[", "https://g/?org=1", "https://g/#top"]
)
def test_links_need_a_whole_address(
    option: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written whose links would lead nowhere."""
    assert 2 == main(["dashboards", "build", "--to", str(tmp_path), option, url])

    assert f"{option} {url!r}: not an address" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the file, why, and what to do."""
    (tmp_path / "file").write_text("")

    assert 1 == main(["dashboards", "build", "--to", str(tmp_path / "file")])

    said = capsys.readouterr().err
    assert "file/grafana/dashboards" in said
    assert "choose another folder with --to" in said


def test_without_the_sdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the extra to install."""
    for name in [it for it in sys.modules if it.startswith(("dashboards", "grafana_foundation_sdk"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grafana_foundation_sdk", None)

    assert 1 == main(["dashboards", "build", "--to", str(tmp_path)])

    assert "install opsd-hpc[dashboards]" in capsys.readouterr().err
