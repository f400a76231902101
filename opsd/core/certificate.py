"""A certificate: opsd's usage beside what Slurm itself reports, cell by cell, and why they differ.

Invariant: Slurm's figure = opsd's + the causes + unexplained, in every cell. A cause is the sum of its
contributions; unexplained is what is left over, and is never given a name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from opsd.core.period import Window
from opsd.core.records import Association

SUSPENSION, RESERVATION_IDLE, RESIZE_OVERLAP = "suspension", "reservation_idle", "resize_overlap"
NOT_ROLLED_UP, LATE_RECORD, RUNAWAY = "not_rolled_up", "late_record", "runaway"
REASSOCIATED, NEVER_ELIGIBLE, ROUNDING = "reassociated", "never_eligible", "rounding"
CAUSES = (
    SUSPENSION, RESERVATION_IDLE, RESIZE_OVERLAP, NOT_ROLLED_UP, LATE_RECORD, RUNAWAY, REASSOCIATED,
    NEVER_ELIGIBLE, ROUNDING,
)  # fmt: skip
COLUMNS = ("cluster", "account", "user", "tres", "opsd", "sreport", *CAUSES, "unexplained")

MEANINGS = {
    SUSPENSION: "suspended time where slurmdbd placed it, against spread evenly over the run",
    RESERVATION_IDLE: "what stood idle in a reservation, which Slurm charges to whom it was for",
    RESIZE_OVERLAP: "the time since a resized job's original start, which Slurm counts once more",
    NOT_ROLLED_UP: "hours that slurmdbd has not added up yet",
    LATE_RECORD: "records that came or changed after their hours were added up",
    RUNAWAY: "jobs without an end that were mended after their hours were added up",
    REASSOCIATED: "runs that Slurm has under another account than before, or under none",
    NEVER_ELIGIBLE: "runs that Slurm's roll-up does not look at, for they were not eligible",
    ROUNDING: "units larger than a second; Slurm is asked in seconds, so there is none",
}

Key = tuple[str, str, str]  # account, user ("": the account's own line), TRES


class Subject(NamedTuple):
    """What a contribution is about: a run, a reservation or an association."""

    kind: str
    id: int  # the job's, the reservation's, the association's
    submit: int = 0  # of a run

    @property
    def text(self) -> str:
        """`run 12@1795329498`, `reservation 3`, `association 17`."""
        return f"{self.kind} {self.id}" + (f"@{self.submit}" if self.kind == "run" else "")


class Contribution(NamedTuple):
    """A part of a cause, with what it was computed from."""

    cause: str
    account: str
    user: str  # "": booked on the account itself
    tres: str
    seconds: int  # added to opsd's
    subject: Subject
    words: str


class Unknown(NamedTuple):
    """What could not be computed, and between which bounds it would lie."""

    cause: str
    account: str  # "": whose is not known
    user: str
    tres: str  # "": of every TRES
    least: int
    most: int
    subject: Subject
    words: str


class Cell(NamedTuple):
    """One line. An account's line (no user) includes the accounts below it, as Slurm's does."""

    account: str
    user: str
    tres: str
    opsd: int
    sreport: int
    causes: tuple[int, ...]  # in the order of CAUSES

    @property
    def unexplained(self) -> int:
        """What no cause explains."""
        return self.sreport - self.opsd - sum(self.causes)

    @property
    def is_equal(self) -> bool:
        """Whether opsd and Slurm say the same, without any cause."""
        return self.sreport == self.opsd and not any(self.causes)


class Limit(NamedTuple):
    """What Slurm's scheduler holds against an association; beside the certificate, never part of it."""

    account: str
    user: str
    raw_usage: int
    limits: Mapping[str, int]
    used: Mapping[str, int]


