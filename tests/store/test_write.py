"""Whatever order observations come in, however cut into batches: the same runs, the same usage."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from sqlalchemy import delete, select

from collectors.slurm.content import content_hash
from opsd.core.flags import Flag
from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory, classify
from opsd.core.tres import Tres
from opsd.core.usage import cut, interval, suspension
from opsd.core.versions import Version, distinct, merge
from opsd.pipeline import rebuild, usage
from opsd.store import imports, migrate, read, tables
from opsd.store.engine import Store, open_engine, sqlite_address
from opsd.store.write import RUN_COLUMNS, Tally, Writer

BASE = 20_700 * DAY
TABLES = (tables.run, tables.run_version, tables.day_fact, tables.dirty_cell)
NO_NODES = Inventory((), lambda text: [text])


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One database of each kind for all tests here: making one takes longer than most of them."""
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            url = sqlite_address(tmp_path_factory.mktemp("write") / "opsd.db")
        else:
            url = stack.enter_context(request.getfixturevalue("postgres_server").fresh_database())
        store = open_engine(url)
        migrate.upgrade(store)
        yield store
        store.close()


@pytest.fixture
def store(database: Store) -> Store:
    """An empty database of either kind."""
    with database.write() as connection:
        for table in (*TABLES, tables.account, tables.shape, tables.import_log):
            connection.execute(delete(table))
        connection.execute(delete(tables.word).where(tables.word.c.id != tables.EMPTY_WORD))
    return database


# ------------------------------------------------------------------------------------------- observations


class Seen(NamedTuple):
    """A record and when Slurm said it."""

    record: RunRecord
    observed_at: int


def row(job_id: int = 1, **columns: Any) -> RunRecord:
    """A record with its content hash; an ended run of one hour unless told otherwise."""
    values: dict[str, Any] = {
        "cluster": "mn5", "job_id": job_id, "submit": BASE, "start": BASE, "end": BASE + HOUR,
        "state": "COMPLETED", "account": "es-a", "tres": "cpu=4,node=1", **columns,
    }  # fmt: skip
    record = RunRecord(**values)
    return record._replace(hash=content_hash(record))


# What an export may carry beside the required columns.
LAYOUTS: tuple[tuple[str, ...], ...] = (
    ("user", "partition", "qos", "elapsed", "suspended", "limit", "nodes", "label", "sluid", "flags"),
    ("user", "qos", "elapsed", "suspended", "assoc_id", "db_index", "reservation_id", "eligible"),
    ("partition", "sluid"),
    ("suspensions",),
    ("elapsed",),
    (),
)


def life(chance: random.Random, job_id: int) -> list[dict[str, Any]]:
    """What is true of one run, one after the other: open, suspended, ended, edited, moved, another SLUID."""
    start = BASE + chance.randrange(3 * DAY)
    fixed = {
        "cluster": chance.choice(("mn5", "aiup")), "job_id": job_id, "start": start,
        "submit": start - chance.choice((0, 9, -500)), "account": chance.choice(("es-a", "pt-b")),
        "tres": chance.choice(("cpu=4,node=1", "gres/gpu=2")), "user": chance.choice(("ana", "")),
        "partition": "acc", "qos": "normal", "limit": 3600, "nodes": "n1",
        "label": str(job_id), "sluid": "s1", "flags": "SchedMain", "assoc_id": 3, "db_index": 5,
        "reservation_id": 0, "eligible": start, "elapsed": 0, "suspended": 0,
        "suspensions": f"{start + 5}-{start + 30}",
    }  # fmt: skip
    running = fixed | {"end": None, "state": "RUNNING"}
    ended = fixed | {
        "end": start + chance.randrange(2 * DAY),
        "state": "COMPLETED",
        "suspended": chance.randrange(99),
        "suspensions": f"{start + 5}-{start + 9},{start + 20}-{start + DAY}",
    }
    return [
        running,
        running | {"state": "SUSPENDED"},
        ended,
        ended | {"end": start + chance.randrange(3 * DAY), "state": "NODE_FAIL"},
        ended | {"account": "moved", "user": "bruno"},
        ended | {"tres": "cpu=8,gres/gpu:h100=1,node=2", "suspended": 10**6},
        ended | {"sluid": "s2", "end": start + 77},
        ended | {"start": None, "state": "CANCELLED", "tres": ""},
    ]


