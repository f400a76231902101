"""What always holds of parsed states, arrays and GPUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm import present_nodes
from collectors.slurm.present_queue import tasks
from collectors.slurm.present_words import gres_gpus, tres_gpus
from opsd.core.present import GPU_STATES

BASES = ("ALLOCATED", "DOWN", "ERROR", "FUTURE", "IDLE", "MIXED", "UNKNOWN")
FLAGS = (
    "BLOCKED", "CLOUD", "COMPLETING", "DRAIN", "DYNAMIC_NORM", "FAIL", "INVALID_REG", "MAINTENANCE",
    "NOT_RESPONDING", "PLANNED", "POWERED_DOWN", "POWERING_DOWN", "POWERING_UP", "REBOOT_ISSUED",
    "REBOOT_REQUESTED", "RESERVED",
)  # fmt: skip
CLASSES = st.sampled_from(["", "h100", "NVlink_A100_40GB", "a100_1g.5gb"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IDLE", ("idle", "idle", True)),
        ("MIXED", ("mixed", "idle", True)),
        ("ALLOCATED", ("allocated", "idle", True)),
        ("ALLOCATED+COMPLETING", ("allocated", "idle", True)),
        ("IDLE+COMPLETING", ("completing", "idle", True)),
        ("IDLE+PLANNED", ("planned", "idle", True)),
        ("MIXED+PLANNED", ("mixed", "idle", True)),
        ("IDLE+RESERVED", ("reserved", "reserved", True)),
        ("MIXED+RESERVED", ("mixed", "reserved", True)),
        ("IDLE+MAINTENANCE+RESERVED", ("maintenance", "maintenance", False)),
        ("DOWN+MAINTENANCE+RESERVED", ("maintenance", "maintenance", False)),
        ("IDLE+DRAIN", ("drained", "drained", False)),
        ("ALLOCATED+DRAIN", ("draining", "drained", False)),
        ("MIXED+DRAIN", ("draining", "drained", False)),
        ("IDLE+COMPLETING+DRAIN", ("draining", "drained", False)),
        ("IDLE+FAIL", ("fail", "drained", False)),
        ("MIXED+FAIL", ("failing", "drained", False)),
        ("DOWN", ("down", "down", False)),
        ("DOWN+DRAIN", ("down", "down", False)),
        ("DOWN+NOT_RESPONDING", ("down", "down", False)),
        ("DOWN*+CLOUD", ("down", "down", False)),
        ("IDLE*", ("not_responding", "down", False)),
        ("MIXED+NOT_RESPONDING", ("not_responding", "down", False)),
        ("IDLE+CLOUD+POWERED_DOWN", ("powered_down", "down", True)),
        ("IDLE+CLOUD+POWERING_UP", ("powering_up", "down", True)),
        ("IDLE+DRAIN+POWERED_DOWN", ("powered_down", "down", False)),
        ("IDLE+INVALID_REG", ("invalid_reg", "down", False)),
        ("IDLE+DRAIN+REBOOT_ISSUED", ("reboot_issued", "down", False)),
        ("MIXED+REBOOT_REQUESTED", ("mixed", "idle", True)),
        ("UNKNOWN", ("unknown", "down", False)),
        ("FUTURE", ("future", "down", False)),
        ("IDLE+MAINT", ("maintenance", "maintenance", False)),
        ("IDLE$", ("maintenance", "maintenance", False)),
        ("IDLE+DRAIN+QUANTUM", ("idle+drain+quantum", "drained", False)),
        ("HIBERNATING+CLOUD", ("hibernating+cloud", "down", False)),
    ],
)
def test_states(text: str, expected: tuple[str, str, bool]) -> None:
    """The first that holds names a node, says what its free GPUs do and whether it takes jobs."""
    assert expected == present_nodes.state_of(text)


@given(
    st.sampled_from(BASES), st.sets(st.sampled_from(FLAGS)), st.dictionaries(CLASSES, st.integers(1, 16)),
    st.data(),
)  # fmt: skip
def test_every_gpu_is_in_one_state(
    base: str, flags: set[str], gpus: dict[str, int], data: st.DataObject
) -> None:
    """Whatever Slurm says of a node, GPUs keep their classes, and free ones are in one known state."""
    used = {name: data.draw(st.integers(0, count)) for name, count in gpus.items()}
    gres = ",".join(f"gpu:{name}:{n}(S:0-1)" if name else f"gpu:{n}(S:0-1)" for name, n in gpus.items())
    held = ",".join(f"gpu:{name}:{n}(IDX:0,3)" if name else f"gpu:{n}(IDX:N/A)" for name, n in used.items())
    state = "+".join([base, *sorted(flags)])
    (node,) = present_nodes.read(
        f"NodeName=n1 Gres={gres or '(null)'} GresUsed={held or 'gpu:0'} State={state} Partitions=a,b \n"
    )

    assert gpus == node.gpus
    assert {name: n for name, n in used.items() if n} == node.allocated
    assert node.gpu_state in GPU_STATES
    assert not (node.gpu_state == "idle" and flags & {"DRAIN", "MAINTENANCE", "NOT_RESPONDING", "FAIL"})
    assert node.is_available or (node.state, node.gpu_state) != ("idle", "idle")


@given(st.sets(st.integers(0, 3_000), min_size=1), st.sampled_from(["", "%1", "%20"]))
def test_tasks_of_an_array(numbers: set[int], limit: str) -> None:
    """However its numbers lie, an array has as many tasks as numbers, and its limit changes nothing."""
    spans, rest = [], sorted(numbers)
    while rest:
        end = next((at for at in range(1, len(rest)) if rest[at] != rest[at - 1] + 1), len(rest))
        spans.append(f"{rest[0]}-{rest[end - 1]}" if end > 1 else str(rest[0]))
        rest = rest[end:]

    assert len(numbers) == tasks(f"[{','.join(spans)}{limit}]")


@given(st.integers(0, 1_000), st.integers(1, 500), st.integers(1, 50))
def test_tasks_of_an_array_with_a_step(first: int, more: int, step: int) -> None:
    """A step is counted as Slurm takes it: the last number need not be hit."""
    assert len(range(first, first + more + 1, step)) == tasks(f"[{first}-{first + more}:{step}]")


def test_tasks_of_an_array_that_slurm_left_as_bits() -> None:
    """A bitmap that no client has made into numbers."""
    assert 3 == tasks("[0x1A]")


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("", {}),
        ("gpu", {"": 1}),
        ("gpu:4", {"": 4}),
        ("gpu:h100", {"h100": 1}),
        ("gpu:h100:4(S:0-1),shard:8(S:0-1)", {"h100": 4}),
        ("gpu:NVlink_A100_40GB:2(IDX:0,3)", {"NVlink_A100_40GB": 2}),
        ("gpu:a:2(S:0,2),gpu:b:2(S:1,3),craynetwork:4", {"a": 2, "b": 2}),
        ("gpu:tesla:no_consume:2", {"tesla": 2}),
        ("shard:h100:3(0/4,3/4)", {}),
    ],
)
def test_gres(gres: str, expected: dict[str, int]) -> None:
    """Commas within brackets part nothing, and nothing but gpu is a GPU."""
    assert expected == gres_gpus(gres)


@pytest.mark.parametrize(
    ("tres", "expected"),
    [
        ("cpu=4,mem=62.51G", {}),
        ("cpu=4,gres/gpu=3", {"": 3}),
        ("gres/gpu=3,gres/gpu:h100=3", {"h100": 3}),
        ("gres/gpu:a=1,gres/gpu:b=2", {"a": 1, "b": 2}),
        ("gres/gpu=5,gres/gpu:a=1,gres/gpumem=80", {"a": 1, "": 4}),
    ],
)
def test_tres(tres: str, expected: dict[str, int]) -> None:
    """GPUs with a type are among all GPUs, and are not added to them."""
    assert expected == tres_gpus(tres)


@pytest.mark.parametrize(
    ("gres", "used", "expected"),
    [
        ("gpu:H100:4", "AllocTRES=cpu=1,gres/gpu=3", {"H100": 3}),
        ("gpu:H100:4", "AllocTRES=gres/gpu=3,gres/gpu:h100=3", {"H100": 3}),
        ("gpu:a:2,gpu:b:2", "AllocTRES=gres/gpu=3,gres/gpu:a=1,gres/gpu:b=2", {"a": 1, "b": 2}),
        ("gpu:a:2", "GresUsed=gpu:a:1(IDX:0) AllocTRES=", {"a": 1}),
        ("gpu:a:2", "GresUsed=gpu:a:3(IDX:0-2)", {"a": 2}),  # configured anew below its jobs
        ("gpu:a:2", "AllocTRES=", {}),
    ],
)
def test_used_gpus(gres: str, used: str, expected: dict[str, int]) -> None:
    """Used GPUs stand under the types of the node's Gres, told by GresUsed, else by TRES."""
    (node,) = present_nodes.read(f"NodeName=n1 Gres={gres} State=MIXED Partitions=a* {used} \n")

    assert expected == node.allocated
    assert ("a",) == node.partitions
