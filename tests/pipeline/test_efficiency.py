"""How the machine is used: what the commands say, on the daemon's page; nothing of what nobody told."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from collectors.slurm import hosts
from exporters.efficiency import Efficiency, Project, Telemetry, XidUsers
from opsd.cli import main
from opsd.core.capacity import LINES
from opsd.core.measured import Measured
from opsd.core.period import DAY, HOUR
from opsd.core.records import DOWN, NodeEvent
from opsd.pipeline import efficiency
from opsd.store import machine, measured, sweeps, tables
from opsd.store.engine import Store, open_engine
from tests.fakes import books
from tests.fakes.consortia import CLUSTER
from tests.fakes.measured import store_records

NOW = books.T + DAY + 7  # so that the books' day is yesterday
HELD = 3_600_000  # an hour, in milliseconds


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """The small database: four GPUs for two hours and three, one for an hour that no award pays for."""
    store = open_engine(store_url)
    books.fill(store)
    yield store
    store.close()


def record(job: int, uuid: str, hours: int, **more: Any) -> Measured:
    """A GPU that a job held from the books' midnight on, all of it seen."""
    values = {"allocated_ms": hours * HELD, "covered_ms": hours * HELD, "user": "ana"} | more
    return Measured(job, uuid, books.T, books.T + hours * HOUR, **values)


def found(store: Store, now: int = NOW) -> Efficiency:
    """What the step collects."""
    return efficiency.run(store, now=now)


