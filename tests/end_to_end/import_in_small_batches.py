"""Import a file through the real pipeline in many small transactions, to be killed in the middle.

Usage: python import_in_small_batches.py DATABASE FILE [ROWS PER BATCH]
"""

from __future__ import annotations

import sys
from pathlib import Path

from collectors.slurm.sacct import SacctReader
from opsd.pipeline import ingest, rebuild
from opsd.store import migrate
from opsd.store.engine import open_engine, sqlite_address

OBSERVED_AT = 1_900_000_000


def main(database: Path, file: Path, rows: int) -> None:
    """Import and rebuild; prints a line when the database is open and after each transaction."""
    store = open_engine(sqlite_address(database))
    migrate.ensure_current(store)
    print("READY", flush=True)
    with file.open("rb") as stream:
        reader = SacctReader(stream, cluster="lab", name=file.name)
        result = ingest.run(
            store, reader, source=file.name, observed_at=OBSERVED_AT,
            now=OBSERVED_AT, batch_rows=rows, progress=lambda _: print("BATCH", flush=True),
        )  # fmt: skip
    rebuild.run(store, progress=lambda _done, _all: print("CELLS", flush=True))
    print(result.tally.new, result.tally.changed, result.tally.unchanged, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 300)
