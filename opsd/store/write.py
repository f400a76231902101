"""Storing runs: idempotent, order-free, and never without marking what it makes stale.

One batch is one transaction: new runs, changed runs, their versions and the dirty cells of the day
facts become visible together or not at all. So a kill at any instruction leaves usage equal to the
runs stored, and the same batch again changes nothing.

Nearly every run is new or seen again unchanged, and the database tells which, batch by batch. Only
runs whose content differs from what is stored go through `opsd.core.versions` one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from opsd.core.flags import Flag
from opsd.core.period import DAY
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory, classify
from opsd.core.tres import Tres
from opsd.core.usage import interval
from opsd.core.versions import Truth, Version, distinct, merge
from opsd.store import tables
from opsd.store.bulk import bulk_insert
from opsd.store.dirty import Held, mark_dirty
from opsd.store.intern import Accounts, Shapes, Words, texts, upsert

_run = tables.run
RUN_COLUMNS = tuple(column.name for column in _run.c if column.name != "id")
_BOUND_COLUMNS = tuple(f"new_{name}" for name in RUN_COLUMNS)
_VERSION_COLUMNS = tuple(column.name for column in tables.run_version.c)
_NAMED_IDS = 500  # at most so many ids are named in one statement
_PLAIN = Flag.NONE
_KEY = ("cluster_id", "job_id", "submit")

# Where the database finds a batch while it compares it with what it has: just enough of each record
# to tell whether it is new, known, or different. One per connection.
incoming = Table(
    "incoming",
    MetaData(),
    Column("place", Integer, primary_key=True),  # in the batch
    Column("cluster_id", BigInteger),
    Column("job_id", BigInteger),
    Column("submit", BigInteger),
    Column("hash", BigInteger),
    Column("elapsed", BigInteger),
    Column("suspended", BigInteger),
    prefixes=["TEMPORARY"],
)
_INCOMING_COLUMNS = tuple(column.name for column in incoming.c)
_same_key = and_(*(_run.c[name] == incoming.c[name] for name in _KEY))


@dataclass(slots=True)
class Tally:
    """What became of a batch."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    flags: Counter[Flag] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count another batch in."""
        self.new += other.new
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.flags.update(other.flags)


