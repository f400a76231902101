"""One table of a statement as CSV: the header is its column ids, before them what each row is about.

Invariant: a number stands alone in its field, in hours, currency or as part of 1; its currency has a field of
its own.
"""

from __future__ import annotations

from opsd.core.statement import words
from opsd.core.statement.table import Table
from opsd.core.statement.words import Value
from opsd.reports import exact
from opsd.reports.as_csv.dialect import Dialect, Field, Figure
from opsd.reports.locale import Locale


def written(table: Table, locale: Locale, dialect: Dialect) -> bytes:
    """A header and a line for each row, subtotals and total included."""
    keys = sorted({key for row in table.rows for key in row.keys})
    money = {
        name for row in table.rows for name, value in row.cells.items() if isinstance(value, words.Amount)
    }
    header = ["role", "depth", *(f"key_{key}" for key in keys)]
    for column in table.columns:
        header += [column.id, f"{column.id}_currency"] if column.id in money else [column.id]
    return dialect.written(header, (_line(table, at, keys, money, locale) for at in range(len(table.rows))))


def _line(table: Table, at: int, keys: list[str], money: set[str], locale: Locale) -> list[Field]:
    row = table.rows[at]
    fields: list[Field] = [row.role, row.depth, *(row.keys.get(key, "") for key in keys)]
    for column in table.columns:
        value = row.cells.get(column.id)
        fields.append("" if value is None else _field(value, locale))
        if column.id in money:
            fields.append(value.currency if isinstance(value, words.Amount) else "")
    return fields


def _field(value: Value, locale: Locale) -> Field:  # noqa: PLR0911  # one line for each kind of value
    match value:
        case words.Hours(hundredths, _):
            return Figure(exact.decimal(hundredths))
        case words.Count(number):
            return number
        case words.Share(None) | words.Ratio(None):
            return ""
        case words.Share(found) | words.Ratio(found) if found is not None:
            return Figure(exact.rounded(found))
        case words.Number(found, decimals):
            return Figure(exact.fixed(found, decimals))
        case words.Amount(micro, _):
            return Figure(exact.micro(micro))
        case words.Day(at):
            return exact.day(at, locale.zone)
        case words.Moment(at):
            return exact.utc(at)
        case words.Month(text):
            return text
        case _:
            return locale.text(value)
