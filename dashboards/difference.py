"""What somebody changed in a dashboard, in lines that a person reads before it is overwritten.

Invariant: no lines means that nothing of ours differs; what Grafana itself adds when it keeps a dashboard
(its version, defaults, plugin versions, its own annotations) is no difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_LINES = 60
_WIDEST = 160
# Grafana's own bookkeeping: differs on every server, after every save, or with every version of it.
_THEIRS = ("id", "version", "iteration")
_NAMES = {"panels": "id", "targets": "refId", "list": "name"}  # what an item of such a list is known by


def lines(held: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, ...]:
    """What would be overwritten (-) and by what (+), panel by panel; at most so many lines."""
    if "panels" not in held:
        return ("kept by Grafana in its newer form: replaced as a whole",)
    found = [*_top(held, ours), *_panels(_flat(held), _flat(ours))]
    if len(found) > MOST_LINES:
        more = len(found) - MOST_LINES
        found = [*found[:MOST_LINES], f"… and {more} more lines"]
    return tuple(found)


def _top(held: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    rest = {key: value for key, value in held.items() if key not in (*_THEIRS, "panels")}
    mine = {key: value for key, value in ours.items() if key not in (*_THEIRS, "panels")}
    if rest.get("schemaVersion", 0) > mine.get("schemaVersion", 0):  # a newer Grafana's
        rest["schemaVersion"] = mine["schemaVersion"]
    yield from _changed(rest, mine, "")


def _flat(board: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Panels by id, those inside a folded row as well."""
    found: dict[str, Mapping[str, Any]] = {}
    for panel in board["panels"]:
        found[str(panel.get("id"))] = {key: value for key, value in panel.items() if key != "panels"}
        inner = panel.get("panels") or []
        found |= {str(one.get("id")): one for one in inner}
    return found


def _panels(held: Mapping[str, Mapping[str, Any]], ours: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for number in [*ours, *(number for number in held if number not in ours)]:
        there, here = held.get(number), ours.get(number)
        shown = f"panel {number} {((here or there) or {}).get('title') or 'without a title'!r}"
        if there is None:
            yield f"{shown}: was taken away in Grafana, comes back"
        elif here is None:
            yield f"{shown}: is in Grafana alone, goes away"
        elif changes := list(_changed(_without(there, "pluginVersion"), _without(here, "pluginVersion"), "")):
            yield f"{shown}:"
            yield from (f"  {line}" for line in changes)


def _without(panel: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in panel.items() if name != key}


def _changed(there: Any, here: Any, path: str) -> Iterator[str]:  # noqa: ANN401 (JSON)
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted({*there, *here}):
            yield from _changed(there.get(key), here.get(key), f"{path}.{key}" if path else key)
    elif isinstance(there, Sequence) and isinstance(here, Sequence) and not _are_texts(there, here):
        yield from _changed_list(there, here, path)
    elif there != here and not (_is_nothing(there) and _is_nothing(here)):
        yield f"{path}:"
        yield from (f"  - {line}" for line in _shown(there))
        yield from (f"  + {line}" for line in _shown(here))


def _changed_list(there: Sequence[Any], here: Sequence[Any], path: str) -> Iterator[str]:
    kind = path.rpartition(".")[2]
    if path == "annotations.list":  # Grafana puts its own into every dashboard
        there = [one for one in there if not (isinstance(one, Mapping) and one.get("builtIn"))]
    held, ours = _keyed(there, kind), _keyed(here, kind)
    for key in [*ours, *(key for key in held if key not in ours)]:
        yield from _changed(held.get(key), ours.get(key), f"{path}[{key}]")


def _keyed(items: Sequence[Any], kind: str) -> dict[str, Any]:
    """By what names an item, else by its place."""
    name = _NAMES.get(kind, "")
    if name and all(isinstance(one, Mapping) and one.get(name) is not None for one in items):
        return {str(one[name]): one for one in items}
    return {str(place): one for place, one in enumerate(items)}


def _are_texts(*values: object) -> bool:
    return any(isinstance(value, str) for value in values)


def _is_nothing(value: object) -> bool:
    """What Grafana writes where nothing was said."""
    if isinstance(value, Mapping):
        return all(map(_is_nothing, value.values()))
    if isinstance(value, list):
        return all(isinstance(one, Mapping) and one.get("builtIn") for one in value)
    return value in (None, "", False, 0)


def _shown(value: object) -> list[str]:
    if value is None:
        return ["(nothing)"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    found = text.splitlines() or ["(empty)"]
    return [line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…" for line in found]
