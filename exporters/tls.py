"""TLS for pages, from the section `tls_server_config` of a web configuration.

Invariant: what the section asks for is done or refused, never left out: Python's TLS cannot do all that
Go's can, and then the message says what to write instead.

Source: the exporter toolkit's documentation of web configuration files; the names of ciphers and curves
are those of Go's crypto/tls.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from opsd.core.errors import BadInput
from opsd.core.names import nearest

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

FILES = ("cert_file", "key_file", "client_ca_file")
_TEXTS = ("cert", "key", "client_ca", *FILES, "client_auth_type", "min_version", "max_version")
_LISTS = ("cipher_suites", "curve_preferences", "client_allowed_sans")
KEYS = (*_TEXTS, *_LISTS, "prefer_server_cipher_suites")

_VERIFYING = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,  # asked for and not looked at: it is as well not asked for
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_OLD_VERSIONS = ("TLS10", "TLS11")
_NEWEST_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_SUITES = {
    f"TLS_ECDHE_{kind}_WITH_{ours}": f"ECDHE-{kind}-{theirs}"
    for kind in ("ECDSA", "RSA")
    for ours, theirs in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


class Tls(NamedTuple):
    """TLS as configured."""

    context: ssl.SSLContext
    allowed_sans: frozenset[str] | None  # None: any name

    @property
    def knows_clients(self) -> bool:
        """Whether nobody gets in without a certificate of the site's own authority."""
        return self.context.verify_mode == ssl.CERT_REQUIRED

    def wrap(self, connection: socket.socket) -> socket.socket:
        """TLS around a connection; the handshake is whoever reads it first's to make."""
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def admits(self, connection: socket.socket) -> bool:
        """Whether the client's certificate, verified already, carries one of the allowed names."""
        if self.allowed_sans is None:
            return True
        assert isinstance(connection, ssl.SSLSocket)
        shown: Any = (connection.getpeercert() or {}).get("subjectAltName", ())
        return any(_name(kind, value) in self.allowed_sans for kind, value in shown)


def read(section: Mapping[str, Any], folder: Path) -> Tls:
    """The TLS that a section describes; its paths are relative to the folder.

    Raises:
        BadInput: it cannot be read, or asks for something that cannot be done.
    """
    _check_types(section)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = _version(section, "min_version", "TLS12")
    context.maximum_version = _version(section, "max_version", "TLS13")
    if context.minimum_version > context.maximum_version:
        raise BadInput("min_version is above max_version: write TLS12 and TLS13")
    _set_ciphers(context, section)
    _set_curves(context, section.get("curve_preferences") or ())
    _load_certificate(context, section, folder)
    verifying = _verifying(section)
    if verifying != ssl.CERT_NONE:
        context.verify_mode = verifying
        _load_authority(context, section, folder)
    return Tls(context, _allowed_sans(section, verifying))


def _check_types(section: Mapping[str, Any]) -> None:
    for key, value in section.items():
        if key not in KEYS:
            raise BadInput(f"unknown key {key!r}{nearest(str(key), KEYS)}")
        if key in _TEXTS and not (isinstance(value, str) and value):
            raise BadInput(f"{key} {value!r}: must be text")
        if key in _LISTS and not (isinstance(value, list) and all(isinstance(part, str) for part in value)):
            raise BadInput(f"{key} {value!r}: must be a list of text")
    preference = section.get("prefer_server_cipher_suites", True)
    if not isinstance(preference, bool):
        raise BadInput(f"prefer_server_cipher_suites {preference!r}: must be true or false")
    for inline, file in (("cert", "cert_file"), ("key", "key_file"), ("client_ca", "client_ca_file")):
        if inline in section and file in section:
            raise BadInput(f"{inline} and {file}: one of them is enough")
        if inline != "client_ca" and inline not in section and file not in section:
            raise BadInput(f"tls_server_config needs {file}")


def _version(section: Mapping[str, Any], key: str, default: str) -> ssl.TLSVersion:
    name = section.get(key, default)
    if name in _OLD_VERSIONS:
        raise BadInput(f"{key} {name}: has been broken for long (RFC 8996) and is not spoken: write TLS12")
    if name not in _VERSIONS:
        raise BadInput(f"{key} {name!r}: write TLS12 or TLS13")
    return _VERSIONS[name]


