"""A certificate as data: CSV for spreadsheets, JSON for programs and for the record.

Invariant: the same certificate gives the same bytes; every number is whole seconds.
"""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

from opsd.core.certificate import CAUSES, COLUMNS, Cell, Certificate
from opsd.core.period import isoformat

VERSION = 1
MOST_CONTRIBUTIONS = 2_000  # in a document that is kept; `opsd explain certificate` has all of a cell


def rows(found: Certificate) -> list[tuple[str | int, ...]]:
    """Every cell in the order of COLUMNS."""
    return [row(found, cell) for cell in found.cells]


def row(found: Certificate, cell: Cell) -> tuple[str | int, ...]:
    """One cell in the order of COLUMNS."""
    figures = (cell.opsd, cell.sreport, *cell.causes, cell.unexplained)
    return (found.cluster, cell.account, cell.user, cell.tres, *figures)


def as_csv(found: Certificate) -> bytes:
    """A header and a line per cell (RFC 4180, UTF-8)."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(found))
    return out.getvalue().encode()


def as_json(found: Certificate) -> bytes:
    """The whole certificate: cells, what the causes were computed from, what nobody can know."""
    document = {
        "kind": "opsd certificate",
        "version": VERSION,
        "against": "sreport",
        "cluster": found.cluster,
        "from": isoformat(found.window.start),
        "to": isoformat(found.window.end),
        "asked": {"from": isoformat(found.asked.start), "to": isoformat(found.asked.end)},
        "timezone": found.zone,
        "made_at": isoformat(found.made_at),
        "evidence": found.evidence,
        "tres": found.tres,
        "not_compared": found.left_out,
        "unit": "TRES-seconds; mem in MB-seconds",
        "summary": summary(found),
        "cells": [dict(zip(COLUMNS, line, strict=True)) for line in rows(found)],
        "unknown": [_unknown(unknown) for unknown in found.unknowns],
        "contributions": {
            "count": len(found.contributions),
            "listed": [_contribution(part) for part in found.contributions[:MOST_CONTRIBUTIONS]],
        },
        "notes": found.notes,
        "sshare": [limit._asdict() for limit in found.limits],
    }
    lines = [f"{json.dumps(name)}: {_value(value)}" for name, value in document.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _value(value: Any) -> str:  # noqa: ANN401 (what JSON holds)
    """A list of objects with a line each, so that two documents can be compared line by line."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n " + ",\n ".join(json.dumps(one, ensure_ascii=False) for one in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def summary(found: Certificate) -> dict[str, int]:
    """How many cells are equal, explained, unexplained; and of those, how many nobody could explain."""
    equal = sum(cell.is_equal for cell in found.cells)
    unexplained = len(found.unexplained)
    return {
        "cells": len(found.cells),
        "equal": equal,
        "explained": len(found.cells) - equal - unexplained,
        "unexplained": unexplained,
        "cannot_be_known": sum(found.is_bounded(cell) for cell in found.unexplained),
    }


def shown_causes(found: Certificate) -> list[int]:
    """The places of the causes that explain anything."""
    return [place for place in range(len(CAUSES)) if any(cell.causes[place] for cell in found.cells)]


def different(found: Certificate) -> list[Cell]:
    """The cells in which opsd and Slurm differ, whether or not that is explained."""
    return [cell for cell in found.cells if not cell.is_equal]


def _contribution(part: Any) -> dict[str, str | int]:  # noqa: ANN401 (contributions and unknowns alike)
    told: dict[str, str | int] = {**part._asdict(), "subject": part.subject.text}
    return told


_unknown = _contribution
