"""Jobs as `sacct --json` prints them: a made one of 22.05, and the same as later versions would print it.

The later shapes are MADE, not recorded: they follow the tables of Slurm's data parsers (SchedMD/slurm,
src/plugins/data_parser/v0.0.39 to v0.0.45/parsers.c).
"""

from __future__ import annotations

import copy
import io
import json
from typing import Any

from collectors.slurm.framing import BadRecord
from collectors.slurm.json_reader import JsonReader
from opsd.core.records import RunRecord
from tests.collectors.slurm.exports import Content

T = 1_790_000_000
LATER = ("v0.0.39", "v0.0.40", "v0.0.41", "v0.0.42", "v0.0.43", "v0.0.44", "v0.0.45")
Job = dict[str, Any]


def job(number: int = 101, **changes: Any) -> Job:
    """An ordinary job of 22.05; a change of `time__end` is one of the member `end` of `time`."""
    made: Job = {
        "account": "ehpc01",
        "array": {"job_id": 0, "task": None, "task_id": None},
        "association": {"account": "ehpc01", "cluster": "mn5", "partition": None, "user": "ana"},
        "cluster": "mn5",
        "time": {
            "elapsed": 3600, "eligible": T, "end": T + 3660, "start": T + 60, "submission": T,
            "suspended": 0, "limit": 120,
        },
        "flags": ["CLEAR_SCHEDULING", "STARTED_ON_BACKFILL"],
        "het": {"job_id": 0, "job_offset": None},
        "job_id": number,
        "name": "train",
        "nodes": "as01r1b[01-02]",
        "partition": "acc",
        "qos": "normal",
        "reservation": {"id": 0, "name": 0},
        "state": {"current": "COMPLETED", "reason": "None"},
        "steps": [],
        "tres": {
            "allocated": [
                {"type": "cpu", "name": None, "id": 1, "count": 80},
                {"type": "mem", "name": None, "id": 2, "count": 512_000},
                {"type": "energy", "name": None, "id": 3, "count": None},
                {"type": "node", "name": None, "id": 4, "count": 1},
                {"type": "gres", "name": "gpu", "id": 1001, "count": 4},
                {"type": "gres", "name": "gpu:h100", "id": 1002, "count": 4},
            ]
        },
        "user": "ana",
    }  # fmt: skip
    for name, value in changes.items():
        holder, _, key = name.rpartition("__")
        (made[holder] if holder else made)[key] = value
    return made


def tri(value: object) -> Job:
    """A number as set, infinite and number."""
    return {"set": value is not None, "infinite": False, "number": value or 0}


def later(made: Job, version: str) -> Job:
    """A job of 22.05 as a later data parser would print it."""
    found = copy.deepcopy(made)
    found["array"] |= {"task_id": tri(made["array"]["task_id"]), "task": ""}
    found["het"]["job_offset"] = tri(made["het"]["job_offset"])
    found["time"]["limit"] = tri(made["time"]["limit"])
    found["reservation"]["name"] = ""
    found["flags"] = [name for name in made["flags"] if name != "CLEAR_SCHEDULING"]
    for entry in found["tres"]["allocated"]:
        entry["name"] = entry["name"] or ""
    if version > "v0.0.39":
        found["state"]["current"] = [made["state"]["current"]]
        found["association"] |= {"id": 7, "partition": ""}
        found["flags"].append("START_RECEIVED")
        for entry in found["tres"]["allocated"]:
            entry["count"] = -2 if entry["count"] is None else entry["count"]
    if version >= "v0.0.45":
        found |= {"sluid": "s3TV2V9JJT0G00", "original_sluid": "s3TV2V9JJT0G00"}
    return found


def document(*jobs: Job, version: str = "v0.0.38", errors: object = ()) -> bytes:
    """The document around jobs: since v0.0.40 what Slurm says about errors stands after them."""
    plugin = (
        {"type": "openapi/db" + version} if version < "v0.0.39" else {"data_parser": f"data_parser/{version}"}
    )
    around = {"meta": {"plugin": plugin}, "errors": list(errors)}  # type: ignore[call-overload]
    parts = {"jobs": list(jobs), **around} if version > "v0.0.39" else {**around, "jobs": list(jobs)}
    return json.dumps(parts, indent=2).encode()


def read_json(data: bytes, size: int = 20_000, **options: Any) -> Content:
    """Read a document to its end."""
    reader = JsonReader(io.BytesIO(data), **options)
    found = Content(warnings=reader.warnings)
    for batch in reader.batches(size):
        found.runs += batch.runs
        found.bad += batch.bad
        found.steps += batch.steps
        found.rows += batch.rows
    return found


def one(made: Job) -> RunRecord | BadRecord:
    """What becomes of a single job."""
    found = read_json(document(made))
    return [*found.runs, *found.bad][0]
