"""The present state of the clusters that a configuration names, asked as it says."""

from __future__ import annotations

from pathlib import Path

from opsd.cli.ingest import configured
from opsd.config import Settings, Slurm

SCRIPT = """\
#!/bin/sh
case "$*" in
*"show config"*) echo "ClusterName = here" ;;
*) echo "{name} $*" ;;
esac
"""


def site(folder: Path, name: str) -> Slurm:
    """A site whose commands say how they were asked, each installation with words of its own."""
    made = folder / name
    made.mkdir()
    for program in ("scontrol", "sdiag"):
        (made / program).write_text(SCRIPT.format(name=f"{name}/{program}"))
        (made / program).chmod(0o755)
    return Slurm(bin=str(made), timeout_seconds=10)


def test_each_cluster_is_asked_by_its_own_commands(tmp_path: Path) -> None:
    """Its folder of commands is its own, one that is not here is named, and no accounting is asked first."""
    clusters = {"here": site(tmp_path, "first"), "there": site(tmp_path, "second")}
    here, there = configured(Settings("sqlite://", "a test", clusters=clusters))

    assert here.present
    assert there.present
    assert "first/sdiag" == here.present.scheduler().strip()
    assert "second/sdiag --clusters=there" == there.present.scheduler().strip()


def test_the_one_local_cluster_has_no_name(tmp_path: Path) -> None:
    """It is asked without one."""
    (local,) = configured(Settings("sqlite://", "a test", slurm=site(tmp_path, "local")))

    assert local.present
    assert "local/sdiag" == local.present.scheduler().strip()
