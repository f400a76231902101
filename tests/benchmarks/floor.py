"""What a collection costs beside the same driver calls in a bare loop; scrape.py runs it.

The calls are recorded where nvidia-ml-py hands them to C, with their own arguments, and replayed from one
thread with nothing around them: no program that reads the same can be faster in Python.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pynvml

from collectors.nvml.sampler import NvmlGpus

ROUNDS = 100
APART_SECONDS = 0.11  # closer together GPM measures nothing
Call = tuple[Callable[..., object], tuple[object, ...]]


def main() -> None:
    """Measure; one JSON object on stdout."""
    recorded: list[Call] = []
    is_on = [False]
    original = pynvml._nvmlGetFunctionPointer

    def watched(name: str) -> Callable[..., object]:
        pointer = original(name)

        def call(*arguments: object) -> object:
            if is_on[0]:
                recorded.append((pointer, arguments))
            return pointer(*arguments)

        return call

    gpus = NvmlGpus(deadline=10, clock=time.time, listens=False)
    for _ in range(5):
        rested(gpus.collect)
    collections = [rested(gpus.collect) for _ in range(ROUNDS)]
    pynvml._nvmlGetFunctionPointer = watched
    is_on[0] = True
    rested(gpus.collect)
    is_on[0] = False
    pynvml._nvmlGetFunctionPointer = original
    seen = gpus.collect()
    print(
        json.dumps(
            {
                "gpus": len(seen.gpus),
                "calls": len(recorded),
                "collection_ms": statistics.median(collections),
                "floor_ms": statistics.median(rested(lambda: replay(recorded)) for _ in range(ROUNDS)),
            }
        )
    )
    gpus.close()


def replay(calls: list[Call]) -> None:
    """The same calls, one after another."""
    for pointer, arguments in calls:
        pointer(*arguments)


def rested(do: Callable[[], object]) -> float:
    """Milliseconds of something that was last done a while ago, as at any interval."""
    time.sleep(APART_SECONDS)
    started = time.perf_counter()
    do()
    return (time.perf_counter() - started) * 1e3


if __name__ == "__main__":
    main()
