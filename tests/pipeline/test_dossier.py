"""A dossier is what usage, balance, capacity and certificates say of a period, on every database alike."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from opsd.core import canonical, dossier
from opsd.core.attribution import UNATTRIBUTED, Attribution
from opsd.core.consortium import KINDS, Consortium
from opsd.core.dossier import Digests, Dossier, Past, Seconds
from opsd.core.errors import Refused, WrongUsage
from opsd.core.gpu_use import Use
from opsd.core.journal import Entry
from opsd.core.parties import AccountHint, Contact
from opsd.core.period import DAY, HOUR, Window, parse_period
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.core.tres import Tres
from opsd.pipeline import balance, capacity, dossier_spans, outlook, rebuild, usage
from opsd.pipeline import dossier as gathering
from opsd.store import certificates, imports, parties
from opsd.store.certificates import Kept
from opsd.store.engine import Store
from opsd.store.write import Writer
from tests.fakes.measured import of_run, store_records
from tests.pipeline.priced_world import BASE, stored
from tests.pipeline.priced_world import world as priced
from tests.pipeline.small_world import MADRID

SEEN = BASE + 9 * DAY
NOW = BASE + 30 * DAY
AWKWARD = Window(BASE + 5 * HOUR + 7, BASE + 5 * DAY + 11)
UTC_OCTOBER = Window(1_790_812_800, 1_793_491_200)


def world(seed: int) -> tuple[list[RunRecord], Consortium, list[Entry]]:
    """The priced world with node lists, waits, and master data that is nobody else's business."""
    chance, made = random.Random(seed), priced(seed)
    rows = [
        row._replace(
            job_id=number,
            hash=number,
            nodes=f"{'as' if row.cluster == 'mn5' else 'bs'}0{chance.randrange(1, 5)}",
            eligible=None if row.start is None else row.start - chance.choice((0, 0, 60, HOUR, 2 * DAY)),
        )
        for number, row in enumerate(made.rows, 1)
    ]
    classes = tuple(
        replace(one, nodes="as[01-04]" if one.cluster == "mn5" else "bs[01-04]")
        for one in made.known.node_classes
    )
    known = replace(
        made.known,
        name="Small world",
        node_classes=classes,
        contacts={"c": Contact("c", "zz-contact", "z@zz.org")},
        account_hints={"zz-hint": AccountHint("zz-hint", "words")},
    )
    return rows, known, made.entries


def filled(url: str, seed: int) -> Store:
    """A database of a world: runs, a reading that was finished, records of agents, a certificate."""
    rows, known, entries = world(seed)
    store = stored(url, (), known, entries, SEEN)
    read(store, rows, known, SEEN)
    chance = random.Random(seed)
    some = [row for row in rows if row.start is not None and Tres.from_canonical(row.tres).gpus]
    store_records(
        store, {(row.cluster, row.job_id): [of_run(row, f"GPU-{row.job_id}", chance)] for row in some}
    )
    with store.write() as connection:
        kept = Kept("mn5", BASE, BASE + 6 * DAY, SEEN, 12, 2, 1, {"cpu": (7, 100), "node": (0, 9)})
        certificates.keep(connection, kept, '{"a": 1}')
    return store


def read(store: Store, rows: Iterable[RunRecord], known: Consortium, seen: int) -> None:
    """One reading from a file."""
    from collectors.slurm.hosts import expand

    with store.write() as connection:
        number = imports.open_import(connection, "a/path/to/zz-text", seen, seen)
        Writer(connection, Inventory(known.node_classes, expand), number, seen).batch(connection, list(rows))
        imports.close_import(connection, number, seen + 5)


