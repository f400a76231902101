"""Closed months as they were reported, and as the books have them since.

Invariant: what an edition says is read from what was frozen and from nothing else. The books count from a
month's first edition and the corrections posted after it; later editions restate and change no book.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from opsd.core import canonical, corrections, dossier
from opsd.core.corrections import Booked, RunUse
from opsd.core.dossier import Balance, ClosedMonth, Closing, Correction, Dossier, Line, Record, Seconds
from opsd.core.period import Window
from opsd.store import editions
from opsd.store.editions import Edition
from opsd.store.engine import Connection

FIRST = 1  # the edition that the books count from

Known = Callable[[str, Window], Seconds]  # the use of a month as now known


@dataclass(frozen=True, slots=True)
class Month:
    """One closed month."""

    first: Edition
    last: Edition
    reported: Booked  # by the first edition
    corrections: tuple[tuple[Edition, Correction], ...]  # with the edition that each was booked with

    @property
    def period(self) -> str:
        """Which month."""
        return self.first.period

    @property
    def window(self) -> Window:
        """[start, end)."""
        return Window(self.first.start, self.first.end)

    @property
    def booked(self) -> Booked:
        """As reported, with every correction so far."""
        found = self.reported
        for _, correction in self.corrections:
            found = found.plus(correction)
        return found

    @property
    def corrected(self) -> Seconds:
        """The sum of the corrections' seconds."""
        return corrections.total(line.seconds for _, found in self.corrections for line in found.lines)


def reported(connection: Connection, period: str, edition: int | None = None) -> Dossier | None:
    """The dossier that an edition of a month froze; without a number the last. None: there is none."""
    found = editions.find(connection, period, edition)
    return None if found is None else dossier.from_records(editions.records(connection, found))


def closing(connection: Connection, edition: Edition) -> Closing | None:
    """How and by whom an edition was frozen."""
    (text,) = (text for _, text in editions.records(connection, edition, (dossier.HEADER,)))
    return canonical.read(Closing | None, json.loads(text)["closing"])  # type: ignore[no-any-return]


def runs(connection: Connection, edition: Edition) -> dict[str, RunUse]:
    """The runs that an edition of a month froze of that month."""
    return corrections.listed(editions.latest_runs(connection, edition.period, [edition.id]))


def months(connection: Connection, window: Window | None = None) -> tuple[Month, ...]:
    """Every closed month, or those inside a window, oldest first."""
    every = editions.every(connection)
    by_period: dict[str, list[Edition]] = defaultdict(list)
    for edition in every:
        by_period[edition.period].append(edition)
    booked = _corrections(connection, [edition for edition in every if edition.number == FIRST])
    wanted = (
        held
        for held in by_period.values()
        if window is None or (window.start <= held[0].start and held[0].end <= window.end)
    )
    return tuple(_month(connection, held, booked) for held in wanted)


def used(connection: Connection, edition: Edition) -> Seconds:
    """All use that an edition states."""
    return _reported(editions.records(connection, edition, ("lines",))).seconds


def _month(
    connection: Connection,
    held: Sequence[Edition],
    booked: Mapping[str, Sequence[tuple[Edition, Correction]]],
) -> Month:
    first = held[0]
    return Month(
        first, held[-1], _reported(editions.records(connection, first, ("lines", "balances"))),
        tuple(booked.get(first.period, ())),
    )  # fmt: skip


def _reported(records: Iterable[Record]) -> Booked:
    lines, charged = [], {}
    for kind, text in records:
        if kind == "lines":
            lines.append(canonical.read(Line, json.loads(text)))
        else:
            balance = canonical.read(Balance, json.loads(text))
            charged[balance.award] = balance.charged
    return corrections.booked_of(lines, charged)


def _corrections(
    connection: Connection, closes: Iterable[Edition]
) -> dict[str, list[tuple[Edition, Correction]]]:
    """What each close corrected, by the month corrected, oldest close first."""
    found: dict[str, list[tuple[Edition, Correction]]] = defaultdict(list)
    for edition in sorted(closes, key=lambda edition: edition.id):
        for _, text in editions.records(connection, edition, ("corrections",)):
            correction = canonical.read(Correction, json.loads(text))
            found[correction.period].append((edition, correction))
    return found


def closed(connection: Connection, window: Window, known: Known) -> tuple[ClosedMonth, ...]:
    """The closed months that a period holds whole: as reported, as corrected, as now known.

    Args:
        known: what a month's use is now; asked for closed months only.
    """
    return tuple(
        ClosedMonth(
            period=month.period,
            edition=month.last.number,
            digest=month.last.digest,
            closed_at=month.first.made_at,
            reported=month.reported.seconds,
            corrected=month.corrected,
            known=known(month.period, month.window),
        )
        for month in months(connection, window)
    )


def reported_closing(connection: Connection, end: int) -> dict[str, int]:
    """What each award had left when the closed month that ends at an instant was first reported."""
    closing: dict[str, int] = {}
    for edition in editions.every(connection):
        if (edition.end, edition.number) == (end, FIRST):
            for _, text in editions.records(connection, edition, ("balances",)):
                balance = canonical.read(Balance, json.loads(text))
                closing[balance.award] = balance.granted_total - balance.settled - balance.accrued
    return closing
