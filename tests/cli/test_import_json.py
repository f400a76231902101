"""`opsd import sacct` of what `sacct --json` printed."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opsd.cli import main
from tests.collectors.slurm.json_shapes import document, job

Opsd = Callable[..., tuple[int, str]]


@pytest.fixture
def opsd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Opsd:
    """A command on a database of its own: its exit code and all it says."""

    def run(*words: str) -> tuple[int, str]:
        code = main(["--db", f"sqlite:///{tmp_path}/opsd.db", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def kept(folder: Path, data: bytes) -> str:
    """A file of the data."""
    path = folder / "answer"
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_no_flag_is_needed(opsd: Opsd, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A file tells by its first byte what it is."""
    path = kept(tmp_path, pack(document(job(1), job(2), version="v0.0.41")))
    code, said = opsd("import", "sacct", path)
    assert 0 == code
    assert "2 new, 0 changed, 0 unchanged" in said


class Pipe(io.RawIOBase):
    """Bytes that cannot be read twice."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, room: object) -> int:
        """As a file does it."""
        return self._data.readinto(room)  # type: ignore[arg-type]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_stdin_is_told_without_going_back(
    opsd: Opsd, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    """Nothing of a pipe is lost by looking at its start."""
    data = pack(document(*(job(number) for number in range(1, 300))))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(data))))
    code, said = opsd("import", "sacct", "-")
    assert 0 == code
    assert "299 new" in said


@pytest.mark.parametrize(
    "option", [("--fields", "JobIDRaw"), ("--delimiter", ";"), ("--timezone", "Europe/Madrid")]
)
def test_options_of_text_are_wrong_with_json(opsd: Opsd, tmp_path: Path, option: tuple[str, str]) -> None:
    """They would be ignored, so they are refused."""
    code, said = opsd("import", "sacct", kept(tmp_path, document(job())), *option)
    assert 2 == code
    assert f"is JSON, which names its fields and says times as numbers: leave out {option[0]}" in said


def test_a_failed_answer_changes_nothing(opsd: Opsd, tmp_path: Path) -> None:
    """Also where Slurm says so after the jobs."""
    path = kept(tmp_path, document(job(), version="v0.0.41", errors=[{"description": "no database"}]))
    code, said = opsd("import", "sacct", path)
    assert 1 == code
    assert "no database" in said
    assert "nothing was imported" in said
    assert "1 new" in opsd("import", "sacct", kept(tmp_path, document(job())))[1]


def test_a_broken_document_is_imported_up_to_there(opsd: Opsd, tmp_path: Path) -> None:
    """And fails, saying where."""
    code, said = opsd("import", "sacct", kept(tmp_path, document(job(1), job(2))[:-500]))
    assert 1 == code
    assert "1 new" in said
    assert "the jobs before that were read" in said


def test_a_bad_job_needs_eyes(opsd: Opsd, tmp_path: Path) -> None:
    """Exit code 3, and the quarantine shows its own bytes."""
    code, said = opsd("import", "sacct", kept(tmp_path, document(job(1), job(2, time__end=-1))))
    assert 3 == code
    assert "End is not a time: '-1'" in said
    assert '"job_id": 2' in opsd("quarantine", "show", "1")[1]
    code, said = opsd("quarantine", "retry")
    assert "End is not a time" in said
