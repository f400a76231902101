"""Random dossiers: consortia whose every name says whose it is, with use, balances, late truth."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from opsd.core import journal
from opsd.core.agreements import Agreement, Contribution, Funder, Policy, Pool, Share
from opsd.core.amounts import MICRO_PER_HOUR, UNITS
from opsd.core.attribution import AFTER_END, BEFORE_START, UNATTRIBUTED
from opsd.core.awards import Award, Project
from opsd.core.consortium import Consortium, Item
from opsd.core.dossier import (
    Balance,
    Capacity,
    Correction,
    Dossier,
    Key,
    Line,
    Past,
    Seconds,
)
from opsd.core.dossier import Item as Changed
from opsd.core.journal import Entry
from opsd.core.money import Money
from opsd.core.parties import ORGANISATION_KINDS, Cluster, NodeClass, Organisation
from opsd.core.period import DAY
from tests.fakes.dossiers import END, START, sample

COUNTRIES = ("ES", "PT", "RO", "TR")
CLUSTERS = (("one", "acc"), ("two", "train"))
MONTHS = ("2026-08", "2026-09", "2026-10")
OUTSIDE = ("", "", "", AFTER_END, BEFORE_START)

_SECONDS = st.one_of(st.integers(0, 40), st.integers(0, 10**9))
_MICRO = st.integers(0, 10**6 * MICRO_PER_HOUR)
_SIGNED = st.integers(-(10**4) * MICRO_PER_HOUR, 10**4 * MICRO_PER_HOUR)


@st.composite
def consortia(draw: st.DrawFn) -> Consortium:
    """A few parties of each kind; names are `KIND-NAME-id`, so that they can be searched for."""
    funders = [Funder("f-ju", "FUNDER-NAME-f-ju", "ju")]
    funders += [Funder(f"f-{code}", f"FUNDER-NAME-f-{code}", "state", code) for code in COUNTRIES]
    pools = [Pool(f"pool-{one.id}", one.id, f"POOL-NAME-pool-{one.id}") for one in funders]
    organisations = [
        Organisation(
            f"org-{at}",
            f"ORG-NAME-org-{at}",
            draw(st.sampled_from(COUNTRIES)),
            draw(st.sampled_from(["", *ORGANISATION_KINDS])),
            draw(st.sampled_from(["", "health", "energy"])),
        )
        for at in range(draw(st.integers(1, 4)))
    ]
    projects = [
        Project(f"project-{at}", f"PROJECT-NAME-project-{at}", draw(st.sampled_from(organisations)).id)
        for at in range(draw(st.integers(1, 5)))
    ]
    awards = [_award(draw, at, projects, pools) for at in range(draw(st.integers(1, 7)))]
    items: list[Item] = [
        *(Cluster(name) for name, _ in CLUSTERS),
        *(NodeClass(*place, gpus=4) for place in CLUSTERS),
        *funders,
        *pools,
        *organisations,
        *projects,
        *awards,
        Policy("gpu", "gpu_hours"),
        Agreement("base", node_classes=("one/acc", "two/train")),
        *(Share("base", pool.id, Fraction(1, 6)) for pool in pools),
        *(
            Contribution(f"c-{one.id}", one.id, "acquisition", Money(at * 10**9, "EUR"))
            for at, one in enumerate(funders)
            if draw(st.booleans())
        ),
    ]
    return Consortium.of(items, "Random", "Europe/Madrid")


def _award(draw: st.DrawFn, at: int, projects: list[Project], pools: list[Pool]) -> Award:
    return Award(
        f"award-{at}",
        draw(st.sampled_from(projects)).id,
        draw(st.sampled_from(pools)).id,
        Fraction(100),
        draw(st.sampled_from(UNITS)),
        START - draw(st.integers(0, 90)) * DAY,
        draw(st.sampled_from([None, START + 9 * DAY, END + 30 * DAY])),
        "gpu",
        draw(st.sampled_from(["", "Playground", "Fast Lane"])),
        report_due=draw(st.sampled_from([None, END - DAY, END + DAY])),
    )


def _seconds(draw: st.DrawFn) -> Seconds:
    return Seconds(*(draw(_SECONDS) for _ in Seconds._fields))


def _key(draw: st.DrawFn, awards: list[str]) -> Key:
    award = draw(st.sampled_from(["", *awards]))
    cluster, node_class = draw(st.sampled_from(CLUSTERS))
    account = "" if award else draw(st.sampled_from(["account-a", "account-b"]))
    outside = draw(st.sampled_from(OUTSIDE)) if award else ""
    uses = draw(st.sampled_from([*COUNTRIES, UNATTRIBUTED]))
    return Key(cluster, node_class, award, account, outside, uses, draw(st.integers(1, 12)))


def _lines(draw: st.DrawFn, awards: list[str], most: int = 25) -> tuple[Line, ...]:
    found = {_key(draw, awards): _seconds(draw) for _ in range(draw(st.integers(0, most)))}
    return tuple(Line(key, found[key]) for key in sorted(found))


def _pasts(draw: st.DrawFn, awards: list[str], months: tuple[str, ...]) -> tuple[Past, ...]:
    found: dict[tuple[str, str, str, str], Seconds] = defaultdict(Seconds)
    for month in months:
        for key, used in _lines(draw, awards, 6):
            place = month, key.cluster, key.award, key.outside
            found[place] = found[place].plus(used)
    return tuple(Past(*place, found[place]) for place in sorted(found))


def _balance(draw: st.DrawFn, award: Award, corrected: int) -> Balance:
    granted = {kind: draw(_SIGNED) for kind in draw(st.sets(st.sampled_from(journal.GRANTING)))}
    before, used, charged = draw(_MICRO), draw(_MICRO), draw(_MICRO)
    accrued = draw(st.integers(0, used + charged))
    total = before + sum(granted.values())
    told = draw(st.sampled_from([None, 0, 1, 333_333]))
    states = ["ok", "threshold-80", "ok,unpriced"] if total >= used + charged else ["over"]
    return Balance(
        award.id,
        before - used,
        granted,
        total,
        charged,
        used + charged - accrued,
        accrued,
        None,
        draw(_MICRO),
        (0, draw(_MICRO), 0),
        draw(st.sampled_from(states)),
        "none",
        None,
        reported_closing=None if told is None else before - used + corrected - told,
    )


def _correction(draw: st.DrawFn, month: str, awards: list[str]) -> Correction:
    """Lines and charges that are the sums of the items they are told for."""
    lines: dict[Key, Seconds] = {}
    charged: dict[str, int] = defaultdict(int)
    items = []
    for number in range(draw(st.integers(1, 5))):
        key = _key(draw, awards)._replace(person=0)
        moved = _seconds(draw).minus(_seconds(draw))
        micro = draw(_SIGNED) if key.award and not key.outside else 0
        lines[key] = lines.get(key, Seconds()).plus(moved)
        what = draw(st.sampled_from(["run", "people"]))
        name = "USER-NAME" if what == "people" else f"{key.cluster}/{number}@{START}"
        items.append(Changed(what, name, key.award, key.outside, key.cluster, moved, micro))
        charged[key.award] += micro
    billed = {award: micro for award, micro in sorted(charged.items()) if award and micro}
    return Correction(month, tuple(Line(key, lines[key]) for key in sorted(lines)), billed, tuple(items))


def _entries(draw: st.DrawFn, awards: list[Award]) -> tuple[Entry, ...]:
    told = [
        Entry(
            START + DAY,
            START + DAY,
            draw(st.sampled_from(journal.GRANTING)),
            one.id,
            one.unit,
            draw(_SIGNED),
            f"REASON-{one.id}",
            "Clerk",
            subject=draw(st.sampled_from(awards)).id,
            evidence="USER-NAME",
        )
        for one in draw(st.lists(st.sampled_from(awards), max_size=4))
    ]
    return tuple(journal.chained(told, None))


def _capacity(draw: st.DrawFn) -> tuple[Capacity, ...]:
    found = []
    for cluster, node_class in CLUSTERS:
        for resource in ("cpu", "gpu"):
            parts = [draw(_SECONDS) for _ in range(5)]
            found.append(Capacity(cluster, node_class, resource, sum(parts), *parts))
    return tuple(found)


@st.composite
def dossiers(draw: st.DrawFn) -> Dossier:
    """October 2026 of a random consortium."""
    held = draw(consortia())
    awards, names = list(held.awards.values()), list(held.awards)
    corrections = tuple(_correction(draw, month, names) for month in MONTHS[: draw(st.integers(0, 2))])
    changes: dict[str, Any] = {
        "consortium": held.name,
        "master": held,
        "lines": _lines(draw, names),
        "previous": _pasts(draw, names, ("2026-09",)),
        "year": _pasts(draw, names, MONTHS),
        "balances": tuple(
            _balance(draw, one, sum(found.charged.get(one.id, 0) for found in corrections)) for one in awards
        ),
        "entries": _entries(draw, awards),
        "granted": (),
        "capacity": _capacity(draw),
        "waited": (),
        "measured": (),
        "certificates": (),
        "corrections": corrections,
        "closed": (),
        "concerns": (),
        "smallest_group": draw(st.integers(1, 6)),
    }
    plain = sample(**changes)
    quality = replace(plain.quality, covered=(), capacity_notes=())
    return replace(plain, quality=quality, closing=None)


def scopes(held: Consortium) -> list[str]:
    """Every scope that can be asked for, the whole first."""
    return [
        "",
        *(f"country:{code}" for code in sorted({one.country for one in held.organisations.values()})),
        *(f"organisation:{name}" for name in held.organisations),
        *(f"project:{name}" for name in held.projects),
        *(f"pays:{code}" for code in ("JU", *COUNTRIES)),
        *(f"funder:{name}" for name in held.funders),
        *(f"cluster:{name}" for name in held.clusters),
    ]


@st.composite
def scoped(draw: st.DrawFn) -> tuple[Dossier, str]:
    """A random dossier and one of its scopes."""
    found = draw(dossiers())
    return found, draw(st.sampled_from(scopes(found.master)))
