"""The sizes of simulated jobs, and which kind of work submits which sizes.

Invariant: a shape asks no more of a node than its slots hold; its TRES text reads as Slurm prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import NamedTuple

from collectors.simulated.machine import ACC, GPP, PARTITIONS, UPG

MINUTE, HOUR = 60, 3600
MIG = "b200_3g.90gb"
UNTYPED = ""


class Shape(NamedTuple):
    """What a job holds on each of its nodes; `gpu_type` empty: asked for without a type."""

    partition: int
    nodes: int
    slots: int
    cpus: int
    gpus: int
    gpu_type: str


Weighted = tuple[tuple[Shape, float], ...]


@dataclass(frozen=True, slots=True)
class Style:
    """A way of using the machine: sizes, run time (log-normal), and how many tasks an array has."""

    shapes: Weighted
    median: float
    sigma: float
    array: tuple[int, int] = (1, 1)
    pairs: Weighted = ()

    @property
    def mean_tasks(self) -> float:
        """Tasks of a submission on average."""
        return sum(self.array) / 2

    def tasks(self, dice: Random) -> int:
        """Tasks of one submission."""
        low, high = self.array
        return low + int(dice.random() * (high - low + 1))


def _acc(nodes: int, gpus: int, weight: float) -> Weighted:
    """H100 jobs: most name the type and take all CPUs, some do neither."""
    whole = Shape(ACC, nodes, gpus, 40 * gpus, gpus, "h100")
    return (
        (whole, 0.72 * weight),
        (whole._replace(cpus=20 * gpus), 0.18 * weight),
        (whole._replace(gpu_type=UNTYPED), 0.10 * weight),
    )


def _gpp(nodes: int, slots: int, weight: float) -> Weighted:
    return ((Shape(GPP, nodes, slots, 14 * slots, 0, ""), weight),)


def _upg(nodes: int, gpus: int, weight: float, gpu_type: str = "b200") -> Weighted:
    return ((Shape(UPG, nodes, gpus, 28 * gpus, gpus, gpu_type), weight),)


# One GPU and all CPUs of its node: under a largest-share policy this is a whole node.
CPU_HUNGRY: Weighted = ((Shape(ACC, 1, 4, 160, 1, "h100"), 0.3),)

STYLES = {
    "train": Style(
        (*_acc(2, 4, 4), *_acc(4, 4, 3), *_acc(8, 4, 1.2), *_acc(16, 4, 0.25)),
        3.5 * HOUR,
        0.9,
        pairs=_gpp(1, 8, 1),
    ),
    "finetune": Style((*_acc(1, 1, 2), *_acc(1, 2, 2), *_acc(1, 4, 3), *_acc(2, 4, 0.8)), 2.6 * HOUR, 1.0),
    "sweep": Style((*_acc(1, 1, 5), *_acc(1, 2, 1)), 100 * MINUTE, 0.8, (6, 36)),
    "infer": Style((*_acc(1, 1, 4), *_acc(1, 2, 1), *CPU_HUNGRY), 60 * MINUTE, 1.1),
    "upgrade": Style((*_upg(1, 8, 1), *_upg(2, 8, 0.7), *_upg(4, 8, 0.2)), 5 * HOUR, 0.9),
    "upinfer": Style(
        (*_upg(1, 1, 3), *_upg(1, 2, 2), *_upg(1, 4, 1), *_upg(1, 2, 0.6, MIG)), 55 * MINUTE, 1.0
    ),
    "simulate": Style((*_gpp(1, 16, 3), *_gpp(2, 16, 3), *_gpp(4, 16, 2), *_gpp(8, 16, 0.6)), 3 * HOUR, 0.9),
    "prepare": Style((*_gpp(1, 1, 3), *_gpp(1, 2, 3), *_gpp(1, 8, 2)), 25 * MINUTE, 1.0),
    "ensemble": Style((*_gpp(1, 4, 2), *_gpp(1, 8, 1)), 45 * MINUTE, 0.7, (5, 30)),
}

PREPARED = (("prepare", 0.15), ("ensemble", 0.35))
UPGRADED = (("upgrade", 0.08), ("upinfer", 0.06))

# Kind of work -> share of its runs by style.
WORK: dict[str, tuple[tuple[str, float], ...]] = {
    "llm": (("train", 0.16), ("finetune", 0.34), ("infer", 0.16), ("prepare", 0.20), *UPGRADED),
    "vision": (("finetune", 0.30), ("sweep", 0.40), ("infer", 0.12), ("prepare", 0.18)),
    "speech": (("train", 0.04), ("finetune", 0.32), ("sweep", 0.22), ("infer", 0.24), ("prepare", 0.18)),
    "serving": (("finetune", 0.15), ("infer", 0.45), ("upinfer", 0.25), ("prepare", 0.15)),
    "risk": (("sweep", 0.42), ("infer", 0.16), ("prepare", 0.22), ("ensemble", 0.20)),
    "bio": (("finetune", 0.20), ("sweep", 0.25), ("simulate", 0.25), ("ensemble", 0.30)),
    "climate": (("train", 0.03), ("finetune", 0.14), ("simulate", 0.33), *PREPARED),
    "grid": (("finetune", 0.12), ("sweep", 0.28), ("upgrade", 0.03), ("simulate", 0.22), ("ensemble", 0.35)),
}  # fmt: skip


def billing(shape: Shape) -> int:
    """What Slurm bills for it: its GPUs' part of a whole node, or its CPUs."""
    partition = PARTITIONS[shape.partition]
    return max(
        shape.cpus * shape.nodes, shape.gpus * shape.nodes * partition.billing // (partition.gpus or 1)
    )


@cache
def tres_text(shape: Shape) -> str:
    """AllocTRES as `sacct --noconvert` prints it: typed and untyped GPUs both, memory with its M."""
    partition = PARTITIONS[shape.partition]
    nodes, cpus, gpus = shape.nodes, shape.cpus * shape.nodes, shape.gpus * shape.nodes
    mem = partition.mem_mb * shape.slots // partition.slots * nodes
    typed = f"gres/gpu:{shape.gpu_type}={gpus}," if shape.gpu_type else ""
    gres = f"{typed}gres/gpu={gpus}," if gpus else ""
    return f"billing={billing(shape)},cpu={cpus},{gres}mem={mem}M,node={nodes}"
