"""How much is asked of a source at once, and how often again: what slurmdbd can bear, found by trying.

Invariant: a question that was too wide is asked again in parts until the smallest; one that failed is asked
again a few times with growing pauses; then the failure is raised. Nothing of a failed answer is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from opsd.core.errors import TooWide, Unavailable
from opsd.core.period import DAY, HOUR

FIRST = DAY  # what any slurmdbd answers; a usual sweep is one question of two hours
LEAST = HOUR
QUICK_SECONDS = 10.0  # an answer that took less lets the next window be twice as wide
Answer = TypeVar("Answer")
PAUSES = (1.0, 4.0)  # before the second and the third try


@dataclass(slots=True)
class Pace:
    """The width of the next window. Kept from one sweep to the next, in memory alone.

    Args:
        widest: seconds that are never exceeded.
        clock: seconds that only go on, by which answers are timed.
        sleep: waits for some seconds.
    """

    widest: int = 7 * DAY
    clock: Callable[[], float] = lambda: 0.0
    sleep: Callable[[float], None] = lambda _seconds: None
    width: int = 0

    def __post_init__(self) -> None:
        self.width = self.width or min(FIRST, self.widest)

    def ask(self, question: Callable[[], Answer], go_on: Callable[[], None]) -> Answer:
        """The answer to a question, asked up to three times.

        Raises:
            TooWide: the question must be made smaller.
            Unavailable: it failed each time.
        """
        for pause in PAUSES:
            go_on()
            try:
                return question()
            except TooWide:
                raise
            except Unavailable:
                go_on()  # a daemon that ends has ended the command
                self.sleep(pause)
        go_on()
        return question()

    def answered(self, width: int, seconds: float) -> None:
        """A window of this width took so long, its storing not included."""
        if seconds < QUICK_SECONDS and width >= self.width:
            self.width = min(self.widest, 2 * self.width)

    def too_wide(self, width: int) -> bool:
        """Ask for half from now on; False: it cannot be made smaller."""
        if width <= LEAST:
            return False
        self.width = max(LEAST, min(self.width, width) // 2)
        return True
