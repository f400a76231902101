"""Funding and the agreed key: who gives what for which purpose by which document, and what share was agreed.

Invariant: euros stand beside shares and never make one, unless an agreement says so; no figure is shown
without the words confirmed or UNCONFIRMED; nobody sees another funder's euros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import groupby

from opsd.core import contributions, entitlement
from opsd.core.agreements import Agreement, Contribution, Funder, Share
from opsd.core.amounts import MICRO
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.money import Money
from opsd.core.period import HOUR
from opsd.core.statement import terms
from opsd.core.statement.agreed import HASH_DIGITS, KEYS, confirmed
from opsd.core.statement.footing import footed
from opsd.core.statement.table import (
    PLAIN,
    SUBTOTAL,
    TOTAL,
    WARN,
    Block,
    Column,
    Paragraph,
    Row,
    Section,
    Table,
)
from opsd.core.statement.view import View, in_order
from opsd.core.statement.words import Amount, Code, Day, Hours, Text, Value, msg
from opsd.core.statement.words import Share as Percent

PURPOSES = {
    "acquisition": msg("acquisition"),
    "operation": msg("operation"),
    "services": msg("services"),
    "experimental-platform": msg("experimental platform"),
    "other": msg("other"),
}
_PER_HOUR = 100


def section(view: View) -> Section | None:
    """Who gives what, and what was agreed; None where the reader has no part in either."""
    blocks = tuple(_blocks(view))
    if not blocks and view.scope:
        return None
    nothing = (Paragraph(msg("No contribution and no agreement is on record.")),)
    return Section("funding", msg("Funding and the agreed key"), blocks or nothing)


def _blocks(view: View) -> Iterator[Block]:
    reader = _Reader(view)
    if lines := reader.lines():
        yield _contributions(view, lines)
        if any(not line.confirmed for line in lines):
            text = msg("Amounts that are UNCONFIRMED were not yet approved with a document.")
            yield Paragraph(text, WARN)
    if rows := tuple(_key_rows(view)):
        yield Table(
            "agreed_key",
            msg("Agreed key, beside the contributions"),
            _KEY,
            rows,
            (
                msg(
                    "By contributions: the pool's part of the money for acquisition and operation of all "
                    "pools of the agreement. Services and the experimental platform buy no compute."
                ),
            ),
        )
    for name in reader.without_share():
        yield Paragraph(
            msg(
                "{funder} gives money for compute and has no share under any agreement in the period.",
                funder=Text(view.name("funder", name)),
            ),
            WARN,
        )


class _Reader:
    """Whose euros a scope may see."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.held = view.master
        self.key, self.value = view.scope_key, view.scope_value

    def sees(self, funder: str) -> bool:
        """Whether a funder's money is the reader's own."""
        if self.key in ("", "cluster"):
            return True
        if self.key == "funder":
            return self.value in {one.id for one in self.held.funder_chain(funder)}
        return self.key in ("pays", "country") and self.pays(funder) == self.value

    def pays(self, funder: str) -> str:
        """The country, or the JU, at the top of a funder's chain."""
        return self.view.payer(funder)

    def lines(self) -> list[Contribution]:
        """Contributions, and what funders without any are said to give, by who pays and funder."""
        told = {one.funder for one in self.held.contributions.values()}
        found = list(self.held.contributions.values())
        found += [
            _of_funder(one)
            for one in self.held.funders.values()
            if one.amount_meur is not None and one.id not in told
        ]
        mine = [one for one in found if self.sees(one.funder)]
        return sorted(mine, key=lambda one: in_order((self.pays(one.funder), one.funder, one.id)))

    def without_share(self) -> list[str]:
        """Funders whose money for compute no agreement in the period answers."""
        window = entitlement.reported(self.view.dossier)
        terms = entitlement.in_force(self.held, window)
        pools = {share.pool for one, _ in terms for share in entitlement.shares_of(self.held, one.id)}
        owners = {self.held.pools[name].funder for name in pools if name in self.held.pools}
        if not owners:
            return []
        return [
            name
            for name in contributions.of_funders(self.held)
            if self.sees(name) and not {one.id for one in self.held.funder_chain(name)} & owners
        ]


def _of_funder(funder: Funder) -> Contribution:
    """What stands at the funder alone, for no purpose in particular."""
    amount = Money(int(Fraction(funder.amount_meur or 0) * MICRO * MICRO), contributions.EUR)
    return Contribution(
        funder.id, funder.id, "other", amount, document=funder.source, confirmed=funder.confirmed
    )


# ------------------------------------------------------------------------------------------ contributions


_MONEY = (
    Column("funder", msg("Who pays, and funder"), wide=True),
    Column("purpose", msg("For")),
    Column("committed", msg("Committed"), sums=True),
    Column("paid", msg("Paid"), sums=True),
    Column("agreed_on", msg("Agreed on"), wanted=2),
    Column("document", msg("Document"), wide=True),
    Column("sha256", msg("Its SHA-256"), wanted=2),
    Column("confirmed", msg("Confirmed")),
    Column("standing", msg("Remark"), wide=True),
)


