"""Configuration: read once, by entry points, into a frozen value.

An unknown key is an error with the nearest known one, because a misspelt setting that is silently
ignored is found out at the end of a month. A secret may stand in a file of its own (`url_file`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from opsd.core.errors import BadInput
from opsd.core.names import nearest

_KNOWN: dict[str, tuple[str, ...]] = {"database": ("url", "url_file")}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an entry point needs to know."""

    database_url: str
    source: str  # where the database URL came from, for `opsd config show` and error messages


def settings(
    db: str | None = None, config: str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings in force: `--db` or OPSD_DB, else the configuration file, else the user's own folder."""
    environ = os.environ if environ is None else environ
    if db is not None:
        return Settings(_not_empty(db, "--db"), "--db")
    if "OPSD_DB" in environ:
        return Settings(_not_empty(environ["OPSD_DB"], "OPSD_DB"), "OPSD_DB")
    path = config or environ.get("OPSD_CONFIG")
    if path and (url := _from_file(Path(path))) is not None:
        return Settings(url, path)
    home = Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Settings(f"sqlite:///{quote(str((home / 'opsd' / 'opsd.db').absolute()))}", "default")


def _not_empty(url: str, where: str) -> str:
    if not url.strip():
        raise BadInput(
            f"{where} is empty: write sqlite:////abs/path or postgresql://host/name, or leave it out"
        )
    return url


def _from_file(path: Path) -> str | None:
    import tomllib

    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise BadInput(f"configuration {path}: {err.strerror}: check the path") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise BadInput(f"configuration {path}: not TOML: {err}") from err
    _check_keys(path, tree)
    database: dict[str, Any] = tree.get("database", {})
    for key, value in database.items():
        if not isinstance(value, str):
            raise BadInput(f"configuration {path}: database.{key} must be text, not {value!r}")
    if "url_file" in database:
        return _secret(path, Path(database["url_file"]))
    return _not_empty(database["url"], f"configuration {path}: database.url") if "url" in database else None


def _check_keys(path: Path, tree: Mapping[str, Any]) -> None:
    for section, values in tree.items():
        if section not in _KNOWN:
            raise BadInput(f"configuration {path}: unknown section [{section}]{nearest(section, _KNOWN)}")
        if not isinstance(values, dict):
            raise BadInput(f"configuration {path}: {section} must be a section: write [{section}]")
        for key in values:
            if key not in _KNOWN[section]:
                near = nearest(key, _KNOWN[section])
                raise BadInput(f"configuration {path}: unknown key {section}.{key}{near}")


def _secret(path: Path, secret: Path) -> str:
    try:
        text = secret.read_text(encoding="utf-8").strip()
    except OSError as err:
        raise BadInput(f"configuration {path}: database.url_file {secret}: {err.strerror}") from err
    if not text:
        raise BadInput(f"configuration {path}: database.url_file {secret} is empty")
    return text
