"""Fuzz the reader of sacct's text; the arguments are libFuzzer's: corpus folders, -max_total_time=60."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])  # not this folder

from tests.fuzz.harness import fuzz  # noqa: E402

if __name__ == "__main__":
    fuzz("text")
