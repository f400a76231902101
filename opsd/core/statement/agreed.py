"""What was agreed, beside entitlement: slices and what is carried over, and the terms of each agreement.

Invariant: what nobody knows is left empty and says why, never 0; every agreement says in words whether it
is confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from opsd.core import entitlement
from opsd.core.agreements import CARRY, FIXED_HOURS, FRACTIONS, LAPSE, PROPORTIONAL, Agreement
from opsd.core.statement import terms
from opsd.core.statement.footing import footed
from opsd.core.statement.rights import Rights, nearest, stretch
from opsd.core.statement.table import PLAIN, WARN, Column, Less, Row, Table
from opsd.core.statement.words import Code, Count, Day, Hours, Month, Msg, Share, Text, Value, msg
from opsd.core.tranches import Tranche, standings

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
HASH_DIGITS = 12


def called(rights: Rights, agreement: str) -> str:
    """What people call an agreement."""
    names = [one.name for one in rights.view.master.agreements if one.id == agreement and one.name]
    return names[-1] if names else agreement


def confirmed(*, yes: bool) -> Msg:
    """In words, never by a colour alone."""
    return msg("confirmed") if yes else msg("UNCONFIRMED")


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


_PARTS = {
    "slice_entitled": "entitled", "year": "entitled", "open": "entitled",
    "slice_used": "used", "used": "used",
}  # fmt: skip


def tranches(rights: Rights) -> Iterator[Table]:
    """Of whole pools on all clusters: earlier months are known by agreement and pool alone."""
    if not rights.whole or rights.of_cluster:
        return
    mine = {one.right.pool for one in rights.rows}
    found = [one for one in standings(rights.view.dossier) if one.pool in mine]
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
        "agreement": Text(called(rights, one.agreement)),
        "slice": Month(one.label),
    }
    for name, amount in {**amounts, "kept": one.kept, "lapsed": one.lapsed}.items():
        if amount is not None:
            cells[name] = _as_elsewhere(rights, one, name, amount)
    unknown = None in amounts.values()
    if unknown:
        cells["remark"] = _why(one)
    keys = {"pays": rights.pays(one.pool), "pool": one.pool, "agreement": one.agreement}
    return Row(cells, keys, tone=WARN if unknown else PLAIN)


def _as_elsewhere(rights: Rights, one: Tranche, name: str, amount: int) -> Hours:
    """With this period's part as the table of entitlement shows it, so that the two never disagree."""
    which = _PARTS.get(name)
    if which is None:
        return nearest(amount)
    holder = (one.agreement, one.pool, one.resource)
    found = [
        row for row in rights.rows if (row.right.agreement, row.right.pool, row.right.resource) == holder
    ]
    parts: list[Hours] = [getattr(row, which) for row in found]
    rest = amount - sum((part.exact for part in parts), start=Fraction(0))
    shown = sum(part.hundredths for part in parts) + nearest(int(rest)).hundredths
    return Hours(shown, Fraction(amount))


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


def rules(rights: Rights) -> Table:
    """What was agreed, by which document, and whether it is confirmed."""
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
