"""The cell that somebody asks about: `account=es-bio,month=2026-10`, checked against what there is.

Invariant: a value that the database has never seen is refused with the nearest one; a value it knows, in
which nothing was used, is no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opsd.core import attribution
from opsd.core.attribution import AFTER_END, BEFORE_START, UNATTRIBUTED, Attribution
from opsd.core.consortium import Consortium
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.period import CALENDARS
from opsd.core.plan import Plan
from opsd.core.tres import NO_GPU_CLASS
from opsd.store.read import Names

Cell = tuple[tuple[str, str], ...]
_SHOWN = 12


def parse(texts: Iterable[str], keys: Sequence[str]) -> Cell:
    """Pairs of key and value, in the order given; a comma inside a value is kept.

    Args:
        texts: as they stood on the command line: `key=value`, several joined by commas.
        keys: all there are.
    """
    pairs: list[tuple[str, str]] = []
    for part in (part for text in texts for part in text.split(",")):
        key, found, value = part.partition("=")
        if found and key.strip() in keys:
            pairs.append((key.strip(), value.strip()))
        elif pairs and not found:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{part}")
        elif not found:
            raise WrongUsage(f"--cell {part!r}: write key=value, such as account=es-bio")
        else:
            raise WrongUsage(f"--cell {key!r}: no such key" + nearest(key, keys, f"keys: {' '.join(keys)}"))
    for place, (key, _) in enumerate(pairs):
        if any(key == other for other, _ in pairs[:place]):
            raise WrongUsage(f"--cell names {key!r} twice: name each key once")
    return tuple(pairs)


def check(cell: Cell, names: Names, consortium: Consortium, plan: Plan, calendars: Sequence[str]) -> None:
    """Refuse values that nothing stored or declared has.

    Args:
        calendars: the cell's own, in the order of the plan's periods.
    """
    for key, value in cell:
        known = _known(key, names, consortium, plan, calendars)
        if plain(value) not in known:
            some = sorted(filter(None, known))
            more = f"there are: {' '.join(some)}" if len(some) <= _SHOWN else f"there are {len(some)}"
            raise WrongUsage(f"--cell {key}={value}: no such {key} here{nearest(value, known, more)}")


def plain(value: str) -> str:
    """An award whether it was used inside its dates or, as in `after-end:A`, outside."""
    mark, colon, rest = value.partition(":")
    return rest if colon and mark in (AFTER_END, BEFORE_START) else value


def _known(key: str, names: Names, consortium: Consortium, plan: Plan, calendars: Sequence[str]) -> set[str]:
    if key in CALENDARS:
        place = list(calendars).index(key)
        return {segment.periods[place] for segment in plan.segments}
    if key in attribution.KEYS:
        return {UNATTRIBUTED, *_declared(key, consortium)}
    if key == "gpu_class":
        return {NO_GPU_CLASS, *(name for shape in names.shapes.values() for name, _ in shape.gpus)}
    if key in ("cluster", "account"):
        return {pair[key == "account"] for pair in names.accounts.values()}
    return set(names.words.values())


def _declared(key: str, consortium: Consortium) -> set[str]:
    if key == attribution.USES:
        return {organisation.country for organisation in consortium.organisations.values()}
    known = Attribution(consortium)
    return {known.of_award((key,), award)[0] for award in consortium.awards}
