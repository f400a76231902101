"""`sacct --json` and text of the same runs, one after the other, into one database."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.slurm.json_reader import JsonLayout, JsonReader
from collectors.slurm.reading import RecordReader
from collectors.slurm.sacct import SacctReader
from opsd.core.period import DAY, Window
from opsd.pipeline import ingest, rebuild, retry, usage
from opsd.store import imports, migrate
from opsd.store.engine import Store, open_engine
from opsd.store.write import Tally
from tests.collectors.slurm.json_shapes import document, job

DATA = Path(__file__).parents[1] / "data"
SEEN = 1_795_330_000
EMPTIED = 2  # jobs that were still open, and grew, between the two exports
DAYS = Window(SEEN // DAY * DAY - DAY, SEEN // DAY * DAY + 2 * DAY)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database of either kind."""
    store = open_engine(store_url)
    migrate.upgrade(store)
    yield store
    store.close()


def text() -> SacctReader:
    """The real text."""
    return SacctReader(io.BytesIO((DATA / "slurm-text/sacct.us.gz").read_bytes()), zone="+00:15")


def from_json() -> JsonReader:
    """The same runs."""
    return JsonReader(io.BytesIO((DATA / "slurm-json/sacct.json.gz").read_bytes()))


def put(store: Store, reader: RecordReader, seen: int = SEEN, quarantined: int = 0) -> tuple[int, int, int]:
    """Import; (new, changed, unchanged)."""
    result = ingest.run(store, reader, source="export", observed_at=seen, now=seen)
    assert quarantined == result.quarantined, result.reasons
    rebuild.run(store)
    tally: Tally = result.tally
    return tally.new, tally.changed, tally.unchanged


def used(store: Store) -> object:
    """All usage, exact."""
    with store.read() as connection:
        return usage.run(connection, DAYS, ("account", "user"), as_of=SEEN)


def test_json_after_text_changes_nothing(store: Store) -> None:
    """But what went on meanwhile: the version rules keep what 22.05 does not print as JSON from the text."""
    assert (512, 0, 0) == put(store, text())
    before = used(store)
    assert (0, EMPTIED, 512 - EMPTIED) == put(store, from_json(), SEEN + 10)
    assert before == used(store)
    assert (0, 0, 512) == put(store, from_json(), SEEN + 10)


def test_text_after_json_adds_only_what_json_lacks(store: Store) -> None:
    """Association, index and flags come on top; usage is equal."""
    assert (512, 0, 0) == put(store, from_json())
    before = used(store)
    assert (0, 512, 0) == put(store, text(), SEEN + 10)
    assert before == used(store)
    assert (0, 0, 512) == put(store, text(), SEEN + 10)


def test_a_bad_job_is_read_again_with_the_layout_it_was_found_in(store: Store) -> None:
    """As JSON: `opsd quarantine retry` resolves what this opsd can read, and leaves the rest."""
    data = document(job(1), job(2, time__end=-1), job(3, cluster="", association=None))
    assert (1, 0, 0) == put(store, JsonReader(io.BytesIO(data)), quarantined=2)
    with store.read() as connection:
        waiting = [row["id"] for row in imports.quarantined(connection)]
        entries = [imports.quarantine_entry(connection, number) for number in waiting]
    assert [2, 3] == [json.loads(entry["data"])["job_id"] for entry in entries if entry]
    assert {JsonLayout(None, "v0.0.38").to_json()} == {entry["layout"] for entry in entries if entry}
    found = retry.run(store, [], now=SEEN)
    assert (0, waiting) == (found.resolved, [number for number, _ in found.waiting])

    raw = json.dumps(job(3)).encode()
    with store.write() as connection:
        bad = imports.Bad("old.json", 0, 1, "digest", len(raw), raw, JsonLayout().to_json(), "odd")
        imports.set_aside(connection, [bad], SEEN, SEEN)
    assert 1 == retry.run(store, [], now=SEEN).resolved
    assert (1, 0, 1) == put(store, JsonReader(io.BytesIO(document(job(3), job(4)))))
