"""Events as lines: a word, then key=value pairs, one line per event."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping

_log = logging.getLogger("opsd.daemon")
_PLAIN = re.compile(r"[\w.:/@+-]+\Z")


def event(
    name: str,
    counts: Mapping[str, int] | None = None,
    *,
    level: int = logging.INFO,
    trace: bool = False,
    **values: object,
) -> None:
    """Log an event.

    Args:
        counts: what came of it, told last.
        trace: with the traceback of the exception being handled: it is a bug.
    """
    pairs = {**values, **(counts or {})}
    _log.log(level, "%s", " ".join([name, *map(_pair, pairs, pairs.values())]), exc_info=trace)


def _pair(key: str, value: object) -> str:
    text = str(value)
    return f"{key}={text if _PLAIN.match(text) else json.dumps(text, ensure_ascii=False)}"