def _set_ciphers(context: ssl.SSLContext, section: Mapping[str, Any]) -> None:
    if section.get("prefer_server_cipher_suites", True):
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    names = section.get("cipher_suites") or ()
    known = (*_SUITES, *_NEWEST_SUITES)
    for name in names:
        if name not in known:
            raise BadInput(
                f"cipher_suites: unknown cipher {name!r}{nearest(name, known, 'see docs/install.md')}"
            )
    older = [_SUITES[name] for name in names if name in _SUITES]
    if older:
        try:
            context.set_ciphers(":".join(older))
        except ssl.SSLError as err:
            raise BadInput(f"cipher_suites {', '.join(names)}: this OpenSSL has none of them: {err}") from err
    elif names:  # nothing that TLS 1.2 could use
        if context.maximum_version < ssl.TLSVersion.TLSv1_3:
            raise BadInput(f"cipher_suites: {names[0]} is of TLS 1.3, and max_version is TLS12")
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _set_curves(context: ssl.SSLContext, names: Sequence[str]) -> None:
    for name in names:
        if name not in _CURVES:
            raise BadInput(f"curve_preferences: unknown curve {name!r}{nearest(name, _CURVES)}")
    set_groups: Callable[[str], None] | None = getattr(context, "set_groups", None)
    if len(names) == 1:
        context.set_ecdh_curve(_CURVES[names[0]])
    elif names and set_groups:
        set_groups(":".join(_CURVES[name] for name in names))
    elif names:
        raise BadInput(
            f"curve_preferences {', '.join(names)}: this Python can keep to one: write one, or none"
        )


def _load_certificate(context: ssl.SSLContext, section: Mapping[str, Any], folder: Path) -> None:
    with ExitStack() as held:
        certificate, key = (held.enter_context(_as_file(section, name, folder)) for name in ("cert", "key"))
        shown = [section.get(f"{name}_file", f"the text of {name}") for name in ("cert", "key")]
        try:  # a key with a password is an error: a service has nobody to ask
            context.load_cert_chain(certificate, key, password="")
        except ssl.SSLError as err:
            raise BadInput(
                f"cert_file {shown[0]} with the key {shown[1]} cannot be loaded: {err}: "
                "both must be PEM, belong together, and have no password"
            ) from err


def _load_authority(context: ssl.SSLContext, section: Mapping[str, Any], folder: Path) -> None:
    with _as_file(section, "client_ca", folder) as authority:
        try:
            context.load_verify_locations(authority)
        except ssl.SSLError as err:
            shown = section.get("client_ca_file", "the text of client_ca")
            raise BadInput(f"client_ca_file {shown} cannot be loaded: {err}: it must be PEM") from err


def _as_file(section: Mapping[str, Any], name: str, folder: Path) -> AbstractContextManager[Path]:
    """A file that OpenSSL can open: it would not say which of several it could not."""
    if name in section:
        return _in_memory(str(section[name]))
    file = folder / str(section[f"{name}_file"])
    try:
        file.read_bytes()
    except OSError as err:
        raise BadInput(f"{name}_file {file}: {err.strerror}: check the path and who may read it") from err
    return nullcontext(file)


@contextmanager
def _in_memory(text: str) -> Iterator[Path]:
    """OpenSSL loads keys from files only; this one no disk ever sees."""
    descriptor = os.memfd_create("opsd-tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(text.encode())
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _verifying(section: Mapping[str, Any]) -> ssl.VerifyMode:
    name = section.get("client_auth_type", "NoClientCert")
    has_authority = "client_ca" in section or "client_ca_file" in section
    if name in _UNVERIFIED:
        raise BadInput(
            f"client_auth_type {name}: lets in whoever shows any certificate, which proves nothing and which "
            "Python's TLS cannot do: write RequireAndVerifyClientCert"
        )
    if name not in _VERIFYING:
        known = (*_VERIFYING, *_UNVERIFIED)
        raise BadInput(f"client_auth_type {name!r}{nearest(name, known, 'write RequireAndVerifyClientCert')}")
    if name == "NoClientCert" and has_authority:
        raise BadInput(
            "client_ca_file without client_auth_type: write RequireAndVerifyClientCert, or leave it out"
        )
    if _VERIFYING[name] != ssl.CERT_NONE and not has_authority:
        raise BadInput(f"client_auth_type {name}: tls_server_config needs client_ca_file")
    return _VERIFYING[name]


def _allowed_sans(section: Mapping[str, Any], verifying: ssl.VerifyMode) -> frozenset[str] | None:
    names = section.get("client_allowed_sans")
    if names is None:
        return None
    if verifying != ssl.CERT_REQUIRED:
        raise BadInput("client_allowed_sans needs client_auth_type RequireAndVerifyClientCert")
    return frozenset(_normal(name) for name in names)


def _name(kind: str, value: str) -> str:
    return _normal(value.strip()) if kind == "IP Address" else value


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
