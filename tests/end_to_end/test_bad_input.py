"""Whatever is typed or fed, `opsd` says what is wrong, with what and what to do, and loses nothing.

Each test runs the command itself. Exit codes: 1 failed, 2 wrong usage, 3 done but something needs eyes.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.exports import COLUMNS, GPU_SECONDS, HOUR, START, export, many, row
from tests.end_to_end.terminal import WINDOW, Ended, Terminal, Uses, ended, has_open, made, peak_kib, sql

HERE = Path(__file__).parent
IMPORT = ("import", "sacct")
ONE_RUN = (1, GPU_SECONDS)
MIB = 1 << 20
FLAT_KIB = 300 * 1024
PATIENCE = 60  # seconds that something in the background may take to happen


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and nothing in them, to be copied."""
    folder = tmp_path_factory.mktemp("empty")
    database = folder / "opsd.db"
    done = Terminal(folder, database).opsd("db", "upgrade")
    assert done.code == 0, done.err
    return database


@pytest.fixture
def terminal(tmp_path: Path, empty_database: Path) -> Terminal:
    """A terminal with an empty database."""
    database = tmp_path / "opsd.db"
    shutil.copy(empty_database, database)
    return Terminal(tmp_path, database)


def each(*jobs: int) -> Uses:
    """What usage says when these jobs were imported, each under its own account."""
    return {f"a{job}": ONE_RUN for job in jobs}


def stored(database: Path) -> int:
    """How many runs there are; asked without opsd, because it may be in the middle of something."""
    return int(sql(database, "SELECT count(*) FROM run")[0][0])


def assert_says(done: Ended, code: int, *fragments: str) -> None:
    """The command failed as it should and its words name thing, value and remedy."""
    assert (code, [], b"") == (done.code, [text for text in fragments if text not in done.err], done.out), (
        done
    )


# ------------------------------------------------------------------------------- files that cannot be read


class Refusal(NamedTuple):
    """A file that is refused whole."""

    data: bytes
    code: int
    says: tuple[str, ...]
    options: tuple[str, ...] = ()


