"""How a running Slurm is asked what it is doing now."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors import registry
from collectors.protocol import Present
from collectors.slurm import commands
from opsd.core.errors import Unavailable

SCRIPT = """\
#!/bin/sh
echo "{name} $*" >>{folder}/asked
env | grep -E '^(S|TZ)' >{folder}/environment
[ -e {folder}/broken ] && {{ echo "{name}: error: cannot contact" >&2; exit 1; }}
case "$*" in
*"show config"*) [ -e {folder}/lost ] && exit 1; echo "ClusterName             = here" ;;
*--clusters=*) echo "CLUSTER: there"; echo "{name} says" ;;
*) echo "{name} says" ;;
esac
"""
QUESTIONS = ("queue", "nodes", "scheduler", "shares", "reservations", "licenses")


class Site:
    """Slurm's commands as scripts that write down how they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("squeue", "scontrol", "sdiag", "sshare"):
            (folder / name).write_text(SCRIPT.format(name=name, folder=folder))
            (folder / name).chmod(0o755)

    def source(self, cluster: str) -> Present:
        """As `opsd daemon` opens it."""
        return registry.present(
            "slurm", folder=str(self.folder), conf=None, timeout_seconds=10, cluster=cluster
        )

    def asked(self) -> list[str]:
        """Every command since the last time."""
        path = self.folder / "asked"
        found = [line.strip() for line in path.read_text().splitlines()]
        path.unlink()
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site."""
    return Site(tmp_path)


def every(source: Present) -> list[str]:
    """All answers."""
    return [getattr(source, name)() for name in QUESTIONS]


def test_the_local_cluster_is_asked_without_slurmdbd(site: Site) -> None:
    """Six questions are six commands, and none names a cluster, which slurmdbd would have to find."""
    answers = every(site.source(""))

    scontrol = "scontrol --all --oneliner show"
    assert [
        f"{' '.join(commands.QUEUE)} --local",
        "scontrol --all --details --oneliner show node",
        "sdiag",
        "sshare --parsable2 --format=Account,User,NormShares,EffectvUsage,LevelFS",
        f"{scontrol} reservation",
        "scontrol --oneliner show license",
    ] == site.asked()
    programs = ("squeue", "scontrol", "sdiag", "sshare", "scontrol", "scontrol")
    assert [f"{name} says\n" for name in programs] == answers


def test_one_of_several_clusters_is_named(site: Site) -> None:
    """The controller of another cluster is asked by its name, and the line that repeats it is taken away."""
    answers = every(site.source("there"))

    config, *asked = site.asked()
    assert "scontrol show config" == config
    assert len(QUESTIONS) == len(asked)
    assert all("--clusters=there" in one.split() for one in asked)
    assert not any("CLUSTER" in answer for answer in answers)


def test_a_named_cluster_that_is_here_is_asked_here(site: Site) -> None:
    """Where the local controller is that of the cluster, it is asked as if no name had been given."""
    every(site.source("here"))

    _, *asked = site.asked()
    assert not any("--clusters" in one for one in asked)


def test_whose_controller_it_is_is_asked_again_until_it_answers(site: Site) -> None:
    """While the local controller is away slurmdbd has to find the cluster; once it answers, it is asked."""
    source = site.source("here")
    (site.folder / "lost").touch()
    source.scheduler()
    (site.folder / "lost").unlink()
    source.scheduler()
    source.scheduler()

    asked = ["scontrol show config", "sdiag --clusters=here", "scontrol show config", "sdiag", "sdiag"]
    assert asked == site.asked()


def test_what_a_user_may_have_set_changes_no_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are epochs and brackets whole, whatever SQUEUE_, SCONTROL_ and SLURM_ variables say."""
    for name in (
        "SQUEUE_PARTITION",
        "SQUEUE_STATES",
        "SCONTROL_FUTURE",
        "SLURM_CLUSTERS",
        "SLURM_TIME_FORMAT",
    ):
        monkeypatch.setenv(name, "relative")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    site.source("").queue()

    found = (site.folder / "environment").read_text().split()
    slurms = [line for line in found if line.startswith(("SLURM", "SQUEUE", "SCONTROL", "TZ"))]
    assert ["SLURM_BITSTR_LEN=0", "SLURM_TIME_FORMAT=%s", "TZ=UTC"] == sorted(slurms)


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_that_broke_off_is_none(site: Site, question: str) -> None:
    """A last line without its end may hold half a number, also where the command ended with 0."""
    for name in ("squeue", "scontrol", "sdiag", "sshare"):
        (site.folder / name).write_text(
            "#!/bin/sh\nprintf 'LicenseName=a Total=10\\nLicenseName=b Total=1'\n"
        )

    with pytest.raises(
        Unavailable, match="broke off: the last line of its answer has no end, 'LicenseName=b Total=1'"
    ):
        getattr(site.source(""), question)()


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_command_that_fails_is_no_answer(site: Site, question: str) -> None:
    """What it printed before is not taken."""
    (site.folder / "broken").touch()

    with pytest.raises(Unavailable, match="cannot contact"):
        getattr(site.source(""), question)()
