"""The workbook: one style per look, one set-up for every sheet.

Invariant: no text becomes a formula, a number or a link; nothing in the file tells when it was made.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.chart import Chart
from xlsxwriter.format import Format

from opsd.core.dossier import Dossier
from opsd.core.statement.build import Statement
from opsd.core.statement.standing import reported_before
from opsd.core.statement.words import Code, Count, Day, Moment, Month, Msg, msg
from opsd.reports.as_xlsx.sheet import Sheet
from opsd.reports.locale import Locale

_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
}
_DIGITS = 12  # of a digest, enough to tell editions apart by eye
_LONGEST = 100  # characters of each part of a footer; Excel takes 255 in all


class Book:
    """A workbook in memory."""

    def __init__(self, statement: Statement, locale: Locale) -> None:
        self._out = io.BytesIO()
        # A new table each time, because the library adds to it.
        plain = {"font_name": "Arial", "font_size": 10}
        self._book = Workbook(self._out, {**_OPTIONS, "default_format_properties": plain})
        self._styles: dict[tuple[tuple[str, Any], ...], Format] = {}
        dossier = statement.dossier
        period = locale.text(Month(dossier.span.text))
        self.below = f"{dossier.consortium} · {period}" + (f" · {statement.scope}" if statement.scope else "")
        self.footer = _footer(self.below, statement, locale)
        made = datetime.fromtimestamp(dossier.as_of, UTC).replace(tzinfo=None)
        self._book.set_properties({"title": self.below, "author": dossier.consortium, "created": made})

    def sheet(self, name: str) -> Sheet:
        """A new sheet behind the others."""
        return Sheet(self, self._book.add_worksheet(name))

    def chart(self, kind: dict[str, str]) -> Chart:
        """A chart that no sheet holds yet."""
        return self._book.add_chart(kind)

    def style(self, look: dict[str, Any]) -> Format:
        """The format of a look, made once."""
        key = tuple(sorted(look.items()))
        if key not in self._styles:
            self._styles[key] = self._book.add_format({"valign": "top", **look})
        return self._styles[key]

    def content(self) -> bytes:
        """The file."""
        self._book.close()
        return self._out.getvalue()


def _footer(left: str, statement: Statement, locale: Locale) -> str:
    dossier = statement.dossier
    middle = locale.word(_standing(dossier))
    if dossier.digests.facts:
        middle += f" · SHA-256 {dossier.digests.facts[:_DIGITS]}…"
    page = locale.word(msg("Page {page} of {pages}", page=Code("&P"), pages=Code("&N")))
    return f"&L&8{_plain(left)}&C&8{_plain(middle)}&R&8{page}"


def _standing(dossier: Dossier) -> Msg:
    """Which edition, or whether there is none, or whether this is not what it said."""
    if dossier.closing is not None:
        number, day = dossier.closing.edition, dossier.closing.closed_at
        return msg("Edition {number} of {day}", number=Count(number), day=Day(day))
    edition = reported_before(dossier)
    if edition is not None:
        return msg("As now known; reported before as edition {edition}", edition=Count(edition))
    return msg("Not closed; as of {moment}", moment=Moment(dossier.as_of))


def _plain(text: str) -> str:
    """A part of a footer, cut to what it may hold; `&` would begin a code."""
    while len(text.replace("&", "&&")) > _LONGEST:
        text = text[:-1]
    return text.replace("&", "&&")
