"""Three countries per hour: who pays beside who leads, who pays beside who uses, and what comes back.

Invariant: every hour stands in exactly one cell. Where few people are behind a cell of who uses, it is told
together with others, so that no number is that of fewer users than `smallest_group`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from opsd.core import contributions
from opsd.core.attribution import PAID_BY_JU, UNATTRIBUTED
from opsd.core.statement import terms
from opsd.core.statement.footing import footed
from opsd.core.statement.groups import Group, merged
from opsd.core.statement.table import TOTAL, Block, Column, Paragraph, Per, Plus, Row, Section, Table
from opsd.core.statement.view import Part, Sum, View, in_order
from opsd.core.statement.words import Count, Msg, Ratio, Share, Value, msg

MERGED = "merged"
PAYS = Column("pays", msg("Who pays"), wide=True)
COLUMNS = (
    Column("country", msg("Country"), wide=True),
    Column("led", msg("GPU-hours led"), sums=True),
    Column("paid", msg("GPU-hours paid for"), sums=True),
    Column("return_ratio", msg("Led, of paid for"), formula=Per("led", "paid", ratio=True)),
)
GIVEN = (
    Column("share_led", msg("Share of what countries lead")),
    Column("share_given", msg("Share of what countries contributed")),
    Column("return_on_contributions", msg("Led, of contributed")),
)


def section(view: View) -> Section | None:
    """The two tables, and the return ratio of each country."""
    blocks: list[Block] = [_leads(view), *_uses(view)]
    back = _return(view)
    if back is not None:
        blocks.append(back)
    return Section("matrix", msg("Who pays, who leads, who uses"), tuple(blocks))


# ---------------------------------------------------------------------------------------- pays and leads


def _leads(view: View) -> Table:
    sums = view.by(lambda part: (part.place.pays, part.place.country), view.parts)
    columns = _columns("led", sorted({country for _, country in sums}, key=lambda one: in_order((one,))))
    rows = [
        _row(
            pays, {f"led_{_id(country)}": found for (payer, country), found in sums.items() if payer == pays}
        )
        for pays in _first(sums)
    ]
    return Table(
        "pays_leads", msg("Who pays and who leads, in GPU-hours"), columns,
        footed(columns, [*rows, _total()]),
        (msg("Rows say who pays for the time, columns in which country the leading organisation is."),),
    )  # fmt: skip


def _columns(name: str, countries: Sequence[str]) -> tuple[Column, ...]:
    cells = tuple(
        Column(f"{name}_{_id(one)}", msg("{country}", country=terms.country(one)), sums=True)
        for one in countries
    )
    every = Plus(tuple(column.id for column in cells))
    return (PAYS, *cells, Column("total", terms.TOTAL, formula=every))


def _row(pays: str, cells: Mapping[str, Sum]) -> Row:
    hours = {name: found.hours("gpu") for name, found in cells.items()}
    return Row({"pays": terms.country(pays), **hours}, {"pays": pays})


def _total() -> Row:
    return Row({"pays": terms.TOTAL}, {}, TOTAL)


def _id(country: str) -> str:
    return country.lower()  # codes alone: never a name of somebody's


def _first(keys: Iterable[tuple[str, ...]]) -> list[str]:
    return sorted({key[0] for key in keys}, key=lambda one: in_order((one,)))


# ----------------------------------------------------------------------------------------- pays and uses


def _uses(view: View) -> Iterator[Block]:
    size = view.dossier.smallest_group
    rows = {pays: dict(merged(groups, size)) for pays, groups in _groups(view.parts).items()}
    countries = sorted(
        {name for row in rows.values() for name in row} - {""}, key=lambda one: in_order((one,))
    )
    if rows and not countries:
        yield Paragraph(
            msg(
                "Who uses is not told apart here: each country's users are fewer than {size}.",
                size=Count(size),
            )
        )
    if not countries:
        return
    columns = _columns("uses", [*countries, MERGED] if any("" in row for row in rows.values()) else countries)
    columns = tuple(
        Column(MERGED, msg("Not told apart"), sums=True) if column.id == f"uses_{MERGED}" else column
        for column in columns[:-1]
    )
    every = Column("total", terms.TOTAL, formula=Plus(tuple(column.id for column in columns[1:])))
    done = [
        _row(pays, {f"uses_{_id(name)}" if name else MERGED: group.use for name, group in row.items()})
        for pays, row in rows.items()
    ]
    yield Table(
        "pays_uses", msg("Who pays and who uses, in GPU-hours"), (*columns, every),
        footed((*columns, every), [*done, _total()]),
        (
            msg("Columns say in which country the users' home organisation is."),
            msg(
                "Where fewer than {size} users of a country used what somebody pays for, their hours stand"
                " under Not told apart, so a country's column need not be all of its use.",
                size=Count(size),
            ),
        ),
    )  # fmt: skip


def _groups(parts: Iterable[Part]) -> dict[str, dict[str, Group]]:
    by_payer: dict[str, dict[str, list[Part]]] = defaultdict(lambda: defaultdict(list))
    for part in parts:
        by_payer[part.place.pays][part.place.uses].append(part)
    return {
        pays: {
            uses: Group(View.total(found), frozenset().union(*(part.persons for part in found)))
            for uses, found in by_payer[pays].items()
        }
        for pays in _first((pays,) for pays in by_payer)
    }


# ---------------------------------------------------------------------------------------- what comes back


def _return(view: View) -> Table | None:
    """Of every country, or of the one whose statement it is; of others' parts it would be half a truth."""
    key, value = view.scope_key, view.scope_value
    if key not in ("", "cluster", "country", "pays") or value == PAID_BY_JU:
        return None
    parts = view.parts if key == "cluster" else view.everybody
    led = {key[0]: found for key, found in view.by(lambda part: (part.place.country,), parts).items()}
    paid = {key[0]: found for key, found in view.by(lambda part: (part.place.pays,), parts).items()}
    countries = sorted({*led, *paid} - {UNATTRIBUTED, PAID_BY_JU})
    given = _given(view) if key != "cluster" else {}
    whole = sum(found.shown.gpu for name, found in led.items() if name != UNATTRIBUTED)
    rows = [
        _back(one, led.get(one, Sum()), paid.get(one, Sum()), whole, given)
        for one in countries
        if key in ("", "cluster") or one == value
    ]
    if not rows:
        return None
    columns = (*COLUMNS, *GIVEN) if given else COLUMNS
    if view.scope_key in ("", "cluster"):
        rows.append(Row({"country": terms.TOTAL}, {}, TOTAL))
    return Table(
        "return", msg("What comes back to each country"), columns, footed(columns, rows), _notes(view)
    )


