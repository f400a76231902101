"""slurmdbd's own database, asked without changing anything: what Slurm's commands do not tell.

Invariant: every statement is a SELECT in a session that the server itself holds to reading. No password
stands in an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from collectors.protocol import RollUp, StaleUsage
from collectors.slurm import accounting_rows
from collectors.slurm.accounting_rows import Row
from opsd.core.errors import BadInput, OpsdError, Refused, Unavailable
from opsd.core.period import HOUR, Window
from opsd.core.records import NodeEvent, Reservation

NAMED_AT_ONCE = 1_000  # runs named in one statement
SCHEMES = ("mysql", "mariadb")
PORT = 3306
CONNECT_SECONDS = 10
# Per cluster, with its name and an underscore before it; and the one that all clusters share.
TABLES = (
    "job_table", "suspend_table", "event_table", "resv_table", "last_ran_table", "usage_hour_table",
    "assoc_usage_hour_table",
)  # fmt: skip
SHARED = "tres_table"
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,39}", re.ASCII)
_BEGINS = "time_start >= %s AND time_start < %s AND deleted = 0"
# So that the server gives up when opsd does: MariaDB and MySQL each read one of the two remarks.
_STOP_AFTER = (
    "SET @opsd = 1 /*M!100101 , SESSION max_statement_time = {seconds} */"
    " /*!50708 , SESSION max_execution_time = {seconds}000 */"
)
# Errors of the server by what is to be done about them (MariaDB: "MariaDB Error Codes").
_DENIED, _UNKNOWN_USER = frozenset({1044, 1142, 1143, 1227}), frozenset({1045, 1698})
_NO_SUCH_TABLE, _NO_SUCH_DATABASE, _NO_SUCH_COLUMN = 1146, 1049, 1054


@dataclass(frozen=True, slots=True)
class Address:
    """Where slurmdbd's database is, and who asks."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    unix_socket: str | None

    def __str__(self) -> str:
        """Without the password."""
        return f"{self.user}@{self.unix_socket or f'{self.host}:{self.port}'}/{self.database}"


def address(url: str) -> Address:
    """`mysql://user:password@host[:port]/slurm_acct_db[?unix_socket=/path]`, %-coded where need be."""
    hint = "write mysql://user:password@host/slurm_acct_db, odd characters %-coded"
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
    except ValueError:  # its message shows the password
        raise BadInput(f"slurm.database_url cannot be read: {hint}") from None
    database, options = parts.path.removeprefix("/"), parse_qs(parts.query)
    unknown = set(options) - {"unix_socket"}
    if parts.scheme not in SCHEMES or not parts.username or not database or "/" in database or unknown:
        raise BadInput(f"slurm.database_url does not name a user and a database of MariaDB: {hint}")
    return Address(
        parts.hostname or "localhost", port, unquote(parts.username), unquote(parts.password or ""),
        unquote(database), options.get("unix_socket", [None])[-1],
    )  # fmt: skip


