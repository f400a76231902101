"""The certificate against reports of a real slurmdbd: equal, or named, or unexplained to the second."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import select, update

from collectors.protocol import Reported, RolledHour, RollUp
from collectors.slurm.sacct import SacctReader
from opsd.core.certificate import CAUSES, Certificate
from opsd.core.errors import Refused, Unavailable
from opsd.core.period import Window
from opsd.pipeline import figures, ingest, rebuild, reconcile
from opsd.pipeline.sources import ClusterSources
from opsd.store import certificates, migrate, sweeps
from opsd.store.engine import Store, open_engine, sqlite_address
from opsd.store.tables import certificate as table
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
    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.ensure_current(store)
    reader = SacctReader(BytesIO(text), cluster=CLUSTER, name="sacct-num.psv.gz")
    result = ingest.run(store, reader, source="recorded", observed_at=LATE, now=LATE)
    assert result.quarantined == 0
    rebuild.run(store)
    return store


def export(folder: Path) -> bytes:
    """What sacct printed."""
    return gzip.decompress((folder / "sacct-num.psv.gz").read_bytes())


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Seven months of a cluster, rolled up by a real slurmdbd."""
    store = loaded(tmp_path_factory.mktemp("history"), export(HISTORY))
    yield store
    store.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One closed hour of real jobs."""
    store = loaded(tmp_path_factory.mktemp("real"), export(REAL))
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
    assert (label == "dst-spring") == (not found.cells)  # nobody ran anything that day


@pytest.mark.parametrize(("label", "window"), windows(), ids=[label for label, _ in windows()])
def test_without_tables_only_suspensions_are_unexplained(history: Store, label: str, window: Window) -> None:
    """Without the tables, what is unexplained is cpu, named, and within the bounds that are given."""
    found = of_history(history, label, window, tables=False)

    for cell in found.unexplained:
        named = found.cannot_know(cell)
        assert "cpu" == cell.tres
        assert all(unknown.cause == "suspension" for unknown in named)
        assert sum(u.least for u in named) <= cell.unexplained <= sum(u.most for u in named)


def test_real_hour_is_explained_in_every_cell(real: Store) -> None:
    """Reservations, resizes, requeues and suspensions of a real hour: every cell is explained."""
    found = of_real(real, tables=True)

    assert () == found.unexplained
    assert 144 == len(found.cells)
    causes = dict(zip(CAUSES, found.total("cpu").causes, strict=True))
    assert {"reservation_idle": 4_336, "resize_overlap": 12} == {name: n for name, n in causes.items() if n}


# -- the certificate can fail ------------------------------------------------------------------------------

TITLES = export(REAL).split(b"\n", 1)[0].decode().split("|")
TRES = ("cpu", "mem", "node", "billing", "gres/gpu", "gres/gpu:h100")
ABOVE = {"es-bio": ("es", "root"), "es-cfd": ("es", "root"), "pt-ml": ("pt", "root")}
Left = dict[tuple[str, str, str], int]


def edited(text: bytes, job: str, change: Callable[[dict[str, str]], dict[str, str] | None]) -> bytes:
    """The export with one job's only row changed, or taken out."""
    found = 0
    lines = []
    for line in text.decode().split("\n"):
        row = dict(zip(TITLES, line.split("|"), strict=False))
        if row.get("JobIDRaw") == job:
            found += 1
            changed = change(row)
            line = "" if changed is None else "|".join(changed[title] for title in TITLES)  # noqa: PLW2901
            if changed is None:
                continue
        lines.append(line)
    assert 1 == found
    return "\n".join(lines).encode()


def unexplained(found: Certificate) -> Left:
    """What is unexplained, by cell."""
    return {(cell.account, cell.user, cell.tres): cell.unexplained for cell in found.unexplained}


def expected(account: str, user: str, seconds: dict[str, int]) -> Left:
    """So much in a user's cell, in its account's line and in those above it."""
    lines = [(account, user), (account, ""), *((name, "") for name in ABOVE[account])]
    return {(*line, tres): amount for line in lines for tres, amount in seconds.items() if amount}


def added(one: Left, other: Left) -> Left:
    """Cell by cell."""
    keys = {*one, *other}
    return {key: amount for key in keys if (amount := one.get(key, 0) + other.get(key, 0))}