class Writer:
    """Writes the batches of one reading. Thrown away with its caches when a transaction fails."""

    def __init__(
        self, connection: Connection, inventory: Inventory, import_id: int, observed_at: int
    ) -> None:
        self.import_id = import_id
        self.observed_at = observed_at
        self.inventory = inventory
        self.words = Words(connection)
        self.accounts = Accounts(connection, self.words)
        self.shapes = Shapes(connection)
        self._all_new = connection.dialect.name == "sqlite"  # whether the last batch was; a guess at first
        self._shape_ids: dict[tuple[str, int, bool], tuple[int, int]] = {}

    def use(self, connection: Connection) -> None:
        """Go on in the next transaction, after the last one was committed."""
        self.words.connection = self.accounts.connection = self.shapes.connection = connection

    def classify_by(self, inventory: Inventory) -> None:
        """Classify what follows by another state of the node inventory."""
        if inventory is not self.inventory:
            self.inventory = inventory
            self._shape_ids.clear()

    def batch(self, connection: Connection, records: Sequence[RunRecord]) -> Tally:
        """Store one batch inside the caller's transaction."""
        self.use(connection)
        if self._all_new and (tally := self._added(connection, records)):
            return tally
        total = Tally()
        while records:
            records, twins = _first_of_each_key(records)
            total.add(self._distinct_batch(connection, records))
            records = twins
        return total

    def _distinct_batch(self, connection: Connection, records: Sequence[RunRecord]) -> Tally:
        pairs = self._new_or_different(connection, records)
        fresh = self.rows([records[place] for place, run in pairs if run is None])
        bulk_insert(connection, _run, RUN_COLUMNS, fresh)
        mark_dirty(connection, _cells_of_rows(fresh))
        different = {
            run: Version(records[place], self.observed_at, self.import_id)
            for place, run in pairs
            if run is not None
        }
        changed, flags = self._merge(connection, different)
        self._all_new = connection.dialect.name == "sqlite" and len(fresh) == len(records)
        if len(fresh) < len(records):
            seen = {"seen": self.observed_at, "number": self.import_id}
            connection.execute(_VERSION_SEEN_AGAIN, seen)
            connection.execute(_SEEN_AGAIN, seen)
        return Tally(len(fresh), changed, len(records) - len(fresh) - changed, _flag_counts(fresh) + flags)

    def current(self, connection: Connection, runs: Sequence[int]) -> dict[int, Version]:
        """What is known of these stored runs now, all versions taken together, as one observation each."""
        reader = Reader(connection)
        return {
            row["id"]: reader.version(dict(row))
            for chunk in _chunks(sorted(runs), _NAMED_IDS)
            for row in connection.execute(select(_run).where(_run.c.id.in_(chunk))).mappings()
        }

    def observe(self, connection: Connection, seen: Mapping[int, Version]) -> int:
        """Weigh one more observation of each of these stored runs; returns how many changed."""
        self.use(connection)
        return self._merge(connection, seen)[0]

    def _added(self, connection: Connection, records: Sequence[RunRecord]) -> Tally | None:
        """Store a batch on the guess that all of it is new, as the last one was; None if it is not.

        A first load is all new, and comparing it would cost a quarter of its time.
        """
        rows = self.rows(records)
        try:
            with connection.begin_nested():
                bulk_insert(connection, _run, RUN_COLUMNS, rows)
        except IntegrityError:
            self._all_new = False
            return None
        mark_dirty(connection, _cells_of_rows(rows))
        return Tally(new=len(rows), flags=_flag_counts(rows))

    def _new_or_different(
        self, connection: Connection, records: Sequence[RunRecord]
    ) -> list[tuple[int, int | None]]:
        """(place in the batch, run id or None) of the records that need work."""
        words = self.words
        staged = [(i, words[r[0]], r[1], r[2], r[-1], r[12], r[13]) for i, r in enumerate(records)]
        incoming.create(connection, checkfirst=True)
        connection.execute(incoming.delete())
        bulk_insert(connection, incoming, _INCOMING_COLUMNS, staged)
        found: Any = connection.execute(_NEW_OR_DIFFERENT, {"seen": self.observed_at}).cursor
        return list(found.fetchall())

    # -- one record to one row ---------------------------------------------------------------------

    def rows(self, records: Iterable[RunRecord]) -> list[tuple[Any, ...]]:
        """Records as rows of `run` in the order of RUN_COLUMNS, each as if it were the only version."""
        words, accounts, shape_of = self.words, self.accounts, self._shape
        seen, number = self.observed_at, self.import_id
        rows = []
        for record in records:
            (
                cluster, job_id, submit, start, end, state, account, _, user, partition, qos, eligible,
                elapsed, suspended, limit, nodes, label, reservation_id, assoc_id, db_index, sluid,
                slurm_flags, suspensions, digest,
            ) = record  # fmt: skip
            begin, finish, flags = interval(record)
            shape_id, shape_flags = shape_of(record)
            if begin is not None:
                flags |= shape_flags
            rows.append((
                words[cluster], job_id, submit, accounts[cluster, account], words[user], words[partition],
                words[qos], words[state], words[slurm_flags], shape_id, start, end, eligible, elapsed,
                suspended, limit, nodes, label, reservation_id, assoc_id, db_index, sluid, suspensions,
                begin, finish, seen if end is None else None, flags, digest, seen, 1, number,
            ))  # fmt: skip
        return rows

    def _shape(self, record: RunRecord) -> tuple[int, int]:
        at = record.start if record.start is not None else record.submit
        node_class, oddity = self.inventory.class_of(record.cluster, record.nodes, record.partition, at)
        # The inventory holds its classes for good, so their identity is a sound and cheap key.
        key = (record.tres, id(node_class), oddity is _PLAIN)
        known = self._shape_ids.get(key)
        if known is None:
            shape, flags = classify(Tres.from_canonical(record.tres), node_class)
            known = self._shape_ids[key] = (self.shapes[shape], int(flags | oddity))
        return known

    # -- runs that differ from what is stored -----------------------------------------------------

    def _merge(self, connection: Connection, different: Mapping[int, Version]) -> tuple[int, Counter[Flag]]:
        """Weigh observations against the stored versions of their runs.

        Returns:
            (runs changed, what is newly odd about them).
        """
        odd: Counter[Flag] = Counter()
        if not different:
            return 0, odd
        changed, updates, versions, stale = 0, [], [], []
        for run_id, (old, before) in Reader(connection).runs(different).items():
            after = distinct([*before.values(), different[run_id]])
            if after == before:
                continue
            row = self._truth_row(merge(after.values()), len(after))
            if len(after) > 1:
                versions += [self._version_row(run_id, version) for version in after.values()]
            if row != old:
                updates.append(dict(zip(_BOUND_COLUMNS, row, strict=True), run_id=run_id))
            if _content(row) != _content(old):
                changed += 1
                odd.update(Flag(row[_AT["flags"]] & ~old[_AT["flags"]]))
                stale += [*_held(old).cells(), *_held(row).cells()]
        _write_changes(connection, updates, versions)
        mark_dirty(connection, stale)
        return changed, odd

    def _truth_row(self, truth: Truth, versions: int) -> tuple[Any, ...]:
        row = dict(zip(RUN_COLUMNS, *self.rows([truth.record]), strict=True))
        row |= {"observed_at": truth.observed_at, "import_id": truth.import_id}
        row |= {"seen_open": truth.seen_open, "versions": versions}
        if truth.two_sluids:
            row["flags"] |= int(Flag.TWO_SLUIDS)
        return tuple(row.values())

    def _version_row(self, run_id: int, version: Version) -> dict[str, Any]:
        row = dict(zip(RUN_COLUMNS, *self.rows([version.record]), strict=True))
        row |= {"observed_at": version.observed_at, "import_id": version.import_id}
        row |= {"run_id": run_id, "tres": version.record.tres}
        return {name: row[name] for name in _VERSION_COLUMNS}


