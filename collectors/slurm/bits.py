"""Numbers of slurmdbd's tables that are sets of bits: states of nodes, flags of reservations.

The numbers stand in Slurm's own slurm/slurm.h (enum node_states, NODE_STATE_*, RESERVE_FLAG_*); they have
kept their meaning since 20.11. Invariant: a bit without a name here is told by its number, never dropped.
"""

from __future__ import annotations

_BASE = 0xF
_BASES = {0: "UNKNOWN", 1: "DOWN", 2: "IDLE", 3: "ALLOCATED", 4: "ERROR", 5: "MIXED", 6: "FUTURE"}
_UNUSABLE = {1, 4, 6}
_DRAIN, _NO_RESPOND, _POWERED_DOWN, _FAIL, _MAINT = 1 << 9, 1 << 11, 1 << 12, 1 << 13, 1 << 15
_NODE_FLAGS = {
    _MAINT: "MAINT", _DRAIN: "DRAIN", _FAIL: "FAIL", _POWERED_DOWN: "POWERED_DOWN", 1 << 4: "PERFCTRS",
    1 << 5: "RESERVED", 1 << 6: "UNDRAIN", 1 << 7: "CLOUD", 1 << 8: "RESUME", 1 << 10: "COMPLETING",
    1 << 14: "POWERING_UP", 1 << 16: "REBOOT_REQUESTED", 1 << 17: "REBOOT_CANCEL", 1 << 18: "POWERING_DOWN",
    1 << 19: "DYNAMIC_FUTURE", 1 << 20: "REBOOT_ISSUED", 1 << 21: "PLANNED", 1 << 22: "INVALID_REG",
    1 << 23: "POWER_DOWN", 1 << 24: "POWER_UP", 1 << 25: "POWER_DRAIN", 1 << 26: "DYNAMIC_NORM",
}  # fmt: skip
_RESERVATION_FLAGS = {
    1 << place: name
    for place, name in enumerate(
        (
            "MAINT", "NO_MAINT", "DAILY", "NO_DAILY", "WEEKLY", "NO_WEEKLY", "IGNORE_JOBS", "NO_IGNORE_JOBS",
            "ANY_NODES", "NO_ANY_NODES", "STATIC", "NO_STATIC", "PART_NODES", "NO_PART_NODES", "OVERLAP",
            "SPEC_NODES", "FIRST_CORES", "TIME_FLOAT", "REPLACE", "ALL_NODES", "PURGE_COMP", "WEEKDAY",
            "NO_WEEKDAY", "WEEKEND", "NO_WEEKEND", "FLEX", "NO_FLEX", "DURATION_PLUS", "DURATION_MINUS",
            "NO_HOLD_JOBS_AFTER_END", "REPLACE_DOWN", "NO_PURGE_COMP", "MAGNETIC", "NO_MAGNETIC", "SKIP",
            "HOURLY", "NO_HOURLY",
        )
    )
}  # fmt: skip


def node_state(state: int) -> str:
    """`DOWN*`, `DRAIN`, `DOWN+DRAIN`: a base state that says nothing is left out beside a flag."""
    names = _named(state & ~_BASE & ~_NO_RESPOND, _NODE_FLAGS)
    base = state & _BASE
    if base in _UNUSABLE or not names:
        names.insert(0, _BASES.get(base, str(base)))
    return "+".join(names) + ("*" if state & _NO_RESPOND else "")


def reservation_flags(flags: int) -> str:
    """Slurm's names, sorted and joined by commas."""
    return ",".join(sorted(_named(flags, _RESERVATION_FLAGS)))


def _named(bits: int, names: dict[int, str]) -> list[str]:
    found = [name for bit, name in names.items() if bits & bit]
    rest = bits & ~sum(names)
    return [*found, f"{rest:#x}"] if rest else found
