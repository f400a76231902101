"""A consortium file as values, with the line of each.

Invariant: either every entry of the file became a checked value, or `BadFile` names everything that
did not. Whether entries fit together is `opsd.core.soundness`' question, asked after merging.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Any

from collectors.consortium import layout
from collectors.consortium.lines import Lines
from opsd.core.consortium import KINDS, Consortium, Item, Kind
from opsd.core.consortium import Key as ItemKey
from opsd.core.errors import BadText
from opsd.core.faults import BadFile, Fault, place
from opsd.core.fields import BadField
from opsd.core.names import nearest
from opsd.core.period import zone
from opsd.core.soundness import Problem, shown
from opsd.core.terms import Params

_PARAMS = frozenset(field.name for field in fields(Params))


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and where."""

    name: str
    consortium: Consortium
    lines: Lines
    positions: dict[tuple[str, ItemKey], int]

    def place(self, problem: Problem) -> str:
        """`file:line` of a problem, or the file alone where the entry is not in it."""
        position = self.positions.get((problem.table, problem.key))
        if problem.table == layout.CONSORTIUM:
            position = 0
        key = layout.TO_KEY.get(problem.field, problem.field)
        return place(self.name, 0 if position is None else self.lines.at(problem.table, position, key))


def read(text: str, name: str, book_zone: str = "UTC") -> Consortium:
    """The values of a consortium file.

    Args:
        name: of the file, for messages.
        book_zone: of the installation; used where the file names none.
    """
    return read_document(text, name, book_zone).consortium


def read_document(text: str, name: str, book_zone: str = "UTC") -> Document:
    """The same, with the line of every entry."""
    return _Reading(text, name, book_zone).document()


class _Reading:
    def __init__(self, text: str, name: str, book_zone: str) -> None:
        self.name = name
        self.raw = _parsed(text, name)
        self.lines = Lines(text)
        self.book_zone = book_zone
        self.faults: list[Fault] = []
        self.positions: dict[tuple[str, ItemKey], int] = {}

    def document(self) -> Document:
        self._unknown_tables()
        said = self._consortium(self.raw.get(layout.CONSORTIUM, {}))
        self.book_zone = said.get("book_zone", self.book_zone)
        tz = self._zone()
        items = [item for kind in KINDS for item in self._items(kind, tz)]
        if self.faults:
            raise BadFile(self.name, self.faults)
        held = Consortium.of(items, **{**said, "book_zone": self.book_zone})
        return Document(self.name, held, self.lines, self.positions)

    def _fault(self, table: str, position: int, key: str, message: str) -> None:
        header = f"[{table}]" if table == layout.CONSORTIUM else f"[[{table}]]"
        said = (
            f"{header} {message}" if key and message.startswith(f"{key} ") else f"{header} {key}: {message}"
        )
        said = said if key else f"{header}: {message}"
        self.faults.append(Fault(self.lines.at(table, position, key), said))

    def _unknown_tables(self) -> None:
        for table in self.raw:
            if table not in layout.table_names():
                line = self.lines.at(table, 0)
                message = f"unknown table {table!r}{_known(table, layout.table_names())}"
                self.faults.append(Fault(line, message))

    def _consortium(self, raw: object) -> dict[str, Any]:
        """The settings that the file says."""
        if not isinstance(raw, dict):
            self._fault(layout.CONSORTIUM, 0, "", "not one table; write [consortium] once")
            return {}
        self._unknown_keys(layout.CONSORTIUM, 0, raw, layout.CONSORTIUM_KEYS)
        said: dict[str, Any] = {}
        for key, read in layout.CONSORTIUM_KEYS.items():
            if key in raw:
                try:
                    said[key] = read(raw[key], UTC)
                except BadText as err:
                    self._fault(layout.CONSORTIUM, 0, key, str(err))
        return said

    def _zone(self) -> tzinfo:
        try:
            return zone(self.book_zone)
        except BadText as err:
            self._fault(layout.CONSORTIUM, 0, "book_zone", str(err))
            return zone("UTC")

    def _items(self, kind: Kind, tz: tzinfo) -> Iterator[Item]:
        rows = self.raw.get(kind.table, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._fault(kind.table, 0, "", f"not a list of tables; write [[{kind.table}]] above each")
            return
        for position, row in enumerate(rows):
            item = self._item(kind, position, row, tz)
            if item is None:
                continue
            key = kind.key_of(item)
            if (kind.table, key) in self.positions:
                first = self.lines.at(kind.table, self.positions[kind.table, key])
                same = f"{shown(kind.table, key, tz)} stands already at line {first}; keep one"
                self._fault(kind.table, position, "", same)
                continue
            self.positions[kind.table, key] = position
            yield item

    def _item(self, kind: Kind, position: int, row: dict[str, Any], tz: tzinfo) -> Item | None:
        before = len(self.faults)
        keys = layout.keys_of(kind)
        self._unknown_keys(kind.table, position, row, [key.name for key in keys])
        values: dict[str, Any] = {}
        for key in keys:
            if key.name in row:
                try:
                    values[key.field] = key.read(row[key.name], tz)
                except BadText as err:
                    self._fault(kind.table, position, key.name, str(err))
            elif key.required:
                self._fault(kind.table, position, "", f"{key.name} is missing; add {key.name} = …")
            elif key.may_be_none:
                values[key.field] = None
        if len(self.faults) > before:
            return None
        try:
            return _built(kind, values)
        except BadField as err:
            self._fault(kind.table, position, layout.TO_KEY.get(err.field, err.field), str(err))
            return None

    def _unknown_keys(self, table: str, position: int, row: Iterable[str], known: Iterable[str]) -> None:
        for key in row:
            if key not in known:
                self._fault(table, position, key, f"unknown key{_known(key, known)}")


def _built(kind: Kind, values: dict[str, Any]) -> Item:
    params = {field: values.pop(field) for field in _PARAMS & values.keys()} if kind.table == "policy" else {}
    if params:
        values["params"] = Params(**params).text
    item: Item = kind.values(**values)
    return item


def _known(text: str, known: Iterable[str]) -> str:
    return nearest(text, known) or f"; known are {', '.join(known)}"


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as err:
        message, _, at = str(err).partition(" (at ")
        line = at.removeprefix("line ").partition(",")[0]
        fault = Fault(int(line), message) if line.isdigit() else Fault(0, str(err))
        raise BadFile(name, [Fault(fault.line, f"not TOML: {fault.message}")]) from err
    except (ValueError, RecursionError) as err:
        raise BadFile(name, [Fault(0, f"not TOML that can be read: {err}")]) from err
