"""Labels equal a plain reading of the rules at every hour, and change nowhere but at edges."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.attribution import KEYS, UNATTRIBUTED, Attribution, Needs
from opsd.core.awards import Award, Binding
from opsd.core.consortium import Consortium
from opsd.core.parties import Person
from opsd.core.period import HOUR
from tests.fakes.consortia import CLUSTER, award, binding, consortium, parties

SPAN = 24  # hours that the drawn consortia play in
AWARDS = ("one", "two", "three")
PLACES = [("", ""), ("acc", ""), ("", "q"), ("acc", "q")]


@dataclass(frozen=True)
class Asked:
    """One question to attribution."""

    account: str
    user: str
    partition: str
    qos: str
    hour: int


@st.composite
def cuts(draw: st.DrawFn) -> list[tuple[int, int | None]]:
    """Pieces of time that do not overlap, in hours."""
    marks = sorted(draw(st.sets(st.integers(0, SPAN), max_size=6)))
    pieces: list[tuple[int, int | None]] = list(zip(marks[::2], marks[1::2], strict=False))
    if len(marks) % 2:
        pieces.append((marks[-1], None))
    return pieces


@st.composite
def worlds(draw: st.DrawFn) -> Consortium:
    """Awards, bindings at every precedence, and moving people."""
    made: list[Award | Binding | Person] = []
    for name in AWARDS:
        start = draw(st.integers(0, SPAN))
        end = draw(st.none() | st.integers(start + 1, SPAN + 8))
        pool, project = draw(st.sampled_from([("ju", "health"), ("ct", "climate"), ("pt", "health")]))
        made.append(award(name, start, end, pool=pool, project=project))
    for account in ("a", "b"):
        for partition, qos in PLACES:
            for start, end in draw(cuts()):
                name = draw(st.sampled_from(AWARDS))
                made.append(binding(account, name, start, end, partition=partition, qos=qos))
    for user, cluster in (("u", ""), ("u", CLUSTER), ("v", "elsewhere")):
        for start, end in draw(cuts()):
            home = draw(st.sampled_from(["uv", "fct"]))
            made.append(Person(user, home, start * HOUR, None if end is None else end * HOUR, cluster))
    return consortium(*made)


QUESTIONS = [
    Asked(account, user, partition, qos, hour)
    for account in ("a", "b", "c")
    for user in ("u", "v")
    for partition in ("acc", "gpp")
    for qos in ("q", "")
    for hour in range(SPAN + 10)
]


def expected(held: Consortium, asked: Asked) -> dict[str, str]:
    """The rules of DESIGN.md section 4, read one by one."""
    at = asked.hour * HOUR
    labels = dict.fromkeys(KEYS, UNATTRIBUTED)
    for partition, qos in [(asked.partition, asked.qos), (asked.partition, ""), ("", asked.qos), ("", "")]:
        bound = [
            b.award
            for b in held.bindings
            if (b.account, b.partition, b.qos) == (asked.account, partition, qos)
            and b.valid_from <= at
            and (b.valid_until is None or at < b.valid_until)
        ]
        if bound:
            labels |= told_by_award(held, held.awards[bound[0]], at)
            break
    for cluster in (CLUSTER, ""):
        home = [
            p.organisation
            for p in held.people
            if (p.user, p.cluster) == (asked.user, cluster)
            and p.valid_from <= at
            and (p.valid_until is None or at < p.valid_until)
        ]
        if home:
            labels["uses"] = held.organisations[home[0]].country
            break
    return labels


def told_by_award(held: Consortium, found: Award, at: int) -> dict[str, str]:
    """What an award says at an instant."""
    project = held.projects[found.project]
    organisation = held.organisations[project.organisation]
    prefix = "before-start:" if at < found.start else ""
    if found.end is not None and at >= found.end:
        prefix = "after-end:"
    return {
        "award": prefix + found.id,
        "project": project.id,
        "organisation": organisation.id,
        "country": organisation.country,
        "pays": {"ju": "JU", "ct": "ES", "pt": "PT"}[found.pool],
        "pool": found.pool,
        "funder": held.pools[found.pool].funder,
        "mode": "Large Scale",
        "kind": organisation.kind,
        "sector": project.sector or organisation.sector or UNATTRIBUTED,
    }


@given(worlds())
def test_equals_a_plain_reading_at_every_hour(held: Consortium) -> None:
    """Every key of every account, user, partition and QOS at every hour is what the rules say."""
    known = Attribution(held)
    for asked in QUESTIONS:
        where = (CLUSTER, asked.account, asked.user, asked.partition, asked.qos, asked.hour * HOUR)
        wanted = expected(held, asked)
        assert tuple(wanted.values()) == known.labels(KEYS, *where)
        assert (wanted["uses"], wanted["pays"]) == known.labels(("uses", "pays"), *where)


@given(worlds(), st.sampled_from([KEYS, ("award",), ("project",), ("uses",), ("country", "uses")]))
def test_labels_change_at_edges_only(held: Consortium, keys: tuple[str, ...]) -> None:
    """Where a label differs from the hour before, there is an edge of the account or of the user."""
    known = Attribution(held)
    start, end = -HOUR, (SPAN + 20) * HOUR
    everywhere = known.edges(keys, start, end)
    assert everywhere == sorted(set(everywhere))
    for asked in QUESTIONS:
        if asked.hour == 0:
            continue
        at = asked.hour * HOUR
        where = (CLUSTER, asked.account, asked.user, asked.partition, asked.qos)
        own = {
            *known.account_edges(keys, CLUSTER, asked.account, start, end),
            *known.user_edges(keys, CLUSTER, asked.user, start, end),
        }
        assert own <= set(everywhere)
        if known.labels(keys, *where, at) != known.labels(keys, *where, at - HOUR):
            assert at in own


def test_edges_lie_strictly_inside() -> None:
    """An edge at either end of a window cuts nothing."""
    known = Attribution(consortium(award("one", 2, 8), binding("a", "one", 4, 6)))
    assert [4 * HOUR, 6 * HOUR] == known.edges(("project",), 0, 9 * HOUR)
    assert [2 * HOUR, 4 * HOUR, 6 * HOUR] == known.edges(("award",), HOUR, 8 * HOUR)
    assert [] == known.account_edges(("award",), CLUSTER, "a", 4 * HOUR, 6 * HOUR)
    assert [] == known.edges(("uses",), 0, 9 * HOUR)


def test_needs_only_what_decides() -> None:
    """Users matter for `uses` alone; partition and QOS only where some binding names one."""
    plain = Attribution(consortium(award("one"), binding("a", "one")))
    split = Attribution(
        consortium(award("one"), binding("a", "one", partition="acc"), binding("b", "one", qos="q"))
    )
    assert Needs(user=False, partition=False, qos=False) == plain.needs(("award",))
    assert Needs(user=True, partition=False, qos=False) == plain.needs(("award", "uses"))
    assert Needs(user=False, partition=True, qos=True) == split.needs(("pays",))
    assert Needs(user=True, partition=False, qos=False) == split.needs(("uses",))


def test_child_accounts_do_not_inherit() -> None:
    """Neither a longer name nor another cluster's account of the same name is bound."""
    known = Attribution(consortium(award("one"), binding("a", "one")))
    assert (UNATTRIBUTED,) == known.labels(("award",), CLUSTER, "a/b", "u", "", "", 0)
    assert (UNATTRIBUTED,) == known.labels(("award",), "other", "a", "u", "", "", 0)


