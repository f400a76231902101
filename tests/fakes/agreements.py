"""Agreements for tests: the founding funders on a machine that can be counted by hand, and random ones."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from opsd.core.agreements import Agreement, Contribution, Funder, Policy, Pool, Share
from opsd.core.amounts import MICRO
from opsd.core.awards import Award, Project
from opsd.core.consortium import Consortium, Item
from opsd.core.dossier import Balance, Capacity, Dossier, Key, Line, Past, Seconds, Span
from opsd.core.money import Money
from opsd.core.parties import Cluster, NodeClass, Organisation, UnitTable

START, END = 1_790_805_600, 1_793_487_600  # October 2026 in Madrid, an hour longer than 31 days
PERIOD = END - START
ZONE = "Europe/Madrid"
PLACE = "mn5/acc"
DENOMINATORS = (1, 2, 3, 5, 7, 11, 13, 9_786)


def euros(name: str, amount: int, funder: str, purpose: str = "acquisition", **more: Any) -> Contribution:
    """So many euros."""
    return Contribution(name, funder, purpose, Money(amount * MICRO, "EUR"), **more)


def parties() -> list[Item]:
    """The JU, Spain with the Generalitat below it, Portugal, Türkiye and Romania; no contribution yet."""
    return [
        Cluster("mn5"),
        Cluster("ai"),
        NodeClass("mn5", "acc", gpus=4),
        NodeClass("mn5", "gpp", gpus=0),
        NodeClass("ai", "train", gpus=8),
        UnitTable("mn5", "acc", gpu_hours=Fraction(4), core_hours=Fraction(80), cpu_hours=Fraction(160)),
        Funder("eurohpc", "EuroHPC", "ju"),
        Funder("spain", "España", "state", "ES"),
        Funder("generalitat", "Generalitat", "region", "ES", "spain"),
        Funder("portugal", "Portugal", "state", "PT"),
        Funder("turkiye", "Türkiye", "state", "TR"),
        Funder("romania", "România", "state", "RO"),
        Pool("ju", "eurohpc"),
        Pool("es", "spain"),
        Pool("ct", "generalitat"),
        Pool("pt", "portugal"),
        Pool("pt-aif", "portugal"),
        Pool("tr", "turkiye"),
        Pool("ro", "romania"),
        Organisation("bsc", "BSC", "ES", "research"),
        Organisation("firm", "Firm", "PT", "sme"),
        Project("science", "Science", "bsc", purpose="research"),
        Project("product", "Product", "firm", purpose="commercial"),
        Policy("gpu", "gpu_hours"),
    ]


def founding() -> list[Item]:
    """What is said of the founding contributions: Romania's buys services."""
    return [
        euros("ju", 98_330_000, "eurohpc"),
        euros("es", 61_760_000, "spain"),
        euros("ct", 14_000_000, "generalitat"),
        euros("pt", 15_600_000, "portugal"),
        euros("tr", 6_500_000, "turkiye", "operation"),
        euros("ro", 1_000_000, "romania", "services"),
    ]


def award(name: str, pool: str = "ju", hours: int = 100, **more: Any) -> Award:
    """An award over the period."""
    plain = {"start": START, "end": END, "project": "science", "policy": "gpu", "unit": "gpu-hours", **more}
    return Award(name, pool=pool, amount=Fraction(hours), **plain)


def capacity(total: int, planned: int = 0, down: int = 0, place: str = PLACE, **more: Any) -> Capacity:
    """GPU-seconds of a class of nodes; what is not lost is allocated, but for `reserved_idle`."""
    cluster, _, node_class = place.partition("/")
    idle = more.get("reserved_idle", 0)
    allocated = total - planned - down - idle
    resource = more.get("resource", "gpu")
    return Capacity(cluster, node_class, resource, total, allocated, idle, planned, down, 0)


