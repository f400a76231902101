"""`make soak`: fuzz for long, then keep what was new.

Invariant: the corpus only grows by inputs that reach code no kept one reaches; an input that breaks a
reader is left in the folder and ends the soak with its name.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
KINDS = ("text", "json")
SECONDS_OVER = 120  # that a fuzzer may need to start and to end


def command(kind: str, *arguments: object, plant: str = "") -> list[str]:
    """The fuzzer of that kind, perhaps of a reader with a bug planted in it."""
    words = [str(HERE / "planted.py"), plant] if plant else [str(HERE / f"as_{kind}.py")]
    return [sys.executable, *words, *map(str, arguments)]


def soak(kind: str, minutes: float, folder: Path) -> int:
    """Fuzz that long; the exit code of the fuzzer."""
    corpus, grown = HERE / "corpus" / kind, folder / kind
    grown.mkdir(parents=True, exist_ok=True)
    print(f"{kind}: {minutes:g} minutes ...", flush=True)
    length = f"-max_total_time={int(minutes * 60)}"
    code = subprocess.run(
        command(kind, grown, corpus, length, f"-artifact_prefix={grown}.", "-print_final_stats=1"),
        check=False,
    ).returncode
    before = len(list(corpus.iterdir()))
    merged = subprocess.run(
        command(kind, "-merge=1", corpus, grown), check=False, capture_output=True, text=True
    )
    if merged.returncode:
        print(merged.stderr[-2000:], file=sys.stderr)
        return merged.returncode
    print(f"{kind}: {len(list(corpus.iterdir())) - before} inputs added to {corpus}", flush=True)
    if code:
        print(f"{kind}: BROKEN: mend the reader, then keep {grown}.crash-* in {corpus}", file=sys.stderr)
    return code


def main() -> int:
    """Both readers, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0, help="for both together")
    parser.add_argument("--hours", type=float, default=0, help="and so many hours")
    parser.add_argument("--folder", type=Path, required=True, help="where new inputs and broken ones go")
    args = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("make soak needs atheris, which has no wheel for this Python or machine", file=sys.stderr)
        return 1
    minutes = (args.hours * 60 + args.minutes) / len(KINDS)
    return max(soak(kind, minutes, args.folder.absolute()) for kind in KINDS)


if __name__ == "__main__":
    sys.exit(main())
