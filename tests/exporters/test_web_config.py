"""Web configurations: certificates on both sides, and a refusal of everything that would not be obeyed."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from exporters.web_config import read
from opsd.core.errors import BadInput

GOOD = """tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
"""


def test_certificates_on_both_sides(certificates: Path) -> None:
    """Paths are relative to the file; a client without a certificate is not let in."""
    (certificates / "web.yml").write_text(GOOD)

    context = read(certificates / "web.yml")

    assert ssl.CERT_REQUIRED == context.verify_mode
    assert ssl.TLSVersion.TLSv1_2 == context.minimum_version


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not YAML"),
        ("x: 1", "needs a section tls_server_config"),
        (GOOD + "basic_auth_users: {}\n", "'basic_auth_users' is not supported"),
        (GOOD.replace("cert_file: s", "cert_fill: s"), "did you mean 'cert_file'"),
        (GOOD.replace("  key_file: server.key\n", ""), "needs key_file"),
        (GOOD.replace("RequireAndVerify", "Request"), "write RequireAndVerifyClientCert"),
        (GOOD, r"cert_file \S+server\.crt: No such file"),
    ],
)
def test_what_it_cannot_obey_is_refused(text: str, words: str, tmp_path: Path) -> None:
    """A key that nobody reads, or a certificate that is not there, is an error that names the file."""
    file = tmp_path / "web.yml"
    file.write_text(text)

    with pytest.raises(BadInput, match=words) as refused:
        read(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("server.crt", r"server\.crt with the key \S+server\.key cannot be loaded"),
        ("server.key", r"server\.crt with the key \S+server\.key cannot be loaded"),
        ("ca.crt", r"client_ca_file \S+ca\.crt cannot be loaded"),
    ],
)
def test_a_certificate_that_is_none(broken: str, words: str, certificates: Path, tmp_path: Path) -> None:
    """The files that do not load are named, not the configuration alone."""
    for name in ("server.crt", "server.key", "ca.crt"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    (tmp_path / broken).write_text("no certificate\n")
    (tmp_path / "web.yml").write_text(GOOD)

    with pytest.raises(BadInput, match=words):
        read(tmp_path / "web.yml")


def test_a_key_with_a_password(certificates: Path, tmp_path: Path) -> None:
    """It is refused at once: nobody sits at a service's terminal."""
    (tmp_path / "web.yml").write_text(GOOD)
    for name in ("server.crt", "ca.crt"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    subprocess.run(
        ["openssl", "pkey", "-in", certificates / "server.key", "-aes256", "-passout", "pass:secret",
         "-out", tmp_path / "server.key"],
        check=True, capture_output=True,
    )  # fmt: skip

    with pytest.raises(BadInput, match="have no password"):
        read(tmp_path / "web.yml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Its path is named."""
    with pytest.raises(BadInput, match=r"absent\.yml: No such file"):
        read(tmp_path / "absent.yml")
