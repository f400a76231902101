"""Measured records as agents would have told them, stored and matched with their runs."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

from sqlalchemy import insert, select

from opsd.core.measured import Measured
from opsd.core.records import RunRecord
from opsd.store import tables
from opsd.store.engine import Store

_FETCHED = 1_900_000_000


def of_run(run: RunRecord, uuid: str, chance: random.Random) -> Measured:
    """What a run did with a device: covered in part, with and without GPM, energy told or not."""
    begin = max(run.start or 0, run.submit)
    end = run.end if run.end is not None and run.end >= begin else begin + 600
    allocated = (end - begin) * 1000 + chance.randrange(999)
    covered = chance.randrange(allocated + 1)
    gpm = chance.choice((0, covered, covered // 2))

    def some(most: int) -> int | None:
        return None if chance.random() < 0.2 else chance.randrange(most + 1)

    return Measured(
        run.job_id, uuid, begin + 1, end + 1, account=run.account, user=run.user or "",
        allocated_ms=allocated, covered_ms=covered, gpm_ms=gpm,
        process_ms=some(covered), idle_ms=some(covered),
        sm_active_ms=some(gpm) if gpm else None, tensor_active_ms=some(gpm) if gpm else None,
        energy_mj=some(400 * covered), is_energy_estimated=chance.random() < 0.3,
    )  # fmt: skip


def store_records(
    store: Store,
    found: Mapping[tuple[str, int], Sequence[Measured]],
    *,
    node: str = "gpu1",
    matched: bool = True,
) -> None:
    """Write records of (cluster, job) down; matched with the one run of that job, or with none."""
    word, run = tables.word, tables.run
    with store.write() as connection:
        query = select(word.c.text, run.c.job_id, run.c.id).join(word, word.c.id == run.c.cluster_id)
        runs = {(cluster, job): number for cluster, job, number in connection.execute(query)}
        rows = [
            one._asdict()
            | {
                "cluster": cluster, "node": node, "xids": json.dumps(one.xids), "fetched_at": _FETCHED,
                "is_energy_estimated": int(one.is_energy_estimated), "is_end_seen": int(one.is_end_seen),
                "run_id": runs[cluster, job] if matched else None,
            }
            for (cluster, job), some in found.items()
            for one in some
        ]  # fmt: skip
        if rows:
            connection.execute(insert(tables.measured), rows)