@dataclass(frozen=True)
class Certificate:
    """opsd against Slurm over one window of one cluster."""

    cluster: str
    window: Window  # what was compared: whole hours of slurmdbd's clock
    asked: Window
    zone: str
    made_at: int
    evidence: str  # what the causes were computed from, in words
    tres: tuple[str, ...]
    cells: tuple[Cell, ...]
    contributions: tuple[Contribution, ...]
    unknowns: tuple[Unknown, ...]
    tree: Mapping[str, str]  # the account above each account
    notes: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    left_out: tuple[str, ...] = ()  # TRES that the accounting keeps and nobody compares
    hours_not_added_up: int | None = None  # of the window, by slurmdbd; None: nobody knows

    @property
    def unexplained(self) -> tuple[Cell, ...]:
        """The cells that need eyes."""
        return tuple(cell for cell in self.cells if cell.unexplained)

    @cached_property
    def roots(self) -> frozenset[str]:
        """Accounts that stand below no other: the tree's root, and those the tree does not know."""
        return frozenset(cell.account for cell in self.cells if not self.tree.get(cell.account, ""))

    def total(self, tres: str) -> Cell:
        """Everything booked on anybody, once: the lines of the accounts that stand below no other."""
        tops = [
            cell for cell in self.cells if cell.tres == tres and not cell.user and cell.account in self.roots
        ]
        causes = tuple(sum(cell.causes[place] for cell in tops) for place in range(len(CAUSES)))
        opsd, sreport = sum(cell.opsd for cell in tops), sum(cell.sreport for cell in tops)
        return Cell("", "", tres, opsd, sreport, causes)

    def unexplained_seconds(self, tres: str) -> int:
        """How much is unexplained, too much and too little alike, each second once.

        An account's line includes its users' and those of the accounts below: only what it has beyond them
        is its own.
        """
        own: dict[str, int] = defaultdict(int)
        users = 0
        for cell in self.unexplained:
            if cell.tres != tres:
                continue
            if cell.user:
                users += abs(cell.unexplained)
                own[cell.account] -= cell.unexplained
            else:
                own[cell.account] += cell.unexplained
                own[self.tree.get(cell.account, "")] -= cell.unexplained
        return users + sum(abs(seconds) for account, seconds in own.items() if account)

    def cannot_know(self, cell: Cell) -> list[Unknown]:
        """What could not be computed and may stand in a cell's unexplained."""
        return [
            unknown
            for unknown in self.unknowns
            if unknown.tres in ("", cell.tres)
            and (
                not unknown.account
                or (unknown.user == cell.user and unknown.account == cell.account)
                or (not cell.user and cell.account in above(unknown.account, self.tree))
            )
        ]

    def is_bounded(self, cell: Cell) -> bool:
        """Whether all that is unexplained in a cell lies within what nobody can know."""
        known = self.cannot_know(cell)
        least, most = sum(unknown.least for unknown in known), sum(unknown.most for unknown in known)
        return bool(known) and least <= cell.unexplained <= most


def parents(associations: Iterable[Association]) -> dict[str, str]:
    """The account above each account, as the tree is now; "" above the highest."""
    found: dict[str, str] = {}
    for association in sorted(associations, key=lambda one: not one.deleted):  # what is alive comes last
        if not association.user:
            found[association.account] = association.parent
    return found


def above(account: str, tree: Mapping[str, str]) -> list[str]:
    """An account and all accounts above it."""
    line = [account]
    while (parent := tree.get(line[-1], "")) and parent not in line:
        line.append(parent)
    return line


def cells(
    usage: Mapping[Key, int],
    reported: Mapping[Key, int],
    contributions: Sequence[Contribution],
    tree: Mapping[str, str],
) -> tuple[Cell, ...]:
    """Every line in which somebody says something, sorted.

    Args:
        usage: opsd's, by account, user and TRES.
        reported: Slurm's, with its accounts' lines.
        tree: the account above each account.
    """
    opsd: dict[Key, int] = defaultdict(int)
    causes: dict[Key, list[int]] = defaultdict(lambda: [0] * len(CAUSES))
    for (account, user, tres), seconds in usage.items():
        for line in _lines(account, user, tree):
            opsd[(*line, tres)] += seconds
    for part in contributions:
        for line in _lines(part.account, part.user, tree):
            causes[(*line, part.tres)][CAUSES.index(part.cause)] += part.seconds
    found = (
        Cell(*key, opsd.get(key, 0), reported.get(key, 0), tuple(causes.get(key, [0] * len(CAUSES))))
        for key in sorted({*opsd, *causes, *reported})
    )
    return tuple(cell for cell in found if cell.opsd or cell.sreport or any(cell.causes))


def _lines(account: str, user: str, tree: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if user:
        yield account, user
    for name in above(account, tree):
        yield name, ""