class AccountingTables:
    """`collectors.protocol.AccountingTables` of one cluster. Each question is a connection of its own."""

    def __init__(self, *, url: str, cluster: str, timeout_seconds: int = 300) -> None:
        if not _CLUSTER.fullmatch(cluster):
            raise BadInput(f"cluster {cluster!r}: no name of a cluster that slurmdbd could have tables for")
        self.address = address(url)
        self.cluster = cluster
        self.timeout_seconds = timeout_seconds

    # -- the questions -----------------------------------------------------------------------------

    def suspensions(self, db_indexes: Sequence[int]) -> Mapping[int, str]:
        """When runs were suspended, by DBIndex; without those that never were."""
        with self._session() as session:
            rows = session.named("job_db_inx, time_start, time_end", "suspend_table", db_indexes)
            return accounting_rows.suspensions(rows)

    def modified(self, since: int, ended: Window) -> Sequence[int]:
        """Job ids of runs that ended in a window and whose row changed at or after an instant.

        No index has the times of changes, so every row of the window is looked at: its width is the cost
        (the index is rollup2, by time_end).
        """
        with self._session() as session:
            rows = session.select(
                "DISTINCT id_job", "job_table", "time_end >= %s AND time_end < %s AND mod_time >= %s",
                max(1, ended.start), ended.end, since,
            )  # fmt: skip
            return sorted(int(row["id_job"]) for row in rows)

    def modified_at(self, db_indexes: Sequence[int]) -> Mapping[int, int]:
        """When the rows of runs last changed, by DBIndex."""
        with self._session() as session:
            rows = session.named("job_db_inx, mod_time", "job_table", db_indexes)
            return {int(row["job_db_inx"]): int(row["mod_time"]) for row in rows}

    def rolled_up(self, start: int, end: int) -> RollUp:
        """The marks, and the hours that begin in [start, end) and were added up.

        Mending a runaway job moves the marks back and takes the usage of associations since then away, but
        not the cluster's: such an hour counts as not added up.

        Args:
            start, end: full hours of slurmdbd's clock, as in `Machine.reported`.
        """
        with self._session() as session:
            marks = session.select("hourly_rollup, daily_rollup, monthly_rollup", "last_ran_table")
            hourly, daily, monthly = (
                max((int(mark[f"{name}_rollup"]) for mark in marks), default=0)
                for name in ("hourly", "daily", "monthly")
            )
            hours = accounting_rows.rolled_hours(session.rolled(start, end), start)
            again = max(start, hourly - HOUR)
            rows = session.select("DISTINCT time_start", "assoc_usage_hour_table", _BEGINS, again, end)
        used = {int(row["time_start"]) for row in rows}
        there = [hour for hour in hours if hour.start + HOUR <= hourly or hour.start in used]
        return RollUp(hourly, daily, monthly, there)

    def hour_offset(self) -> int | None:
        """Where hours begin, by the last that an association used; no mark tells: a late record moves it."""
        with self._session() as session:
            (row,) = session.select("MAX(time_start) AS hour", "assoc_usage_hour_table")
            return None if row["hour"] is None else int(row["hour"]) % HOUR

    def stale_usage(self, start: int, end: int) -> Sequence[StaleUsage]:
        """Rows of hours in [start, end) that are older than their hour's last roll-up.

        Args:
            start, end: full hours of slurmdbd's clock, as in `Machine.reported`.
        """
        with self._session() as session:
            # What holds the association: `id`, in old versions `id_assoc`.
            columns = session.columns("assoc_usage_hour_table")
            association = "id" if "id" in columns else "id_assoc"
            rows = session.select(
                f"{association} AS association, id_tres, time_start, mod_time, alloc_secs",
                "assoc_usage_hour_table", _BEGINS, start, end,
                order=f"time_start, {association}, id_tres",
            )  # fmt: skip
            hours = accounting_rows.rolled_hours(session.rolled(start, end), start)
            return list(accounting_rows.stale(rows, hours, session.tres_names()))

    def events(self, start: int, end: int) -> Sequence[NodeEvent]:
        """Every event that overlaps [start, end), registrations included."""
        with self._session() as session:
            names = session.tres_names()
            rows = session.select(
                "time_start, time_end, node_name, cluster_nodes, reason, state, tres", "event_table",
                "time_start < %s AND (time_end = 0 OR time_end > %s OR time_start >= %s)", end, start, start,
                order="node_name, time_start",
            )  # fmt: skip
            return [accounting_rows.event(row, self.cluster, names) for row in rows]

    def reservations(self, start: int, end: int) -> Sequence[Reservation]:
        """Every record of a reservation that overlaps [start, end), ended ones included."""
        with self._session() as session:
            names = session.tres_names()
            force = ", time_force" if "time_force" in session.columns("resv_table") else ""
            rows = session.select(
                f"id_resv, assoclist, flags, nodelist, resv_name, time_start, time_end, tres{force}",
                "resv_table", "time_start < %s AND time_end > %s", end, start, order="id_resv, time_start",
            )  # fmt: skip
            return [accounting_rows.reservation(row, self.cluster, names) for row in rows]

    def rights(self) -> frozenset[str]:
        """What the server lets this user do, in its own words: SELECT is all that is needed."""
        with self._session() as session:
            return session.rights()

    # -- the connection ----------------------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        pymysql = _driver()
        try:
            connection = pymysql.connect(**self._how(pymysql))
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SET SESSION TRANSACTION READ ONLY")
                    cursor.execute(_STOP_AFTER.format(seconds=self.timeout_seconds))
                    cursor.execute("START TRANSACTION READ ONLY")
                    yield _Session(cursor, self.address.database, self.cluster)
            finally:
                connection.close()
        except (pymysql.MySQLError, OSError) as err:
            raise self._explained(err) from err

    def _how(self, pymysql: ModuleType) -> dict[str, Any]:
        at = self.address
        return {
            "host": at.host, "port": at.port, "user": at.user, "password": at.password,
            "database": at.database, "unix_socket": at.unix_socket, "charset": "utf8mb4",
            "connect_timeout": min(CONNECT_SECONDS, self.timeout_seconds),
            # A little longer than the server takes to give up, so that it can say so.
            "read_timeout": self.timeout_seconds + 5, "write_timeout": self.timeout_seconds,
            "cursorclass": pymysql.cursors.DictCursor,
        }  # fmt: skip

    def _explained(self, err: Exception) -> OpsdError:
        """What went wrong, and what to do, in words."""
        number = err.args[0] if err.args else None
        what = str(err.args[-1]) if err.args else type(err).__name__
        if number in _DENIED:
            return Refused(f"slurmdbd's database {self.address}: {what}; let it read: {self.grants()}")
        if number in _UNKNOWN_USER:
            return Refused(
                f"slurmdbd's database {self.address}: {what}; user or password of slurm.database_url are "
                "wrong, or the user may not come from this host"
            )
        if number == _NO_SUCH_DATABASE:
            return Refused(
                f"slurmdbd's database {self.address}: {what}; StorageLoc in slurmdbd.conf has its name"
            )
        if number in (_NO_SUCH_TABLE, _NO_SUCH_COLUMN):
            return Refused(
                f"slurmdbd's database {self.address}: {what}; is {self.cluster!r} the cluster's name in "
                "`sacctmgr show cluster`, and does slurmdbd (20.11 or later) keep its tables here?"
            )
        return Unavailable(f"slurmdbd's database {self.address}: {what}; is MariaDB up and reachable?")

    def grants(self) -> str:
        """The statements that give just the rights that are needed."""
        names = (SHARED, *(f"{self.cluster}_{name}" for name in TABLES))
        who = f"'{self.address.user}'@'HOST'"
        return " ".join(
            f"GRANT SELECT ON {_quoted(self.address.database)}.{_quoted(name)} TO {who};" for name in names
        )


