"""slurmdbd's tables: what their rows say, what is asked, and what a refusal tells to do."""

from __future__ import annotations

import builtins
import csv
import gzip
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from collectors import registry
from collectors.protocol import AccountingTables as Contract
from collectors.protocol import RolledHour, RollUp, StaleUsage
from collectors.slurm import accounting_rows, bits
from collectors.slurm.accounting_tables import TABLES, AccountingTables, address
from opsd.core.errors import BadInput, BadText, Refused, Unavailable
from opsd.core.period import HOUR, Window
from opsd.core.records import CONTROLLER_AWAY, DOWN, DRAIN, REGISTERED, NodeEvent, Reservation

DATA = Path(__file__).parents[2] / "data" / "slurm-tables"
URL = "mysql://opsd:s3cret@db/slurm_acct_db"
START = 1_795_326_300  # of the busy hour
END = START + HOUR
HAS_MARIADB = all(
    shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("mariadbd", "mariadb-install-db")
)


def rows(name: str) -> list[dict[str, Any]]:
    """A table as it was dumped."""
    with gzip.open(DATA / f"{name}.tsv.gz", "rt", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


@pytest.fixture
def names() -> dict[int, str]:
    """TRES by number."""
    return accounting_rows.tres_names(rows("tres_table"))


# ------------------------------------------------------------------------------------------------- rows

CLUSTER_TRES = "billing=376,cpu=128,fs/disk=0,gres/gpu=16,gres/gpu:h100=16,mem=512000,node=8,pages=0,vmem=0"
SUSPENDED = {
    52: "1795329505-1795329514,1795329518-1795329524",
    80: "1795329511-1795329522",
    382: "1795329608-1795329617,1795329621-1795329627",
    437: "1795329615-1795329626",
}
RESERVED = [
    Reservation("lab", number, start, end, "lab_res", "n4", "IGNORE_JOBS,SPEC_NODES", "cpu=16", (13,))
    for number, start, end in ((1, 1_795_329_502, 1_795_329_597), (3, 1_795_329_605, 1_795_329_801))
]


def test_suspensions_of_a_real_hour() -> None:
    """In time order by DBIndex; runs that were suspended for no second are not among them."""
    assert SUSPENDED == accounting_rows.suspensions(reversed(rows("lab_suspend_table")))


def test_an_open_suspension_has_no_end() -> None:
    """slurmdbd writes 0 for it; a row without a start says nothing."""
    row = {"job_db_inx": "7", "time_start": "100", "time_end": "0"}

    found = accounting_rows.suspensions([row, row | {"time_start": "50", "time_end": "60"}])

    assert {7: "50-60,100-"} == found
    assert {} == accounting_rows.suspensions([row | {"time_start": "0"}])


def test_events_of_a_real_hour(names: dict[int, str]) -> None:
    """A registration, drained and failed nodes, as sacctmgr tells them."""
    found = [accounting_rows.event(row, "lab", names) for row in rows("lab_event_table")]

    gone = "billing=63,cpu=16,gres/gpu=4,gres/gpu:h100=4,mem=64000"
    drained = "billing=31,cpu=16,mem=64000"
    fan = 'fan | "broken", see #42'
    registered = "Cluster Registered TRES"
    assert [
        NodeEvent("lab", "", 1_795_329_497, None, REGISTERED, "", registered, CLUSTER_TRES, "c[1-4],n[1-4]"),
        NodeEvent("lab", "c2", 1_795_329_540, 1_795_329_549, DRAIN, "DRAIN", fan, drained),
        NodeEvent("lab", "c2", 1_795_329_631, 1_795_329_654, DRAIN, "DRAIN", fan, drained),
        NodeEvent("lab", "n3", 1_795_329_534, 1_795_329_534, DOWN, "DOWN", "cable, pulled", gone),
        NodeEvent("lab", "n3", 1_795_329_639, 1_795_329_639, DOWN, "DOWN", "cable, pulled", gone),
    ] == found


def test_a_controller_that_was_away_is_told_from_a_registration(names: dict[int, str]) -> None:
    """Both are about the whole cluster; only a registration has no state."""
    found = [accounting_rows.event(row, "lab", names) for row in rows("history_event_table")]
    whole = [event for event in found if not event.node]

    away = [event for event in whole if event.kind == CONTROLLER_AWAY]
    assert {"slurmctld disconnect"} == {event.reason for event in away}
    assert {REGISTERED} == {event.kind for event in whole} - {CONTROLLER_AWAY}
    assert (6, 15) == (len(away), len(whole))


def test_reservations_of_a_real_hour(names: dict[int, str]) -> None:
    """With the names of their flags and their associations."""
    assert RESERVED == [accounting_rows.reservation(row, "lab", names) for row in rows("lab_resv_table")]


def test_a_forced_reservation_begins_when_it_was_forced(names: dict[int, str]) -> None:
    """As the roll-up of later versions takes it; without associations there are none."""
    row = rows("lab_resv_table")[0] | {"assoclist": ""}
    forced = [
        accounting_rows.reservation(row | {"time_force": force}, "lab", names).start
        for force in ("0", "1", "1795329550")
    ]

    assert [1_795_329_502, 1_795_329_502, 1_795_329_550] == forced
    assert () == accounting_rows.reservation(row, "lab", names).associations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("1=16", "cpu=16"),
        ("1=2,2=2000,3=18446744073709551614,4=1,5=2", "billing=2,cpu=2,mem=2000,node=1"),
        (",1002=4,1=1,1001=4,", "cpu=1,gres/gpu=4,gres/gpu:h100=4"),
        ("1=18446744073709551615,2=5", "mem=5"),
    ],
)
def test_tres_texts(names: dict[int, str], text: str, expected: str) -> None:
    """Numbers by their names, sorted; without energy, and without what Slurm left unset."""
    assert expected == accounting_rows.tres_text(text, names)


