"""Lines of a dossier are what usage and balance say, and what the runs behind them add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import pytest

from opsd.core.amounts import MICRO
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.dossier import Key, Seconds
from opsd.core.period import DAY, HOUR, Window
from opsd.pipeline import dossier_lines, dossier_runs, rebuild, usage
from opsd.pipeline.balance import Ledger
from opsd.store import parties
from opsd.store.engine import Store
from tests.pipeline.priced_world import BASE, stored, world

AWKWARD = Window(BASE + 5 * HOUR + 7, BASE + 5 * DAY + 11)
WINDOWS = [AWKWARD, Window(BASE - 3 * DAY, BASE + 8 * DAY), Window(BASE + DAY, BASE + DAY + 1)]


@pytest.fixture(scope="module", params=[1, 2, 3])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A random small world with prices; of the last one every fact is fresh."""
    made = world(request.param)
    url = f"sqlite:///{tmp_path_factory.mktemp('lines') / 'opsd.db'}"
    found = stored(url, made.rows, made.known, made.entries, made.seen)
    if request.param == 3:
        rebuild.run(found)
    yield found
    found.close()


def told(store: Store, window: Window) -> dossier_lines.Found:
    """The lines of a window."""
    with store.read() as connection:
        ledger = Ledger(connection, parties.load(connection), window.end)
        return dossier_lines.run(ledger, window)


def summed(rows: Iterable[tuple[tuple[str, ...], Seconds]]) -> dict[tuple[str, ...], Seconds]:
    """Seconds by key, without zeroes."""
    sums: dict[tuple[str, ...], Seconds] = defaultdict(Seconds)
    for key, seconds in rows:
        sums[key] = sums[key].plus(seconds)
    return {key: seconds for key, seconds in sums.items() if any(seconds)}


def used(store: Store, window: Window, *keys: str) -> dict[tuple[str, ...], Seconds]:
    """What `opsd usage` says."""
    with store.read() as connection:
        rows = usage.run(connection, window, keys).rows
    return summed(
        (
            row.key,
            Seconds(
                row.measures.gpu_seconds, row.measures.node_seconds, row.measures.cpu_seconds,
                row.measures.mem_mb_seconds, row.measures.billing_seconds,
            ),
        )
        for row in rows
    )  # fmt: skip


def award_key(key: Key) -> str:
    """As usage prints it."""
    mark = f"{key.outside}:" if key.outside else ""
    return f"{mark}{key.award}" if key.award else UNATTRIBUTED


@pytest.mark.parametrize("window", WINDOWS)
def test_lines_are_what_usage_says(store: Store, window: Window) -> None:
    """To the second and in every resource, by cluster, award and the user's country, also all at once."""
    lines = told(store, window).lines

    assert used(store, window) == summed(((), line.seconds) for line in lines)
    assert used(store, window, "cluster", "award", "uses") == summed(
        ((line.key.cluster, award_key(line.key), line.key.uses), line.seconds) for line in lines
    )


def test_nobodys_use_is_told_by_account(store: Store) -> None:
    """And what is somebody's names no account."""
    lines = told(store, AWKWARD).lines
    expected = {
        key[:2]: seconds
        for key, seconds in used(store, AWKWARD, "cluster", "account", "award").items()
        if key[2] == UNATTRIBUTED
    }

    assert expected
    assert expected == summed(
        ((line.key.cluster, line.key.account), line.seconds) for line in lines if not line.key.award
    )
    assert {""} == {line.key.account for line in lines if line.key.award}


def test_persons_are_users(store: Store) -> None:
    """One number for each, by the order of their names; use of no user has 0. No name is kept."""
    by_user = used(store, AWKWARD, "user")
    names = sorted(key[0] for key in by_user if key[0])
    expected = {(str(place),): by_user[name,] for place, name in enumerate(names, 1)}
    if ("",) in by_user:
        expected["0",] = by_user["",]

    lines = told(store, AWKWARD).lines
    assert expected == summed(((str(line.key.person),), line.seconds) for line in lines)


def test_unclassified_gpus_are_what_usage_says(store: Store) -> None:
    """Seconds of GPUs of which nobody knows what they are."""
    expected = used(store, AWKWARD, "gpu_class").get(("unclassified",), Seconds()).gpu
    assert expected == told(store, AWKWARD).unclassified


def test_charges_are_what_balances_grow_by(store: Store) -> None:
    """Exactly: what is used at the end less what was used at the begin, before any rounding."""
    with store.read() as connection:
        known = parties.load(connection)
        before, after = (
            {line.key: line.used for line in Ledger(connection, known, at).lines()}
            for at in (AWKWARD.start, AWKWARD.end)
        )
    charged = told(store, AWKWARD).charged
    for award in known.awards:
        grown = after[award] - before[award]
        assert abs(grown - charged.get(award, Fraction(0)) * MICRO) <= 1


@pytest.mark.parametrize("window", WINDOWS)
def test_runs_add_up_to_the_lines(store: Store, window: Window) -> None:
    """In seconds and exact charges; each run once under each of its keys, in the order of its name."""
    with store.read() as connection:
        parts = list(dossier_runs.of_runs(connection, window, window.end))
    found = told(store, window)
    charges: dict[str, Fraction] = defaultdict(Fraction)
    for part in parts:
        charges[part.key.award] += part.charge

    def nameless(key: Key) -> tuple[str, ...]:
        return tuple(map(str, key[:-1]))

    assert summed((nameless(line.key), line.seconds) for line in found.lines) == summed(
        (nameless(part.key), part.seconds) for part in parts
    )
    assert without_zeroes(found.charged) == without_zeroes(charges)
    order = [(part.run, part.key) for part in parts]
    assert sorted(set(order)) == order
    assert not any(part.key.person for part in parts)


def without_zeroes(charges: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The charges that are any."""
    return {award: charge for award, charge in charges.items() if charge}


def test_nothing_counts_after_as_of(store: Store) -> None:
    """Neither of a window that reaches beyond it, nor of one that begins then."""
    middle = AWKWARD.start + 2 * DAY
    with store.read() as connection:
        cut = list(dossier_runs.of_runs(connection, AWKWARD, middle))
        whole = list(dossier_runs.of_runs(connection, Window(AWKWARD.start, middle), AWKWARD.end))
        late = list(dossier_runs.of_runs(connection, AWKWARD, AWKWARD.start - 1))

    assert cut
    assert whole == cut
    assert [] == late
