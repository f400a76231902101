"""The command line as a whole: what it says where a part of opsd was not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from opsd.cli import main

# Where only the agent is installed, packages of the server cannot be found.
HIDING = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
from opsd.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("sqlalchemy", ["usage", "--from", "2026-01-01", "--to", "2026-02-01"]),
        ("sqlalchemy", ["usage", "--help"]),
        ("sqlalchemy", ["daemon"]),
        ("rich", ["balance", "--db", "sqlite:///{folder}/opsd.db"]),
    ],
)
def test_a_package_that_is_not_here_is_named(
    package: str, words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One line that names the package and where to read on, and no traceback."""
    folder = tmp_path_factory.mktemp("hidden")
    words = [word.format(folder=folder) for word in words]
    ran = subprocess.run(
        [sys.executable, "-c", HIDING, package, *words], check=False, capture_output=True, text=True
    )

    assert (1, "") == (ran.returncode, ran.stdout)
    assert 1 == len(ran.stderr.splitlines()), ran.stderr
    assert ran.stderr.startswith(f"opsd: the package {package} is not installed here: ")
    assert "docs/install.md" in ran.stderr


def test_help_shows_the_time_format_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    """SLURM_TIME_FORMAT is %s, so that a reader can copy it."""
    assert 0 == main(["import", "sacct", "--help"])
    said = capsys.readouterr().out

    assert "SLURM_TIME_FORMAT=%s" in said
    assert "%%" not in said
