"""Whether the data can be trusted: certificates against Slurm, what was read, what is odd, what is nobody's.

Invariant: accounts of nobody add up to the line of what is unattributed; a scope sees none of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from opsd.core import figures
from opsd.core.dossier import Certificate, Concern, Seconds
from opsd.core.statement import standing, terms
from opsd.core.statement.footing import footed
from opsd.core.statement.rounding import SHOWN_SECONDS
from opsd.core.statement.sections.cover import FIRST
from opsd.core.statement.table import (
    BAD,
    GOOD,
    PLAIN,
    TOTAL,
    WARN,
    Block,
    Column,
    Facts,
    Paragraph,
    Row,
    Section,
    Table,
)
from opsd.core.statement.view import Hundredths, Sum, View
from opsd.core.statement.words import Code, Count, Hours, Moment, Msg, Text, Value, msg

CERTIFICATES = (
    terms.CLUSTER,
    Column("start", msg("From")),
    Column("end", msg("Until, not included")),
    Column("made_at", msg("Made at"), wanted=2),
    Column("cells", msg("Figures compared"), sums=True),
    Column("unexplained", msg("Not explained"), sums=True),
    Column("unknowable", msg("Cannot be known"), sums=True),
    Column("digest", msg("Digest")),
)
UNEXPLAINED = (
    terms.CLUSTER,
    Column("resource", msg("Resource")),
    Column("hours", msg("Hours not explained")),
)
READ = (terms.CLUSTER, Column("until", msg("Read up to")), Column("observed_at", msg("Read at")))
UNBOUND = (terms.CLUSTER, Column("account", msg("Account"), wide=True), terms.GPU, terms.NODE, terms.CPU)


def section(view: View) -> Section | None:
    """What each of them says."""
    blocks: list[Block] = [
        _certificates(view),
        *_unexplained(view),
        _read(view),
        _quality(view),
        *_unbound(view),
    ]
    return Section("reconciliation", msg("Reconciliation and data quality"), (*blocks, *_concerns(view)))


def _certificates(view: View) -> Table:
    rows = [_certificate(view, one) for one in _seen(view)]
    known = {one.cluster for one in _seen(view)}
    missing = [
        Row({"cluster": _cluster(view, name), "digest": msg("There is none")}, {"cluster": name}, tone=WARN)
        for name in _clusters(view)
        if name not in known
    ]
    total = [Row({"cluster": terms.TOTAL}, {}, TOTAL)] if rows else []
    return Table(
        "certificates",
        msg("Compared with Slurm's own report"),
        CERTIFICATES,
        footed(CERTIFICATES, [*rows, *missing, *total]),
        (
            msg(
                "A figure is explained where named causes, each from its own evidence, account for all of the"
                " difference."
            ),
        ),
        msg("There are no clusters."),
    )


def _clusters(view: View) -> list[str]:
    return [name for name in view.master.clusters if view.scope_key != "cluster" or name == view.scope_value]


def _seen(view: View) -> list[Certificate]:
    return [
        one
        for one in view.dossier.certificates
        if view.scope_key != "cluster" or one.cluster == view.scope_value
    ]


def _cluster(view: View, name: str) -> Value:
    return Text(view.name("cluster", name))


def _certificate(view: View, one: Certificate) -> Row:
    cells: dict[str, Value] = {
        "cluster": _cluster(view, one.cluster),
        "start": Moment(one.start),
        "end": Moment(one.end),
        "made_at": Moment(one.made_at),
        "cells": Count(one.cells),
        "unexplained": Count(one.unexplained_cells),
        "unknowable": Count(one.unknowable_cells),
        "digest": Code(one.digest[:FIRST]),
    }
    return Row(cells, {"cluster": one.cluster}, tone=BAD if one.unexplained_cells else GOOD)


def _unexplained(view: View) -> Iterator[Table]:
    rows = tuple(
        Row(
            {"cluster": _cluster(view, one.cluster), "resource": Text(tres), "hours": _hours(seconds)},
            {"cluster": one.cluster, "resource": tres},
            tone=BAD,
        )
        for one in _seen(view)
        for tres, seconds in sorted(one.unexplained.items())
        if seconds
    )
    if rows:
        yield Table("unexplained", msg("What is not explained"), UNEXPLAINED, rows)


def _hours(seconds: int) -> Hours:
    return Hours(figures.nearest(seconds, SHOWN_SECONDS), Fraction(seconds))


def _read(view: View) -> Table:
    shown = _clusters(view)
    rows = tuple(
        Row(
            {
                "cluster": _cluster(view, one.cluster),
                "until": Moment(one.until),
                "observed_at": Moment(one.observed_at),
            },
            {"cluster": one.cluster},
            tone=PLAIN if one.until >= view.dossier.as_of else WARN,
        )
        for one in view.dossier.quality.covered
        if one.cluster in shown or view.scope_key != "cluster"
    )
    return Table("read", msg("How far Slurm's accounting was read"), READ, rows, empty=_last_read(view))


def _last_read(view: View) -> Msg:
    at = view.dossier.quality.last_observed
    if at is None:
        return msg("Nobody knows how far Slurm's accounting was read.")
    return msg("Slurm's accounting was read as text, up to {moment}.", moment=Moment(at))


def _quality(view: View) -> Facts:
    found = view.dossier.quality
    title = msg("Data quality") if view.whole else msg("Data quality, of the whole installation")
    return Facts(
        "quality",
        title,
        (
            ("runs", msg("Runs that overlap the period"), Count(found.runs)),
            ("open_runs", msg("Of these, still open"), Count(found.open_runs)),
            ("quarantined", msg("Records that could not be read"), Count(found.quarantined)),
            ("unclassified", msg("GPU-hours of no known class"), _hours(found.unclassified)),
            ("unplaced", msg("Runs whose suspended time is spread evenly"), Count(found.unplaced)),
            ("two_ids", msg("Runs that Slurm knows under two ids"), Count(found.two_sluids)),
        ),
    )


def _concerns(view: View) -> Iterator[Block]:
    for one in standing.concerns(view) if view.whole else ():
        yield Paragraph(msg("{what}: {text}", what=_said(view, one), text=standing.told(view, one)), WARN)


def _said(view: View, one: Concern) -> Msg:
    if view.dossier.closing:
        return msg("Acknowledged ({name})", name=Text(one.name))
    return msg("Stands against a close ({name})", name=Text(one.name))


# ------------------------------------------------------------------------------------------- nobody's use


def _unbound(view: View) -> Iterator[Table]:
    sums: dict[tuple[str, str], list[Seconds]] = defaultdict(list)
    for line in view.dossier.lines:
        if not line.key.award and view.holds(view.place_of("")._replace(cluster=line.key.cluster)):
            sums[line.key.cluster, line.key.account].append(line.seconds)
    if not sums:
        return
    rows = [*_accounts(view, sums), Row({"cluster": terms.TOTAL}, {}, TOTAL)]
    yield Table("unbound", msg("Accounts that no award is bound to"), UNBOUND, footed(UNBOUND, rows))


def _accounts(view: View, sums: dict[tuple[str, str], list[Seconds]]) -> Iterator[Row]:
    """Per cluster, adding up to what is shown of it as unattributed."""
    nobodys = view.by(
        lambda part: (part.place.cluster,), (part for part in view.parts if not part.place.attributed)
    )
    for (cluster,), whole in nobodys.items():
        keys = sorted(key for key in sums if key[0] == cluster)
        seconds = [Seconds(*map(sum, zip(*sums[key], strict=True))) for key in keys]
        columns = [
            figures.largest_remainder([one[at] for one in seconds], SHOWN_SECONDS, total)
            for at, total in enumerate(whole.shown)
        ]
        for key, used, shown in zip(keys, seconds, zip(*columns, strict=True), strict=True):
            use = Sum(used, Hundredths(*shown))
            cells: dict[str, Value] = {f"{name}_hours": use.hours(name) for name in ("gpu", "node", "cpu")}
            where = {"cluster": _cluster(view, cluster), "account": Text(key[1])}
            yield Row({**where, **cells}, {"cluster": cluster, "account": key[1]}, tone=WARN)
