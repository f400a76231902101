"""The certificate against reports of a real slurmdbd: equal, or named, or unexplained to the second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.slurm.sacct import SacctReader
from opsd.core.certificate import Certificate
from opsd.core.period import Window
from opsd.pipeline import ingest, rebuild, reconcile
from opsd.pipeline.sources import ClusterSources
from opsd.store import migrate
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.fakes.recorded import CLUSTER, RecordedMachine, RecordedTables

DATA = Path(__file__).parent.parent / "data"
HISTORY, REAL = DATA / "slurm-history", DATA / "slurm-real"
LATE = 1_900_000_000
REAL_WINDOW = Window(1_795_326_300, 1_795_329_900)
QUARTER = 2_700  # slurmdbd ran with TZ=LAB-0:15


def windows() -> list[tuple[str, Window]]:
    """The windows that sreport was asked for."""
    lines = (line.split("\t") for line in (HISTORY / "windows.tsv").read_text().splitlines())
    return [(label, Window(int(start), int(end))) for label, start, end, *_ in lines]


class Accounting:
    """Proves the cluster's name, and has nothing new."""

    def prove(self) -> str:
        """The recorded cluster."""
        return CLUSTER


def sources(machine: RecordedMachine, tables: RecordedTables | None) -> ClusterSources:
    """All that answers for the recorded cluster."""
    return ClusterSources(
        Accounting(), open_machine=lambda _name, _tables: machine,
        open_tables=None if tables is None else lambda _name: tables,
    )  # fmt: skip


def loaded(folder: Path, text: bytes) -> Store:
    """A database with one export in it."""
    from io import BytesIO

    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.ensure_current(store)
    reader = SacctReader(BytesIO(text), cluster=CLUSTER, name="sacct-num.psv.gz")
    result = ingest.run(store, reader, source="recorded", observed_at=LATE, now=LATE)
    assert result.quarantined == 0
    rebuild.run(store)
    return store


def export(folder: Path) -> bytes:
    """What sacct printed."""
    import gzip

    return gzip.decompress((folder / "sacct-num.psv.gz").read_bytes())


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Seven months of a cluster, rolled up by a real slurmdbd."""
    store = loaded(tmp_path_factory.mktemp("history"), export(HISTORY))
    yield store
    store.close()


def of_history(store: Store, label: str, window: Window, *, tables: bool) -> Certificate:
    """The certificate of a recorded window."""
    machine = RecordedMachine(HISTORY, HISTORY / f"sreport-{label}.psv.gz")
    told = RecordedTables(HISTORY) if tables else None
    return reconcile.run(store, sources(machine, told), window, now=LATE)


def of_real(store: Store, *, tables: bool) -> Certificate:
    """The certificate of the real hour."""
    machine = RecordedMachine(REAL, REAL / "sreport-acct-user-seconds.psv.gz", QUARTER)
    told = RecordedTables(REAL) if tables else None
    return reconcile.run(store, sources(machine, told), REAL_WINDOW, now=LATE)


@pytest.mark.parametrize(("label", "window"), windows(), ids=[label for label, _ in windows()])
def test_history_is_explained_in_every_cell(history: Store, label: str, window: Window) -> None:
    """With slurmdbd's tables nothing of seven months is unexplained, in any window."""
    found = of_history(history, label, window, tables=True)

    assert () == found.unexplained


@pytest.mark.parametrize(("label", "window"), windows(), ids=[label for label, _ in windows()])
def test_without_tables_only_suspensions_are_unexplained(history: Store, label: str, window: Window) -> None:
    """Without the tables, what is unexplained is cpu, named, and within the bounds that are given."""
    found = of_history(history, label, window, tables=False)

    for cell in found.unexplained:
        named = found.cannot_know(cell)
        assert "cpu" == cell.tres
        assert all(unknown.cause == "suspension" for unknown in named)
        assert sum(u.least for u in named) <= cell.unexplained <= sum(u.most for u in named)


def test_real_hour_is_explained_in_every_cell(tmp_path: Path) -> None:
    """Reservations, resizes, requeues and suspensions of a real hour: every cell is explained."""
    found = of_real(loaded(tmp_path, export(REAL)), tables=True)

    assert () == found.unexplained
