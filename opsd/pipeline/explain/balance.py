"""The balance of an award explained: what was granted, what each kind of use was charged, what runs promise.

Invariant: the charges are exact; each figure is the sum of a table, rounded once to whole micro-unit-seconds,
as in `opsd balance`. Where they differ, that is said and needs eyes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from opsd.core import forecast
from opsd.core.amounts import MICRO, exact_text
from opsd.core.awards import Award
from opsd.core.errors import WrongUsage
from opsd.core.explanation import EXACT, NUMBER, TIME, Column, Explanation, Table, Value
from opsd.core.journal import GRANTING
from opsd.core.names import nearest
from opsd.core.period import isoformat
from opsd.core.plan import Plan
from opsd.core.records import PARTITION_LIMIT, UNLIMITED
from opsd.core.terms import Rates
from opsd.core.usage import Counts
from opsd.pipeline import balance, burn, outlook
from opsd.pipeline.balance import Label, Ledger, Line, micro
from opsd.pipeline.explain import runs
from opsd.pipeline.explain.largest import Number, Part, Question, Rest
from opsd.pipeline.outlook import Outlook
from opsd.pipeline.seconds import Cell, Labeller, Sums, collect, collect_runs
from opsd.store import parties, read, trace
from opsd.store.engine import Connection
from opsd.store.read import Held

_ROUNDED = "exact; opsd balance rounds the sum once, to whole micro-unit-seconds"


def run(connection: Connection, award: str, *, as_of: int, limit: int = 20) -> Explanation:
    """Explain the line of one award.

    Args:
        connection: from `Store.read()`.
        as_of: as `opsd.pipeline.balance.run` takes it.
        limit: so many runs are shown by themselves.
    """
    consortium = parties.load(connection)
    known = consortium.awards
    if award not in known:
        listed = "opsd balance lists awards" if known else "there is none yet"
        raise WrongUsage(f"--award {award!r}: no such award{nearest(award, known, listed)}")
    shown = outlook.run(connection, as_of=as_of)
    line = next(line for line in shown.balances.lines if line.key == award)
    ledger = Ledger(connection, consortium, as_of)
    return _Asked(connection, ledger, known[award], line, shown.of(line), limit).explained()


@dataclass(frozen=True)
class _Asked:
    connection: Connection
    ledger: Ledger
    award: Award
    line: Line
    ahead: Outlook
    limit: int

    # -- the figures -----------------------------------------------------------------------------------

    def explained(self) -> Explanation:
        parts, rest = self._runs()
        known = trace.runs(self.connection, (part.held.id for part in parts))
        granted, promised = self._journal(), self._committed()
        inside, outside = self._charges(outside=False), self._charges(outside=True)
        accrued = self._accrued()
        tables = [granted, inside, self._run_table(parts, rest, known), accrued, promised, outside]
        tables += [self._policies(), self._units(), self._bindings()]
        tables.append(runs.readings(self.connection, [known[part.held.id] for part in parts]))
        return Explanation(
            "balance", {"award": self.award.id, "as_of": isoformat(self.ledger.as_of)}, self._figure(),
            tuple(table for table in tables if table.rows or table.adds == "charge"), self._facts(),
            tuple(self._eyes(granted, inside, accrued, outside, promised)),
        )  # fmt: skip

    def _figure(self) -> dict[str, Value]:
        return dict(zip(balance.COLUMNS, self.line.values(), strict=True))

    def _eyes(
        self, granted: Table, inside: Table, accrued: Table, outside: Table, promised: Table
    ) -> Iterable[str]:
        pairs = [
            ("granted", micro(_sum(granted)), self.line.granted),
            ("settled and accrued", micro(_sum(inside)), self.line.used),
            ("accrued", micro(_sum(accrued)), self.line.accrued),
            ("after_end", micro(_sum(outside)), self.line.after_end),
        ]
        if self.line.committed is not None:
            pairs.append(("committed", micro(_sum(promised)), self.line.committed))
        for name, added, told in pairs:
            if added != told:
                yield f"{name}: opsd balance shows {told} micro-unit-seconds, the tables add up to {added}"
        if self.line.unpriced:
            yield "some use has no price: see the rows without a rate"

    def _facts(self) -> dict[str, str]:
        award = self.award
        until = "open" if award.end is None else isoformat(award.end)
        found = {
            "award": f"{isoformat(award.start)} to {until}, {exact_text(award.amount)} {award.unit}",
            "charged": "rate x run seconds + suspended rate x suspended seconds; settled: runs that ended, "
            "accrued: those that go on",
            "left": "granted - settled - accrued; free = left - committed",
        }
        if self.line.committed is None:
            found["committed"] = "not known: an open run has no known limit"
        return found | self._forecast()

    def _forecast(self) -> dict[str, str]:
        *burned, state, at = self.ahead.values()
        days = ", ".join(f"{one} in {days}" for one, days in zip(burned, burn.DAYS, strict=True))
        why = {
            forecast.EXPECTED: f"at {at}, by the burn of 7 days (of a younger award, since its start)",
            forecast.ALREADY: "something is charged and nothing is left",
            forecast.NONE: "nothing burns, it is not running, or what is left lasts to its end or a year",
        }
        return {
            "burn": f"unit-seconds charged in the last days: {days}",
            "forecast": f"{state}: {why[state]}",
        }

    # -- what was granted ------------------------------------------------------------------------------

    def _journal(self) -> Table:
        columns = (
            Column("entry", NUMBER), Column("at", TIME), Column("posted", TIME), Column("kind"),
            Column("granted", EXACT), Column("author"), Column("reason"),
        )  # fmt: skip
        entries = [entry for entry in parties.journal(self.connection) if entry.award == self.award.id]
        rows = tuple(
            (
                entry.id, entry.at, entry.posted, entry.kind, Fraction(entry.amount, MICRO), entry.author,
                entry.reason,
            )
            for entry in entries
            if entry.kind in GRANTING and entry.at <= self.ledger.as_of
        )  # fmt: skip
        later = len(entries) - len(rows)
        notes = (f"{later} entries are later, or grant nothing",) if later else ()
        total = sum((row[4] for row in rows), start=Fraction(0))
        title = "Journal: what was granted, in unit-seconds"
        return Table("journal", title, columns, rows, "granted", total, notes)

    # -- what was charged ------------------------------------------------------------------------------

    @cached_property
    def _sums(self) -> Sums:
        return self._mine(collect(*self._how))

    @cached_property
    def _how(self) -> tuple[Connection, Plan, Labeller, Mapping[int, Counts]]:
        ledger = self.ledger
        return ledger.connection, ledger.plan, ledger.labeller, ledger.names.counts

    def _mine(self, sums: Sums) -> Sums:
        return {cell: values for cell, values in sums.items() if self._is_mine(cell)}

    def _is_mine(self, cell: Cell) -> bool:
        return bool(cell.labels) and Label(*cell.labels).award == self.award.id

    def _belongs(self, cell: Cell) -> bool:
        """Whether it is use inside the award's life."""
        return self._is_mine(cell) and not Label(*cell.labels).outside

    def _rates(self, cell: Cell) -> Rates | None:
        found = self.ledger.rates(Label(*cell.labels), cell.shape)
        return found if isinstance(found, Rates) else None

    def _charge(self, cell: Cell, ran: int, off: int) -> Fraction:
        rates = self._rates(cell)
        return Fraction(0) if rates is None else rates.run * ran + rates.suspended * off

    def _charges(self, *, outside: bool) -> Table:
        """By version of the policy and by what was held; the largest first."""
        cells = {
            cell: values
            for cell, values in self._sums.items()
            if bool(Label(*cell.labels).outside) == outside and (values[1] or values[2])
        }
        return self._charge_table(
            "outside" if outside else "charges",
            "Use before the award's start or after its end: charged to after_end alone"
            if outside
            else "What was charged, by policy version and by what a run held: settled + accrued",
            cells,
        )

    def _accrued(self) -> Table:
        going = (limited.held for limited in read.going_on(self.connection, self.ledger.as_of))
        sums = self._mine(collect_runs(*self._how, going))
        inside = {cell: values for cell, values in sums.items() if self._belongs(cell)}
        return self._charge_table("accrued", "Of it, by runs that go on: accrued", inside)

    def _charge_table(self, name: str, title: str, cells: Sums) -> Table:
        columns = (
            Column("policy_from", TIME), Column("node_class"), Column("gpus"), Column("tres"),
            Column("runs", NUMBER), Column("run_seconds", NUMBER), Column("rate", EXACT),
            Column("suspended_seconds", NUMBER), Column("suspended_rate", EXACT), Column("charge", EXACT),
        )  # fmt: skip
        worth = {cell: self._charge(cell, ran, off) for cell, (_, ran, off) in cells.items()}
        ordered = sorted(cells, key=lambda cell: (-worth[cell], cell))
        rows: list[tuple[Value, ...]] = [
            self._charge_row(cell, cells[cell]) for cell in ordered[: self.limit]
        ]
        if others := ordered[self.limit :]:
            times = [sum(cells[cell][place] for cell in others) for place in range(3)]
            charge = sum((worth[cell] for cell in others), start=Fraction(0))
            rows.append(
                (None, None, f"{len(others)} more", None, times[0], times[1], None, times[2], None, charge)
            )
        total = sum(worth.values(), start=Fraction(0))
        return Table(name, title, columns, tuple(rows), "charge", total, (_ROUNDED,))

    def _charge_row(self, cell: Cell, values: list[int]) -> tuple[Value, ...]:
        label, shape, rates = Label(*cell.labels), self.ledger.names.shapes[cell.shape], self._rates(cell)
        runs_, ran, off = values
        gpus = " ".join(f"{count} {name}" for name, count in shape.gpus) or "no GPU"
        return (
            int(label.policy) if label.policy else None, shape.node_class, gpus, shape.tres.text, runs_, ran,
            rates.run if rates else None, off, rates.suspended if rates else None,
            self._charge(cell, ran, off),
        )  # fmt: skip

    # -- the runs ----------------------------------------------------------------------------------------

    def _runs(self) -> tuple[list[Part], Rest]:
        most: dict[int, Fraction] = {}
        for cell in self._sums:
            if self._belongs(cell) and (rates := self._rates(cell)):
                most[cell.shape] = max(most.get(cell.shape, Fraction(0)), rates.run, rates.suspended)
        pairs = {
            (found.cluster, found.account)
            for found in self.ledger.consortium.bindings
            if found.award == self.award.id
        }
        accounts = frozenset(number for number, pair in self.ledger.names.accounts.items() if pair in pairs)
        question = Question(
            *self._how, self._belongs, self._worth,
            lambda held: self._most(held, most), self.limit,
        )  # fmt: skip
        return question.answer(trace.held(self.connection, 0, self.ledger.as_of, accounts))

    def _worth(self, cell: Cell, _runs: int, ran: int, off: int) -> Number:
        return self._charge(cell, ran, off)

    def _most(self, held: Held, most: Mapping[int, Fraction]) -> Number:
        seconds = max(0, min(held.finish, self.ledger.as_of) - held.begin)
        return seconds * most.get(held.shape, Fraction(0))

    def _run_table(self, parts: Iterable[Part], rest: Rest, known: Mapping[int, trace.Traced]) -> Table:
        columns = (
            Column("job"), Column("cluster"), Column("account"), Column("user"), Column("state"),
            Column("from", TIME), Column("to", TIME), Column("run_seconds", NUMBER),
            Column("suspended_seconds", NUMBER), Column("rate", EXACT), Column("charge", EXACT),
            Column("tres"), Column("open"),
        )  # fmt: skip
        rows: list[tuple[Value, ...]] = []
        total = Fraction(rest.value)
        for part in parts:
            one = known[part.held.id]
            rates = {self._rates(cell) for cell, _, _ in part.cells}
            rate = (
                next(iter(rates)) if len(rates) == 1 else None
            )  # several where the policy changed meanwhile
            start, end = part.held.begin, min(part.held.finish, self.ledger.as_of)
            total += part.value
            rows.append((
                runs.label(one), one.record.cluster, one.record.account, one.record.user, one.record.state,
                start, end, part.run, part.suspended, rate.run if rate else None, Fraction(part.value),
                one.record.tres, one.finish is None,
            ))  # fmt: skip
        if rest.runs:
            few = "run" if rest.runs == 1 else "runs"
            rows.append((
                f"{rest.runs:,} other {few}", *[None] * 6, rest.run, rest.suspended, None,
                Fraction(rest.value), None, None,
            ))  # fmt: skip
        title = "The runs, the dearest first: settled + accrued"
        return Table("runs", title, columns, tuple(rows), "charge", total)

    def _committed(self) -> Table:
        columns = (
            Column("job"), Column("account"), Column("user"), Column("from", TIME),
            Column("limit_seconds", NUMBER), Column("limit_from"), Column("seconds_left", NUMBER),
            Column("rate", EXACT), Column("charge", EXACT),
        )  # fmt: skip
        found = []
        for limited in read.going_on(self.connection, self.ledger.as_of):
            label = self.ledger.label_now(limited.held)
            if label is None or label.outside or label.award != self.award.id:
                continue
            rates = self.ledger.rates(label, limited.held.shape)
            if isinstance(rates, Rates) and rates.run:
                found.append((limited, rates.run))
        known = trace.runs(self.connection, (limited.held.id for limited, _ in found))
        rows: list[tuple[Value, ...]] = []
        for limited, rate in found:
            one, seconds = known[limited.held.id], self.ledger.seconds_left(limited)
            rows.append((
                runs.label(one), one.record.account, one.record.user, limited.start, limited.limit,
                _limit_of(one.record.limit), seconds, rate, None if seconds is None else rate * seconds,
            ))  # fmt: skip
        total = sum((Fraction(row[-1]) for row in rows if isinstance(row[-1], Fraction)), start=Fraction(0))
        title = "What runs that go on may still use: committed"
        return Table("committed", title, columns, tuple(rows), "charge", total, (_ROUNDED,) if rows else ())

    # -- the rule ------------------------------------------------------------------------------------------

    def _policies(self) -> Table:
        columns = (
            Column("policy"), Column("rule"), Column("valid_from", TIME), Column("valid_until", TIME),
            Column("parameters"),
        )  # fmt: skip
        rows = tuple(
            (found.id, found.rule, found.valid_from, found.valid_until, found.params)
            for found in self.ledger.consortium.policy_versions(self.award.policy)
        )
        title = "The charge policy, each version from when it was in force"
        return Table("policies", title, columns, rows)

    def _units(self) -> Table:
        """What was agreed on the node classes that its runs ran on, up to then."""
        columns = (
            Column("cluster"), Column("node_class"), Column("valid_from", TIME), Column("valid_until", TIME),
            Column("gpu_hours", EXACT), Column("core_hours", EXACT), Column("cpu_hours", EXACT),
            Column("khours", EXACT), Column("source"),
        )  # fmt: skip
        consortium = self.ledger.consortium
        clusters = {one.cluster for one in consortium.bindings if one.award == self.award.id}
        classes = {self.ledger.names.shapes[cell.shape].node_class for cell in self._sums}
        rows = tuple(
            (
                one.cluster, one.node_class, one.valid_from, one.valid_until, one.gpu_hours, one.core_hours,
                one.cpu_hours, one.khours, one.source,
            )
            for one in consortium.unit_tables
            if one.cluster in clusters and one.node_class in classes and one.valid_from < self.ledger.as_of
        )  # fmt: skip
        return Table("units", "The unit table: what a node-hour of a class equals", columns, rows)

    def _bindings(self) -> Table:
        columns = (
            Column("cluster"), Column("account"), Column("partition"), Column("qos"),
            Column("bound_from", TIME), Column("bound_until", TIME),
        )  # fmt: skip
        rows = tuple(
            (
                found.cluster, found.account, found.partition, found.qos, found.valid_from, found.valid_until
            )
            for found in self.ledger.consortium.bindings
            if found.award == self.award.id
        )  # fmt: skip
        return Table("bindings", "The accounts that draw on it", columns, rows)


def _sum(table: Table) -> Fraction:
    return Fraction(table.total or 0)


def _limit_of(limit: int | None) -> str:
    """Who set a run's limit."""
    if limit is None:
        return "not told"
    return {UNLIMITED: "unlimited", PARTITION_LIMIT: "the partition's"}.get(limit, "the job's")