GOOD = export(row(1), row(2))
LOCAL = export(row(1, Submit="2026-09-21T13:00:00", Start="2026-09-21T13:30:00", End="2026-09-21T14:30:00"))
REFUSALS = {
    "empty": Refusal(b"", 1, ("empty",)),
    "prose": Refusal(b"sacct: error: no accounting\n", 1, ("header",)),
    "half a header": Refusal(b"JobIDRaw|Clust", 1, ("header", "never ends")),
    "misspelt columns": Refusal(
        GOOD.replace(b"State", b"Stat").replace(b"AllocTRES", b"AllocTRS"),
        1,
        ("State", "Stat)", "AllocTRES", "AllocTRS)"),
    ),
    "no cluster": Refusal(
        export(columns=tuple(name.replace("Cluster", "Group") for name in COLUMNS)),
        2,
        ("Cluster", "--cluster NAME"),
    ),
    "binary": Refusal(bytes(range(250, 10, -1)) + b"\n" + bytes(1000), 1, ("header",)),
    "UTF-16": Refusal(GOOD.decode().encode("utf-16"), 1, ("UTF-16", "UTF-8")),
    "local times": Refusal(LOCAL, 2, ("local", "--timezone", "SLURM_TIME_FORMAT=%s")),
    "an unknown zone": Refusal(
        LOCAL, 2, ("--timezone", "'Europe/Madird'", "Europe/Madrid"), ("--timezone", "Europe/Madird")
    ),
    "an unknown delimiter": Refusal(GOOD, 2, ("--delimiter", r"'\\x'", r"\x1f"), ("--delimiter", r"\x")),
    "gzip without a record": Refusal(gzip.compress(GOOD)[:30], 1, ("gzip", "stops before its end")),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_file_that_is_no_export_is_refused(kind: str, terminal: Terminal) -> None:
    """The message names the fault, its value and the remedy, and the database stays as it was."""
    refusal = REFUSALS[kind]
    file = made(terminal.folder, "export.psv", refusal.data)

    done = terminal.opsd(*IMPORT, file, *refusal.options)

    assert_says(done, refusal.code, *refusal.says)
    assert stored(terminal.database) == 0


def test_a_file_that_is_not_there(terminal: Terminal) -> None:
    """A wrong path is named, with what the system said."""
    done = terminal.opsd(*IMPORT, "nothing.psv")

    assert_says(done, 1, "nothing.psv", "No such file", "check the path")


def test_a_folder(terminal: Terminal) -> None:
    """A folder is told from a file."""
    assert_says(terminal.opsd(*IMPORT, terminal.folder), 1, str(terminal.folder), "a folder", "name the file")


def test_a_file_that_may_not_be_read(terminal: Terminal) -> None:
    """Permissions are named as such."""
    file = made(terminal.folder, "export.psv", GOOD)
    file.chmod(0)

    assert_says(terminal.opsd(*IMPORT, file, bound=True), 1, str(file), "Permission denied", "permissions")


def test_a_disk_that_fails_while_reading(terminal: Terminal) -> None:
    """An error of the device names the file; /proc/self/mem has nothing at its beginning."""
    assert_says(terminal.opsd(*IMPORT, "/proc/self/mem"), 1, "/proc/self/mem", "Input/output error", "check")


def test_a_cut_gzip_file_keeps_what_came_before_the_cut(terminal: Terminal) -> None:
    """The records before the cut count, the cut one is kept aside; the whole file then completes it."""
    rows = [row(job, User=hashlib.sha256(bytes([job])).hexdigest()) for job in range(1, 201)]
    whole = gzip.compress(export(*rows))
    cut = made(terminal.folder, "cut.psv.gz", whole[: len(whole) // 2])

    first = terminal.opsd(*IMPORT, cut)
    before, waiting = terminal.usage(), terminal.quarantined()

    assert first.code == 1
    assert f"{cut}: the gzip data stops before its end" in first.err
    assert 50 < len(before) < 150
    assert each(*range(1, len(before) + 1)) == before
    assert rows[len(before)].startswith(terminal.raw(waiting[0]))
    assert terminal.opsd(*IMPORT, cut).code == 1
    assert before == terminal.usage()
    assert terminal.opsd(*IMPORT, made(terminal.folder, "whole.psv.gz", whole)).code == 0
    assert each(*range(1, 201)) == terminal.usage()


def test_a_damaged_gzip_file_counts_nothing(terminal: Terminal) -> None:
    """Behind a flipped bit stand records that look right; the checksum says that they may not be."""
    data = bytearray(gzip.compress(export(*(row(job, User=f"u{job * 7919}") for job in range(1, 2_001)))))
    data[len(data) // 2] ^= 4
    file = made(terminal.folder, "damaged.psv.gz", bytes(data))

    done = terminal.opsd(*IMPORT, file)

    assert_says(done, 1, str(file), "the gzip data is damaged", "again")
    assert stored(terminal.database) == 0


# ------------------------------------------------------------------------------------ records that are bad

BAD: dict[bytes, str] = {
    row(101, Submit=100, Start=200, End=300, ElapsedRaw=100): "Submit is before 1990: '100'",
    row(102, End=START - 5): "End is before Start",
    row(103, AllocTRES="cpu=-4,node=1"): "'-4'",
    row(104, ElapsedRaw=-1): "ElapsedRaw",
    row(105, End=START * 1000): "is it in milliseconds?",
    row(106, Account="a\0b"): r"a\x00b",
    row(107, User="\udcff\udcfe"): r"\udcff\udcfe",
    row(108, State="done"): "'done'",
    row(109, AllocTRES="cpu=1,cpu=2"): "'cpu=1,cpu=2'",
    row(110, Start="2026-09-21T13:30:00"): "state the zone with --timezone",
    row(111) + b"|more": "13 fields where the layout has 12",
    b"112|mn5|a112": "3 fields where the layout has 12",
    bytes(code for code in range(256) if code != ord("\n")): "2 fields where the layout has 12",
}


def test_a_bad_record_costs_nobody_else_anything(terminal: Terminal) -> None:
    """Between bad records every good one counts; the bad are kept byte for byte; the repeat is the same."""
    good = range(1, len(BAD) + 2)
    lines = [line for pair in zip(map(row, good), BAD, strict=False) for line in pair] + [row(good[-1])]
    file = made(terminal.folder, "export.psv", export(*lines))

    first = terminal.opsd(*IMPORT, file)
    usage, waiting = terminal.usage(), terminal.quarantined()

    assert first.code == 3
    assert f"{file}:3: Submit is before 1990: '100'" in first.err
    assert f"and {len(BAD) - 5} more: opsd quarantine list" in first.err
    assert each(*good) == usage
    assert [2 * place + 3 for place in range(len(BAD))] == [entry["line"] for entry in waiting]
    for (data, reason), entry in zip(BAD.items(), waiting, strict=True):
        assert reason in entry["reason"]
        assert hashlib.sha256(data + b"\n").hexdigest() == entry["digest"]
    for place in (5, -1):  # NUL, every byte there is
        assert list(BAD)[place] + b"\n" == terminal.raw(waiting[place])
    assert terminal.opsd(*IMPORT, file).code == 3
    assert (usage, waiting) == (terminal.usage(), terminal.quarantined())


HOUR_TWICE = {"Submit": "2026-10-25T01:30:00", "Start": "2026-10-25T02:10:00", "End": "2026-10-25T02:40:00"}
HOUR_NEVER = {"Submit": "2026-03-29T01:30:00", "Start": "2026-03-29T02:10:00", "End": "2026-03-29T03:40:00"}
LAST: dict[str, tuple[bytes, bytes, str]] = {  # the last line, its end, the reason
    "an hour that happens twice": (
        row(3, **HOUR_TWICE, ElapsedRaw=""),
        b"\n",
        "add ElapsedRaw and Suspended",
    ),
    "an hour that never happens": (row(3, **HOUR_NEVER), b"\n", "'2026-03-29T02:10:00'"),
    "a cut record": (row(3)[:-3], b"", "line end"),
    "zeros where a crash left them": (bytes(4096), b"", "line end"),
}


@pytest.mark.parametrize("kind", LAST)
def test_one_bad_record_is_kept_with_its_reason(kind: str, terminal: Terminal) -> None:
    """Exit code 3 both times, the neighbours counted once, the bytes kept, and the reason says what to do."""
    data, end, reason = LAST[kind]
    file = made(terminal.folder, "export.psv", export(row(1), row(2), data, end=end))

    codes = [terminal.opsd(*IMPORT, file, "--timezone", "Europe/Berlin").code for _ in range(2)]
    (entry,) = terminal.quarantined()

    assert codes == [3, 3]
    assert reason in entry["reason"]
    assert data + end == terminal.raw(entry)
    assert each(1, 2) == terminal.usage()


@pytest.mark.parametrize(("column", "code"), [(5, 0), (len(COLUMNS), 3)])
def test_a_hostile_name_costs_nobody_else_anything(column: int, code: int, terminal: Terminal) -> None:
    """Delimiters, line ends, controls, no UTF-8 and 64 KB in a job name: every record counts, once.

    Where the name stands last, the lines behind its first are no part of any record: they are kept aside.
    """
    names = [
        b"a|b", b"|||", b"a\nb", b"\n\n\n", b"'\"", b"\xff\xfe", b"\0", b"\x1b[31m", b"a\r\nb", b"\xc2\x85",
        b"x" * 65_536, b"|" * 65_536, b"\n" * 65_536, "é漢字\u2028".encode(), b"7|mn5|a7", b",;\t",
    ]  # fmt: skip
    jobs = range(1, 2 * len(names) + 1)
    rows = [row(job).split(b"|") for job in jobs]
    for place, fields in enumerate(rows):
        fields.insert(column, names[place // 2] if place % 2 else b"train")
    columns = (*COLUMNS[:column], "JobName", *COLUMNS[column:])
    file = made(terminal.folder, "export.psv", export(*map(b"|".join, rows), columns=columns))

    done = terminal.opsd(*IMPORT, file)

    assert done.code == code
    assert "warning: the columns JobName hold text that users choose" in done.err
    assert each(*jobs) == terminal.usage()
    assert b" 0 new, 0 changed, 32 unchanged" in terminal.opsd(*IMPORT, file).out


def test_a_record_of_a_gigabyte_that_never_ends(terminal: Terminal) -> None:
    """It is counted and hashed, its first MiB kept, what came before it counts, and memory stays flat."""
    chunk, digest = b"x" * (4 * MIB), hashlib.sha256()
    with terminal.started(*IMPORT, "-", stdin=-1) as process:
        assert process.stdin
        process.stdin.write(export(row(1), row(2)))
        for _ in range(256):
            process.stdin.write(chunk)
            digest.update(chunk)
        peak = peak_kib(process)
        done = ended(process)
    (entry,) = terminal.quarantined()

    assert done.code == 3, done.err
    assert peak < FLAT_KIB
    assert (1 << 30, digest.hexdigest()) == (entry["length"], entry["digest"])
    assert chunk[:MIB] == terminal.raw(entry)
    assert each(1, 2) == terminal.usage()


def test_an_endless_line_between_records(terminal: Terminal) -> None:
    """A line of two MiB hides neither the record before it nor the one behind it."""
    file = made(terminal.folder, "export.psv", export(row(1), b"y" * (2 * MIB), row(2)))

    assert terminal.opsd(*IMPORT, file).code == 3
    assert each(1, 2) == terminal.usage()


def test_a_file_whose_name_is_no_text(terminal: Terminal) -> None:
    """A name with bytes that are no UTF-8 is shown with escapes, and found again in quarantine."""
    file = terminal.folder / os.fsdecode(b"caf\xe9.psv")
    file.write_bytes(export(row(1), b"bad"))

    assert terminal.opsd(*IMPORT, file).code == 3
    assert terminal.quarantined()[0]["source"].endswith(r"caf\xe9.psv")
    assert each(1) == terminal.usage()


# --------------------------------------------------------------------------------------- the quarantine


def test_retry_reads_what_an_older_opsd_could_not(terminal: Terminal) -> None:
    """A record that can be read now counts once, however often it is tried; the other waits on."""
    file = made(terminal.folder, "export.psv", export(row(1), row(2, State="done"), row(3, End=5)))
    assert terminal.opsd(*IMPORT, file).code == 3
    data = row(2) + b"\n"  # as if "done" were a state by now
    sql(terminal.database, "UPDATE quarantine SET data = ?, length = ? WHERE id = 1", data, len(data))

    first, again = terminal.opsd("quarantine", "retry"), terminal.opsd("quarantine", "retry")

    assert (3, 3) == (first.code, again.code)
    assert first.out.startswith(b"1 record")
    assert again.out.startswith(b"0 records")
    assert b"End is before 1990: '5'" in again.out
    assert each(1, 2) == terminal.usage()
    assert [2] == [entry["id"] for entry in terminal.quarantined()]
    assert_says(terminal.opsd("quarantine", "retry", "7"), 1, "quarantine 7", "no such", "list")


# ------------------------------------------------------------------------------------- the command line

WRONG_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "an unknown key": (
        ("usage", *WINDOW, "--by", "acount"),
        ("--by", "'acount'", "did you mean 'account'", "gpu_class"),
    ),
    "the end first": (
        ("usage", "--from", "2026-10-01", "--to", "2026-09-01"),
        ("--to 2026-09-01", "--from 2026-10-01", "earlier time first"),
    ),
    "no time": (
        ("usage", "--from", "yesterday", "--to", "2026-09-01"),
        ("--from", "'yesterday'", "2026-10-01"),
    ),
    "a time beyond time": (
        ("usage", "--from", "2026-10-01", "--to", f"@{10**20}"),
        ("--to", "@1000", "write"),
    ),
    "an unknown zone": (("usage", *WINDOW, "--timezone", "Mars/Base"), ("--timezone", "'Mars/Base'", "UTC")),
    "an unknown balance": (("balance", "--by", "acount"), ("--by", "'acount'", "award project")),
    "an unknown verb": (("imprt",), ("'imprt'", "import")),
    "no number of a record": (("quarantine", "show", "9" * 30), ("9" * 30, "opsd quarantine list")),
    "no account": (("account", "bind", "mn5", "--award", "a", "--from", "2026-10-01"), ("'mn5'", "CLUSTER/")),
}


@pytest.mark.parametrize("kind", WRONG_WORDS)
def test_wrong_usage_is_explained(kind: str, terminal: Terminal) -> None:
    """Exit code 2; the message names the option, the value and what would do."""
    words, says = WRONG_WORDS[kind]

    assert_says(terminal.opsd(*words), 2, *says)


# ----------------------------------------------------------------------------------------- the database

WRONG_URLS = {
    "a path": ("/var/opsd.db", "sqlite:////abs/path"),
    "another kind": ("mysql://opsd:geheim@host/opsd", "sqlite:////abs/path"),
    "a port that is no number": ("postgresql://opsd:geheim@host:port/opsd", "postgresql://host/name"),
    "nobody there": ("postgresql://opsd:geheim@127.0.0.1:1/opsd", "check host and port"),
    "an option": ("sqlite:////tmp/opsd.db?mode=ro", "takes no options"),
    "memory": ("sqlite://", "sqlite:////abs/path"),
    "no text": ("sqlite:////tmp/\udcff.db", "another name"),
}


@pytest.mark.parametrize("kind", WRONG_URLS)
def test_a_wrong_database_url_is_explained(kind: str, terminal: Terminal) -> None:
    """Exit code 1, no word of the password, and an example of what would do."""
    url, advice = WRONG_URLS[kind]

    done = terminal.opsd("usage", *WINDOW, url=url)

    assert_says(done, 1, "database", advice)
    assert "geheim" not in done.err


def test_a_database_from_a_newer_opsd_is_left_alone(terminal: Terminal) -> None:
    """Reading, importing and upgrading all refuse it and change no byte."""
    sql(terminal.database, "UPDATE alembic_version SET version_num = '9876'")
    before = terminal.database.read_bytes()
    file = made(terminal.folder, "export.psv", GOOD)

    for words in (("usage", *WINDOW), (*IMPORT, str(file)), ("db", "upgrade")):
        assert_says(terminal.opsd(*words), 1, str(terminal.database), "9876", "newer", "upgrade opsd")

    assert before == terminal.database.read_bytes()


def test_a_file_that_is_no_database_is_left_alone(terminal: Terminal) -> None:
    """A file of another kind is named and keeps its bytes."""
    terminal.database.write_bytes(GOOD * 100)
    file = made(terminal.folder, "export.psv", GOOD)

    assert_says(terminal.opsd(*IMPORT, file), 1, str(terminal.database), "not a database", "check the path")
    assert GOOD * 100 == terminal.database.read_bytes()


def test_the_database_of_another_program_gets_no_tables(terminal: Terminal) -> None:
    """An SQLite file with somebody else's tables is refused."""
    terminal.database.unlink()
    sql(terminal.database, "CREATE TABLE bookmarks (url)")

    done = terminal.opsd(*IMPORT, made(terminal.folder, "export.psv", GOOD))

    assert_says(done, 1, str(terminal.database), "another program", "bookmarks", "choose another file")
    assert [("bookmarks",)] == sql(terminal.database, "SELECT name FROM sqlite_master")


def test_a_folder_that_may_only_be_read(terminal: Terminal) -> None:
    """Nothing can be made or changed in it, and the command says where to look; then it works."""
    file = made(terminal.folder, "export.psv", GOOD)
    shut = terminal.folder / "shut"
    shut.mkdir()
    inside = Terminal(terminal.folder, Path(shutil.move(terminal.database, shut)))
    shut.chmod(0o555)

    made_new = inside.opsd(*IMPORT, file, url=f"sqlite:///{shut}/new.db", bound=True)
    made_folder = inside.opsd(*IMPORT, file, url=f"sqlite:///{shut}/new/opsd.db", bound=True)
    changed = inside.opsd(*IMPORT, file, bound=True)
    shut.chmod(0o755)

    assert_says(made_new, 1, f"{shut}/new.db", "cannot be opened", "you may write there")
    assert_says(made_folder, 1, f"{shut}/new", "cannot be made", "Permission denied")
    assert_says(changed, 1, str(inside.database), "may only be read", "permissions of its folder")
    assert inside.opsd(*IMPORT, file, bound=True).code == 0
    assert each(1, 2) == inside.usage()


MANY = 32_000  # runs
ROOM = 3_400_000  # bytes: enough for the tables and one batch of them, not for all of it


@pytest.mark.parametrize("kind", ["the system refuses to write", "the database has no page left"])
def test_a_full_disk(kind: str, terminal: Terminal) -> None:
    """What fits is kept and adds up, the rest follows when there is room, and nothing counts twice."""
    file = made(terminal.folder, "export.psv", export(*many(MANY)))
    words = terminal.command((*IMPORT, file))
    if kind == "the system refuses to write":
        done, says = terminal.opsd(command=words, largest_file=ROOM), "the disk cannot be written"
    else:
        small = [sys.executable, HERE / "opsd_on_a_small_disk.py", str(ROOM // 4096)]
        done, says = terminal.opsd(command=[*small, *words[3:]]), "the disk is full"
    runs = stored(terminal.database)

    assert_says(done, 1, str(terminal.database), says, "run the same command again")
    assert 0 < runs < MANY
    assert {"many": (runs, runs * GPU_SECONDS)} == terminal.usage()
    assert f"{MANY - runs:,} new".encode() in terminal.opsd(command=words).out
    assert {"many": (MANY, MANY * GPU_SECONDS)} == terminal.usage()


# ------------------------------------------------------------------------------ streams, signals, others


def test_a_reader_that_has_seen_enough(terminal: Terminal) -> None:
    """`opsd usage | head -1` ends quietly, as data and as a table."""
    long = row(1, End=START + 2_000 * HOUR, ElapsedRaw=2_000 * HOUR)
    terminal.opsd(*IMPORT, made(terminal.folder, "export.psv", export(long)))

    for form, first in (("csv", b"hour,runs"), ("table", b"")):
        words = ("usage", "--from", "2026-09-01", "--to", "2027-01-01", "--by", "hour", "--format", form)
        with terminal.started(*words) as process:
            assert process.stdout
            line = process.stdout.readline()
            process.stdout.close()
            process.stdout = None
            done = ended(process)
        assert (0, "") == (done.code, done.err)
        assert line.startswith(first)


def test_nobody_reads_what_an_import_says(terminal: Terminal) -> None:
    """The exit code still tells of the quarantine."""
    file = made(terminal.folder, "export.psv", export(row(1), b"bad"))
    reader, writer = os.pipe()
    os.close(reader)

    done = terminal.opsd(*IMPORT, file, stdout=writer)
    os.close(writer)

    assert done.code == 3
    assert each(1) == terminal.usage()


def test_output_that_does_not_fit(terminal: Terminal) -> None:
    """A report that could not be written is no success."""
    with Path("/dev/full").open("wb") as full:
        done = terminal.opsd("usage", *WINDOW, "--format", "csv", stdout=full)

    assert done.code == 1
    assert "standard output: No space left on device" in done.err


def test_streams_that_are_closed(terminal: Terminal) -> None:
    """Without stdout a command does its work; without stdin there is nothing to read."""
    file = made(terminal.folder, "export.psv", GOOD)
    shell = ["sh", "-c", 'exec "$@" <&- >&-', "sh"]

    assert terminal.opsd(command=[*shell, *terminal.command((*IMPORT, file))]).code == 0
    assert_says(terminal.opsd(command=[*shell, *terminal.command((*IMPORT, "-"))]), 1, "empty")
    assert each(1, 2) == terminal.usage()


def wait_until(happened: Callable[[], object]) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_ctrl_c_in_the_middle_of_an_import(terminal: Terminal) -> None:
    """What was stored stays and adds up; the same import again brings the rest."""
    whole = export(*many(24_000))
    with terminal.started(*IMPORT, "-", stdin=-1) as process:
        assert process.stdin
        process.stdin.write(whole[:-1_000])
        process.stdin.flush()
        wait_until(lambda: stored(terminal.database))
        process.send_signal(signal.SIGINT)
        done = ended(process)
    runs = stored(terminal.database)

    assert (130, True) == (done.code, "interrupted" in done.err)
    assert 0 < runs < 24_000
    assert {"many": (runs, runs * GPU_SECONDS)} == terminal.usage()
    again = terminal.opsd(*IMPORT, made(terminal.folder, "export.psv", whole))
    assert f"{24_000 - runs:,} new".encode() in again.out
    assert {"many": (24_000, 24_000 * GPU_SECONDS)} == terminal.usage()


def test_ctrl_c_while_another_writes(terminal: Terminal) -> None:
    """Waiting for the database can be given up at once."""
    holder = sqlite3.connect(terminal.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    file = made(terminal.folder, "export.psv", GOOD)
    with terminal.started(*IMPORT, file) as process:
        wait_until(lambda: has_open(process, terminal.database))
        time.sleep(0.5)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        done = ended(process)
    holder.close()

    assert done.code == 130, done.err
    assert time.monotonic() - asked < 20  # it would wait for two minutes
    assert stored(terminal.database) == 0


def test_two_imports_at_once_into_nothing(tmp_path: Path) -> None:
    """Both make the database and neither fails; each run is counted once."""
    terminal = Terminal(tmp_path, tmp_path / "new" / "opsd.db")
    words = terminal.command((*IMPORT, made(tmp_path, "export.psv", export(*map(row, range(1, 301))))))

    with terminal.started(command=words) as one, terminal.started(command=words) as other:
        both = (ended(one), ended(other))

    assert [0, 0] == [done.code for done in both], both
    assert each(*range(1, 301)) == terminal.usage()


# ------------------------------------------------------------------------------------- the consortium file

BASE = """
[[cluster]]
id = "mn5"
[[organisation]]
id = "bsc"
name = "BSC"
country = "ES"
[[organisation]]
id = "lab"
name = "A laboratory"
country = "PT"
parent = "bsc"
[[funder]]
id = "spain"
name = "Spain"
kind = "state"
country = "ES"
[[pool]]
id = "es"
funder = "spain"
[[project]]
id = "p"
title = "P"
organisation = "bsc"
[[policy]]
id = "gpu"
rule = "gpu_hours"
[[award]]
id = "one"
project = "p"
pool = "es"
amount = 1000
unit = "gpu-hours"
start = 2026-09-01
policy = "gpu"
[[award]]
id = "two"
project = "p"
pool = "es"
amount = 1000
unit = "gpu-hours"
start = 2026-09-01
policy = "gpu"
"""
BINDING = """
[[binding]]
cluster = "mn5"
account = "a1"
award = "{award}"
from = 2026-09-01
"""
WRONG_FILES = {
    "a misspelt key": (BASE.replace("country", "contry", 1), (":7:", "contry", "did you mean 'country'")),
    "a misspelt table": (BASE.replace("[[funder]]", "[[fundr]]"), (":13:", "fundr", "did you mean 'funder'")),
    "a cycle": (
        BASE.replace('country = "ES"', 'country = "ES"\nparent = "lab"', 1),
        ("bsc", "lab", "parent"),
    ),
    "an overlap": (
        BASE + BINDING.format(award="one") + BINDING.format(award="two").replace("09-01", "10-01"),
        ("mn5/a1", "overlap", "until"),
    ),
    "no TOML": ("id: 5", (":1:", "not TOML")),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_a_wrong_consortium_file_changes_nothing(kind: str, terminal: Terminal) -> None:
    """The message has file, line, value and remedy, and not half of the file is applied."""
    text, says = WRONG_FILES[kind]
    file = made(terminal.folder, "consortium.toml", text.encode())

    assert_says(terminal.opsd("consortium", "apply", file), 1, str(file), *says)
    assert [] == sql(terminal.database, "SELECT id FROM organisation UNION SELECT id FROM award")


def test_the_base_of_the_wrong_files_is_right(terminal: Terminal) -> None:
    """Without its fault the file applies, however an editor saved it; then nothing is left to change."""
    text = (BASE + BINDING.format(award="one")).replace("\n", "\r\n")
    file = made(terminal.folder, "consortium.toml", b"\xef\xbb\xbf" + text.encode())

    assert terminal.opsd("consortium", "apply", file).code == 0
    assert b"nothing to change\n" == terminal.opsd("consortium", "apply", file).out
