"""A small statement with everything odd in it, made by hand, for comparing report formats."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from opsd.core.agreements import Funder
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.attribution import AFTER_END
from opsd.core.parties import UnitTable
from opsd.core.period import Window
from opsd.core.statement import (
    NOWHERE,
    Amounts,
    BalanceRow,
    Covered,
    Place,
    Quality,
    Scope,
    Span,
    Statement,
    Unbound,
    balance_table,
    usage_tree,
)

START, END = 1_790_805_600, 1_793_487_600  # October 2026 in Madrid
LEAVES: Mapping[Place, Amounts] = {
    Place("ju", "PT", "uni", "p1"): Amounts(100_001, 50_007, 9_000_013),
    Place("ju", "PT", "uni", "p1", AFTER_END): Amounts(17, 18, 19),
    Place("ju", "TR", "lab", "=1+1"): Amounts(12_345_678, 3_333_333, 777_777_777),
    Place("tr", "TR", "lab", "p3"): Amounts(20, 20, 20),
    NOWHERE: Amounts(35, 18, 1),
}
NAMES = {
    ("pool", "ju"): "Time of the Union",
    ("organisation", "uni"): "Universität Ñandú, S.A.",
    ("organisation", "lab"): "@cmd|' /C calc'!A0",
    ("project", "p1"): "-2+3 and a title so long that no column of any sheet could ever hold it on one line",
    ("project", "=1+1"): 'A "quoted" title, with a comma',
}


def sample(**changes: Any) -> Statement:
    """The statement, but for what is named."""
    unbound = next(row for row in usage_tree(LEAVES) if row.place == NOWHERE)
    plain: dict[str, Any] = {
        "consortium": "R&D of the Ñandú",
        "span": Span("2026-10", Window(START, END), "Europe/Madrid"),
        "as_of": END,
        "scope": None,
        "names": NAMES,
        "pools": {"ju": ("eurohpc", "JU"), "tr": ("turkiye", "TR")},
        "usage": usage_tree(LEAVES),
        "balances": balance_table(
            [
                balance("a1", "p1", granted=100, charged=28, settled=27, accrued=1, end=END - 86_400),
                balance("a2", "=1+1", granted=2, charged=3, settled=3, accrued=0, state="over"),
                balance("a3", "p3", granted=1, charged=0, settled=0, accrued=0, unit="node-hours", pool="tr"),
            ]
        ),
        "units": (
            UnitTable("mn5", "acc", gpu_hours=Fraction(4), cpu_hours=Fraction(160), khours=Fraction(2, 25)),
        ),
        "funders": (
            Funder("eurohpc", "EuroHPC", "ju", amount_meur=Decimal("98.33"), confirmed=True, source="letter"),
            Funder("turkiye", "Türkiye", "state", "TR", amount_meur=Decimal("6.5"), source="one article"),
        ),
        "quality": Quality(
            runs=12, open_runs=1, unbound=(Unbound("mn5", "nobody", unbound.seconds, unbound.hours),),
            unclassified=40, unpriced=("award a3: nodes of unknown class",), unplaced=2, two_sluids=0,
            quarantined=3, covered=(Covered("mn5", END - 60, END - 30),), last_observed=END - 30,
            last_read=END - 20,
        ),
        **changes,
    }  # fmt: skip
    return Statement(**plain)


def balance(award: str, project: str, **changes: Any) -> BalanceRow:
    """An award whose amounts are given in unit-hours, and are a third of a second off."""
    plain: dict[str, Any] = {
        "award": award, "project": project, "organisation": "uni", "country": "PT", "pool": "ju",
        "unit": "gpu-hours", "start": START - 86_400, "end": None, "after_end": 0, "state": "ok",
    }  # fmt: skip
    hours = {name: changes.pop(name) for name in ("granted", "charged", "settled", "accrued")}
    micro = {name: value * MICRO_PER_HOUR + 333_333 * (name != "granted") for name, value in hours.items()}
    return BalanceRow(**{**plain, **micro, **changes})


SCOPED = Scope("country", "TR")
