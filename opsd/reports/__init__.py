"""Report formats: one row each, loaded when asked for.

Invariant: the same statement gives the same bytes, and every format and language shows the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.statement.build import Statement
from opsd.core.statement.table import BAD, WARN, Paragraph
from opsd.reports.locale import Locale


class Format(NamedTuple):
    """One way to write a statement: a module with `render(statement, locale) -> bytes`."""

    module: str
    suffix: str  # a longer one is found before a shorter one
    content_type: str


FORMATS = {
    "xlsx": Format(
        "opsd.reports.as_xlsx", ".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    ),
    "pdf": Format("opsd.reports.as_pdf", ".pdf", "application/pdf"),
    "csv": Format("opsd.reports.as_csv", ".csv", "text/csv; charset=utf-8"),
    "csv-semicolon": Format("opsd.reports.as_csv.semicolon", "-semicolon.csv", "text/csv; charset=utf-8"),
    "json": Format("opsd.reports.as_json", ".json", "application/json"),
    "zip": Format("opsd.reports.as_zip", ".zip", "application/zip"),
}


def find(form: str) -> Format:
    """One of FORMATS.

    Raises:
        WrongUsage: there is no such format.
    """
    if form not in FORMATS:
        raise WrongUsage(
            f"no report format {form!r}" + nearest(form, FORMATS, f"there are {' '.join(FORMATS)}")
        )
    return FORMATS[form]


def render(statement: Statement, form: str, language: str = "en") -> bytes:
    """A statement as a file of one of FORMATS, in one of the locales' languages."""
    how, locale = find(form), Locale.of(language, statement.dossier.span.zone)
    content: bytes = import_module(how.module).render(statement, locale)
    return content


def file_name(statement: Statement, form: str, language: str = "en") -> str:
    """What to call the file where nobody chose a name."""
    closing = statement.dossier.closing
    parts = [
        statement.dossier.span.text,
        f"edition-{closing.edition}" if closing else "",
        statement.scope,
        language,
    ]
    text = "-".join(part for part in parts if part)
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in text)
    return f"opsd-{plain}{FORMATS[form].suffix}"


def warnings(statement: Statement, language: str = "en") -> Iterator[str]:
    """What must be known before a number is relied on: the cover's paragraphs that stand out."""
    locale = Locale.of(language, statement.dossier.span.zone)
    for section in statement.sections[:1]:
        for block in section.blocks:
            if isinstance(block, Paragraph) and block.tone in (WARN, BAD):
                yield locale.word(block.text)
