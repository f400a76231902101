"""The classes of a run's nodes and GPUs are those of the inventory in force when it began."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from collectors.slurm.sacct import SacctReader
from opsd.core.consortium import Consortium
from opsd.core.parties import Cluster, NodeClass
from opsd.core.period import DAY, HOUR, Window
from opsd.pipeline import consortium, ingest, rebuild, usage
from opsd.store import migrate
from opsd.store.engine import Store, open_engine

AT = 1_790_000_000 // DAY * DAY
CHANGE = AT + 10 * HOUR  # the node's GPUs are replaced
LATER = CHANGE + HOUR
WINDOW = Window(AT - 9 * DAY, AT + 9 * DAY)
HEADER = "JobIDRaw|Cluster|Account|State|Submit|Start|End|AllocTRES|NodeList\n"
UNTYPED, TYPED = "cpu=1,gres/gpu=1,node=1", "cpu=1,gres/gpu=1,gres/gpu:a100=1,node=1"
BOTH = Consortium.of(
    [
        Cluster("mn5"),
        NodeClass("mn5", "old", 0, CHANGE, "n[1-2]", gpus=4, gpu_class="h100"),
        NodeClass("mn5", "new", CHANGE, None, "n1", gpus=8, gpu_class="b200"),
        NodeClass("mn5", "other", LATER, None, "n2", gpus=8, gpu_class="b300"),
    ]
)
OLD_ALONE = Consortium.of(
    [Cluster("mn5"), NodeClass("mn5", "old", 0, None, "n[1-2]", gpus=4, gpu_class="h100")]
)

# (what it shows, Submit, Start, End, AllocTRES, NodeList, class of its GPU)
CASES: list[tuple[str, int, int | None, int | None, str, str, str]] = [
    ("all before", AT, AT, AT + HOUR, UNTYPED, "n1", "h100"),
    ("ends as the class does", AT, AT, CHANGE, UNTYPED, "n1", "h100"),
    ("spans the change", AT, CHANGE - 1, CHANGE + 2 * DAY, UNTYPED, "n1", "h100"),
    ("starts with the new class", AT, CHANGE, CHANGE + HOUR, UNTYPED, "n1", "b200"),
    ("submitted long before, starts after", AT - 5 * DAY, CHANGE + 1, CHANGE + HOUR, UNTYPED, "n1", "b200"),
    ("open, spans the change", AT, AT, None, UNTYPED, "n1", "h100"),
    ("open, starts after", AT, CHANGE + 5, None, UNTYPED, "n1", "b200"),
    ("shrunk after the change", CHANGE + HOUR, AT, CHANGE + 2 * HOUR, UNTYPED, "n1", "h100"),
    ("typed by Slurm", AT, CHANGE + 1, CHANGE + HOUR, TYPED, "n1", "a100"),
    ("two nodes of one class then", AT, AT, CHANGE + HOUR, UNTYPED, "n[1-2]", "h100"),
    ("two nodes of two classes then", AT, LATER, LATER + HOUR, UNTYPED, "n[1-2]", "unclassified"),
    ("between the classes", AT, CHANGE + 1, CHANGE + HOUR, UNTYPED, "n2", "unclassified"),
]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database of either kind."""
    opened = open_engine(store_url)
    migrate.upgrade(opened)
    yield opened
    opened.close()


def take(store: Store, *cases: tuple[str, int, int | None, int | None, str, str, str]) -> None:
    """Read these runs as an export, each under an account of its own."""
    text = HEADER
    for _, submit, start, end, tres, nodes, _ in cases:
        job = number(submit, start, end, tres, nodes)
        state, last = ("COMPLETED", end) if end else ("RUNNING", "Unknown")
        text += f"{job}|mn5|a{job}|{state}|{submit}|{start}|{last}|{tres}|{nodes}\n"
    reader = SacctReader(io.BytesIO(text.encode()), name="export")
    found = ingest.run(store, reader, source="export", observed_at=AT + 5 * DAY, now=AT + 5 * DAY)
    assert not found.quarantined


def number(*case: object) -> int:
    """The place of a case in the table, which is its job id."""
    return next(place for place, found in enumerate(CASES, 1) if found[1:-1] == case)


def classes(store: Store) -> dict[str, str]:
    """The GPU class of each account's only run."""
    with store.read() as connection:
        rows = usage.run(connection, WINDOW, ("account", "gpu_class")).rows
    assert len({row.key[0] for row in rows}) == len(rows)
    return {row.key[0]: row.key[1] for row in rows}


EXPECTED = {f"a{place}": case[-1] for place, case in enumerate(CASES, 1)}


def apply(store: Store, known: Consortium) -> None:
    """Apply a consortium file."""
    consortium.apply(store, known, author="test", now=AT)


def test_classes_known_before_the_runs(store: Store) -> None:
    """Read after the inventory was applied, each run has the class of its start."""
    apply(store, BOTH)
    take(store, *CASES)
    assert EXPECTED == classes(store)
    rebuild.run(store)
    assert EXPECTED == classes(store)


def test_classes_known_after_the_runs(store: Store) -> None:
    """Applied after they were read, whatever the facts knew, the inventory names them the same."""
    take(store, *CASES)
    rebuild.run(store)
    apply(store, OLD_ALONE)
    rebuild.run(store)
    apply(store, BOTH)
    assert EXPECTED == classes(store)
    rebuild.run(store)
    assert EXPECTED == classes(store)


def test_a_class_that_ends_later_takes_its_runs_back(store: Store) -> None:
    """Moving the change by an hour renames just the runs that began in that hour."""
    apply(store, BOTH)
    take(store, *CASES)
    rebuild.run(store)
    moved = Consortium.of(
        [
            NodeClass("mn5", "old", 0, LATER, "n[1-2]", gpus=4, gpu_class="h100"),
            NodeClass("mn5", "new", CHANGE, CHANGE, "n1", gpus=8, gpu_class="b200"),
            NodeClass("mn5", "new", LATER, None, "n1", gpus=8, gpu_class="b200"),
        ]
    )
    apply(store, moved)
    in_that_hour = {f"a{p}" for p, case in enumerate(CASES, 1) if CHANGE <= (case[2] or 0) < LATER}
    typed = {name for name, found in EXPECTED.items() if found == "a100"}
    assert in_that_hour - typed
    expected = EXPECTED | dict.fromkeys(in_that_hour - typed, "h100")
    assert expected == classes(store)
    rebuild.run(store)
    assert expected == classes(store)


def test_a_pending_run_gets_the_class_of_its_start(store: Store) -> None:
    """Seen pending it holds nothing; what it then holds is of the class of its start, not of its submit."""
    apply(store, BOTH)
    pending = f"5|mn5|a5|PENDING|{AT - 5 * DAY}|Unknown|Unknown||\n"
    reader = SacctReader(io.BytesIO((HEADER + pending).encode()), name="export")
    ingest.run(store, reader, source="export", observed_at=AT, now=AT)
    assert {} == classes(store)
    take(store, CASES[4])
    assert {"a5": "b200"} == classes(store)
