"""Why time was not used: lost, kept idle, not granted, waited for, or never asked for, by who pays and pool.

Invariant: entitled - used = unused - used beyond, and the reasons add up to what was not used, as shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby

from opsd.core import unused
from opsd.core.agreements import NOMINAL
from opsd.core.entitlement import Right
from opsd.core.statement import terms
from opsd.core.statement.footing import add, footed
from opsd.core.statement.rights import Rights, Shown, nearest, to_whole
from opsd.core.statement.sections.entitlement import UNIT
from opsd.core.statement.table import (
    STACKS,
    SUBTOTAL,
    TOTAL,
    WARN,
    Block,
    Chart,
    Column,
    Paragraph,
    Plus,
    Row,
    Section,
    Series,
    Table,
)
from opsd.core.statement.view import View
from opsd.core.statement.words import Hours, Text, Value, msg
from opsd.core.unused import REASONS, Unused

LABELS = {
    "planned_down": msg("Planned downtime"),
    "down": msg("Failures"),
    "reserved_idle": msg("Idle reservations"),
    "not_granted": msg("Not granted"),
    "waited": msg("Waited in the queue"),
    "not_submitted": msg("Nothing submitted"),
}
_COLUMNS = (
    Column("pool", msg("Who pays, and pool"), wide=True),
    Column("entitled", msg("Entitled, of nominal capacity"), sums=True),
    Column("used", msg("Used"), sums=True),
    Column("over", msg("Used beyond"), sums=True),
    Column("unused", msg("Not used"), formula=Plus(REASONS)),
    *(Column(reason, LABELS[reason], sums=True) for reason in REASONS),
    Column("over_allocated", msg("Granted beyond"), sums=True, wanted=2),
)


def section(view: View) -> Section | None:
    """Why; None where the scope does not hold all use of its pools."""
    rights = Rights(view, NOMINAL)
    if not rights.whole:
        return None
    shown = {one.right: one for one in rights.rows}
    found = [one for one in unused.of(view.dossier) if any(right in shown for right in one.rights)]
    blocks: list[Block] = []
    for resource in ("gpu", "cpu"):
        rows = [one for one in found if one.resource == resource]
        if rows:
            blocks += _of_resource(rights, resource, _pool_rows(rights, rows, shown))
            blocks += _unknown(rows)
    if not blocks:
        return None
    return Section("unused", msg("Why time was not used"), (_what_it_is(), *blocks))


def _what_it_is() -> Paragraph:
    return Paragraph(
        msg(
            "What pools are entitled to of the nominal capacity and did not use, by reason and in this "
            "order: planned downtime, failures and idle reservations, each with the pool's part of what the "
            "nodes lost; not granted: beyond what awards could draw; waited: what runs asked for while they "
            "were eligible. Each takes at most what those before it left. What remains is the "
            "rest, and not measured: nothing was submitted, or what was submitted never began."
        )
    )


def _of_resource(rights: Rights, resource: str, leaves: list[Row]) -> Iterator[Block]:
    rows: list[Row] = []
    for pays, group in groupby(leaves, lambda row: row.keys["pays"]):
        rows += [Row({"pool": terms.country(pays)}, {"pays": pays}, SUBTOTAL), *group]
    rows.append(Row({"pool": msg("Total")}, {}, TOTAL))
    done = footed(_COLUMNS, rows)
    title = (
        msg("Why time was not used, in GPU-hours")
        if resource == "gpu"
        else msg("Why time was not used, in CPU-hours")
    )
    notes = [
        msg(
            "Granted beyond: the part of the pool's grants that falls into the period, above its entitlement."
        )
    ]
    if rights.of_cluster:
        notes.append(msg("Awards are of no cluster: what is said of grants is this cluster's part."))
    yield Table(f"unused_{resource}", title, _COLUMNS, done, tuple(notes))
    payers = [row for row in done if row.role == SUBTOTAL]
    if any(
        isinstance(hours := row.cells[reason], Hours) and hours.hundredths
        for row in payers
        for reason in LABELS
    ):
        yield _chart(resource, payers)


def _chart(resource: str, payers: list[Row]) -> Chart:
    return Chart(
        f"unused_chart_{resource}",
        STACKS,
        msg("Why time was not used, by who pays"),
        tuple(row.cells["pool"] for row in payers),
        tuple(Series(label, tuple(row.cells[reason] for row in payers)) for reason, label in LABELS.items()),
        UNIT[resource],
    )


def _pool_rows(rights: Rights, rows: list[Unused], shown: dict[Right, Shown]) -> list[Row]:
    """One for each pool, over its clusters."""
    sums: dict[str, dict[str, Value]] = defaultdict(dict)
    for one in rows:
        held = sums[one.pool]
        for name, hours in _figures(one, shown).items():
            value = add([held[name], hours]) if name in held else hours
            if value is not None:
                held[name] = value
    ordered = sorted(sums, key=lambda pool: (rights.pays(pool) == "unattributed", rights.pays(pool), pool))
    return [
        Row(
            {"pool": Text(rights.view.name("pool", pool)), **sums[pool]},
            {"pays": rights.pays(pool), "pool": pool},
            depth=1,
        )
        for pool in ordered
    ]


def _figures(one: Unused, shown: dict[Right, Shown]) -> dict[str, Hours]:
    """A pool's figures on one cluster, rounded so that they foot."""
    mine = [shown[right] for right in one.rights if right in shown]
    entitled = sum(found.entitled.hundredths for found in mine)
    used = sum(found.used.hundredths for found in mine)
    reasons = _reasons(one, max(0, entitled - used))
    found = {
        "entitled": Hours(entitled, Fraction(one.entitled)),
        "used": Hours(used, Fraction(one.used)),
        "over": Hours(max(0, used - entitled), Fraction(one.over)),
        **{name: Hours(reasons[name], Fraction(one.reasons[name])) for name in REASONS},
    }
    if one.over_allocated is not None:
        found["over_allocated"] = nearest(one.over_allocated)
    return found


def _reasons(one: Unused, whole: int) -> dict[str, int]:
    """Hundredths of each reason; a hundredth that only rounding made is of the rest."""
    shown = to_whole([one.reasons[name] for name in REASONS])
    off = whole - sum(shown)
    last = len(shown) - 1
    shown[last if shown[last] + off >= 0 else shown.index(max(shown))] += off
    return dict(zip(REASONS, shown, strict=True))


def _unknown(rows: list[Unused]) -> Iterator[Paragraph]:
    pools = sorted({one.pool for one in rows if one.evidence["not_granted"] is None})
    if pools:
        text = msg(
            "Some awards are in units that cannot be converted, so what was not granted is unknown, and part "
            "of the rest: {pools}.",
            pools=Text(", ".join(pools)),
        )
        yield Paragraph(text, WARN)
