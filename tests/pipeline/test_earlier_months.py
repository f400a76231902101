"""Whatever happens to names, accounts and people in Slurm: a run is one run; earlier months do not move."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

import pytest

from collectors.slurm.sacct import SacctReader
from opsd.core.awards import Binding
from opsd.core.consortium import Consortium
from opsd.core.parties import Cluster, Person
from opsd.core.period import DAY, HOUR, Window, month_window, zone
from opsd.pipeline import consortium, ingest, rebuild, usage
from opsd.store import migrate
from opsd.store.engine import Store, open_engine
from tests.fakes.consortia import award, parties

MADRID = zone("Europe/Madrid")
JUNE, JULY, AUGUST = (month_window(2026, month, MADRID) for month in (6, 7, 8))
MONTHS = Window(JUNE.start, AUGUST.end)
MOVE = JULY.start + 10 * DAY + 5 * HOUR  # in mid-day
SEEN = AUGUST.end + DAY
HEADER = "JobIDRaw|Cluster|Account|User|Partition|AssocID|State|Submit|Start|End|AllocTRES\n"
TRES = "cpu=2,gres/gpu=1,node=1"
Seconds = dict[tuple[str, ...], int]


def line(job: int, start: int, seconds: int, *, submit: int | None = None, **columns: object) -> str:
    """A run of two CPUs, by its start and length."""
    row = {"cluster": "mini", "account": "a", "user": "ana", "partition": "acc", "assoc": 7} | columns
    submit = start if submit is None else submit
    return (
        f"{job}|{row['cluster']}|{row['account']}|{row['user']}|{row['partition']}|{row['assoc']}|COMPLETED|"
        f"{submit}|{start}|{start + seconds}|{TRES}\n"
    )


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database of either kind, with two awards and nobody bound to them."""
    opened = open_engine(store_url)
    migrate.upgrade(opened)
    apply(opened, Consortium.of([*parties(), award("one"), award("two", project="climate", pool="pt")]))
    yield opened
    opened.close()


def apply(store: Store, known: Consortium) -> None:
    """Apply a consortium file."""
    consortium.apply(store, known, author="test", now=SEEN)


def take(store: Store, *lines: str, at: int = SEEN) -> ingest.Result:
    """Read these lines as an export."""
    reader = SacctReader(io.BytesIO((HEADER + "".join(lines)).encode()), name="export")
    found = ingest.run(store, reader, source="export", observed_at=at, now=at)
    assert not found.quarantined
    return found


def asked(store: Store, *keys: str, window: Window = MONTHS) -> Seconds:
    """Node-seconds by keys, in the months of Madrid."""
    with store.read() as connection:
        rows = usage.run(connection, window, keys, tz=MADRID).rows
    return {row.key: row.measures.node_seconds for row in rows}


# Runs in three months, one across each month's end and one across the hour at which accounts move.
ROWS = (
    line(1, JUNE.start, 3_601),
    line(2, JULY.start - 1_000, 2_001),
    line(3, MOVE - 777, 1_000),
    line(4, AUGUST.start - 5, 11, account="b", user="bob"),
    line(5, AUGUST.start + DAY, 60),
)
BOUND = (Binding("mini", "a", "one", JUNE.start), Binding("mini", "b", "two", JUNE.start))
BY_AWARD = {
    ("2026-06", "one"): 3_601 + 1_000, ("2026-07", "one"): 1_001 + 1_000, ("2026-08", "one"): 60,
    ("2026-07", "two"): 5, ("2026-08", "two"): 6,
}  # fmt: skip


# ------------------------------------------------------------------------------------- which run is which


def test_a_job_id_that_comes_again_is_another_run(store: Store) -> None:
    """Job ids wrap at MaxJobId: the same id submitted at another time is another run, in its own month."""
    took = take(store, line(9, JUNE.start + 5, 100), line(9, AUGUST.start + 5, 70, user="bob"))
    assert (2, 0) == (took.tally.new, took.tally.changed)
    assert {("2026-06", "ana"): 100, ("2026-08", "bob"): 70} == asked(store, "month", "user")


def test_one_id_and_one_second_on_two_clusters_are_two_runs(store: Store) -> None:
    """Clusters count for themselves, whatever their jobs share."""
    apply(store, Consortium.of([Cluster("maxi")]))
    took = take(store, line(9, JUNE.start, 100), line(9, JUNE.start, 70, cluster="maxi"))
    assert 2 == took.tally.new
    assert {("mini", "a"): 100, ("maxi", "a"): 70} == asked(store, "cluster", "account")
    assert 2 == take(store, line(9, JUNE.start, 70, cluster="maxi"), line(9, JUNE.start, 100)).tally.unchanged


def test_two_associations_of_one_user_in_one_account_add_up(store: Store) -> None:
    """A partition association is another row in Slurm's tree, and the same person and account here."""
    take(store, line(1, JUNE.start, 10), line(2, JUNE.start, 5, assoc=8, partition="gpp"))
    assert {("a", "ana"): 15} == asked(store, "account", "user")
    assert {("acc",): 10, ("gpp",): 5} == asked(store, "partition")


