"""Slurm's page: what one look shows, and what is absent when it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from exporters import slurm
from exporters.catalogue import BY_NAME
from exporters.slurm import Look
from opsd.core.present import (
    SOURCES,
    AccountShare,
    Cycle,
    LicenseNow,
    NodeNow,
    Present,
    QueueJob,
    ReservationNow,
    Rpc,
    SchedulerNow,
)
from opsd.core.present_counts import Waits

DATA = Path(__file__).parents[1] / "data" / "metrics"
NOW = 1_794_700_800
JOB = QueueJob("7", 1, "acc", "es-a", "ana", "normal", "running", "", 4, 1, NOW - 90, NOW - 90, NOW - 60)
WAITING = JOB._replace(state="pending", tasks=3, gpus=1, reason="Priority", started=None)
NODE = NodeNow(
    "acc01", "mixed", ("acc", "all"), {"h100": 4}, {"h100": 3}, "", None, "idle", is_available=True
)
DRAINED = NODE._replace(
    name="acc02", state="drained", allocated={}, reason="NVLink\nerrors" + "!" * 300, reason_since=NOW - 900,
    gpu_state="drained", is_available=False,
)  # fmt: skip
CPU = NodeNow("gpp01", "down", ("all",), {}, {}, "", None, "down", is_available=False)
PRESENT = Present(
    [JOB, WAITING, WAITING._replace(account="pt-b", eligible=NOW - 1_000, tasks=1, gpus=0)],
    [NODE, DRAINED, CPU],
    SchedulerNow(
        [Cycle("main", 0.002, 0.004, 0.5, None, 3), Cycle("backfill", None, 0.25, None, NOW - 30, 4)],
        3, 1, 0, {"submitted": 9, "started": 4}, [Rpc("REQUEST_JOB_INFO", 12, 0.5)],
    ),
    [AccountShare("es-a", 0.5, 0.75, 0.667), AccountShare("pt-b", 0.5, 0.0, None)],
    [ReservationNow("upgrade", "inactive", NOW + 86_400, NOW + 90_000, "acc", "MAINT,SPEC_NODES", 2, 8)],
    [LicenseNow("comsol", 12, 5, 1)],
    {},
    dict.fromkeys(SOURCES, 0.25),
)  # fmt: skip
LOOK = Look(
    "mn5", NOW, PRESENT, dict.fromkeys(SOURCES, NOW), {"acc": Waits(10, 20, 30)},
    {("h100", "allocated"): 600, ("h100", "unseen"): 0},
)  # fmt: skip


@pytest.mark.golden
def test_a_look(golden: Callable[[Path, str], None]) -> None:
    """Every family, each with what the look says."""
    golden(DATA / "slurm.prom", slurm.page([LOOK]).render().plain.decode())


def test_every_family_is_shown() -> None:
    """What the catalogue says of Slurm is on the page of a cluster that answers everything."""
    page = slurm.page([LOOK])

    assert [] == [name for name in BY_NAME if name.startswith("opsd_slurm_") and not page.series(name)]


TOLD_BY = {
    "queue": ("jobs", "pending_jobs", "pending_gpus", "running_gpus", "pending_wait_seconds"),
    "nodes": ("nodes", "partition_nodes", "node_", "gpus", "partition_gpus"),
    "scheduler": ("scheduler_", "controller_", "dbd_"),
    "shares": ("account_",),
    "reservations": ("reservation_",),
    "licenses": ("licenses",),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_does_not_answer_is_absent(source: str) -> None:
    """It is down, with when it last answered; all that the others tell stands as it was."""
    seen = {name: getattr(PRESENT, name) for name in SOURCES if name != source}
    seconds = {name: 0.25 for name in SOURCES if name != source}
    answered = {**LOOK.answered, source: NOW - 600}
    present = Present(**seen, failed={source: "it is away"}, seconds=seconds)
    page = slurm.page([Look("mn5", NOW, present, answered, LOOK.started, LOOK.gpu_seconds)])

    own = {name for name in BY_NAME if name.removeprefix("opsd_slurm_").startswith(TOLD_BY[source])}
    own = {name for name in own if name.startswith("opsd_slurm_")}
    ups = {(("mn5", name), float(name != source)) for name in SOURCES}
    assert ups == set(page.series("opsd_slurm_source_up").items())
    assert ("mn5", source) not in page.series("opsd_slurm_source_duration_seconds")
    since = page.series("opsd_slurm_source_last_success_timestamp_seconds")
    assert NOW - 600 == since["mn5", source]
    gone = {name for name in BY_NAME if name.startswith("opsd_slurm_") and not page.series(name)}
    assert own == gone


def test_before_the_first_answer_no_time_is_known() -> None:
    """Nobody has answered since the daemon began."""
    page = slurm.page([Look("mn5", NOW, Present(failed=dict.fromkeys(SOURCES, "away")))])

    assert {} == page.series("opsd_slurm_source_last_success_timestamp_seconds")
    assert dict.fromkeys([("mn5", source) for source in SOURCES], 0.0) == page.series("opsd_slurm_source_up")


def test_a_reason_is_one_line_of_two_hundred_characters() -> None:
    """Somebody's novel makes no label of its length, nor a line end."""
    assert "disk  full " + "x" * 189 == slurm.reason("disk\r\nfull\u2028" + "x" * 300)


def test_states_of_no_gpu_are_shown() -> None:
    """A graph of them falls to 0 instead of ending."""
    page = slurm.page([LOOK])

    assert 6 == len(page.series("opsd_slurm_gpus"))
    assert 8 == sum(page.series("opsd_slurm_gpus").values())
    assert 0 == page.series("opsd_slurm_gpus")["mn5", "h100", "down"]


def test_past_the_ceiling_the_smallest_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all clusters together, and of nodes those that are well; the page says how many."""
    for name in ("opsd_slurm_jobs", "opsd_slurm_node_state_info"):
        monkeypatch.setitem(BY_NAME, name, BY_NAME[name]._replace(ceiling=2))
    small, large = (
        Look("b", NOW, Present([JOB], [NODE, NODE._replace(name="acc00")])),
        Look("a", NOW, Present([JOB._replace(tasks=5), JOB._replace(tasks=9, partition="gpp")], [DRAINED])),
    )
    page = slurm.page([small, large])

    assert {("a", "gpp", "es-a", "running"): 9, ("a", "acc", "es-a", "running"): 5} == page.series(
        "opsd_slurm_jobs"
    )
    assert [("a", "acc02", "drained"), ("b", "acc00", "mixed")] == [
        *page.series("opsd_slurm_node_state_info")
    ]
    assert 2 == page.render().plain.decode().count("opsd_series_dropped{")


def test_clusters_stand_beside_each_other() -> None:
    """The same families, each with its own cluster."""
    page = slurm.page([LOOK, Look("far", NOW, PRESENT)])

    assert {"mn5", "far"} == {key[0] for key in page.series("opsd_slurm_gpus")}
    assert 12 == len(page.series("opsd_slurm_gpus"))