def test_use_outside_an_award_keeps_its_project() -> None:
    """Before the start and after the end only the award's own key changes."""
    known = Attribution(consortium(award("one", 2, 4), binding("a", "one")))
    keys = ("award", "project", "country", "pays")
    labels = [known.labels(keys, CLUSTER, "a", "u", "", "", hour * HOUR) for hour in (1, 2, 4)]
    rest = ("health", "ES", "ES")
    assert [("before-start:one", *rest), ("one", *rest), ("after-end:one", *rest)] == labels
    found = [known.award_at(CLUSTER, "a", "", "", hour * HOUR)[1] for hour in (1, 2, 4)]
    assert ["before-start", "", "after-end"] == found
    assert (None, "") == known.award_at(CLUSTER, "b", "", "", 0)


def test_an_award_speaks_for_itself() -> None:
    """The labels of an award do not depend on who is bound to it."""
    known = Attribution(consortium(award("one", pool="ju")))
    assert ("one", "JU", "ju", "health") == known.of_award(("award", "pays", "pool", "sector"), "one")


def test_unknown_keys_are_a_bug() -> None:
    """A key that does not exist is not answered with a guess."""
    with pytest.raises(KeyError):
        Attribution(Consortium.of(parties())).labels(("colour",), CLUSTER, "a", "u", "", "", 0)
