"""What a recording rule is, for the tables of them.

Invariant: an aggregation in a rule names its labels, so that the recorded series has those and no others.
"""

from __future__ import annotations

from typing import NamedTuple


class Recorded(NamedTuple):
    """One rule. Its expression uses no variable of a dashboard."""

    name: str
    labels: tuple[str, ...]
    expr: str
    help: str


def by(function: str, labels: tuple[str, ...], expression: str) -> str:
    """An aggregation that keeps these labels."""
    return f"{function} by ({', '.join(labels)}) ({expression})"
