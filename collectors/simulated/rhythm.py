"""When people submit: working hours of their country, weekends, campaigns, growth.

Invariant: a rhythm draws moments in [until - LENGTH, until) only.
"""

from __future__ import annotations

import math
from bisect import bisect
from itertools import accumulate
from random import Random

from collectors.simulated import organisations
from collectors.simulated.chance import stream
from collectors.simulated.projects import ENDED, Project

DAY, HOUR = 86_400, 3_600
DAYS = 90
LENGTH = DAYS * DAY

# Submissions by local hour: people come in the morning, eat at their country's time, and feed the
# machine once more before they leave.
HOURS = (3, 2, 1.5, 1, 1, 1, 2, 4, 9, 14, 16, 15, 12, 10, 12, 14, 15, 14, 11, 8, 6, 5, 5, 4)
AHEAD_OF_UTC = {"ES": 2, "PT": 1, "TR": 3, "RO": 3}
WEEKEND = 0.35
AFTER_END = 0.25  # what goes on after the award has ended


class Rhythm:
    """The moments at which one project submits."""

    def __init__(self, project: Project, until: int, seed: int) -> None:
        self._start = until - LENGTH
        self._offset = AHEAD_OF_UTC[organisations.BY_ID[project.lead].country] * HOUR
        self._days = list(accumulate(self._weights(project, seed)))
        self._hours = list(accumulate(HOURS))

    def _weights(self, project: Project, seed: int) -> list[float]:
        """Weight of each day: growth of the organisation x campaigns of the project x weekday."""
        dice = stream(seed, f"growth/{project.lead}")
        growth = -0.7 + 1.7 * dice.random()
        dice = stream(seed, f"campaigns/{project.account}")
        campaigns = [(DAYS * dice.random(), 2 + 4 * dice.random(), 3 * dice.random()) for _ in range(2)]
        first_weekday = (self._start // DAY + 3) % 7  # 1970-01-01 was a Thursday
        ended = ENDED.get(project.account, 1.0) * DAYS
        return [
            math.exp(growth * (day / DAYS - 0.5))
            * (1 + sum(high * math.exp(-(((day - mid) / wide) ** 2)) for mid, wide, high in campaigns))
            * (WEEKEND if (first_weekday + day) % 7 >= 5 else 1)
            * (AFTER_END if day > ended else 1)
            for day in range(DAYS)
        ]

    def draw(self, dice: Random) -> int:
        """One moment."""
        day = bisect(self._days, dice.random() * self._days[-1])
        hour = bisect(self._hours, dice.random() * self._hours[-1])
        local = day * DAY + hour * HOUR + int(dice.random() * HOUR)
        return self._start + (local - self._offset) % LENGTH
