"""The configuration file: what stands in it is in force, and what cannot be right is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from opsd import config
from opsd.config import Settings, settings
from opsd.core.errors import BadInput

Written = Callable[[str], Settings]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """The settings of a configuration file with this text."""

    def read(text: str) -> Settings:
        path = tmp_path / "opsd.toml"
        path.write_text(text, encoding="utf-8")
        return settings(config=str(path), environ={"HOME": str(tmp_path)})

    return read


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    """Slurm from PATH, everything on the loopback, nothing secret."""
    found = settings("sqlite:////x.db", environ={})

    assert Settings("sqlite:////x.db", "--db") == found
    assert ("127.0.0.1:9750", "127.0.0.1:8750", None) == (
        found.daemon.listen_address, found.web.listen_address, found.grafana.token
    )  # fmt: skip


def test_every_section_is_read(written: Written) -> None:
    """What is written is in force, and the rest keeps its default."""
    found = written(
        '[database]\nurl = "sqlite:////y.db"\n'
        '[slurm]\nbin = "/opt/slurm/bin"\nconf = "/etc/slurm.conf"\ntimeout_seconds = 60\n'
        'since = "2026-01-01"\nwindow_hours = 24\n'
        '[daemon]\nlisten_address = ":9999"\nweb_config = "/etc/web.yml"\ningest_seconds = 120\n'
        '[web]\nlisten_address = ":8888"\n'
        '[grafana]\nurl = "https://grafana.example.org"\ntoken = "t"\nfolder = "factory"\n'
    )

    assert config.Slurm("/opt/slurm/bin", "/etc/slurm.conf", 60, "2026-01-01", 24) == found.slurm
    assert config.Daemon(":9999", "/etc/web.yml", 120, 60) == found.daemon
    assert config.Web(":8888") == found.web
    assert config.Grafana("https://grafana.example.org", "t", "factory") == found.grafana


def test_another_database_keeps_the_rest(tmp_path: Path) -> None:
    """`--db` beside a configuration names the database alone."""
    path = tmp_path / "opsd.toml"
    path.write_text('[database]\nurl = "sqlite:////y.db"\n[daemon]\ningest_seconds = 7\n')
    found = settings("sqlite:////x.db", str(path), environ={})

    assert ("sqlite:////x.db", 7) == (found.database_url, found.daemon.ingest_seconds)


def test_a_token_in_a_file_of_its_own(written: Written, tmp_path: Path) -> None:
    """It is read, and never shown."""
    secret = tmp_path / "token"
    secret.write_text("hidden\n")
    found = written(f'[grafana]\ntoken_file = "{secret}"\n')

    assert "hidden" == found.grafana.token
    assert "hidden" not in repr(found)


def test_clusters_override_what_all_have_in_common(written: Written, tmp_path: Path) -> None:
    """Each begins as [slurm] says; a database of its own replaces the common one, however written."""
    (tmp_path / "url").write_text("mysql://opsd:secret@far/slurm\n")
    found = written(
        '[slurm]\nbin = "/opt/slurm/bin"\nsince = "2026-01-01"\nwindow_hours = 24\n'
        'database_url = "mysql://common/slurm"\n'
        f'[clusters.far]\nconf = "/etc/far.conf"\ndatabase_url_file = "{tmp_path}/url"\n'
        '[clusters.lab]\nsince = "3 days"\n'
    )

    assert {
        "far": config.Slurm(
            "/opt/slurm/bin",
            "/etc/far.conf",
            300,
            "2026-01-01",
            24,
            database_url="mysql://opsd:secret@far/slurm",
        ),
        "lab": config.Slurm("/opt/slurm/bin", None, 300, "3 days", 24, database_url="mysql://common/slurm"),
    } == found.clusters
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[clusters.far]\nwindow_hours = 3\n", r"clusters\.far\.window_hours is the same .* \[slurm\]"),
        ("[cluster.far]\n", r"unknown section \[cluster\]; did you mean 'clusters'\?"),
        ("[clusters.far]\nbinn = 3\n", r"unknown key clusters\.far\.binn; did you mean 'bin'\?"),
        (
            "[clusters.far]\nzzz = 3\n",
            r"unknown key clusters\.far\.zzz; keys: bin conf since timezone database_url database_url_file$",
        ),
        (
            "[zzz]\n",
            r"unknown section \[zzz\]; sections: database slurm daemon web nodes mail grafana clusters\.NAME$",  # noqa: E501
        ),
        ("[clusters]\nbin = 'x'\n", r"clusters\.bin must be a section: write \[clusters\.NAME\]"),
        ("[clusters.'a b']\nsince = '3 days'\n", r"\[clusters\.a b\]: no name of a cluster: 'a b'"),
        ("[slurn]\n", r"unknown section \[slurn\]; did you mean 'slurm'\?"),
        (
            "[daemon]\ningest_second = 3\n",
            r"unknown key daemon\.ingest_second; did you mean 'ingest_seconds'\?",
        ),
        ('[daemon]\ningest_seconds = "3"\n', r"daemon\.ingest_seconds must be a whole number, not '3'"),
        ("[daemon]\ningest_seconds = 3.5\n", r"daemon\.ingest_seconds must be a whole number, not 3\.5"),
        ("[daemon]\ningest_seconds = true\n", r"daemon\.ingest_seconds must be a whole number, not True"),
        ("[daemon]\nbalances_seconds = 0\n", r"daemon\.balances_seconds must be above 0, not 0"),
        (
            "[slurm]\ntimeout_seconds = 99999999999\n",
            r"slurm\.timeout_seconds must be at most 100,000,000, not 99999999999",
        ),
        ('[slurm]\nbin = "a\\u0000b"\n', r"slurm\.bin must not hold a NUL: 'a\\x00b'"),
        ("[slurm]\ntimeout_seconds = -1\n", r"slurm\.timeout_seconds must be above 0, not -1"),
        ("[web]\nlisten_address = 8750\n", r"web\.listen_address must be text, not 8750"),
        ("web = 3\n", r"web must be a section: write \[web\]"),
        ('[grafana]\ntoken_file = "/nowhere/token"\n', r"grafana\.token_file /nowhere/token: No such file"),
        ("[daemon\n", "not TOML"),
    ],
)
def test_what_cannot_be_right(written: Written, text: str, said: str) -> None:
    """The message names the file, the setting and its value."""
    with pytest.raises(BadInput, match=rf"configuration .*opsd\.toml: {said}"):
        written(text)


def test_an_empty_secret(written: Written, tmp_path: Path) -> None:
    """A token that is not there is not taken for an empty one."""
    (tmp_path / "token").write_text(" \n")

    with pytest.raises(BadInput, match=r"grafana\.token_file .*token is empty"):
        written(f'[grafana]\ntoken_file = "{tmp_path / "token"}"\n')
