"""What changed in a closed month: a difference of states, itemised by what moved it.

A month's runs are kept as they were counted when it was closed (`RunUse`); later truth is compared with them.
Invariant: the items of a correction add up to its lines by cluster, award and whether inside the award's
life, and to its charges by award; no difference, no correction.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

from opsd.core import canonical
from opsd.core.amounts import MICRO, exact, exact_text
from opsd.core.dossier import Correction, Dossier, Item, Key, Line, Seconds
from opsd.core.errors import BadText, OpsdError

RUN, BINDING, AWARD, POLICY = "run", "binding", "award", "policy"
NODE_CLASS, PEOPLE, ROUNDING = "node-class", "people", "rounding"
NOBODY = 0  # the person of a line that tells none apart


class Part(NamedTuple):
    """A run's use in the month under one key, and what it is charged there, in unit-seconds."""

    key: Key
    seconds: Seconds
    charged: Fraction = Fraction(0)


class RunUse(NamedTuple):
    """One run in a month. `mark` is a digest of what Slurm said of it that counts in the month."""

    id: str  # CLUSTER/JOB@SUBMIT
    mark: str
    account: str
    parts: tuple[Part, ...]


# ------------------------------------------------------------------------------------- run lists as text


def written(runs: Iterable[RunUse]) -> str:
    """Runs as canonical text: a line each, in the order of the lines."""
    return "".join(f"{line}\n" for line in sorted(map(_line, runs)))


def _line(run: RunUse) -> str:
    parts = [[*part.key, *part.seconds, exact_text(part.charged)] for part in sorted(run.parts)]
    return canonical.dumped([run.id, run.mark, run.account, *parts])


_KEY, _SECONDS = len(Key._fields), len(Seconds._fields)


def listed(text: str) -> dict[str, RunUse]:
    """The inverse of `written`, by the runs' ids.

    Raises:
        BadText: it is no such list.
    """
    return {run.id: run for run in map(_run, text.splitlines())}


def _run(line: str) -> RunUse:
    try:
        name, mark, account, *parts = json.loads(line)
        return RunUse(name, mark, account, tuple(_part(part) for part in parts))
    except (ValueError, TypeError) as err:
        raise BadText("not a frozen run", line, "restore the database from a backup") from err


def _part(values: Sequence[object]) -> Part:
    key, seconds, charged = values[:_KEY], values[_KEY : _KEY + _SECONDS], values[_KEY + _SECONDS]
    return Part(Key(*key), Seconds(*seconds), exact(str(charged)))  # type: ignore[arg-type]


def lines_of(runs: Iterable[RunUse]) -> tuple[Line, ...]:
    """What runs add up to, by key."""
    return _as_lines(_sums((part.key, part.seconds) for run in runs for part in run.parts))


# --------------------------------------------------------------------------------------------- as booked


class Booked(NamedTuple):
    """A month's use and charges by the books, or as now known; of no person."""

    lines: Mapping[Key, Seconds]
    charged: Mapping[str, int]  # by award, micro-unit-seconds

    @property
    def seconds(self) -> Seconds:
        """All of its use."""
        return total(self.lines.values())

    def plus(self, correction: Correction) -> Booked:
        """With one correction booked."""
        charged = defaultdict(int, self.charged)
        for award, micro in correction.charged.items():
            charged[award] += micro
        pairs = [*self.lines.items(), *correction.lines]
        return Booked(_sums(pairs), _without_zeroes(charged))


def total(parts: Iterable[Seconds]) -> Seconds:
    """The sum."""
    whole = Seconds()
    for seconds in parts:
        whole = whole.plus(seconds)
    return whole


def booked(dossier: Dossier) -> Booked:
    """What a dossier says of its month."""
    return booked_of(dossier.lines, {balance.award: balance.charged for balance in dossier.balances})


def booked_of(lines: Iterable[Line], charged: Mapping[str, int]) -> Booked:
    """The same of its parts."""
    sums = _sums((key._replace(person=NOBODY), seconds) for key, seconds in lines)
    return Booked(sums, _without_zeroes(charged))


