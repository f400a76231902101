"""What holds of every statement, whatever the consortium, the scope and the late truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

from hypothesis import given, settings

from opsd.core.attribution import UNATTRIBUTED
from opsd.core.consortium import Consortium
from opsd.core.dossier import Dossier
from opsd.core.statement.build import Statement, build
from opsd.core.statement.table import Row, Table
from opsd.core.statement.view import View
from opsd.core.statement.words import Hours, Share
from tests.fakes.footing import faults
from tests.fakes.random_dossiers import dossiers, scoped, scopes

FEW = settings(max_examples=20)


def tables(statement: Statement) -> dict[str, Table]:
    """Every table by its id."""
    found = {}
    for section in statement.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                assert block.id not in found, f"two tables {block.id}"
                found[block.id] = block
    return found


def shown(row: Row, column: str) -> int:
    """Hundredths of hours in a cell; 0 where it is empty."""
    value = row.cells.get(column)
    return value.hundredths if isinstance(value, Hours) else 0


def texts(value: Any) -> Iterator[str]:
    """Every piece of text in a statement's sections, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts(inner)
    elif is_dataclass(value):
        for field in fields(value):
            yield from texts(getattr(value, field.name))


@FEW
@given(scoped())
def test_every_table_foots_in_every_scope(case: tuple[Dossier, str]) -> None:
    """Sums, subtotals and formulas are those of the numbers shown."""
    dossier, scope = case
    statement = build(dossier, scope)
    found = [f"{scope}: {fault}" for table in tables(statement).values() for fault in faults(table)]
    assert [] == found


@FEW
@given(scoped())
def test_no_two_tables_disagree(case: tuple[Dossier, str]) -> None:
    """Use by country, payer, mode, sector, kind and project adds up to one total, each country's alike."""
    dossier, scope = case
    statement = build(dossier, scope)
    held = tables(statement)
    total = View.total(statement.parts).shown
    names = ("organisations", "companies_and_research", "modes", "sectors", "kinds")
    for name in names:
        last = held[name].rows[-1]
        assert total == tuple(shown(last, f"{column}_hours") for column in ("gpu", "node", "cpu")), name
    assert total.gpu == shown(held["pays_leads"].rows[-1], "total")
    if "pays_uses" in held:
        assert total.gpu == shown(held["pays_uses"].rows[-1], "total")
    assert _led_in_tree(held["organisations"]) == _led_in_matrix(held["pays_leads"])


def _led_in_tree(table: Table) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for row in table.rows:
        if row.role == "subtotal" and row.depth == 1:
            sums[row.keys["country"].lower()] += shown(row, "gpu_hours")
        elif row.keys.get("pool") == UNATTRIBUTED:
            sums[UNATTRIBUTED] += shown(row, "gpu_hours")
    return {country: hours for country, hours in sums.items() if hours}


def _led_in_matrix(table: Table) -> dict[str, int]:
    last = table.rows[-1]
    found = {name.removeprefix("led_"): shown(last, name) for name in last.cells if name.startswith("led_")}
    return {country: hours for country, hours in found.items() if hours}


@FEW
@given(scoped())
def test_balances_agree_in_every_table(case: tuple[Dossier, str]) -> None:
    """What is left, granted, used and charged is one number of an award, in every section and scope."""
    dossier, scope = case
    held = tables(build(dossier, scope))
    awards = {name: _by_award(table) for name, table in held.items()}
    for unit in ("gpu_hours", "node_hours", "core_hours", "billing_hours"):
        if f"projects_{unit}" not in held:
            continue
        projects, moves = awards[f"projects_{unit}"], awards[f"movements_{unit}"]
        forecasts = awards.get(f"forecast_{unit}", {})
        assert projects.keys() == moves.keys()
        assert {name for name in projects if _is_running(dossier, name)} == forecasts.keys()
        for award, row in projects.items():
            assert shown(row, "left") == shown(moves[award], "closing")
            assert award not in forecasts or shown(row, "left") == shown(forecasts[award], "left")
            assert shown(row, "charged") == -shown(moves[award], "charged")
            assert shown(row, "used") == shown(row, "settled") + shown(row, "accrued")
            opening = awards.get(f"openings_{unit}", {}).get(award)
            if opening is not None:
                assert shown(opening, "opening") == shown(moves[award], "opening")


def _is_running(dossier: Dossier, award: str) -> bool:
    found = dossier.master.awards[award]
    return found.start <= dossier.as_of and (found.end is None or dossier.as_of < found.end)


def _by_award(table: Table) -> dict[str, Row]:
    return {row.keys["award"]: row for row in table.rows if row.role == "leaf" and row.keys.get("award")}


@FEW
@given(dossiers())
def test_scopes_add_up_to_the_whole(dossier: Dossier) -> None:
    """The statements of all countries, with what is nobody's, hold what the whole holds."""
    whole = View(dossier)
    nobodys = View.total(part for part in whole.parts if not part.place.attributed).shown
    for key in ("country", "organisation", "project", "pays", "funder"):
        sums = nobodys
        for scope in scopes(dossier.master):
            if scope.startswith(f"{key}:"):
                sums = sums.plus(View.total(View(dossier, scope).parts).shown)
        assert View.total(whole.parts).shown == sums, key


