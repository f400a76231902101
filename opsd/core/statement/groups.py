"""Groups of users that are large enough to be told apart.

Invariant: no group that comes out has fewer users than asked for, unless it is the one in which all of them
stand together; and nobody's use is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from opsd.core.statement.view import Sum, in_order

TOGETHER = ""  # the name of those that are not told apart


class Group(NamedTuple):
    """What some users used together."""

    use: Sum
    persons: frozenset[int]

    def plus(self, other: Group) -> Group:
        """Both together; who is in both counts once."""
        return Group(self.use.plus(other.use), self.persons | other.persons)


def merged(groups: Mapping[str, Group], size: int) -> Iterator[tuple[str, Group]]:
    """The groups with at least `size` users, by name, and last those that stand together.

    The rest is no smaller than that either: the next smallest group joins it until it is large enough, for
    what is left after all others are taken away is told as well.
    """
    order = sorted(groups, key=lambda name: (len(groups[name].persons), in_order((name,))))
    used = [name for name in order if any(groups[name].use.seconds)]
    together: list[str] = []
    rest = Group(Sum(), frozenset())
    for name in used:
        if len(groups[name].persons) >= size and (not together or len(rest.persons) >= size):
            break
        together.append(name)
        rest = rest.plus(groups[name])
    for name in sorted(set(used) - set(together), key=lambda name: in_order((name,))):
        yield name, groups[name]
    if together:
        yield TOGETHER, rest
