"""Web configurations: what they may say, and a refusal of everything that would not be obeyed."""

from __future__ import annotations

import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporters import web_config
from exporters.http_server import Request
from exporters.web_config import Limiter, Web, read
from opsd.core.errors import BadInput

SERVER = """tls_server_config:
  cert_file: server.crt
  key_file: server.key
"""
CLIENTS = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
GOOD = SERVER + CLIENTS
HASH = "$2b$04$abcdefghijklmnopqrstueML8TI3mKg6nYe6ji84YNEQ6czfZcOFC"  # of "secret"


def written(folder: Path, text: str) -> Web:
    """The text, read as a configuration beside certificates."""
    (folder / "web.yml").write_text(text)
    return read(folder / "web.yml")


def context(folder: Path, text: str) -> ssl.SSLContext:
    """Its TLS."""
    found = written(folder, text).tls
    assert found is not None
    return found.context


def test_certificates_on_both_sides(certificates: Path) -> None:
    """Paths are relative to the file; a client without a certificate is not let in."""
    web = written(certificates, GOOD)

    assert web.tls is not None
    assert web.knows_clients
    assert ssl.CERT_REQUIRED == web.tls.context.verify_mode
    assert ssl.TLSVersion.TLSv1_2 == web.tls.context.minimum_version
    assert ssl.TLSVersion.TLSv1_3 == web.tls.context.maximum_version


