"""Answers that were worked out a moment ago.

Invariant: nobody waits for somebody else's work: who comes while an answer is worked out again gets
the one before, and where there is none works out its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

_PATIENCE = 8  # times as old as an answer may be, while a new one is worked out
Key = TypeVar("Key")
Value = TypeVar("Value")


class _Kept(NamedTuple, Generic[Value]):
    value: Value
    at: float


class Recent(Generic[Key, Value]):
    """The last answers by question."""

    def __init__(
        self, work_out: Callable[[Key], Value], *, seconds: float, most: int, clock: Callable[[], float]
    ) -> None:
        """Keep answers.

        Args:
            seconds: how long an answer stays good.
            most: how many are kept; the oldest goes.
            clock: monotonic seconds.
        """
        self._work_out = work_out
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._kept: dict[Key, _Kept[Value]] = {}
        self._at_work: set[Key] = set()
        self._lock = threading.Lock()  # held for a look, never for work

    def get(self, key: Key) -> Value:
        """An answer no older than `seconds`, or the one before while a new one is on its way.

        Where the new one is very long in coming, the one before is not shown as if it were the present.
        """
        with self._lock:
            kept = self._kept.get(key)
            patience = self._seconds * (_PATIENCE if key in self._at_work else 1)
            if kept is not None and self._clock() - kept.at < patience:
                return kept.value
            self._at_work.add(key)
        try:
            value = self._work_out(key)
        except BaseException:
            with self._lock:
                self._kept.pop(key, None)  # what cannot be known now must not be shown as if it could
                self._at_work.discard(key)
            raise
        self._keep(key, value)
        return value

    def _keep(self, key: Key, value: Value) -> None:
        with self._lock:
            self._kept[key] = _Kept(value, self._clock())
            self._at_work.discard(key)
            while len(self._kept) > self._most:
                del self._kept[min(self._kept, key=lambda one: self._kept[one].at)]