def observed(chance: random.Random, runs: int, looks: int) -> list[Seen]:
    """Random looks at the lives of some runs, through random layouts, at few different times."""
    found = []
    for job_id in range(1, runs + 1):
        known = life(chance, job_id)
        known = chance.choice((known[:2], known[:3], known[-1:], known, known))  # some are open to the last
        for _ in range(looks):
            values, layout, at = dict(chance.choice(known)), chance.choice(LAYOUTS), chance.randrange(1, 6)
            if values["end"] is None:  # drifts, sometimes within one instant
                values |= {"elapsed": at * 100 + chance.randrange(2), "suspended": chance.randrange(at)}
            kept = {name: values[name] for name in values if name in layout or name in RunRecord._fields[:8]}
            found.append(Seen(row(**kept), BASE + at * DAY))
    return found


Batch = tuple[int, list[RunRecord]]  # observed at, records


def batches(chance: random.Random, seen: Sequence[Seen]) -> list[Batch]:
    """The observations in random order and batches of random size, some of them twice in one batch."""
    by_time: dict[int, list[RunRecord]] = defaultdict(list)
    for record, observed_at in seen:
        by_time[observed_at] += [record._replace()] * chance.choice((1, 1, 1, 2))
    found = []
    for observed_at, records in by_time.items():
        chance.shuffle(records)
        while records:
            taken = [records.pop()._replace() for _ in range(min(len(records), chance.randrange(1, 12)))]
            found.append((observed_at, taken))
    chance.shuffle(found)
    return found


def write(store: Store, observed_at: int, records: Sequence[RunRecord]) -> Tally:
    """Store one batch as a reading of its own."""
    with store.write() as connection:
        number = imports.open_import(connection, "test", observed_at, observed_at)
        return Writer(connection, NO_NODES, number, observed_at).batch(connection, records)


def write_all(store: Store, found: Iterable[Batch]) -> Tally:
    """Store batches one after the other."""
    total = Tally()
    for observed_at, records in found:
        total.add(write(store, observed_at, records))
    return total


# ---------------------------------------------------------------------- what is stored, and what ought to be

WORDS = ("cluster_id", "user_id", "partition_id", "qos_id", "state_id", "slurm_flags_id")


def stored(store: Store) -> list[dict[str, Any]]:
    """The run table by key, without row numbers: every id is what it stands for."""
    with store.read() as connection:
        names = read.names(connection)
        found = [dict(line) for line in connection.execute(select(tables.run)).mappings()]
    for line in found:
        line |= {name: None if line[name] is None else names.words[line[name]] for name in WORDS}
        line |= {"account_id": names.accounts[line["account_id"]], "shape_id": names.shapes[line["shape_id"]]}
        del line["id"], line["import_id"]
    return sorted(found, key=lambda line: (line["cluster_id"], line["job_id"], line["submit"]))


def expected_row(versions: Sequence[Version]) -> dict[str, Any]:
    """What one run adds up to, by `opsd.core.versions` alone."""
    contents = distinct(versions)
    record, observed_at, _, seen_open, two_sluids = merge(contents.values())
    begin, finish, flags = interval(record)
    shape, oddity = classify(Tres.from_canonical(record.tres), None)
    flags |= oddity if begin is not None else 0
    values = {name: getattr(record, name) for name in RUN_COLUMNS if name in RunRecord._fields}
    return values | {
        "cluster_id": record.cluster, "account_id": (record.cluster, record.account), "user_id": record.user,
        "partition_id": record.partition, "qos_id": record.qos, "state_id": record.state,
        "slurm_flags_id": record.flags, "limit_seconds": record.limit, "shape_id": shape, "begin": begin,
        "finish": finish, "flags": int(flags) | (Flag.TWO_SLUIDS if two_sluids else 0),
        "observed_at": observed_at, "seen_open": seen_open, "versions": len(contents),
    }  # fmt: skip


def by_key(seen: Iterable[Seen]) -> dict[tuple[str, int, int], list[Version]]:
    """The observations of each run."""
    found: dict[tuple[str, int, int], list[Version]] = defaultdict(list)
    for record, observed_at in seen:
        found[record.cluster, record.job_id, record.submit].append(Version(record, observed_at, 1))
    return dict(sorted(found.items()))


