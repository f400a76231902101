"""The dated list of users' home organisations: CSV text to people.

Invariant: every row became a checked person, or `BadFile` names every row that did not. A list from
a personnel office knows `user,organisation,from,until` and perhaps `cluster`; nothing else is kept.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import tzinfo

from opsd.core.errors import BadText
from opsd.core.faults import BadFile, Fault
from opsd.core.fields import ALWAYS
from opsd.core.names import nearest
from opsd.core.parties import Person
from opsd.core.period import parse_time, zone

COLUMNS = ("user", "organisation", "from", "until", "cluster")
REQUIRED = ("user", "organisation")


def read(text: str, name: str, book_zone: str = "UTC") -> list[Person]:
    """The people of a file, in its order; a bare date is its midnight in `book_zone`."""
    tz = zone(book_zone)
    faults: list[Fault] = []
    people: dict[tuple[str, str, int], tuple[Person, int]] = {}
    for line, row in _rows(text, name):
        try:
            person = _person(row, tz)
        except BadText as err:
            faults.append(Fault(line, str(err)))
            continue
        key = (person.user, person.cluster, person.valid_from)
        if key in people and people[key][0] != person:
            faults.append(Fault(line, f"user {person.user!r} differs from line {people[key][1]}; keep one"))
        people.setdefault(key, (person, line))
    if faults:
        raise BadFile(name, faults)
    return [person for person, _ in people.values()]


def _rows(text: str, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_header(header, name)
        for cells in reader:
            values = [cell.strip() for cell in cells]
            if any(values):
                yield reader.line_num, _named(header, values, name, reader.line_num)
    except csv.Error as err:
        raise BadFile(name, [Fault(reader.line_num, f"not CSV: {err}")]) from err


def _check_header(header: list[str], name: str) -> None:
    faults = [
        Fault(1, f"column {column!r} is missing; add it") for column in REQUIRED if column not in header
    ]
    for column in header:
        if column not in COLUMNS:
            remedy = nearest(column, COLUMNS) or f"; known are {', '.join(COLUMNS)}"
            faults.append(Fault(1, f"unknown column {column!r}{remedy}"))
    if len(set(header)) != len(header):
        faults.append(Fault(1, "a column stands twice; keep one"))
    if faults:
        raise BadFile(name, faults)


def _named(header: list[str], values: list[str], name: str, line: int) -> dict[str, str]:
    if len(values) != len(header):
        message = f"{len(values)} cells under {len(header)} columns; write one for each column"
        raise BadFile(name, [Fault(line, message)])
    return dict(zip(header, values, strict=True))


def _person(row: dict[str, str], tz: tzinfo) -> Person:
    start, until = row.get("from", ""), row.get("until", "")
    return Person(
        user=row["user"],
        organisation=row["organisation"],
        valid_from=parse_time(start, tz) if start else ALWAYS,
        valid_until=parse_time(until, tz) if until else None,
        cluster=row.get("cluster", ""),
    )
