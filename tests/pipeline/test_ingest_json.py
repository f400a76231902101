"""`sacct --json` and text of the same runs, one after the other, into one database."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from collectors.slurm.json_reader import JsonLayout, JsonReader
from collectors.slurm.reading import RecordReader
from collectors.slurm.sacct import SacctReader
from opsd.core.period import DAY, HOUR, Window
from opsd.pipeline import ingest, placement, rebuild, retry, usage
from opsd.store import imports, migrate, tables
from opsd.store.engine import Store, open_engine
from opsd.store.write import Tally
from tests.collectors.slurm.json_shapes import T, document, job

DATA = Path(__file__).parents[1] / "data"
SEEN = 1_795_330_000
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
    """The version rules keep from the text what JSON of 22.05 lacks; what merely grew is no change."""
    assert (512, 0, 0) == put(store, text())
    before = used(store)
    assert (0, 0, 512) == put(store, from_json(), SEEN + 10)
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


class Suspended:
    """slurmdbd's suspend_table: two hours in the middle of every run."""

    def suspensions(self, db_indexes: Sequence[int]) -> Mapping[int, str]:
        """By DBIndex, which text alone has."""
        return dict.fromkeys(db_indexes, f"{T + HOUR}-{T + 3 * HOUR}")


def as_text(number: int, *, ended: bool) -> str:
    """A line of sacct of the same run as `as_json`."""
    end, state = (T + 5 * HOUR, "COMPLETED") if ended else ("Unknown", "RUNNING")
    return (
        f"{number}|mn5|ehpc01|ana|acc|normal|{state}|{T}|{T}|{T}|{end}|02:00:00|120|"
        f"billing=80,cpu=80,node=1|as01r1b01|{100 + number}\n"
    )


def as_json(number: int, *, ended: bool) -> dict[str, Any]:
    """A job of sacct's JSON, which has no DBIndex."""
    times = {
        "elapsed": 3 * HOUR, "eligible": T, "end": T + 5 * HOUR if ended else 0, "start": T,
        "submission": T, "suspended": 2 * HOUR, "limit": 120,
    }  # fmt: skip
    allocated = [
        {"type": kind, "name": None, "id": id_, "count": count}
        for kind, id_, count in (("cpu", 1, 80), ("node", 4, 1), ("billing", 5, 80))
    ]
    state = {"current": "COMPLETED" if ended else "RUNNING", "reason": "None"}
    return job(number, time=times, state=state, nodes="as01r1b01", tres={"allocated": allocated}, flags=[])


COLUMNS = (
    "JobIDRaw|Cluster|Account|User|Partition|QOS|State|Submit|Eligible|Start|End|Suspended|TimelimitRaw|"
    "AllocTRES|NodeList|DBIndex\n"
)
JOBS = range(1, 5)


@pytest.mark.parametrize("seed", range(2))
def test_text_json_and_placements_in_any_order_are_one_truth(store: Store, seed: int) -> None:
    """Each run open and ended, in both forms: what counts depends on what was read, not on when it came."""
    chance = random.Random(seed)
    readings: list[tuple[int, bytes, bool]] = []  # when, what, whether it is JSON
    for seen, ended in ((T + 4 * HOUR, False), (T + 6 * HOUR, True), (T + 8 * HOUR, True)):
        lines = COLUMNS + "".join(as_text(number, ended=ended) for number in JOBS)
        jobs = document(*(as_json(number, ended=ended) for number in JOBS))
        readings += [(seen, lines.encode(), False), (seen + 60, jobs, True)]
    outcomes = []
    for _ in range(3):
        chance.shuffle(readings)
        for seen, data, is_json in readings:
            reader = (JsonReader if is_json else SacctReader)(io.BytesIO(data))
            ingest.run(store, reader, source="export", observed_at=seen, now=seen)
            if chance.random() < 0.5:
                placement.run(store, Suspended(), cluster="mn5", now=seen)  # type: ignore[arg-type]
        placement.run(store, Suspended(), cluster="mn5", now=T + DAY)  # type: ignore[arg-type]
        live = halves(store)
        rebuild.run(store)
        assert live == halves(store)
        outcomes.append((live, kept(store)))
        forget(store)

    assert [outcomes[0]] * 3 == outcomes
    per_run = 80 * HOUR
    assert [len(JOBS) * per_run, 0, len(JOBS) * 2 * per_run] == outcomes[0][0]


def halves(store: Store) -> list[int]:
    """CPU-seconds before, in and after the suspension."""
    edges = (T, T + HOUR, T + 3 * HOUR, T + 9 * HOUR)
    with store.read() as connection:
        found = [usage.run(connection, Window(*edge), ()).rows for edge in pairwise(edges)]
    return [sum(line.measures.cpu_seconds for line in rows) for rows in found]


def kept(store: Store) -> list[tuple[Any, ...]]:
    """The stored runs."""
    columns = ("job_id", "start", "end", "suspended", "suspensions", "db_index", "observed_at", "flags")
    with store.read() as connection:
        query = select(*(tables.run.c[name] for name in columns)).order_by(tables.run.c.job_id)
        return [tuple(line) for line in connection.execute(query)]


def forget(store: Store) -> None:
    """No run, and nothing of one."""
    with store.write() as connection:
        for table in (tables.run, tables.run_version, tables.day_fact, tables.dirty_cell, tables.import_log):
            connection.execute(delete(table))
