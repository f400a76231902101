"""The readers under a coverage-guided fuzzer, the inputs it kept, and bugs planted for it to find."""

from __future__ import annotations

import base64
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import json_oracle, text_oracle
from tests.fuzz.planted import BUGS
from tests.fuzz.soak import KINDS, SECONDS_OVER, command

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
CHECKS = {"text": text_oracle.check, "json": json_oracle.check}
KEPT = [(kind, path.name) for kind in KINDS for path in sorted((CORPUS / kind).iterdir())]
SECONDS = 15  # each of the two fuzzers
BUDGET = 60  # for a planted bug, found in two to six on a quiet machine

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="tests left out: atheris, the fuzzer, has no wheel for this Python or machine",
)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_that_were_kept_pass(kind: str) -> None:
    """Also where there is no fuzzer: what it found interesting once, and what it broke."""
    kept = [name for of, name in KEPT if of == kind]
    assert len(kept) >= 50
    for name in kept:
        try:
            CHECKS[kind]((CORPUS / kind / name).read_bytes())
        except Exception as err:
            raise AssertionError(f"tests/fuzz/corpus/{kind}/{name}: {err}") from err


def run(kind: str, folder: Path, seconds: int, *corpus: Path, plant: str = "") -> tuple[int, str]:
    """A fuzzer in a process of its own: its exit code and what it says, with the input that broke it."""
    words = command(kind, *corpus, f"-max_total_time={seconds}", f"-artifact_prefix={folder}/", plant=plant)
    done = subprocess.run(
        words, cwd=folder, check=False, timeout=seconds + SECONDS_OVER, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = "\n".join(line[:2000] for line in done.stdout.splitlines() if not line.startswith(("INFO", "#")))
    for path in folder.glob("*-*"):
        said += f"\nsaved as {path}: {base64.b64encode(path.read_bytes()).decode()}"
        said += f"\nwhen it is mended: cp {path} tests/fuzz/corpus/{kind}/"
    return done.returncode, said


@needs_atheris
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_fuzzer_finds_nothing(kind: str, tmp_path: Path) -> None:
    """A bounded time, from what was kept; `make soak` looks longer."""
    grown = tmp_path / "grown"
    grown.mkdir()
    code, said = run(kind, tmp_path, SECONDS, grown, CORPUS / kind)
    assert 0 == code, said


@needs_atheris
@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_the_fuzzer_finds_a_planted_bug(name: str, tmp_path: Path) -> None:
    """From nothing, and saves the input, which the reader as it is handles."""
    kind, _ = BUGS[name]
    code, said = run(kind, tmp_path, BUDGET, plant=name)
    assert 0 != code
    assert "AssertionError" in said
    (found,) = tmp_path.glob("crash-*")
    CHECKS[kind](found.read_bytes())


@pytest.mark.parametrize("kind", KINDS)
def test_no_bytes_make_a_plain_input(kind: str) -> None:
    """Every decision is the plain one where the bytes end."""
    CHECKS[kind](b"")


def test_the_fuzzer_runs_with_this_interpreter() -> None:
    """Not with one found on the path."""
    assert sys.executable == command("text")[0]
