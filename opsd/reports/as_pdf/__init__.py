"""A statement as a PDF for paper and archives: PDF/A-2a and PDF/UA-1 at once, tagged, in A4.

Invariant: the same statement in the same language gives the same bytes; whatever a name holds comes out as
text; no character is lost, and nothing stands outside the page.

content (words and values in a language) → glyphs (what the typefaces lack is written as numbers) → layout
(widths of columns, pictures of charts) → report.typ (typesetting) → packed (a quarter of the size). The data
goes to the typesetter as JSON, never as code.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING

import typst

from opsd.reports.as_pdf import content, glyphs, layout, packed

if TYPE_CHECKING:
    from opsd.core.statement.build import Statement
    from opsd.reports.locale import Locale

# Level A of PDF/A-2 needs the tags that PDF/UA asks for, too; nothing is attached, so PDF/A-3 adds nothing.
_KEPT_FOR = 10
STANDARDS: list[typst.PDFStandard] = ["a-2a", "ua-1"]


def render(statement: Statement, locale: Locale) -> bytes:
    """The statement on pages."""
    document = glyphs.covered(content.of(statement, locale))
    document = layout.laid(document, glyphs.Faces.of(document))
    pages = typst.compile(
        resources.files(__package__).joinpath("report.typ").read_bytes(),
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={"document": json.dumps(document, ensure_ascii=False)},
        pdf_standards=STANDARDS,
        timestamp=datetime.fromtimestamp(statement.dossier.as_of, UTC),
    )
    _forget()
    return packed.packed(pages)


def _forget() -> None:
    """Typst keeps what it laid out for the next ten compilations: 100 MB of each large statement."""
    for _ in range(_KEPT_FOR + 1):
        typst.compile(b"", format="pdf", ignore_system_fonts=True, timestamp=0)
