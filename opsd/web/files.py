"""The month's report as files: in which formats and languages, and whether it is closed.

Invariant: links alone choose; a page remembers nothing of its reader.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import NamedTuple
from urllib.parse import urlencode

from opsd import reports
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.statement.build import KNOWN, REPORTED
from opsd.reports.locale import STYLES
from opsd.store.editions import Edition
from opsd.web import words

ENGLISH = "en"
LANGUAGES = {
    "en": "English", "es": "español", "ca": "català", "pt": "português", "tr": "Türkçe", "ro": "română",
}  # fmt: skip
_LABELS = {"xlsx": "Excel", "csv-semicolon": "CSV ;"}
_FIRST = "xlsx"
_USES = {
    "xlsx": "a workbook: to read, to check the sums, to go on calculating",
    "pdf": "pages to sign",
    "csv": "use, as one table for programs",
    "csv-semicolon": "the same for a spreadsheet with a decimal comma",
    "json": "everything, exact, for programs",
    "zip": "all of these, every table as CSV, and a manifest with digests",
}


class Choice(NamedTuple):
    """What a reader chose by the links of the page."""

    language: str = ENGLISH
    standing: str = ""  # empty: as reported, where the month is closed

    @classmethod
    def of(cls, language: str, standing: str) -> Choice:
        """What an address says.

        Raises:
            WrongUsage: there is no such language or standing.
        """
        for text, known, what in (
            (language, tuple(STYLES), "language"),
            (standing, ("", REPORTED, KNOWN), "standing"),
        ):
            if text not in known:
                there = f"there are {' '.join(known)}"
                raise WrongUsage(f"{what} {text!r}: there is none" + nearest(text, known, there))
        return cls(language, standing)

    @property
    def query(self) -> dict[str, str]:
        """What stands in addresses; what goes without saying does not."""
        found = {"locale": self.language if self.language != ENGLISH else "", "as": self.standing}
        return {name: text for name, text in found.items() if text}


class Link(NamedTuple):
    """A word that leads somewhere."""

    text: str
    address: str
    code: str  # of a language or format
    is_chosen: bool = False
    use: str = ""


class Files(NamedTuple):
    """What the page offers."""

    formats: tuple[Link, ...]
    languages: tuple[Link, ...]
    state: str  # in words
    is_closed: bool
    other: Link | None  # the same month with the other standing; None: there is none
    kept: str  # what links to other months carry on


def files(month: str, edition: Edition | None, choice: Choice, tz: tzinfo, *, running: bool) -> Files:
    """The ways to the month's report."""
    return Files(
        tuple(
            Link(
                _LABELS.get(form, form.upper()),
                _address(f"/report/{month}.{form}", choice.query),
                form,
                form == _FIRST,
                _USES[form],
            )
            for form in reports.FORMATS
        ),
        tuple(
            Link(name, _page(month, choice._replace(language=code)), code, code == choice.language)
            for code, name in LANGUAGES.items()
        ),
        _state(edition, choice, tz, running=running),
        edition is not None and choice.standing != KNOWN,
        _other(month, edition, choice),
        f"&{urlencode(kept)}" if (kept := choice._replace(standing="").query) else "",
    )


def _state(edition: Edition | None, choice: Choice, tz: tzinfo, *, running: bool) -> str:
    if edition is None:
        return "Provisional: the month is not over" if running else "Provisional: the month is not closed"
    closed = f"on {words.day(edition.made_at, tz)}, edition {edition.number}"
    return f"As known now; closed {closed}" if choice.standing == KNOWN else f"Closed {closed}"


def _other(month: str, edition: Edition | None, choice: Choice) -> Link | None:
    if edition is None:
        return None
    if choice.standing == KNOWN:
        return Link("take it as it was closed", _page(month, choice._replace(standing="")), REPORTED)
    return Link("take it as known now", _page(month, choice._replace(standing=KNOWN)), KNOWN)


def _page(month: str, choice: Choice) -> str:
    return _address("/", {"month": month, **choice.query})


def _address(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
