"""Certificates for tests of TLS: made anew each run with openssl, never kept in the repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

NEW = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def make(folder: Path) -> None:
    """Put ca, server (of 127.0.0.1) and client into a folder, and a stranger of another authority."""
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for authority, names in (("ca", ("server", "client")), ("other-ca", ("stranger",))):
        _openssl(
            folder,
            f"req -x509 -days 2 {NEW} -keyout {authority}.key -out {authority}.crt -subj /CN={authority}",
        )
        for name in names:
            _openssl(folder, f"req {NEW} -keyout {name}.key -out {name}.csr -subj /CN={name}")
            signed_by = f"-CA {authority}.crt -CAkey {authority}.key -CAcreateserial"
            _openssl(folder, f"x509 -req -in {name}.csr {signed_by} -days 2 -extfile san -out {name}.crt")


def _openssl(folder: Path, arguments: str) -> None:
    command = ["openssl", *arguments.split()]
    made = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
