"""sreport and sshare as slurm-wlm 22.05.8 prints them, by programs that print just that."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.protocol import Reported, Utilised
from collectors.slurm import commands, reports
from collectors.slurm.client import Client
from opsd.core.errors import Unavailable

START, END = 1_795_326_300, 1_795_329_900  # an hour from xx:45 UTC
QUARTER = 2_700
LINE = "-" * 80
USAGE = f"""\
{LINE}
Cluster/Account/User Utilization {START} - {END - 1} (3600 secs)
Usage reported in TRES Seconds
{LINE}
Cluster|Account|Login|TRES Name|Used
lab|root||cpu|11437
lab|pt-ml|filipe|cpu|2000
lab|pt-ml|filipe|cpu|67
other|root||cpu|1
"""
UTILISATION = f"""\
{LINE}
Cluster Utilization {START} - {END - 1}
Usage reported in TRES Seconds
{LINE}
Cluster|TRES Name|Allocated|Down|PLND Down|Idle|Planned|Reported
lab|cpu|7101|512|0|32807|11164|51584
"""
SHARES = """\
CLUSTER: lab
Account|User|RawUsage|GrpTRESMins|GrpTRESRaw
root||22674||cpu=10,mem=300
 es||3431|cpu=1000,gres/gpu=60|cpu=57,gres/gpu=0
"""
STATISTICS = """\
sacctmgr show stats output at Sun Nov 22 07:00:15 2026 (1795329915)
Internal DBD rollup last ran Sun Nov 22 07:00:07 2026 (1795329907)
\tLast cycle:   10972
"""


def saying(folder: Path, program: str, text: str) -> Client:
    """A client whose program prints a text, and keeps what it was asked and in which zone."""
    (folder / "answer").write_text(text)
    path = folder / program
    path.write_text(f'#!/bin/sh\necho "$TZ" "$@" > {folder}/asked\ncat {folder}/answer\n')
    path.chmod(0o755)
    return Client(folder=str(folder), conf=None, timeout_seconds=20)


def usage(folder: Path, text: str) -> list[Reported]:
    """What is read from a report of an hour."""
    return reports.reported(saying(folder, "sreport", text), START, END, ("cpu", "mem"), QUARTER, "lab")


def test_usage_of_accounts_and_users(tmp_path: Path) -> None:
    """Two lines of one name add up (a user with a partition's association); other clusters are left out."""
    assert [Reported("root", "", "cpu", 11_437), Reported("pt-ml", "filipe", "cpu", 2_067)] == usage(
        tmp_path, USAGE
    )


def test_the_clock_that_sreport_is_asked_with(tmp_path: Path) -> None:
    """Its hours begin when slurmdbd's do, so full hours of slurmdbd's are full hours to it."""
    usage(tmp_path, USAGE)

    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("OPSD-0:15:00 ")
    assert "start=2026-11-22T06:00:00 end=2026-11-22T07:00:00" in asked


@pytest.mark.parametrize(("offset", "zone"), [(0, "UTC"), (1_800, "OPSD-0:30:00"), (2_263, "OPSD-0:22:17")])
def test_zones_of_hours(offset: int, zone: str) -> None:
    """Any second of a UTC hour may be the beginning of slurmdbd's."""
    assert zone == commands.hour_zone(offset)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (USAGE.replace(str(END - 1), str(END - 3_601)), "answered about"),
        (USAGE.replace(str(START), str(START - 1)), "answered about"),
        (USAGE.replace("Utilization", "Use"), "no heading"),
        (USAGE.replace("|Used", "|Percent"), "titles"),
        (USAGE.replace("|11437", "|11437|1"), "6 columns"),
        ("", "no heading"),
    ],
    ids=["cut back", "rounded", "heading", "titles", "columns", "nothing"],
)
def test_another_answer_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """A report on another time, or of another form, is no report."""
    with pytest.raises(Unavailable, match=words):
        usage(tmp_path, text)


def test_nobody_used_anything(tmp_path: Path) -> None:
    """No line below the titles is an answer, too."""
    assert [] == usage(tmp_path, USAGE[: USAGE.index("lab|root")])


def test_utilisation_of_the_cluster(tmp_path: Path) -> None:
    """Its columns in their order; the TRES node, which sreport refuses, is not asked for."""
    client = saying(tmp_path, "sreport", UTILISATION)

    found = reports.utilised(client, START, END, ("cpu", "node"), QUARTER, "lab")

    assert [Utilised("cpu", 7_101, 512, 0, 32_807, 11_164, 51_584)] == found
    assert "--tres=cpu cluster" in (tmp_path / "asked").read_text()


def test_shares(tmp_path: Path) -> None:
    """Raw usage, limits and what they are held against; names are without their indentation."""
    _, es = reports.shares(saying(tmp_path, "sshare", SHARES), "lab")

    assert ("es", "", 3_431, {"cpu": 1_000, "gres/gpu": 60}, {"cpu": 57, "gres/gpu": 0}) == es


def test_how_far_slurmdbd_says_it_has_added_up(tmp_path: Path) -> None:
    """The last full hour of its clock before its own roll-up ran."""
    assert END == reports.rolled_until(saying(tmp_path, "sacctmgr", STATISTICS), QUARTER)
    assert None is reports.rolled_until(saying(tmp_path, "sacctmgr", "no such line\n"), QUARTER)
