"""The `opsd` command on a disk with room for so many pages of the database, and not one more.

SQLite then says what it says when the disk is full. Usage: python opsd_on_a_small_disk.py PAGES WORD…
"""

from __future__ import annotations

import sqlite3
import sys

from sqlalchemy import Engine, event

from opsd.cli import main

PAGES = int(sys.argv[1])


@event.listens_for(Engine, "connect")
def _small(raw: sqlite3.Connection, _record: object) -> None:
    raw.execute(f"PRAGMA max_page_count={PAGES}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
