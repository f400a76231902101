"""`scontrol show node`, one line a node, to what each node and its GPUs are doing.

A state is a base and flags: MIXED+DRAIN+NOT_RESPONDING. The first that holds says what the node is:
maintenance, a base that is no use, a flag that keeps jobs away, what jobs do there, who may come.
Invariant: every node is in one state, and so is each of its GPUs: held by a job, or what `gpu_state` says.
A state that is not known here is shown as Slurm writes it: an unknown base is no use, an unknown flag says
nothing of GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from collectors.slurm.present_words import by_class, each, gres_gpus, lines, optional, tres_gpus, value
from opsd.core.errors import BadText, Unavailable
from opsd.core.present import DOWN, DRAINED, IDLE, MAINTENANCE, RESERVED, NodeNow

_USEFUL = frozenset({"ALLOCATED", "MIXED", "IDLE"})
_BASES = _USEFUL | {"DOWN", "ERROR", "FUTURE", "UNKNOWN"}
# sinfo's marks behind a state, as the flags that they stand for.
_MARKS = {
    "*": "NOT_RESPONDING", "~": "POWERED_DOWN", "#": "POWERING_UP", "!": "POWER_DOWN", "%": "POWERING_DOWN",
    "$": "MAINTENANCE", "@": "REBOOT_REQUESTED", "^": "REBOOT_ISSUED", "-": "PLANNED",
}  # fmt: skip
# Nothing runs there now, whatever the base says. Of a node that saves power jobs wake it up.
_OFF = ("INVALID_REG", "REBOOT_ISSUED", "NOT_RESPONDING", "POWERING_DOWN", "POWERED_DOWN", "POWERING_UP")
_CLOSED = {
    "DRAIN": ("draining", "drained"),
    "FAIL": ("failing", "fail"),
    "PERFCTRS": ("perfctrs", "perfctrs"),
}
_KEEPS_JOBS_AWAY = frozenset({"MAINTENANCE", "INVALID_REG", "REBOOT_ISSUED", "NOT_RESPONDING", *_CLOSED})
# What says nothing about whether and how a node is used, or no more than the others do.
_NEUTRAL = frozenset(
    {
        "BLOCKED", "CLOUD", "COMPLETING", "DYNAMIC_FUTURE", "DYNAMIC_NORM", "EXTERNAL", "PLANNED",
        "POWER_DOWN", "POWER_DRAIN", "POWER_UP", "REBOOT_CANCEL", "REBOOT_REQUESTED", "RESERVED", "RESUME",
        "UNDRAIN",
    }
)  # fmt: skip
_OF_IDLE = ("COMPLETING", "RESERVED", "PLANNED", "BLOCKED")
_FLAGS = _NEUTRAL | _KEEPS_JOBS_AWAY | set(_OFF)
_WORDS = re.compile(r" (Reason|Comment|Extra)=")  # what people write stands behind all else
_NEXT = re.compile(r" (?:Comment|Extra)=")
_STAMP = re.compile(
    r" ?\[[^\]\[\s]+@(\d{1,11}|Unknown|None)\]"
)  # who gave it, and when; Slurm puts it behind


class State(NamedTuple):
    """What a node's state says."""

    name: str
    gpu_state: str  # of GPUs that no job holds
    is_available: bool  # whether it takes jobs


def read(text: str) -> list[NodeNow]:
    """Every node.

    Raises:
        Unavailable: a line cannot be read, or there is no node.
    """
    found = each("scontrol show node", lines(text), _node)
    if not found:
        raise Unavailable("scontrol show node: it printed no node")
    return found


def _node(line: str) -> NodeNow:
    if not line.startswith("NodeName="):
        raise BadText("a line does not begin with NodeName=", line, "is it Slurm's?")
    told, words = _parted(line)
    gpus = {name: count for name, count in gres_gpus(value(told, "Gres")).items() if count}
    state = state_of(value(told, "State"))
    reason, since = _reason(words)
    return NodeNow(
        value(told, "NodeName"), state.name,
        tuple(name.rstrip("*") for name in (optional(told, "Partitions") or "").split(",") if name),
        gpus, by_class(gpus, _used(told)), reason, since, state.gpu_state, state.is_available,
    )  # fmt: skip


def _used(told: str) -> dict[str, int]:
    """GPUs that jobs hold; TRES tell it only where the accounting keeps gres/gpu."""
    used = optional(told, "GresUsed")
    return gres_gpus(used) if used else tres_gpus(optional(told, "AllocTRES") or "")


def _parted(line: str) -> tuple[str, str]:
    """What Slurm says, and why somebody took the node away: it may be any text, State=IDLE too."""
    found = _WORDS.search(line)
    if found is None:
        return line, ""
    return line[: found.start()], line[found.end() :] if found[1] == "Reason" else ""


def _reason(words: str) -> tuple[str, int | None]:
    """What somebody wrote, and when. Of a text of several lines Slurm stamps the first one."""
    if stamp := _STAMP.search(words):
        words = words[: stamp.end()] + _NEXT.split(words[stamp.end() :], maxsplit=1)[0]
    stamps = list(_STAMP.finditer(words))
    if not stamps:
        return words.strip(), None
    last = stamps[-1]
    text = f"{words[: last.start()]} {words[last.end() :].strip()}".strip()
    return text, int(last[1]) or None if last[1].isdecimal() else None


def state_of(text: str) -> State:
    """`IDLE+DRAIN`, `MIXED+PLANNED`, `DOWN*+CLOUD`."""
    base, flags = _parts(text)
    usable = base in _USEFUL
    return State(
        _name(text, base, flags), _gpu_state(base, flags), usable and _KEEPS_JOBS_AWAY.isdisjoint(flags)
    )


def _parts(text: str) -> tuple[str, frozenset[str]]:
    flags: set[str] = set()
    words = []
    for word in text.split("+"):
        stem = word.rstrip("".join(_MARKS))
        flags.update(_MARKS[mark] for mark in word[len(stem) :])
        words.append(stem)
    if not words[0]:
        raise BadText("a node's state is empty", text)
    # sinfo's ALLOCATED+: beside what runs there, something completes.
    flags.update({"MAINT": "MAINTENANCE", "": "COMPLETING"}.get(word, word) for word in words[1:])
    return words[0], frozenset(flags)


def _name(text: str, base: str, flags: frozenset[str]) -> str:
    if base not in _BASES or flags - _FLAGS:
        return text.lower()
    if "MAINTENANCE" in flags:
        return MAINTENANCE
    if base not in _USEFUL:
        return base.lower()
    if off := _first(_OFF, flags):
        return off.lower()
    if closed := _first(_CLOSED, flags):
        return _CLOSED[closed][0 if base != "IDLE" or "COMPLETING" in flags else 1]
    return (base if base != "IDLE" else _first(_OF_IDLE, flags) or base).lower()


def _first(names: Iterable[str], flags: frozenset[str]) -> str | None:
    return next((name for name in names if name in flags), None)


def _gpu_state(base: str, flags: frozenset[str]) -> str:
    if "MAINTENANCE" in flags:
        return MAINTENANCE
    if base not in _USEFUL or not flags.isdisjoint(_OFF):
        return DOWN
    if not flags.isdisjoint(_CLOSED):
        return DRAINED
    return RESERVED if "RESERVED" in flags else IDLE
