"""opsd beside a real Slurm: what it counts is what Slurm reports, whatever happens on the way."""

from __future__ import annotations

import csv
import io
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from collectors.slurm import present
from collectors.slurm.live import LiveSlurm
from collectors.slurm.live_present import LivePresent
from opsd.core import present_counts
from opsd.core.errors import Refused
from opsd.core.present import Present
from tests.slurm import workload
from tests.slurm.beside import NEEDS_EYES, TRES, Cells, Certificate, Opsd, sreport
from tests.slurm.cluster import Slurm
from tests.slurm.configuration import CLUSTER, PARTITION_ASSOCIATION, PLAIN_ACCOUNTS

STATES = {
    "CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "PREEMPTED", "REQUEUED", "RESIZING", "RUNNING",
    "SUSPENDED", "TIMEOUT",
}  # fmt: skip


def hour(slurm: Slurm) -> tuple[str, ...]:
    """The hour, as options of a command."""
    return ("--from", str(slurm.hour_ends - 3600), "--to", str(slurm.hour_ends))


def cells(opsd: Opsd) -> Cells:
    """What users used in the hour, of the accounts for which text alone tells all."""
    return plain(opsd.cells(*hour(opsd.slurm)))


def plain(found: Cells) -> Cells:
    """The cells that text alone can tell."""
    return {
        cell: used
        for cell, used in found.items()
        if cell[0] in PLAIN_ACCOUNTS and cell[1] and cell[2] in TRES
    }