@pytest.fixture(scope="module", params=[1, 2])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A random small world; every fact stale."""
    found = filled(f"sqlite:///{tmp_path_factory.mktemp('dossier') / 'opsd.db'}", request.param)
    yield found
    found.close()


@pytest.fixture(scope="module")
def made(store: Store) -> Dossier:
    """The dossier of an awkward window of it."""
    return told(store)


def period(window: Window) -> str:
    """As a person would not write it."""
    return f"@{window.start}..@{window.end}"


def told(store: Store, window: Window = AWKWARD, **asked: Any) -> Dossier:
    """The dossier of a window."""
    with store.read() as connection:
        return gathering.run(connection, period(window), **{"now": NOW, "timezone": "UTC", **asked})


def used(
    store: Store, window: Window, *keys: str, as_of: int | None = None
) -> dict[tuple[str, ...], Seconds]:
    """What `opsd usage` says of it."""
    with store.read() as connection:
        rows = usage.run(connection, window, keys, as_of=as_of).rows
    found = {
        row.key: Seconds(
            row.measures.gpu_seconds, row.measures.node_seconds, row.measures.cpu_seconds,
            row.measures.mem_mb_seconds, row.measures.billing_seconds,
        )
        for row in rows
    }  # fmt: skip
    return {key: seconds for key, seconds in found.items() if any(seconds)}


def label(award: str, outside: str) -> str:
    """As usage prints an award."""
    return f"{outside}:{award}" if outside else award or UNATTRIBUTED


# ---------------------------------------------------------------------------------------------- the same


def frozen(found: Dossier) -> list[tuple[str, str]]:
    """What a close would keep of it."""
    return list(dossier.records(found))


@pytest.mark.postgresql
def test_both_databases_say_the_same(sqlite_url: str, postgres_url: str) -> None:
    """To the byte, also where the runs came in another order and the facts are fresh."""
    one, other = filled(sqlite_url, 1), filled(postgres_url, 1)
    expected = frozen(told(one))
    rebuild.run(other)
    assert expected == frozen(told(other))
    one.close()
    other.close()


def test_what_comes_later_changes_nothing(store_url: str) -> None:
    """Runs of others, read backwards, with their accounts, users and shapes, after the period."""
    rows, known, _ = world(2)
    found = filled(store_url, 2)
    window = Window(BASE, BASE + 8 * DAY)
    expected = frozen(told(found, window))
    chance = random.Random(7)
    begin = SEEN + DAY
    later = [
        row._replace(
            job_id=5_000 + number, hash=5_000 + number, submit=begin + number, eligible=begin + number,
            start=begin + 60 * number, end=begin + 60 * number + chance.randrange(HOUR), state="COMPLETED",
            user=f"aa{number % 9}", account=chance.choice(("es-a", "aa-new")), cluster="mn5",
            tres="billing=3,cpu=3,gres/gpu=1,mem=9,node=1",
        )
        for number, row in enumerate(rows)
    ]  # fmt: skip
    read(found, later[::-1], known, begin + 3 * DAY)

    assert expected == frozen(told(found, window))
    found.close()


def test_it_is_what_its_records_say(made: Dossier) -> None:
    """Frozen and read back, nothing is lost."""
    assert made == dossier.from_records(frozen(made))


def test_it_names_no_user_no_account_of_others_and_no_path(store: Store, made: Dossier) -> None:
    """Nor contacts and hints; of accounts only those that are nobody's."""
    text = "\n".join(record for _, record in frozen(made))

    for word in ("ana", "bruno", "carla", "zz-contact", "zz-hint", "zz-text"):
        assert not re.search(rf"\b{word}\b", text), word
    nobodys = {key[0] for key in used(store, AWKWARD, "account", "award") if key[1] == UNATTRIBUTED}
    assert "nobody" in nobodys
    assert nobodys == set(re.findall(r'"account":"([^"]+)"', text))
    held = made.master
    assert ((), (), {}, {}) == (held.people, held.bindings, held.contacts, held.account_hints)


# ------------------------------------------------------------------------------------------------ use


def test_lines_are_what_usage_says(store: Store, made: Dossier) -> None:
    """By cluster, award and the user's country; what is nobody's included."""
    sums: dict[tuple[str, ...], Seconds] = defaultdict(Seconds)
    for key, seconds in made.lines:
        where = (key.cluster, label(key.award, key.outside), key.uses)
        sums[where] = sums[where].plus(seconds)

    assert used(store, AWKWARD, "cluster", "award", "uses") == sums


