"""Usage against a second, slow and obvious implementation, whatever state the facts are in."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from opsd.core.attribution import KEYS as ATTRIBUTION_KEYS
from opsd.core.attribution import Attribution
from opsd.core.consortium import Consortium
from opsd.core.errors import WrongUsage
from opsd.core.parties import Organisation, Person
from opsd.core.period import DAY, HOUR, Window, parse_period
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.core.tres import Tres
from opsd.pipeline import rebuild, seconds, usage
from opsd.pipeline.usage import Measures
from opsd.store import facts, imports, migrate, parties
from opsd.store.engine import Store, open_engine
from opsd.store.write import Writer
from tests.pipeline.small_world import BASE, MADRID, consortium, records

SEEN = BASE + 9 * DAY  # when the open runs were last looked at
KEY_SETS: list[tuple[str, ...]] = [
    (),
    ("account",),
    ("user", "state"),
    ("cluster", "partition", "qos"),
    ("month",),
    ("day", "account"),
    ("hour",),
    ("country", "month"),
    ("award",),
    ("pays", "country", "uses"),
    ("project", "organisation", "pool", "funder", "mode", "kind", "sector"),
    ("gpu_class", "account"),
    ("uses", "day"),
]


def no_hosts(text: str) -> list[str]:
    """The small world names single nodes only."""
    return [text]


def stored(
    url: str, rows: Sequence[RunRecord], known: Consortium | None = None, observed_at: int = 0
) -> Store:
    """A database with these runs and this master data, all facts stale."""
    store = open_engine(url)
    migrate.upgrade(store)
    with store.write() as connection:
        if known:
            parties.save(connection, Consortium(), known)
        number = imports.open_import(connection, "test", observed_at, observed_at)
        Writer(connection, Inventory((), no_hosts), number, observed_at).batch(connection, rows)
    return store


def obvious(
    rows: Sequence[RunRecord],
    window: Window,
    keys: Sequence[str],
    zone: ZoneInfo,
    known: Consortium,
    seen: int,
) -> dict[tuple[str, ...], Measures]:
    """Usage second by second of logic: cut each run at every instant where anything may change."""
    attribution = Attribution(known)
    totals: dict[tuple[str, ...], Measures] = defaultdict(Measures)
    for row in rows:
        if row.start is None or not row.tres:
            continue
        begin = max(row.start, row.submit)
        finish = max(begin, row.end if row.end is not None else seen)
        length, off = finish - begin, min(row.suspended or 0, finish - begin)
        tres = Tres.from_canonical(row.tres)
        met = set()
        a, b = max(begin, window.start), min(finish, window.end)
        if begin == finish and window.start <= begin < window.end:
            a, b = begin, begin + 1
        edges = {a, b, *range(-(-a // HOUR) * HOUR, b, HOUR)}  # every label changes on the hour
        for c, d in pairwise(sorted(edge for edge in edges if a <= edge <= b)):
            label = tuple(label_of(attribution, row, key, c, zone) for key in keys if key != "gpu_class")
            held = min(d, finish) - c
            sus = off * (min(d, finish) - begin) // length - off * (c - begin) // length if length else 0
            for gpu_class, gpus, main in classes(tres):
                full = list(label)
                if "gpu_class" in keys:
                    full.insert(list(keys).index("gpu_class"), gpu_class)
                elif not main:
                    continue
                first = tuple(full) not in met
                met.add(tuple(full))
                other = held if main else 0
                totals[tuple(full)] = totals[tuple(full)].plus(
                    Measures(
                        int(first),
                        (other - sus * main) * tres.get("cpu"),
                        other * tres.get("node"),
                        held * (gpus if "gpu_class" in keys else tres.gpus),
                        other * tres.get("mem"),
                        other * tres.get("billing"),
                    )
                )
    return {key: measures for key, measures in totals.items() if any(measures)}


def classes(tres: Tres) -> list[tuple[str, int, bool]]:
    """(class, GPUs, whether the rest of the run stands here)."""
    typed = tres.typed_gpus
    if not tres.gpus:
        return [("", 0, True)]
    if rest := tres.gpus - sum(typed.values()):
        typed["unclassified"] = rest
    main = max(sorted(typed), key=lambda name: typed[name])
    return [(name, typed[name], name == main) for name in sorted(typed)]


def label_of(attribution: Attribution, row: RunRecord, key: str, at: int, zone: ZoneInfo) -> str:
    """One label at one instant."""
    local = datetime.fromtimestamp(at, zone)
    own = {
        "cluster": row.cluster, "account": row.account, "user": row.user or "",
        "partition": row.partition or "", "qos": row.qos or "", "state": row.state,
        "month": f"{local:%Y-%m}", "day": f"{local:%Y-%m-%d}",
        "hour": local.replace(minute=0, second=0).isoformat(),
    }  # fmt: skip
    if key in own:
        return own[key]
    who = (row.cluster, row.account, row.user or "", row.partition or "", row.qos or "")
    return attribution.labels((key,), *who, at)[0]


def answer(
    store: Store, window: Window, keys: Sequence[str], zone: ZoneInfo
) -> dict[tuple[str, ...], Measures]:
    """What opsd says."""
    with store.read() as connection:
        found = usage.run(connection, window, keys, tz=zone)
    assert [row.key for row in found.rows] == sorted(row.key for row in found.rows)
    return {row.key: row.measures for row in found.rows}


def half_rebuilt(store: Store) -> None:
    """Build the facts of the first days only."""
    with store.write() as connection:
        found = facts.next_dirty(connection, 5)
        assert found
        facts.rebuild(connection, *found)


# From stale to fresh, one after the other on one database.
STATES: dict[str, Callable[[Store], object]] = {
    "stale": lambda store: None,
    "half rebuilt": half_rebuilt,
    "rebuilt": rebuild.run,
}


class World(NamedTuple):
    """Runs and master data, with windows and what usage says of them by each set of keys."""

    rows: list[RunRecord]
    known: Consortium
    expected: list[tuple[tuple[str, ...], Window, dict[tuple[str, ...], Measures]]]


@cache
def world(seed: int) -> World:
    """Added up once, for both databases and every state of the facts."""
    chance = random.Random(seed)
    rows, known = records(chance, 80), consortium(chance)
    asked = [(keys, some_window(chance)) for keys in KEY_SETS]
    found = [(keys, window, obvious(rows, window, keys, MADRID, known, SEEN)) for keys, window in asked]
    return World(rows, known, found)


@pytest.mark.parametrize("seed", range(4))
def test_usage_equals_the_obvious_sum(store_url: str, seed: int) -> None:
    """Any window by any keys is what the runs say, whether the facts are stale, half or fully built."""
    rows, known, asked = world(seed)
    store = stored(store_url, rows, known, observed_at=SEEN)
    for state, reach in STATES.items():
        reach(store)
        for keys, window, expected in asked:
            assert expected == answer(store, window, keys, MADRID), (state, keys, window)
    store.close()


@pytest.mark.parametrize(
    ("keys", "days"),
    [
        (("month", "pays"), 40 * 365),
        (("day", "user"), 430),
        (("hour", "uses"), 20),
    ],
)
def test_windows_of_very_many_periods(store_url: str, keys: tuple[str, ...], days: int) -> None:
    """Decades by month or weeks by hour, read in one pass over the runs, are the same sums."""
    rows, known, _ = world(0)
    window = Window(BASE + 4 * DAY - days * DAY // 2, BASE + 4 * DAY + days * DAY // 2 + 77)
    expected = obvious(rows, window, keys, MADRID, known, SEEN)
    store = stored(store_url, rows, known, observed_at=SEEN)
    for state, reach in STATES.items():
        reach(store)
        assert expected == answer(store, window, keys, MADRID), state
    store.close()


def test_one_pass_over_the_runs_is_the_same(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond some number of looks all runs are read once instead; that is quicker, and no other answer."""
    monkeypatch.setattr(seconds, "_MOST_LOOKS", 4)
    rows, known, asked = world(0)
    store = stored(sqlite_url, rows, known, observed_at=SEEN)
    for state, reach in STATES.items():
        reach(store)
        for keys, window, expected in asked:
            assert expected == answer(store, window, keys, MADRID), (state, keys, window)
    store.close()


