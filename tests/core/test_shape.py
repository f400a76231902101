"""What a run held is named on evidence, and adds up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.hosts import expand
from opsd.core.flags import MEANINGS, Flag, meanings
from opsd.core.parties import NodeClass
from opsd.core.period import HOUR
from opsd.core.shape import Inventory, Shape, classify
from opsd.core.tres import Tres

ACC = NodeClass("mn5", "acc", nodes="as[1-9]", partitions=("acc", "debug"), gpus=4, gpu_class="h100")
GPP = NodeClass("mn5", "gpp", nodes="gs[1-9]", partitions=("gpp", "debug"), gpus=0)
BARE = NodeClass("mn5", "bare", partitions=("bare",), gpus=8)


@pytest.mark.parametrize(
    ("tres", "node_class", "gpus", "flags"),
    [
        ({"gres/gpu": 4, "gres/gpu:h100": 4}, ACC, (("h100", 4),), Flag.NONE),
        ({"gres/gpu": 4, "gres/gpu:h100": 4}, None, (("h100", 4),), Flag.NONE),
        ({"gres/gpu:h100": 2, "gres/gpu:b200": 1}, None, (("b200", 1), ("h100", 2)), Flag.NONE),
        ({"gres/gpu": 4}, ACC, (("h100", 4),), Flag.NONE),
        ({"gres/gpu": 4}, None, (("unclassified", 4),), Flag.GPU_UNCLASSIFIED),
        ({"gres/gpu": 4}, BARE, (("unclassified", 4),), Flag.GPU_UNCLASSIFIED),
        ({"gres/gpu": 4, "gres/gpu:H100": 1}, ACC, (("H100", 4),), Flag.NONE),
        ({"gres/gpu": 4, "gres/gpu:b200": 1}, ACC, (("b200", 1), ("h100", 3)), Flag.GPU_CLASS_DISAGREES),
        ({"gres/gpu": 2, "gres/gpu:h100": 3}, ACC, (("h100", 2),), Flag.GPU_CLASS_DISAGREES),
        ({"gres/gpu": 2, "gres/gpu:h100_1g.10gb": 2}, ACC, (("h100_1g.10gb", 2),), Flag.NONE),
        ({"gres/gpu": 2, "gres/gpu:1g.10gb": 2}, ACC, (("1g.10gb", 2),), Flag.NONE),
        ({"gres/gpu": 2, "gres/gpu:1g.10gb+me": 2}, ACC, (("1g.10gb+me", 2),), Flag.NONE),
        ({"gres/gpu:a100_3g.20gb": 1}, ACC, (("a100_3g.20gb", 1),), Flag.GPU_CLASS_DISAGREES),
        ({"cpu": 8}, ACC, (), Flag.NO_GPU_TRES),
        ({"cpu": 8, "gres/gpu": 0}, ACC, (), Flag.NONE),
        ({"cpu": 8}, GPP, (), Flag.NONE),
        ({"cpu": 8}, None, (), Flag.NONE),
        ({}, ACC, (), Flag.NONE),
    ],
)
def test_classify(
    tres: dict[str, int], node_class: NodeClass | None, gpus: tuple[tuple[str, int], ...], flags: Flag
) -> None:
    """Typed entries count where they add up, the inventory names the rest, contradictions are flagged."""
    shape, found = classify(Tres.of(tres), node_class)
    assert (gpus, flags) == (shape.gpus, found)
    assert shape.node_class == (node_class.id if node_class else "")


@given(
    st.dictionaries(
        st.sampled_from(
            ["cpu", "node", "gres/gpu", "gres/gpu:h100", "gres/gpu:b200", "gres/gpu:unclassified"]
        ),
        st.integers(0, 9),
    ),
    st.sampled_from([None, ACC, GPP, BARE]),
)
def test_gpus_always_add_up(tres: dict[str, int], node_class: NodeClass | None) -> None:
    """Whatever Slurm prints, the classes add up to its GPU count."""
    shape, _ = classify(Tres.of(tres), node_class)
    assert sum(count for _, count in shape.gpus) == shape.tres.gpus


def test_a_shape_must_add_up() -> None:
    """A shape whose classes contradict its TRES cannot be made."""
    with pytest.raises(ValueError, match="add up"):
        Shape(Tres.of({"gres/gpu": 2}), (("h100", 1),))
    with pytest.raises(ValueError, match="sorted"):
        Shape(Tres.of({"gres/gpu": 2}), (("h", 1), ("b", 1)))


@pytest.mark.parametrize(
    ("nodes", "partition", "found"),
    [
        ("as1", "gpp", (ACC, Flag.NONE)),
        ("as[1-3],as7", None, (ACC, Flag.NONE)),
        ("as1,gs1", "acc", (None, Flag.MIXED_NODE_CLASS)),
        ("as1,xx1", "acc", (None, Flag.MIXED_NODE_CLASS)),
        ("xx1", "acc", (None, Flag.NONE)),
        ("xx1", "bare", (BARE, Flag.NONE)),
        ("", "acc", (ACC, Flag.NONE)),
        (None, "acc", (ACC, Flag.NONE)),
        ("", "debug", (None, Flag.NONE)),
        ("", "", (None, Flag.NONE)),
        (None, None, (None, Flag.NONE)),
    ],
)
def test_class_of(nodes: str | None, partition: str | None, found: tuple[NodeClass | None, Flag]) -> None:
    """Nodes decide; without any, the one class that declares the partition; two classes are mixed."""
    inventory = Inventory([ACC, GPP, BARE], expand)
    assert found == inventory.class_of("mn5", nodes, partition, 0)
    assert found == inventory.class_of("mn5", nodes, partition, 0)
    assert (None, Flag.NONE) == inventory.class_of("elsewhere", nodes, partition, 0)


def test_class_of_is_dated() -> None:
    """A node that changes class, and a class that ends, are told apart by the instant."""
    before = NodeClass("x", "old", 0, HOUR, nodes="n1", partitions=("p",))
    after = NodeClass("x", "new", HOUR, 3 * HOUR, nodes="n[1-2]", partitions=("p",))
    inventory = Inventory([before, after], expand)
    instants = (0, HOUR - 1, HOUR, 3 * HOUR - 1, 3 * HOUR)
    assert [before, before, after, after, None] == [
        inventory.class_of("x", "n1", "", at)[0] for at in instants
    ]
    assert [before, before, after, after, None] == [
        inventory.class_of("x", "", "p", at)[0] for at in instants
    ]


def test_the_memory_of_host_lists_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year of distinct host lists does not stay in memory, and answers stay right."""
    monkeypatch.setattr("opsd.core.shape.CACHE_LIMIT", 3)
    inventory = Inventory([ACC], expand)
    assert [ACC] * 18 == [inventory.class_of("mn5", f"as{n % 9 + 1}", "acc", 0)[0] for n in range(18)]
    assert len(inventory._cache) <= 3


def test_every_flag_has_a_meaning() -> None:
    """Each bit is explained once, and bits of a later version are named, not hidden."""
    assert set(Flag) == set(MEANINGS)
    both = meanings(Flag.NO_GPU_TRES | Flag.UNKNOWN_STATE | 2**20)
    assert [MEANINGS[Flag.UNKNOWN_STATE], MEANINGS[Flag.NO_GPU_TRES], f"unknown flag bits {2**20}"] == both
