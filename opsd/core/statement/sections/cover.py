"""What a reader of this page alone must see: what period, whose, how it stands, whether it can be trusted.

Invariant: every warning stands here; the rest of the statement says more, and nothing worse.
"""

from __future__ import annotations

from collections.abc import Iterator

from opsd.core.dossier import Digests
from opsd.core.statement import payers, standing
from opsd.core.statement.table import GOOD, WARN, Block, Facts, Paragraph, Section
from opsd.core.statement.view import View
from opsd.core.statement.words import Code, Country, Moment, Month, Msg, Text, Value, msg

FIRST = 16  # digits of a digest that tell it apart at a glance
Fact = tuple[str, Msg, Value]


def section(view: View) -> Section | None:
    """The period, the numbers, the warnings, the digests and who signs."""
    warnings = [Paragraph(text, WARN) for text in standing.warnings(view)]
    blocks: list[Block] = [_period(view), payers.table(view), _numbers(view), _trust(view)]
    blocks += _year_begins(view)
    nothing = (
        [] if standing.concerns(view) else [Paragraph(msg("Nothing odd is known about the data."), GOOD)]
    )
    blocks += warnings or nothing
    blocks += _concerns(view)
    blocks += [_digests(view), _signatures(view)]
    return Section("cover", msg("Usage report"), tuple(blocks))


def _period(view: View) -> Facts:
    dossier = view.dossier
    facts: list[Fact] = [
        ("consortium", msg("Consortium"), Text(dossier.consortium)),
        ("period", msg("Period"), Month(dossier.span.text)),
        ("from", msg("From"), Moment(dossier.span.start)),
        ("until", msg("Until, not included"), Moment(dossier.span.end)),
        ("zone", msg("Time zone"), Text(dossier.span.zone)),
        ("scope", msg("Part shown"), scope(view)),
        ("standing", msg("Standing"), standing.standing(view)),
        ("as_of", msg("As of"), Moment(dossier.as_of)),
    ]
    if dossier.closing is not None:
        facts.append(("closed_at", msg("Closed at"), Moment(dossier.closing.closed_at)))
    return Facts("period", None, tuple(facts))


def scope(view: View) -> Value:
    """Whose part a statement shows."""
    key, value = view.scope_key, view.scope_value
    if not key:
        return standing.WHOLE
    name: Value = Country(value) if key in ("country", "pays") else Text(view.name(key, value))
    return msg("{what}: {name}", what=standing.SCOPES[key], name=name)


def _numbers(view: View) -> Facts:
    total = view.total(view.parts)
    facts: list[Fact] = [
        ("gpu_hours", msg("GPU-hours used"), total.hours("gpu")),
        ("node_hours", msg("Node-hours used"), total.hours("node")),
        ("cpu_hours", msg("CPU-hours used"), total.hours("cpu")),
    ]
    if view.dossier.previous_span is not None:
        before = view.total(view.previous).hours("gpu")
        facts.append(("previous_gpu_hours", msg("GPU-hours, period before"), before))
    if view.dossier.year:
        year = view.total(view.to_date).hours("gpu")
        facts.append(("year_gpu_hours", msg("GPU-hours since January"), year))
    return Facts("numbers", msg("In short"), tuple(facts))


def _trust(view: View) -> Facts:
    """Three answers in plain words."""
    return Facts(
        "trust",
        msg("Can it be relied on?"),
        (
            ("closed", msg("Closed"), standing.is_closed(view)),
            ("complete", msg("Complete"), standing.is_complete(view)),
            ("reconciled", msg("Reconciled"), standing.is_reconciled(view)),
        ),
    )


def _year_begins(view: View) -> Iterator[Block]:
    """Since January is since then alone, where nobody's use is on record before."""
    first = min((past.month for past in view.dossier.year), default="-01")
    if not first.endswith("-01"):
        text = msg("No use is on record before {month}: figures of the year begin there.", month=Month(first))
        yield Paragraph(text, WARN)


def _concerns(view: View) -> Iterator[Block]:
    title = msg("Acknowledged when it was closed") if view.dossier.closing else msg("Stands against a close")
    found = standing.concerns(view)
    if found:
        facts = ((one.name, standing.what(one), standing.told(view, one)) for one in found)
        yield Facts("concerns", title, tuple((name, _label(what), value) for name, what, value in facts))


def _label(what: Value) -> Msg:
    return what if isinstance(what, Msg) else msg("{name}", name=what)


def _digests(view: View) -> Facts:
    found = view.dossier.digests
    facts: list[Fact] = [
        (name, DIGESTS[name], Code(getattr(found, name)[:FIRST])) for name in DIGESTS if getattr(found, name)
    ]
    if view.dossier.closing is not None:
        facts.append(("chain", msg("Head of the journal"), Code(view.dossier.closing.chain[:FIRST])))
    return Facts("digests", msg("First digits of what it stands on (SHA-256)"), tuple(facts))


DIGESTS = dict(
    zip(
        Digests._fields,
        (msg("Facts"), msg("Master data"), msg("Configuration"), msg("Program")),
        strict=True,
    )
)


def _signatures(view: View) -> Facts:
    closing = view.dossier.closing
    line = Text("")
    return Facts(
        "signatures",
        msg("Signatures"),
        (
            ("prepared_by", msg("Prepared by"), Text(closing.author if closing else "")),
            ("prepared_signature", msg("Place, date, signature"), line),
            ("approved_by", msg("Approved by"), Text(closing.approver if closing else "")),
            ("approved_signature", msg("Place, date, signature"), line),
        ),
    )
