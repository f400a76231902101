"""Where simulated jobs are placed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.simulated.machine import ACC, PARTITIONS, Partition, Room, host_list
from collectors.slurm import hosts

SMALL = Partition("x", 5, 4, 80, 160, 500_000, 4, "h100", 160)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((6,), "acc07"),
        ((0, 1, 2, 3), "acc[01-04]"),
        ((8, 0, 2, 1), "acc[01-03,09]"),
        ((0, 2), "acc[01,03]"),
    ],
)
def test_host_lists_are_compressed_as_slurm_does(nodes: tuple[int, ...], expected: str) -> None:
    """Neighbours become ranges, whatever order they were taken in; the reader gives the names back."""
    text = host_list(PARTITIONS[ACC], nodes)
    assert expected == text
    assert [f"acc{node + 1:02d}" for node in sorted(nodes)] == list(hosts.expand(text))


def test_the_fullest_nodes_are_taken_first() -> None:
    """So that whole nodes stay free for large jobs."""
    room = Room(SMALL)
    assert room.take(1, 3) == (0,)
    assert room.take(1, 1) == (0,)
    assert room.take(4, 4) == (1, 2, 3, 4)
    assert room.take(1, 1) is None


def test_a_closed_node_takes_nothing_until_it_is_opened() -> None:
    """A broken node has no room."""
    room = Room(SMALL)
    room.close(2)
    assert room.take(5, 1) is None
    room.open(2)
    assert room.take(5, 4) == (0, 1, 2, 3, 4)


@given(st.integers(0, 2**32))
def test_room_never_gives_more_than_there_is(seed: int) -> None:
    """Any sequence of taking and giving back leaves between none and all slots of each node."""
    dice, room = Random(seed), Room(SMALL)
    held: list[tuple[tuple[int, ...], int]] = []
    for _ in range(40):
        if held and dice.random() < 0.4:
            room.give(*held.pop(dice.randrange(len(held))))
        else:
            slots = dice.randint(1, 4)
            nodes = room.take(dice.randint(1, 5), slots)
            held += [(nodes, slots)] if nodes else []
        used = [sum(slots for nodes, slots in held if node in nodes) for node in range(5)]
        assert max(used) <= SMALL.slots
