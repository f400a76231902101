"""Everything that answers for one cluster, opened when it is asked for.

Invariant: `cluster` is what Slurm calls it now; what is stored stands under its stable id
(`opsd.store.identity`), which survives a new name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from collectors.protocol import AccountingSource, AccountingTables, Machine, Partial, Present
from opsd.core.errors import Unavailable
from opsd.pipeline.pace import Pace
from opsd.pipeline.sweep import Means, Result
from opsd.pipeline.turn import Turn

NO_TABLES = (
    "no connection to slurmdbd's database ([slurm] database_url): suspensions that cross the edge of an hour "
    "or a day are spread evenly over the run; what is edited more than 90 days after its run's end is not "
    "seen; whom a reservation was for is not known"
)
NO_CONTROLLER = "whether open runs still run was not asked, so suspected runaways are as they were"


@dataclass(slots=True)
class ClusterSources:
    """One cluster's accounting, machine and tables.

    Args:
        label: its name in the configuration; "" for the one local cluster, whose name Slurm tells.
        since: how far back its very first reading goes (`opsd.pipeline.sweep.beginning`).
        turn: waits until nobody else reads; None: nobody else can.
        open_machine, open_tables: make the others from the cluster's name; None: there is none.
        open_present: likewise, from its label: it is asked also while the accounting, which tells the name,
            is away.
    """

    accounting: AccountingSource
    label: str = ""
    since: str = "30 days"
    pace: Pace = field(default_factory=Pace)
    open_machine: Callable[[str, AccountingTables | None], Machine] | None = None
    open_tables: Callable[[str], AccountingTables] | None = None
    open_present: Callable[[str], Present] | None = None
    turn: Turn | None = None
    answered: Mapping[str, int] = field(default_factory=dict)  # a source of the present -> when it last did
    _silent: frozenset[str] = frozenset()  # sources of the present that did not, when last asked
    _told: set[str] = field(default_factory=set)  # notes
    _cluster: str = ""
    _machine: Machine | None = None
    _tables: AccountingTables | None = None
    _present: Present | None = None

    @property
    def shown(self) -> str:
        """What to call it before Slurm has told its name."""
        return self.label or self._cluster or "local"

    @property
    def cluster(self) -> str:
        """What Slurm calls it, with the rights to see all of it proven.

        Raises:
            Refused, Unavailable: as `AccountingSource.prove`.
        """
        if not self._cluster:
            self._cluster = self.accounting.prove()
        return self._cluster

    @property
    def tables(self) -> AccountingTables | None:
        """slurmdbd's own tables; None: the site has not granted them."""
        if self._tables is None and self.open_tables is not None:
            self._tables = self.open_tables(self.cluster)
        return self._tables

    @property
    def has_machine(self) -> bool:
        """Whether anybody tells about nodes, reservations and Slurm's own reports."""
        return self.open_machine is not None

    @property
    def machine(self) -> Machine:
        """What the cluster consists of.

        Raises:
            Unavailable: nobody tells, as in a demonstration.
        """
        if self._machine is None:
            if self.open_machine is None:
                raise Unavailable(f"cluster {self.shown}: nothing tells what it consists of")
            self._machine = self.open_machine(self.cluster, self.tables)
        return self._machine

    @property
    def present(self) -> Present | None:
        """What it is doing now; None: nobody tells."""
        if self._present is None and self.open_present is not None:
            self._present = self.open_present(self.label)
        return self._present

    def means(self, go_on: Callable[[], None] = lambda: None) -> Means:
        """How its accounting is read."""
        return Means(self.pace, self.turn, self.tables, go_on, self.notes)

    def notes(self) -> tuple[str, ...]:
        """What opsd cannot know of this cluster, each with what is lost by it; empty in a demonstration."""
        if not isinstance(self.accounting, Partial):
            return ()
        return (*self.accounting.lost(), *(() if self.open_tables else (NO_TABLES,)))

    def new_notes(self, done: Result) -> list[str]:
        """What is to be said of a sweep, and was not said of the one before by this process."""
        away = [f"{done.controller}: {NO_CONTROLLER}"] if done.controller else []
        found = [*self.notes(), *away, *([done.database] if done.database else [])]
        fresh = [note for note in found if note not in self._told]
        self._told = set(found)  # what is mended and breaks again is said again
        return fresh

    def new_silences(self, failed: Iterable[str]) -> list[str]:
        """Those sources of the present that do not answer, and did when they were last asked."""
        silent = frozenset(failed)
        fresh = sorted(silent - self._silent)
        self._silent = silent
        return fresh
