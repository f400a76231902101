"""Energy: measured where agents were, declared factors for the rest, unknown without them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opsd.core import energy
from opsd.core.consortium import Consortium, Item
from opsd.core.dossier import Dossier, Key, Line, Measured, Seconds, Span
from opsd.core.energy import JOULES_PER_KWH, Energy
from opsd.core.factors import Factor
from opsd.core.gpu_use import Use
from opsd.core.parties import Cluster, NodeClass
from opsd.core.period import DAY, HOUR

SPAN = Span("2026-10", 100 * DAY, 131 * DAY, "UTC")
FACTORS = (
    Factor("mn5", "gpu-watts", Fraction(500)),
    Factor("mn5", "node-watts", Fraction(800)),
    Factor("mn5", "node-watts", Fraction(1000), "acc"),
    Factor("mn5", "pue", Fraction("1.1")),
    Factor("mn5", "location-based", Fraction("0.1")),
    Factor("mn5", "market-based", Fraction("0.02")),
)


def dossier(
    *lines: Line, measured: tuple[Measured, ...] = (), factors: tuple[Item, ...] = FACTORS
) -> Dossier:
    """A month on a cluster with two classes of nodes."""
    nodes = (NodeClass("mn5", "acc", cpus=160, gpus=4), NodeClass("mn5", "gpp", cpus=224, gpus=0))
    held = Consortium.of([Cluster("mn5"), *nodes, *factors])
    return Dossier("c", SPAN, SPAN.end, "1", held, lines, measured=measured)


def line(award: str, node_class: str = "acc", **seconds: int) -> Line:
    """Use of an award."""
    return Line(Key("mn5", node_class, award, "", "", "ES", 1), Seconds(**seconds))


def seen(award: str, energy_mj: int, covered_ms: int) -> Measured:
    """What agents measured of it."""
    return Measured("mn5", "acc", award, Use(energy=energy_mj, energy_of=covered_ms))


def by_award(found: Dossier) -> dict[str, Energy]:
    """Energy of every award."""
    return energy.by(found, lambda award, _: award)


def test_measured_and_estimated_add_up() -> None:
    """Two of four GPU-hours were measured; the node's other part is by the CPUs held."""
    found = by_award(
        dossier(
            line("a", gpu=4 * HOUR, cpu=80 * HOUR, node=HOUR),
            measured=(seen("a", 3_000_000_000, 2 * HOUR * 1000),),
        )
    )["a"]

    estimated = 2 * HOUR * 500 + Fraction(HOUR, 2) * 1000
    assert (3_000_000, estimated) == (found.measured, found.estimated)
    site = (3_000_000 + estimated) * Fraction("1.1")
    kwh = site / JOULES_PER_KWH
    assert (site, kwh / 10, kwh / 50) == (found.site, found.location, found.market)


def test_a_class_without_a_factor_of_its_own_has_the_clusters() -> None:
    """A node of general purpose draws what the cluster's factor says."""
    found = by_award(dossier(line("a", "gpp", cpu=224 * HOUR, node=HOUR)))["a"]
    assert 800 * HOUR == found.estimated


def test_a_factor_that_changes_weighs_with_its_time() -> None:
    """Ten of the 31 days at 1.2, the rest at 1.1."""
    change = 110 * DAY
    pues: tuple[Item, ...] = (
        Factor("mn5", "pue", Fraction("1.2"), valid_until=change),
        Factor("mn5", "pue", Fraction("1.1"), valid_from=change),
    )
    rest = tuple(one for one in FACTORS if one.kind != "pue")
    found = by_award(dossier(line("a", gpu=HOUR), factors=(*rest, *pues)))["a"]

    assert found.it == 500 * HOUR
    assert found.site == 500 * HOUR * (Fraction("1.2") * 10 + Fraction("1.1") * 21) / 31


def test_a_missing_factor_makes_unknown() -> None:
    """Only what hangs on it; and not for use that does not need it."""
    rest = tuple(one for one in FACTORS if one.kind not in ("gpu-watts", "market-based"))
    found = by_award(dossier(line("a", gpu=HOUR), line("b", "gpp", cpu=224), factors=rest))

    assert (None, None, None) == (found["a"].estimated, found["a"].site, found["a"].location)
    assert found["b"].site is not None
    assert found["b"].market is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=9))
def test_parts_are_the_whole(rows: list[tuple[str, int, int]]) -> None:
    """By any label the energies add up to that of all use together."""
    lines = [line(name, gpu=gpu, cpu=cpu, node=1) for name, gpu, cpu in rows]
    found = dossier(*lines)
    whole = energy.by(found, lambda award, cluster: "all").get("all", Energy())

    assert whole == energy.total(by_award(found))


def test_what_a_scope_leaves_out_has_no_energy() -> None:
    """A label of None takes use and its measurements away."""
    found = dossier(line("a", gpu=HOUR), line("b", gpu=HOUR), measured=(seen("b", 5000, 1000),))
    only: Any = energy.by(found, lambda award, cluster: award if award == "a" else None)

    assert {"a": by_award(found)["a"]} == only
