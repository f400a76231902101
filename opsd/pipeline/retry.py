"""Read quarantined records again, with the layout they were found in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from collectors.slurm.json_reader import layout_from_json, parse_job
from collectors.slurm.layout import Layout
from collectors.slurm.sacct import parse_record
from opsd.core.errors import BadInput
from opsd.core.records import RunRecord
from opsd.pipeline.identity import renamed
from opsd.pipeline.inventory import Inventories
from opsd.store import identity, imports
from opsd.store.engine import Store
from opsd.store.write import Writer


@dataclass(slots=True)
class Result:
    """What became of the records."""

    resolved: int = 0
    waiting: list[tuple[int, str]] = field(default_factory=list)  # (id, reason)


def run(store: Store, ids: Sequence[int], *, now: int) -> Result:
    """Retry the given records, or all that wait; each is stored and resolved in one transaction."""
    with store.read() as connection:
        chosen = list(ids) or [row["id"] for row in imports.quarantined(connection)]
    result, inventories = Result(), Inventories()
    for entry_id in chosen:
        _one(store, entry_id, inventories, now, result)
    return result


def _parsed(data: bytes, length: int, layout: str) -> RunRecord | None:
    if length > len(data):
        raise BadInput(f"only the first {len(data):,} of its {length:,} bytes were kept")
    if (json_layout := layout_from_json(layout)) is not None:
        return parse_job(data, json_layout)
    return parse_record(data, Layout.from_json(layout))


def _one(store: Store, entry_id: int, inventories: Inventories, now: int, result: Result) -> None:
    with store.write() as connection:
        entry = imports.quarantine_entry(connection, entry_id)
        if entry is None:
            raise BadInput(f"quarantine {entry_id}: no such record: opsd quarantine list shows them")
        if entry["resolved_at"] is not None:
            return
        try:
            record = _parsed(entry["data"], entry["length"], entry["layout"])
        except BadInput as err:
            result.waiting.append((entry_id, str(err)))
            return
        if record is not None:
            import_id = imports.open_import(connection, f"quarantine:{entry_id}", entry["observed_at"], now)
            writer = Writer(connection, inventories.current(connection), import_id, entry["observed_at"])
            writer.batch(connection, renamed([record], identity.former(connection)))
            imports.count_import(connection, import_id, rows=1)
            imports.close_import(connection, import_id, now)
        imports.resolve(connection, entry_id, now)
        result.resolved += 1
