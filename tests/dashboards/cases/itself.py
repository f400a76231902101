"""Cases of the alerts of opsd itself."""

from __future__ import annotations

from tests.dashboards.cases.case import CLUSTER, DAEMON, NODE, TICKING, Case, Given, of, on_daemon

STEP = {"step": "ingest"}


def steps(**values: str) -> Given:
    """A step of the daemon, and the page's clock."""
    page = {of("opsd_page_timestamp_seconds", DAEMON): TICKING[1]}
    return page | {of(f"opsd_step_{name}", DAEMON, STEP): value for name, value in values.items()}


def certificate(cells: int, unknowable: int, seconds: int, reported: int = 1_000_000) -> Given:
    """How a cluster stands beside Slurm's own report."""
    cluster, tres = {"cluster": "mn5"}, {"tres": "cpu"}
    return {
        of("opsd_certificate_unexplained_cells", DAEMON, cluster): f"{cells}x30",
        of("opsd_certificate_unknowable_cells", DAEMON, cluster): f"{unknowable}x30",
        of("opsd_certificate_unexplained_seconds", DAEMON, cluster, tres): f"{seconds}x30",
        of("opsd_certificate_reported_seconds", DAEMON, cluster, tres): f"{reported}x30",
    }


def telemetry(agent: int, covered: int, unrecorded: int = 0, slurm: int = 100_000) -> Given:
    """GPU-seconds of yesterday, of a cluster whose agents answer."""
    seconds = {"slurm": slurm, "agent": agent, "covered": covered, "unrecorded": unrecorded}
    pages = {
        of(f"opsd_telemetry_{name}_gpu_seconds", DAEMON, CLUSTER): f"{value}x90"
        for name, value in seconds.items()
    }
    return pages | {of("opsd_spool_nodes", DAEMON, CLUSTER, {"state": "answered"}): "4x90"}


def with_nodes(count: int) -> Given:
    """How many nodes with GPUs Slurm knows."""
    where = CLUSTER | {"class": "h100"}
    return {of("opsd_slurm_node_gpus", DAEMON, where, {"node": f"n{it}"}): "4x90" for it in range(count)}


def capacity(missed: int) -> Given:
    """By how much a day's lines miss a total of 100 000."""
    where = CLUSTER | {"node_class": "acc", "resource": "gpu"}
    return {
        of("opsd_capacity_unbalanced_seconds", DAEMON, where): f"{missed}x90",
        of("opsd_capacity_seconds", DAEMON, where, {"line": "total"}): "100000x90",
    }


COVERED = of("opsd_ingest_covered_timestamp_seconds", DAEMON, CLUSTER)
COLLECTOR = of("opsd_node_collector_up", NODE, {"collector": "nvml"})
DROPPED = of("opsd_series_dropped", DAEMON, {"family": "opsd_award_left_seconds"})
UNRESOLVED, STALE_FILES = of("opsd_gpu_job_unresolved", NODE), of("opsd_gpu_job_files_stale", NODE)
RELEASED, DISAGREE = of("opsd_node_released", NODE), of("opsd_gpu_job_disagreements", NODE)
SPOOL_DROPPED = of("opsd_node_spool_dropped_total", NODE)
UNWRITTEN = of("opsd_node_spool_write_failures_total", NODE)
UNMATCHED = of("opsd_measured_unmatched_records", DAEMON, CLUSTER)
PAGE, UP, NODE_UP = of("opsd_page_timestamp_seconds", DAEMON), of("up", DAEMON), of("up", NODE)
COMPARED = of("opsd_certificate_made_timestamp_seconds", DAEMON, CLUSTER)
FETCHED = of("opsd_spool_oldest_fetch_timestamp_seconds", DAEMON, CLUSTER)
NOT_ADDED_UP = of("opsd_certificate_hours_not_added_up", DAEMON, CLUSTER)
UNEXPLAINED = "Usage of mn5 differs from Slurm's, unexplained"

