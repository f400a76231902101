"""opsd's usage against sreport: reads both, and every piece of evidence why they differ.

Invariant: Slurm's figures go into the certificate alone; no cause is computed from them. If slurmdbd adds up
while it is asked, nothing is certified.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from collectors.protocol import AccountingTables, Machine, Progress, RollUp
from opsd.core import certificate, plan
from opsd.core.certificate import Certificate, Key, Limit
from opsd.core.errors import Refused, Unavailable
from opsd.core.period import DAY, HOUR, Window, isoformat, month_window, parse_time
from opsd.core.period import zone as zone_of
from opsd.core.reconcile import Rolled, causes, unplaced
from opsd.core.rollup import Hours
from opsd.core.tres import GPU, GPU_TYPED
from opsd.pipeline import booked, testimony
from opsd.pipeline.seconds import collect
from opsd.pipeline.sources import ClusterSources
from opsd.store import certificates, evidence, identity, imports, parties, read, sweeps
from opsd.store.certificates import Kept
from opsd.store.engine import Connection, Store
from opsd.store.evidence import Found
from opsd.store.read import Names, Subset

_COMPARED = ("cpu", "mem", "node", "billing", GPU)
_LOOKS = 3
_FAR_WEST = 12 * HOUR  # clocks are at most so far behind UTC


def run(store: Store, sources: ClusterSources, window: Window, *, now: int, zone: str = "UTC") -> Certificate:
    """Compare a window of a cluster; what was read of it before is what opsd says.

    Args:
        window: cut to whole hours of slurmdbd's clock that have ended; the certificate says to which.
        zone: whose calendar the window is of, for the heading.

    Raises:
        Refused: no whole hour of the window has ended.
        Unavailable: Slurm does not answer, or adds up at this moment.
    """
    machine, tables = sources.machine, sources.tables
    hours = Hours(machine.hour_offset())
    compared = whole_hours(window, hours, now)
    tracked = machine.tracked()
    tres = tuple(name for name in tracked if name in _COMPARED or name.startswith(GPU_TYPED))
    reported, rolled = _reported(machine, tables, compared, tres, hours)
    associations = machine.associations()
    tree = certificate.parents(associations)
    with store.read() as connection:
        name = identity.of(connection, sources.cluster)
        usage = _usage(connection, name, compared)
        found = _runs(connection, name, compared, rolled)
        waiting = imports.quarantine_count(connection)
        last = sweeps.one(connection, name)
    runs = testimony.run(store, found, tables, rolled)
    parts = [part for one in runs for part in causes(one.run, rolled)]
    unknowns = [unknown for one in runs for unknown in unplaced(one.run, rolled)]
    beside = booked.run(machine, tables, runs, rolled, associations)
    kept = tuple(part for part in (*parts, *beside.contributions) if part.tres in tres)
    limits, silent = _limits(machine)
    return Certificate(
        name, compared, window, zone, now, _evidence(tables, machine), tres,
        certificate.cells({key: used for key, used in usage.items() if key[2] in tres}, reported, kept, tree),
        kept, (*unknowns, *beside.unknowns), tree,
        (*_notes(compared, window, waiting, tables, rolled), *_behind(last, rolled), *silent), limits,
        tuple(one for one in tracked if one not in tres), _not_added_up(rolled),
    )  # fmt: skip


def keep(store: Store, found: Certificate, document: str) -> None:
    """Store a certificate as the last one of its window, in place of those of the same time so far."""
    left = found.unexplained
    kept = Kept(
        found.cluster, found.window.start, found.window.end, found.made_at, len(found.cells), len(left),
        sum(found.is_bounded(cell) for cell in left),
        {tres: (found.unexplained_seconds(tres), found.total(tres).sreport) for tres in found.tres},
        found.hours_not_added_up,
    )  # fmt: skip
    with store.write() as connection:
        certificates.keep(connection, kept, document)
        earlier = certificates.ends(connection, found.cluster, found.window.start)
        outdated = [end for end in earlier if end < found.window.end and _is_so_far(end, found.zone)]
        certificates.forget(connection, found.cluster, found.window.start, outdated)


def _is_so_far(end: int, zone: str) -> bool:
    """Whether a window ended inside a day, as those do that end now: no midnight is in the next hour."""
    later = datetime.fromtimestamp(end + HOUR - 1, zone_of(zone))
    return later.hour > 0


def nightly(store: Store, now: int) -> list[tuple[Window, str]]:
    """Yesterday and its month so far, in the book zone: on the first of a month, all of the last one."""
    with store.read() as connection:
        name = parties.load(connection).book_zone or "UTC"
    tz = zone_of(name)
    today = parse_time(f"{datetime.fromtimestamp(now, tz):%Y-%m-%d}", tz)
    before = datetime.fromtimestamp(today - 1, tz)
    month = month_window(before.year, before.month, tz)
    yesterday = Window(parse_time(f"{before:%Y-%m-%d}", tz), today)
    return [(yesterday, name), (Window(month.start, min(month.end, now)), name)]


def whole_hours(window: Window, hours: Hours, now: int) -> Window:
    """The hours of slurmdbd's clock that lie in a window and have ended."""
    start, end = -(-(window.start - hours.offset) // HOUR) * HOUR + hours.offset, hours.top(window.end)
    end = min(end, hours.top(now))
    if start >= end:
        raise Refused(
            f"no hour of slurmdbd's clock lies in {isoformat(window.start)} to {isoformat(window.end)} and "
            f"has ended: they begin at minute {hours.offset // 60:02} of UTC; ask for more, or for earlier"
        )
    return Window(start, end)


# -- what slurmdbd says ------------------------------------------------------------------------------------


def _reported(
    machine: Machine, tables: AccountingTables | None, window: Window, tres: Sequence[str], hours: Hours
) -> tuple[dict[Key, int], Rolled]:
    for _ in range(_LOOKS):
        rolled = _rolled(machine, tables, window, hours)
        lines = machine.reported(window.start, window.end, tres)
        if rolled == _rolled(machine, tables, window, hours):
            found: dict[Key, int] = defaultdict(int)
            for line in lines:
                found[line.account, line.user, line.tres] += line.seconds
            return {key: used for key, used in found.items() if key[2] in tres}, rolled
    raise Unavailable("slurmdbd is adding up hours at this moment: ask again when it is done")


def _rolled(machine: Machine, tables: AccountingTables | None, window: Window, hours: Hours) -> Rolled:
    if tables is None:
        until = machine.rolled_until() if isinstance(machine, Progress) else None
        end = window.end if until is None else min(max(until, window.start), window.end)
        spans = ((window.start, end),) if end > window.start else ()
        return Rolled(window, hours, spans, is_told=until is not None)
    marks = tables.rolled_up(window.start, window.end)
    at = {hours.top(hour.start): hour.rolled_at for hour in marks.hours}
    limit = _limit(marks, window)
    done = [
        (hour, hour + HOUR)
        for hour in hours.of(window.start, window.end)
        if (hour + HOUR <= marks.hourly or hour in at) and hour < limit
    ]
    mark = marks.hourly if any(hour >= hours.top(marks.hourly) for hour in at) else None
    return Rolled(window, hours, tuple(plan.joined(done)), at, mark)


def _limit(marks: RollUp, window: Window) -> int:
    """Until where the table is filled that Slurm reads for a window: of days, of months, or of hours.

    It reads the day table from midnight to midnight and the month table from a first to a first, by its
    own clock. Where midnight is, its marks tell: they lie on one. A mark of months inside a month was moved
    there by a late record; the table is as it was.
    """
    for mark, is_month in ((marks.monthly, True), (marks.daily, False)):
        ahead = -mark % DAY  # what the clock is ahead of UTC, were it east of it
        ahead -= DAY if ahead >= DAY - _FAR_WEST else 0
        edges = [edge + ahead for edge in (window.start, window.end)]
        if any(edge % DAY for edge in edges):
            continue
        firsts = all(isoformat(edge)[8:10] == "01" for edge in edges)
        if firsts == is_month and (not is_month or isoformat(mark + ahead)[8:10] == "01"):
            return mark
    return window.end


def _evidence(tables: AccountingTables | None, machine: Machine) -> str:
    if tables is not None:
        return "sacct, sacctmgr and slurmdbd's tables"
    marks = (
        "; how far hours are added up, from slurmdbd's statistics" if isinstance(machine, Progress) else ""
    )
    return f"sacct and sacctmgr alone{marks}"


def _limits(machine: Machine) -> tuple[tuple[Limit, ...], tuple[str, ...]]:
    """sshare's lines; slurmctld may be away, and the certificate does not need it."""
    try:
        return tuple(Limit(*share) for share in machine.shares()), ()
    except Unavailable as err:
        return (), (f"nothing of sshare: {err}",)


def _notes(
    compared: Window, asked: Window, waiting: int, tables: AccountingTables | None, rolled: Rolled
) -> Iterator[str]:
    if compared != asked:
        yield (
            f"asked for {isoformat(asked.start)} to {isoformat(asked.end)}; compared are the ended hours of "
            f"slurmdbd's clock in it, {isoformat(compared.start)} to {isoformat(compared.end)}"
        )
    if waiting:
        are = "record is" if waiting == 1 else "records are"
        yield f"{waiting:,} {are} in quarantine and in no usage of opsd's: opsd quarantine list"
    if tables is None:
        yield (
            "without slurmdbd's tables nobody knows when runs were suspended, which records came after their "
            "hours were added up, and which of slurmdbd's own rows are stale"
        )
    if rolled.again_from is not None:
        yield f"slurmdbd will add up the hours since {isoformat(rolled.again_from)} once more"


def _not_added_up(rolled: Rolled) -> int | None:
    """Hours that were compared with nothing; None: slurmdbd did not tell."""
    window = rolled.window
    missing = sum(end - start for start, end in rolled.outside(window.start, window.end))
    return missing // HOUR if rolled.is_told else None


def _behind(last: sweeps.Sweep | None, rolled: Rolled) -> Iterator[str]:
    """What was compared with nothing, and where opsd itself has not looked."""
    window = rolled.window
    if missing := list(rolled.outside(window.start, window.end)):
        hours, whole = sum(end - start for start, end in missing) // HOUR, (window.end - window.start) // HOUR
        yield (
            f"slurmdbd has not added up {hours:,} of {whole:,} hours, the first "
            f"from {isoformat(missing[0][0])}: there opsd's usage is compared with nothing"
        )
    if last is not None and last.covered_until < window.end:
        yield (
            f"opsd has read Slurm's accounting until {isoformat(last.covered_until)}: what was open then is "
            "taken to be so until the end, as a late record"
        )


# -- what opsd says ----------------------------------------------------------------------------------------


def _usage(connection: Connection, cluster: str, window: Window) -> dict[Key, int]:
    """As `opsd usage` counts, by account, user and TRES."""
    names = read.names(connection)
    cells = collect(connection, plan.make(window, (), UTC), _ByUser(names), names.counts)
    found: dict[Key, int] = defaultdict(int)
    for cell, (_, ran, off) in cells.items():
        if cell.labels[0] != cluster:
            continue
        for name, count in names.shapes[cell.shape].tres:
            found[cell.labels[1], cell.labels[2], name] += count * (ran if name == "cpu" else ran + off)
    return found


class _ByUser:
    """Cluster, account and user."""

    wanted: Sequence[str] = ("account", "user")
    by_shape = True

    def __init__(self, names: Names) -> None:
        self._names = names

    def labels(self, key: read.Key, at: int) -> tuple[str, ...]:  # noqa: ARG002 (they never change)
        return (*self._names.accounts[key[0]], self._names.words[key[1]])

    def account_edges(self, account: int, start: int, end: int) -> Sequence[int]:  # noqa: ARG002
        return ()

    def user_edges(self, user: int, start: int, end: int) -> Sequence[int]:  # noqa: ARG002
        return ()

    def changing(self, start: int, end: int) -> Subset:  # noqa: ARG002
        return Subset(frozenset(), frozenset())


def _runs(connection: Connection, cluster: str, window: Window, rolled: Rolled) -> list[Found]:
    wholly = list(rolled.outside(window.start, window.end))
    again = rolled.again_from is not None and rolled.again_from < window.end
    if again and rolled.again_from is not None:
        wholly.append((max(rolled.again_from, window.start), window.end))
    return evidence.runs(connection, cluster, window, wholly=plan.joined(wholly), again=again)
