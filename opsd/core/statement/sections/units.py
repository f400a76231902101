"""What one node-hour is in the other units, the five names of one hour, and how numbers are rounded.

Invariant: the numbers are those of the unit tables in force in the period, exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from opsd.core.fields import shared
from opsd.core.parties import UnitTable
from opsd.core.statement import terms
from opsd.core.statement.table import Block, Column, Paragraph, Row, Section, Table
from opsd.core.statement.view import View
from opsd.core.statement.words import Day, Number, Text, Value, msg

DECIMALS = 6  # enough for a node of any size in thousands of core-hours
COLUMNS = (
    terms.CLUSTER,
    terms.NODE_CLASS,
    Column("valid_from", msg("Valid from"), wanted=2),
    Column("gpu", msg("GPU-hours")),
    Column("core", terms.UNITS["core-hours"]),
    Column("cpu", msg("Slurm CPU-hours")),
    Column("khours", msg("Thousands of core-hours")),
    Column("source", msg("Source"), wide=True),
)
EMPTY = msg("No conversions between units are agreed.")


def section(view: View) -> Section | None:
    """The table, an example, and the rules."""
    return Section("units", msg("Units and rounding"), (_table(view), *_example(view), *_rules()))


def _tables(view: View) -> list[UnitTable]:
    span = view.dossier.span
    return [
        one
        for one in view.master.unit_tables
        if shared(one.valid_from, one.valid_until, span.start, span.end)
        and (view.scope_key != "cluster" or one.cluster == view.scope_value)
    ]


def _table(view: View) -> Table:
    rows = tuple(_row(view, one) for one in _tables(view))
    return Table("units", msg("One node-hour is"), COLUMNS, rows, empty=EMPTY)


def _row(view: View, one: UnitTable) -> Row:
    numbers = {"gpu": one.gpu_hours, "core": one.core_hours, "cpu": one.cpu_hours, "khours": one.khours}
    cells: dict[str, Value] = {
        "cluster": Text(view.name("cluster", one.cluster)),
        "node_class": Text(one.node_class),
        "source": Text(one.source),
        **{name: number(value) for name, value in numbers.items() if value is not None},
    }
    if one.valid_from:
        cells["valid_from"] = Day(one.valid_from)
    return Row(cells, {"cluster": one.cluster, "node_class": one.node_class})


def number(value: Fraction) -> Number:
    """An exact number with no more decimals than it has."""
    decimals = next((at for at in range(DECIMALS) if (value * 10**at).denominator == 1), DECIMALS)
    return Number(value, decimals)


def _example(view: View) -> Iterator[Block]:
    """The class of nodes that has all five names: one hour of it, by each."""
    for one in _tables(view):
        if one.gpu_hours and one.core_hours and one.cpu_hours and one.khours:
            yield Paragraph(
                msg(
                    "One hour has five names. On {node_class}: 1 node-hour = {gpu} GPU-hours = {core}"
                    " core-hours = {cpu} Slurm CPU-hours = {khours} thousands of core-hours.",
                    node_class=Text(f"{one.cluster} {one.node_class}"),
                    gpu=number(one.gpu_hours),
                    core=number(one.core_hours),
                    cpu=number(one.cpu_hours),
                    khours=number(one.khours),
                )
            )
            return


def _rules() -> Iterator[Block]:
    for text in (
        msg(
            "CPU-hours count Slurm CPUs, which are hardware threads where threads are scheduled: compare"
            " core-hours by this table."
        ),
        msg(
            "Every second of every run is counted once, as Slurm counts; of a run across the edge of the"
            " period, the seconds inside it."
        ),
        msg(
            "Use and capacity are rounded to hundredths of an hour once, from the total down, by the largest"
            " remainder: every subtotal and total is the sum of what is shown below it."
        ),
        msg(
            "Balances are rounded award by award: what was granted and used at the start and at the end of"
            " the period to the nearest hundredth, and what lies between as the difference of these."
        ),
        msg("Hours of different units are never added."),
    ):
        yield Paragraph(text)