@pytest.mark.parametrize("text", ["9999=1", "cpu=1", "1", "1=", "1=-2", "1=2.5"])
def test_tres_texts_that_are_none(names: dict[int, str], text: str) -> None:
    """A number nobody knows or something else than numbers: an error that shows it."""
    with pytest.raises(BadText, match="TRES"):
        accounting_rows.tres_text(text, names)


def test_hours_that_were_rolled_up_and_what_is_stale_in_them(names: dict[int, str]) -> None:
    """A cluster's row may begin inside its hour; a row of an association is stale once it is older."""
    hours = accounting_rows.rolled_hours(rows("lab_usage_hour_table"), START)
    assert [RolledHour(START, 1_795_329_908)] == hours
    usage = [row | {"association": row["id"]} for row in rows("lab_assoc_usage_hour_table")]
    assert [] == list(accounting_rows.stale(usage, hours, names))

    again = [RolledHour(START, 1_795_329_909)]
    found = list(accounting_rows.stale(usage, again, names))

    assert StaleUsage(13, START, "cpu", 4_336, 1_795_329_908) == found[0]
    assert len(usage) == len(found)
    assert [] == list(accounting_rows.stale(usage, [RolledHour(START + HOUR, 1_795_329_999)], names))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (0, "UNKNOWN"),
        (1, "DOWN"),
        (1 | 0x800, "DOWN*"),
        (1 | 0x200, "DOWN+DRAIN"),
        (514, "DRAIN"),
        (2 | 0x200 | 0x8000, "MAINT+DRAIN"),
        (6, "FUTURE"),
        (2 | 0x1000, "POWERED_DOWN"),
        (1 << 40 | 1, "DOWN+0x10000000000"),
    ],
)
def test_states_of_nodes(state: int, expected: str) -> None:
    """A base that could be used says nothing beside a flag; an unknown bit is shown by its number."""
    assert expected == bits.node_state(state)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (0, ""),
        (1, "MAINT"),
        (0x8040, "IGNORE_JOBS,SPEC_NODES"),
        (0x4001, "MAINT,OVERLAP"),
        (1 << 32, "MAGNETIC"),
        (1 << 25 | 1 << 16, "FIRST_CORES,FLEX"),
        (1 << 60, "0x1000000000000000"),
    ],
)
def test_flags_of_reservations(flags: int, expected: str) -> None:
    """By Slurm's own names."""
    assert expected == bits.reservation_flags(flags)


