"""A cell of `opsd usage` explained: the runs, the rule, whom they are for, where they were read.

Invariant: the figure is what `opsd usage` shows for the cell; where the runs do not add up to it, that is
said and needs eyes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cached_property

from opsd.core import attribution, plan
from opsd.core.attribution import Attribution
from opsd.core.awards import Binding
from opsd.core.consortium import Consortium
from opsd.core.errors import WrongUsage
from opsd.core.explanation import NUMBER, TIME, Column, Explanation, Table, Value
from opsd.core.names import nearest
from opsd.core.period import CALENDARS, DAY, Window, isoformat
from opsd.core.plan import Plan
from opsd.core.usage import amounts
from opsd.pipeline import usage
from opsd.pipeline.explain import cells, runs
from opsd.pipeline.explain.largest import Part, Question, Rest
from opsd.pipeline.seconds import Cell
from opsd.pipeline.usage import COLUMNS, ByKeys, Measures, Row, by_class
from opsd.store import imports, parties, read, sweeps, trace
from opsd.store.engine import Connection
from opsd.store.read import Held, Names
from opsd.store.trace import Traced

KEYS = usage.KEYS
_FOR = ("cluster", "account", "award")
_COUNTED = (
    "a run counts from the later of its Start and Submit to its End, cut to the window; "
    "an open one to when it was last seen open"
)
_OFF = "suspended seconds hold no CPU, as Slurm counts: product = run seconds x held"
_ON = "suspended seconds hold this as well, as Slurm counts: product = (run + suspended seconds) x held"
_ONCE = "every run that overlaps the cell counts once"
_PLACED = "suspended seconds are counted when they were: {} of the runs shown"
_SPREAD = "suspended seconds known only as a total are spread evenly over the run: {} of the runs shown"


def run(
    connection: Connection,
    window: Window,
    cell: cells.Cell = (),
    *,
    column: str = "gpu_seconds",
    tz: tzinfo = UTC,
    as_of: int | None = None,
    limit: int = 20,
) -> Explanation:
    """Explain one column of one cell.

    Args:
        connection: from `Store.read()`.
        window, tz, as_of: as `opsd.pipeline.usage.run` takes them.
        cell: keys and values; none: the total.
        limit: so many runs are shown by themselves.
    """
    if column not in COLUMNS:
        names = f"columns: {' '.join(COLUMNS)}"
        raise WrongUsage(f"--column {column!r}: no such column" + nearest(column, COLUMNS, names))
    if as_of is not None:
        window = Window(min(window.start, as_of), min(window.end, as_of))
    return _Asked(connection, window, cell, column, tz, limit).explained()


@dataclass(frozen=True)
class _Asked:
    connection: Connection
    window: Window
    cell: cells.Cell
    column: str
    tz: tzinfo
    limit: int

    @cached_property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for key, _ in self.cell)

    @cached_property
    def calendars(self) -> list[str]:
        return [key for key in self.keys if key in CALENDARS]

    @cached_property
    def names(self) -> Names:
        return read.names(self.connection)

    @cached_property
    def consortium(self) -> Consortium:
        return parties.load(self.connection)

    @cached_property
    def plan(self) -> Plan:
        return plan.make(self.window, self.calendars, self.tz)

    @cached_property
    def labeller(self) -> ByKeys:
        asked = any(key in attribution.KEYS for key in self.keys)
        known = Attribution(self.consortium) if asked else None
        found = ByKeys([key for key in self.keys if key not in CALENDARS], self.names, known)
        found.by_shape = True
        return found

    # -- the figure ----------------------------------------------------------------------------------

    def explained(self) -> Explanation:
        cells.check(self.cell, self.names, self.consortium, self.plan, self.calendars)
        figure = self._figure()
        whose = self._by_account()
        parts, rest = self._runs(whose)
        known = trace.runs(self.connection, (part.held.id for part in parts))
        shown = [known[part.held.id] for part in parts]
        found = getattr(figure, self.column)
        total = sum(int(part.value) for part in parts) + int(rest.value)
        tables = [self._run_table(parts, rest, known, total)]
        if self.column != "runs":
            tables.append(self._attribution(whose))
        tables.append(self._bindings(whose))
        tables.append(runs.readings(self.connection, shown))
        tables += runs.versions(shown)
        eyes = []
        if total != found:
            eyes.append(
                f"opsd usage shows {found:,}, the runs add up to {total:,}: "
                "opsd db rebuild makes the day facts anew"
            )
        return Explanation(
            "usage", self._asked(), {self.column: found, "runs": figure.runs}, tuple(tables),
            self._facts(parts, known, whose, figure), tuple(eyes),
        )  # fmt: skip

    def _asked(self) -> dict[str, Value]:
        return {
            "from": isoformat(self.window.start, self.tz), "to": isoformat(self.window.end, self.tz),
            **dict(self.cell), "column": self.column,
        }  # fmt: skip

    def _figure(self) -> Measures:
        rows = self._usage(self.keys)
        return rows[0].measures if rows else Measures()

    def _by_account(self) -> list[Row]:
        """The cell again, by account and award, so that every part of it has somebody's name."""
        more = tuple(key for key in _FOR if key not in self.keys)
        return [Row(self._named(row.key, more), row.measures) for row in self._usage((*self.keys, *more))]

    def _usage(self, keys: tuple[str, ...]) -> list[Row]:
        found = usage.run(self.connection, self.window, keys, tz=self.tz)
        wanted = tuple(value for _, value in self.cell)
        return [row for row in found.rows if row.key[: len(wanted)] == wanted]

    def _named(self, key: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
        known = dict(zip((*self.keys, *more), key, strict=True))
        return tuple(known[name] for name in _FOR)

    # -- the runs ------------------------------------------------------------------------------------

    def _runs(self, whose: Iterable[Row]) -> tuple[list[Part], Rest]:
        start, end = self._span()
        pairs = {row.key[:2] for row in whose}
        accounts = frozenset(number for number, pair in self.names.accounts.items() if pair in pairs)
        question = Question(
            self.connection, self.plan, self.labeller, self.names.counts, self._belongs, self._worth,
            lambda held: self._most(held, start, end), self.limit,
        )  # fmt: skip
        return question.answer(trace.held(self.connection, start, end, accounts))

    def _span(self) -> tuple[int, int]:
        """The part of the window that the cell's own months, days and hours lie in."""
        wanted = self._periods
        inside = [part for part in self.plan.segments if part.periods == wanted]
        return (inside[0].start, inside[-1].end) if inside else (self.window.start, self.window.start)

    @cached_property
    def _periods(self) -> tuple[str, ...]:
        return tuple(value for key, value in self.cell if key in CALENDARS)

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        known = dict(self.cell)
        return tuple(known[key] for key in self.labeller.keys)

    def _belongs(self, cell: Cell) -> bool:
        return (
            cell.periods == self._periods
            and cell.labels == self._labels
            and self._class_part(cell.shape, 1, 0, 0) is not None
        )

    def _class_part(self, shape: int, count: int, ran: int, off: int) -> Measures | None:
        """What seconds of a shape amount to in the cell; None where its GPUs are of other classes."""
        wanted = dict(self.cell).get("gpu_class")
        if wanted is None:
            return Measures(count, *amounts(self.names.counts[shape], ran, off))
        return next(
            (part for name, part in by_class(self.names, shape, count, ran, off) if name == wanted), None
        )

    def _worth(self, cell: Cell, count: int, ran: int, off: int) -> int:
        part = self._class_part(cell.shape, count, ran, off)
        return 0 if part is None else int(getattr(part, self.column))

    def _held(self, shape: int) -> int:
        """What a running second is multiplied by."""
        return self._worth(Cell((), (), shape), 0, 1, 0)

    def _most(self, held: Held, start: int, end: int) -> int:
        if self.column == "runs":
            return 1
        seconds = max(0, min(held.finish, end) - max(held.begin, start))
        return seconds * self._held(held.shape)

    def _run_table(self, parts: Iterable[Part], rest: Rest, known: Mapping[int, Traced], total: int) -> Table:
        columns = (
            Column("job"), Column("cluster"), Column("account"), Column("user"), Column("partition"),
            Column("qos"), Column("state"), Column("submit", TIME), Column("from", TIME), Column("to", TIME),
            Column("run_seconds", NUMBER), Column("suspended_seconds", NUMBER), Column("held", NUMBER),
            Column(self.column, NUMBER), Column("tres"), Column("limit_seconds", NUMBER), Column("open"),
            Column("reading", NUMBER), Column("versions", NUMBER), Column("notes"),
        )  # fmt: skip
        rows = [self._run_row(part, known[part.held.id]) for part in parts]
        if rest.runs:
            few = "run" if rest.runs == 1 else "runs"
            rows.append((
                f"{rest.runs:,} other {few}", *[None] * 9, rest.run, rest.suspended, None, int(rest.value),
                *[None] * 6,
            ))  # fmt: skip
        title = f"The runs, largest first; their {self.column} add up to the figure"
        return Table("runs", title, columns, tuple(rows), self.column, total)

    def _run_row(self, part: Part, run: Traced) -> tuple[Value, ...]:
        record, held = run.record, part.held
        start, end = self._seen_in(part)
        factor = None if self.column == "runs" else self._held(held.shape)
        notes = runs.flags(run)
        if end - start != part.run + part.suspended:
            notes = f"{notes}; part of this time is another cell's".lstrip("; ")
        best = max(run.versions, key=lambda version: version.rank)
        return (
            runs.label(run), record.cluster, record.account, record.user, record.partition, record.qos,
            record.state, record.submit, start, end, part.run, part.suspended, factor, int(part.value),
            record.tres, record.limit, run.finish is None, best.import_id, len(run.versions), notes,
        )  # fmt: skip

    @staticmethod
    def _seen_in(part: Part) -> tuple[int, int]:
        """The run's own time inside the cell's; the second of its start for one of no length."""
        starts = [max(start, part.held.begin) for _, start, _ in part.cells]
        ends = [min(end, part.held.finish) for _, _, end in part.cells]
        return min(starts), max(*ends, min(starts))

    # -- whose, and how certain ------------------------------------------------------------------------

    def _attribution(self, whose: Iterable[Row]) -> Table:
        columns = (
            Column("cluster"), Column("account"), Column("award"), Column("project"), Column("organisation"),
            Column("pool"), Column("funder"), Column("pays"), Column(self.column, NUMBER),
        )  # fmt: skip
        ordered = self._largest(whose)
        rows: list[tuple[Value, ...]] = [
            (row.key[0], row.key[1], row.key[2], *self._labels_of(row.key[2]), self._value(row))
            for row in ordered[: self.limit]
        ]
        if others := ordered[self.limit :]:
            rows.append((*[None] * 2, f"{len(others)} more", *[None] * 5, sum(map(self._value, others))))
        total = sum(map(self._value, ordered))
        title = "Whose it is: the account, and the award it was bound to then"
        return Table("attribution", title, columns, tuple(rows), self.column, total)

    def _largest(self, whose: Iterable[Row]) -> list[Row]:
        return sorted(whose, key=lambda row: (-self._value(row), row.key))

    def _value(self, row: Row) -> int:
        return int(getattr(row.measures, self.column))

    def _labels_of(self, award: str) -> tuple[str, ...]:
        keys = ("project", "organisation", "pool", "funder", "pays")
        name = cells.plain(award)
        if name not in self.consortium.awards:
            return ("",) * len(keys)
        return Attribution(self.consortium).of_award(keys, name)

    def _bindings(self, whose: Iterable[Row]) -> Table:
        """The bindings that were in force for these accounts at some time in the window."""
        columns = (
            Column("cluster"), Column("account"), Column("partition"), Column("qos"), Column("award"),
            Column("bound_from", TIME), Column("bound_until", TIME),
        )  # fmt: skip
        pairs = {row.key[:2] for row in self._largest(whose)[: self.limit]}
        rows = tuple(
            (
                found.cluster,
                found.account,
                found.partition,
                found.qos,
                found.award,
                found.valid_from,
                found.valid_until,
            )
            for found in self.consortium.bindings
            if (found.cluster, found.account) in pairs and self._meets(found)
        )
        return Table("bindings", "Bindings of these accounts in the window", columns, rows)

    def _meets(self, found: Binding) -> bool:
        started = found.valid_from < self.window.end
        return started and (found.valid_until is None or found.valid_until > self.window.start)

    def _facts(
        self, parts: list[Part], known: Mapping[int, Traced], whose: list[Row], figure: Measures
    ) -> dict[str, str]:
        off = _ONCE if self.column == "runs" else _OFF if self.column == "cpu_seconds" else _ON
        found = {"counted": _COUNTED, "suspended": off}
        suspended = [known[part.held.id] for part in parts if part.suspended]
        placed = sum(bool(run.record.suspensions) for run in suspended)
        if placed:
            found["placed"] = _PLACED.format(placed)
        if len(suspended) > placed:
            found["spread"] = _SPREAD.format(len(suspended) - placed)
        found |= runs.oddities([known[part.held.id] for part in parts])
        if not figure.runs:
            found["empty"] = "nothing was used under this in the window"
        return found | self._state(parts, known, whose)

    def _state(self, parts: list[Part], known: Mapping[int, Traced], whose: list[Row]) -> dict[str, str]:
        """How final the figure is."""
        start, end = self._span()
        pairs = {row.key[:2] for row in whose}
        accounts = [number for number, pair in self.names.accounts.items() if pair in pairs]
        stale = trace.stale_days(self.connection, start // DAY, -(-end // DAY), accounts)
        open_now = sum(known[part.held.id].finish is None for part in parts)
        covered = sweeps.covered(self.connection)
        waiting = imports.quarantine_count(self.connection)
        found = {
            "day facts": f"{stale} account-days await a rebuild and were taken from the runs"
            if stale
            else "up to date",
            "open": f"{open_now} of the runs shown have not ended: the figure will grow",
            "read up to": "; ".join(f"{name}: {isoformat(at, self.tz)}" for name, at in covered.items()),
            "quarantine": f"{waiting:,} records could not be read and are not counted",
        }
        return {
            key: text
            for key, text in found.items()
            if text and not (key == "open" and not open_now) and not (key == "quarantine" and not waiting)
        }
