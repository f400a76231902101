"""Runs an oracle under atheris: libFuzzer's options and corpus folders as arguments.

Invariant: the readers are loaded instrumented, so that coverage steers the bytes.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

# Long inputs from the start, because most decisions stand late. They go first, so that the command line wins.
_ALWAYS = ("-len_control=0", "-max_len=400")


def fuzz(kind: str, plant: str = "") -> None:
    """Fuzz the oracle of that kind, with a bug planted in the reader if one is named."""
    import atheris

    with atheris.instrument_imports(include=["collectors", "opsd.core"]):
        check: Callable[[bytes], None] = importlib.import_module(f"tests.fuzz.{kind}_oracle").check
    if plant:
        importlib.import_module("tests.fuzz.planted").plant(plant)
    # libFuzzer merges corpora in further processes, which it starts by the first argument.
    os.environ["OPSD_FUZZ_PYTHON"] = sys.executable
    os.environ["OPSD_FUZZ_SCRIPT"] = str(Path(sys.argv[0]).absolute())
    atheris.Setup([str(Path(__file__).parent / "again.sh"), *_ALWAYS, *sys.argv[1:]], check)
    atheris.Fuzz()
