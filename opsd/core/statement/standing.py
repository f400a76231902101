"""What a reader must know before a number is relied on: how a period stands, and what is odd about its data.

Invariant: of a scope it names no account, project or party but the reader's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from opsd.core.dossier import Concern, Dossier
from opsd.core.period import DAY
from opsd.core.statement import told as sentences
from opsd.core.statement.view import REPORTED, View
from opsd.core.statement.words import Count, Moment, Msg, Text, Value, msg, term

SCOPES = {
    "country": msg("Country of the leading organisation"),
    "organisation": msg("Organisation"),
    "project": msg("Project"),
    "pays": msg("Who pays"),
    "funder": msg("Funder"),
    "cluster": msg("Cluster"),
}
WHOLE = msg("The whole installation")
CONCERNS = {
    "quarantine": msg("Records that could not be read"),
    "begins-late": msg("Accounting begins late"),
    "not-read": msg("Accounting not read to the end"),
    "unattributed": msg("Use without an award"),
    "unpriced": msg("Use without a charge"),
    "unclassified": msg("GPUs of no known class"),
    "no-certificate": msg("No certificate"),
    "unexplained": msg("Differences without a cause"),
    "no-capacity": msg("No inventory of nodes"),
}


def standing(view: View) -> Msg:
    """Closed, provisional, or as now known."""
    closing = view.dossier.closing
    if closing is not None and view.standing == REPORTED:
        return msg("Closed: as reported, edition {edition}", edition=Count(closing.edition))
    if view.dossier.provisional:
        return msg("Provisional: the period is not over")
    edition = reported_before(view.dossier)
    if edition is not None:
        return msg("As now known; reported before as edition {edition}", edition=Count(edition))
    return msg("As now known; the period is not closed")


def reported_before(dossier: Dossier) -> int | None:
    """The edition that the period was closed as; also of a dossier that is as now known."""
    if dossier.closing is not None:
        return dossier.closing.edition
    return next((one.edition for one in dossier.closed if one.period == dossier.span.text), None)


# ------------------------------------------------------------------------------- can it be relied on?


def is_closed(view: View) -> Msg:
    """Whether its numbers can still change."""
    dossier, edition = view.dossier, reported_before(view.dossier)
    if dossier.provisional:
        return msg("No: the period is not over.")
    if edition is None:
        return msg("No: the numbers can still change.")
    if view.standing == REPORTED:
        return msg("Yes: as edition {edition}. These numbers stay as they are.", edition=Count(edition))
    return msg("Reported as edition {edition}; here stands what is known now.", edition=Count(edition))


_GAPS = ("begins-late", "not-read")  # concerns that say that some of the period was never read


def is_complete(view: View) -> Msg:
    """Whether everything that ran was read."""
    quality = view.dossier.quality
    reasons = (
        quality.first is not None and quality.first - view.dossier.span.start >= DAY,
        view.dossier.provisional,
        any(True for _ in _reach(view)),
        bool(quality.quarantined),
        any(one.name.partition(":")[0] in _GAPS for one in concerns(view)),
    )
    if any(reasons):
        return msg("No: see below what is missing.")
    return msg("Yes: Slurm's accounting was read from the begin of the period to its end.")


def is_reconciled(view: View) -> Msg:
    """Whether somebody compared it with Slurm's own report, and what came of it."""
    kinds = [one.name.partition(":") for one in concerns(view)]
    mine = [kind for kind, _, place in kinds if view.scope_key != "cluster" or place == view.scope_value]
    if "unexplained" in mine:
        return msg("No: some figures differ from Slurm's own report without a cause.")
    if "no-certificate" in mine:
        return msg("No: not all of the period was compared with Slurm's own report.")
    return msg("Yes: Slurm's own report says the same, or the difference is explained.")


def warnings(view: View) -> Iterator[Msg]:
    """One line for each oddity of the data."""
    dossier, quality = view.dossier, view.dossier.quality
    if quality.first is not None and quality.first - dossier.span.start >= DAY:
        # Less than a day without any run is a quiet night, not accounting that nobody read.
        yield msg("Incomplete: accounting begins at {moment}; what was used before was not read.",
                  moment=Moment(quality.first))  # fmt: skip
    if dossier.provisional:
        yield msg("The period is not over: use up to {moment} counts.", moment=Moment(dossier.as_of))
    yield from _reach(view)
    if any(not part.place.attributed for part in view.parts):
        yield msg("Some use belongs to no award and is shown as unattributed.")
    if quality.quarantined:
        yield msg(
            "{number} records could not be read and are not counted.", number=Count(quality.quarantined)
        )
    if any(one.unpriced for one in view.balances):
        yield msg("Some use could not be charged; the awards concerned are marked.")
    if any(part.place.outside for part in view.parts):
        yield msg("Some use lies outside its award's dates and is in none of the awards' charges.")
    if any(one.unexplained_cells for one in dossier.certificates):
        yield msg("Not all of the difference to Slurm's own report is explained.")


def _reach(view: View) -> Iterator[Msg]:
    """How far accounting was read: by the sweep that is furthest behind, else as the last text says."""
    quality = view.dossier.quality
    until = min((one.until for one in quality.covered), default=quality.last_observed)
    if until is None:
        yield msg("Nobody knows how far Slurm's accounting was read.")
    elif until < view.dossier.as_of:
        yield msg(
            "Slurm's accounting was read up to {moment}: later runs will be added.", moment=Moment(until)
        )


def concerns(view: View) -> tuple[Concern, ...]:
    """What was acknowledged when the period was closed; before that, what stands against a close."""
    closing = view.dossier.closing
    return closing.acknowledged if closing else view.dossier.concerns


def what(concern: Concern) -> Value:
    """Its kind in words."""
    return term(concern.name.partition(":")[0], CONCERNS)


def told(view: View, concern: Concern) -> Value:
    """What it says; of a scope only where it is, for the rest may be about others."""
    if view.whole:
        return sentences.concern(concern.text, view.cluster_name)
    place = concern.name.partition(":")[2]
    return Text(place) if place in view.master.clusters else WHOLE
