"""Cases of the alerts of Slurm."""

from __future__ import annotations

from tests.dashboards.cases.case import CLUSTER, DAEMON, Case, Given, of

WHERE = {"cluster": "mn5", "node": "acc01"}
SOURCE = "opsd_slurm_source_last_success_timestamp_seconds"
ASKED = {of(SOURCE, DAEMON, CLUSTER, {"source": name}): "9000000+60x60" for name in ("nodes", "scheduler")}


def node(state: str, reason: str = "", since: int | None = None, values: str = "1x60") -> Given:
    """A node that takes no jobs, with the second at which a reason was given."""
    given = ASKED | {
        of("opsd_slurm_node_unavailable_info", DAEMON, WHERE, {"state": state, "reason": reason}): values,
        of("opsd_slurm_node_state_info", DAEMON, WHERE, {"state": state}): values,
    }
    if since is not None:
        name = "opsd_slurm_node_unavailable_since_timestamp_seconds"
        given |= {of(name, DAEMON, WHERE): f"{since}x60"}
    return given


def cycle(scheduler: str, seconds: str) -> Given:
    """How long its last cycle took."""
    kinds = {"scheduler": scheduler, "kind": "last"}
    return {of("opsd_slurm_scheduler_cycle_seconds", DAEMON, CLUSTER, kinds): seconds}


def backfill(last: str, waiting: int) -> Given:
    """When it last ran, and how many jobs wait."""
    queue = {"partition": "acc", "reason": "Resources"}
    name = "opsd_slurm_scheduler_last_cycle_timestamp_seconds"
    return ASKED | {
        of(name, DAEMON, CLUSTER, {"scheduler": "backfill"}): last,
        of("opsd_slurm_pending_jobs", DAEMON, CLUSTER, queue): f"{waiting}x60",
    }


def queued(values: str) -> Given:
    """Records on their way to slurmdbd."""
    return {of("opsd_slurm_dbd_queue_records", DAEMON, CLUSTER): values}


def answers(values: str) -> Given:
    """Whether the queue was told."""
    return {of("opsd_slurm_source_up", DAEMON, CLUSTER, {"source": "queue"}): values}


GAP = "1x30 stale _x8 1x30"

FIRING = [
    Case("OpsdNodeUnavailable", node("drained", "bad DIMM", 8_996_400), 20,
         WHERE | {"state": "drained", "reason": "bad DIMM"}, "acc01 is drained: bad DIMM (for 1h 20m 0s)"),
    Case("OpsdNodeUnavailable", node("down"), 20, WHERE | {"state": "down"},
         "acc01 is down, and nobody said why"),
    Case("OpsdNodeUnavailable", node("down", values=GAP), 36, WHERE | {"state": "down"},
         "acc01 is down, and nobody said why"),  # the daemon began anew
    Case("OpsdNodeNotResponding", node("not_responding"), 20, WHERE, "acc01 does not answer slurmctld"),
    Case("OpsdSlurmSchedulerSlow", cycle("main", "5.25x60"), 30, CLUSTER,
         "A scheduling cycle of mn5 takes 5.2 seconds"),
    Case("OpsdBackfillStalled", backfill("9000000x60", 12), 30, CLUSTER,
         "Backfill of mn5 has not run for 30m 0s"),
    Case("OpsdSlurmdbdQueueGrowing", queued("0+100x60"), 50, CLUSTER,
         "5000 accounting records of mn5 wait for slurmdbd"),
    Case("OpsdSlurmSourceFailing", answers("0x60"), 15, CLUSTER | {"source": "queue"},
         "Slurm of mn5 does not answer for queue"),
]  # fmt: skip
QUIET = [
    Case("OpsdNodeUnavailable", {}, 20),
    Case("OpsdNodeUnavailable", node("maintenance", "new firmware", 8_996_400), 20),
    Case("OpsdNodeUnavailable", node("not_responding"), 20),  # that is said by itself
    Case("OpsdNodeUnavailable", node("down", values="1x8 stale"), 30),  # it rebooted
    Case("OpsdNodeNotResponding", node("down"), 20),
    Case("OpsdSlurmSchedulerSlow", cycle("main", "0.5x60"), 30),
    Case("OpsdSlurmSchedulerSlow", cycle("backfill", "28x60"), 30),  # it may take its time
    Case("OpsdBackfillStalled", backfill("9000000+60x60", 12), 30),
    Case("OpsdBackfillStalled", backfill("9000000x60", 0), 30),  # nothing waits: it sleeps
    Case("OpsdSlurmdbdQueueGrowing", queued("0+10x60"), 50),
    Case("OpsdSlurmdbdQueueGrowing", queued("5000-100x60"), 40),  # it is catching up
    Case("OpsdSlurmSourceFailing", answers("1x60"), 15),
]  # fmt: skip
