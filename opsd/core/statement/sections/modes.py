"""Use by access mode, by sector and by kind of organisation.

Invariant: the tables tell of the same use, so their totals are one number.
"""

from __future__ import annotations

from opsd.core.statement import terms
from opsd.core.statement.footing import footed
from opsd.core.statement.table import TOTAL, Column, Row, Section, Table
from opsd.core.statement.use import Uses, cells, columns
from opsd.core.statement.view import View
from opsd.core.statement.words import Msg, Value, msg, term


def section(view: View) -> Section | None:
    """A table each."""
    return Section(
        "modes",
        msg("Access modes, sectors and kinds of organisation"),
        (
            _table(view, "mode", "modes", msg("Use by access mode"), msg("Access mode")),
            _table(view, "sector", "sectors", msg("Use by sector"), msg("Sector")),
            _table(view, "kind", "kinds", msg("Use by kind of organisation"), msg("Kind of organisation")),
        ),
    )


def _table(view: View, level: str, name: str, title: Msg, label: Msg) -> Table:
    uses = Uses(view, lambda part: (getattr(part.place, level),))
    held = (Column(level, label, wide=True), *columns(view, terms.SHARE))
    rows = [Row({level: _said(level, key[0]), **cells(uses, key)}, {level: key[0]}) for key in uses.keys]
    rows.append(Row({level: terms.TOTAL}, {}, TOTAL))
    return Table(name, title, held, footed(held, rows))


def _said(level: str, key: str) -> Value:
    return term(key, terms.KINDS) if level == "kind" else terms.text(key)
