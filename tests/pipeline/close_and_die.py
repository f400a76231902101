"""A close that is killed at a point: `python -m tests.pipeline.close_and_die URL POINT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from opsd.core.dossier import Dossier
from opsd.store import editions
from opsd.store.editions import File
from opsd.store.engine import open_engine
from tests.pipeline import closing_world

RENDERED, ADDED, COMMITTED = "rendered", "added", "committed"
DEADLY = (RENDERED, ADDED, COMMITTED)


def die() -> None:
    """As by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying(work: Callable[..., Any]) -> Callable[..., Any]:
    """Die right after some work is done."""

    def done(*args: Any, **named: Any) -> None:
        work(*args, **named)
        die()

    return done


def main(url: str, point: str) -> None:
    """Close, and die."""
    means = closing_world.MEANS
    if point == RENDERED:

        def render(made: Dossier) -> tuple[File, ...]:
            die()
            return closing_world.render(made)

        means = means._replace(render=render)
    if point == ADDED:
        editions.add = dying(editions.add)
    closing_world.closed(open_engine(url), "2026-10", means=means)
    if point == COMMITTED:
        die()


if __name__ == "__main__":
    main(*sys.argv[1:])