# Job 2: es-bio/ana, 1 cpu, 1000 MB, 1 node, 1 billing, 12 s, not suspended.
WHOLE = {"cpu": 12, "mem": 12_000, "node": 12, "billing": 12}


def test_a_run_that_is_missing_is_unexplained_exactly(tmp_path: Path) -> None:
    """A deleted run leaves exactly its seconds, in its user's cell and its accounts' lines."""
    found = of_real(loaded(tmp_path, edited(export(REAL), "2", lambda _row: None)), tables=True)

    assert expected("es-bio", "ana", WHOLE) == unexplained(found)


def test_an_invented_submission_is_no_resize(tmp_path: Path) -> None:
    """A run that opsd counts from a later submission lacks that time, for no earlier row has it."""
    text = edited(export(REAL), "2", lambda row: row | {"Submit": str(int(row["Start"]) + 5)})

    found = of_real(loaded(tmp_path, text), tables=True)

    assert expected("es-bio", "ana", {"cpu": 5, "mem": 5_000, "node": 5, "billing": 5}) == unexplained(found)


@pytest.mark.parametrize("eligible", [0, 600], ids=["never", "later"])
def test_a_wrong_eligibility_is_unexplained_exactly(tmp_path: Path, eligible: int) -> None:
    """A run that Slurm did count, and could not have counted by its record, is unexplained."""

    def later(row: dict[str, str]) -> dict[str, str]:
        return row | {"Eligible": str(REAL_WINDOW.end + eligible) if eligible else "Unknown"}

    found = of_real(loaded(tmp_path, edited(export(REAL), "2", later)), tables=True)

    assert {"never_eligible"} == {p.cause for p in found.contributions if p.subject.id == 2}
    assert expected("es-bio", "ana", WHOLE) == unexplained(found)


def test_another_tres_is_unexplained_exactly(tmp_path: Path) -> None:
    """One count changed leaves exactly the difference times the run's seconds, in that TRES alone."""
    text = edited(
        export(REAL), "2", lambda row: row | {"AllocTRES": row["AllocTRES"].replace("cpu=1,", "cpu=3,")}
    )

    found = of_real(loaded(tmp_path, text), tables=True)

    assert expected("es-bio", "ana", {"cpu": -24}) == unexplained(found)


def test_an_end_one_second_later_is_unexplained_exactly(tmp_path: Path) -> None:
    """One second more is one second of every TRES that the run held, and no more."""
    text = edited(
        export(REAL), "2",
        lambda row: row | {"End": str(int(row["End"]) + 1), "ElapsedRaw": str(int(row["ElapsedRaw"]) + 1)},
    )  # fmt: skip

    found = of_real(loaded(tmp_path, text), tables=True)

    assert expected("es-bio", "ana", {"cpu": -1, "mem": -1_000, "node": -1, "billing": -1}) == unexplained(
        found
    )


def test_a_run_of_another_account_is_unexplained_exactly(tmp_path: Path) -> None:
    """A run moved to another account is missing here and too much there; what both have above is equal."""
    text = edited(export(REAL), "2", lambda row: row | {"Account": "pt-ml"})

    found = of_real(loaded(tmp_path, text), tables=True)

    too_much = expected("pt-ml", "ana", {tres: -amount for tres, amount in WHOLE.items()})
    assert added(expected("es-bio", "ana", WHOLE), too_much) == unexplained(found)


def test_a_suspension_that_is_dropped_is_unexplained_exactly(tmp_path: Path) -> None:
    """A suspension that sacct no longer tells leaves exactly its cpu-seconds."""
    row = next(
        dict(zip(TITLES, line.split("|"), strict=False))
        for line in export(REAL).decode().split("\n")
        if "|00:00:15|" in line
    )
    text = edited(
        export(REAL), row["JobIDRaw"],
        lambda row: row | {"Suspended": "00:00:00", "ElapsedRaw": str(int(row["ElapsedRaw"]) + 15)},
    )  # fmt: skip

    left = unexplained(of_real(loaded(tmp_path, text), tables=True))

    cpus = int(row["AllocTRES"].split("cpu=")[1].split(",")[0])
    user = (row["Account"], row["User"], "cpu")
    assert -15 * cpus == left[user]
    assert {"cpu"} == {tres for _, _, tres in left}
    assert {-15 * cpus} == set(left.values())
    assert {user, (row["Account"], "", "cpu"), ("root", "", "cpu")} < set(left)
    assert 4 == len(left)  # user, account, country, root