def test_cutting_everybody_where_many_change_is_the_same(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many accounts change on few days all facts are cut there; no other answer comes of it."""
    monkeypatch.setattr(seconds, "_FEW_ACCOUNTS", 0)
    rows, known, asked = world(0)
    store = stored(sqlite_url, rows, known, observed_at=SEEN)
    for state, reach in STATES.items():
        reach(store)
        for keys, window, expected in asked:
            assert expected == answer(store, window, keys, MADRID), (state, keys, window)
    store.close()


def test_many_stale_accounts_on_the_day_that_someone_moves(sqlite_url: str) -> None:
    """Hundreds of accounts stale on one day, and on the same day a user changes employers at noon."""
    rows = [
        RunRecord(
            "mn5", number, BASE, BASE + 10 * HOUR, BASE + 15 * HOUR, "COMPLETED", f"a{number}",
            "cpu=2,node=1", user="ana", hash=number,
        )
        for number in range(1, 421)
    ]  # fmt: skip
    known = Consortium.of([
        Organisation("uni", "Uni", "ES"), Organisation("firm", "Firm", "PT"),
        Person("ana", "uni", BASE - DAY, BASE + 12 * HOUR), Person("ana", "firm", BASE + 12 * HOUR),
    ])  # fmt: skip
    store = stored(sqlite_url, rows, known)

    found = answer(store, Window(BASE - DAY, BASE + 2 * DAY), ("uses",), MADRID)

    assert {
        ("ES",): Measures(420, 420 * 4 * HOUR, 420 * 2 * HOUR),
        ("PT",): Measures(420, 420 * 6 * HOUR, 420 * 3 * HOUR),
    } == found
    store.close()


def some_window(chance: random.Random) -> Window:
    """Whole days, whole hours or any seconds."""
    grain = chance.choice((DAY, HOUR, 1))
    start = BASE + chance.randrange(-DAY, 8 * DAY) // grain * grain
    return Window(start, start + chance.randrange(0, 9 * DAY) // grain * grain)


def test_any_window_is_the_sum_of_its_parts(sqlite_url: str) -> None:
    """Cut anywhere: all columns but `runs` of the parts add up to the whole."""
    chance = random.Random(7)
    rows = records(chance, 150)
    store = stored(sqlite_url, rows, observed_at=BASE + 9 * DAY)
    rebuild.run(store)
    with store.read() as connection:
        for _ in range(25):
            start, middle, end = sorted(BASE + chance.randrange(-DAY, 10 * DAY) for _ in range(3))
            whole = usage.run(connection, Window(start, end)).total
            left = usage.run(connection, Window(start, middle)).total
            right = usage.run(connection, Window(middle, end)).total

            assert whole[1:] == left.plus(right)[1:]
    store.close()


def test_every_key_adds_up_to_the_total(sqlite_url: str) -> None:
    """No key loses or doubles a second."""
    chance = random.Random(11)
    rows, known = records(chance, 150), consortium(chance)
    store = stored(sqlite_url, rows, known, observed_at=BASE + 9 * DAY)
    window = Window(BASE + 1234, BASE + 8 * DAY + 4321)
    with store.read() as connection:
        total = usage.run(connection, window).total
        for key in usage.KEYS:
            assert total[1:] == usage.run(connection, window, (key,), tz=MADRID).total[1:], key
    store.close()


def test_incremental_facts_equal_a_full_rebuild(store_url: str) -> None:
    """Batches in any order, rebuilt after each, leave the facts that one full rebuild makes."""
    chance = random.Random(3)
    rows = records(chance, 200)
    store = stored(store_url, rows[:50], observed_at=BASE)
    rest = rows[50:]
    chance.shuffle(rest)
    for at in range(0, len(rest), 40):
        with store.write() as connection:
            number = imports.open_import(connection, "more", BASE, BASE)
            Writer(connection, Inventory((), no_hosts), number, BASE).batch(connection, rest[at : at + 40])
        rebuild.run(store)
    incremental = all_facts(store)

    rebuild.everything(store)

    assert incremental == all_facts(store)
    assert incremental
    store.close()


def all_facts(store: Store) -> list[tuple[int, ...]]:
    """The fact table."""
    with store.read() as connection:
        return sorted(tuple(row) for row in connection.execute(facts.tables.day_fact.select()))


def test_binding_an_account_rewrites_no_fact(sqlite_url: str) -> None:
    """Attribution is joined at read: new master data change labels, not one stored number."""
    chance = random.Random(5)
    store = stored(sqlite_url, records(chance, 100), observed_at=BASE + 9 * DAY)
    rebuild.run(store)
    before = all_facts(store)
    window = Window(BASE, BASE + 8 * DAY)
    with store.read() as connection:
        assert usage.run(connection, window, ("country",)).unattributed

    with store.write() as connection:
        parties.save(connection, Consortium(), consortium(chance))

    with store.read() as connection:
        found = usage.run(connection, window, ("country",))
        assert 0 == facts.dirty_count(connection)
    assert before == all_facts(store)
    assert {row.key[0] for row in found.rows} > {"ES"}
    store.close()


def test_as_of_cuts_time_not_knowledge(sqlite_url: str) -> None:
    """As of T is the same window cut at T, with what is known today."""
    chance = random.Random(13)
    store = stored(sqlite_url, records(chance, 80), observed_at=BASE + 9 * DAY)
    at = BASE + 3 * DAY + 777
    with store.read() as connection:
        cut = usage.run(connection, Window(BASE, BASE + 8 * DAY), ("account",), as_of=at)
        plain = usage.run(connection, Window(BASE, at), ("account",))

    assert plain.rows == cut.rows
    store.close()


def test_months_are_civil_months_of_the_zone(sqlite_url: str) -> None:
    """A run over the turn of the month is split at Madrid's midnight, not at UTC's."""
    october = parse_period("2026-10", MADRID)
    row = RunRecord(
        "mn5", 1, october.end - 3600, october.end - 3600, october.end + 1800, "COMPLETED", "a",
        "cpu=2,node=1", hash=1,
    )  # fmt: skip
    store = stored(sqlite_url, [row])
    window = Window(october.start, october.end + 30 * DAY)

    found = answer(store, window, ("month",), MADRID)

    assert {("2026-10",): Measures(1, 7200, 3600), ("2026-11",): Measures(1, 3600, 1800)} == found
    store.close()


def test_wrong_keys_are_refused_with_the_nearest_one() -> None:
    """A typo in --by is wrong usage and says what was meant."""
    with pytest.raises(WrongUsage, match="did you mean 'country'"):
        usage.check_keys(["contry"])
    with pytest.raises(WrongUsage, match="twice"):
        usage.check_keys(["user", "user"])


def test_all_attribution_keys_are_keys_of_usage() -> None:
    """Whatever attribution can tell may be asked for."""
    assert set(ATTRIBUTION_KEYS) < set(usage.KEYS)