class Reader:
    """Stored rows back to versions."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.texts = texts(connection)
        self.accounts = {
            row.id: row.name for row in connection.execute(select(tables.account.c.id, tables.account.c.name))
        }
        self.shapes = {
            row.id: row.tres for row in connection.execute(select(tables.shape.c.id, tables.shape.c.tres))
        }

    def version(self, row: dict[str, Any]) -> Version:
        """The version that a run or version row holds."""
        tres = row["tres"] if "tres" in row else self.shapes[row["shape_id"]]
        word = self._word
        record = RunRecord(
            self.texts[row["cluster_id"]], row["job_id"], row["submit"], row["start"], row["end"],
            self.texts[row["state_id"]], self.accounts[row["account_id"]], tres, word(row["user_id"]),
            word(row["partition_id"]), word(row["qos_id"]), row["eligible"], row["elapsed"], row["suspended"],
            row["limit_seconds"], row["nodes"], row["label"], row["reservation_id"], row["assoc_id"],
            row["db_index"], row["sluid"], word(row["slurm_flags_id"]), row["suspensions"],
            row["hash"],
        )  # fmt: skip
        return Version(record, row["observed_at"], row["import_id"])

    def _word(self, word_id: int | None) -> str | None:
        return None if word_id is None else self.texts[word_id]

    def runs(self, ids: Iterable[int]) -> dict[int, tuple[tuple[Any, ...], dict[int, Version]]]:
        """Each run's row (in the order of RUN_COLUMNS) and its versions by content hash."""
        found: dict[int, tuple[tuple[Any, ...], dict[int, Version]]] = {}
        several: dict[int, dict[str, Any]] = {}
        for chunk in _chunks(sorted(ids), _NAMED_IDS):
            for stored in self.connection.execute(select(_run).where(_run.c.id.in_(chunk))).mappings():
                row = dict(stored)
                versions: dict[int, Version] = {}
                if row["versions"] == 1:
                    version = self.version(row)
                    versions[version.record.hash] = version
                else:
                    several[row["id"]] = row
                found[row["id"]] = (tuple(row[name] for name in RUN_COLUMNS), versions)
        self._fill(found, several)
        return found

    def _fill(
        self,
        found: dict[int, tuple[tuple[Any, ...], dict[int, Version]]],
        several: dict[int, dict[str, Any]],
    ) -> None:
        table = tables.run_version
        for chunk in _chunks(sorted(several), _NAMED_IDS):
            for kept in self.connection.execute(select(table).where(table.c.run_id.in_(chunk))).mappings():
                key = {name: several[kept["run_id"]][name] for name in _KEY}
                version = self.version({**kept, **key})
                found[kept["run_id"]][1][version.record.hash] = version


# -- statements ------------------------------------------------------------------------------------