@pytest.mark.parametrize(
    ("text", "mode", "knows_clients"),
    [
        (SERVER, ssl.CERT_NONE, False),
        (SERVER + "  client_auth_type: NoClientCert\n", ssl.CERT_NONE, False),
        (SERVER + "  client_auth_type: RequestClientCert\n", ssl.CERT_NONE, False),
        (GOOD.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"), ssl.CERT_OPTIONAL, False),
        (GOOD, ssl.CERT_REQUIRED, True),
        (SERVER + f"basic_auth_users: {{ana: {HASH}}}\n", ssl.CERT_NONE, True),
    ],
)
def test_who_must_show_a_certificate(
    text: str, mode: ssl.VerifyMode, knows_clients: bool, certificates: Path
) -> None:
    """Only a certificate that is required and verified tells who a client is, or else a password."""
    web = written(certificates, text)
    assert web.tls is not None
    assert (mode, knows_clients) == (web.tls.context.verify_mode, web.knows_clients)


def test_versions_ciphers_and_curves(certificates: Path) -> None:
    """Ciphers have Go's names; those of TLS 1.3 cannot be chosen, and alone leave no other version."""
    chosen = context(
        certificates,
        SERVER + "  min_version: TLS12\n  max_version: TLS12\n  prefer_server_cipher_suites: false\n"
        "  curve_preferences: [CurveP384]\n"
        "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]\n",
    )
    older = [cipher["name"] for cipher in chosen.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert ["ECDHE-ECDSA-AES256-GCM-SHA384"] == older
    assert ssl.TLSVersion.TLSv1_2 == chosen.maximum_version
    assert not chosen.options & ssl.OP_CIPHER_SERVER_PREFERENCE

    newest = context(certificates, SERVER + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n")
    assert ssl.TLSVersion.TLSv1_3 == newest.minimum_version
    assert newest.options & ssl.OP_CIPHER_SERVER_PREFERENCE


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
@pytest.mark.parametrize(
    "cipher",
    [
        "AES_128_GCM_SHA256",
        "AES_256_GCM_SHA384",
        "CHACHA20_POLY1305_SHA256",
        "AES_128_CBC_SHA",
        "AES_256_CBC_SHA",
    ],
)
def test_every_cipher_of_go_is_known(kind: str, cipher: str, certificates: Path) -> None:
    """Its secure ones for TLS 1.2 are one cipher each here."""
    text = f"{SERVER}  cipher_suites: [TLS_ECDHE_{kind}_WITH_{cipher}]\n"
    ciphers = [found for found in context(certificates, text).get_ciphers() if found["protocol"] != "TLSv1.3"]
    assert [kind.lower()] == [found["auth"].removeprefix("auth-") for found in ciphers]


def test_certificates_in_the_file_itself(certificates: Path) -> None:
    """Certificate, key and authority may stand there as text; no copy of the key touches a disk."""
    texts = {name: (certificates / f).read_text() for name, f in
             (("cert", "server.crt"), ("key", "server.key"), ("client_ca", "ca.crt"))}  # fmt: skip
    indented = {name: text.replace("\n", "\n    ").rstrip() for name, text in texts.items()}
    inline = "".join(f"  {name}: |\n    {text}\n" for name, text in indented.items())
    auth = "  client_auth_type: RequireAndVerifyClientCert\n"

    found = context(certificates, f"tls_server_config:\n{inline}{auth}")

    assert 1 == found.cert_store_stats()["x509_ca"]


def test_headers_and_what_http2_is(tmp_path: Path) -> None:
    """The headers that Prometheus allows are sent, empty ones not; HTTP/2 may be on, as in its own files."""
    web = written(
        tmp_path,
        "http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: sameorigin\n"
        "    X-Content-Type-Options: nosniff\n    Strict-Transport-Security: max-age=60\n"
        "    Content-Security-Policy: ''\n",
    )
    assert {
        "X-Frame-Options": "sameorigin",
        "X-Content-Type-Options": "nosniff",
        "Strict-Transport-Security": "max-age=60",
    } == web.headers
    assert (None, None, None, False) == (web.tls, web.passwords, web.limiter, web.knows_clients)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "tls_server_config:\nbasic_auth_users: {}\n", "rate_limit: {}\n"]
)
def test_a_file_that_asks_for_nothing(text: str, tmp_path: Path) -> None:
    """It is one that Prometheus takes too: no TLS, and nobody is asked who they are."""
    web = written(tmp_path, text)
    assert (None, False, {}) == (web.tls, web.knows_clients, web.headers)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not YAML"),
        ("- 1", "needs sections: tls_server_config"),
        ("x: 1", "unknown section 'x'; known: tls_server_config"),
        ("tls_sever_config: {}", "did you mean 'tls_server_config'"),
        ("tls_server_config: 1", "must be a section"),
        ("1: 1", "key 1: must be text"),
        ("rate_limit: {}\nrate_limit: {}", "'rate_limit' stands twice"),
        ("tls_server_config: {min_version: TLS12}", "needs cert_file"),
        (GOOD + GOOD, "'tls_server_config' stands twice"),
        (GOOD + "  cert: x\n", "cert and cert_file: one of them"),
        (GOOD + "  max_version: 1.3\n", "max_version 1.3: must be text"),
        (GOOD + "  max_version: TLS14\n", "write TLS12 or TLS13"),
        (GOOD + "  min_version: TLS10\n", "RFC 8996"),
        (GOOD + "  min_version: TLS13\n  max_version: TLS12\n", "min_version is above max_version"),
        (GOOD + "  cipher_suites: TLS_AES_128_GCM_SHA256\n", "must be a list of text"),
        (GOOD + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", "unknown cipher 'TLS_RSA_WITH_RC4_128_SHA'"),
        (GOOD + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  max_version: TLS12\n", "is of TLS 1.3"),
        (GOOD + "  curve_preferences: [CurveP257]\n", "did you mean 'CurveP25"),
        (GOOD + "  prefer_server_cipher_suites: 'yes'\n", "must be true or false"),
        (GOOD.replace("cert_file: s", "cert_fill: s"), "did you mean 'cert_file'"),
        (GOOD.replace("  key_file: server.key\n", ""), "needs key_file"),
        (GOOD.replace("RequireAndVerify", "RequireAny"), "write RequireAndVerifyClientCert"),
        (GOOD.replace("RequireAndVerify", "Require"), "write RequireAndVerifyClientCert"),
        (GOOD.replace("RequireAndVerify", "RequireVerify"), "did you mean 'RequireAndVerifyClientCert'"),
        (SERVER + "  client_auth_type: RequireAndVerifyClientCert\n", "needs client_ca_file"),
        (SERVER + "  client_ca_file: ca.crt\n", "without client_auth_type"),
        (SERVER + "  client_allowed_sans: [a]\n", "client_allowed_sans needs"),
        ("basic_auth_users: {ana: secret}", "'ana' is no hash of bcrypt"),
        ("basic_auth_users: {ana: 1}", "'ana': must be a name"),
        (f"basic_auth_users: {{'a:b': {HASH}}}", "without a colon"),
        ("basic_auth_users: [ana]", "must be a section"),
        ("http_server_config: {http3: true}", "did you mean 'http2'"),
        ("http_server_config: {http2: 1}", "must be true or false"),
        ("http_server_config: {headers: {Server: x}}", "unknown key 'Server'"),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", "write deny or sameorigin"),
        ('http_server_config: {headers: {X-XSS-Protection: "0\\r\\nX: y"}}', "one line of ASCII"),
        ("rate_limit: {interval: 1}", "write 1s, 500ms or 1m30s"),
        ("rate_limit: {interval: 1s}", "with burst 0 nobody"),
        ("rate_limit: {interval: 1s, burst: many}", "must be a whole number"),
        ("rate_limit: {interval: 1s, burst: true}", "must be a whole number"),
        (f"rate_limit: {{interval: 1s, burst: 1{'0' * 400}}}", "must be a whole number up to 1000000"),
        (f"rate_limit: {{interval: 1{'0' * 400}h, burst: 1}}", "must be a day at most"),
        ("rate_limit: {interval: 2001-99-99}", "not YAML: month must be"),
        (f"rate_limit: {{burst: {'9' * 5000}}}", "not YAML: Exceeds the limit"),
    ],
)
def test_what_it_cannot_obey_is_refused(text: str, words: str, certificates: Path) -> None:
    """A key that nobody reads, or a value that means nothing, is an error that names the file."""
    file = certificates / "refused.yml"
    file.write_text(text)

    with pytest.raises(BadInput, match=words) as refused:
        read(file)
    assert str(refused.value).startswith(f"web configuration {file}: ")


@pytest.mark.skipif(hasattr(ssl.SSLContext, "set_groups"), reason="this Python can do it")
def test_several_curves(certificates: Path) -> None:
    """Python before 3.15 keeps to one; that a list was cut short would not be seen."""
    with pytest.raises(BadInput, match="CurveP256, X25519: this Python can keep to one"):
        context(certificates, SERVER + "  curve_preferences: [CurveP256, X25519]\n")


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    """Its path is named."""
    with pytest.raises(BadInput, match=r"cert_file \S+server\.crt: No such file"):
        written(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("server.crt", r"server\.crt with the key server\.key cannot be loaded"),
        ("server.key", r"server\.crt with the key server\.key cannot be loaded"),
        ("ca.crt", r"client_ca_file ca\.crt cannot be loaded"),
    ],
)
def test_a_certificate_that_is_none(broken: str, words: str, certificates: Path, tmp_path: Path) -> None:
    """The files that do not load are named, not the configuration alone."""
    for name in ("server.crt", "server.key", "ca.crt"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    (tmp_path / broken).write_text("no certificate\n")

    with pytest.raises(BadInput, match=words):
        written(tmp_path, GOOD)


def test_a_key_with_a_password(certificates: Path, tmp_path: Path) -> None:
    """It is refused at once: nobody sits at a service's terminal."""
    for name in ("server.crt", "ca.crt"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    subprocess.run(
        ["openssl", "pkey", "-in", certificates / "server.key", "-aes256", "-passout", "pass:secret",
         "-out", tmp_path / "server.key"],
        check=True, capture_output=True,
    )  # fmt: skip

    with pytest.raises(BadInput, match="have no password"):
        written(tmp_path, GOOD)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Its path is named."""
    with pytest.raises(BadInput, match=r"absent\.yml: No such file"):
        read(tmp_path / "absent.yml")


def test_a_changed_file_is_seen_once_a_minute(certificates: Path, tmp_path: Path) -> None:
    """The configuration and each certificate; not more often, since a look costs a system call for each."""
    for name in ("server.crt", "server.key", "ca.crt"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    web = written(tmp_path, GOOD)
    for name in ("web.yml", "server.crt", "server.key", "ca.crt"):
        was = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(was + b"\n")
        assert not web.is_changed()
        web._looked -= web_config._LOOK_SECONDS
        assert web.is_changed()
        web = web.again()
        web._looked -= web_config._LOOK_SECONDS
        assert not web.is_changed()
    (tmp_path / "ca.crt").unlink()
    web._looked -= web_config._LOOK_SECONDS
    assert web.is_changed()


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("1s", 1.0), ("500ms", 0.5), ("1m30s", 90.0), ("1.5h", 5400.0), ("250us", 0.00025)],
)
def test_a_limit_of_requests(
    interval: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many at once, then one for each interval; what is too much is told so."""
    now = [100.0]
    monkeypatch.setattr("exporters.web_config.time.monotonic", lambda: now[0])
    web = written(tmp_path, f"rate_limit: {{interval: {interval}, burst: 2}}\n")
    request = Request("GET", "/metrics", {}, {})

    def statuses(count: int) -> list[int]:
        return [refused.status if (refused := web.refusal(request)) else 200 for _ in range(count)]

    assert [200, 200, 429] == statuses(3)
    now[0] += 1.01 * seconds
    assert [200, 429] == statuses(2)
    now[0] += 100 * seconds
    assert [200, 200, 429] == statuses(3)
    assert isinstance(web.limiter, Limiter)


WORDS = st.sampled_from(
    [
        *("tls_server_config", "cert_file", "key", "client_auth_type", "client_allowed_sans", "TLS12"),
        *("http_server_config", "headers", "X-Frame-Options", "deny"),
        *("basic_auth_users", "rate_limit", "interval", "burst", "1s"),
    ]
)
VALUES = st.recursive(
    st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.one_of(st.dictionaries(WORDS, VALUES, max_size=4).map(yaml.safe_dump), st.text(max_size=40)))
def test_any_file_is_obeyed_or_refused(text: str) -> None:
    """Whatever stands in it, in whatever form: a configuration, or a refusal that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            said = str(written(Path(folder), text).path)
        except BadInput as refused:
            said = str(refused).removeprefix("web configuration ").partition(": ")[0]
    assert f"{folder}/web.yml" == said
