"""What the simulated factory's funders agreed on: contributions, shares, caps, prices, factors.

Invariant: every figure is invented for the demonstration and says so; the one legal number names its act,
and a site must check it before it relies on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime

from collectors.simulated.machine import ACC, GPP, PARTITIONS, UPG
from collectors.simulated.text import CLUSTER

# A value and a row of a consortium file.
Value = str | int | bool | date | datetime | list[str] | list[int] | dict[str, str]
Row = dict[str, Value]

INVENTED = "invented for the demonstration"
SINCE = date(2026, 1, 1)
DE_MINIMIS = "de-minimis"
AID_POOLS = ("spain", "generalitat", "portugal", "portugal-aif", "romania")
UNDERTAKINGS = ["start-up", "sme", "small-mid-cap", "large-company"]

# funder, purpose, committed and paid in euros, confirmed
_CONTRIBUTIONS = (
    ("eurohpc", "acquisition", 41_000_000, 41_000_000, True),
    ("eurohpc", "operation", 9_000_000, 3_000_000, True),
    ("spain", "acquisition", 26_000_000, 26_000_000, True),
    ("spain", "experimental-platform", 3_000_000, 1_500_000, True),
    ("generalitat", "acquisition", 7_000_000, 7_000_000, True),
    ("portugal", "acquisition", 6_500_000, 4_000_000, True),
    ("portugal", "services", 1_500_000, 500_000, False),
    ("turkiye", "acquisition", 6_000_000, 6_000_000, True),
    ("romania", "services", 1_000_000, 400_000, False),
)
# agreement, its name, node classes, resource, part of them, key, under-use, tranche, shares
_AGREEMENTS: tuple[tuple[str, str, tuple[int, ...], str, str, str, str, str, dict[str, str]], ...] = (
    ("union", "Union share", (ACC, UPG), "gpu", "1/2", "fractions", "lapse", "year", {"ju": "1"}),
    (
        "states", "Hosting states", (ACC, UPG), "gpu", "2/5", "fractions", "carry-over", "quarter",
        {"spain": "11/20", "generalitat": "3/20", "portugal": "3/20", "turkiye": "3/20"},
    ),
    (
        "ai-factory", "AI Factory members", (ACC, UPG), "gpu", "1/10", "fractions", "lapse", "month",
        {"portugal-aif": "3/5", "romania": "1/5"},
    ),
    (
        "cpu-nodes", "General-purpose nodes", (GPP,), "cpu", "1", "proportional", "lapse", "",
        {"ju": "", "spain": "", "generalitat": "", "portugal": "", "turkiye": ""},
    ),
)  # fmt: skip
_COMMERCIAL = "Commercial use of the Union share"
_CAPS: tuple[Row, ...] = (
    {
        "id": "commercial", "name": _COMMERCIAL, "pools": ["ju"], "kinds": UNDERTAKINGS, "most": "1/5",
    },
    {
        "id": "industrial", "name": "Industrial innovation", "pools": ["ju"],
        "modes": ["Playground", "Fast Lane", "Large Scale"], "most": "3/10",
    },
    {
        "id": "small-calls", "name": "Playground and Fast Lane", "pools": ["ju"],
        "modes": ["Playground", "Fast Lane"], "most": "1/3", "within": "industrial",
    },
    {"id": "science", "name": "AI for Science", "pools": ["ju"], "modes": ["AI for Science"], "most": "1/4"},
)  # fmt: skip
_PRICES = (
    ("gpu-hour", "gpu-hours", "2 EUR"),
    ("node-hour", "node-hours", "7 EUR"),
    ("core-hour", "core-hours", "0.02 EUR"),
)
# undertaking, Member State, amount, day: one has little room left, one none
_DECLARED = (
    ("ribaldera", "ES", "120000 EUR", date(2025, 3, 3)),
    ("biotecnia-orballo", "ES", "295000 EUR", date(2025, 11, 20)),
    ("maregia", "PT", "240000 EUR", date(2023, 6, 1)),
)
_WATTS = {ACC: ("480", "900"), GPP: ("0", "700"), UPG: ("820", "1400")}


def tables() -> Iterator[tuple[str, Iterable[Row]]]:
    """Each table of the consortium file with its rows."""
    yield "contribution", [_contribution(*row) for row in _CONTRIBUTIONS]
    yield "agreement", [_agreement(row) for row in _AGREEMENTS]
    yield "share", [_share(row[0], pool, part) for row in _AGREEMENTS for pool, part in row[-1].items()]
    yield "cap", [{**row, "from": SINCE, "source": INVENTED} for row in _CAPS]
    yield "price", [_price(*row) for row in _PRICES]
    yield "aid_rule", [_aid_rule()]
    yield "other_aid", [_declared(*row) for row in _DECLARED]
    yield "factor", _factors()


def _contribution(funder: str, purpose: str, committed: int, paid: int, confirmed: bool) -> Row:  # noqa: FBT001
    return {
        "id": f"{funder}-{purpose}",
        "funder": funder,
        "purpose": purpose,
        "committed": f"{committed} EUR",
        "paid": f"{paid} EUR",
        "agreed_on": SINCE,
        "document": INVENTED,
        "confirmed": confirmed,
    }


def _agreement(row: tuple[str, str, tuple[int, ...], str, str, str, str, str, dict[str, str]]) -> Row:
    name, title, classes, resource, part, key, under_use, tranche, _ = row
    return {
        "id": name,
        "from": SINCE,
        "name": title,
        "node_classes": [f"{CLUSTER}/{PARTITIONS[at].name}" for at in classes],
        "resource": resource,
        "part": part,
        "key": key,
        "under_use": under_use,
        **({"carry_most": "1/10", "carry_periods": 3} if under_use == "carry-over" else {}),
        "tranche": tranche,
        "tolerance": "1/20",
        "document": INVENTED,
        "confirmed": name != "ai-factory",
    }


def _share(agreement: str, pool: str, part: str) -> Row:
    return {"agreement": agreement, "pool": pool, **({"fraction": part} if part else {})}


def _price(name: str, unit: str, amount: str) -> Row:
    told = {"method": "a round figure", "approver": "nobody", "source": INVENTED}
    return {"id": name, "unit": unit, "amount": amount, "from": SINCE, **told}


def _aid_rule() -> Row:
    return {
        "id": DE_MINIMIS,
        "ceiling": "300000 EUR",
        "years": 3,
        "from": date(2024, 1, 1),
        "kinds": UNDERTAKINGS,
        "source": "Regulation (EU) 2023/2831, Article 3; check before relying on it",
    }


def _declared(undertaking: str, country: str, amount: str, granted_on: date) -> Row:
    return {
        "id": f"declared-{undertaking}",
        "undertaking": undertaking,
        "country": country,
        "rule": DE_MINIMIS,
        "amount": amount,
        "granted_on": granted_on,
        "source": f"its declaration, {INVENTED}",
    }


def _factors() -> Iterator[Row]:
    plain = (("pue", "1.08"), ("location-based", "0.12"), ("market-based", "0.03"))
    for kind, value in plain:
        yield {"cluster": CLUSTER, "kind": kind, "value": value, "from": SINCE, "source": INVENTED}
    for at, watts in _WATTS.items():
        for kind, value in zip(("gpu-watts", "node-watts"), watts, strict=True):
            if value != "0":
                where = {"cluster": CLUSTER, "node_class": PARTITIONS[at].name}
                yield {**where, "kind": kind, "value": value, "from": SINCE, "source": INVENTED}
