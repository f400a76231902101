"""Which program this is: a digest of its own files and of the libraries that shape what it writes.

Invariant: equal digests write equal files from equal records.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path

import opsd
from opsd.core import canonical

_SHAPING = ("babel", "typst", "XlsxWriter")
_DERIVED = ("__pycache__",)


@cache
def digest() -> str:
    """SHA-256 over every file of the package by its name, and the versions of those libraries."""
    root = Path(opsd.__file__).parent
    files = {
        path.relative_to(root).as_posix(): canonical.digest(path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part in _DERIVED for part in path.parts)
    }
    versions = {name: _version(name) for name in _SHAPING}
    return canonical.digest(canonical.dumped({"files": files, "versions": versions}))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # an installation that never renders
        return "none"