def expected_usage(rows: Sequence[dict[str, Any]], window: Window) -> dict[tuple[str, ...], tuple[int, int]]:
    """(cpu, GPU) seconds by account and state, from rows as `stored` gives them."""
    found: dict[tuple[str, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for line in rows:
        if line["begin"] is None:
            continue
        finish = line["finish"] if line["finish"] is not None else max(line["begin"], line["seen_open"])
        suspended = suspension(
            line["suspended"], line["suspensions"], line["begin"], finish, ended=line["finish"] is not None
        )
        ran, off = cut(line["begin"], finish, suspended, window.start, window.end)
        key, tres = (line["account_id"][1], line["state_id"]), line["shape_id"].tres
        found[key] = (found[key][0] + ran * tres.get("cpu"), found[key][1] + (ran + off) * tres.gpus)
    return {key: seconds for key, seconds in found.items() if any(seconds)}


def used(store: Store, window: Window) -> dict[tuple[str, ...], tuple[int, int]]:
    """The same, as opsd tells it."""
    with store.read() as connection:
        found = usage.run(connection, window, ("account", "state"))
    pairs = {line.key: (line.measures.cpu_seconds, line.measures.gpu_seconds) for line in found.rows}
    return {key: seconds for key, seconds in pairs.items() if any(seconds)}


def clear(store: Store) -> None:
    """Forget all runs; words and accounts stay, so that later ids differ."""
    with store.write() as connection:
        for table in TABLES:
            connection.execute(delete(table))


# --------------------------------------------------------------------------------------------- properties

WINDOW = Window(BASE + 1234, BASE + 5 * DAY + 4321)


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_grouping_gives_the_same_runs(store: Store, seed: int) -> None:
    """Runs and usage depend on what was seen, not on how it came; and twice changes nothing."""
    chance = random.Random(seed)
    seen = observed(chance, runs=12, looks=7)
    expected = [expected_row(versions) for versions in by_key(seen).values()]
    assert {True, False} == {line["end"] is None for line in expected}

    for _ in range(2):
        clear(store)
        tally = write_all(store, batches(chance, seen))
        assert expected == stored(store)
        assert expected_usage(expected, WINDOW) == used(store, WINDOW)
        assert len(expected) == tally.new

        again = write_all(store, batches(chance, seen))
        assert (0, 0) == (again.new, again.changed)
        assert expected == stored(store)


@pytest.mark.parametrize("seed", range(3))
def test_facts_built_along_the_way_are_right(store: Store, seed: int) -> None:
    """After each batch, facts rebuilt or not, usage is that of the runs seen so far."""
    chance = random.Random(100 + seed)
    so_far: list[Seen] = []
    for observed_at, records in batches(chance, observed(chance, runs=6, looks=5)):
        write(store, observed_at, records)
        so_far += [Seen(record, observed_at) for record in records]
        if chance.random() < 0.5:
            rebuild.run(store)
        rows = [expected_row(versions) for versions in by_key(so_far).values()]
        assert expected_usage(rows, WINDOW) == used(store, WINDOW)

    rebuild.run(store)
    built = all_facts(store)
    rebuild.everything(store)

    assert built == all_facts(store)
    assert expected_usage(rows, WINDOW) == used(store, WINDOW)


def all_facts(store: Store) -> list[tuple[int, ...]]:
    """The fact table."""
    with store.read() as connection:
        return sorted(tuple(line) for line in connection.execute(select(tables.day_fact)))


def test_superseded_versions_stay(store: Store) -> None:
    """Every content ever seen of a run with several is kept, with the last time it was seen."""
    chance = random.Random(50)
    seen = observed(chance, runs=10, looks=6)
    write_all(store, batches(chance, seen))
    expected = {
        (job_id, digest, version.observed_at)
        for (_, job_id, _), versions in by_key(seen).items()
        if len(distinct(versions)) > 1
        for digest, version in distinct(versions).items()
    }

    with store.read() as connection:
        version, run = tables.run_version, tables.run
        kept = connection.execute(
            select(run.c.job_id, version.c.hash, version.c.observed_at).join(
                run, run.c.id == version.c.run_id
            )
        )
        assert expected == {tuple(line) for line in kept}
    assert len(expected) > 30


def test_two_writers_at_once(store: Store) -> None:
    """Two readings of the same observations side by side, in other orders: each run once, none lost."""
    chance = random.Random(60)
    seen = observed(chance, runs=10, looks=4)
    tallies: list[Tally] = []
    orders = [batches(chance, seen), batches(chance, seen)]
    threads = [
        threading.Thread(target=lambda order=order: tallies.append(write_all(store, order)))
        for order in orders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = [expected_row(versions) for versions in by_key(seen).values()]
    assert expected == stored(store)
    assert [len(expected), 2] == [sum(tally.new for tally in tallies), len(tallies)]


# ------------------------------------------------------------------------------------------- one by one


def dirty(store: Store) -> set[tuple[int, str]]:
    """(day after BASE, account) cells that are marked."""
    with store.read() as connection:
        names = read.names(connection)
        cells = read.dirty_cells(connection, 0, 2**31 - 1)
    return {(day - BASE // DAY, names.accounts[account][1]) for day, account in cells}


def test_a_changed_run_marks_its_old_and_its_new_days(store: Store) -> None:
    """A run that moves to another account and other days leaves both behind it stale, and nothing else."""
    write(store, BASE, [row(end=BASE + DAY + 5), row(2, account="other", end=BASE + 9 * DAY)])
    assert {(0, "es-a"), (1, "es-a")} | {(day, "other") for day in range(9)} == dirty(store)
    rebuild.run(store)

    write(store, BASE + 1, [row(start=BASE + 4 * DAY, end=BASE + 5 * DAY, account="pt-b")])

    assert {(0, "es-a"), (1, "es-a"), (4, "pt-b")} == dirty(store)


def test_an_unchanged_run_marks_nothing(store: Store) -> None:
    """The same content, seen later or earlier, leaves the facts as fresh as they were."""
    write(store, BASE, [row()])
    rebuild.run(store)

    tallies = [write(store, observed_at, [row()]) for observed_at in (BASE, BASE + 9, BASE - 9)]

    assert [(0, 0, 1)] * 3 == [(tally.new, tally.changed, tally.unchanged) for tally in tallies]
    assert set() == dirty(store)
    assert [BASE + 9] == [line["observed_at"] for line in stored(store)]


def test_a_losing_observation_changes_nothing_but_is_kept(store: Store) -> None:
    """An older content, met later, is stored beside the truth, and no day becomes stale."""
    write(store, BASE + 9, [row()])
    rebuild.run(store)
    before = stored(store)

    tally = write(store, BASE, [row(end=BASE + 5)])

    assert (0, 0, 1) == (tally.new, tally.changed, tally.unchanged)
    assert [{**before[0], "versions": 2}] == stored(store)


def test_open_runs_are_in_no_fact(store: Store) -> None:
    """A run without an end marks and builds nothing; its end does, and only for its own days."""
    still = {"end": None, "state": "RUNNING"}
    write(store, BASE + 3 * DAY, [row(**still)])
    rebuild.everything(store)
    assert ([], set()) == (all_facts(store), dirty(store))
    assert {("es-a", "RUNNING"): (4 * 3 * DAY, 0)} == used(store, Window(BASE, BASE + 9 * DAY))

    write(store, BASE + 4 * DAY, [row(end=BASE + DAY + 1)])
    assert {(0, "es-a"), (1, "es-a")} == dirty(store)
    rebuild.run(store)

    with store.read() as connection:
        fact = tables.day_fact.c
        built = connection.execute(select(fact.day, fact.run_seconds, fact.starts).order_by(fact.day)).all()
    assert [(BASE // DAY, DAY, 1), (BASE // DAY + 1, 1, 0)] == [tuple(line) for line in built]
    assert {("es-a", "COMPLETED"): (4 * (DAY + 1), 0)} == used(store, Window(BASE, BASE + 9 * DAY))


def test_an_open_run_counts_until_it_was_last_seen(store: Store) -> None:
    """A later look moves on what is counted, an earlier one does not take it back."""
    still = {"end": None, "state": "RUNNING"}
    window = Window(BASE, BASE + 9 * DAY)
    for hours, elapsed in ((2, 7200), (5, 18_000), (3, 10_800)):
        write(store, BASE + hours * HOUR, [row(**still, elapsed=elapsed, suspended=0)])

    assert {("es-a", "RUNNING"): (4 * 5 * HOUR, 0)} == used(store, window)
    assert [(18_000, 1)] == [(line["elapsed"], line["versions"]) for line in stored(store)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_suspension_of_an_open_run_is_that_of_the_last_look(store: Store, order: tuple[int, ...]) -> None:
    """While a run is open its suspended seconds grow; an older look read later does not shrink them."""
    looks = [(2, 0), (5, 3600), (6, 5400)]
    for place in order:
        hours, suspended = looks[place]
        write(store, BASE + hours * HOUR, [row(end=None, state="RUNNING", suspended=suspended)])

    assert {("es-a", "RUNNING"): (4 * (6 * HOUR - 5400), 0)} == used(store, Window(BASE, BASE + 9 * DAY))


@pytest.mark.parametrize("earlier", [[], [{"state": "SUSPENDED"}]], ids=["one version", "two versions"])
def test_what_grows_while_a_run_is_open_is_no_change(store: Store, earlier: list[dict[str, Any]]) -> None:
    """A later look at an open run counts as unchanged, and what is stored of it has grown all the same."""
    looks = [*earlier, {"state": "RUNNING", "elapsed": 3600, "suspended": 60}]
    for hours, look in enumerate(looks, 1):
        write(store, BASE + hours * HOUR, [row(end=None, **look)])

    again = write(store, BASE + 5 * HOUR, [row(end=None, state="RUNNING", elapsed=9000, suspended=90)])

    assert (0, 0, 1) == (again.new, again.changed, again.unchanged)
    assert [(90, len(looks))] == [(line["suspended"], line["versions"]) for line in stored(store)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_two_looks_at_one_instant_take_the_greater_drift(store: Store, order: tuple[int, ...]) -> None:
    """Equally late looks at an open run cannot be ordered, so what only grows decides."""
    looks = [(5, 3), (8, 3), (6, 4)]
    for place in order:
        elapsed, suspended = looks[place]
        write(store, BASE + HOUR, [row(end=None, state="RUNNING", elapsed=elapsed, suspended=suspended)])

    assert [(8, 4, 1)] == [(line["elapsed"], line["suspended"], line["versions"]) for line in stored(store)]


def test_duplicates_inside_a_batch_are_one_run(store: Store) -> None:
    """Twins of one key in one batch are weighed against each other like any two observations."""
    open_twin, ended, edited = row(end=None, state="RUNNING"), row(), row(end=BASE + 2 * HOUR)

    tally = write(store, BASE + DAY, [open_twin, ended, ended._replace(), edited, row(2)])

    best = max((ended, edited), key=lambda record: record.hash)
    assert (2, 5) == (tally.new, tally.new + tally.changed + tally.unchanged)
    assert [best.end, BASE + HOUR] == [line["end"] for line in stored(store)]
    assert [3, 1] == [line["versions"] for line in stored(store)]


def test_a_requeued_run_is_another_run(store: Store) -> None:
    """The same job id with another submit, or on another cluster, is counted beside it."""
    write(store, BASE, [row(), row(submit=BASE + 1), row(cluster="aiup"), row(2)])

    assert 4 == len(stored(store))


def test_odd_texts_survive(store: Store) -> None:
    """Names that mean something to a database or a driver come out as they went in."""
    odd = [
        "",
        "\\N",
        "\\.",
        "a\\tb",
        "null",
        "O'Hara; --",
        "ñandú ü",
        "🦎" * 40,
        " edge ",
        "%s %(x)s",
        ":name",
    ]
    columns = ("user", "partition", "qos", "nodes", "label", "sluid", "flags", "account")
    records = [row(number, **dict.fromkeys(columns, text)) for number, text in enumerate(odd)]
    write(store, BASE, records)
    write(store, BASE + 1, [record._replace(hash=record.hash + 1, end=BASE + 9) for record in records])

    found = stored(store)

    names = ("user_id", "partition_id", "qos_id", "slurm_flags_id", "nodes", "label", "sluid")
    assert [[text] * 7 for text in odd] == [[line[name] for name in names] for line in found]
    assert [("mn5", text) for text in odd] == [line["account_id"] for line in found]


def test_missing_and_empty_stay_apart(store: Store) -> None:
    """A column that was not carried is not stored as an empty one."""
    write(store, BASE, [row(1), row(2, user="", partition="", qos="", nodes="", sluid="", flags="")])

    missing, empty = stored(store)

    columns = ("user_id", "partition_id", "qos_id", "nodes", "sluid", "slurm_flags_id")
    assert ([None] * 6, [""] * 6) == ([missing[name] for name in columns], [empty[name] for name in columns])


def test_the_largest_numbers_survive(store: Store) -> None:
    """Job ids, memory and hashes use all 64 bits."""
    most = 2**63 - 1
    write(store, BASE, [row(most, tres=f"cpu=1,mem={most}", db_index=most)._replace(hash=-(2**63))])

    (line,) = stored(store)

    assert (most, most, -(2**63)) == (line["job_id"], line["db_index"], line["hash"])
    assert most == line["shape_id"].tres.get("mem")


def test_flags_of_new_runs_are_counted(store: Store) -> None:
    """The tally says what was odd about the runs that came in."""
    odd = [row(1, state="ODD"), row(2, state="ODD", suspended=9), row(3), row(4, tres="")]

    tally = write(store, BASE, odd)

    assert {Flag.UNKNOWN_STATE: 2, Flag.SUSPENDED_UNPLACED: 1, Flag.NO_ALLOCATION: 1} == dict(tally.flags)


def test_a_batch_that_fails_leaves_nothing(store: Store) -> None:
    """One transaction per batch: not a run, a version, a word or a stale day of a failed one stays."""
    write(store, BASE, [row()])
    rebuild.run(store)
    before = stored(store)

    with pytest.raises(ZeroDivisionError):
        fail_after_a_batch(store)

    assert (before, set()) == (stored(store), dirty(store))
    with store.read() as connection:
        names = read.names(connection)
    assert "somebody-new" not in names.words.values()
    assert {("mn5", "es-a")} == set(names.accounts.values())


def fail_after_a_batch(store: Store) -> None:
    """Write a batch with news of every kind, and stumble before the end of the transaction."""
    with store.write() as connection:
        writer = Writer(connection, NO_NODES, 1, BASE + 9)
        writer.batch(connection, [row(end=BASE + 9), row(2, user="somebody-new", account="new")])
        raise ZeroDivisionError


def test_a_writer_goes_on_after_others_wrote(store: Store) -> None:
    """A reading's caches stay true over its transactions, whatever another reading adds in between."""
    with store.write() as connection:
        mine = Writer(connection, NO_NODES, 1, BASE)
        mine.batch(connection, [row(1, user="ana")])
    write(store, BASE, [row(2, user="bruno", account="new")])
    with store.write() as connection:
        mine.batch(connection, [row(3, user="bruno", account="new"), row(4, user="ana")])

    assert ["ana", "bruno", "bruno", "ana"] == [line["user_id"] for line in stored(store)]


# --------------------------------------------------------------------------------------------- two SLUIDs


def losing(store: Store) -> tuple[int, int]:
    """(runs seen under two SLUIDs, seconds that do not count)."""
    with store.read() as connection:
        return read.losing_sluids(connection)


def test_the_losing_sluid_has_its_seconds_told(store: Store) -> None:
    """Two Slurm ids under one key: one counts, the other's seconds are known."""
    write(store, BASE, [row(sluid="s1", end=BASE + 3600), row(2, sluid="s1"), row(3)])
    assert (0, 0) == losing(store)

    write(store, BASE + 9, [row(sluid="s2", end=BASE + 1800)])

    assert (1, 3600) == losing(store)
    assert {("es-a", "COMPLETED"): (4 * (1800 + 3600 + 3600), 0)} == used(store, Window(BASE, BASE + DAY))


def test_edits_of_the_winning_sluid_are_no_loss(store: Store) -> None:
    """Superseded contents of the id that counts are no second run."""
    for observed_at, sluid, seconds in ((1, "s1", 3600), (2, "s2", 100), (3, "s2", 200)):
        write(store, BASE + observed_at, [row(sluid=sluid, end=BASE + seconds)])

    assert (1, 3600) == losing(store)


def test_a_losing_sluid_seen_several_times_is_counted_once(store: Store) -> None:
    """Open, ended, edited: what the losing id lost is its own truth, not the sum of its versions."""
    write(store, BASE + 1, [row(sluid="s1", end=None, state="RUNNING")])
    write(store, BASE + 2, [row(sluid="s1", end=BASE + 3600)])
    write(store, BASE + 3, [row(sluid="s1", end=BASE + 1800)])
    write(store, BASE + 4, [row(sluid="s2", end=BASE + 60)])

    assert (1, 1800) == losing(store)


def test_a_losing_sluid_counts_from_its_submission(store: Store) -> None:
    """The shrink rule holds for the seconds that were lost, too."""
    write(store, BASE + 1, [row(sluid="s1", start=BASE - HOUR, end=BASE + 60)])
    write(store, BASE + 2, [row(sluid="s2", end=BASE + 5)])

    assert (1, 60) == losing(store)
