"""How broad a text is, in the widths of a digit, in which a workbook measures its columns.

Invariant: about Arial's own widths, rather too broad than too narrow, so that no number becomes ###.
"""

from __future__ import annotations

_BREADTHS = {
    **dict.fromkeys("ijlI|'’.,:;!·", 0.55),  # noqa: RUF001  # an apostrophe
    **dict.fromkeys(" ftr()[]{}-/\\\u00a0\u202f", 0.65),
    **dict.fromkeys("mwM%W@—…", 1.6),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZÇĞİÖŞÜÁÉÍÓÚÀÈÒÑȘȚÂÎĂÃÕ&<>=+~−", 1.25),  # noqa: RUF001  # minus
}  # fmt: skip
_BOLD = 1.08


def breadth(text: str, *, bold: bool = False) -> float:
    """Of a text on one line."""
    found = sum([_BREADTHS.get(letter, 1.0) for letter in text])
    return found * _BOLD if bold else found


def longest_word(text: str, *, bold: bool = False) -> float:
    """The broadest of a text's words."""
    return max((breadth(word, bold=bold) for word in text.split()), default=0.0)


def lines(text: str, width: float, *, bold: bool = False) -> int:
    """How many lines a text takes when its words are set one after the other."""
    if len(text) * 0.5 <= width and "\n" not in text and breadth(text, bold=bold) <= width:
        return 1
    return sum(_wrapped(part, width, bold=bold) for part in text.splitlines()) or 1


def _wrapped(text: str, width: float, *, bold: bool) -> int:
    count, room = 1, width
    blank = breadth(" ", bold=bold)
    for word in text.split():
        left = breadth(word, bold=bold)
        if left > room and room < width:
            count, room = count + 1, width
        while left > width:  # a word that no line holds is cut
            count, left = count + 1, left - width
        room -= left + blank
    return count
