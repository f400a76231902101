"""Web configurations: certificates on both sides, and a refusal of everything that would not be obeyed."""

from __future__ import annotations

import ssl
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
        (GOOD, "certificates cannot be loaded"),
    ],
)
def test_what_it_cannot_obey_is_refused(text: str, words: str, tmp_path: Path) -> None:
    """A key that nobody reads, or a certificate that is not there, is an error that names the file."""
    file = tmp_path / "web.yml"
    file.write_text(text)

    with pytest.raises(BadInput, match=words) as refused:
        read(file)
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Its path is named."""
    with pytest.raises(BadInput, match=r"absent\.yml: No such file"):
        read(tmp_path / "absent.yml")
