"""Editions of closed months, as they were frozen: records, runs and files, each with its digest.

Invariant: an edition is added whole, in one transaction, and nothing of it is ever changed; the database's
own triggers refuse that. What is read here is handed over as it is stored: `opsd.pipeline.verify` judges it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, LargeBinary, RowMapping, Select, Text, cast, insert, select

from opsd.core import canonical
from opsd.core.dossier import Record
from opsd.core.errors import StoreError
from opsd.core.fields import LATEST
from opsd.store import tables

_edition, _record, _runs, _file = (
    tables.edition,
    tables.edition_record,
    tables.edition_runs,
    tables.edition_file,
)
_LEVEL = 6  # of deflate: the same bytes for the same text
_AT_ONCE = 1_000
DAMAGED = "damaged"  # what digests that are no JSON are read as


class RunList(NamedTuple):
    """The runs behind a month, as canonical text: a line each."""

    period: str
    runs: int
    text: str


class File(NamedTuple):
    """One rendered file."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Edition:
    """One frozen edition, without what it holds."""

    period: str
    number: int
    start: int
    end: int
    zone: str
    made_at: int
    journal_id: int
    records: int
    digest: str
    digests: Mapping[str, str]  # of facts, master, configuration, program
    id: int = 0  # 0: not stored yet

    @property
    def name(self) -> str:
        """`2026-10/1`."""
        return f"{self.period}/{self.number}"


class Kept(NamedTuple):
    """A piece of an edition as it is stored, with the digest that stands beside it."""

    kind: str  # of a record: its kind; of runs: the period; of a file: its name
    number: int  # of a record: its place; of runs: how many; of a file: its size
    content: bytes
    sha256: str


def whole_digest(records: Iterable[str], runs: Mapping[str, str], files: Mapping[str, str]) -> str:
    """The digest of an edition: over the digests of all it holds, in order."""
    return canonical.digest(
        canonical.dumped(
            {
                "records": list(records),
                "runs": dict(sorted(runs.items())),
                "files": dict(sorted(files.items())),
            }
        )
    )


def digest_of(records: Sequence[Record], runs: Iterable[RunList], files: Iterable[File]) -> str:
    """The digest that an edition of these will have."""
    return whole_digest(
        (record_digest(*record) for record in records),
        {found.period: canonical.digest(found.text) for found in runs},
        {found.name: canonical.digest(found.content) for found in files},
    )


def record_digest(kind: str, text: str) -> str:
    """The digest of one record, its kind included."""
    return canonical.digest(f"{kind}\n{text}")


def add(
    connection: Connection,
    edition: Edition,
    records: Sequence[Record],
    runs: Sequence[RunList],
    files: Sequence[File],
) -> Edition:
    """Freeze an edition; the journal's entry that vouches for it is there already."""
    row = {
        name: getattr(edition, name)
        for name in (
            "period", "number", "start", "end", "zone", "made_at", "journal_id", "records", "digest",
        )
    }  # fmt: skip
    row["digests"] = canonical.dumped(dict(edition.digests))
    found = connection.execute(insert(_edition).returning(_edition.c.id), row).scalar_one()
    rows = [
        {
            "edition_id": found,
            "number": number,
            "kind": kind,
            "text": text,
            "sha256": record_digest(kind, text),
        }
        for number, (kind, text) in enumerate(records, 1)
    ]
    for at in range(0, len(rows), _AT_ONCE):
        connection.execute(insert(_record), rows[at : at + _AT_ONCE])
    for held in runs:
        content = held.text.encode()
        connection.execute(insert(_runs), {
            "edition_id": found, "period": held.period, "runs": held.runs,
            "content": zlib.compress(content, _LEVEL), "sha256": canonical.digest(content),
        })  # fmt: skip
    for file in files:
        connection.execute(insert(_file), {
            "edition_id": found, "name": file.name, "size": len(file.content), "content": file.content,
            "sha256": canonical.digest(file.content),
        })  # fmt: skip
    return Edition(**{**{name: getattr(edition, name) for name in Edition.__slots__}, "id": found})


def every(connection: Connection) -> list[Edition]:
    """All editions, by month and number."""
    columns = [_lax(connection, column) for column in _edition.c]
    found = [_read(row) for row in connection.execute(select(*columns)).mappings()]
    return sorted(found, key=lambda edition: (edition.start, edition.period, edition.number))


def find(connection: Connection, period: str, number: int | None = None) -> Edition | None:
    """One edition of a month; without a number the last."""
    found = [edition for edition in every(connection) if edition.period == period]
    wanted = [edition for edition in found if number in (None, edition.number)]
    return wanted[-1] if wanted else None


def _read(row: RowMapping) -> Edition:
    values = {name: _text(row[name]) for name in Edition.__slots__}
    try:
        digests = json.loads(values["digests"])
    except ValueError:
        digests = None
    if not isinstance(digests, dict):
        digests = {DAMAGED: values["digests"]}
    for name in ("number", "start", "end", "made_at"):
        if not isinstance(values[name], int) or abs(values[name]) >= LATEST:
            raise _changed(f"{values['period']}/{values['number']}", f"its {name} is {values[name]!r}")
    return Edition(**{**values, "digests": digests})