# ------------------------------------------------------------------------------------------ how to get there


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "mysql://opsd:p%40s%2Fs@db:3307/slurm_acct_db",
            ("db", 3307, "opsd", "p@s/s", "slurm_acct_db", None),
        ),
        ("mariadb://opsd@db/slurm_acct_db", ("db", 3306, "opsd", "", "slurm_acct_db", None)),
        (
            "mysql://opsd@/acct?unix_socket=/run/my%20sql",
            ("localhost", 3306, "opsd", "", "acct", "/run/my sql"),
        ),
    ],
)
def test_addresses(url: str, expected: tuple[Any, ...]) -> None:
    """User, password and path may be %-coded."""
    found = address(url)

    assert expected == (
        found.host, found.port, found.user, found.password, found.database, found.unix_socket,
    )  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "", "postgresql://u:s3cret@h/d", "mysql://h/d", "mysql://u:s3cret@h", "mysql://u:s3cret@h/a/b",
        "mysql://u:s3cret@h:x/d", "mysql://u:s3cret@h/d?ssl=1", "mysql://u:s3cret@[h/d",
    ],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    """Says how to write one, and shows no password."""
    with pytest.raises(BadInput, match="mysql://user:password@host") as caught:
        address(url)
    assert "s3cret" not in str(caught.value)


def test_nobody_sees_the_password() -> None:
    """Not as text, not in a debugger's view, not in a statement to copy."""
    tables = AccountingTables(url=URL, cluster="lab")

    shown = f"{tables.address} {tables.address!r} {tables.grants()}"
    assert ("opsd@db:3306/slurm_acct_db", False) == (str(tables.address), "s3cret" in shown)


@pytest.mark.parametrize("cluster", ["", "a`b", "a b", "a;b", "..", "x" * 99])
def test_names_that_no_cluster_has(cluster: str) -> None:
    """They would be part of a table's name."""
    with pytest.raises(BadInput, match="cluster"):
        AccountingTables(url=URL, cluster=cluster)


def test_the_grants_name_every_table_and_no_more() -> None:
    """One statement each, for the cluster's own tables and the one that names TRES."""
    granted = AccountingTables(url=URL, cluster="lab").grants()

    assert 1 + len(TABLES) == granted.count("GRANT SELECT ON `slurm_acct_db`.`")
    assert all(f"`lab_{name}` TO 'opsd'@'HOST';" in granted for name in TABLES)


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyMySQL is an extra."""
    ordinary = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("pymysql"):
            raise ImportError(name)
        return ordinary(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Unavailable, match=r"opsd-hpc\[slurmdbd\]"):
        AccountingTables(url=URL, cluster="lab").suspensions([1])


def test_a_database_that_is_not_there() -> None:
    """Named without its password, and worth another try later."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        url = f"mysql://opsd:s3cret@127.0.0.1:{taken.getsockname()[1]}/slurm_acct_db"
        with pytest.raises(Unavailable, match=r"opsd@127\.0\.0\.1") as caught:
            AccountingTables(url=url, cluster="lab").suspensions([1])
    assert "s3cret" not in str(caught.value)


def test_the_registry_leads_here() -> None:
    """By name, with the settings the class takes; it answers every question of the contract."""
    found = registry.tables("slurm", url=URL, cluster="lab")

    assert type(found) is registry.loaded(registry.COLLECTORS[0].tables)
    questions = [name for name in vars(Contract) if not name.startswith("_")]
    assert 8 == len(questions)
    assert [] == [name for name in questions if not callable(getattr(found, name, None))]


