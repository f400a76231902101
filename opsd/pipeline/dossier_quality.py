"""What a reader of a dossier must know about its data, and what stands against closing it.

Invariant: a concern has a name that does not change, and figures that may; nothing here moves a number. What
is said of readings ends with the period, so that reading on says nothing new of a period that is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from opsd.core import canonical
from opsd.core.consortium import Consortium
from opsd.core.dossier import Balance, Certificate, Concern, Covered, Dossier, Line, Quality, Span
from opsd.core.fields import shared
from opsd.core.flags import Flag
from opsd.core.period import HOUR, Window, isoformat, zone
from opsd.core.plan import joined
from opsd.core.reach import begins_late
from opsd.pipeline import usage
from opsd.store import certificates, imports, odd_runs, quality, read, span, sweeps
from opsd.store.engine import Connection


def run(connection: Connection, window: Window, unclassified: int, capacity_notes: Sequence[str]) -> Quality:
    """Of the runs that overlap a window, and of how they were read."""
    reading, known = quality.last_reading(connection), span.span(connection)
    unplaced, two_sluids = odd_runs.counts(connection, window, (Flag.SUSPENDED_UNPLACED, Flag.TWO_SLUIDS))
    return Quality(
        runs=sum(row.measures.runs for row in usage.run(connection, window).rows),
        open_runs=_open_runs(connection, window),
        unclassified=unclassified,
        unplaced=unplaced,
        two_sluids=two_sluids,
        quarantined=imports.quarantine_count(connection),
        first=max(known.first, window.start) if known and known.first < window.end else None,
        last_observed=min(reading.observed_at, window.end) if reading else None,
        last_read=reading.finished_at if reading and reading.finished_at <= window.end else None,
        covered=tuple(
            Covered(one.cluster, min(one.covered_until, window.end), min(one.observed_at, window.end))
            for one in sweeps.every(connection)
        ),
        capacity_notes=tuple(capacity_notes),
    )


def _open_runs(connection: Connection, window: Window) -> int:
    found = (limited.held for limited in read.going_on(connection, window.end))
    return sum(max(held.finish, held.begin + 1) > window.start for held in found)


def of_certificates(connection: Connection, window: Window) -> tuple[Certificate, ...]:
    """Certificates that meet a window, but for those of which a later and wider one says all."""
    kept = [
        one for one in certificates.every(connection) if one.start < window.end and one.end > window.start
    ]
    found = [
        one
        for one in kept
        if not any(_says_all(other, one) for other in kept if other.cluster == one.cluster)
    ]
    return tuple(_certificate(connection, one) for one in found)


def _says_all(other: certificates.Kept, one: certificates.Kept) -> bool:
    wider = other.start <= one.start and other.end >= one.end and other[:3] != one[:3]
    return wider and other.made_at >= one.made_at


def _certificate(connection: Connection, kept: certificates.Kept) -> Certificate:
    document = certificates.document(connection, kept.cluster, Window(kept.start, kept.end))
    return Certificate(
        kept.cluster, kept.start, kept.end, kept.made_at, kept.cells, kept.unexplained_cells,
        kept.unknowable_cells, {tres: kept.seconds[tres][0] for tres in sorted(kept.seconds)},
        canonical.digest(document or ""),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- concerns


def concerns(dossier: Dossier) -> tuple[Concern, ...]:
    """What stands against a close, by name."""
    clusters = _clusters(dossier.master, dossier.lines, dossier.quality, dossier.span)
    found = (
        *_of_reading(dossier, clusters),
        *_of_use(dossier),
        *_of_certificates(dossier, clusters),
        *_of_capacity(dossier),
    )
    return tuple(sorted(found))


def _clusters(known: Consortium, lines: Iterable[Line], quality_: Quality, span_: Span) -> list[str]:
    """Clusters that were there: used, read, or with nodes by the master data."""
    named = {line.key.cluster for line in lines} | {one.cluster for one in quality_.covered}
    for name in known.clusters:
        classes = [one for one in known.node_classes if one.cluster == name]
        here = (shared(one.valid_from, one.valid_until, span_.start, span_.end) for one in classes)
        if any(here) or not classes:
            named.add(name)
    return sorted(named)


def _of_reading(dossier: Dossier, clusters: Sequence[str]) -> Iterator[Concern]:
    told, as_of, tz = dossier.quality, dossier.as_of, zone(dossier.span.zone)
    if told.quarantined:
        yield Concern(
            "quarantine", f"records that could not be read and are not counted: {told.quarantined:,}"
        )
    if told.first is None:
        yield Concern("begins-late", "no accounting from before the period's end was ever read")
    elif begins_late(told.first, dossier.span.window):
        yield Concern("begins-late", f"accounting begins at {isoformat(told.first, tz)}, inside the period")
    covered = {one.cluster: one.until for one in told.covered}
    for cluster in clusters:
        until = covered.get(cluster, told.last_observed)
        if until is None:
            yield Concern(f"not-read:{cluster}", f"the accounting of {cluster} was never read")
        elif until < as_of:
            yield Concern(
                f"not-read:{cluster}",
                f"the accounting of {cluster} was read up to {isoformat(until, tz)} only, "
                f"and the period goes on to {isoformat(as_of, tz)}",
            )


def _of_use(dossier: Dossier) -> Iterator[Concern]:
    nobodys = [line for line in dossier.lines if not line.key.award]
    if nobodys:
        accounts = {(line.key.cluster, line.key.account) for line in nobodys}
        gpu, node = (sum(getattr(line.seconds, name) for line in nobodys) for name in ("gpu", "node"))
        yield Concern(
            "unattributed",
            f"accounts without an award: {len(accounts):,}, with {gpu:,} GPU-seconds "
            f"and {node:,} node-seconds",
        )
    unpriced = [one.award for one in dossier.balances if one.unpriced and _matters(one, dossier)]
    if unpriced:
        yield Concern("unpriced", f"awards with use that has no charge: {', '.join(unpriced)}")
    if dossier.quality.unclassified:
        yield Concern(
            "unclassified", f"GPU-seconds on GPUs of no known class: {dossier.quality.unclassified:,}"
        )


def _matters(one: Balance, dossier: Dossier) -> bool:
    """Whether an award with unpriced use was used in the period."""
    return any(line.key.award == one.award and not line.key.outside for line in dossier.lines)


def _of_certificates(dossier: Dossier, clusters: Sequence[str]) -> Iterator[Concern]:
    tz, window = zone(dossier.span.zone), Window(dossier.span.start, dossier.as_of)
    for cluster in clusters:
        own = [one for one in dossier.certificates if one.cluster == cluster]
        missing = _missing(own, window)
        if missing:
            hours = sum(end - start for start, end in missing) / HOUR
            yield Concern(
                f"no-certificate:{cluster}",
                f"no certificate compares {cluster} with Slurm's own report for {hours:,.0f} hours of "
                f"the period, the first from {isoformat(missing[0][0], tz)}",
            )
        cells = sum(one.unexplained_cells for one in own)
        if cells:
            known = sum(one.unknowable_cells for one in own)
            yield Concern(
                f"unexplained:{cluster}",
                f"figures of {cluster} that differ from Slurm's without a cause: {cells:,}, of them within "
                f"what nobody can know: {known:,}; seconds by TRES: {_seconds(own)}",
            )


def _missing(own: Iterable[Certificate], window: Window) -> list[tuple[int, int]]:
    """Stretches of an hour and more that no certificate covers; certificates are of whole hours."""
    found, at = list[tuple[int, int]](), window.start
    for start, end in (*joined((one.start, one.end) for one in own), (window.end, window.end + 1)):
        if start - at >= HOUR:
            found.append((at, min(start, window.end)))
        at = max(at, end)
    return found


def _seconds(own: Iterable[Certificate]) -> str:
    sums: dict[str, int] = {}
    for one in own:
        for tres, seconds in one.unexplained.items():
            sums[tres] = sums.get(tres, 0) + seconds
    return ", ".join(f"{tres} {sums[tres]:,}" for tres in sorted(sums) if sums[tres])


def _of_capacity(dossier: Dossier) -> Iterator[Concern]:
    told = {one.cluster for one in dossier.capacity}
    for cluster in sorted({line.key.cluster for line in dossier.lines} - told):
        yield Concern(
            f"no-capacity:{cluster}", f"no inventory of nodes tells what {cluster} could have given"
        )
