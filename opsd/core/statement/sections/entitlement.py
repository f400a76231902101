"""Entitlement against use: what each agreement divides, by pool and by who pays, with tranches and rules.

Invariant: use by pool adds up to all use of the GPUs, and what is shared out, not shared out and divided by
nobody to the capacity; what nobody knows is said to be unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import groupby

from opsd.core import entitlement, tranches
from opsd.core.agreements import (
    AVAILABLE,
    CARRY,
    FIXED_HOURS,
    FRACTIONS,
    LAPSE,
    NOMINAL,
    PROPORTIONAL,
    Agreement,
)
from opsd.core.amounts import exact_text
from opsd.core.statement import terms
from opsd.core.statement.footing import add, footed
from opsd.core.statement.rights import Rights, Shown, nearest, stretch
from opsd.core.statement.table import (
    BAD,
    BARS,
    PLAIN,
    SUBTOTAL,
    TOTAL,
    WARN,
    Block,
    Chart,
    Column,
    Less,
    Paragraph,
    Per,
    Row,
    Section,
    Series,
    Table,
)
from opsd.core.statement.view import View
from opsd.core.statement.words import (
    Code,
    Count,
    Day,
    Hours,
    Month,
    Msg,
    Share,
    Text,
    Value,
    msg,
    term,
)
from opsd.core.tranches import Tranche

RESOURCES = ("gpu", "cpu")
UNIT = {"gpu": msg("GPU-hours"), "cpu": msg("CPU-hours")}
BASES = {NOMINAL: msg("nominal capacity"), AVAILABLE: msg("available capacity")}
KEYS = {
    FRACTIONS: msg("agreed parts"),
    PROPORTIONAL: msg("by contributions"),
    FIXED_HOURS: msg("agreed hours"),
}
UNDER_USE = {LAPSE: msg("lapses"), CARRY: msg("is carried over")}
TRANCHES = {
    "": msg("the whole year at once"),
    "month": msg("by month"),
    "quarter": msg("by quarter"),
    "year": msg("by year"),
}
NO_AGREEMENT = msg("Without an agreement")
HASH_DIGITS = 12


def section(view: View) -> Section | None:
    """What every pool was entitled to, and what it used."""
    return Section("entitlement", msg("Entitlement against use"), tuple(_blocks(view)))


def _blocks(view: View) -> Iterator[Block]:
    rights = Rights(view)
    if not view.master.agreements:
        yield Paragraph(
            msg("No agreement is on record, so nobody is entitled to a certain part of the time.")
        )
        return
    yield from _warnings(rights)
    for resource in RESOURCES:
        rows = [one for one in rights.rows if one.right.resource == resource]
        if rows:
            yield _by_pool(rights, resource, rows)
            if rights.whole:
                yield _chart(rights, resource, rows)
            yield _divided(rights, resource)
    yield from _tranches(rights)
    yield _rules(rights)


def _warnings(rights: Rights) -> Iterator[Paragraph]:
    found = rights.found
    mine = {one.right.agreement for one in rights.rows}
    if not rights.rows:
        yield Paragraph(msg("No agreement in force in the period entitles any pool shown here to time."))
    for agreement, place in found.no_capacity:
        if agreement in mine or not rights.view.scope:
            text = msg(
                "The capacity of {place} is not known in this period, so {agreement} entitles nobody to "
                "time there.",
                place=Text(place),
                agreement=Text(_name(rights, agreement)),
            )
            yield Paragraph(text, WARN)
    for agreement in found.no_key:
        if not rights.view.scope:
            text = msg(
                "{agreement} is shared by contributions, and those on record cannot be compared: nobody's "
                "entitlement under it is known.",
                agreement=Text(_name(rights, agreement)),
            )
            yield Paragraph(text, WARN)
    if rights.view.dossier.provisional:
        yield Paragraph(msg("The period is not over: entitlement is counted up to now, as use is."))


def _name(rights: Rights, agreement: str) -> str:
    names = [one.name for one in rights.view.master.agreements if one.id == agreement and one.name]
    return names[-1] if names else agreement


# ----------------------------------------------------------------------------------------------- by pool


def _by_pool(rights: Rights, resource: str, rows: list[Shown]) -> Table:
    columns = _columns(rights)
    found: list[Row] = []
    for pays, members in groupby(rows, lambda one: rights.pays(one.right.pool)):
        found.append(Row({"pool": terms.country(pays)}, {"pays": pays}, SUBTOTAL))
        for _, same in groupby(members, lambda one: (one.right.pool, one.right.agreement)):
            found.append(_pool_row(rights, tuple(same)))
    found += _outside(rights, resource)
    found.append(Row({"pool": msg("Total")}, {}, TOTAL))
    return Table(
        f"entitlement_{resource}",
        msg("Entitlement against use, in GPU-hours")
        if resource == "gpu"
        else msg("Entitlement against use, in CPU-hours"),
        columns,
        footed(columns, found),
        tuple(_notes(rights, resource)),
    )


def _columns(rights: Rights) -> tuple[Column, ...]:
    plain = (
        Column("pool", msg("Who pays, and pool"), wide=True),
        Column("agreement", msg("Agreement")),
        Column("share_exact", msg("Agreed share, exactly"), wanted=2),
        Column("share", msg("Agreed share")),
        Column("entitled", msg("Entitled"), sums=True),
        Column("proportional", msg("By contributions"), sums=True),
    )
    if not rights.whole:
        return (*plain, Column("used", msg("Used in this scope"), sums=True))
    return (
        *plain,
        Column("used", msg("Used"), sums=True),
        Column("left", msg("Left"), formula=Less(("entitled", "used"))),
        Column("used_share", msg("Used of entitled"), formula=Per("used", "entitled")),
    )


def _pool_row(rights: Rights, members: tuple[Shown, ...]) -> Row:
    right = members[0].right
    entitled, used = _sum(one.entitled for one in members), _sum(one.used for one in members)
    cells: dict[str, Value] = {
        "pool": Text(rights.view.name("pool", right.pool)),
        "agreement": Text(_name(rights, right.agreement)),
        "entitled": entitled,
        "used": used,
        **_share(rights, right.agreement, right.pool),
    }
    euros = [one.proportional for one in members]
    if None not in euros:
        cells["proportional"] = _sum(one for one in euros if one is not None)
    keys = {"pays": rights.pays(right.pool), "pool": right.pool, "agreement": right.agreement}
    return Row(cells, keys, depth=1, tone=_tone(rights, right.agreement, entitled, used))


def _share(rights: Rights, agreement: str, pool: str) -> dict[str, Value]:
    """The share that the last version in force gives."""
    window = entitlement.reported(rights.view.dossier)
    terms = [one for one in entitlement.in_force(rights.view.master, window) if one.agreement.id == agreement]
    parts = entitlement.fractions(rights.view.master, terms[-1].agreement) if terms else None
    if parts is None or pool not in parts:
        return {}
    part = parts[pool]
    return {"share_exact": Text(f"{part.numerator}/{part.denominator}"), "share": Share(part)}


def _tone(rights: Rights, agreement: str, entitled: Hours, used: Hours) -> str:
    """Use beyond the entitlement is told; beyond what is tolerated it stands out."""
    if not rights.whole or used.exact <= entitled.exact:
        return PLAIN
    most = max(one.tolerance for one in rights.view.master.agreements if one.id == agreement)
    return WARN if used.exact <= entitled.exact * (1 + most) else BAD


def _outside(rights: Rights, resource: str) -> list[Row]:
    rows: list[Row] = []
    nothing = Hours(0, Fraction(0))
    found = rights.without_agreement(resource)
    if found:
        rows.append(Row({"pool": NO_AGREEMENT}, {"agreement": ""}, SUBTOTAL))
    for pool, used in found.items():
        name = (
            Text(rights.view.name("pool", pool)) if pool in rights.view.master.pools else terms.country(pool)
        )
        cells: dict[str, Value] = {"pool": name, "entitled": nothing, "used": used}
        rows.append(Row(cells, {"pays": rights.pays(pool), "pool": pool, "agreement": ""}, depth=1))
    return rows


def _notes(rights: Rights, resource: str) -> Iterator[Msg]:
    yield msg(
        "By contributions: what each pool would have if that which the agreement shares out were shared "
        "by the money given for acquisition and operation. It is shown for comparison, and entitles to "
        "nothing."
    )
    if rights.divided_use:
        yield msg(
            "A pool that has a share under several agreements over the same nodes: its use is told apart by "
            "what each of them entitles it to."
        )
    if resource == "cpu":
        yield msg("CPUs of nodes that no agreement divides by CPU are not in this table.")
    if not rights.whole:
        yield msg("Entitlement is that of the whole pool; use is that of this scope alone.")


def _chart(rights: Rights, resource: str, rows: list[Shown]) -> Chart:
    names: list[Value] = []
    entitled, used = [], []
    for pays, group in groupby(rows, lambda one: rights.pays(one.right.pool)):
        members = tuple(group)
        names.append(terms.country(pays))
        entitled.append(_sum(one.entitled for one in members))
        used.append(_sum(one.used for one in members))
    return Chart(
        f"entitlement_chart_{resource}",
        BARS,
        msg("Entitlement against use by who pays"),
        tuple(names),
        (Series(msg("Entitled"), tuple(entitled)), Series(msg("Used"), tuple(used))),
        UNIT[resource],
    )


# --------------------------------------------------------------------------------------- what is divided


def _divided(rights: Rights, resource: str) -> Table:
    columns = (
        Column("agreement", msg("Agreement"), wide=True),
        Column("nodes", msg("Nodes"), wide=True),
        Column("basis", msg("Counted from")),
        Column("part", msg("Part")),
        Column("in_force", msg("In force of the period")),
        Column("divided", msg("Divided"), sums=True),
        Column("shared_out", msg("Shared out"), sums=True),
        Column("not_shared", msg("Not shared out"), formula=Less(("divided", "shared_out"))),
    )
    mine = {one.right.agreement for one in rights.rows}
    every = [one for one in rights.every if one.right.resource == resource and rights.on_cluster(one.right)]
    rows = [
        _divided_row(rights, key[1], key[2], tuple(group))
        for key, group in groupby(sorted(every, key=_by_agreement), _by_agreement)
        if key[1] in mine or not (rights.narrow or key[0])
    ]
    nobodys = [one for one in every if not one.right.agreement and one.right.seconds]
    if nobodys and not rights.narrow:
        rows.append(_divided_row(rights, "", "", tuple(nobodys)))
    if not rights.narrow:
        rows.append(Row({"agreement": msg("Total")}, {}, TOTAL))
    title = (
        msg("What is divided, in GPU-hours") if resource == "gpu" else msg("What is divided, in CPU-hours")
    )
    return Table(f"divided_{resource}", title, columns, footed(columns, rows))


def _by_agreement(one: Shown) -> tuple[bool, str, str]:
    return not one.right.agreement, one.right.agreement, one.right.basis


def _divided_row(rights: Rights, name: str, basis: str, members: tuple[Shown, ...]) -> Row:
    places = sorted({f"{one.right.cluster}/{one.right.node_class}" for one in members})
    cells: dict[str, Value] = {
        "agreement": Text(_name(rights, name)) if name else msg("Divided by no agreement"),
        "nodes": Text(", ".join(places)),
        "basis": term(members[0].right.basis, BASES),
        "divided": _sum(one.entitled for one in members),
        "shared_out": _sum(one.entitled for one in members if one.right.pool),
    }
    window = entitlement.reported(rights.view.dossier)
    terms = [one for one in entitlement.in_force(rights.view.master, window) if one.agreement.id == name]
    if terms:
        seconds = sum(one.seconds for one in terms)
        parts = sorted({one.agreement.part for one in terms})
        cells["part"] = Text(", ".join(exact_text(part) for part in parts))
        cells["in_force"] = Share(Fraction(seconds, window.seconds))
    return Row(cells, {"agreement": name, "basis": basis})


# ----------------------------------------------------------------------------------------------- tranches


_TRANCHES = (
    Column("pays", msg("Who pays")),
    Column("pool", msg("Pool"), wide=True),
    Column("agreement", msg("Agreement")),
    Column("slice", msg("Slice")),
    Column("slice_entitled", msg("Of the slice")),
    Column("slice_used", msg("Used in the slice")),
    Column("year", msg("Expected in the year"), wanted=2),
    Column("open", msg("Open by now")),
    Column("used", msg("Used in the year")),
    Column("left", msg("Left of what is open"), formula=Less(("open", "used"))),
    Column("carried", msg("Carried in")),
    Column("kept", msg("Kept"), wanted=2),
    Column("lapsed", msg("Lapsed"), wanted=2),
    Column("remark", msg("Remark"), wide=True),
)


def _tranches(rights: Rights) -> Iterator[Table]:
    """Of whole pools on all clusters: earlier months are known by agreement and pool alone."""
    if not rights.whole or rights.of_cluster:
        return
    mine = {one.right.pool for one in rights.rows}
    found = [one for one in tranches.standings(rights.view.dossier) if one.pool in mine]
    found.sort(key=lambda one: (rights.pays(one.pool), one.pool, one.agreement))
    if found:
        rows = tuple(_tranche_row(rights, one) for one in found)
        yield Table(
            "tranches",
            msg("Tranches, and what is carried over"),
            _TRANCHES,
            footed(_TRANCHES, rows),
            (
                msg(
                    "Expected in the year: closed months and this period, then this period's pace. Open by "
                    "now: of it, up to the end of the slice in which the agreement gives time out."
                ),
            ),
        )


def _tranche_row(rights: Rights, one: Tranche) -> Row:
    amounts = {
        "slice_entitled": one.own, "slice_used": one.own_used, "year": one.year, "open": one.open,
        "used": one.used, "carried": one.carried,
    }  # fmt: skip
    cells: dict[str, Value] = {
        "pays": terms.country(rights.pays(one.pool)),
        "pool": Text(rights.view.name("pool", one.pool)),
        "agreement": Text(_name(rights, one.agreement)),
        "slice": Month(one.label),
    }
    for name, amount in {**amounts, "kept": one.kept, "lapsed": one.lapsed}.items():
        if amount is not None:
            cells[name] = nearest(amount)
    unknown = None in amounts.values()
    if unknown:
        cells["remark"] = _why(one)
    keys = {"pays": rights.pays(one.pool), "pool": one.pool, "agreement": one.agreement}
    return Row(cells, keys, tone=WARN if unknown else PLAIN)


def _why(one: Tranche) -> Msg:
    if one.missing:
        return msg("Unknown: not closed or not at hand: {months}", months=stretch(one.missing))
    return msg("Unknown: what was before is not on record")


# -------------------------------------------------------------------------------------------------- rules


_RULES = (
    Column("agreement", msg("Agreement"), wide=True),
    Column("from", msg("From")),
    Column("until", msg("Until, not included")),
    Column("key", msg("Shared")),
    Column("tranche", msg("Given out")),
    Column("under_use", msg("What is not used")),
    Column("carry_most", msg("Kept at most"), wanted=2),
    Column("carry_periods", msg("For slices"), wanted=2),
    Column("tolerance", msg("Tolerated beyond")),
    Column("document", msg("Document"), wide=True),
    Column("sha256", msg("Its SHA-256"), wanted=2),
    Column("confirmed", msg("Confirmed")),
)


def _rules(rights: Rights) -> Table:
    window = entitlement.reported(rights.view.dossier)
    mine = {one.right.agreement for one in rights.rows}
    found = [one.agreement for one in entitlement.in_force(rights.view.master, window)]
    rows = [_rule(one) for one in found if one.id in mine or not rights.narrow]
    return Table(
        "agreements",
        msg("Agreements in force in the period"),
        _RULES,
        tuple(rows),
        empty=msg("No agreement was in force in the period."),
    )


def _rule(one: Agreement) -> Row:
    cells: dict[str, Value] = {
        "agreement": Text(one.name or one.id),
        "key": KEYS[one.key],
        "tranche": TRANCHES[one.tranche],
        "under_use": UNDER_USE[one.under_use],
        "tolerance": Share(one.tolerance),
        "document": Text(one.document) if one.document else msg("none named"),
        "confirmed": confirmed(yes=one.confirmed),
    }
    if one.sha256:
        cells["sha256"] = Code(one.sha256[:HASH_DIGITS])
    if one.valid_from:
        cells["from"] = Day(one.valid_from)
    if one.valid_until is not None:
        cells["until"] = Day(one.valid_until)
    if one.under_use == CARRY:
        cells["carry_most"] = Share(one.carry_most)
        cells["carry_periods"] = (
            Count(one.carry_periods) if one.carry_periods else msg("to the agreement's end")
        )
    return Row(cells, {"agreement": one.id}, tone=PLAIN if one.confirmed else WARN)


def confirmed(*, yes: bool) -> Msg:
    """In words, never by a colour alone."""
    return msg("confirmed") if yes else msg("UNCONFIRMED")


def _sum(hours: Iterable[Hours]) -> Hours:
    found = add(hours)
    return found if isinstance(found, Hours) else Hours(0, Fraction(0))