@pytest.mark.parametrize("tres", TRES)
def test_a_second_in_the_report_is_unexplained_exactly(real: Store, tres: str) -> None:
    """What Slurm reports too much in one cell is unexplained in that cell alone: no cause looks at it."""
    machine = RecordedMachine(
        REAL, REAL / "sreport-acct-user-seconds.psv.gz", QUARTER,
        extra=[Reported("es-bio", "bruno", tres, 1)],
    )  # fmt: skip
    found = reconcile.run(real, sources(machine, RecordedTables(REAL)), REAL_WINDOW, now=LATE)

    assert {("es-bio", "bruno", tres): 1} == unexplained(found)


# -- what is compared --------------------------------------------------------------------------------------


def test_hours_are_cut_to_those_of_slurmdbd(real: Store) -> None:
    """A window that begins inside slurmdbd's hours is compared in the hours that lie in it, and says so."""
    machine = RecordedMachine(REAL, REAL / "sreport-acct-user-seconds.psv.gz", QUARTER)
    asked = Window(REAL_WINDOW.start - 900, REAL_WINDOW.end + 2_700)

    found = reconcile.run(real, sources(machine, RecordedTables(REAL)), asked, now=LATE)

    assert REAL_WINDOW == found.window
    assert "2026-11-22T05:45:00+00:00 to 2026-11-22T06:45:00+00:00" in found.notes[0]


def test_a_window_without_a_whole_hour_is_refused(real: Store) -> None:
    """Where no hour of slurmdbd's clock lies in the window there is nothing to compare."""
    machine = RecordedMachine(REAL, REAL / "sreport-acct-user-seconds.psv.gz", QUARTER)

    with pytest.raises(Refused, match="minute 45 of UTC"):
        reconcile.run(real, sources(machine, None), Window(REAL_WINDOW.start + 1, REAL_WINDOW.end), now=LATE)


def test_an_hour_that_goes_on_is_not_compared(real: Store) -> None:
    """sreport has no hour that has not ended, so neither has the certificate."""
    machine = RecordedMachine(REAL, REAL / "sreport-acct-user-seconds.psv.gz", QUARTER)
    asked = Window(REAL_WINDOW.start, REAL_WINDOW.end + 7_200)

    found = reconcile.run(real, sources(machine, RecordedTables(REAL)), asked, now=REAL_WINDOW.end + 59)

    assert REAL_WINDOW == found.window


def test_slurmdbd_that_adds_up_meanwhile_is_asked_again_and_then_given_up(real: Store) -> None:
    """Marks that move while sreport answers make no certificate."""

    class Busy(RecordedTables):
        looked = 0

        def rolled_up(self, start: int, end: int) -> RollUp:
            self.looked += 1
            hours = [RolledHour(REAL_WINDOW.start, REAL_WINDOW.end + self.looked)]
            return replace(super().rolled_up(start, end), hours=hours)

    machine = RecordedMachine(REAL, REAL / "sreport-acct-user-seconds.psv.gz", QUARTER)

    with pytest.raises(Unavailable, match="adding up"):
        reconcile.run(real, sources(machine, Busy(REAL)), REAL_WINDOW, now=LATE)


def test_the_last_certificate_of_a_window_is_kept(real: Store) -> None:
    """Making a certificate again replaces it; another window's stays."""
    found = of_real(real, tables=True)

    for document in ("first", "second"):
        reconcile.keep(real, found, document)

    with real.read() as connection:
        assert "second" == certificates.document(connection, CLUSTER, REAL_WINDOW)
        assert [(CLUSTER, 144, 0)] == [
            (k.cluster, k.cells, k.unexplained_cells) for k in certificates.every(connection)
        ]


NOVEMBER = 1_793_491_200  # its first second, UTC
DAY = 86_400