@FEW
@given(scoped())
def test_nobody_sees_what_is_not_theirs(case: tuple[Dossier, str]) -> None:
    """No name or id of another's organisation, project, award, pool, funder or account is in a scope."""
    dossier, scope = case
    said = "\n".join(texts(build(dossier, scope).sections))
    told = [name for name in _others(View(dossier, scope), dossier.master) if name in said]
    assert [] == told, scope


def _others(view: View, held: Consortium) -> Iterator[str]:
    yield "USER-NAME"
    if view.scope_key in ("", "cluster"):
        return
    seen = {view.place_of(name) for name in held.awards if view.holds_award(name)}
    funders = {one.id for pool in view.pools for one in held.funder_chain(held.pools[pool].funder)}
    funders |= {one.id for one in held.funders.values() if one.country == view.scope_value}  # its own state
    mine = {
        "organisation": {place.organisation for place in seen}, "project": {place.project for place in seen},
        "award": {place.award for place in seen}, "pool": set(view.pools), "funder": funders,
        view.scope_key: {view.scope_value},
    }  # fmt: skip
    if view.scope_key == "project":
        mine["organisation"] |= {held.projects[view.scope_value].organisation}
    yield from ("account-a", "account-b")
    yield from (f"ORG-NAME-{name}" for name in held.organisations if name not in mine["organisation"])
    yield from (f"PROJECT-NAME-{name}" for name in held.projects if name not in mine["project"])
    yield from (f"REASON-{name}" for name in held.awards if name not in mine["award"])
    yield from (name for name in held.awards if name not in mine["award"])
    yield from (f"POOL-NAME-{name}" for name in held.pools if name not in mine["pool"])
    yield from (f"FUNDER-NAME-{name}" for name in held.funders if name not in mine["funder"])


@FEW
@given(scoped())
def test_no_small_group_of_users_is_told_apart(case: tuple[Dossier, str]) -> None:
    """Each number by users' country is that of enough people, and what is left over after them, too."""
    dossier, scope = case
    table = tables(build(dossier, scope)).get("pays_uses")
    people = _people(View(dossier, scope), dossier)
    for row in table.rows[:-1] if table else ():
        payer = people[row.keys["pays"]]
        named = {name.removeprefix("uses_") for name in row.cells if name.startswith("uses_")}
        small = [country for country in named if len(payer[country]) < dossier.smallest_group]
        rest = set().union(*(payer[country] for country in payer if country not in named))
        assert [] == small
        if "merged" in row.cells and named:
            assert dossier.smallest_group <= len(rest)


def _people(view: View, dossier: Dossier) -> dict[str, dict[str, set[int]]]:
    """Who used GPUs, by who pays and the country of their home, told from the lines alone."""
    found: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for key, seconds in dossier.lines:
        place = view.place_of(key.award)._replace(cluster=key.cluster)
        if view.holds(place) and seconds.gpu:
            found[place.pays][key.uses.lower()].add(key.person)
    return found


@FEW
@given(dossiers())
def test_no_number_is_a_hundredth_off(dossier: Dossier) -> None:
    """Use, capacity and balances as shown are less than a hundredth of an hour from what they stand for."""
    view = View(dossier)
    for part in view.parts:
        for hundredths, seconds in zip(part.shown, part.seconds, strict=False):
            assert abs(hundredths * 36 - seconds) < 36
    for one in view.accounts:
        for value in (one.granted, one.used, one.settled, one.accrued, one.closing, one.opening, one.charged):
            assert abs(Fraction(value.hundredths, 100) * 3600 - value.exact) <= 36
    for counted in view.capacity:
        for value in (counted.total, *counted.lines.values()):
            assert abs(value.hundredths * 36 - value.exact) < 36


@FEW
@given(dossiers())
def test_corrections_explain_what_they_change(dossier: Dossier) -> None:
    """One by one they add up to the month's lines, in hours and in charge, whatever was rounded."""
    held = tables(build(dossier))
    if "corrections" not in held:
        return
    for column in ("gpu_hours", "node_hours", "cpu_hours", "charged"):
        lines: dict[tuple[str, str], int] = defaultdict(int)
        reasons: dict[tuple[str, str], int] = defaultdict(int)
        for row in held["corrections"].rows:
            if row.role == "leaf":
                lines[row.keys["month"], row.keys["award"]] += shown(row, column)
        for row in held["correction_items"].rows:
            reasons[row.keys["month"], row.keys["award"] or UNATTRIBUTED] += shown(row, column)
        assert {key: hours for key, hours in lines.items() if hours} == {
            key: hours for key, hours in reasons.items() if hours
        }


@FEW
@given(dossiers())
def test_no_return_is_divided_by_nothing(dossier: Dossier) -> None:
    """A country that paid for nothing has no ratio; shares of what countries lead are parts of one whole."""
    table = tables(build(dossier)).get("return")
    for row in table.rows if table else ():
        if not shown(row, "paid"):
            assert (None,) == row.cells["return_ratio"]
    shares = [row.cells.get("share_led") for row in table.rows[:-1]] if table else []
    known = [share.value for share in shares if isinstance(share, Share) and share.value is not None]
    assert sum(known) in (0, 1)