def told(store: Store, *argv: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    """The rows of a command's csv."""
    main([*argv, "--db", store.engine.url.render_as_string(hide_password=False), "--format", "csv"])
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


# ------------------------------------------------------------------------------------------------ projects


def test_held_idle_and_energy_of_projects(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """As `opsd usage --measured` tells them of seven days; what no record tells is absent."""
    large = [record(1, f"G{n}", 2, idle_ms=n * 1000, energy_mj=7_000, gpm_ms=0) for n in range(3)]
    large.append(record(1, "G3", 2, energy_mj=7_000))  # what it did cannot be told
    small = [record(2, f"S{n}", 3, covered_ms=HELD) for n in range(4)]
    nobody = [record(4, "N", 1, idle_ms=HELD)]
    store_records(store, {(CLUSTER, 1): large, (CLUSTER, 2): small, (CLUSTER, 4): nobody})

    expected = (
        Project("climate", "fct", "PT", 4 * HELD, None, None, 0),
        Project("health", "uv", "ES", 8 * HELD, 3_000, 28_000, 6 * HELD),
        Project("unattributed", "unattributed", "unattributed", HELD, HELD, None, HELD),
    )
    assert expected == found(store).projects
    window = ("--from", f"@{NOW - 7 * DAY}", "--to", f"@{NOW}", "--by", "project,organisation,country")
    rows = told(store, "usage", *window, "--measured", capsys=capsys)
    assert [
        (one.project, str(one.held // 1000), "" if one.idle is None else str(one.idle // 1000))
        for one in expected
    ] == [(row["project"], row["measured_gpu_seconds"], row["idle_gpu_seconds"]) for row in rows]
    assert () == found(store, books.T + 8 * DAY).projects


# ---------------------------------------------------------------------------------------------------- XIDs


def test_users_who_met_an_xid_of_applications(store: Store) -> None:
    """Each user once, by GPU and XID, for seven days after the job's end; a slice's under its GPU."""
    xids = {"xids": ((31, 3), (48, 1))}
    records = {
        (CLUSTER, 1): [record(1, "G", 2, **xids), record(1, "H", 2, xids=((13, 1), (31, 1)))],
        (CLUSTER, 2): [record(2, "G", 3, user="bruno", xids=((31, 1), (79, 1)))],
        (CLUSTER, 4): [record(4, "MIG-1", 1, parent="G", user="carla", xids=((31, 1),))],
        (CLUSTER, 3): [record(3, "G", 1, user="", xids=((31, 1), (43, 1)))],
    }
    store_records(store, records, node="a1.cluster.example")
    again = Measured(1, "G", books.T + DAY, books.T + 2 * DAY, user="ana", **xids)
    store_records(store, {(CLUSTER, 1): [again]}, node="a1")

    expected = [("G", 31, 3), ("H", 13, 1), ("H", 31, 1)]
    assert expected == [one[2:] for one in found(store).xids]
    assert {(CLUSTER, "a1")} == {one[:2] for one in found(store).xids}
    assert (XidUsers(CLUSTER, "a1", "G", 31, 1),) == found(store, books.T + 8 * DAY).xids
    assert () == found(store, books.T + 9 * DAY + 1).xids


# ----------------------------------------------------------------------------------------------- telemetry


def test_slurm_and_agents_of_yesterday(store: Store) -> None:
    """Of runs with a record what both say and what was seen; of the others what Slurm says."""
    large = [record(1, f"G{n}", 2, allocated_ms=2 * HELD - 1000, covered_ms=HELD) for n in range(4)]
    store_records(store, {(CLUSTER, 1): large})

    # Three others: four GPUs for three hours, one for four until it was last seen, one for one.
    expected = Telemetry(CLUSTER, 8 * HELD, 8 * HELD - 4000, 4 * HELD, (12 + 4 + 1) * HELD)
    assert (expected,) == found(store).telemetry


def test_a_cluster_whose_agents_nobody_asks_has_no_telemetry(store: Store) -> None:
    """Until they are asked: then all of it is without a record."""
    assert () == found(store).telemetry
    with store.write() as connection:
        measured.failed(connection, CLUSTER, "a1:9741", "away")

    assert (Telemetry(CLUSTER, 0, 0, 0, (8 + 12 + 4 + 1) * HELD),) == found(store).telemetry


def test_nodes_that_nobody_asks_are_unrecorded(store: Store) -> None:
    """Of a run that was partly on them there are records of the others alone: that is no difference."""
    two_of_four = [record(1, f"G{n}", 2) for n in range(2)]
    store_records(store, {(CLUSTER, 1): two_of_four})
    others = (12 + 4 + 1) * HELD

    expected = Telemetry(CLUSTER, 4 * HELD, 4 * HELD, 4 * HELD, others + 4 * HELD)
    assert (expected,) == found(store).telemetry
    with store.write() as connection:
        for node in nodes_of_job_1(store):
            measured.failed(connection, CLUSTER, f"{node}:9741", "away")
    assert (Telemetry(CLUSTER, 8 * HELD, 4 * HELD, 4 * HELD, others),) == found(store).telemetry


def test_what_nodes_that_are_asked_did_not_see_is_a_difference(store: Store) -> None:
    """One of two nodes is asked and saw half of its part: the other node's part alone is unrecorded."""
    store_records(store, {(CLUSTER, 1): [record(1, "G", 2)]})
    with store.write() as connection:
        connection.execute(update(tables.run).where(tables.run.c.job_id == 1).values(nodes="a[1-2]"))
        measured.failed(connection, CLUSTER, "a1:9741", "away")

    expected = Telemetry(CLUSTER, 4 * HELD, 2 * HELD, 2 * HELD, (4 + 12 + 4 + 1) * HELD)
    assert (expected,) == found(store).telemetry


def nodes_of_job_1(store: Store) -> list[str]:
    """Where the accounting says that it ran."""
    with store.read() as connection:
        found = connection.execute(select(tables.run.c.nodes).where(tables.run.c.job_id == 1)).scalar_one()
    return hosts.expand(found)


# ------------------------------------------------------------------------------------------------ capacity


def test_the_capacity_of_yesterday(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """As `opsd capacity` tells it; a node that was down for an hour is."""
    down = NodeEvent(CLUSTER, "a4", books.T, books.T + HOUR, DOWN, "DOWN", "", "", "")
    with store.write() as connection:
        machine.save_events(connection, [down], NOW)

    days = ("--from", f"@{books.T}", "--to", f"@{books.T + DAY}")
    rows = told(store, "capacity", *days, capsys=capsys)
    assert {"acc", "gpp"} == {row["node_class"] for row in rows}
    assert rows == [
        {"cluster": one.cluster, "node_class": one.node_class, "resource": one.resource}
        | {name: str(getattr(one.lines, name)) for name in LINES}
        for one in found(store).capacity
    ]
    gpus = next(one for one in found(store).capacity if (one.node_class, one.resource) == ("acc", "gpu"))
    assert (16 * DAY, 25 * HOUR, 4 * HOUR) == (gpus.lines.total, gpus.lines.allocated, gpus.lines.down)
    assert {0} == {one.unbalanced for one in found(store).capacity}


def test_capacity_that_is_not_known_is_absent(store: Store) -> None:
    """No event was ever read; or the accounting is not read to the end of the day."""
    assert () == found(store).capacity
    with store.write() as connection:
        down = NodeEvent(CLUSTER, "a4", books.T - 9 * DAY, books.T - 8 * DAY, DOWN, "DOWN", "", "", "")
        machine.save_events(connection, [down], NOW)
    assert 3 == len(found(store).capacity)
    with store.write() as connection:
        sweeps.cover(connection, CLUSTER, books.T + DAY - 1, NOW)
    assert () == found(store).capacity
    with store.write() as connection:
        sweeps.cover(connection, CLUSTER, books.T + DAY, NOW)
    assert 3 == len(found(store).capacity)


def test_a_stop_lies_between_what_is_collected(store: Store) -> None:
    """The daemon may end between two readings of the database."""
    asked: list[None] = []

    efficiency.run(store, now=NOW, go_on=lambda: asked.append(None))

    assert 2 == len(asked)


def test_an_empty_database(sqlite_url: str) -> None:
    """Nothing is known, nothing fails."""
    store = open_engine(sqlite_url)
    books.migrate.upgrade(store)

    assert Efficiency() == found(store)
    store.close()
