"""What slurmdbd's own tables tell of runs: when they were suspended, and when their rows last changed.

Invariant: what the tables contradict, or say without a change, is as if they had not said it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.protocol import AccountingTables
from opsd.core.reconcile import Rolled, Run
from opsd.core.rollup import EVER, Spans, parse_suspensions, within
from opsd.store import evidence
from opsd.store.engine import Store
from opsd.store.evidence import Found


def run(store: Store, found: Sequence[Found], tables: AccountingTables | None, rolled: Rolled) -> list[Found]:
    """Runs with what slurmdbd's tables tell of them."""
    if tables is None:
        return [_complete(one, {}, {}) for one in found]
    told = {f.run.db_index: f for f in found if f.run.db_index is not None}
    asleep = [index for index, f in told.items() if f.run.total and not _is_closed(f.suspensions)]
    is_timed = rolled.mark is not None or any(f.run.before for f in found)
    texts = tables.suspensions(asleep) if asleep else {}
    changed = tables.modified_at([*told]) if told and is_timed else {}
    touched = _only_touched(store, told, changed, rolled)
    changed = {index: at for index, at in changed.items() if index not in touched}
    return [_complete(one, texts, changed) for one in found]


def _only_touched(
    store: Store, told: Mapping[int, Found], changed: Mapping[int, int], rolled: Rolled
) -> set[int]:
    """Rows that slurmdbd wrote again without a change: opsd had seen the same before.

    A slurmctld that starts sends every job that it remembers once more.
    """
    once = {
        index: at
        for index, at in changed.items()
        if not told[index].run.before and at > _added_up(told[index].run, rolled)
    }
    with store.read() as connection:
        newest = {at: evidence.newest_before(connection, at) for at in {*once.values()}}
    return {index for index, at in once.items() if told[index].id <= newest[at]}


def _added_up(run: Run, rolled: Rolled) -> int:
    """When the hour in which a run ended was added up; never, where nobody asks."""
    end = run.now.end
    if end is None or rolled.again_from is None or end <= rolled.again_from:
        return EVER
    return rolled.at.get(rolled.hours.top(max(end - 1, run.begin)), EVER)


def _complete(one: Found, texts: Mapping[int, str], changed: Mapping[int, int]) -> Found:
    run, index = one.run, -1 if one.run.db_index is None else one.run.db_index
    text = texts.get(index, "") or one.suspensions
    places: Spans | None = None if run.total else ()  # slurmdbd looks at no interval where the total is 0
    lies = 0  # seconds that nobody can have been suspended, if the total is true
    if run.total and text:
        places = parse_suspensions(text, EVER if run.now.end is None else run.now.end)
        lies = _beyond(run, places)
        if lies:
            places = None  # some were purged, or are not in yet
    told = run._replace(places=places, modified_at=changed.get(index), is_contradicted=lies > 0)
    return one._replace(run=told)


def _is_closed(suspensions: str | None) -> bool:
    """Whether the intervals of a run are known for good."""
    return bool(suspensions) and not str(suspensions).endswith("-")


def _beyond(run: Run, places: Spans) -> int:
    """Seconds of intervals beyond the total that sacct tells; of a run that is open, it tells less."""
    if run.now.end is None or run.now.start is None:
        return 0
    return within(places, run.now.start, run.now.end) - run.total