def local(slurm: Slurm) -> tuple[str, str]:
    """The hour, as the commands of this Slurm read it."""
    offset = -slurm.hour_ends % 3600
    start, end = (
        datetime.fromtimestamp(at + offset, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for at in (slurm.hour_ends - 3600, slurm.hour_ends)
    )
    return start, end


def reported_by_slurm(slurm: Slurm) -> Cells:
    """What Slurm itself reports for the hour; lines without a user are the accounts'."""
    return sreport(slurm, *local(slurm), (*TRES, "gres/gpu:h100"))


# -- the certificate, while truth arrives late -----------------------------------------------------


class Late:
    """The one database that sees everything arrive, with slurmdbd's tables, and one that has text alone."""

    def __init__(self, slurm: Slurm, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.slurm = slurm
        self.knows = Opsd(folder / "knows", slurm, capsys, database_url=slurm.database_url())
        self.ignorant = Opsd(folder / "ignorant", slurm, capsys)
        self.period = "..".join(
            datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for at in (slurm.hour_ends - 3600, slurm.hour_ends)
        )

    def explained(self) -> Certificate:
        """Read, compare: with the tables nothing is ever unexplained, and Slurm's figures are Slurm's."""
        self.knows("ingest")
        found = self.knows.certificate(self.period)
        assert {} == found.column("unexplained")
        assert 0 == found.code
        assert reported_by_slurm(self.slurm) == found.column("sreport")
        return found

    def roll_up(self) -> None:
        """Have slurmdbd add up what it will add up again, as it does every hour."""
        self.slurm.run("sacctmgr", "-i", "rollup")
        workload.rolled_up(self.slurm, self.slurm.hour_ends)

    def job(self, name: str) -> int:
        """The number of one of the jobs of a workload."""
        return int(self.slurm.sql(f"select id_job from lab_job_table where job_name = '{name}'")[0][0])


def rolled_up_by_itself(late: Late) -> None:
    """slurmdbd added the hour up, and has not heard that a job ended: both count it to the hour's end."""
    found = late.explained()

    assert {} == found.column("late_record")
    assert {} == found.column("not_rolled_up")
    assert {("ro-geo", "irc")} == {cell[:2] for cell in found.column("resize_overlap") if cell[1]}
    assert {"ro-geo", "tr-chem", "pt-late"} <= {
        account for account, user, _ in found.column("reservation_idle")
    }
    account, user, _ = PARTITION_ASSOCIATION
    assert (account, user, "gres/gpu") in found.column("sreport")


def text_alone(late: Late) -> None:
    """Without slurmdbd's tables something is left where a suspension cannot be placed, and it is named."""
    late.ignorant("ingest")
    left = late.ignorant.certificate(late.period).column("unexplained")
    unknown = late.ignorant.document(late.period)["unknown"]
    named = {
        (one["account"], one["user"], one["tres"])
        for one in unknown
        if one["words"].startswith("suspension cannot be placed")
    }

    assert left
    assert {cell for cell in left if cell[1]} <= named
    assert {"es-edge"} == {account for account, user, _ in left if user}


def late_record(late: Late) -> None:
    """The record of the end arrives after the roll-up: late until the next one."""
    late.slurm.order("start", "slurmctld")
    workload.recorded(late.slurm, late.job(workload.LATE), "CANCELLED")
    before = late.explained()
    late.roll_up()
    after = late.explained()

    assert {("pt-late", "proxy")} == {cell[:2] for cell in before.column("late_record") if cell[1]}
    assert {} == after.column("late_record")
    cell = ("pt-late", "proxy", "cpu")
    assert before.column("sreport")[cell] > after.column("sreport")[cell] == after.column("opsd")[cell]


def runaway_mended(late: Late) -> None:
    """Mended as slurmdbd does it: it takes usage away until the next roll-up, then the job used nothing."""
    shown = late.slurm.run("sacctmgr", "show", "runawayjobs", answer="y\n")
    assert str(late.job(workload.RUNAWAYS[1])) in shown
    before = late.explained()
    late.roll_up()
    after = late.explained()

    assert {} == before.column("sreport")
    assert {cell: -used for cell, used in before.column("opsd").items()} == before.column("not_rolled_up")
    assert {} == after.column("runaway") == after.column("not_rolled_up")


def runaway_mended_elsewhere(late: Late) -> None:
    """Some versions mend the record alone: until the next roll-up Slurm counts what the job never used."""
    name = workload.RUNAWAYS[0]
    late.slurm.sql(f"update lab_job_table set time_end = time_start, state = 3 where job_name = '{name}'")
    late.slurm.sql(f"update lab_last_ran_table set hourly_rollup = {late.slurm.hour_ends - 3600}")
    before = late.explained()
    late.roll_up()
    after = late.explained()

    assert {("pt-late", "proxy")} == {cell[:2] for cell in before.column("runaway") if cell[1]}
    assert {} == after.column("runaway")


def changes_hands(late: Late) -> None:
    """The account of a job changes after its hour was added up: the old one may keep stale rows.

    22.05 lets nobody do that to a running job; its tables tell how a later version would.
    """
    job = late.job(workload.MOVED)
    ((start, association),) = late.slurm.sql(
        "select time_start, one.id_assoc from lab_job_table, lab_assoc_table one where one.acct = 'tr-chem' "
        f"and user = 'proxy' and one.`partition` = '' and id_job = {job}"
    )
    late.slurm.sql(
        f"update lab_job_table set account = 'tr-chem', id_assoc = {association}, "
        f"mod_time = unix_timestamp() where id_job = {job}"
    )
    late.slurm.sql(f"update lab_last_ran_table set hourly_rollup = {start}")
    before = late.explained()
    late.roll_up()
    after = late.explained()

    assert {("pt-late", "proxy"), ("tr-chem", "proxy")} == {
        cell[:2] for cell in before.column("reassociated") if cell[1]
    }
    assert {} == {cell: used for cell, used in after.column("late_record").items() if cell[1]}


def resumed(late: Late) -> None:
    """Jobs suspended when the hour ended go on: now everybody knows how long they were away."""
    for (job,) in late.slurm.sql("select id_job from lab_job_table where state = 2 and `partition` = 'gpu'"):
        late.slurm.run("scontrol", "resume", str(job))
        workload.recorded(late.slurm, job, "RUNNING")
    late.explained()


def capacity(late: Late) -> None:
    """Against sreport's utilization of the cluster nothing is left over."""
    words = ("capacity", "--against", "sreport", *hour(late.slurm), "--format", "csv")
    code, out, err = late.knows(*words)
    rows = list(csv.DictReader(io.StringIO(out)))

    assert {} == {(row["tres"], row["line"]): row["left_over"] for row in rows if row["left_over"] != "0"}
    assert {"cpu", "gres/gpu"} <= {row["tres"] for row in rows}
    assert 0 == code, err


def doctor(late: Late) -> None:
    """Every check of the doctor's gives an answer."""
    code, out, err = late.knows("doctor")

    assert code in {0, NEEDS_EYES}, err
    assert "roll" in out


def as_it_is_now(late: Late) -> None:
    """Jobs, nodes and GPUs are those that squeue and sinfo show, however Slurm is asked."""
    slurm, words = late.slurm, "fan | State=IDLE [x@1]"
    held = ("-A", "tr-llm", *workload.GPU, "--gres=gpu:2", "--hold", "--array=1,5-90:3%7", "--wrap", "true")
    array = slurm.submit("list", *held)
    slurm.run("scontrol", "update", "nodename=n4", "state=drain", f"reason={words}")
    try:
        seen, tasks, shown = look(slurm)
        jobs, nodes = seen.queue or (), seen.nodes or ()
        assert {} == seen.failed
        assert tasks == present_counts.jobs(jobs)
        assert [30] == [job.tasks for job in jobs if job.job_id.startswith(f"{array}_")]
        assert shown == {
            node.name: (node.state, sum(node.gpus.values()), sum(node.allocated.values())) for node in nodes
        }
        assert [(words, False)] == [(node.reason, node.is_available) for node in nodes if node.name == "n4"]
        used = sum(sum(node.allocated.values()) for node in nodes)
        assert 0 < used == present_counts.gpus_held(jobs).total()
    finally:
        slurm.run("scontrol", "update", "nodename=n4", "state=resume")
        slurm.run("scancel", str(array))


def look(slurm: Slurm) -> tuple[Present, Counter[tuple[str, str, str]], dict[str, tuple[str, int, int]]]:
    """What opsd sees, and what squeue and sinfo said before and after."""
    source = LivePresent(
        folder=None, conf=slurm.environment["SLURM_CONF"], timeout_seconds=30, cluster=CLUSTER
    )
    for _ in range(20):
        before = by_task(slurm), by_node(slurm)
        seen = present.read(source, time.monotonic)
        if before == (by_task(slurm), by_node(slurm)):
            return seen, *before
    raise AssertionError("jobs or nodes change all the time")


def by_task(slurm: Slurm) -> Counter[tuple[str, str, str]]:
    """Partition, account and state of every job, tasks one by one."""
    words = (
        "squeue",
        "--all",
        "--array",
        "--states=all",
        "--noheader",
        "--Format=Partition:|,Account:|,State:",
    )
    rows = (line.split("|") for line in slurm.run(*words).splitlines())
    return Counter((partition, account, state.lower()) for partition, account, state in rows)


def by_node(slurm: Slurm) -> dict[str, tuple[str, int, int]]:
    """State, GPUs and used GPUs of every node."""
    words = ("sinfo", "--all", "--Node", "--noheader", "--Format=NodeHost:|,StateLong:|,Gres:|,GresUsed:")
    rows = (line.split("|") for line in slurm.run(*words).splitlines())
    return {
        node: (in_words(state), *(int(text.partition("(")[0].rpartition(":")[2] or 0) for text in gres))
        for node, state, *gres in rows
    }


def in_words(state: str) -> str:
    """A state of sinfo's in opsd's words."""
    if state.endswith("*") and not state.startswith("down"):
        return "not_responding"
    return {"maint": "maintenance"}.get(state.rstrip("*"), state.rstrip("*"))


# One after the other: each begins where the one before has left Slurm.
STORIES = (
    rolled_up_by_itself,
    text_alone,
    late_record,
    runaway_mended_elsewhere,
    runaway_mended,
    changes_hands,
    resumed,
    capacity,
    doctor,
    as_it_is_now,
)


# -- what text alone can tell ----------------------------------------------------------------------


def equal_to_sreport(opsd: Opsd, reported: Cells) -> None:
    """Requeued, suspended, cancelled, failed, timed out or still running: usage is what Slurm reports."""
    opsd.ingest()

    assert reported == cells(opsd)
    assert set(TRES) == {tres for _, _, tres in reported}
    assert {("es-bio", "games"), ("pt-ml", "games")} <= {cell[:2] for cell in reported}


def no_dull_hour(opsd: Opsd, reported: Cells) -> None:
    """The comparison would be worth little if the hour had not held every kind of job."""
    opsd.ingest()

    assert STATES == {row["state"] for row in opsd.usage("state", *hour(opsd.slurm))}
    suspended = opsd.slurm.run("sacct", "-a", "-X", "-n", "-P", "-S", "now-1hour", "-o", "Suspended").split()
    assert 5 <= sum(text != "00:00:00" for text in suspended)


def twice_changes_nothing(opsd: Opsd, reported: Cells) -> None:
    """Reading again changes no run but those that went on meanwhile, and each of those is counted."""
    opsd.ingest()
    before = stored(opsd)
    said = opsd.ingest()
    after = stored(opsd)

    _, new, _, changed, *_ = next(line for line in said.splitlines() if "unchanged" in line).split()
    went_on = {key for key in before if before[key] != after[key]}
    assert "0" == new
    assert before.keys() == after.keys()
    assert len(went_on) == int(changed)
    assert went_on <= {key for key in before if before[key].end is None}
    assert reported == cells(opsd)


class Stored(NamedTuple):
    """What is stored of a run, without what grows while it is open."""

    end: int | None
    content: tuple[int, ...]


def stored(opsd: Opsd) -> dict[tuple[int, int], Stored]:
    """Every run by job id and submission."""
    names = ("hash", "begin", "finish", "account_id", "shape_id", "state_id", "flags")
    with closing(sqlite3.connect(opsd.folder / "opsd.db")) as database:
        rows = database.execute(f'SELECT job_id, submit, "end", {", ".join(names)} FROM run').fetchall()
    return {row[:2]: Stored(row[2], row[3:]) for row in rows}


def slurmdbd_away(opsd: Opsd, reported: Cells) -> None:
    """While slurmdbd is stopped an ingest fails and counts nothing; afterwards nothing is missing."""
    opsd.slurm.order("stop", "slurmdbd")
    try:
        code, out, err = opsd("ingest")
    finally:
        opsd.slurm.order("start", "slurmdbd")

    assert (1, "") == (code, out)
    assert "opsd: sacctmgr ended with 1: " in err
    assert "Connection refused" in err
    assert {} == cells(opsd)
    opsd.ingest()
    assert reported == cells(opsd)


def slurmctld_away(opsd: Opsd, reported: Cells) -> None:
    """Accounting is read while the controller is stopped."""
    opsd.slurm.order("stop", "slurmctld")
    opsd("ingest")

    assert reported == cells(opsd)


def killed_between_windows(opsd: Opsd, reported: Cells) -> None:
    """A SIGKILL in the middle leaves totals right, and the next ingest reads the rest."""
    commands, calls = opsd.folder / "bin", opsd.folder / "calls"
    commands.mkdir()
    for name in ("sacctmgr", "squeue", "scontrol", "sinfo"):
        (commands / name).symlink_to(shutil.which(name) or "")
    (commands / "sacct").write_text(
        f"#!/bin/sh\necho >>{calls}\n"
        f'[ "$(wc -l <{calls})" != 3 ] || kill -9 $PPID\nexec {shutil.which("sacct")} "$@"\n'
    )
    (commands / "sacct").chmod(0o755)
    opsd.configure(bin=str(commands), window_hours=6)
    ingest = [sys.executable, "-m", "opsd", "ingest", *opsd.options]
    killed = subprocess.run(ingest, capture_output=True, text=True, check=False)

    assert -signal.SIGKILL == killed.returncode
    assert cells(opsd).items() <= reported.items()
    opsd.ingest()
    assert reported == cells(opsd)


def rights(opsd: Opsd, reported: Cells) -> None:
    """Without operator rights sacct answers with one's own runs alone, so opsd does not even ask."""
    slurm = opsd.slurm
    own = slurm.run("sacct", "-a", "-X", "-n", "-P", "-S", "now-1hour", "-o", "User", user="games")
    assert {"games"} == set(own.split())

    assert "Refused: user games may not see everybody's runs" in _proof(slurm, "games")
    slurm.run("sacctmgr", "-i", "-Q", "modify", "user", "games", "set", "adminlevel=Operator")
    assert CLUSTER == _proof(slurm, "games")
    assert "Refused: user news may not" in _proof(slurm, "news")


def _proof(slurm: Slurm, user: str) -> str:
    """What `prove` says to somebody else: only the process's user changes, as they may not read this code."""
    source = LiveSlurm(
        folder=None, conf=slurm.environment["SLURM_CONF"], timeout_seconds=30, clock=lambda: 0.0
    )
    os.seteuid(pwd.getpwnam(user).pw_uid)
    try:
        return source.prove()
    except Refused as err:
        return f"Refused: {err}"
    finally:
        os.seteuid(0)


# The last one leaves no controller.
CHECKS = (
    equal_to_sreport,
    no_dull_hour,
    twice_changes_nothing,
    slurmdbd_away,
    killed_between_windows,
    rights,
    slurmctld_away,
)


@pytest.mark.slurm
def test_beside_a_real_slurm(
    slurm: Slurm, tmp_path: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    """Every check holds, each with a database of its own. One test, so that one Slurm serves all workers."""
    late = Late(slurm, tmp_path, capsys)
    for story in STORIES:
        with subtests.test(msg=story.__name__):
            story(late)
    reported = plain(reported_by_slurm(slurm))
    for check in CHECKS:
        with subtests.test(msg=check.__name__):
            check(Opsd(tmp_path / check.__name__, slurm, capsys, window_hours=6), reported)
