"""How long runs waited before they began, by the accounting.

Invariant: a rank is a time that some run really waited; a run counts once, also one that was resized.
"""

from __future__ import annotations

from sqlalchemy import Connection, case, func, select

from opsd.core.period import Window
from opsd.core.present_counts import PERCENTS, Waits
from opsd.store import tables

_run, _word = tables.run, tables.word


def of_started(connection: Connection, cluster: str, span: Window) -> dict[str, Waits]:
    """From eligible to start, of a cluster's runs that started in a span, by partition."""
    partition = tables.word.alias("partition")
    waited = _run.c.start - _run.c.eligible
    # A resized run goes on in a second row that was eligible when it was resized, so after its start.
    fit = (
        _run.c.begin >= span.start, _run.c.begin < span.end, _run.c.start == _run.c.begin,
        _run.c.eligible > 0, waited >= 0, _word.c.text == cluster,
    )  # fmt: skip
    ranked = (
        select(
            partition.c.text.label("partition"),
            waited.label("waited"),
            func.row_number().over(partition_by=_run.c.partition_id, order_by=waited).label("place"),
            func.count().over(partition_by=_run.c.partition_id).label("whole"),
        )
        .select_from(_run.join(_word, _word.c.id == _run.c.cluster_id))
        .join(partition, partition.c.id == _run.c.partition_id)
        .where(*fit)
        .subquery()
    )
    wanted = [ranked.c.place == (ranked.c.whole * percent + 99) // 100 for percent in PERCENTS]
    query = select(ranked.c.partition, *(func.max(case((at, ranked.c.waited))) for at in wanted))
    found = connection.execute(query.group_by(ranked.c.partition).order_by(ranked.c.partition))
    return {row[0]: Waits(*row[1:]) for row in found}
