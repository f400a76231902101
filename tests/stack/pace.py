"""The built configuration, with every waiting time divided by one factor: for demonstrations and tests.

Invariant: only waiting is shortened; of expressions, where one asks for it, how far they look back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

WAITING = {
    "evaluation_interval", "for", "group_interval", "group_wait", "interval", "refresh_interval",
    "repeat_interval", "resolve_timeout", "scrape_interval", "scrape_timeout",
}  # fmt: skip
FILES = ("prometheus.yml", "alertmanager.yml", "rules/opsd-recorded.yml", "rules/opsd.yml")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BACK = re.compile(r"((?<!\")\[|\boffset )((?:\d+(?:ms|s|m|h|d|w))+)")
_LEAST_MS = 100  # Prometheus refuses to wait for nothing


def quicken(folder: Path, factor: int, *, ranges: bool = False) -> None:
    """Rewrite a built configuration in its place.

    Args:
        ranges: whether expressions look back less far, too: for a test in which all clocks run faster.
    """
    for name in FILES:
        path = folder / name
        quick = quickened(yaml.safe_load(path.read_text()), factor)
        path.write_text(yaml.safe_dump(looking_back(quick, factor) if ranges else quick, sort_keys=False))


def quickened(tree: Any, factor: int) -> Any:
    """A copy with every waiting time divided."""
    return _changed(tree, lambda key, value: divided(value, factor) if key in WAITING else None)


def looking_back(tree: Any, factor: int) -> Any:
    """A copy whose expressions look back less far: `[15m]` by 60 is `[15000ms]`, an offset likewise."""
    return _changed(tree, lambda key, value: _nearer(value, factor) if key == "expr" else None)


def _changed(tree: Any, change: Callable[[str, Any], Any]) -> Any:
    if isinstance(tree, list):
        return [_changed(it, change) for it in tree]
    if not isinstance(tree, dict):
        return tree
    return {key: change(key, value) or _changed(value, change) for key, value in tree.items()}


def _nearer(expression: str, factor: int) -> str:
    return _BACK.sub(lambda found: found[1] + divided(found[2], factor), expression)


def divided(duration: str, factor: int) -> str:
    """`5m` by 60 is `5000ms`; nothing stays nothing."""
    parts = re.findall(r"(\d+)(ms|s|m|h|d|w)", duration)
    if "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is no duration such as 30s or 1h30m")
    milliseconds = round(sum(int(number) * _SECONDS[unit] for number, unit in parts) * 1000 / factor)
    return f"{max(milliseconds, _LEAST_MS)}ms" if milliseconds else "0s"
