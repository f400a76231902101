"""Data alone on stdout: CSV (RFC 4180, dot decimals, UTF-8) and JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A header line and one line per row."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def print_json(rows: Iterable[Mapping[str, object]]) -> None:
    """A list of objects, one per row, in the order of the rows."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    body = ",\n ".join(lines)
    sys.stdout.write(f"[{body}]\n")


def print_rows(form: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """The same rows as CSV or JSON."""
    if form == "csv":
        print_csv(columns, rows)
    else:
        print_json(dict(zip(columns, row, strict=True)) for row in rows)
