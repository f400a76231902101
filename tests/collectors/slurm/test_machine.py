"""What a cluster consists of, read from what a real Slurm 22.05 printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from collectors import registry
from collectors.protocol import Machine
from collectors.slurm import machine
from collectors.slurm.machine import LiveMachine
from opsd.core.errors import BadText, Unavailable
from opsd.core.records import (
    CONTROLLER_AWAY,
    DOWN,
    DRAIN,
    MAINT,
    POWERED_DOWN,
    REGISTERED,
    UNLIMITED,
    Association,
    NodeEvent,
    PartitionLimit,
    Reservation,
)

DATA = Path(__file__).parents[2] / "data" / "slurm-machine"
START, END = 1795824000, 1795910400  # the day that was recorded
EVENTS = "NodeName,TimeStart,TimeEnd,StateRaw,State,TRES,ClusterNodes"
RESERVATIONS = "ID,TimeStart,TimeEnd,Flags,NodeNames,TRES,Associations"
TREE = "associations", "ID,Account,User,Partition,ParentName"
SPAN = "clusters=lab start=2026-11-28T00:00:00 end=2026-11-29T00:00:00"
SACCTMGR = "sacctmgr --readonly --noheader --parsable2 show"
RECORDED = {
    f"{SACCTMGR} event {SPAN} format={EVENTS}": "event.psv",
    f"{SACCTMGR} event {SPAN} format={EVENTS},Reason": "event-reason.psv",
    f"{SACCTMGR} reservation {SPAN} format={RESERVATIONS}": "reservation.psv",
    f"{SACCTMGR} reservation {SPAN} format={RESERVATIONS},Name": "reservation-name.psv",
    f"{SACCTMGR} associations clusters=lab format={TREE[1]}": "associations.psv",
    f"{SACCTMGR} associations clusters=lab withdeleted format={TREE[1]}": "associations-deleted.psv",
    f"{SACCTMGR} tres format=Type,Name": "tres.psv",
    "scontrol --oneliner show partition": "partition.txt",
}


@dataclass
class Recorded:
    """A client that answers what a real one did; `said` overrides by the file's name."""

    said: dict[str, str] = field(default_factory=dict)

    def text(self, arguments: Sequence[str], *, zone: str | None = None) -> str:
        """The whole answer."""
        name = RECORDED[" ".join(arguments)]
        return self.said.get(name) or (DATA / name).read_text()

    def lines(self, arguments: Sequence[str], *, zone: str | None = None) -> list[str]:
        """Its lines."""
        return [line.strip() for line in self.text(arguments).splitlines() if line.strip()]


def live(said: dict[str, str] | None = None, **more: Any) -> LiveMachine:
    """The machine over recorded answers."""
    return LiveMachine(Recorded(said or {}), "lab", **more)  # type: ignore[arg-type]


def test_the_registry_knows_it() -> None:
    """A machine is made by its name, and answers every question of the protocol."""
    made = registry.machine("slurm", Recorded(), "lab", zone="UTC")

    assert isinstance(made, LiveMachine)
    assert [] == [
        name for name in vars(Machine) if not name.startswith("_") and not callable(getattr(made, name, None))
    ]


def test_events_are_read_with_reasons_that_break_lines() -> None:
    """A registration, a node down, one drained for a reason of two lines and a bar, and two that go on."""
    node = "billing=31,cpu=16,mem=64000"

    assert [
        NodeEvent(
            "lab", "", 1795831066, None, REGISTERED, "", "Cluster Registered TRES",
            "billing=314,cpu=96,energy=0,fs/disk=0,gres/gpu=16,gres/gpu:h100=16,mem=384000,node=6,pages=0,vmem=0",
            "c[1-2],n[1-4]",
        ),
        NodeEvent("lab", "c1", 1795831098, 1795831102, DOWN, "DOWN", "cable, pulled", node),
        NodeEvent(
            "lab", "c2", 1795831098, 1795831102, DRAIN, "DRAIN",
            'fan | "broken"\nsecond line, see #42', node,
        ),
        NodeEvent("lab", "c2", 1795831102, None, DRAIN, "DRAIN", "was draining", node),
        NodeEvent(
            "lab", "n1", 1795831189, None, DRAIN, "DRAIN", "draining, job goes on",
            "billing=63,cpu=16,gres/gpu=4,gres/gpu:h100=4,mem=64000",
        ),
    ] == live().events(START, END)  # fmt: skip


def test_a_reason_cannot_make_an_event() -> None:
    """A reason that looks like a record stays the words of the record before it."""
    forged = "c9|1795831000|Unknown|1|DOWN|cpu=16||all is lost"
    words = (DATA / "event-reason.psv").read_text().replace("second line, see #42", forged)

    found = live({"event-reason.psv": words}).events(START, END)

    assert 5 == len(found)
    assert f'fan | "broken"\n{forged}' == found[2].reason


def test_an_event_that_changed_between_the_questions_has_no_reason() -> None:
    """The event stands; its words, which are now another record's, are left out."""
    words = (
        (DATA / "event-reason.psv").read_text().replace("n1|1795831189|Unknown", "n1|1795831189|1795831190")
    )

    assert ["draining, job goes on", ""] == [
        live(said).events(START, END)[-1].reason for said in (None, {"event-reason.psv": words})
    ]


