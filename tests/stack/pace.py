"""The built configuration, with every waiting time divided by one factor: for demonstrations and tests.

Invariant: only waiting is shortened. Expressions, and the ranges in them, stay what a site runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

WAITING = {
    "evaluation_interval", "for", "group_interval", "group_wait", "interval", "refresh_interval",
    "repeat_interval", "resolve_timeout", "scrape_interval", "scrape_timeout",
}  # fmt: skip
FILES = ("prometheus.yml", "alertmanager.yml", "rules/opsd-recorded.yml", "rules/opsd.yml")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LEAST_MS = 100  # Prometheus refuses to wait for nothing


def quicken(folder: Path, factor: int) -> None:
    """Rewrite a built configuration in its place."""
    for name in FILES:
        path = folder / name
        path.write_text(yaml.safe_dump(quickened(yaml.safe_load(path.read_text()), factor), sort_keys=False))


def quickened(tree: Any, factor: int) -> Any:
    """A copy with every waiting time divided."""
    if isinstance(tree, list):
        return [quickened(it, factor) for it in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        key: divided(value, factor) if key in WAITING else quickened(value, factor)
        for key, value in tree.items()
    }


def divided(duration: str, factor: int) -> str:
    """`5m` by 60 is `5000ms`; nothing stays nothing."""
    parts = re.findall(r"(\d+)(ms|s|m|h|d|w)", duration)
    if "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is no duration such as 30s or 1h30m")
    milliseconds = round(sum(int(number) * _SECONDS[unit] for number, unit in parts) * 1000 / factor)
    return f"{max(milliseconds, _LEAST_MS)}ms" if milliseconds else "0s"