def by_month(found: Iterable[Past]) -> dict[tuple[str, ...], Seconds]:
    """The use of a month, as usage has it."""
    return {(one.month, one.cluster, label(one.award, one.outside)): one.seconds for one in found}


def test_the_period_before_is_what_usage_says(store: Store) -> None:
    """As long before, by cluster and award."""
    window = Window(BASE + 3 * DAY + 7, BASE + 5 * DAY)
    before = Window(BASE + DAY + 14, BASE + 3 * DAY + 7)
    found = told(store, window)
    assert found.previous_span is not None
    assert before == found.previous_span.window
    expected = used(store, before, "cluster", "award")

    assert expected
    name = found.previous_span.text
    assert {(name, *key): seconds for key, seconds in expected.items()} == by_month(found.previous)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("2026-10", "2026-09"), ("2027-01", "2026-12"), ("2026-Q4", "2026-Q3"), ("2027-Q1", "2026-Q4"),
        ("2027", "2026"), ("2026-11-02..2026-11-05", "2026-10-30T00:00:00+01:00..2026-11-02T00:00:00+01:00"),
    ],
)  # fmt: skip
def test_each_period_has_one_before(text: str, before: str) -> None:
    """A month's, a quarter's, a year's; and for any other as much time."""
    asked = dossier_spans.span(text, "Europe/Madrid", NOW + 400 * DAY)
    found = dossier_spans.before(asked)

    assert before == found.text
    assert parse_period(before, MADRID) == found.window
    assert found.end == asked.start


def test_the_year_is_told_by_month(store: Store, made: Dossier) -> None:
    """Since its first civil midnight, up to the end of what is reported, with what was before the period."""
    begin = int(datetime.fromisoformat("2026-01-01T00:00:00+00:00").timestamp())
    expected = used(store, Window(begin, AWKWARD.end), "month", "cluster", "award")

    assert expected == by_month(made.year)


# --------------------------------------------------------------------------------------------- balances


def test_balances_are_what_balance_says(store: Store, made: Dossier) -> None:
    """Of every award at the end; charged is the difference to the begin; burn and forecast as of the end."""
    with store.read() as connection:
        before = balance.run(connection, as_of=AWKWARD.start).lines
        after = outlook.run(connection, as_of=AWKWARD.end)
        since = outlook.Reading(connection, AWKWARD.end).over_since
    rows = {row.award: row for row in made.balances}

    assert [line.key for line in after.balances.lines] == list(rows)
    for old, line in zip(before, after.balances.lines, strict=True):
        row, ahead = rows[line.key], after.of(line)
        assert (line.granted, line.settled, line.accrued, line.committed, line.after_end, line.state) == (
            row.granted_total, row.settled, row.accrued, row.committed, row.after_end, row.state
        )  # fmt: skip
        assert (old.left, line.used - old.used) == (row.opening, row.charged)
        assert (ahead.burn, *ahead.forecast) == (row.burned, row.forecast, row.exhausted_at)
        assert since.get(line.key) == row.over_since
        assert row.opening + sum(row.granted.values()) - row.charged == line.left


def test_what_takes_effect_as_a_period_ends_is_of_the_next(sqlite_url: str) -> None:
    """A tranche of the next month's first midnight is not this month's, and nothing is in both or in none."""
    rows, known, entries = world(1)
    tranche = Entry(AWKWARD.end, BASE, "carry-over", "A1", "gpu-hours", 3_600_000_001, "", "test")
    store = stored(sqlite_url, rows, known, [*entries, tranche], SEEN)
    whole = Window(AWKWARD.start, AWKWARD.end + DAY)
    first, second = told(store, AWKWARD), told(store, Window(AWKWARD.end, AWKWARD.end + DAY))
    both = told(store, whole)

    def of(found: Dossier) -> dossier.Balance:
        return next(row for row in found.balances if row.award == "A1")

    assert {} == {kind: n for kind, n in of(first).granted.items() if kind == "carry-over"}
    assert {"carry-over": 3_600_000_001} == of(second).granted
    assert of(first).granted_total - of(first).settled - of(first).accrued == of(second).opening
    assert tranche.amount == of(both).granted["carry-over"]
    assert "carry-over" not in {entry.kind for entry in first.entries}
    assert "carry-over" in {entry.kind for entry in second.entries}
    assert {("A1", AWKWARD.end)} == {
        (one.award, one.at) for one in second.granted if one.kind == "carry-over"
    }
    assert not [one for one in first.granted if one.kind == "carry-over"]
    store.close()


