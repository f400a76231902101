"""The list of home organisations: what it says, what is wrong with it and where."""

from __future__ import annotations

import pytest

from collectors import people
from opsd.core.faults import BadFile
from opsd.core.parties import Person
from opsd.core.period import parse_time, zone


def test_reads_dated_people() -> None:
    """Columns in any order, blanks around cells, empty lines and a byte order mark do not matter."""
    head = "\ufefforganisation, user ,from,until,cluster\n"
    text = f"{head}uv,u1,2026-10-01,,\n\nfct, u2 ,,2026-11-01T08:00:00Z,mn5\n"
    start = parse_time("2026-10-01", zone("Europe/Madrid"))
    until = parse_time("2026-11-01T08:00:00Z", zone("UTC"))
    found = people.read(text, "p.csv", "Europe/Madrid")
    assert [Person("u1", "uv", start), Person("u2", "fct", 0, until, "mn5")] == found


def test_dates_are_optional() -> None:
    """Two columns are enough; a line that says the same twice is one person."""
    assert [Person("u", "uv")] == people.read("user,organisation\nu,uv\nu,uv\n", "p.csv")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "column 'organisation' is missing"),
        ("user\nu\n", 1, "column 'organisation' is missing"),
        ("user,organisation,form\nu,o,x\n", 1, "unknown column 'form'; did you mean 'from'?"),
        ("user,organisation,shoe size\n", 1, "unknown column 'shoe size'; known are user"),
        ("user,organisation,user\n", 1, "a column stands twice"),
        ("user,organisation\nu,o\nu\n", 3, "1 cells under 2 columns"),
        ("user,organisation,from\nu,o,May\n", 2, "not a time: 'May'"),
        ("user,organisation,from,until\nu,o,2026-02-01,2026-01-01\n", 2, "until is before its beginning"),
        ("user,organisation\nu,\n", 2, "organisation is not a name"),
        ("user,organisation\nu,a\nu,b\n", 3, "user 'u' differs from line 2; keep one"),
        ('user,organisation\n"u,o\n', 2, "not CSV"),
    ],
)
def test_names_line_and_remedy(text: str, line: int, message: str) -> None:
    """A wrong line is told with its number."""
    with pytest.raises(BadFile) as caught:
        people.read(text, "p.csv")
    assert (line, True) == (caught.value.faults[0].line, message in caught.value.faults[0].message)


def test_shows_all_faults_at_once() -> None:
    """Every wrong row of a list is named."""
    with pytest.raises(BadFile) as caught:
        people.read("user,organisation,from\nu,o,x\nv,o,\nw,,\n", "p.csv")
    assert [2, 4] == [fault.line for fault in caught.value.faults]
