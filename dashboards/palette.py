"""What colours mean: thresholds, texts and states that several dashboards share.

Invariant: a country, a state of a node and a state of a GPU have one colour on every dashboard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dashboards.panels import BAD, GOOD, PLAIN, WARN, Query, Step

ZERO_IS_GOOD = (Step(None, GOOD), Step(1, BAD))  # one is trouble
ZERO_IS_BEST = (Step(None, GOOD), Step(1, WARN))  # one is to be looked at
NEUTRAL = (Step(None, PLAIN),)
SHARE = (Step(None, GOOD), Step(0.8, WARN), Step(1, BAD))  # of what was granted, or of a limit
NOT_BELOW_ZERO = (Step(None, PLAIN), Step(-1e15, BAD), Step(0, PLAIN))  # an empty cell is not bad
DATA_AGE = (Step(None, GOOD), Step(900, WARN), Step(3600, BAD))
RESULTS = (("1", "ok", GOOD), ("0", "failed", BAD))

# As the portal has them; other countries take what Grafana gives.
COUNTRIES = {
    "ES": "#cf9021", "PT": "#2a8a80", "TR": "#b84e44", "RO": "#4a86c4", "unattributed": "#9b9b93",
}  # fmt: skip
COUNTRY_TEXTS = tuple((country, country, color) for country, color in COUNTRIES.items())

# What a GPU does; each is in one of these.
GPU_STATES = {
    "allocated": "#3f8f6b", "idle": "#6f8fb3", "reserved": "#b7a642", "maintenance": "#8a6fb0",
    "drained": "#d9853b", "down": "#c4463f", "unseen": "#7d7d78",
}  # fmt: skip
# What a node does, several of Slurm's words under one: word -> (Slurm's words, colour).
NODE_STATES: Mapping[str, tuple[str, str]] = {
    "allocated": ("allocated", "#3f8f6b"),
    "mixed": ("mixed|completing", "#7fb98f"),
    "idle": ("idle|planned|blocked", "#6f8fb3"),
    "reserved": ("reserved", "#b7a642"),
    "maintenance": ("maintenance|reboot_issued", "#8a6fb0"),
    "draining": ("draining", "#e8b36b"),
    "drained": ("drained", "#d9853b"),
    "off": ("powered_down|powering_down|powering_up", "#5d6670"),
    "down": ("down|error|not_responding|invalid_reg|unknown|fail|failing|perfctrs", "#c4463f"),
}


def of_states(select: Callable[[str], str], chosen: Mapping[str, str]) -> Iterator[Query]:
    """One series a state, 0 where nothing is in it, so that colours and their order stay.

    Args:
        select: the sum over series that match a matcher; absent where Slurm is silent.
        chosen: what a state is called -> Slurm's words for it, as a regular expression.
    """
    nothing = "0 * " + select('state=~".+"')
    for called, words in chosen.items():
        yield Query(select(f'state=~"{words}"') + " or " + nothing, called)
    words = "|".join(chosen.values())
    yield Query(select(f'state!~"{words}"') + " or " + nothing, "other")
