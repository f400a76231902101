"""TLS for metrics pages, from a file in the form of Prometheus' own web configuration.

Thin for now: certificates on both sides, which is TLS and authentication in one
(`tls_server_config` with `client_auth_type: RequireAndVerifyClientCert`). Anything else in the file is
refused, never ignored: a password that nobody checks would be worse than none.

Source: the exporter toolkit's documentation of web configuration files.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import yaml

from opsd.core.errors import BadInput
from opsd.core.names import nearest

_KEYS = ("cert_file", "key_file", "client_auth_type", "client_ca_file")
_FILES = ("cert_file", "key_file", "client_ca_file")
_CLIENTS = "RequireAndVerifyClientCert"


def read(path: Path) -> ssl.SSLContext:
    """The TLS of a web configuration file; its paths are relative to the file.

    Raises:
        BadInput: it cannot be read, or asks for something that is not there.
    """
    section = _section(path)
    unknown = [key for key in section if key not in _KEYS]
    if unknown:
        raise BadInput(f"web configuration {path}: unknown key {unknown[0]!r}{nearest(unknown[0], _KEYS)}")
    missing = [key for key in _KEYS if not isinstance(section.get(key), str)]
    if missing:
        raise BadInput(f"web configuration {path}: tls_server_config needs {missing[0]}")
    if section["client_auth_type"] != _CLIENTS:
        raise BadInput(
            f"web configuration {path}: client_auth_type {section['client_auth_type']!r}: write {_CLIENTS}"
        )
    return _context(path, section)


def _section(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise BadInput(f"web configuration {path}: {err.strerror}: check the path") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise BadInput(f"web configuration {path}: not YAML: {err}") from err
    if not isinstance(tree, dict) or not isinstance(tree.get("tls_server_config"), dict):
        raise BadInput(f"web configuration {path}: needs a section tls_server_config")
    if len(tree) > 1:
        other = next(key for key in tree if key != "tls_server_config")
        raise BadInput(f"web configuration {path}: {other!r} is not supported: only tls_server_config is")
    section: dict[str, Any] = tree["tls_server_config"]
    return section


def _context(path: Path, section: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, key, clients = (_readable(path, section, name) for name in _FILES)
    try:  # a key with a password is an error: a service has nobody to ask
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as err:
        raise BadInput(
            f"web configuration {path}: {certificate} with the key {key} cannot be loaded: {err}: "
            "both must be PEM, belong together, and have no password"
        ) from err
    try:
        context.load_verify_locations(clients)
    except ssl.SSLError as err:
        raise BadInput(
            f"web configuration {path}: client_ca_file {clients} cannot be loaded: {err}: it must be PEM"
        ) from err
    return context


def _readable(path: Path, section: dict[str, Any], name: str) -> Path:
    """One of the files it names; OpenSSL would not say which of them it could not open."""
    file = path.parent / str(section[name])
    try:
        file.read_bytes()
    except OSError as err:
        raise BadInput(
            f"web configuration {path}: {name} {file}: {err.strerror}: check the path and who may read it"
        ) from err
    return file
