"""What an agent has folded so far, as JSON and back: how it goes on after it was restarted.

Invariant: what is read back is what was written, or it is refused whole; no part of it is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from opsd.core.errors import BadText
from opsd.core.holders import Holding
from opsd.core.measuring import Open, Sample, State

_OPEN = {field.name for field in fields(Open)}
_FLAGS = {"is_energy_estimated", "is_computing", "is_idle"}
_OPTIONAL = {
    *("process_ms", "idle_ms", "sm_active_ms", "tensor_active_ms", "energy_mj", "memory_peak_bytes"),
    *("is_computing", "is_idle"),
}
_INTEGERS = {"started", "memory_peak_bytes"}
_HOLDING = Holding("", "", "", "")  # of what types one consists


def as_json(state: State) -> dict[str, Any]:
    """A state as a tree of JSON."""
    return {
        "at": state.at,
        "records": [_record(record) for record in state.records.values()],
        "samples": {uuid: list(sample) for uuid, sample in state.samples.items()},
        "heard": {
            uuid: [[code, *seen] for code, seen in sorted(xids.items())] for uuid, xids in state.heard.items()
        },
    }


def from_json(tree: object) -> State:
    """The state of such a tree, for another agent than the one that wrote it.

    Raises:
        BadText: it is none.
    """
    try:
        return _state(tree)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise BadText(f"open records: {type(err).__name__}: {err}", repr(tree)) from err


def _record(record: Open) -> dict[str, Any]:
    tree = {name: getattr(record, name) for name in _OPEN}
    tree["holding"] = list(record.holding)
    tree["xids"] = sorted(map(list, record.xids.items()))
    return tree


def _state(tree: Any) -> State:  # noqa: ANN401 (whatever stood in the file)
    records = [_open(record) for record in tree["records"]]
    heard = {
        uuid: {_whole(code): (_whole(times), _time(last)) for code, times, last in seen}
        for uuid, seen in tree["heard"].items()
    }
    return State(
        at=None if tree["at"] is None else _time(tree["at"]),
        records={
            (record.holding.job_id, record.holding.uuid, record.holding.started): record for record in records
        },
        samples={
            uuid: Sample(_time(at), None if energy is None else _number(energy))
            for uuid, (at, energy) in tree["samples"].items()
        },
        heard=heard,
        earlier=frozenset(heard),
    )


def _open(tree: Mapping[str, Any]) -> Open:
    found = {name: _value(name, tree[name]) for name in _OPEN - {"holding", "xids"}}
    holding = Holding(*tree["holding"])
    if list(map(type, holding)) != list(map(type, _HOLDING)):
        raise ValueError(f"{holding!r} is no holding")
    if not (holding.job_id.isascii() and holding.job_id.isdigit()):
        raise ValueError(f"{holding.job_id!r} is no job id")
    xids = {_whole(code): _whole(times) for code, times in tree["xids"]}
    return Open(holding=holding, xids=xids, **found)


def _value(name: str, value: object) -> Any:  # noqa: ANN401 (what the field's own type is)
    if value is None and name in _OPTIONAL:
        return None
    if name in _FLAGS:
        if type(value) is not bool:
            raise ValueError(f"{name} is not true or false")
        return value
    return _whole(value) if name in _INTEGERS else _number(value)


def _time(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"{value!r} is no time")
    return float(value)  # type: ignore[arg-type]


def _number(value: object) -> float:
    found = _time(value)
    if found < 0:
        raise ValueError(f"{value!r} is less than nothing")
    return found


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return value
