"""A statement as data: stable ids, exact numbers as text, times in UTC, words in one language beside them.

Invariant: no number is a float; every file is what statement.schema.json describes. A field is added under
the same schema; one is renamed or dropped under the next.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from opsd.core.amounts import exact_text
from opsd.core.dossier import Dossier
from opsd.core.statement import words
from opsd.core.statement.build import Statement
from opsd.core.statement.table import (
    Block,
    Chart,
    Column,
    Facts,
    Formula,
    Less,
    OfTotal,
    Paragraph,
    Per,
    Plus,
    Row,
    Section,
    Table,
)
from opsd.core.statement.words import Msg, Value
from opsd.reports import exact
from opsd.reports.locale import Locale

SCHEMA = "opsd-statement/2"

Json = dict[str, object]


def render(statement: Statement, locale: Locale) -> bytes:
    """One object; a row of a table is one line, so that two editions can be compared line by line."""
    content = {
        **_header(statement, locale),
        "sections": [_section(one, locale) for one in statement.sections],
    }
    return (_text(content) + "\n").encode()


def _text(tree: object, margin: str = "\n") -> str:
    """Indented down to the objects that hold no list of objects; those take a line each."""
    inner = f"{margin} "
    if isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        return f"[{inner}{f',{inner}'.join(_text(item, inner) for item in tree)}{margin}]"
    if isinstance(tree, dict) and _deep(tree):
        fields = (f"{json.dumps(name)}: {_text(item, inner)}" for name, item in tree.items())
        return f"{{{inner}{f',{inner}'.join(fields)}{margin}}}"
    return json.dumps(tree, ensure_ascii=False, allow_nan=False)


def _deep(tree: Json) -> bool:
    lists = (item for item in tree.values() if isinstance(item, list))
    return any(isinstance(item, dict) for found in lists for item in found)


# ------------------------------------------------------------------------------------------- the header


def _header(statement: Statement, locale: Locale) -> Json:
    dossier = statement.dossier
    span = dossier.span
    return {
        "schema": SCHEMA,
        "language": locale.tag,
        "consortium": dossier.consortium,
        "period": {
            "text": span.text,
            "label": locale.text(words.Month(span.text)),
            "timezone": span.zone,
            "from": exact.utc(span.start),
            "to": exact.utc(span.end),
        },
        "as_of": exact.utc(dossier.as_of),
        "provisional": dossier.provisional,
        "scope": statement.scope or None,
        "standing": statement.standing,
        "edition": dossier.closing.edition if dossier.closing else None,
        "program": dossier.version,
        "digests": {name: found or None for name, found in dossier.digests._asdict().items()},
        "closing": _closing(dossier),
    }


def _closing(dossier: Dossier) -> Json | None:
    closing = dossier.closing
    if closing is None:
        return None
    return {
        "closed_at": exact.utc(closing.closed_at),
        "author": closing.author,
        "approver": closing.approver or None,
        "reason": closing.reason,
        "acknowledged": [concern.name for concern in closing.acknowledged],
        "chain": closing.chain or None,
    }


# ------------------------------------------------------------------------------------ sections and blocks


def _section(section: Section, locale: Locale) -> Json:
    blocks = [_block(block, locale) for block in section.blocks]
    return {"id": section.id, "title": locale.word(section.title), "blocks": blocks}


def _block(block: Block, locale: Locale) -> Json:
    match block:
        case Table():
            return _table(block, locale)
        case Facts():
            return {
                "type": "facts",
                "id": block.id,
                "title": None if block.title is None else locale.word(block.title),
                "facts": [
                    {"id": name, "label": locale.word(label), "value": _cell(value, locale)}
                    for name, label, value in block.facts
                ],
            }
        case Paragraph():
            return {"type": "paragraph", "tone": block.tone, **_message(block.text, locale)}
        case Chart():
            return _chart(block, locale)


def _table(table: Table, locale: Locale) -> Json:
    return {
        "type": "table",
        "id": table.id,
        "title": locale.word(table.title),
        "columns": [_column(column, locale) for column in table.columns],
        "rows": [_row(row, table.columns, locale) for row in table.rows],
        "notes": [locale.word(note) for note in table.notes],
        "empty": None if table.empty is None else locale.word(table.empty),
    }


def _column(column: Column, locale: Locale) -> Json:
    formula = {} if column.formula is None else {"formula": _formula(column.formula)}
    return {"id": column.id, "label": locale.word(column.label), "sums": column.sums, **formula}


def _formula(formula: Formula) -> Json:
    match formula:
        case Less(columns):
            return {"less": list(columns)}
        case Plus(columns):
            return {"plus": list(columns)}
        case Per(part, whole):
            return {"per": [part, whole]}
        case OfTotal(column):
            return {"of_total": column}


def _row(row: Row, columns: Sequence[Column], locale: Locale) -> Json:
    held = ((column.id, row.cells.get(column.id)) for column in columns)
    return {
        "role": row.role,
        "depth": row.depth,
        "tone": row.tone,
        "summed": row.summed,
        "keys": dict(row.keys),
        "cells": {name: _cell(value, locale) for name, value in held if value is not None},
    }


def _chart(chart: Chart, locale: Locale) -> Json:
    return {
        "type": "chart",
        "id": chart.id,
        "kind": chart.kind,
        "title": locale.word(chart.title),
        "unit": locale.word(chart.unit),
        "categories": [_cell(value, locale) for value in chart.categories],
        "series": [
            {
                "label": _cell(series.label, locale),
                "values": [_cell(value, locale) for value in series.values],  # no pandas here
            }
            for series in chart.series
        ],
    }


# ------------------------------------------------------------------------------------------------ values


def _cell(value: Value, locale: Locale) -> Json:  # noqa: C901, PLR0911, PLR0912  # one line for each kind of value
    match value:
        case words.Text(text):
            return {"text": text}
        case words.Hours(hundredths, seconds):
            return {"hours": exact.decimal(hundredths), "seconds": exact_text(seconds)}
        case words.Count(number):
            return {"count": number}
        case words.Share(found):
            return (
                {"share": None}
                if found is None
                else {"share": exact.rounded(found), "exact": exact_text(found)}
            )
        case words.Ratio(found):
            return (
                {"ratio": None}
                if found is None
                else {"ratio": exact.rounded(found), "exact": exact_text(found)}
            )
        case words.Number(found, decimals):
            return {"number": exact.fixed(found, decimals), "exact": exact_text(found)}
        case words.Amount(micro, currency):
            return {"amount": exact.micro(micro), "currency": currency}
        case words.Day(at):
            return {"day": exact.day(at, locale.zone), "at": exact.utc(at)}
        case words.Moment(at):
            return {"at": exact.utc(at)}
        case words.Month(text):
            return {"period": text, "text": locale.text(value)}
        case words.Country(code):
            return {"country": code, "text": locale.text(value)}
        case words.Code(text):
            return {"code": text}
        case Msg():
            return _message(value, locale)


def _message(message: Msg, locale: Locale) -> Json:
    values = {name: _cell(value, locale) for name, value in message.values}
    return {"message": message.id, **({"values": values} if values else {}), "text": locale.word(message)}