def line(award_id: str, gpu: int, place: str = PLACE, cpu: int = 0) -> Line:
    """Use of an award in the period."""
    cluster, _, node_class = place.partition("/")
    return Line(Key(cluster, node_class, award_id, "", "", "ES", 1), Seconds(gpu, 0, cpu))


def past(month: str, award_id: str, gpu: int) -> Past:
    """Use of an award in a month."""
    return Past(month, "mn5", award_id, "", Seconds(gpu))


def balance(award_id: str, **more: Any) -> Balance:
    """A balance of which only what is named matters."""
    plain: dict[str, Any] = {
        "opening": 0, "granted": {}, "granted_total": 0, "charged": 0, "settled": 0, "accrued": 0,
        "committed": 0, "after_end": 0, "burned": (0, 0, 0), "state": "ok", "forecast": "none",
        "exhausted_at": None,
    }  # fmt: skip
    return Balance(award_id, **{**plain, **more})


def dossier(*items: Item, **parts: Any) -> Dossier:
    """October 2026 of a consortium with these beside its parties."""
    held = Consortium.of([*parties(), *items], "Factory", ZONE)
    plain: dict[str, Any] = {
        "consortium": "Factory", "span": Span("2026-10", START, END, ZONE), "as_of": END, "version": "test",
        "lines": (),
    }  # fmt: skip
    return Dossier(master=held, **{**plain, **parts})


# ------------------------------------------------------------------------------------------------- random

_POOLS = ("ju", "es", "ct", "pt", "tr", "ro")
_PLACES = (PLACE, "ai/train")


@st.composite
def _keys(draw: st.DrawFn, name: str) -> tuple[str, list[Share]]:
    pools = draw(st.lists(st.sampled_from(_POOLS), min_size=1, unique=True))
    key = draw(st.sampled_from(["fractions", "proportional", "hours"]))
    if key == "proportional":
        return key, [Share(name, pool) for pool in pools]
    if key == "hours":
        return key, [
            Share(name, pool, hours=draw(st.fractions(0, 10**5, max_denominator=7))) for pool in pools
        ]
    weights = [draw(st.integers(0, 50)) for _ in pools]
    whole = sum(weights) + draw(st.integers(0, 50)) or 1
    return key, [Share(name, pool, Fraction(w, whole)) for pool, w in zip(pools, weights, strict=True)]


_TIMES = st.integers(START - PERIOD, END + PERIOD)


@st.composite
def dossiers(draw: st.DrawFn) -> Dossier:
    """Several agreements over the same nodes, dated inside the period or not, whose parts never exceed 1."""
    count = draw(st.integers(1, 4))
    unit = count * draw(st.sampled_from(DENOMINATORS))
    items: list[Item] = founding() if draw(st.booleans()) else []
    for at in range(count):
        name = f"agreement-{at}"
        since, until = sorted(draw(st.lists(_TIMES, min_size=2, max_size=2)))
        key, shares = draw(_keys(name))
        items += shares
        items.append(
            Agreement(
                name, since, draw(st.sampled_from([until, None])),
                node_classes=tuple(draw(st.lists(st.sampled_from(_PLACES), min_size=1, unique=True))),
                part=Fraction(draw(st.integers(0, unit // count)), unit), key=key,
                basis=draw(st.sampled_from(["nominal", "available"])),
            )
        )  # fmt: skip
    awards = [award(f"award-{pool}", pool) for pool in _POOLS]
    seconds = st.integers(0, 10**9)
    machines = [
        capacity(draw(seconds) + 3 * 10**9, draw(seconds), draw(seconds), place, reserved_idle=draw(seconds))
        for place in draw(st.lists(st.sampled_from(_PLACES), unique=True))
    ]
    lines = [
        line(one.id, draw(seconds), place) for one in draw(st.lists(st.sampled_from(awards), unique=True))
        for place in _PLACES
    ]  # fmt: skip
    return dossier(*items, *awards, capacity=tuple(machines), lines=tuple(lines))
