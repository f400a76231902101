"""Certificates for the tests of TLS: made anew each run, never kept in the repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca, server (127.0.0.1) and client certificates, and a stranger of another authority."""
    if shutil.which("openssl") is None:
        pytest.skip("TLS tests left out: openssl was not found; install the package openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for authority, names in (("ca", ("server", "client")), ("other-ca", ("stranger",))):
        openssl(folder, f"req -x509 {NEW} -keyout {authority}.key -out {authority}.crt -subj /CN={authority}")
        for name in names:
            openssl(folder, f"req {NEW} -keyout {name}.key -out {name}.csr -subj /CN={name}")
            (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
            openssl(
                folder,
                f"x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial "
                f"-days 2 -extfile san -out {name}.crt",
            )
    return folder


NEW = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"


def openssl(folder: Path, arguments: str) -> None:
    """Run openssl in a folder."""
    words = arguments.split()
    if words[0] == "req" and "-x509" not in words:
        words = [word for word in words if word not in ("-days", "2")]
    made = subprocess.run(["openssl", *words], cwd=folder, check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
