"""What differs between two dossiers of one period: an edition and another, or an edition and now.

Invariant: changes of one kind add up to the same whole, whatever they are told by; without a difference
there is no change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from opsd.core import corrections
from opsd.core.attribution import UNATTRIBUTED, Attribution
from opsd.core.consortium import Consortium
from opsd.core.corrections import RunUse
from opsd.core.dossier import Dossier, Key, Seconds

TOTAL, CLUSTER, POOL, COUNTRY, AWARD, LINE, RUN = (
    "total",
    "cluster",
    "pool",
    "country",
    "award",
    "line",
    "run",
)
KINDS = (TOTAL, CLUSTER, POOL, COUNTRY, AWARD, LINE, RUN)


class Change(NamedTuple):
    """One thing that is told otherwise."""

    by: str  # one of KINDS
    id: str
    before: Seconds
    after: Seconds
    charged: int = 0  # of an award: after minus before, micro-unit-seconds

    @property
    def difference(self) -> Seconds:
        """After minus before."""
        return self.after.minus(self.before)


def changes(before: Dossier, after: Dossier) -> tuple[Change, ...]:
    """Every change, from the whole down to lines; of lines no person is told."""
    then, now = corrections.booked(before), corrections.booked(after)
    awards = {*then.charged, *now.charged}
    charged = {award: now.charged.get(award, 0) - then.charged.get(award, 0) for award in awards}
    found: list[Change] = []
    for by in KINDS[:-1]:
        old = _sums(then.lines, _told(by, before.master))
        new = _sums(now.lines, _told(by, after.master))
        found += _between(by, old, new, charged if by == AWARD else {})
    return tuple(found)


def run_changes(before: Mapping[str, RunUse], after: Mapping[str, RunUse]) -> tuple[Change, ...]:
    """The same by run, where both lists are known."""
    return tuple(_between(RUN, _by_run(before), _by_run(after), {}))


def _by_run(runs: Mapping[str, RunUse]) -> dict[str, Seconds]:
    return {name: corrections.total(part.seconds for part in run.parts) for name, run in runs.items()}


def _told(by: str, master: Consortium) -> Callable[[Key], str]:
    if by in (POOL, COUNTRY):
        facts = Attribution(master)
        return lambda key: facts.of_award((by,), key.award)[0] if key.award else UNATTRIBUTED
    plain: dict[str, Callable[[Key], str]] = {
        TOTAL: lambda _: "",
        CLUSTER: lambda key: key.cluster,
        AWARD: lambda key: " ".join(part for part in (key.award or UNATTRIBUTED, key.outside) if part),
        LINE: corrections.named,
    }
    return plain[by]


def _sums(lines: Mapping[Key, Seconds], told: Callable[[Key], str]) -> dict[str, Seconds]:
    sums: dict[str, Seconds] = defaultdict(Seconds)
    for key, seconds in lines.items():
        sums[told(key)] = sums[told(key)].plus(seconds)
    return sums


def _between(
    by: str, old: Mapping[str, Seconds], new: Mapping[str, Seconds], charged: Mapping[str, int]
) -> Iterator[Change]:
    for name in sorted({*old, *new, *charged}):
        change = Change(by, name, old.get(name, Seconds()), new.get(name, Seconds()), charged.get(name, 0))
        if any(change.difference) or change.charged:
            yield change
