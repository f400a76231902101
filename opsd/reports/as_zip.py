"""Everything of a statement in one language: each format, every table as CSV, and a manifest with digests.

Invariant: the same files give the same archive; every file but the manifest stands in the manifest.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from opsd import reports
from opsd.core.canonical import digest
from opsd.core.statement.build import Statement
from opsd.core.statement.table import Table
from opsd.reports import exact
from opsd.reports.as_csv import flat
from opsd.reports.as_csv.dialect import COMMA, SEMICOLON
from opsd.reports.locale import Locale

SCHEMA = "opsd-package/1"
MANIFEST = "manifest.json"
_ITSELF = "zip"
_LEVEL = 6
_UNIX, _MODE = 3, 0o100644 << 16
_PACKED = (".xlsx", ".pdf")  # deflated inside


def render(statement: Statement, locale: Locale) -> bytes:
    """An archive of everything that `reports.render` can make."""
    rendered = {
        reports.file_name(statement, form, locale.code): reports.render(statement, form, locale.code)
        for form in reports.FORMATS
        if form != _ITSELF
    }
    return packed(statement, locale, rendered)


def packed(statement: Statement, locale: Locale, rendered: Mapping[str, bytes]) -> bytes:
    """An archive of files that were rendered already, with the tables and the manifest."""
    files = {**rendered, **dict(_tables(statement, locale))}
    files[MANIFEST] = _manifest(statement, locale, files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            archive.writestr(_entry(name, statement.dossier.as_of), files[name], compresslevel=_LEVEL)
    return out.getvalue()


def _tables(statement: Statement, locale: Locale) -> Iterator[tuple[str, bytes]]:
    for number, section in enumerate(statement.sections):
        for block in section.blocks:
            if isinstance(block, Table):
                name = f"{number:02}-{section.id}-{block.id}.csv"
                yield f"tables/{name}", flat.written(block, locale, COMMA)
                yield f"tables-semicolon/{name}", flat.written(block, locale, SEMICOLON)


def _manifest(statement: Statement, locale: Locale, files: Mapping[str, bytes]) -> bytes:
    dossier = statement.dossier
    closing = dossier.closing
    content = {
        "schema": SCHEMA,
        "consortium": dossier.consortium,
        "period": dossier.span.text,
        "as_of": exact.utc(dossier.as_of),
        "scope": statement.scope or None,
        "standing": statement.standing,
        "edition": closing.edition if closing else None,
        "chain": closing.chain or None if closing else None,
        "language": locale.tag,
        "program": dossier.version,
        "digests": {name: found or None for name, found in dossier.digests._asdict().items()},
        "files": [
            {"name": name, "size": len(files[name]), "sha256": digest(files[name])} for name in sorted(files)
        ],
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _entry(name: str, at: int) -> zipfile.ZipInfo:
    made = datetime.fromtimestamp(at, UTC)
    entry = zipfile.ZipInfo(name, (made.year, made.month, made.day, made.hour, made.minute, made.second))
    entry.create_system, entry.external_attr = _UNIX, _MODE
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(_PACKED) else zipfile.ZIP_DEFLATED
    return entry