FIRING = [
    Case("OpsdDaemonDown", {UP: "1x5 0x20"}, 12, DAEMON, "No opsd daemon is scraped"),
    Case("OpsdDaemonDown", {NODE_UP: "1x20"}, 12, {"job": "opsd"}, "No opsd daemon is scraped"),
    Case("OpsdAgentDown", {NODE_UP: "0x20"}, 12, NODE, "opsd-node does not answer on acc01"),
    Case("OpsdPageStuck", {PAGE: "0+60x5 300x30"}, 25, DAEMON, "opsd at d:9750 shows old numbers"),
    Case(
        "OpsdStepStale", steps(last_success_timestamp_seconds="0x60", stale_after_seconds="900x60"), 30,
        DAEMON | STEP, "Step ingest has not succeeded for 30m 0s",
    ),
    Case("OpsdStepLate", steps(late="1x20"), 10, DAEMON | STEP, "Step ingest is past its deadline"),
    Case("OpsdStepNeverSucceeded", steps(success="0x30"), 15, DAEMON | STEP,
         "Step ingest has never succeeded"),
    Case(
        "OpsdStepNeverSucceeded", steps(next_timestamp_seconds="60x60"), 30, DAEMON | STEP,
        "Step ingest has never succeeded",
    ),
    Case(
        "OpsdAccountingBehind",
        on_daemon(balances_as_of_timestamp_seconds="0+60x120") | {COVERED: "0x120"}, 90,
        DAEMON | {"cluster": "mn5"}, "Accounting of mn5 is 1h 30m 0s behind",
    ),
    Case("OpsdRunawaySuspected", {'opsd_runs_suspected_runaway{job="opsd",cluster="mn5"}': "2x400"}, 380,
         {"job": "opsd", "cluster": "mn5"}, "2 open runs of mn5 are unknown to slurmctld"),
    Case("OpsdQuarantineNotEmpty", on_daemon(quarantine_records="3x30"), 20, {"job": "opsd"},
         "3 accounting records could not be read"),
    Case("OpsdUsageUnexplained", certificate(1, 0, 1), 20, {"job": "opsd", "cluster": "mn5"}, UNEXPLAINED),
    Case("OpsdUsageUnexplained", certificate(3, 3, 1_001), 20, {"job": "opsd", "cluster": "mn5"},
         UNEXPLAINED),  # nobody can know, but it is too much
    Case("OpsdRollUpBehind", {NOT_ADDED_UP: "7x30"}, 20, {"job": "opsd", "cluster": "mn5"},
         "slurmdbd has not added up 7 hours of mn5"),
    Case(
        "OpsdCertificateOld",
        on_daemon(balances_as_of_timestamp_seconds="0+3600x90") | {COMPARED: "0x90"}, 70,
        DAEMON | {"cluster": "mn5"}, "Usage of mn5 was last compared with Slurm's 2d 22h 0m 0s ago",
    ),
    Case(
        "OpsdSpoolNotFetched",
        on_daemon(balances_as_of_timestamp_seconds="0+21600x90") | {FETCHED: "0x90"}, 60,
        DAEMON | {"cluster": "mn5"}, "An agent of mn5 was last asked 15d 0h 0m 0s ago",
    ),
    Case("OpsdCollectorFailing", {COLLECTOR: "0x30"}, 15, NODE | {"collector": "nvml"},
         "nvml fails on acc01"),
    Case("OpsdJobFilesUnresolved", {UNRESOLVED: "2x30"}, 20, NODE, "Job files on acc01 name no GPU"),
    Case("OpsdSeriesDropped", {DROPPED: "4x30"}, 15, DAEMON | {"family": "opsd_award_left_seconds"},
         "opsd leaves out series of opsd_award_left_seconds"),
    Case("OpsdAgentReleased", {RELEASED: "1x240"}, 130, NODE,
         "opsd-node on acc01 has left the driver for over two hours"),
    Case("OpsdJobFilesStale", {STALE_FILES: "3x90"}, 70, NODE,
         "3 job files of jobs that are over lie on acc01"),
    Case("OpsdJobDisagreement", {DISAGREE: "1x30"}, 20, NODE,
         "1 jobs on acc01 compute on GPUs that they do not hold"),
    Case("OpsdSpoolDropped", {SPOOL_DROPPED: "0x10 5x60"}, 20, NODE,
         "opsd-node on acc01 has dropped records of jobs"),
    Case("OpsdSpoolDropped", {SPOOL_DROPPED: "5x60"}, 20, NODE,
         "opsd-node on acc01 has dropped records of jobs"),
    Case("OpsdSpoolWriteFailing", {UNWRITTEN: "0+4x60"}, 20, NODE,
         "opsd-node on acc01 cannot write its spool"),
    Case("OpsdMeasuredUnmatched", {UNMATCHED: "7x1600"}, 1520, CLUSTER,
         "7 records of agents of mn5 belong to no run"),
    Case("OpsdTelemetryDrift", telemetry(95_000, 95_000), 70, CLUSTER,
         "Agents of mn5 saw 5% more or less than Slurm counts"),
    Case("OpsdTelemetryCoverage", telemetry(100_000, 80_000), 70, CLUSTER,
         "Agents of mn5 have readings of only 80% of yesterday"),
    Case("OpsdTelemetryCoverage", telemetry(100_000, 80_000) | with_nodes(5), 70, CLUSTER,
         "Agents of mn5 have readings of only 80% of yesterday"),
    Case("OpsdTelemetryCoverage", telemetry(100_000, 100_000, 100_000), 70, CLUSTER,
         "Agents of mn5 have readings of only 50% of yesterday"),
    Case("OpsdCapacityUnbalanced", capacity(-500), 70, CLUSTER | {"node_class": "acc", "resource": "gpu"},
         "Yesterday's gpu capacity of acc nodes of mn5 does not add up"),
    Case("OpsdNoticesWaiting", on_daemon(notices_waiting="2x200"), 130, {"job": "opsd"},
         "2 notices to people could not be sent"),
]  # fmt: skip
QUIET = [
    Case("OpsdDaemonDown", {UP: "1x20"}, 12),
    Case("OpsdAgentDown", {NODE_UP: "1x5 0x2 1x20"}, 12),
    Case("OpsdPageStuck", {PAGE: TICKING[1]}, 25),
    Case("OpsdPageStuck", {PAGE: "300x30"}, 9),  # just started to be scraped
    Case(
        "OpsdStepStale", steps(last_success_timestamp_seconds="0+60x60", stale_after_seconds="900x60"), 30
    ),
    Case("OpsdStepLate", steps(late="0x20"), 10),
    Case("OpsdStepNeverSucceeded", steps(success="0x30", last_success_timestamp_seconds="0x30"), 15),
    Case("OpsdStepNeverSucceeded", steps(next_timestamp_seconds="86400x60"), 30),  # its first time will come
    Case(  # also with a clock of the accounting that is not the machine's
        "OpsdAccountingBehind",
        on_daemon(page_timestamp_seconds="9000000+60x120", balances_as_of_timestamp_seconds="0+60x120")
        | {COVERED: "0+60x120"}, 90,
    ),
    Case("OpsdRunawaySuspected", {'opsd_runs_suspected_runaway{job="opsd",cluster="mn5"}': "2x400"}, 300),
    Case("OpsdQuarantineNotEmpty", on_daemon(quarantine_records="0x30"), 20),
    Case("OpsdUsageUnexplained", certificate(0, 0, 0), 20),
    Case("OpsdUsageUnexplained", certificate(3, 3, 999), 20),  # without slurmdbd's tables nobody can know
    Case("OpsdUsageUnexplained", certificate(0, 0, 0, 0), 20),  # nobody used anything
    Case("OpsdRollUpBehind", {NOT_ADDED_UP: "6x30"}, 20),
    Case("OpsdRollUpBehind", {NOT_ADDED_UP: "2x30"}, 20),  # the last ones, not added up yet
    Case("OpsdRollUpBehind", {NOT_ADDED_UP: "72x10 0x30"}, 30),  # it has caught up
    Case(
        "OpsdCertificateOld",
        on_daemon(balances_as_of_timestamp_seconds="0+60x90") | {COMPARED: "0x90"}, 80,
    ),
    Case(
        "OpsdSpoolNotFetched", on_daemon(balances_as_of_timestamp_seconds="0+60x90") | {FETCHED: "0x90"}, 80,
    ),
    Case(  # it is back
        "OpsdSpoolNotFetched",
        on_daemon(balances_as_of_timestamp_seconds="0+21600x90") | {FETCHED: "0x50 1080000+21600x40"}, 60,
    ),
    Case("OpsdCollectorFailing", {COLLECTOR: "1x30"}, 15),
    Case("OpsdJobFilesUnresolved", {UNRESOLVED: "0x30"}, 20),
    Case("OpsdSeriesDropped", {DROPPED: "0x30"}, 15),
    Case("OpsdAgentReleased", {RELEASED: "1x100 0x100"}, 130),
    Case("OpsdJobFilesStale", {STALE_FILES: "0x90"}, 70),
    Case("OpsdJobDisagreement", {DISAGREE: "1x10 0x30"}, 20),
    Case("OpsdSpoolDropped", {SPOOL_DROPPED: "0x60"}, 20),
    Case("OpsdSpoolDropped", {SPOOL_DROPPED: "5x200"}, 120),  # it was told when it was first seen
    Case("OpsdSpoolWriteFailing", {UNWRITTEN: "4x60"}, 20),
    Case("OpsdMeasuredUnmatched", {UNMATCHED: "7x1600"}, 200),  # not for a day yet
    Case("OpsdMeasuredUnmatched", {UNMATCHED: "7x1000 0x10 7x600"}, 1560),
    Case("OpsdTelemetryDrift", telemetry(99_000, 95_000), 70),
    Case("OpsdTelemetryDrift", telemetry(900, 900, slurm=1_800), 70),  # half a GPU-hour says nothing
    Case("OpsdTelemetryDrift", telemetry(50_000, 50_000, 900_000), 70),  # most nodes have no agent
    Case("OpsdTelemetryCoverage", telemetry(100_000, 97_000), 70),
    Case("OpsdTelemetryCoverage", telemetry(100_000, 80_000) | with_nodes(9), 70),  # four of nine
    Case("OpsdTelemetryCoverage", telemetry(0, 0, 100_000)
         | {of("opsd_spool_nodes", DAEMON, CLUSTER, {"state": "answered"}): "0x90"}, 70),  # no agents
    Case("OpsdCapacityUnbalanced", capacity(0), 70),
    Case("OpsdNoticesWaiting", on_daemon(notices_waiting="0x200"), 130),
]  # fmt: skip