def _back(country: str, led: Sum, paid: Sum, whole: int, given: Mapping[str, Fraction]) -> Row:
    cells: dict[str, Value] = {
        "country": terms.country(country),
        "led": led.hours("gpu"),
        "paid": paid.hours("gpu"),
    }
    if given:
        share = Fraction(led.shown.gpu, whole) if whole else None
        contributed = given.get(country)
        cells |= {"share_led": Share(share), "share_given": Share(contributed)}
        cells["return_on_contributions"] = _ratio(share, contributed)
    return Row(cells, {"country": country})


def _ratio(share: Fraction | None, contributed: Fraction | None) -> Value:
    return Ratio(share / contributed if share is not None and contributed else None)


def _given(view: View) -> dict[str, Fraction]:
    """Each country's part of what countries gave for compute; nothing where that is in two currencies."""
    sums: dict[str, int] = defaultdict(int)
    currencies: set[str] = set()
    for funder, amounts in contributions.of_funders(view.master).items():
        payer = view.payer(funder)
        if payer not in (PAID_BY_JU, UNATTRIBUTED):
            sums[payer] += sum(money.micro for money in amounts)
            currencies.update(money.currency for money in amounts)
    whole = sum(sums.values())
    return {} if len(currencies) != 1 or not whole else {name: Fraction(sums[name], whole) for name in sums}


def _notes(view: View) -> tuple[Msg, ...]:
    notes = [
        msg("Led is the use of projects whose leading organisation is in the country, whoever pays for it."),
        msg("Paid for is the use of the pools that the country pays for, whoever leads it."),
        msg(
            "The share of contributions is that of what countries gave for compute, without the Joint"
            " Undertaking."
        ),
    ]
    if view.scope_key in ("country", "pays"):
        notes.append(msg("This table tells of all pools and projects, not of this statement's part alone."))
    return tuple(notes)