def named(key: Key) -> str:
    """A line as people call it: `mn5/acc award A1 after-end uses PT`."""
    whose = f"award {key.award}" if key.award else f"account {key.account}"
    return " ".join(
        part for part in (f"{key.cluster}/{key.node_class}", whose, key.outside, f"uses {key.uses}") if part
    )


def _sums(pairs: Iterable[tuple[Key, Seconds]]) -> dict[Key, Seconds]:
    sums: dict[Key, Seconds] = defaultdict(Seconds)
    for key, seconds in pairs:
        sums[key] = sums[key].plus(seconds)
    return {key: seconds for key, seconds in sums.items() if any(seconds)}


def _as_lines(sums: Mapping[Key, Seconds]) -> tuple[Line, ...]:
    return tuple(Line(key, sums[key]) for key in sorted(sums))


def _without_zeroes(charged: Mapping[str, int]) -> dict[str, int]:
    return {award: charged[award] for award in sorted(charged) if charged[award]}


# ---------------------------------------------------------------------------------------- the difference


def between(
    period: str,
    then: Booked,
    now: Booked,
    before: Mapping[str, RunUse],
    after: Mapping[str, RunUse],
    policies: Mapping[str, str],
) -> Correction | None:
    """What has to be booked so that a closed month is as now known; None: nothing.

    Args:
        then: as reported and corrected so far.
        now: as now known.
        before: the runs as they were frozen last.
        after: the runs as now known.
        policies: the charge policy of each award.
    """
    lines = _as_lines(_sums([*now.lines.items(), *_negative(then.lines)]))
    awards = {*now.charged, *then.charged}
    charged = _without_zeroes({a: now.charged.get(a, 0) - then.charged.get(a, 0) for a in awards})
    if not lines and not charged:
        return None
    found = Correction(period, lines, charged, _apportioned(_moved(before, after, policies), charged))
    _check(found)
    return found


def _negative(lines: Mapping[Key, Seconds]) -> Iterator[tuple[Key, Seconds]]:
    return ((key, Seconds().minus(seconds)) for key, seconds in lines.items())


class _Place(NamedTuple):
    """What an item is told by."""

    award: str
    what: str
    id: str
    outside: str
    cluster: str


class _Amount(NamedTuple):
    seconds: Seconds
    charged: Fraction


Moved = dict[_Place, _Amount]


def _moved(before: Mapping[str, RunUse], after: Mapping[str, RunUse], policies: Mapping[str, str]) -> Moved:
    """Every difference between two lists of runs, gathered by what explains it."""
    found: Moved = {}
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        what = _why(old, new)
        for place, amount in _differences(name, what, old, new, policies):
            so_far = found.get(place, _Amount(Seconds(), Fraction(0)))
            found[place] = _Amount(so_far.seconds.plus(amount.seconds), so_far.charged + amount.charged)
    return found


def _why(old: RunUse | None, new: RunUse | None) -> str:
    """What moved a run: its own record, or what it is joined with."""
    if old is None or new is None or old.mark != new.mark:
        return RUN
    for what, told in (
        (BINDING, ("cluster", "award", "account")), (AWARD, ("award", "outside")), (PEOPLE, ("uses",)),
        (NODE_CLASS, ("node_class",)),
    ):  # fmt: skip
        if _by(old, told) != _by(new, told):
            return what
    return POLICY if _by(old, ()) == _by(new, ()) else RUN


def _by(run: RunUse, told: Sequence[str]) -> dict[tuple[object, ...], Seconds]:
    sums: dict[tuple[object, ...], Seconds] = defaultdict(Seconds)
    for part in run.parts:
        key = tuple(getattr(part.key, name) for name in told)
        sums[key] = sums[key].plus(part.seconds)
    return dict(sums)


def _differences(
    name: str, what: str, old: RunUse | None, new: RunUse | None, policies: Mapping[str, str]
) -> Iterator[tuple[_Place, _Amount]]:
    """What one run moved, by whose line it moved; a move inside a line is an item of nothing."""
    then, now = _by_line(old), _by_line(new)
    for where in sorted({*then, *now}):
        a, b = then.get(where, _NOTHING), now.get(where, _NOTHING)
        amount = _Amount(b.seconds.minus(a.seconds), b.charged - a.charged)
        if any(amount.seconds) or amount.charged or _keys(old, where) != _keys(new, where):
            award, outside, cluster = where
            yield _Place(award, what, _named(name, what, award, old, new, policies), outside, cluster), amount