# Other content than the one that counts, or a look at an open run that shows another suspension.
_different = or_(
    _run.c.hash != incoming.c.hash,
    and_(
        _run.c.end.is_(None),
        _run.c.observed_at <= bindparam("seen"),
        or_(
            _run.c.suspended.is_distinct_from(incoming.c.suspended),
            and_(
                _run.c.observed_at == bindparam("seen"),
                _run.c.elapsed.is_distinct_from(incoming.c.elapsed),
            ),
        ),
    ),
)
_NEW_OR_DIFFERENT = (
    select(incoming.c.place, _run.c.id)
    .select_from(incoming.outerjoin(_run, _same_key))
    .where(or_(_run.c.id.is_(None), _different))
    .order_by(incoming.c.place)
)
# The content that counts, seen later: its observation moves on, and with it what drifts while it is open.
# It counts all the more, whatever other versions there are. That equal hashes mean equal columns carried
# (collectors.slurm.content) makes this what same_content does.
_counts_already = and_(_same_key, _run.c.hash == incoming.c.hash, _run.c.observed_at < bindparam("seen"))
_SEEN_AGAIN = (
    update(_run)
    .where(_counts_already)
    .values(
        observed_at=bindparam("seen"),
        import_id=bindparam("number"),
        seen_open=case((_run.c.end.is_(None), bindparam("seen")), else_=_run.c.seen_open),
        elapsed=func.coalesce(incoming.c.elapsed, _run.c.elapsed),
    )
)
_version = tables.run_version
_VERSION_SEEN_AGAIN = (  # goes first: it asks the run when it was seen
    update(_version)
    .where(
        _counts_already,
        _run.c.versions > 1,
        _version.c.run_id == _run.c.id,
        _version.c.hash == incoming.c.hash,
    )
    .values(observed_at=bindparam("seen"), import_id=bindparam("number"), elapsed=incoming.c.elapsed)
)


def _write_changes(
    connection: Connection, updates: list[dict[str, Any]], versions: list[dict[str, Any]]
) -> None:
    if updates:
        values: dict[str, Any] = {
            name: bindparam(bound) for name, bound in zip(RUN_COLUMNS, _BOUND_COLUMNS, strict=True)
        }
        statement = update(_run).where(_run.c.id == bindparam("run_id")).values(values)
        connection.execute(statement, updates)
    if versions:
        insert = upsert(connection, tables.run_version)
        keys = {"run_id", "hash"}
        fresh = {name: insert.excluded[name] for name in _VERSION_COLUMNS if name not in keys}
        connection.execute(insert.on_conflict_do_update(index_elements=sorted(keys), set_=fresh), versions)


# -- small things ----------------------------------------------------------------------------------

_AT: dict[str, int] = {name: index for index, name in enumerate(RUN_COLUMNS)}
_NOT_CONTENT = frozenset({"hash", "observed_at", "seen_open", "versions", "import_id"})
_CONTENT = tuple(index for name, index in _AT.items() if name not in _NOT_CONTENT)
_DRIFTS = frozenset({"elapsed", "suspended", "suspensions"})
_OPEN_CONTENT = tuple(index for index in _CONTENT if RUN_COLUMNS[index] not in _DRIFTS)


def _content(row: Sequence[Any]) -> tuple[Any, ...]:
    """What a run is told by. While it is open, what grows with it is none of that, as in its hash."""
    places = _CONTENT if row[_AT["end"]] is not None else _OPEN_CONTENT
    return tuple(row[index] for index in places)


def _held(row: Sequence[Any]) -> Held:
    return Held(row[_AT["account_id"]], row[_AT["begin"]], row[_AT["finish"]])


def _cells_of_rows(rows: Iterable[Sequence[Any]]) -> set[tuple[int, int]]:
    account, begin, finish = _AT["account_id"], _AT["begin"], _AT["finish"]
    cells: set[tuple[int, int]] = set()
    for row in rows:
        started, ended = row[begin], row[finish]
        if started is None or ended is None:
            continue
        first = started // DAY
        if ended <= (first + 1) * DAY:
            cells.add((first, row[account]))
        else:
            cells.update(Held(row[account], started, ended).cells())
    return cells


def _flag_counts(rows: Iterable[Sequence[Any]]) -> Counter[Flag]:
    at = _AT["flags"]
    values = Counter(row[at] for row in rows if row[at])
    counts: Counter[Flag] = Counter()
    for value, times in values.items():
        for flag in Flag(value):
            counts[flag] += times
    return counts


def _first_of_each_key(records: Sequence[RunRecord]) -> tuple[Sequence[RunRecord], list[RunRecord]]:
    """The batch without second records of a key, and those."""
    keys = {(record.cluster, record.job_id, record.submit) for record in records}
    if len(keys) == len(records):
        return records, []
    first: dict[tuple[str, int, int], RunRecord] = {}
    twins = [
        record
        for record in records
        if first.setdefault((record.cluster, record.job_id, record.submit), record) is not record
    ]
    return list(first.values()), twins


def _chunks(values: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (values[at : at + size] for at in range(0, len(values), size))
