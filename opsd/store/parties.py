"""Master data and journal between the database and `opsd.core`'s values.

Invariant: nothing here imports sqlmodel or pydantic, so that a command that attributes usage starts
at once; `opsd.store.master` declares the same tables, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, get_type_hints

from sqlalchemy import Connection, LargeBinary, Select, and_, cast, column, insert, select, table, update

from opsd.core.amounts import exact, exact_text
from opsd.core.consortium import BY_TABLE, KINDS, Consortium, Item, Kind
from opsd.core.errors import StoreError
from opsd.core.fields import LATEST, BadField
from opsd.core.journal import Entry, chained
from opsd.core.money import Money
from opsd.core.parties import NodeClass

SETTINGS = ("name", "book_zone", "second_person", "smallest_group")
JOURNAL_COLUMNS = (
    "id", "at", "posted", "kind", "award", "unit", "amount", "reason", "author", "approver", "subject",
    "evidence", "digest", "previous", "hash",
)  # fmt: skip

_WHOLES = ("id", "at", "posted", "amount")

_TABLES = {kind.table: table(kind.table, *(column(name) for name in kind.columns)) for kind in KINDS}
_setting = table("consortium_setting", column("key"), column("value"))
_journal = table("journal", *(column(name) for name in JOURNAL_COLUMNS))

Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]  # to the database, from it


def _same(value: Any) -> Any:  # noqa: ANN401  # whatever a column holds as it is
    return value


def _or_none(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else change(value)


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _texts(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else ()


def _wholes(joined: str) -> tuple[int, ...]:
    return tuple(map(int, _texts(joined)))


def _money(text: str) -> Money:
    micro, currency = text.split()
    return Money(int(micro), currency)


def _money_text(value: Money) -> str:
    return f"{value.micro} {value.currency}"


_CODECS: dict[Any, Codec] = {
    Money: (_money_text, _money),
    Money | None: (_or_none(_money_text), _or_none(_money)),
    Fraction: (exact_text, exact),
    Fraction | None: (_or_none(exact_text), _or_none(exact)),
    Decimal | None: (_or_none(lambda value: f"{value:f}"), _or_none(Decimal)),
    tuple[str, ...]: (_joined, _texts),
    tuple[int, ...]: (_joined, _wholes),
    bool: (bool, bool),
}


@cache
def _codecs(kind: Kind) -> tuple[Codec, ...]:
    hints = get_type_hints(kind.values)
    return tuple(_CODECS.get(hints[name], (_same, _same)) for name in kind.columns)


def load(connection: Connection) -> Consortium:
    """All master data."""
    settings = {row.key: row.value for row in connection.execute(select(_setting.c.key, _setting.c.value))}
    items = [item for kind in KINDS for item in _load(connection, kind)]
    kinds, group = settings.get("second_person"), settings.get("smallest_group")
    return Consortium.of(
        items, settings.get("name", ""), settings.get("book_zone", "UTC"),
        None if kinds is None else _texts(kinds), None if group is None else int(group),
    )  # fmt: skip


def node_classes(connection: Connection) -> tuple[NodeClass, ...]:
    """The node inventory alone."""
    kind = BY_TABLE["node_class"]
    found = [item for item in _load(connection, kind) if isinstance(item, NodeClass)]
    return tuple(sorted(found, key=kind.key_of))


def _load(connection: Connection, kind: Kind) -> Iterator[Item]:
    codecs = [(place, read) for place, (_, read) in enumerate(_codecs(kind)) if read is not _same]
    for row in connection.execute(select(*_TABLES[kind.table].c)):
        values = list(row)
        for place, read in codecs:
            values[place] = read(values[place])
        yield kind.values(*values)


def save(connection: Connection, old: Consortium, new: Consortium) -> None:
    """Write what is in `new` and not, or otherwise, in `old`; nothing is ever deleted."""
    for name in SETTINGS:
        value = getattr(new, name)
        if value not in ("", None, getattr(old, name)):
            _save_setting(connection, name, _joined(value) if isinstance(value, tuple) else str(value))
    for kind in KINDS:
        before = old.by_key(kind)
        added: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for key, item in new.by_key(kind).items():
            if key not in before:
                added.append(_row(kind, item))
            elif item != before[key]:
                changed.append(_row(kind, item))
        if added:
            connection.execute(insert(_TABLES[kind.table]), added)
        for row in changed:
            _replace(connection, kind, row)


def _row(kind: Kind, item: Item) -> dict[str, Any]:
    codecs = zip(kind.columns, _codecs(kind), strict=True)
    return {name: write(getattr(item, name)) for name, (write, _) in codecs}


def _replace(connection: Connection, kind: Kind, row: dict[str, Any]) -> None:
    found = _TABLES[kind.table]
    same = and_(*(found.c[name] == row[name] for name in kind.key))
    rest = {name: value for name, value in row.items() if name not in kind.key}
    connection.execute(update(found).where(same).values(rest))


def _save_setting(connection: Connection, key: str, value: str) -> None:
    done = connection.execute(update(_setting).where(_setting.c.key == key).values(value=value))
    if not done.rowcount:
        connection.execute(insert(_setting).values(key=key, value=value))


def journal(connection: Connection) -> list[Entry]:
    """Every entry, oldest first."""
    return [_entry(row) for row in connection.execute(_entries().order_by(_journal.c.id))]


def journal_rows(connection: Connection) -> Iterator[dict[str, Any]]:
    """Every entry as it is stored, by id, for whoever distrusts it: a damaged text is read all the same."""
    lax = connection.dialect.name == "sqlite"  # which keeps bytes that are no text; PostgreSQL does not
    columns = [
        cast(_journal.c[name], LargeBinary).label(name) if lax and name not in _WHOLES else _journal.c[name]
        for name in JOURNAL_COLUMNS
    ]
    for row in connection.execute(select(*columns).order_by(_journal.c.id)).mappings():
        texts = {
            name: value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
            for name, value in row.items()
        }
        yield {**texts, "award": texts["award"] or ""}


def last_entry(connection: Connection) -> Entry | None:
    """The head of the chain."""
    row = connection.execute(_entries().order_by(_journal.c.id.desc()).limit(1)).first()
    return _entry(row) if row else None


def _entries() -> Select[Any]:
    return select(*(_journal.c[name] for name in JOURNAL_COLUMNS))


def _entry(row: Iterable[Any]) -> Entry:
    """An entry as it stands there.

    Raises:
        StoreError: somebody has put there what none can be.
    """
    values = dict(zip(JOURNAL_COLUMNS, row, strict=True))
    try:
        entry = Entry(**{**values, "award": values["award"] or ""})
        odd = [name for name in ("at", "posted") if not -LATEST < values[name] < LATEST]
        odd += [name for name in ("at", "posted", "amount") if type(values[name]) is not int]
    except (BadField, TypeError, AttributeError) as err:
        raise _unreadable(values["id"], str(err)) from err
    if odd:
        raise _unreadable(entry.id, f"its {odd[0]} is {values[odd[0]]!r}")
    return entry


def _unreadable(number: int, why: str) -> StoreError:
    return StoreError(
        f"journal entry {number} cannot be read: {why}: opsd journal verify says more; restore it from a "
        "backup"
    )


def post(connection: Connection, entries: Iterable[Entry]) -> list[Entry]:
    """Add entries to the journal; returns them as they stand there.

    Writers wait for each other (`Store.write`), and no two entries may have the same one before them.
    """
    new = list(chained(entries, last_entry(connection)))
    rows = [{name: getattr(entry, name) for name in JOURNAL_COLUMNS} for entry in new]
    if rows:
        connection.execute(insert(_journal), [{**row, "award": row["award"] or None} for row in rows])
    return new