_NOTHING = _Amount(Seconds(), Fraction(0))


def _by_line(run: RunUse | None) -> dict[tuple[str, str, str], _Amount]:
    found: dict[tuple[str, str, str], _Amount] = {}
    for part in run.parts if run else ():
        where = _where(part.key)
        so_far = found.get(where, _NOTHING)
        charged = Fraction(0) if part.key.outside else part.charged
        found[where] = _Amount(so_far.seconds.plus(part.seconds), so_far.charged + charged)
    return found


def _where(key: Key) -> tuple[str, str, str]:
    return key.award, key.outside, key.cluster


def _keys(run: RunUse | None, where: tuple[str, str, str]) -> dict[Key, Seconds]:
    parts = run.parts if run else ()
    return _sums(
        (part.key._replace(person=NOBODY), part.seconds) for part in parts if _where(part.key) == where
    )


def _named(
    name: str, what: str, award: str, old: RunUse | None, new: RunUse | None, policies: Mapping[str, str]
) -> str:
    """The id of what moved a run: the run itself, or whatever many runs were moved by."""
    run = new or old
    if run is None or what == RUN:
        return name
    cluster = name.partition("/")[0]
    return {
        BINDING: f"{cluster}/{run.account}",
        AWARD: award,
        POLICY: policies.get(award, award),
        PEOPLE: ",".join(sorted({part.key.uses for part in run.parts})),
        NODE_CLASS: f"{cluster}/{','.join(sorted({part.key.node_class for part in run.parts}))}",
    }[what]


def _apportioned(moved: Moved, charged: Mapping[str, int]) -> tuple[Item, ...]:
    """Items with whole charges that add up to their award's; what rounding alone moved is an item, too."""
    by_award: dict[str, list[_Place]] = defaultdict(list)
    for place in sorted(moved):
        by_award[place.award].append(place)
    items = []
    for award in sorted({*by_award, *charged}):
        places = by_award.get(award, [])
        whole, rest = _shares([moved[place].charged for place in places], charged.get(award, 0))
        for place, micro in zip(places, whole, strict=True):
            items.append(
                Item(place.what, place.id, award, place.outside, place.cluster, moved[place].seconds, micro)
            )
        if rest:
            items.append(Item(ROUNDING, award, award, "", "", Seconds(), rest))
    return tuple(items)


def _shares(exact_parts: Sequence[Fraction], whole: int) -> tuple[list[int], int]:
    """Unit-seconds as whole micro-unit-seconds by largest remainder, and what no remainder explains."""
    scaled = [part * MICRO for part in exact_parts]
    shares = [floor(part) for part in scaled]
    rest = whole - sum(shares)
    order = sorted(range(len(scaled)), key=lambda at: (shares[at] - scaled[at], at))
    for at in order:
        if rest <= 0 or scaled[at] == shares[at]:
            break
        shares[at] += 1
        rest -= 1
    return shares, rest


def _check(found: Correction) -> None:
    """What this module promises; a difference is a bug, and nothing may be booked with it."""
    lines, items = (
        defaultdict[tuple[str, str, str], Seconds](Seconds),
        defaultdict[tuple[str, str, str], Seconds](Seconds),
    )
    for line in found.lines:
        lines[_where(line.key)] = lines[_where(line.key)].plus(line.seconds)
    charged: dict[str, int] = defaultdict(int)
    for item in found.items:
        where = (item.award, item.outside, item.cluster)
        items[where] = items[where].plus(item.seconds)
        charged[item.award] += item.charged
    ours = {where: seconds for where, seconds in items.items() if any(seconds)}
    theirs = {where: seconds for where, seconds in lines.items() if any(seconds)}
    if ours != theirs or _without_zeroes(charged) != dict(found.charged):
        raise OpsdError(
            f"bug in opsd: the items of the correction of {found.period} do not add up to its lines: "
            "nothing was booked; please report it"
        )
