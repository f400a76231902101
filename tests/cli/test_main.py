"""The command line as a whole: what it says where a part of opsd, or of its data, is not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opsd.cli import main
from opsd.cli.context import counted

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


@pytest.fixture
def empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """A command on a database that holds nothing yet: its exit code and all it says."""

    def opsd(*words: str) -> tuple[int, str]:
        code = main(["--db", f"sqlite:///{tmp_path}/opsd.db", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return opsd


JANUARY = ("--from", "2026-01-01", "--to", "2026-02-01")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("balance",), 0, "no award yet: opsd consortium apply FILE"),
        (("quarantine", "retry"), 0, "nothing waits\n"),
        (("usage", *JANUARY, "--by", "countr"), 2, "no such key; did you mean 'country'? keys: cluster "),
        (("usage", *JANUARY, "--by", "zzz"), 2, "no such key; keys: cluster "),
        (("balance", "--by", "countr"), 2, "no such key; did you mean 'country'? keys: award "),
        (
            ("account", "bind", "lab/x", "--award", "nix", "--from", "2026-01-01"), 1,
            "unknown award 'nix'; declare it in a [[award]], or correct it: opsd balance lists awards",
        ),
    ],
)  # fmt: skip
def test_what_to_do_next_is_said(
    empty: Callable[..., tuple[int, str]], words: tuple[str, ...], code: int, said: str
) -> None:
    """Nothing there yet, or a name that nobody knows: the next step is named."""
    ended, words_said = empty(*words)

    assert code == ended
    assert said in words_said


def test_a_table_without_rows_explains_no_rows(empty: Callable[..., tuple[int, str]]) -> None:
    """How columns are rounded or add up is of no use there."""
    code, said = empty("usage", *JANUARY)

    assert 0 == code
    assert "opsd import sacct FILE" in said
    assert "csv" not in said
    assert "left =" not in empty("balance")[1]


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1234, "1,234 runs")]
)
def test_one_is_not_many(number: int, said: str) -> None:
    """A count and its noun agree."""
    assert said == counted(number, "run")
