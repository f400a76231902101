"""When suspended runs were suspended: from slurmdbd's tables into the store.

Text tells the total of a run's suspended seconds only; where a window cuts the run, its share is a guess
until this has run. Invariant: what is stored is one more observation of the run, so it may come before or
after any text, be cut off anywhere and be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from collectors.protocol import AccountingTables
from collectors.slurm.content import content_hash
from opsd.core.versions import placed
from opsd.pipeline.inventory import Inventories
from opsd.store import imports, suspended
from opsd.store.engine import Store
from opsd.store.suspended import Waiting
from opsd.store.write import Writer

AT_ONCE = 2_000  # runs per question, and per transaction


@dataclass(frozen=True, slots=True)
class Result:
    """What one placement did."""

    asked: int = 0  # runs with suspended seconds whose times were unknown, or may have grown
    placed: int = 0  # of those, the ones that the tables said something new about


def run(
    store: Store,
    tables: AccountingTables,
    *,
    cluster: str,
    now: int,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Ask when the suspended runs of a cluster were suspended, and store it.

    Args:
        progress: called with (runs asked for, runs waiting).

    Raises:
        Refused, Unavailable: the tables cannot be read; what was told before is stored.
    """
    with store.read() as connection:
        waiting = suspended.waiting(connection, cluster)
    asked = found = 0
    source = _Source(store, f"slurmdbd {cluster}", now)
    for at in range(0, len(waiting), AT_ONCE):
        chunk = waiting[at : at + AT_ONCE]
        told = tables.suspensions([run.db_index for run in chunk])
        found += source.store_news(_news(chunk, told), len(chunk))
        asked += len(chunk)
        if progress:
            progress(asked, len(waiting))
    source.close()
    return Result(asked, found)


def _news(chunk: Sequence[Waiting], told: Mapping[int, str]) -> dict[int, tuple[Waiting, str]]:
    """What to store, by run. That nothing is known of one that has ended is news, too: it was asked for."""
    answers = {run.run: (run, told.get(run.db_index, "")) for run in chunk}
    return {
        number: (run, text)
        for number, (run, text) in answers.items()
        if run.end is not None or (text and text != run.suspensions)
    }


class _Source:
    """The reading that placements are traced back to; there is none where there was no news."""

    def __init__(self, store: Store, name: str, now: int) -> None:
        self.store = store
        self.name = name
        self.now = now
        self.number: int | None = None

    def store_news(self, news: Mapping[int, tuple[Waiting, str]], rows: int) -> int:
        """Store one chunk in one transaction; returns how many runs were told something new."""
        if not news:
            return 0
        with self.store.write() as connection:
            if self.number is None:
                self.number = imports.open_import(connection, self.name, self.now, self.now)
            writer = Writer(connection, Inventories().current(connection), self.number, self.now)
            seen = {}
            for number, version in writer.current(connection, list(news)).items():
                run, text = news[number]
                record = version.record
                # Another reader may have been here since: then the answer is about a run that was.
                if (record.db_index, record.start, record.end) == (run.db_index, run.start, run.end):
                    seen[number] = placed(version._replace(import_id=self.number), text, content_hash)
            writer.observe(connection, seen)
            found = sum(news[number][1] not in ("", news[number][0].suspensions) for number in seen)
            imports.count_import(connection, self.number, rows=rows, changed=found)
        return found

    def close(self) -> None:
        """Mark the reading, if there was one, as read to its end."""
        if self.number is not None:
            with self.store.write() as connection:
                imports.close_import(connection, self.number, self.now)
