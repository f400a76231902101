"""The demonstration's folder: its own, or left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsd.core.errors import Refused
from opsd.pipeline import demo

UNTIL = 1_794_700_800


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that cost nothing: what is in them is tested with the simulation."""
    monkeypatch.setattr(demo, "consortium_toml", lambda until, seed: f"# {until} {seed}\n")
    monkeypatch.setattr(demo, "sacct_text", lambda until, seed: iter([b"JobIDRaw\n"]))


@pytest.mark.usefixtures("quick")
def test_an_earlier_demonstration_makes_way(tmp_path: Path) -> None:
    """Its database, too; the new texts stand alone."""
    folder = tmp_path / "a" / "demo"
    demo.prepare(folder, UNTIL, 1)
    (folder / demo.DATABASE).write_bytes(b"old")
    (folder / f"{demo.DATABASE}-wal").write_bytes(b"old")
    demo.prepare(folder, UNTIL, 2)
    assert {demo.MARK, demo.TOML, demo.TEXT} == {entry.name for entry in folder.iterdir()}
    assert f"# {UNTIL} 2\n" == (folder / demo.TOML).read_text()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("names", [["thesis.tex"], [demo.DATABASE], [demo.MARK, "notes.txt"]])
def test_what_no_demonstration_made_is_left_alone(tmp_path: Path, names: list[str]) -> None:
    """A strange file, a database without the mark, a file laid beside."""
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(Refused, match="no demonstration made"):
        demo.prepare(tmp_path, UNTIL, 1)
    assert set(names) == {entry.name for entry in tmp_path.iterdir()}
    assert all((tmp_path / name).read_text() == "mine" for name in names)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """And stays."""
    (tmp_path / "x").write_text("mine")
    with pytest.raises(Refused, match="not a folder"):
        demo.prepare(tmp_path / "x", UNTIL, 1)


@pytest.mark.usefixtures("quick")
def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    """Made by somebody who likes to make folders first."""
    demo.prepare(tmp_path, UNTIL, 1)
    assert (tmp_path / demo.MARK).exists()