def test_a_grant_is_of_the_day_of_the_right_to_it(sqlite_url: str) -> None:
    """Where the award tells that day, also when it begins later; balances go by its begin."""
    rows, known, entries = world(1)
    awards = dict(known.awards)
    awards["A2"] = replace(awards["A2"], granted_on=BASE - DAY)
    store = stored(sqlite_url, rows, replace(known, awards=awards), entries, SEEN)
    found = told(store, Window(BASE, BASE + HOUR))

    assert [BASE - DAY] == [one.at for one in found.granted if one.award == "A2"]
    assert [0] == [one.granted_total for one in found.balances if one.award == "A2"]
    store.close()


# ---------------------------------------------------------------------------------------- the machine


def test_capacity_is_what_capacity_says(store: Store, made: Dossier) -> None:
    """Line by line, and they add up."""
    with store.read() as connection:
        rows = capacity.run(connection, AWKWARD).rows
    found = made.capacity

    assert rows
    assert sorted((*row.key, row.resource, *row.lines[:6]) for row in rows) == [tuple(one) for one in found]
    assert all(one.total == sum(one[4:]) for one in found)


def test_without_an_inventory_nothing_is_said_of_capacity(sqlite_url: str) -> None:
    """And that is noted, and stands against a close."""
    rows, known, entries = world(1)
    bare = [row._replace(nodes="") for row in rows]
    store = stored(sqlite_url, bare, replace(known, node_classes=()), entries, SEEN)
    found = told(store)

    assert () == found.capacity
    assert [note for note in found.notes if "no inventory" in note]
    assert {"no-capacity:mn5", "no-capacity:aiup"} <= {one.name for one in found.concerns}
    store.close()


@pytest.mark.parametrize("window", [AWKWARD, Window(BASE - DAY, BASE + 8 * DAY)])
def test_waits_are_those_of_the_runs(store: Store, window: Window) -> None:
    """Eligible to start inside the period, times what was asked for; one by one from the records."""
    rows, known, _ = world(seed_of(store))
    facts = Attribution(known)
    expected: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        start, eligible = row.start, row.eligible
        if start is None or not row.tres or start < row.submit or not eligible or eligible >= start:
            continue
        seconds = min(start, window.end) - max(eligible, window.start)
        if seconds <= 0:
            continue
        at = min(max(start, window.start), window.end - 1)
        award, _ = facts.award_at(row.cluster, row.account, row.partition or "", row.qos or "", at)
        tres = Tres.from_canonical(row.tres)
        place = expected[row.cluster, award.id if award else ""]
        for position, more in enumerate((tres.gpus * seconds, tres.get("cpu") * seconds, 1)):
            place[position] += more
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in told(store, window).waited:
        place = found[one.cluster, one.award]
        for position, more in enumerate((one.gpu, one.cpu, one.runs)):
            place[position] += more

    assert expected
    assert expected == found


def seed_of(store: Store) -> int:
    """Which world a database holds, told by its master data."""
    with store.read() as connection:
        known = parties.load(connection)
    return next(seed for seed in (1, 2) if world(seed)[1].bindings == known.bindings)


