"""Configuration: read once, by entry points, into a frozen value.

An unknown key is an error with the nearest known one, because a misspelt setting that is silently
ignored is found out at the end of a month. A secret may stand in a file of its own (`url_file`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from opsd.core.errors import BadInput
from opsd.core.names import nearest

# Section -> key -> the kind of its value. What a key means stands in docs/configuration.md.
_KNOWN: dict[str, dict[str, type]] = {
    "database": {"url": str, "url_file": str},
    "slurm": {
        "bin": str,
        "conf": str,
        "timeout_seconds": int,
        "since": str,
        "window_hours": int,
        "timezone": str,
        "database_url": str,
        "database_url_file": str,
    },
    "daemon": {
        "listen_address": str,
        "web_config": str,
        "ingest_seconds": int,
        "balances_seconds": int,
        "fetch_seconds": int,
        "slurm_seconds": int,
    },
    "web": {"listen_address": str},
    "nodes": {
        "file": str,
        "ca_file": str,
        "cert_file": str,
        "key_file": str,
        "username": str,
        "password": str,
        "password_file": str,
        "timeout_seconds": int,
    },
    "mail": {
        "host": str,
        "port": int,
        "tls": str,
        "ca_file": str,
        "username": str,
        "password": str,
        "password_file": str,
        "sender": str,
        "reply_to": str,
        "timeout_seconds": int,
    },
    "grafana": {
        "url": str,
        "token": str,
        "token_file": str,
        "folder": str,
        "ca_file": str,
        "prometheus": str,
    },
}
# Sections of several tables, [clusters.NAME]: each may override these keys of another section.
_CLUSTERS = "clusters"
_OF_A_CLUSTER = ("bin", "conf", "since", "timezone", "database_url", "database_url_file")
_CLUSTER_NAME = re.compile(r"[\w.-]+", re.ASCII)  # what a command line can carry without a doubt
_MOST = 100_000_000  # three years of seconds; what is larger overflows the clocks of the system
DAEMON_ADDRESS = "127.0.0.1:9750"
WEB_ADDRESS = "127.0.0.1:8750"


@dataclass(frozen=True, slots=True)
class Slurm:
    """How Slurm is asked."""

    bin: str | None = None  # the folder of sacct and sacctmgr; None: from PATH
    conf: str | None = None  # SLURM_CONF; None: as in the environment
    timeout_seconds: int = 300  # a command that takes longer is stopped, and has failed
    since: str = "30 days"  # how far back the very first ingest reads: N days, or a date
    window_hours: int = 168  # the longest span asked of Slurm at once
    timezone: str | None = None  # slurmdbd's, whose full hours sreport counts; None: this machine's
    database_url: str | None = field(default=None, repr=False)  # slurmdbd's own database, to be read alone


@dataclass(frozen=True, slots=True)
class Daemon:
    """What runs by itself, and where it shows its metrics."""

    listen_address: str = DAEMON_ADDRESS
    web_config: str | None = None
    ingest_seconds: int = 300
    balances_seconds: int = 60
    fetch_seconds: int = 300
    slurm_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Web:
    """The portal."""

    listen_address: str = WEB_ADDRESS


@dataclass(frozen=True, slots=True)
class Nodes:
    """The agents whose measurements are fetched, and how to reach them."""

    file: str | None = None  # in the form of Prometheus' file_sd; None: nothing is fetched
    ca_file: str | None = None  # with it, agents are asked by https
    cert_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: int = 10


@dataclass(frozen=True, slots=True)
class Mail:
    """How notices leave; without a host none does."""

    host: str | None = None
    port: int | None = None  # None: 587 with starttls, 465 with tls, 25 with none
    tls: str = "starttls"  # or tls, none
    ca_file: str | None = None  # None: the system's certificate authorities
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str | None = None
    reply_to: str | None = None
    timeout_seconds: int = 30


@dataclass(frozen=True, slots=True)
class Grafana:
    """Where dashboards are pushed."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    folder: str = "opsd"
    ca_file: str | None = None  # None: certificates as the system knows them
    prometheus: str | None = None  # None: the data source is left alone


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an entry point needs to know."""

    database_url: str
    source: str  # where the database URL came from, for `opsd config show` and error messages
    slurm: Slurm = Slurm()
    daemon: Daemon = Daemon()
    web: Web = Web()
    grafana: Grafana = Grafana()
    nodes: Nodes = Nodes()
    mail: Mail = Mail()
    clusters: Mapping[str, Slurm] = field(default_factory=dict)  # by name; empty: the one local cluster


def settings(
    db: str | None = None, config: str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings in force: `--db` or OPSD_DB, else the configuration file, else the user's own folder.

    All else comes from the configuration file, whatever names the database.
    """
    environ = os.environ if environ is None else environ
    named = config or environ.get("OPSD_CONFIG")
    path = Path(named) if named else None
    tree = _tree(path) if path else {}
    url, source = _database(db, environ, path, tree)
    return Settings(
        url,
        source,
        Slurm(**_with_secret(path, "slurm", "database_url", tree.get("slurm", {}))),
        Daemon(**tree.get("daemon", {})),
        Web(**tree.get("web", {})),
        Grafana(**_with_secret(path, "grafana", "token", tree.get("grafana", {}))),
        Nodes(**_with_secret(path, "nodes", "password", tree.get("nodes", {}))),
        Mail(**_with_secret(path, "mail", "password", tree.get("mail", {}))),
        _clusters(path, tree),
    )