@pytest.mark.parametrize(
    ("node", "state", "expected"),
    [
        ("", 0, REGISTERED),
        ("", 1, CONTROLLER_AWAY),
        ("n1", 1, DOWN),
        ("n1", 1 | 0x800, DOWN),  # not responding
        ("n1", 0x202, DRAIN),
        ("n1", 0x201, DRAIN),
        ("n1", 0x8001, MAINT),
        ("n1", 0x8202, MAINT),
        ("n1", 0x1002, POWERED_DOWN),
        ("n1", 0x1202, POWERED_DOWN),
        ("n1", 6, POWERED_DOWN),  # a node that is to come
    ],
)
def test_what_an_event_is_about(node: str, state: int, expected: str) -> None:
    """Maintenance before all, then nodes that are off on purpose, then drains: as the roll-up does."""
    assert expected == machine.kind(node, state)


def test_reservations_with_associations_and_changes() -> None:
    """One changed mid-way is two records of one id; flags stand in order, associations as numbers."""
    assert [
        Reservation("lab", 2, 1795831098, 1795831102, "half", "n3", "SPEC_NODES", "cpu=16", (3, 5)),
        Reservation(
            "lab", 1, 1795831098, 1795831398, "maint1", "n4", "IGNORE_JOBS,MAINT,SPEC_NODES", "cpu=16", (2,)
        ),
        Reservation("lab", 2, 1795831102, 1795831458, "half", "n3", "SPEC_NODES", "cpu=16", (3,)),
    ] == live().reservations(START, END)


def test_the_tree_with_what_was_deleted() -> None:
    """Users stand below their account, and one that is in the list with deleted alone is deleted."""
    found = {one.id: one for one in live().associations()}

    assert 10 == len(found)
    assert Association("lab", 1, "root", "", "", "", deleted=False) == found[1]
    assert Association("lab", 3, "es-bio", "", "", "root", deleted=False) == found[3]
    assert Association("lab", 7, "es-bio", "games", "", "es-bio", deleted=False) == found[7]
    assert Association("lab", 11, "tr-llm", "list", "", "tr-llm", deleted=True) == found[11]
    assert [11] == [one.id for one in found.values() if one.deleted]


def test_partitions_with_their_limits() -> None:
    """No limit, a day, minutes; and a partition without nodes."""
    assert [
        PartitionLimit("lab", "cpu", UNLIMITED, "c[1-2]", "billing=63,cpu=32,mem=128000,node=2"),
        PartitionLimit(
            "lab", "gpu", 86_400, "n[1-4]",
            "billing=254,cpu=64,gres/gpu=16,gres/gpu:h100=16,mem=256000,node=4",
        ),
        PartitionLimit("lab", "none", 5_400, "", ""),
    ] == live().partitions()  # fmt: skip


def test_what_is_tracked() -> None:
    """Generic resources carry their type before their name."""
    expected = ["cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages"]

    assert [*expected, "gres/gpu", "gres/gpu:h100"] == live().tracked()


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", 0),
        ("Europe/Madrid", 0),
        ("Asia/Kolkata", 1800),
        ("Asia/Kathmandu", 900),
        ("America/St_Johns", 1800),
        ("+05:30", 1800),
        ("LAB-0:15", 2700),
        ("LAB0:15", 900),
        ("LAB-0:22:17", 2263),
        ("<+0530>-5:30", 1800),
    ],
)
def test_where_slurmdbds_hours_begin(zone: str, expected: int) -> None:
    """Seconds into a UTC hour at which a clock of that zone shows a full one."""
    assert expected == live(zone=zone).hour_offset()


def test_an_unknown_zone_is_refused() -> None:
    """The message names it."""
    with pytest.raises(BadText, match="Europe/Madird"):
        live(zone="Europe/Madird")


class Hours:
    """slurmdbd's hours alone."""

    def __init__(self, offset: int | None) -> None:
        self.offset = offset

    def hour_offset(self) -> int | None:
        """What the rows tell."""
        return self.offset


def test_the_tables_tell_the_clock() -> None:
    """Once something was added up, slurmdbd's rows tell where its hours begin; before, the zone does."""
    assert [2700, 1800] == [
        live(zone="Asia/Kolkata", tables=Hours(offset)).hour_offset() for offset in (2700, None)
    ]


@pytest.mark.parametrize(
    ("name", "text", "ask"),
    [
        ("event.psv", "c1|1795831098\n", lambda found: found.events(START, END)),
        ("event.psv", "c1|Unknown|Unknown|1|DOWN|cpu=16|\n", lambda found: found.events(START, END)),
        ("reservation.psv", "1|1795831098|Unknown||n1||3\n", lambda found: found.reservations(START, END)),
        ("associations.psv", "1|root\n", lambda found: found.associations()),
        ("partition.txt", "PartitionName=cpu Nodes=c1\n", lambda found: found.partitions()),
        ("tres.psv", "cpu\n", lambda found: found.tracked()),
    ],
)  # fmt: skip
def test_another_answer_than_was_asked_for_is_refused(name: str, text: str, ask: Any) -> None:
    """Nothing of it is taken."""
    with pytest.raises(Unavailable):
        ask(live({name: text}))
