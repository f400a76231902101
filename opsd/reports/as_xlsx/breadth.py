"""How broad a text is, in the widths of a digit, in which a workbook measures its columns.

Invariant: about Arial's own widths, rather too broad than too narrow, so that no number becomes ###.
"""

from __future__ import annotations

_BREADTHS = {
    letter: breadth
    for breadth, letters in (
        (0.45, "ijl|'’"),  # noqa: RUF001  # an apostrophe
        (0.52, " \u00a0\u202fftIıİ.,:;!·/\\[]"),  # noqa: RUF001  # the Turkish letters
        (0.64, "r-(){}"),
        (0.93, "cksvxyzçşșžJ"),
        (1.15, "FTZ?+=<>~−TȚ"),  # noqa: RUF001  # a minus
        (1.25, "ABEKPSVXYÁÀÂĂÃÉÈÊŞȘÝ&"),
        (1.33, "CDHNRUwÇÑÜÚÙ"),
        (1.42, "GOQĞÓÒÔÖÕ"),
        (1.52, "mM"),
        (1.75, "W%@—…"),
    )
    for letter in letters
}
_BOLD = 1.08


def breadth(text: str, *, bold: bool = False) -> float:
    """Of a text on one line."""
    found = sum([_BREADTHS.get(letter, 1.0) for letter in text])
    return found * _BOLD if bold else found


def longest_word(text: str, *, bold: bool = False) -> float:
    """The broadest of a text's words."""
    return max((breadth(word, bold=bold) for word in text.split(" ")), default=0.0)


def lines(text: str, width: float, *, bold: bool = False) -> int:
    """How many lines a text takes when its words are set one after the other."""
    if len(text) * 0.5 <= width and "\n" not in text and breadth(text, bold=bold) <= width:
        return 1
    return sum(_wrapped(part, width, bold=bold) for part in text.splitlines()) or 1


def _wrapped(text: str, width: float, *, bold: bool) -> int:
    count, room = 1, width
    blank = breadth(" ", bold=bold)
    for word in text.split(" "):
        left = breadth(word, bold=bold)
        if left > room and room < width:
            count, room = count + 1, width
        while left > width:  # a word that no line holds is cut
            count, left = count + 1, left - width
        room -= left + blank
    return count
