"""Consortia for tests: a small sound one, and hypothesis strategies for values of every kind."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from opsd.core.agreements import (
    AGREEMENT_KEYS,
    AVAILABLE,
    CAP_BASES,
    CARRY,
    FUNDER_KINDS,
    LAPSE,
    NOMINAL,
    PURPOSES,
    TRANCHES,
    WINDOWS,
    Agreement,
    Cap,
    Contribution,
    Funder,
    Policy,
    Pool,
    Share,
)
from opsd.core.amounts import GPU_HOURS, UNITS
from opsd.core.awards import Award, Binding, Project
from opsd.core.consortium import Consortium, Item
from opsd.core.factors import FACTOR_KINDS, Factor
from opsd.core.journal import KINDS
from opsd.core.money import Money
from opsd.core.parties import (
    ORGANISATION_KINDS,
    AccountHint,
    Cluster,
    Contact,
    NodeClass,
    Organisation,
    Person,
    UnitTable,
)
from opsd.core.period import HOUR
from opsd.core.prices import AidRule, OtherAid, Price
from opsd.core.slices import MigSlice
from opsd.core.terms import Params

CLUSTER = "mini"


def parties() -> list[Item]:
    """Two countries and the JU, each with a pool; no account is bound yet."""
    return [
        Cluster(CLUSTER),
        NodeClass(
            CLUSTER, "acc", nodes="a[1-4]", partitions=("acc",), cores=80, cpus=160, mem_mb=512_000, gpus=4,
            gpu_class="h100",
        ),
        NodeClass(CLUSTER, "gpp", nodes="g[1-9]", partitions=("gpp",), cores=112, cpus=224, gpus=0),
        Organisation("uv", "Universitat", "ES", "university", "health"),
        Organisation("fct", "Fundação", "PT", "public-body"),
        Funder("spain", "España", "state", "ES"),
        Funder("catalonia", "Catalunya", "region", "ES", "spain"),
        Funder("portugal", "Portugal", "state", "PT"),
        Funder("eurohpc", "EuroHPC", "ju"),
        Pool("ju", "eurohpc"),
        Pool("ct", "catalonia"),
        Pool("pt", "portugal"),
        Project("health", "Health", "uv"),
        Project("climate", "Climate", "fct", "climate"),
        Policy("gpu", "gpu_hours"),
    ]  # fmt: skip


def award(name: str, start: int = 0, end: int | None = None, **changes: Any) -> Award:
    """An award of 100 GPU-hours from Catalonia for `health`, over [start, end) hours."""
    values = {
        "project": "health", "pool": "ct", "amount": Fraction(100), "unit": GPU_HOURS, "policy": "gpu",
        "mode": "Large Scale",
    } | changes  # fmt: skip
    return Award(id=name, start=start * HOUR, end=None if end is None else end * HOUR, **values)


def binding(account: str, award_id: str, start: int = 0, end: int | None = None, **where: str) -> Binding:
    """An account bound over [start, end) hours."""
    until = None if end is None else end * HOUR
    return Binding(CLUSTER, account, award_id, start * HOUR, until, **where)


def consortium(*items: Item) -> Consortium:
    """The parties and what a test adds."""
    return Consortium.of([*parties(), *items], "Mini", "UTC")


# ----------------------------------------------------------------------------- strategies, one per kind

TIMES = st.integers(0, 4_000_000_000)
HOURS = st.integers(0, 1_000_000).map(lambda hour: hour * HOUR)
WORDS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=12)
NAMES = WORDS.map(str.strip).filter(bool)
IDS = NAMES.filter(lambda name: not name.startswith(("unattributed", "after-end:", "before-start:")))
LISTED = NAMES.filter(lambda name: "," not in name)
COUNTS = st.none() | st.integers(0, 2**63 - 1)
NUMBERS = st.fractions(0, 10**9, max_denominator=10**6) | st.decimals(0, 10**6, places=4).map(Fraction)
AMOUNTS = st.integers(0, 10**12).map(lambda thousandths: Fraction(thousandths, 1000))


@st.composite
def _validity(draw: st.DrawFn, times: st.SearchStrategy[int] = TIMES) -> dict[str, int | None]:
    first, second = sorted((draw(times), draw(times)))
    return {"valid_from": first, "valid_until": draw(st.sampled_from([None, second]))}


def _dated(
    build: type[Any], times: st.SearchStrategy[int] = TIMES, /, **parts: Any
) -> st.SearchStrategy[Any]:
    return st.builds(lambda when, **values: build(**values, **when), _validity(times), **parts)


@st.composite
def _awards(draw: st.DrawFn) -> Award:
    first, second = sorted((draw(TIMES), draw(TIMES)))
    return Award(
        draw(IDS), draw(NAMES), draw(NAMES), draw(AMOUNTS), draw(st.sampled_from(UNITS)), first,
        draw(st.sampled_from([None, second + 1])), draw(NAMES), draw(WORDS),
        tuple(sorted(draw(st.sets(st.integers(1, 200), max_size=4)))), draw(st.integers(0, 1000)),
        draw(st.none() | TIMES), draw(st.none() | TIMES),
    )  # fmt: skip


@st.composite
def _node_classes(draw: st.DrawFn) -> NodeClass:
    cores = draw(st.none() | st.integers(0, 500))
    gpus = draw(COUNTS)
    return NodeClass(
        draw(NAMES), draw(NAMES), **draw(_validity()), nodes=draw(WORDS),
        partitions=tuple(draw(st.lists(LISTED, max_size=3, unique=True))), cores=cores,
        cpus=draw(st.none() | st.integers(cores or 0, 1000)), mem_mb=draw(COUNTS), gpus=gpus,
        gpu_class="" if gpus == 0 else draw(WORDS),
    )  # fmt: skip


PARAMS = st.builds(
    Params,
    mode=st.sampled_from(["", "whole", "largest-share"]),
    weights=st.dictionaries(NAMES, NUMBERS, max_size=3).map(lambda found: tuple(sorted(found.items()))),
    suspended=st.booleans(),
    reservation_idle=st.booleans(),
    draft_credits=st.booleans(),
)
_PART = st.fractions(0, 1, max_denominator=10**6)
_SHA = st.sampled_from(["", "0f" * 32])
_PRICE = st.builds(Money, st.integers(0, 10**15), st.sampled_from(["EUR", "RON", "TRY"]))
_LISTS = st.lists(LISTED, max_size=2, unique=True).map(tuple)
_RISING = st.sets(st.integers(1, 200), max_size=3).map(lambda found: tuple(sorted(found)))
_CLASSES = st.lists(st.sampled_from(["mn5/acc", "mn5/gpp"]), max_size=2, unique=True).map(tuple)
_MONEY = st.none() | st.decimals(0, 10_000, places=2, allow_nan=False, allow_infinity=False).map(Decimal)
_COUNTRY = st.sampled_from(["ES", "PT", "RO", "TR"])

ITEMS: st.SearchStrategy[Item] = st.one_of(
    st.builds(Cluster, NAMES, WORDS),
    _node_classes(),
    _dated(
        UnitTable, cluster=NAMES, node_class=NAMES, gpu_hours=st.none() | NUMBERS,
        core_hours=st.none() | NUMBERS, cpu_hours=st.none() | NUMBERS, khours=st.none() | NUMBERS,
        source=WORDS,
    ),
    _dated(
        MigSlice, gpu_class=st.sampled_from(["h100", "b200", "nvidia_h100_80gb_hbm3"]),
        profile=st.sampled_from(["1g.10gb", "1g.10gb+me", "3g.90gb", "7g.80gb", "1g.24gb-me.all"]),
        gpus=st.fractions(Fraction(1, 10**6), 1, max_denominator=10**6), source=WORDS,
    ),
    st.builds(
        Organisation, IDS, WORDS, _COUNTRY, st.sampled_from(["", *ORGANISATION_KINDS]), WORDS, WORDS,
        WORDS, WORDS, WORDS, WORDS,
    ),
    _dated(Person, user=NAMES, organisation=NAMES, cluster=WORDS),
    st.builds(
        Funder, IDS, WORDS, st.sampled_from([kind for kind in FUNDER_KINDS if kind != "ju"]),
        st.none() | _COUNTRY, WORDS, _MONEY, st.booleans(), WORDS,
    ),
    st.builds(Pool, IDS, NAMES, WORDS, WORDS),
    st.builds(Project, IDS, WORDS, NAMES, WORDS, WORDS),
    _dated(Policy, id=NAMES, rule=NAMES, params=PARAMS.map(lambda params: params.text)),
    _awards(),
    _dated(Binding, HOURS, cluster=NAMES, account=NAMES, award=NAMES, partition=WORDS, qos=WORDS),
    st.builds(Contact, NAMES, WORDS, st.sampled_from(["", "a@b.example"]), WORDS, WORDS, WORDS, WORDS, WORDS),
    st.builds(AccountHint, NAMES, WORDS),
    st.builds(
        Contribution, IDS, NAMES, st.sampled_from(PURPOSES), st.none() | _PRICE, st.none() | _PRICE,
        st.none() | TIMES, WORDS, _SHA, st.booleans(), WORDS,
    ),
    _dated(
        Agreement, id=IDS, name=WORDS, node_classes=_CLASSES, resource=st.sampled_from(["gpu", "cpu"]),
        part=_PART, key=st.sampled_from(AGREEMENT_KEYS), basis=st.sampled_from([NOMINAL, AVAILABLE]),
        under_use=st.sampled_from([LAPSE, CARRY]), carry_most=_PART, carry_periods=st.integers(0, 99),
        tranche=st.sampled_from(TRANCHES), tolerance=_PART, document=WORDS, sha256=_SHA,
        confirmed=st.booleans(),
    ),
    st.builds(Share, NAMES, NAMES, _PART) | st.builds(Share, NAMES, NAMES, hours=st.none() | NUMBERS),
    _dated(
        Cap, id=IDS, name=WORDS, pools=_LISTS, modes=_LISTS, kinds=_LISTS, purposes=_LISTS, most=_PART,
        base=st.sampled_from(CAP_BASES), within=WORDS, window=st.sampled_from(WINDOWS),
        thresholds=_RISING, source=WORDS, confirmed=st.booleans(),
    ),
    _dated(
        Price, id=IDS, unit=st.sampled_from(UNITS), amount=_PRICE, pools=_LISTS, method=WORDS,
        approver=WORDS, source=WORDS,
    ),
    _dated(AidRule, id=IDS, ceiling=_PRICE, years=st.integers(1, 20), kinds=_LISTS, source=WORDS),
    st.builds(OtherAid, IDS, NAMES, _COUNTRY, NAMES, _PRICE, TIMES, WORDS),
    _dated(
        Factor, cluster=NAMES, kind=st.sampled_from(FACTOR_KINDS), value=NUMBERS, node_class=WORDS,
        source=WORDS,
    ),
)  # fmt: skip

ZONES = st.sampled_from(
    ["UTC", "Europe/Madrid", "Europe/Istanbul", "America/St_Johns", "+05:30", "Asia/Gaza"]
)
CONSORTIA = st.builds(
    Consortium.of, st.lists(ITEMS, max_size=12), WORDS, ZONES,
    st.none() | st.lists(st.sampled_from(KINDS), max_size=3), st.none() | st.integers(1, 99),
)  # fmt: skip
