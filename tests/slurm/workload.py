"""Jobs of every kind that one hour of a real cluster may hold, and what happens to them on the way.

Invariant: what belongs to the accounts of `PLAIN_ACCOUNTS` can be counted from sacct's text alone; what
cannot (suspended when the hour ends, resized, reserved, late, runaway) belongs to the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.slurm.cluster import Slurm

GPU, ODD = ("-p", "gpu"), ("-p", "odd")
# (user, options of sbatch): jobs that nobody touches once they are submitted.
LEFT_ALONE = (
    ("games", ("-n1", "--wrap", "sleep 12")),
    ("games", ("-A", "pt-ml", "-n2", "--wrap", "sleep 9")),
    ("news", ("-n4", "-c2", "--mem=3000", "--wrap", "sleep 15")),
    ("mail", ("-n1", "--wrap", "true")),
    ("news", ("-N2", "-n6", "--wrap", "sleep 6")),
    ("mail", (*GPU, "-N3", "--ntasks-per-node=2", "--gres=gpu:h100:1", "--wrap", "sleep 8")),
    ("mail", (*GPU, "-n2", "--gres=gpu:h100:2", "--wrap", "sleep 11")),
    ("list", (*GPU, "-n1", "--gres=gpu:1", "--wrap", "sleep 14")),
    ("list", (*GPU, "-n1", "--gpus=3", "--wrap", "sleep 10")),
    ("games", ("-A", "pt-ml", *GPU, "-N2", "-n2", "--gpus-per-node=h100:1", "--wrap", "sleep 7")),
    (
        "list",
        ("--array=0-5%3", "--wrap", "sleep $((2 + SLURM_ARRAY_TASK_ID)); [ $SLURM_ARRAY_TASK_ID != 4 ]"),
    ),
    ("news", ("-n1", "--wrap", "sleep 2; exit 3")),
    ("games", ("-n2", "--wrap", "sleep 6", ":", *GPU, "-n1", "--gres=gpu:h100:1")),
    ("proxy", ("-A", "tr-chem", "-n1", "--wrap", "sleep 5")),
    ("proxy", ("-A", "tr-chem", *GPU, "-n1", "--gres=gpu:1", "--wrap", "sleep 6")),  # its own association
    ("list", (*GPU, "-n3", "-t60", "--gres=gpu:h100:2", "--wrap", "sleep 900")),  # still runs at the end
    ("games", ("-n1", "-t60", "--wrap", "sleep 900")),
)
# Nobody else's jobs run on these nodes while a reservation holds them, each for a minute.
RESERVATIONS = (
    ("ReservationName=ignoring", "Nodes=n4", "Accounts=ro-geo", "Flags=IGNORE_JOBS"),
    ("ReservationName=shared", "Nodes=c4", "Accounts=tr-chem,pt-late"),
    ("ReservationName=maint", "Nodes=c5", "Users=root", "Flags=MAINT"),
)
# Names of jobs that checks look for.
ENDS, LATE, MOVED = "ends", "ends-unheard", "changes-hands"
RUNAWAYS = ("never-ends", "never-ends-either")
ENDING_SECONDS = 14  # before the hour ends: the last suspensions begin, and slurmdbd goes away


def run(slurm: Slurm) -> bool:
    """Fill the hour, and return when slurmdbd has added it up without having heard of everything.

    Returns:
        Whether the hour held what it was to hold; the machine may have been too slow.
    """
    for words in RESERVATIONS:
        slurm.run("scontrol", "create", "reservation", "StartTime=now", "Duration=1", *words)
    across = [
        slurm.submit("uucp", *GPU, "-n2", "-t60", "--gres=gpu:1", "--wrap", "sleep 900") for _ in range(2)
    ]
    with ThreadPoolExecutor(12) as pool:
        told = [pool.submit(story, slurm) for story in STORIES]
        told.append(pool.submit(_suspend, slurm, across[0], 4, 6))
        list(pool.map(lambda job: slurm.submit(job[0], *job[1]), LEFT_ALONE))
        unheard = _submit_named(slurm, LATE, "sleep 900")
        _submit_named(slurm, ENDS, "sleep 8")
        _submit_named(slurm, MOVED, "sleep 900")
        for story in told:
            story.result()
    return time.time() < slurm.hour_ends - ENDING_SECONDS and _end_of_the_hour(slurm, across, unheard)


def _submit_named(slurm: Slurm, name: str, command: str) -> int:
    return slurm.submit("proxy", "-A", "pt-late", "-n2", "-t60", "-J", name, "--wrap", command)


def _end_of_the_hour(slurm: Slurm, across: list[int], unheard: int) -> bool:
    """Jobs are suspended while it ends, one ends while slurmdbd is away, and of one the end is lost."""
    time.sleep(max(0.0, slurm.hour_ends - ENDING_SECONDS - time.time()))
    for job in across:
        slurm.run("scontrol", "suspend", str(job))
        recorded(slurm, job, "SUSPENDED")
    slurm.order("stop", "slurmdbd")
    slurm.run("scancel", str(unheard))
    slurm.wait_for(unheard, "CANCELLED")
    in_time = time.time() < slurm.hour_ends
    slurm.order("stop", "slurmctld")  # it keeps what slurmdbd has not heard
    _run_away(slurm)
    time.sleep(max(0.0, slurm.hour_ends + 1 - time.time()))
    slurm.order("start", "slurmdbd")
    rolled_up(slurm, slurm.hour_ends)
    return in_time


def _run_away(slurm: Slurm) -> None:
    """Two jobs without an end that the controller does not know, as after the loss of its state."""
    with slurm.connection() as connection, connection.cursor() as cursor:
        cursor.execute(f"create temporary table lost select * from lab_job_table where job_name = '{ENDS}'")
        for name in RUNAWAYS:
            other = f"job_db_inx = job_db_inx + 100000, id_job = id_job + 100000, job_name = '{name}'"
            cursor.execute(f"update lost set time_end = 0, state = 1, {other}")
            cursor.execute("insert into lab_job_table select * from lost")


def rolled_up(slurm: Slurm, until: int) -> None:
    """Wait until slurmdbd has added up everything before an instant."""
    while slurm.sql("select max(hourly_rollup) from lab_last_ran_table")[0][0] < until:
        time.sleep(0.3)


def recorded(slurm: Slurm, job: int, state: str) -> None:
    """What the controller knows may reach slurmdbd a moment later."""
    while state not in slurm.run("sacct", "-X", "-n", "-j", str(job), "-o", "State"):
        time.sleep(0.3)


def _timed_out(slurm: Slurm) -> None:
    """Slurm looks at time limits twice a minute."""
    job = slurm.submit("mail", *GPU, "-n2", "-t1", "--gres=gpu:h100:1", "--wrap", "sleep 900")
    slurm.wait_for(job, "TIMEOUT")
    recorded(slurm, job, "TIMEOUT")


def _too_late(slurm: Slurm) -> None:
    """The node it wants is under maintenance until its deadline."""
    slurm.submit("mail", *ODD, "-w", "c5", "-n1", "-t1", "--deadline=now+65seconds", "--wrap", "sleep 1")


def _requeued(slurm: Slurm) -> None:
    job = slurm.submit("list", *GPU, "-n1", "--gres=gpu:h100:1", "--requeue", "--wrap", "sleep 10")
    slurm.wait_for(job, "RUNNING")
    time.sleep(4)
    slurm.run("scontrol", "requeue", str(job))
    slurm.wait_for(job, "PENDING")
    slurm.wait_for(job, "COMPLETED")


def _preempted(slurm: Slurm) -> None:
    c6 = (*ODD, "-w", "c6", "-n2", "--exclusive")
    job = slurm.submit("list", *c6, "--qos=low", "--requeue", "--wrap", "sleep 10")
    slurm.wait_for(job, "RUNNING")
    time.sleep(3)
    slurm.submit("news", *c6, "--qos=high", "--wrap", "sleep 4")
    slurm.wait_for(job, "PENDING")
    slurm.wait_for(job, "COMPLETED")


def _node_failed(slurm: Slurm) -> None:
    """One job dies with its node, one starts again elsewhere."""
    options = ("-A", "tr-chem", *ODD, "-w", "c3", "-n1", "-t60")
    stays = slurm.submit("proxy", *options, "--no-requeue", "--wrap", "sleep 900")
    again = slurm.submit(
        "proxy", *options, "--requeue", "--wrap", "[ ${SLURM_RESTART_COUNT:-0} -gt 0 ] || sleep 900"
    )
    for job in (stays, again):
        slurm.wait_for(job, "RUNNING")
    time.sleep(3)
    slurm.run("scontrol", "update", "NodeName=c3", "State=DOWN", "Reason=cable, pulled")
    slurm.wait_for(stays, "NODE_FAIL")
    time.sleep(6)
    slurm.run("scontrol", "update", "NodeName=c3", "State=RESUME")
    slurm.wait_for(again, "COMPLETED")


def _drained(slurm: Slurm) -> None:
    """A job runs on while its node is drained; only then the node is away."""
    job = slurm.submit("news", *ODD, "-w", "c7", "-n1", "--wrap", "sleep 8")
    slurm.wait_for(job, "RUNNING")
    slurm.run("scontrol", "update", "NodeName=c7", "State=DRAIN", 'Reason=fan | "broken", see #42')
    slurm.wait_for(job, "COMPLETED")
    time.sleep(7)
    slurm.run("scontrol", "update", "NodeName=c7", "State=RESUME")


def _suspended(slurm: Slurm) -> None:
    job = slurm.submit("news", "-n2", "--wrap", "sleep 16")
    _suspend(slurm, job, 3, 8)
    _suspend(slurm, job, 3, 5)
    slurm.wait_for(job, "COMPLETED")


def _suspended_with_gpu(slurm: Slurm) -> None:
    job = slurm.submit("games", "-A", "pt-ml", *GPU, "-n2", "--gres=gpu:h100:1", "--wrap", "sleep 14")
    _suspend(slurm, job, 3, 9)
    slurm.wait_for(job, "COMPLETED")


def _suspended_and_cancelled(slurm: Slurm) -> None:
    """Slurm sets its end to when it was suspended."""
    job = slurm.submit("uucp", "-n2", "--wrap", "sleep 900")
    slurm.wait_for(job, "RUNNING")
    time.sleep(3)
    slurm.run("scontrol", "suspend", str(job))
    time.sleep(5)
    slurm.run("scancel", str(job))
    slurm.wait_for(job, "CANCELLED")


def _still_suspended(slurm: Slurm) -> None:
    """sacct forgets the first suspension while the second lasts."""
    job = slurm.submit("uucp", "-n3", "-t60", "--wrap", "sleep 900")
    _suspend(slurm, job, 2, 4)
    time.sleep(2)
    slurm.run("scontrol", "suspend", str(job))


def _suspend(slurm: Slurm, job: int, before: float, seconds: float) -> None:
    slurm.wait_for(job, "RUNNING")
    time.sleep(before)
    slurm.run("scontrol", "suspend", str(job))
    time.sleep(seconds)
    slurm.run("scontrol", "resume", str(job))


def _shrunk(slurm: Slurm) -> None:
    job = slurm.submit("irc", *GPU, "-N2", "-n2", "--gres=gpu:1", "--wrap", "sleep 16")
    slurm.wait_for(job, "RUNNING")
    time.sleep(5)
    slurm.run("scontrol", "update", f"JobId={job}", "NumNodes=1")
    slurm.wait_for(job, "COMPLETED")


def _expanded(slurm: Slurm) -> None:
    """A second job gives its node to the first. It must not have had a step, not even a batch step."""
    job = slurm.submit("irc", *GPU, "-N1", "-n1", "--wrap", "sleep 20")
    slurm.wait_for(job, "RUNNING")
    slurm.run(
        "salloc", "-Q", *GPU, "-N1", "-n1", "-t5", "-J", "gives", "--no-shell", f"--dependency=expand:{job}",
        user="irc",
    )  # fmt: skip
    gives = slurm.run("squeue", "-h", "-n", "gives", "-o", "%A").strip()
    time.sleep(2)
    slurm.run("scontrol", "update", f"JobId={gives}", "NumNodes=0", user="irc")
    slurm.run("scontrol", "update", f"JobId={job}", "NumNodes=ALL", user="irc")
    slurm.wait_for(job, "COMPLETED")


def _in_reservations(slurm: Slurm) -> None:
    """Most of what is reserved stays idle."""
    first = slurm.submit("irc", *GPU, "-n2", "--reservation=ignoring", "--gres=gpu:2", "--wrap", "sleep 9")
    second = slurm.submit("proxy", "-A", "tr-chem", *ODD, "-n3", "--reservation=shared", "--wrap", "sleep 11")
    for job in (first, second):
        slurm.wait_for(job, "COMPLETED")


def _cancelled_running(slurm: Slurm) -> None:
    job = slurm.submit("mail", "-n1", "--wrap", "sleep 900")
    slurm.wait_for(job, "RUNNING")
    time.sleep(5)
    slurm.run("scancel", str(job), user="mail")
    slurm.wait_for(job, "CANCELLED")


def _cancelled_pending(slurm: Slurm) -> None:
    """One that waits, one that is held, and tasks of an array, first one, later the rest."""
    job = slurm.submit(
        "news", "-N2", "--exclusive", "--nice=1000", "--begin=now+1hour", "--wrap", "sleep 900"
    )
    held = slurm.submit("news", "-n1", "--hold", "--wrap", "sleep 1")
    array = slurm.submit("news", "--array=1-6%1", "--wrap", "sleep 3")
    time.sleep(2)
    assert "PENDING" == slurm.state(job)
    slurm.run("scancel", str(job), str(held), f"{array}_5")
    time.sleep(5)
    slurm.run("scancel", str(array))
    slurm.wait_for(job, "CANCELLED")


def _other_account(slurm: Slurm) -> None:
    job = slurm.submit("proxy", "-A", "tr-chem", "-n1", "--hold", "--wrap", "sleep 3")
    slurm.run("scontrol", "update", f"JobId={job}", "Account=pt-late", "JobName=after|update")
    slurm.run("scontrol", "release", str(job))
    slurm.wait_for(job, "COMPLETED")


STORIES: tuple[Callable[[Slurm], None], ...] = (
    _timed_out, _preempted, _node_failed, _requeued, _expanded, _shrunk, _suspended, _suspended_with_gpu,
    _suspended_and_cancelled, _still_suspended, _drained, _in_reservations, _too_late, _cancelled_running,
    _cancelled_pending, _other_account,
)  # fmt: skip
