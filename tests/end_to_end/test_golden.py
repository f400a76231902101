"""What opsd prints about one real hour, word for word; `make golden` rewrites, a person reads the diff."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from opsd.cli import main

DATA = Path(__file__).parent.parent / "data"
EXPORT = DATA / "slurm-real" / "sacct-num.psv.gz"
HOUR = ("--from", "2026-11-22T05:45+00:00", "--to", "2026-11-22T06:45+00:00")
OBSERVED = "2026-11-22T06:45:08"
ASKED: dict[str, tuple[str, ...]] = {
    "usage-account-user.csv": ("usage", *HOUR, "--by", "account,user", "--format", "csv"),
    "usage-country-pays.json": ("usage", *HOUR, "--by", "country,pays,uses", "--format", "json"),
    "usage-state.txt": ("usage", *HOUR, "--by", "state,gpu_class"),
    "usage-hours-of-kathmandu.csv": (
        "usage", *HOUR, "--by", "hour", "--timezone", "Asia/Kathmandu", "--format", "csv",
    ),
    "balance.csv": ("balance", "--as-of", "2026-11-22T06:40", "--format", "csv"),
    "balance.txt": ("balance", "--as-of", "2026-11-22T06:40"),
    "balance-by-funder.json": (
        "balance", "--as-of", "2026-11-22T06:40", "--by", "funder", "--format", "json",
    ),
    "account-list.csv": ("account", "list", "--from", "2026-11-22", "--to", "2026-11-23", "--format", "csv"),
    "consortium-export.toml": ("consortium", "export"),
}  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hour and its consortium, imported."""
    url = f"sqlite:///{tmp_path_factory.mktemp('golden') / 'opsd.db'}"
    consortium = str(DATA / "golden" / "consortium.toml")
    assert 0 == main(["consortium", "apply", consortium, "--author", "golden", "--db", url])
    observed = ("--cluster", "lab", "--observed-at", OBSERVED)
    assert 0 == main(["import", "sacct", str(EXPORT), *observed, "--db", url])
    return url


@pytest.mark.golden
@pytest.mark.parametrize("name", ASKED)
def test_the_printed_words_are_the_expected_ones(
    database: str,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    golden: Callable[[Path, str], None],
) -> None:
    """Each table, CSV and JSON is what lies beside its input."""
    monkeypatch.setenv("COLUMNS", "110")

    main([*ASKED[name], "--db", database])

    golden(DATA / "golden" / name, capsys.readouterr().out)
