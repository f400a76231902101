"""Entitlement against use: what each agreement divides, by pool and by who pays, with tranches and rules.

Invariant: use by pool adds up to all use of the GPUs, and what is shared out, not shared out and divided by
nobody to the capacity; what nobody knows is said to be unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import groupby

from opsd.core import entitlement
from opsd.core.agreements import (
    AVAILABLE,
    NOMINAL,
)
from opsd.core.statement import agreed, terms
from opsd.core.statement.footing import add, footed
from opsd.core.statement.rights import Rights, Shown
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
    Hours,
    Msg,
    Share,
    Text,
    Value,
    msg,
    term,
)

RESOURCES = ("gpu", "cpu")
UNIT = {"gpu": msg("GPU-hours"), "cpu": msg("CPU-hours")}
BASES = {NOMINAL: msg("nominal capacity"), AVAILABLE: msg("available capacity")}
NO_AGREEMENT = msg("Without an agreement")


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
    yield from agreed.tranches(rights)
    yield agreed.rules(rights)


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
                agreement=Text(agreed.called(rights, agreement)),
            )
            yield Paragraph(text, WARN)
    for agreement in found.no_key:
        if not rights.view.scope:
            text = msg(
                "{agreement} is shared by contributions, and those on record cannot be compared: nobody's "
                "entitlement under it is known.",
                agreement=Text(agreed.called(rights, agreement)),
            )
            yield Paragraph(text, WARN)
    if rights.view.dossier.provisional:
        yield Paragraph(msg("The period is not over: entitlement is counted up to now, as use is."))


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
        "agreement": Text(agreed.called(rights, right.agreement)),
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
    versions = [
        one for one in entitlement.in_force(rights.view.master, window) if one.agreement.id == agreement
    ]
    parts = entitlement.fractions(rights.view.master, versions[-1].agreement) if versions else None
    if parts is None or pool not in parts:
        return {}
    part = parts[pool]
    return {"share_exact": terms.fraction(part), "share": Share(part)}


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
        name: Value = terms.NOBODYS
        if pool in rights.view.master.pools:  # pools of two payers may have one name
            payer = terms.country(rights.pays(pool))
            name = terms.joined((Text(rights.view.name("pool", pool)), payer))
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
        "agreement": Text(agreed.called(rights, name)) if name else msg("Divided by no agreement"),
        "nodes": Text(", ".join(places)),
        "basis": term(members[0].right.basis, BASES),
        "divided": _sum(one.entitled for one in members),
        "shared_out": _sum(one.entitled for one in members if one.right.pool),
    }
    window = entitlement.reported(rights.view.dossier)
    versions = [one for one in entitlement.in_force(rights.view.master, window) if one.agreement.id == name]
    if versions:
        seconds = sum(one.seconds for one in versions)
        parts = sorted({one.agreement.part for one in versions})
        cells["part"] = Text(", ".join(terms.fraction(part).text for part in parts))
        cells["in_force"] = Share(Fraction(seconds, window.seconds))
    return Row(cells, {"agreement": name, "basis": basis})


def _sum(hours: Iterable[Hours]) -> Hours:
    found = add(hours)
    return found if isinstance(found, Hours) else Hours(0, Fraction(0))
