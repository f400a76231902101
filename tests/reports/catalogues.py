"""`make words`: brings the catalogues of `opsd/reports/locales` up to the words that stand in the code.

What is new is added without a translation, what is gone is taken out, what is there is kept as it is.
Invariant: the words alone decide: run twice, the second changes nothing.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from opsd.reports.locale import STYLES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "opsd" / "reports" / "locales"
TRANSLATED = tuple(code for code in STYLES if code != "en")
_HEADER = """\
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def sources() -> list[Path]:
    """Every module that makes messages."""
    modules = sorted((ROOT / "opsd").rglob("*.py"))
    return [path for path in modules if "msg(" in path.read_text(encoding="utf-8")]


@cache
def ids() -> frozenset[str]:
    """Every message id in the code."""
    found = (extract_from_file("python", path, keywords={"msg": None}) for path in sources())
    return frozenset(str(text) for messages in found for _, text, _, _ in messages)


def read(code: str) -> Catalog:
    """A catalogue as it lies in the tree."""
    with (FOLDER / f"{code}.po").open("rb") as file:
        return _braced(read_po(file, locale=STYLES[code].cldr, abort_invalid=True))


def written(catalogue: Catalog, code: str) -> bytes:
    """A catalogue as a file: in the order of its ids, without places, so that moved code changes none."""
    out = io.BytesIO()
    out.write(_HEADER.format(language=STYLES[code].cldr).encode())
    write_po(
        out, catalogue, width=110, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True
    )
    return out.getvalue()


def updated(code: str) -> bytes:
    """A catalogue with exactly the words of the code."""
    known = {str(one.id): str(one.string) for one in read(code)}
    catalogue = Catalog()
    for text in ids():
        catalogue.add(text, known.get(text, ""))
    return written(_braced(catalogue), code)


def _braced(catalogue: Catalog) -> Catalog:
    """Babel takes a percent sign for a place of `%`; ours are in braces."""
    for message in catalogue:
        message.flags.discard("python-format")
    return catalogue


def main() -> None:
    """Rewrite the catalogues, and say what is left to translate."""
    missing: dict[str, list[str]] = {}
    for code in TRANSLATED:
        (FOLDER / f"{code}.po").write_bytes(updated(code))
        for one in read(code):
            if one.id and not one.string:
                missing.setdefault(str(one.id), []).append(code)
    print(f"{len(ids())} words, {len(missing)} to translate")
    for text in sorted(missing):
        print(f"    {text}  ({' '.join(missing[text])})")


if __name__ == "__main__":
    main()
