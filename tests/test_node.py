"""The agent of a compute node: what it prints, and what it must never load."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version

import pytest

from opsd import node

SQL = {"alembic", "apscheduler", "psycopg", "sqlalchemy", "sqlite3", "sqlmodel"}


def test_once_prints_the_build_in_prometheus_text(capsys: pytest.CaptureFixture[str]) -> None:
    """`--once` prints one HELP, one TYPE and one sample line, and ends with 0."""
    code = node.main(["--once"])

    help_line, type_line, sample = capsys.readouterr().out.splitlines()
    assert code == 0
    assert help_line.startswith("# HELP opsd_node_build_info ")
    assert type_line == "# TYPE opsd_node_build_info gauge"
    assert sample == (
        f'opsd_node_build_info{{version="{version("opsd-hpc")}",python="{platform.python_version()}"}} 1'
    )


def test_without_once_it_says_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """Called bare it names --once on stderr, keeps stdout empty and ends with 2."""
    code = node.main([])

    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert "only --once exists" in printed.err


def test_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the version that was installed."""
    with pytest.raises(SystemExit) as ended:
        node.main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"opsd-node {version('opsd-hpc')}\n"


def test_an_unknown_option_is_wrong_usage() -> None:
    """What it does not know ends with 2 instead of being ignored."""
    with pytest.raises(SystemExit) as ended:
        node.main(["--onec"])

    assert ended.value.code == 2


def test_label_values_are_escaped() -> None:
    """Backslash, quote and newline cannot break out of a label value."""
    assert node._label_text({"a": 'x\\y"z\n'}) == r'a="x\\y\"z\n"'


def test_the_agent_loads_no_sql() -> None:
    """A whole run of the agent leaves no database module in the process."""
    program = (
        "import json, sys\n"
        "from opsd.node import main\n"
        "assert main(['--once']) == 0\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    loaded = set(json.loads(ran.stdout.splitlines()[-1]))
    assert set() == SQL & loaded