def test_what_agents_measured_is_what_usage_says(store: Store, made: Dossier) -> None:
    """By cluster and award, the uncounted and nobody's included."""
    with store.read() as connection:
        uses = usage.run(connection, AWKWARD, ("cluster", "award"), with_measured=True).uses
    sums: dict[tuple[str, ...], Use] = defaultdict(Use)
    for one in made.measured:
        sums[one.cluster, one.award] = sums[one.cluster, one.award].plus(one.use)
    expected: dict[tuple[str, ...], Use] = defaultdict(Use)
    for (cluster, award), use in (uses or {}).items():
        name = award.rpartition(":")[2] if ":" in award else award
        where = (cluster, "" if name == UNATTRIBUTED else name)
        expected[where] = expected[where].plus(use)

    assert any(map(any, expected.values()))
    assert expected == sums


# ---------------------------------------------------------------------------------------------- quality


def test_runs_are_counted_once(store: Store, made: Dossier) -> None:
    """Each that overlaps the period, however many lines it touches."""
    with store.read() as connection:
        (row,) = usage.run(connection, AWKWARD).rows
    assert row.measures.runs == made.quality.runs


def test_what_is_said_of_readings_ends_with_the_period(store: Store, made: Dossier) -> None:
    """What Slurm said later is news of later; what was read by then is said in full."""
    over, goes_on = made.quality, told(store, Window(BASE, NOW), now=SEEN + 6).quality

    assert (AWKWARD.end, None) == (over.last_observed, over.last_read)
    assert (SEEN, SEEN + 5) == (goes_on.last_observed, goes_on.last_read)


def test_a_period_that_goes_on_is_cut_at_now(store: Store) -> None:
    """And says that it is provisional."""
    now = BASE + 2 * DAY + 1
    found = told(store, now=now)
    whole = Seconds()
    for line in found.lines:
        whole = whole.plus(line.seconds)

    assert found.provisional
    assert now == found.as_of
    assert used(store, Window(AWKWARD.start, now))[()] == whole


def test_months_are_those_of_the_book_zone_or_of_the_zone_asked_for(store: Store) -> None:
    """The small world names no book zone, so UTC; or Madrid, whose month begins earlier."""
    with store.read() as connection:
        plain = gathering.run(connection, "2026-10", now=NOW)
        madrid = gathering.run(connection, "2026-10", now=NOW, timezone="Europe/Madrid")

    assert (datetime(2026, 10, 1, tzinfo=MADRID).timestamp(), "Europe/Madrid") == (
        madrid.span.start, madrid.span.zone,
    )  # fmt: skip
    assert UTC_OCTOBER == plain.span.window
    assert (2 * HOUR, "UTC") == (plain.span.start - madrid.span.start, plain.span.zone)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("2026-13", WrongUsage, "not a period: '2026-13'"),
        ("2026-10-01..2026-10-01", WrongUsage, "is empty"),
        ("2099", Refused, "still to come"),
    ],
)
def test_a_period_that_says_nothing_is_refused(
    store: Store, text: str, error: type[Exception], words: str
) -> None:
    """With what is wrong with it."""
    with store.read() as connection, pytest.raises(error, match=words):
        gathering.run(connection, text, now=NOW)


def test_digests_are_of_what_it_stands_on(store: Store) -> None:
    """The lines and all master data; of configuration and program what the caller says."""
    found = told(store, digests=Digests(configuration="c", program="p"))
    another = told(store, Window(AWKWARD.start, AWKWARD.end + DAY))

    assert canonical.digest(canonical.text(found.lines)) == found.digests.facts
    assert ("c", "p") == (found.digests.configuration, found.digests.program)
    assert found.digests.facts != another.digests.facts
    assert found.digests.master == another.digests.master
    with store.read() as connection:
        known = parties.load(connection)
    fewer = replace(known, people=known.people[1:])
    assert gathering.digest_of_master(fewer) != gathering.digest_of_master(known) == found.digests.master


def test_public_master_data_keep_every_other_kind(store: Store) -> None:
    """Whatever a statement may name."""
    with store.read() as connection:
        known = parties.load(connection)
    kept = gathering.public(known)
    left_out = {kind.table for kind in KINDS if known.items(kind) and not kept.items(kind)}

    assert {"person", "binding", "contact", "account_hint"} == left_out
    assert all(known.items(kind) == kept.items(kind) for kind in KINDS if kind.table not in left_out)


