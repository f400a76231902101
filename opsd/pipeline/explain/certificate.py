"""A cell of a certificate explained: each cause with what it was computed from, and what may be in the rest.

Invariant: opsd's figure, the causes and what is unexplained add up to Slurm's; the contributions shown and
the line for the others add up to the causes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsd.core.certificate import CAUSES, MEANINGS, Cell, Certificate, Contribution, above
from opsd.core.errors import WrongUsage
from opsd.core.explanation import NUMBER, TIME, Column, Explanation, Table, Value
from opsd.core.flags import Flag
from opsd.core.names import nearest
from opsd.core.period import isoformat
from opsd.pipeline.explain import runs
from opsd.pipeline.explain.cells import Cell as Asked
from opsd.store import imports, read, trace
from opsd.store.engine import Connection

KEYS = ("account", "user", "tres")
_SUSPECT = Flag.SUSPENDED_UNPLACED | Flag.TWO_SLUIDS | Flag.ENDED_WITHOUT_END | Flag.UNKNOWN_STATE


def run(connection: Connection, found: Certificate, asked: Asked, *, limit: int = 20) -> Explanation:
    """Explain one cell.

    Args:
        found: made just now, so that it has every contribution.
        asked: an account, a TRES, and a user or none for the account's own line.
    """
    cell = _cell(found, dict(asked))
    parts = sorted(_parts(found, cell), key=lambda part: (-abs(part.seconds), part.cause, part.subject))
    tables = [_causes(cell), _contributions(cell, parts, limit)]
    if unknowns := _unknowns(found, cell):
        tables.append(unknowns)
    start, end = isoformat(found.window.start), isoformat(found.window.end)
    facts = {
        "compared": f"{start} to {end}, whole hours of slurmdbd",
        "evidence": found.evidence,
        **{name: MEANINGS[name] for name, seconds in zip(CAUSES, cell.causes, strict=True) if seconds},
    }
    eyes: tuple[str, ...] = ()
    if cell.unexplained:
        tables.append(_candidates(connection, found, cell, limit))
        waiting = imports.quarantine_count(connection)
        if waiting:
            facts["quarantine"] = f"{waiting:,} records could not be read and are not counted"
        eyes = (f"{cell.unexplained:,} {cell.tres}-seconds are unexplained",)
    shown = {name: seconds for name, seconds in zip(CAUSES, cell.causes, strict=True) if seconds}
    return Explanation(
        "certificate", _asked(found, cell),
        {"opsd": cell.opsd, "sreport": cell.sreport, **shown, "unexplained": cell.unexplained},
        tuple(tables), facts, eyes,
    )  # fmt: skip


def _asked(found: Certificate, cell: Cell) -> dict[str, Value]:
    user: dict[str, Value] = {"user": cell.user} if cell.user else {}
    return {"cluster": found.cluster, "account": cell.account, **user, "tres": cell.tres}


def _cell(found: Certificate, asked: Mapping[str, str]) -> Cell:
    for name in ("account", "tres"):
        if name not in asked:
            raise WrongUsage(f"--cell: name the {name}, as in account=es-bio,user=ana,tres=cpu")
    known = {
        "account": {cell.account for cell in found.cells},
        "tres": set(found.tres),
        "user": {cell.user for cell in found.cells if cell.account == asked["account"]} - {""},
    }
    for name, value in asked.items():
        if value and value not in known[name]:
            listed = f"the certificate has {' '.join(sorted(known[name])[:12]) or 'none'}"
            raise WrongUsage(f"--cell {name}={value}: no such {name}{nearest(value, known[name], listed)}")
    key = asked["account"], asked.get("user", ""), asked["tres"]
    empty = Cell(*key, 0, 0, (0,) * len(CAUSES))
    return next((cell for cell in found.cells if cell[:3] == key), empty)


def _parts(found: Certificate, cell: Cell) -> list[Contribution]:
    """What was added to a line: a user's own, or everything in an account and below it."""
    return [
        part
        for part in found.contributions
        if part.tres == cell.tres
        and (
            (part.account, part.user) == (cell.account, cell.user)
            if cell.user
            else cell.account in above(part.account, found.tree)
        )
    ]


def _causes(cell: Cell) -> Table:
    rows: list[tuple[Value, ...]] = [("opsd", cell.opsd, "what opsd usage shows")]
    rows += [
        (name, seconds, MEANINGS[name]) for name, seconds in zip(CAUSES, cell.causes, strict=True) if seconds
    ]
    rows.append(("unexplained", cell.unexplained, "what no cause explains"))
    columns = Column("line"), Column("seconds", NUMBER), Column("meaning")
    title = "From opsd's figure to sreport's"
    return Table("causes", title, columns, tuple(rows), "seconds", cell.sreport)


def _contributions(cell: Cell, parts: list[Contribution], limit: int) -> Table:
    columns = (
        Column("cause"), Column("subject"), Column("account"), Column("user"), Column("seconds", NUMBER),
        Column("evidence"),
    )  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (part.cause, part.subject.text, part.account, part.user, part.seconds, part.words)
        for part in parts[:limit]
    ]
    if others := parts[limit:]:
        rows.append((f"{len(others):,} more", None, None, None, sum(part.seconds for part in others), None))
    title = "What the causes were computed from, the largest first"
    return Table("contributions", title, columns, tuple(rows), "seconds", sum(cell.causes))


def _unknowns(found: Certificate, cell: Cell) -> Table | None:
    columns = (
        Column("cause"), Column("subject"), Column("account"), Column("user"), Column("least", NUMBER),
        Column("most", NUMBER), Column("why"),
    )  # fmt: skip
    rows: tuple[Any, ...] = tuple(
        (one.cause, one.subject.text, one.account, one.user, one.least, one.most, one.words)
        for one in found.cannot_know(cell)
    )
    title = "What could not be computed, and between which bounds it lies"
    return Table("unknown", title, columns, rows) if rows else None


def _candidates(connection: Connection, found: Certificate, cell: Cell, limit: int) -> Table:
    """Runs in the cell about which something is odd."""
    numbers = frozenset(
        number
        for number, (cluster, account) in read.names(connection).accounts.items()
        if cluster == found.cluster
        and (account == cell.account or (not cell.user and cell.account in above(account, found.tree)))
    )
    window = found.window
    odd = trace.flagged(connection, window.start, window.end, numbers, int(_SUSPECT), limit)
    rows = tuple(
        (runs.label(one), one.record.account, one.record.user, one.begin, one.finish, runs.flags(one))
        for one in odd
        if not cell.user or one.record.user == cell.user
    )
    columns = (
        Column("job"), Column("account"), Column("user"), Column("from", TIME), Column("to", TIME),
        Column("odd"),
    )  # fmt: skip
    return Table("candidates", "Runs in the cell about which something is odd", columns, rows)