def _clusters(path: Path | None, tree: Mapping[str, dict[str, Any]]) -> dict[str, Slurm]:
    """Each as [slurm] says, but for what its own table says otherwise."""
    found = {}
    for name, own in tree.get(_CLUSTERS, {}).items():
        secret = "database_url", "database_url_file"
        shared = tree.get("slurm", {})
        if any(key in own for key in secret):  # one of its own, however the common one was written
            shared = {key: value for key, value in shared.items() if key not in secret}
        found[name] = Slurm(**_with_secret(path, f"{_CLUSTERS}.{name}", "database_url", shared | own))
    return found


def _database(
    db: str | None, environ: Mapping[str, str], path: Path | None, tree: Mapping[str, dict[str, Any]]
) -> tuple[str, str]:
    if db is not None:
        return _not_empty(db, "--db"), "--db"
    if "OPSD_DB" in environ:
        return _not_empty(environ["OPSD_DB"], "OPSD_DB"), "OPSD_DB"
    database = _with_secret(path, "database", "url", tree.get("database", {}))
    if "url" in database:
        return _not_empty(database["url"], f"configuration {path}: database.url"), str(path)
    home = Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return f"sqlite:///{quote(str((home / 'opsd' / 'opsd.db').absolute()))}", "default"


def _not_empty(url: str, where: str) -> str:
    if not url.strip():
        raise BadInput(
            f"{where} is empty: write sqlite:////abs/path or postgresql://host/name, or leave it out"
        )
    return url


def _tree(path: Path) -> dict[str, dict[str, Any]]:
    import tomllib

    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise BadInput(f"configuration {path}: {err.strerror}: check the path") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise BadInput(f"configuration {path}: not TOML: {err}") from err
    for section, values in tree.items():
        if section not in (*_KNOWN, _CLUSTERS):
            listed = nearest(section, (*_KNOWN, _CLUSTERS), f"sections: {' '.join(_KNOWN)} {_CLUSTERS}.NAME")
            raise BadInput(f"configuration {path}: unknown section [{section}]{listed}")
        if not isinstance(values, dict):
            raise BadInput(f"configuration {path}: {section} must be a section: write [{section}]")
        if section == _CLUSTERS:
            _check_clusters(path, values)
        else:
            _check_section(path, section, values, _KNOWN[section])
    return tree


def _check_clusters(path: Path, tables: Mapping[str, object]) -> None:
    known = {key: _KNOWN["slurm"][key] for key in _OF_A_CLUSTER}
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise BadInput(
                f"configuration {path}: {_CLUSTERS}.{name} must be a section: write [{_CLUSTERS}.NAME]"
            )
        if not _CLUSTER_NAME.fullmatch(name):
            raise BadInput(f"configuration {path}: [{_CLUSTERS}.{name}]: no name of a cluster: {name!r}")
        if common := next((key for key in values if key in _KNOWN["slurm"] and key not in known), None):
            raise BadInput(
                f"configuration {path}: {_CLUSTERS}.{name}.{common} is the same for all clusters: "
                "write it in [slurm]"
            )
        _check_section(path, f"{_CLUSTERS}.{name}", values, known)


def _check_section(path: Path, section: str, values: Mapping[str, object], known: Mapping[str, type]) -> None:
    for key, value in values.items():
        if key not in known:
            listed = nearest(key, known, f"keys: {' '.join(known)}")
            raise BadInput(f"configuration {path}: unknown key {section}.{key}{listed}")
        if type(value) is not known[key]:
            kind = "text" if known[key] is str else "a whole number"
            raise BadInput(f"configuration {path}: {section}.{key} must be {kind}, not {value!r}")
        if isinstance(value, int) and value <= 0:
            raise BadInput(f"configuration {path}: {section}.{key} must be above 0, not {value!r}")
        if isinstance(value, int) and value > _MOST:
            raise BadInput(f"configuration {path}: {section}.{key} must be at most {_MOST:,}, not {value!r}")
        if isinstance(value, str) and "\0" in value:
            raise BadInput(f"configuration {path}: {section}.{key} must not hold a NUL: {value!r}")


def _with_secret(path: Path | None, section: str, key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A section whose `KEY_file`, if there is one, has been read into `KEY`."""
    found = dict(values)
    if secret := found.pop(f"{key}_file", None):
        found[key] = _secret(path, f"{section}.{key}_file", Path(secret))
    return found


def _secret(path: Path | None, name: str, secret: Path) -> str:
    try:
        text = secret.read_text(encoding="utf-8").strip()
    except OSError as err:
        raise BadInput(f"configuration {path}: {name} {secret}: {err.strerror}") from err
    if not text:
        raise BadInput(f"configuration {path}: {name} {secret} is empty")
    return text