# --------------------------------------------------------------------------------------------- a real MariaDB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A MariaDB of our own with a real hour in it: root's connection; `.socket` is where it listens."""
    if not HAS_MARIADB:
        pytest.skip("MariaDB's programs are not here (tests/needs.sh)")
    pymysql = pytest.importorskip("pymysql")
    folder = tmp_path_factory.mktemp("mariadb", numbered=True)
    place = f"/tmp/opsd-mariadb-{os.getpid()}"  # a socket's path must be short
    programs = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    owner = ["--no-defaults", f"--datadir={folder}/data", *(["--user=root"] if os.geteuid() == 0 else [])]
    subprocess.run(
        ["mariadb-install-db", *owner, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, capture_output=True, env=programs,
    )  # fmt: skip
    options = ["--skip-networking", f"--socket={place}", "--character-set-server=utf8mb4"]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(["mariadbd", *owner, *options], stdout=log, stderr=log, env=programs)
    try:
        connection = connected(pymysql, place)
        connection.socket = place
        fill(connection.cursor())
        yield connection
        connection.close()
    finally:
        running.terminate()
        running.wait(30)


def connected(pymysql: Any, place: str) -> Any:
    """As root, once it listens. PyMySQL does not close what it could not connect, so we knock first."""
    for _ in range(600):
        with socket.socket(socket.AF_UNIX) as knock:
            if knock.connect_ex(place) == 0:
                break
        time.sleep(0.05)
    return pymysql.connect(unix_socket=place, user="root", autocommit=True, charset="utf8mb4")


def fill(cursor: Any) -> None:
    """The hour's tables, with slurmdbd's column names and their kinds."""
    cursor.execute("CREATE DATABASE slurm_acct_db")
    cursor.execute("USE slurm_acct_db")
    for name in ("tres_table", *(f"lab_{table}" for table in TABLES)):
        lines = rows(name)
        text = {"node_name", "cluster_nodes", "reason", "type", "name", "tres", "assoclist", "nodelist"}
        text |= {"node_inx", "resv_name", "unused_wall"}
        columns = ", ".join(f"`{column}` {'text' if column in text else 'bigint'}" for column in lines[0])
        cursor.execute(f"CREATE TABLE `{name}` ({columns})")
        marks = ", ".join(["%s"] * len(lines[0]))
        cursor.executemany(f"INSERT INTO `{name}` VALUES ({marks})", [[*line.values()] for line in lines])
    cursor.execute("CREATE USER 'opsd'@'localhost' IDENTIFIED BY 'p@ss/w:rd'")


def asking(server: Any, cluster: str = "lab", user: str = "opsd", **settings: Any) -> AccountingTables:
    """As a site would configure it."""
    url = f"mysql://{user}:{quote('p@ss/w:rd', safe='')}@localhost/slurm_acct_db?unix_socket={server.socket}"
    return AccountingTables(url=url, cluster=cluster, **settings)


@pytest.mark.slurm
def test_a_real_server(server: Any) -> None:
    """Refused without rights, with the statements that give them; then every question has its answer."""
    tables, cursor = asking(server), server.cursor()
    with pytest.raises(Refused, match="GRANT SELECT ON"):
        tables.suspensions([52])
    for statement in tables.grants().replace("HOST", "localhost").rstrip(";").split("; "):
        cursor.execute(statement)

    assert {"SELECT"} == tables.rights()
    cursor.execute("GRANT INSERT ON slurm_acct_db.lab_event_table TO 'opsd'@'localhost'")
    assert {"SELECT", "INSERT"} == tables.rights()
    cursor.execute("REVOKE INSERT ON slurm_acct_db.lab_event_table FROM 'opsd'@'localhost'")
    assert SUSPENDED == tables.suspensions(range(1, 2_500))
    assert {52: 1_795_329_525} == tables.modified_at([52, 10**9])
    since, ended = 1_795_329_700, Window(1_795_329_600, 1_795_329_800)
    changed = {
        int(row["id_job"])
        for row in rows("lab_job_table")
        if int(row["mod_time"]) >= since and ended.start <= int(row["time_end"]) < ended.end
    }
    assert sorted(changed) == tables.modified(since, ended)
    assert changed
    hours = [RolledHour(START, 1_795_329_908)]
    assert RollUp(END, 1_795_329_497, 1_795_329_497, hours) == tables.rolled_up(START, END)
    assert [] == tables.rolled_up(END, END + HOUR).hours
    assert START % HOUR == tables.hour_offset()
    assert [REGISTERED, DRAIN, DRAIN, DOWN, DOWN] == [event.kind for event in tables.events(START, END)]
    assert [REGISTERED] == [event.kind for event in tables.events(END, END + HOUR)]
    assert RESERVED == tables.reservations(START, END)
    assert RESERVED[:1] == tables.reservations(START, 1_795_329_600)
    assert [] == tables.stale_usage(START, END)
    cursor.execute("UPDATE lab_assoc_usage_hour_table SET mod_time = mod_time - 5 WHERE id = 13")
    assert [StaleUsage(13, START, "cpu", 4_336, 1_795_329_903)] == tables.stale_usage(START, END)


@pytest.mark.slurm
def test_a_later_schema(server: Any) -> None:
    """A forced start counts where there is one; a schema older than the column `id` is read, too."""
    cursor = server.cursor()
    for name in ("tres_table", *(f"lab_{table}" for table in TABLES)):
        cursor.execute(f"CREATE TABLE `{name.replace('lab_', 'later_')}2` AS SELECT * FROM `{name}`")
    for table in TABLES:
        cursor.execute(f"RENAME TABLE `later_{table}2` TO `later_{table}`")
    cursor.execute("ALTER TABLE later_resv_table ADD COLUMN time_force bigint DEFAULT 1795329550")
    cursor.execute("ALTER TABLE later_assoc_usage_hour_table RENAME COLUMN id TO id_assoc")
    cursor.execute("UPDATE later_assoc_usage_hour_table SET mod_time = 1 WHERE id_assoc = 13")
    cursor.execute("GRANT SELECT ON slurm_acct_db.* TO 'opsd'@'localhost'")
    tables = asking(server, "later")

    assert [1_795_329_550, 1_795_329_605] == [found.start for found in tables.reservations(START, END)]
    assert [13] == [found.association for found in tables.stale_usage(START, END)]


@pytest.mark.slurm
def test_an_hour_whose_usage_was_taken_away(server: Any) -> None:
    """Mending a runaway job moves the mark back and deletes usage: such an hour is not added up any more."""
    cursor = server.cursor()
    for name in ("tres_table", *(f"lab_{table}" for table in TABLES)):
        cursor.execute(f"CREATE TABLE `{name.replace('lab_', 'mended_')}3` AS SELECT * FROM `{name}`")
    for table in TABLES:
        cursor.execute(f"RENAME TABLE `mended_{table}3` TO `mended_{table}`")
    cursor.execute("GRANT SELECT ON slurm_acct_db.* TO 'opsd'@'localhost'")
    tables = asking(server, "mended")
    cursor.execute(f"UPDATE mended_last_ran_table SET hourly_rollup = {START - HOUR}")
    before = tables.rolled_up(START, END).hours
    cursor.execute("DELETE FROM mended_assoc_usage_hour_table")

    assert [START] == [hour.start for hour in before]
    assert [] == tables.rolled_up(START, END).hours


@pytest.mark.slurm
def test_what_a_real_server_refuses(server: Any) -> None:
    """Another cluster, a wrong password, a write, an answer that takes too long: each in words."""
    server.cursor().execute("GRANT ALL ON slurm_acct_db.* TO 'opsd'@'localhost'")
    with pytest.raises(Refused, match="sacctmgr show cluster"):
        asking(server, "nowhere").suspensions([1])
    with pytest.raises(Refused, match="user or password"):
        asking(server, user="nobody-here").suspensions([1])
    with (
        pytest.raises(Unavailable, match="READ ONLY"),
        asking(server)._session() as session,
    ):
        session._cursor.execute("DELETE FROM lab_suspend_table")
    with (
        pytest.raises(Unavailable, match="max_statement_time"),
        asking(server, timeout_seconds=1)._session() as session,
    ):
        session._cursor.execute("SELECT SLEEP(5)")
    assert SUSPENDED == asking(server).suspensions(SUSPENDED)