class _Session:
    """One connection's questions."""

    def __init__(self, cursor: Any, database: str, cluster: str) -> None:  # noqa: ANN401  # of a driver without types
        self._cursor = cursor
        self._database = database
        self._cluster = cluster

    def select(
        self, columns: str, table: str, condition: str = "TRUE", *values: object, order: str = "NULL"
    ) -> list[Row]:
        """Rows of one of the cluster's tables. Its name is quoted; all else but `values` is this module's."""
        return self._rows(columns, self._named(f"{self._cluster}_{table}"), condition, values, order)

    def named(self, columns: str, table: str, db_indexes: Sequence[int]) -> Iterator[Row]:
        """Rows of these runs, some at a time."""
        wanted = sorted(set(db_indexes))
        for at in range(0, len(wanted), NAMED_AT_ONCE):
            chunk = wanted[at : at + NAMED_AT_ONCE]
            marks = ", ".join(["%s"] * len(chunk))
            yield from self.select(columns, table, f"job_db_inx IN ({marks})", *chunk)

    def columns(self, table: str) -> frozenset[str]:
        """The columns that this version of slurmdbd gives a table."""
        where = "table_schema = %s AND table_name = %s"
        named = (self._database, f"{self._cluster}_{table}")
        rows = self._rows("column_name AS name", "information_schema.columns", where, named)
        return frozenset(str(row["name"]).lower() for row in rows)

    def tres_names(self) -> dict[int, str]:
        """What the numbers in TRES stand for."""
        return accounting_rows.tres_names(self._rows("id, type, name", self._named(SHARED)))

    def rolled(self, start: int, end: int) -> list[Row]:
        """What the roll-up wrote about the whole cluster."""
        return self.select("time_start, mod_time", "usage_hour_table", _BEGINS, start, end)

    def _named(self, table: str) -> str:
        return f"{_quoted(self._database)}.{_quoted(table)}"

    def rights(self) -> frozenset[str]:
        """Every privilege of this user, on whatever; USAGE is the name of none."""
        kinds = ("user_privileges", "schema_privileges", "table_privileges")
        rows = [
            row
            for kind in kinds
            for row in self._rows("privilege_type AS name", f"information_schema.{kind}", f"grantee = {_ME}")
        ]
        return frozenset(str(row["name"]) for row in rows) - {"USAGE"}

    def _rows(
        self,
        columns: str,
        source: str,
        condition: str = "TRUE",
        values: Sequence[object] = (),
        order: str = "NULL",
    ) -> list[Row]:
        statement = f"SELECT {columns} FROM {source} WHERE {condition} ORDER BY {order}"  # noqa: S608  # see select()
        self._cursor.execute(statement, values)
        return list(self._cursor.fetchall())


# Who asks, as the server writes grantees: 'opsd'@'localhost'.
_ME = (
    "CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', "
    "QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))"
)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _driver() -> ModuleType:
    try:
        import pymysql
        import pymysql.cursors
    except ImportError as err:
        raise Unavailable(
            "slurm.database_url is set, but PyMySQL is not installed: pip install 'opsd-hpc[slurmdbd]', or "
            "take the setting out"
        ) from err
    found: ModuleType = pymysql
    return found