def test_a_user_deleted_and_made_again_is_one_user(store: Store) -> None:
    """The name counts, not the association: deleting a user moves no month, making it again adds to it."""
    take(store, line(1, JUNE.start, 10))
    before = asked(store, "month", "user")
    take(store, line(2, AUGUST.start, 5, assoc=99), at=SEEN + 1)
    assert before | {("2026-08", "ana"): 5} == asked(store, "month", "user")


def test_two_people_behind_one_name_are_told_apart_by_date(store: Store) -> None:
    """Where a login is given to somebody else, whose organisation it was is a question of when."""
    take(store, line(1, JUNE.start, 10), line(2, AUGUST.start, 5, assoc=99))
    apply(store, Consortium.of([Person("ana", "uv", 0, MOVE), Person("ana", "fct", MOVE)]))
    assert {("2026-06", "ES"): 10, ("2026-08", "PT"): 5} == asked(store, "month", "uses")


def test_accounts_are_told_apart_as_slurm_prints_them(store: Store) -> None:
    """Slurm writes accounts in small letters; other letters are another account, and bound to nobody."""
    take(store, line(1, JUNE.start, 10), line(2, JUNE.start, 5, account="A"))
    apply(store, Consortium.of([BOUND[0]]))
    assert {("a", "one"): 10, ("A", "unattributed"): 5} == asked(store, "account", "award")


# ------------------------------------------------------------------------------ what changes, and what stays


def moved(store: Store) -> None:
    """Account a draws on the other award from an hour on."""
    ended = replace(BOUND[0], valid_until=MOVE)
    apply(store, Consortium.of([ended, Binding("mini", "a", "two", MOVE)]))


def reparented(store: Store) -> None:
    """`sacctmgr modify account a set parent=c`: Slurm prints the same accounts, and other ids of the rows."""
    take(store, *(row.replace("|7|", "|1007|") for row in ROWS), at=SEEN + 1)


def renamed(store: Store) -> None:
    """The cluster has another name in Slurm from now on, and everything is read again under it."""
    cluster = Consortium.of([Cluster("mini", former_names=("mini2",))])
    apply(store, cluster)
    again = take(store, *(row.replace("|mini|", "|mini2|") for row in ROWS), at=SEEN + 1)
    assert (0, 0, len(ROWS)) == (again.tally.new, again.tally.changed, again.tally.unchanged)


CHANGES: dict[str, tuple[Callable[[Store], None], Mapping[tuple[str, str], int]]] = {
    "moved between awards": (
        moved,
        {
            ("2026-07", "one"): 1_001 + 777, ("2026-07", "two"): 5 + 223, ("2026-08", "two"): 6 + 60,
        },
    ),
    "account under another parent": (reparented, {}),
    "cluster renamed": (renamed, {}),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("fresh", [True, False])
def test_earlier_months_do_not_move(store: Store, what: str, fresh: bool) -> None:
    """Every month before a change is what it was, to the second; the month of it is cut at its hour."""
    change, differing = CHANGES[what]
    take(store, *ROWS)
    apply(store, Consortium.of(BOUND))
    if fresh:
        rebuild.run(store)
    whole = asked(store, "month", "cluster", "account", "user")
    assert BY_AWARD == asked(store, "month", "award")

    change(store)

    expected = {**BY_AWARD, **differing}
    if differing:
        del expected["2026-08", "one"]
    assert expected == asked(store, "month", "award")
    assert whole == asked(store, "month", "cluster", "account", "user")
    june = {key: held for key, held in BY_AWARD.items() if key[0] == "2026-06"}
    assert june == {key: held for key, held in expected.items() if key[0] == "2026-06"}
    rebuild.run(store)
    assert expected == asked(store, "month", "award")
    assert whole == asked(store, "month", "cluster", "account", "user")
    assert 3_601 + 1_000 == sum(asked(store, window=JUNE).values())


def test_a_new_name_takes_over_what_was_read_under_it(store: Store) -> None:
    """Read under the new name before anyone said it is the same cluster, the runs join the old ones, once."""
    take(store, *ROWS)
    apply(store, Consortium.of(BOUND))
    late = line(6, AUGUST.start + 2 * DAY, 40, cluster="mini2")
    take(store, *(row.replace("|mini|", "|mini2|") for row in ROWS), late, at=SEEN + 1)
    assert 2 == len({key[0] for key in asked(store, "cluster")})

    apply(store, Consortium.of([Cluster("mini", former_names=("mini2",))]))

    expected = BY_AWARD | {("2026-08", "one"): 100}
    assert expected == asked(store, "month", "award")
    assert {("mini",)} == set(asked(store, "cluster"))
    rebuild.run(store)
    assert expected == asked(store, "month", "award")


def test_a_binding_to_the_hour_leaves_the_seconds_before_it(store: Store) -> None:
    """Of a run across the hour at which its account moves, each award has its own seconds and no other."""
    take(store, *ROWS)
    apply(store, Consortium.of(BOUND))
    moved(store)
    around = Window(MOVE - 777, MOVE + 223)
    assert {("one",): 777, ("two",): 223} == asked(store, "award", window=around)
    assert {("one",): 777} == asked(store, "award", window=Window(around.start, MOVE))
    assert {("two",): 223} == asked(store, "award", window=Window(MOVE, around.end))
    assert Fraction(1_000) == sum(asked(store, "award", window=around).values())
