"""On which line of a TOML text a table or key stands: the library's parser does not tell.

Invariant: it only ever looks; a text it misunderstands costs the accuracy of a message, nothing else.
"""

from __future__ import annotations

import re
from collections import defaultdict

_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_HEADER = re.compile(rf"\s*\[\[?\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*\]")
_KEY = re.compile(rf"\s*({_NAME})\s*[.=]")
_TOKEN = re.compile(r'"""|' + r"'''" + r'|"(?:\\.|[^"\\])*"|' + r"'[^']*'|#.*|[\[\]{}]")
_CLOSING = {'"""': re.compile(r'(?:\\.|[^\\])*?"""', re.DOTALL), "'''": re.compile(r".*?'''", re.DOTALL)}


class Lines:
    """The lines of headers and keys, by table and position."""

    def __init__(self, text: str) -> None:
        self._headers: dict[str, list[int]] = defaultdict(list)
        self._keys: dict[tuple[str, int, str], int] = {}
        self._table = ""
        at = 0
        number = 1
        while at < len(text):
            self._note(text[at : _line_end(text, at)], number)
            end = self._end_of_value(text, at)
            number += text.count("\n", at, end)
            at = end

    def at(self, table: str, position: int, key: str = "") -> int:
        """The line of a key of the position-th table of that name; its header's, or 0, if not found."""
        headers = self._headers.get(table, [])
        line = self._keys.get((table, position, key), 0)
        line = line or (headers[position] if position < len(headers) else 0)
        return line or self._keys.get(("", -1, table), 0)

    def _note(self, line: str, number: int) -> None:
        if header := _HEADER.match(line):
            table, *below = (_bare(part) for part in re.findall(_NAME, header[1]))
            self._table = table
            if below:
                self._keys.setdefault((table, len(self._headers[table]) - 1, below[0]), number)
            else:
                self._headers[table].append(number)
        elif found := _KEY.match(line):
            position = len(self._headers[self._table]) - 1
            self._keys.setdefault((self._table, position, _bare(found[1])), number)

    @staticmethod
    def _end_of_value(text: str, at: int) -> int:
        """Where the lines end that a header or key at `at` reaches over: arrays and long strings."""
        depth = 0
        end = _line_end(text, at)
        while found := _TOKEN.search(text, at, len(text) if depth > 0 else end):
            sign, at = found[0], found.end()
            if sign in _CLOSING:
                closing = _CLOSING[sign].match(text, at)
                at = closing.end() if closing else len(text)
            depth += (sign in "[{") - (sign in "]}")
            end = max(end, _line_end(text, at))
        return end


def _line_end(text: str, at: int) -> int:
    """Just behind the line break that ends the line of position `at`."""
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _bare(name: str) -> str:
    return name.strip("\"'")
