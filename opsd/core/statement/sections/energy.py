"""Energy and carbon: measured and estimated, by who pays and who leads, with every factor and its source.

Invariant: amounts are shown in tenths, rounded once by largest remainder, so that the tables add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from opsd.core import energy
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.energy import JOULES_PER_KWH, Energy
from opsd.core.factors import GPU_WATTS, LOCATION, MARKET, NODE_WATTS, PUE
from opsd.core.fields import shared
from opsd.core.figures import largest_remainder
from opsd.core.statement import terms
from opsd.core.statement.table import PLAIN, TOTAL, WARN, Column, Paragraph, Row, Section, Table
from opsd.core.statement.view import View, in_order
from opsd.core.statement.words import Day, Msg, Number, Share, Text, Value, msg

_SHOWN = 10  # parts of a kWh and of a kg that are shown
_PART = 1_000_000  # in which fractions become whole numbers before they are rounded together
_AMOUNTS = (
    Column("measured_kwh", msg("Measured, kWh"), sums=True),
    Column("estimated_kwh", msg("Estimated, kWh"), sums=True),
    Column("measured_share", msg("Measured share")),
    Column("site_kwh", msg("At the site, kWh"), sums=True),
    Column("location_kg", msg("Location-based, kg CO2e"), sums=True),
    Column("market_kg", msg("Market-based, kg CO2e"), sums=True),
)
_MEASURES = ("measured_kwh", "estimated_kwh", "site_kwh", "location_kg", "market_kg")
KINDS: Mapping[str, Msg] = {
    PUE: msg("Site energy per IT energy (PUE)"),
    LOCATION: msg("Grid, location-based, kg CO2e per kWh"),
    MARKET: msg("Contract, market-based, kg CO2e per kWh"),
    GPU_WATTS: msg("An allocated GPU that was not measured, W"),
    NODE_WATTS: msg("An allocated node beside its GPUs, W"),
}


def section(view: View) -> Section | None:
    """Energy of the reader's use; None where nothing was used."""
    if not view.parts:
        return None
    by_pool = _table(
        view, "energy_by_pool", msg("By pool"), Column("pool", msg("Pool"), wide=True), _pool, _pool_name
    )
    by_country = _table(
        view, "energy_by_country", msg("By leading country"), Column("country", msg("Country"), wide=True),
        _country, lambda _, key: terms.country(key),
    )  # fmt: skip
    method = Paragraph(
        msg(
            "A GPU's energy is measured where its agent covered the time, and estimated for the rest. "
            "What a node draws beside its GPUs is estimated by the part of its CPUs held. Energy at the site "
            "is IT energy times PUE. A factor that changed in the period counts with the time that it was in "
            "force; without a factor the amount is unknown."
        )
    )
    return Section("energy", msg("Energy and carbon"), (method, by_pool, by_country, _factors(view)))


def _pool(view: View, award: str) -> str:
    return view.place_of(award).pool


def _pool_name(view: View, key: str) -> Value:
    return terms.NOBODYS if key == UNATTRIBUTED else view.pool_name(key)


def _country(view: View, award: str) -> str:
    return view.place_of(award).country


def _table(
    view: View,
    name: str,
    title: Msg,
    first: Column,
    key: Callable[[View, str], str],
    shown: Callable[[View, str], Value],
) -> Table:
    def label(award: str, cluster: str) -> str | None:
        return key(view, award) if view.holds(view.place_of(award)._replace(cluster=cluster)) else None

    found = energy.by(view.dossier, label)
    order = sorted(found, key=lambda one: in_order((one,)))
    parts = [found[one] for one in order]
    columns = {measure: _rounded([_amount(part, measure) for part in parts]) for measure in _MEASURES}
    rows = [
        Row({first.id: shown(view, one), **_cells(columns, at, parts[at])}, {first.id: one})
        for at, one in enumerate(order)
    ]
    whole = energy.total(found)
    totals = {measure: _total(column) for measure, column in columns.items()}
    cells = {first.id: msg("Total"), **totals, "measured_share": Share(whole.measured_share)}
    return Table(name, title, (first, *_AMOUNTS), (*rows, Row(cells, {}, TOTAL)))


def _amount(one: Energy, measure: str) -> Fraction | None:
    joules = {"measured_kwh": one.measured, "estimated_kwh": one.estimated, "site_kwh": one.site}
    if measure in joules:
        found = joules[measure]
        return None if found is None else found / JOULES_PER_KWH
    return one.location if measure == "location_kg" else one.market


def _rounded(amounts: list[Fraction | None]) -> list[int | None]:
    """Tenths that add up; what is unknown stays so."""
    known = [int(amount * _SHOWN * _PART) for amount in amounts if amount is not None]
    shown = iter(largest_remainder(known, _PART))
    return [None if amount is None else next(shown) for amount in amounts]


def _cells(columns: Mapping[str, list[int | None]], at: int, one: Energy) -> dict[str, Value]:
    amounts = {measure: _number(column[at]) for measure, column in columns.items()}
    return {**amounts, "measured_share": Share(one.measured_share)}


def _number(tenths: int | None) -> Value:
    return msg("unknown") if tenths is None else Number(Fraction(tenths, _SHOWN), 1)


def _total(column: list[int | None]) -> Value:
    known = [tenths for tenths in column if tenths is not None]
    return _number(sum(known) if len(known) == len(column) else None)


_FACTORS = (
    Column("cluster", msg("Cluster")),
    Column("node_class", msg("Node class")),
    Column("factor", msg("Factor"), wide=True),
    Column("value", msg("Value")),
    Column("from", msg("In force from")),
    Column("until", msg("Until, not included")),
    Column("source", msg("Source"), wide=True),
)


def _factors(view: View) -> Table:
    span = view.dossier.span
    clusters = {part.place.cluster for part in view.parts}
    rows = [
        Row(
            {
                "cluster": Text(view.name("cluster", one.cluster)),
                "node_class": Text(one.node_class) if one.node_class else msg("every"),
                "factor": KINDS[one.kind],
                "value": Number(one.value, 3),
                **({"from": Day(one.valid_from)} if one.valid_from else {}),
                **({} if one.valid_until is None else {"until": Day(one.valid_until)}),
                "source": Text(one.source) if one.source else msg("none named"),
            },
            {"cluster": one.cluster, "node_class": one.node_class, "factor": one.kind},
            tone=PLAIN if one.source else WARN,
        )
        for one in view.master.factors
        if one.cluster in clusters and shared(one.valid_from, one.valid_until, span.start, span.end)
    ]
    none = msg("No factor is on record, so nothing can be estimated.")
    return Table("energy_factors", msg("Factors used"), _FACTORS, tuple(rows), empty=none)