def _lax(connection: Connection, column: Column[Any]) -> Any:  # noqa: ANN401  # something to select
    """A column as it is stored: SQLite keeps bytes that are no text; `verify` must be able to name them."""
    if connection.dialect.name == "sqlite" and isinstance(column.type, Text):
        return cast(column, LargeBinary).label(column.name)
    return column


def _text(value: Any) -> Any:  # noqa: ANN401  # whatever a column holds
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def records(connection: Connection, edition: Edition, kinds: Sequence[str] = ()) -> list[Record]:
    """The records of an edition in their order; of some kinds alone, or all.

    Raises:
        StoreError: one is not as it was frozen; no number is made of it.
    """
    held = list(kept_records(connection, edition))
    if [kept.number for kept in held] != list(range(1, edition.records + 1)):
        raise _changed(edition, f"it had {edition.records} records, and has others")
    for kept in held:
        if canonical.digest(kept.kind.encode() + b"\n" + kept.content) != kept.sha256:
            raise _changed(edition, f"record {kept.number} was changed")
    return [(kept.kind, kept.content.decode()) for kept in held if not kinds or kept.kind in kinds]


def _changed(edition: Edition | str, what: str) -> StoreError:
    name = edition if isinstance(edition, str) else edition.name
    return StoreError(
        f"edition {name} is not as it was frozen: {what}: opsd period verify says more; restore it from a "
        "backup"
    )


def kept_records(connection: Connection, edition: Edition) -> Iterator[Kept]:
    """The records with their digests."""
    names = ("kind", "number", "text", "sha256")
    columns = [_lax(connection, _record.c[name]) for name in names]
    for kind, number, text, sha256 in connection.execute(
        _of(edition, _record, *columns).order_by(_record.c.number)
    ):
        yield Kept(_text(kind), number, _bytes(text), _text(sha256))


def kept_runs(connection: Connection, edition: Edition) -> Iterator[Kept]:
    """The lists of runs, still deflated, with the digests of their texts."""
    names = ("period", "runs", "content", "sha256")
    columns = [_lax(connection, _runs.c[name]) for name in names]
    for period, runs, content, sha256 in sorted(
        tuple(row) for row in connection.execute(_of(edition, _runs, *columns))
    ):
        yield Kept(_text(period), runs, content, _text(sha256))


def kept_files(connection: Connection, edition: Edition) -> Iterator[Kept]:
    """The files with their digests."""
    columns = [_lax(connection, _file.c[name]) for name in ("name", "size", "content", "sha256")]
    found = [tuple(row) for row in connection.execute(_of(edition, _file, *columns))]
    for name, size, content, sha256 in sorted(found):
        yield Kept(_text(name), size, content, _text(sha256))


def kept_file(connection: Connection, edition: Edition, name: str) -> Kept | None:
    """One file with its digest, if there is one of that name."""
    columns = (_file.c.name, _file.c.size, _file.c.content, _file.c.sha256)
    row = connection.execute(_of(edition, _file, *columns).where(_file.c.name == name)).first()
    return Kept(*row) if row else None


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def inflated(content: bytes) -> bytes:
    """The text of a list of runs.

    Raises:
        ValueError: it cannot be inflated.
    """
    try:
        return zlib.decompress(content)
    except zlib.error as err:
        raise ValueError(str(err)) from err


def latest_runs(connection: Connection, period: str, editions: Iterable[int]) -> str:
    """The text of the run list of a month that was frozen last, by one of some editions.

    Raises:
        StoreError: it is not as it was frozen, or gone.
    """
    held = connection.scalars(
        select(_runs.c.edition_id).where(_runs.c.period == period, _runs.c.edition_id.in_(list(editions)))
    )
    last = max(held, default=None)
    if last is None:
        raise _changed(period, "its runs are gone")
    query = select(_runs.c.content, _runs.c.sha256)
    row = connection.execute(query.where(_runs.c.period == period, _runs.c.edition_id == last)).one()
    try:
        content = inflated(row.content)
    except ValueError as err:
        raise _changed(period, f"its runs cannot be read ({err})") from err
    if canonical.digest(content) != row.sha256:
        raise _changed(period, "its runs were changed")
    return content.decode()


def _of(edition: Edition, table: Any, *columns: Any) -> Select[Any]:  # noqa: ANN401
    return select(*columns).where(table.c.edition_id == edition.id)


def files(connection: Connection, edition: Edition) -> list[File]:
    """The files of an edition by their names.

    Raises:
        StoreError: one is not as it was frozen.
    """
    held = list(kept_files(connection, edition))
    for kept in held:
        if canonical.digest(kept.content) != kept.sha256:
            raise _changed(edition, f"file {kept.kind} was changed")
    return [File(kept.kind, kept.content) for kept in held]