def test_the_month_so_far_takes_the_place_of_the_night_before(real: Store) -> None:
    """A window that ended inside a day is outdone by a longer one; days, weeks and months stay."""
    found = of_real(real, tables=True)
    hours = [24, 26, 7 * 24, 7 * 24 + 2, 30 * 24]

    for hour in hours:
        window = Window(NOVEMBER, NOVEMBER + hour * 3_600)
        reconcile.keep(real, replace(found, cluster="far", window=window), "{}")

    with real.read() as connection:
        kept = certificates.ends(connection, "far", NOVEMBER)
    assert [24, 7 * 24, 30 * 24] == [(end - NOVEMBER) // 3_600 for end in kept]


def test_midnights_are_those_of_the_zone(real: Store) -> None:
    """In Kolkata a day ends at half past six, UTC, the last full hour before it is its end."""
    found = replace(of_real(real, tables=True), zone="Asia/Kolkata", cluster="east")
    start = NOVEMBER - 6 * 3_600

    for hour in (24, 26, 48):
        reconcile.keep(real, replace(found, window=Window(start, start + hour * 3_600)), "{}")

    with real.read() as connection:
        kept = certificates.ends(connection, "east", start)
    assert [24, 48] == [(end - start) // 3_600 for end in kept]


def test_a_new_month_stands_from_its_first_day_on(real: Store) -> None:
    """On the first the last month stands; when the new one has a day of its own, that is what is shown."""
    found = replace(of_real(real, tables=True), cluster="new")
    last, first = Window(NOVEMBER - 31 * DAY, NOVEMBER), Window(NOVEMBER, NOVEMBER + 26 * 3_600)
    standing = []

    for window in (last, Window(NOVEMBER - DAY, NOVEMBER), first, Window(NOVEMBER, NOVEMBER + DAY)):
        reconcile.keep(real, replace(found, window=window), "{}")
        with real.read() as connection:
            standing += [k.end for k in certificates.standing(connection) if k.cluster == "new"]

    assert [NOVEMBER, NOVEMBER, first.end, first.end] == standing


def test_hours_that_nobody_added_up_attest_nothing(real: Store) -> None:
    """A certificate of hours that slurmdbd has not added up says that nothing was compared there."""
    machine = RecordedMachine(REAL, REAL / "nothing.psv.gz", QUARTER)
    machine.reported = lambda *_asked: []  # type: ignore[method-assign]
    tables = RecordedTables(REAL, marks=(REAL_WINDOW.end,) * 3)
    later = Window(REAL_WINDOW.end, REAL_WINDOW.end + 7_200)

    found = reconcile.run(real, sources(machine, tables), later, now=LATE)

    assert [note for note in found.notes if "slurmdbd has not added up 2 of 2 hours" in note]
    assert 2 == found.hours_not_added_up


def test_hours_not_added_up_are_told_to_whoever_watches(real: Store) -> None:
    """They are kept with the certificate and stand in the daemon's figures; of one where all are, as zero."""
    found = replace(of_real(real, tables=True), cluster="stuck")
    assert 0 == found.hours_not_added_up

    for hours in (0, 70, None):
        reconcile.keep(real, replace(found, hours_not_added_up=hours), "{}")
        standing = figures.run(real, now=LATE).certificates
        assert [hours] == [one.hours_not_added_up for one in standing if one.cluster == "stuck"]


@pytest.mark.parametrize(("until", "missing"), [(REAL_WINDOW.start, 1), (REAL_WINDOW.end, 0), (None, None)])
def test_without_tables_slurmdbds_statistics_tell_how_many(
    real: Store, until: int | None, missing: int | None
) -> None:
    """Hours past the last roll-up are not added up; if it has not run since slurmdbd began, nobody knows."""
    machine = RecordedMachine(REAL, REAL / "sreport-acct-user-seconds.psv.gz", QUARTER)
    machine.rolled_until = lambda: until  # type: ignore[attr-defined]

    found = reconcile.run(real, sources(machine, None), REAL_WINDOW, now=LATE)

    assert missing == found.hours_not_added_up


def test_a_certificate_kept_before_hours_were_counted_has_none(real: Store) -> None:
    """What an earlier opsd kept is read as it is; how many hours were missing nobody knows."""
    reconcile.keep(real, replace(of_real(real, tables=True), cluster="old", hours_not_added_up=3), "{}")
    mine = table.c.cluster == "old"
    with real.write() as connection:
        told = json.loads(connection.scalar(select(table.c.figures).where(mine)) or "")
        assert 3 == told.pop("hours_not_added_up")
        connection.execute(update(table).where(mine).values(figures=json.dumps(told)))

    with real.read() as connection:
        kept = [one for one in certificates.every(connection) if one.cluster == "old"]

    assert [None] == [one.hours_not_added_up for one in kept]


def test_opsd_that_stopped_reading_says_so(real: Store) -> None:
    """Where opsd has not read to the end of what is compared, the certificate tells from when."""
    with real.write() as connection:
        sweeps.cover(connection, CLUSTER, REAL_WINDOW.end - 600, REAL_WINDOW.end - 600)

    found = of_real(real, tables=True)

    assert [n for n in found.notes if "opsd has read Slurm's accounting until 2026-11-22T06:35:00+00:00" in n]


def test_what_is_kept_and_not_compared_is_named(real: Store) -> None:
    """Energy and what no run ever holds are tracked, left out, and said to be."""
    assert ("energy", "fs/disk", "vmem", "pages") == of_real(real, tables=True).left_out


@pytest.mark.parametrize(
    ("now", "month"),
    [
        (1_795_337_820, Window(1_793_491_200, 1_795_337_820)),  # 2026-11-22T08:57
        (1_796_092_020, Window(1_793_491_200, 1_796_083_200)),  # 2026-12-01T02:27: November as a whole
    ],
    ids=["in a month", "on its first"],
)
def test_what_is_compared_every_night(real: Store, now: int, month: Window) -> None:
    """Yesterday, and the month that it was in as far as it has come."""
    yesterday = Window(now // 86_400 * 86_400 - 86_400, now // 86_400 * 86_400)

    assert [(yesterday, "UTC"), (month, "UTC")] == reconcile.nightly(real, now)


# -- records that came late --------------------------------------------------------------------------------


def after_the_roll_up(store: Store, changed: dict[int, int]) -> Certificate:
    """The real hour, to be added up once more, with rows that slurmdbd wrote since."""
    machine = RecordedMachine(REAL, REAL / "sreport-acct-user-seconds.psv.gz", QUARTER)
    tables = RecordedTables(REAL, marks=(REAL_WINDOW.start,) * 3, changed=changed)
    return reconcile.run(store, sources(machine, tables), REAL_WINDOW, now=LATE)


ROLLED_AT, DB_INDEX = 1_795_329_908, 3  # of job 2


def test_a_month_whose_marks_went_back_to_a_midnight_is_as_it_was(history: Store) -> None:
    """A late record of a run that began at midnight takes nothing out of the table of months."""
    august = dict(windows())["2026-08"]
    hours = [RolledHour(hour, august.end + 60) for hour in range(august.start, august.end, 3_600)]
    machine = RecordedMachine(HISTORY, HISTORY / "sreport-2026-08.psv.gz")
    tables = RecordedTables(HISTORY, hours=hours, marks=(august.start + 12 * DAY,) * 3)

    found = reconcile.run(history, sources(machine, tables), august, now=LATE)

    assert () == found.unexplained
    assert "not_rolled_up" not in {part.cause for part in found.contributions}


def test_an_hour_to_be_added_up_again_is_as_it_was(real: Store) -> None:
    """That slurmdbd will add up again is no difference by itself."""
    found = after_the_roll_up(real, {DB_INDEX: ROLLED_AT})

    assert () == found.unexplained
    assert {"reservation_idle", "resize_overlap"} == {part.cause for part in found.contributions}


def test_a_row_that_came_after_the_roll_up_is_late(real: Store) -> None:
    """Nobody had seen it, and slurmdbd wrote it since: what Slurm has of it is then as unexplained."""
    found = after_the_roll_up(real, {DB_INDEX: ROLLED_AT + 1})

    assert {("es-bio", "ana", tres): -seconds for tres, seconds in WHOLE.items()} == {
        part[1:4]: part.seconds for part in found.contributions if part.cause == "late_record"
    }
    assert expected("es-bio", "ana", WHOLE) == unexplained(found)  # the recorded report does have it


def test_a_row_that_was_written_again_is_not_late(real: Store) -> None:
    """A slurmctld that starts sends all its jobs again; opsd had seen the same row before that."""
    found = after_the_roll_up(real, {DB_INDEX: LATE + 1})

    assert () == found.unexplained