def _contributions(view: View, lines: list[Contribution]) -> Table:
    reader = _Reader(view)
    currencies = {money.currency for one in lines for money in (one.committed, one.paid) if money is not None}
    one_currency = len(currencies) == 1
    rows: list[Row] = []
    for pays, group in groupby(lines, lambda one: reader.pays(one.funder)):
        rows.append(Row({"funder": terms.country(pays)}, {"pays": pays}, SUBTOTAL))
        rows += [_contribution(view, pays, one) for one in group]
    if one_currency:
        rows.append(Row({"funder": msg("Total")}, {}, TOTAL))
    columns = _MONEY if one_currency else tuple(replace(column, sums=False) for column in _MONEY)
    return Table("contributions", msg("Contributions"), columns, footed(columns, rows))


def _contribution(view: View, pays: str, one: Contribution) -> Row:
    replaced = one.id in contributions.superseded(view.master)
    from_funder = one.id not in view.master.contributions
    cells: dict[str, Value] = {
        "funder": Text(view.name("funder", one.funder)),
        "purpose": msg("not told apart") if from_funder else PURPOSES[one.purpose],
        "document": Text(one.document) if one.document else msg("none named"),
        **_hash(one.sha256),
        "confirmed": confirmed(yes=one.confirmed),
    }
    for name in ("committed", "paid"):
        money: Money | None = getattr(one, name)
        if money is not None:
            cells[name] = Amount(*money)
    if one.agreed_on is not None:
        cells["agreed_on"] = Day(one.agreed_on)
    if replaced:
        cells["standing"] = msg("superseded, counted nowhere")
    elif not from_funder and not contributions.buys_compute(view.master, one):
        cells["standing"] = msg("buys no compute")
    keys = {"pays": pays, "funder": one.funder, "contribution": one.id}
    return Row(cells, keys, depth=1, tone=PLAIN if one.confirmed else WARN, summed=not replaced)


def _hash(sha256: str) -> dict[str, Value]:
    return {"sha256": Code(sha256[:HASH_DIGITS])} if sha256 else {}


# ---------------------------------------------------------------------------------------------------- key


_KEY = (
    Column("agreement", msg("Agreement"), wide=True),
    Column("pays", msg("Who pays")),
    Column("pool", msg("Pool"), wide=True),
    Column("key", msg("Shared"), wanted=2),
    Column("share_exact", msg("Agreed share, exactly")),
    Column("share", msg("Agreed share")),
    Column("hours", msg("Hours of a year")),
    Column("by_contributions", msg("By contributions")),
    Column("confirmed", msg("Confirmed")),
)


def _key_rows(view: View) -> Iterator[Row]:
    """Each pool of each version in force; then what is left, where every pool is shown."""
    window = entitlement.reported(view.dossier)
    for agreement, _ in entitlement.in_force(view.master, window):
        shares = entitlement.shares_of(view.master, agreement.id)
        parts = entitlement.fractions(view.master, agreement)
        euros = contributions.parts(view.master, [share.pool for share in shares])
        for share in shares:
            if share.pool in view.pools:
                yield _key_row(view, agreement, share, parts, euros)
        left = 1 - sum(parts.values(), start=Fraction(0)) if parts is not None else Fraction(0)
        if left and set(view.pools) == set(view.master.pools):
            cells: dict[str, Value] = {
                "agreement": Text(agreement.name or agreement.id),
                "pool": msg("Not shared out"),
                **_exact(left),
            }
            yield Row(cells, {"agreement": agreement.id, "pool": ""})


def _key_row(
    view: View,
    agreement: Agreement,
    share: Share,
    parts: dict[str, Fraction] | None,
    euros: dict[str, Fraction] | None,
) -> Row:
    pool = view.master.pools.get(share.pool)
    pays = view.payer(pool.funder) if pool else UNATTRIBUTED
    cells: dict[str, Value] = {
        "agreement": Text(agreement.name or agreement.id),
        "pays": terms.country(pays),
        "pool": Text(view.name("pool", share.pool)),
        "key": KEYS[agreement.key],
        "confirmed": confirmed(yes=agreement.confirmed),
    }
    if parts is not None and share.pool in parts:
        cells |= _exact(parts[share.pool])
    if share.hours is not None:
        hundredths = (2 * share.hours * _PER_HOUR + 1) // 2
        cells["hours"] = Hours(int(hundredths), share.hours * HOUR)
    if euros is not None and share.pool in euros:
        cells["by_contributions"] = Percent(euros[share.pool])
    keys = {"agreement": agreement.id, "pays": pays, "pool": share.pool}
    return Row(cells, keys, tone=PLAIN if agreement.confirmed else WARN)


def _exact(part: Fraction) -> dict[str, Value]:
    return {"share_exact": Text(f"{part.numerator}/{part.denominator}"), "share": Percent(part)}