# ------------------------------------------------------------------------------------------- concerns


def names(found: Dossier) -> set[str]:
    """What stands against a close."""
    return {one.name for one in found.concerns}


def test_what_stands_against_a_close_is_named(made: Dossier) -> None:
    """Each concern with its figures, none twice."""
    texts = {one.name: one.text for one in made.concerns}

    assert len(texts) == len(made.concerns)
    assert {
        "unattributed", "unclassified", "unpriced", "no-certificate:aiup", "unexplained:mn5",
    } <= set(texts)  # fmt: skip
    assert "no-certificate:mn5" not in texts
    nobodys = [line for line in made.lines if not line.key.award]
    assert f"{sum(line.seconds.gpu for line in nobodys):,} GPU-seconds" in texts["unattributed"]
    assert f"{made.quality.unclassified:,}" in texts["unclassified"]
    assert texts["unexplained:mn5"].endswith("seconds by TRES: cpu 7")
    assert "115 hours" in texts["no-certificate:aiup"]


def test_what_was_read_too_short_or_begins_late_is_named(store: Store, made: Dossier) -> None:
    """Of the time before the first run, and of that after the last reading."""
    early = told(store, Window(BASE - 30 * DAY, BASE + DAY))
    late = told(store, Window(BASE, SEEN + 2 * DAY))
    never = told(store, Window(BASE - 60 * DAY, BASE - 59 * DAY))

    assert {"begins-late"} == {"begins-late"} & names(early) & names(never)
    assert "begins-late" not in names(late) | names(made)
    assert {"not-read:mn5", "not-read:aiup"} <= names(late)
    assert not {"not-read:mn5", "not-read:aiup"} & names(made)


def test_quarantine_stands_against_a_close(sqlite_url: str) -> None:
    """With how many records wait."""
    found = filled(sqlite_url, 1)
    before = names(told(found))
    bad = imports.Bad("zz-text", 0, 1, "d", 3, b"bad", "", "cannot be read")
    with found.write() as connection:
        imports.set_aside(connection, [bad], SEEN, SEEN)

    assert {"quarantine"} == names(told(found)) - before
    assert 1 == told(found).quality.quarantined
    found.close()


def test_certificates_that_others_contain_are_left_out(sqlite_url: str) -> None:
    """A day that a later month contains says nothing of its own; one made after the month does."""
    found = filled(sqlite_url, 1)
    with found.write() as connection:
        for start, end, made_at in ((0, 1, SEEN - 1), (2, 3, SEEN + 1), (5, 9, SEEN), (20, 21, SEEN)):
            kept = Kept("mn5", BASE + start * DAY, BASE + end * DAY, made_at, 1, 0)
            certificates.keep(connection, kept, "{}")
    told_ones = told(found).certificates

    assert [(0, 6), (2, 3), (5, 9)] == [
        ((one.start - BASE) // DAY, (one.end - BASE) // DAY) for one in told_ones
    ]
    assert canonical.digest('{"a": 1}') == told_ones[0].digest
    assert {"cpu": 7, "node": 0} == told_ones[0].unexplained
    found.close()


def test_a_gap_between_certificates_is_missing_data(sqlite_url: str) -> None:
    """Days that follow each other cover a period; without one of them they do not."""
    found = filled(sqlite_url, 1)
    window = Window(BASE, BASE + 8 * DAY)
    with found.write() as connection:
        certificates.keep(connection, Kept("mn5", BASE + 7 * DAY, BASE + 8 * DAY, SEEN, 1, 0), "{}")
    gap = {one.name: one.text for one in told(found, window).concerns}
    with found.write() as connection:
        certificates.keep(connection, Kept("mn5", BASE + 6 * DAY, BASE + 7 * DAY, SEEN, 1, 0), "{}")

    assert "for 24 hours" in gap["no-certificate:mn5"]
    assert "no-certificate:mn5" not in names(told(found, window))
    found.close()
