"""Accounting records into the store: batch by batch, each batch whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from collectors.slurm.reading import RecordReader
from collectors.slurm.sacct import BadRecord, Batch
from opsd.core.errors import BadInput
from opsd.core.records import RunRecord
from opsd.pipeline.identity import renamed
from opsd.pipeline.inventory import Inventories
from opsd.store import identity, imports
from opsd.store.engine import Store
from opsd.store.write import Tally, Writer


@dataclass(slots=True)
class Result:
    """The summary of one reading."""

    rows: int = 0
    steps: int = 0
    quarantined: int = 0
    reasons: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    broken: BadInput | None = None  # why the source could not be read to its end

    def add(self, other: Result) -> None:
        """Count another reading in."""
        self.rows += other.rows
        self.steps += other.steps
        self.quarantined += other.quarantined
        self.reasons += other.reasons
        self.tally.add(other.tally)
        self.broken = self.broken or other.broken


def run(
    store: Store,
    reader: RecordReader,
    *,
    source: str,
    observed_at: int,
    now: int,
    batch_rows: int = 20_000,
    placed: bool = True,
    only: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """Store everything a reader yields.

    Args:
        source: the name under which runs and bad records are traced back.
        batch_rows: rows per transaction: others wait half a second for it, not ten.
        observed_at: when Slurm said this, epoch seconds: the later of two versions wins.
        placed: whether a bad record is told by its place in the source. An answer printed anew each time
            has no places: the same bytes in the next one are the same bad record, also when its run goes
            on and has grown.
        only: the one cluster that was asked about; None: whatever the source tells of.
        progress: called with the bytes of the source consumed so far.

    Raises:
        BadInput: a run of another cluster is in it; what came before its batch is stored.
    """
    with store.write() as connection:
        import_id = imports.open_import(connection, source, observed_at, now)
        inventories = Inventories()
        writer = Writer(connection, inventories.current(connection), import_id, observed_at)
    result = Result()
    for batch in _until_broken(reader, result, batch_rows):
        bad = _bad(batch, reader, source, placed=placed)
        with store.write() as connection:
            writer.classify_by(inventories.current(connection))
            runs = renamed(batch.runs, identity.former(connection))
            _refuse_others(runs, only, source)
            tally = writer.batch(connection, runs)
            imports.set_aside(connection, bad, observed_at, now)
            imports.count_import(
                connection, import_id, rows=batch.rows, steps=batch.steps, quarantined=len(bad),
                new=tally.new, changed=tally.changed, unchanged=tally.unchanged,
            )  # fmt: skip
        result.rows += batch.rows
        result.steps += batch.steps
        result.quarantined += len(bad)
        result.reasons += [f"{source}:{record.line}: {record.reason}" for record in bad[:5]]
        result.tally.add(tally)
        if progress:
            progress(batch.consumed)
    if not result.broken:
        with store.write() as connection:
            imports.close_import(connection, import_id, now)
    return result


def _refuse_others(runs: Sequence[RunRecord], only: str | None, source: str) -> None:
    """Under another cluster's name they would count beside what is read from that one."""
    if only is not None and (other := next((run for run in runs if run.cluster != only), None)):
        raise BadInput(
            f"{source}: asked about cluster {only}, it told of job {other.job_id} of cluster "
            f"{other.cluster}: nothing more of its answer was taken; if both are one cluster, say so by "
            "former_names"
        )


def _until_broken(reader: RecordReader, result: Result, batch_rows: int) -> Iterator[Batch]:
    """The batches; a source that breaks off (a damaged gzip, a failing disk) ends them after what it gave."""
    try:
        yield from reader.batches(batch_rows)
    except BadInput as err:
        result.broken = err
    except OSError as err:
        result.broken = BadInput(
            f"{reader.name}: {err.strerror}; the records before that were read: check the disk it is on"
        )


def _bad(batch: Batch, reader: RecordReader, source: str, *, placed: bool) -> list[imports.Bad]:
    layout = reader.layout.to_json() if batch.bad else ""
    return [
        imports.Bad(source, position, bad.line, digest, bad.length, bad.data, layout, bad.reason)
        for bad in batch.bad
        for position, digest in [(bad.position, bad.digest) if placed else (0, _steady_digest(bad, reader))]
    ]


def _steady_digest(bad: BadRecord, reader: RecordReader) -> str:
    """The same for a record that differs only in what grows while its run is open."""
    is_whole = bad.length == len(bad.data)
    return sha256(reader.layout.steady(bad.data)).hexdigest() if is_whole else bad.digest
