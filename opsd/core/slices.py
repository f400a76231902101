"""MIG slices: which part of a whole GPU an instance of a profile is, as agreed and dated.

Invariant: a slice counts as what the table in force says, exactly; one that stands in no table is unknown,
never a whole GPU and never nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from opsd.core import fields
from opsd.core.amounts import exact_text
from opsd.core.fields import ALWAYS, BadField, in_force

# As NVIDIA's driver names them: 1g.10gb, with media extensions 1g.10gb+me, of newer makes also -me, +me.all
# and +gfx. Slurm's type is the profile alone, or with the GPU's make before it: h100_1g.10gb.
_PROFILE = r"[1-9][0-9]*g\.[1-9][0-9]*gb(?:[+-](?:me|gfx)(?:\.all)?)?"
_TYPE = re.compile(rf"(?:(?P<make>.+?)[_.-])??(?P<profile>{_PROFILE})", re.ASCII)


class Slice(NamedTuple):
    """A GPU type of Slurm's that names a profile."""

    make: str  # "" where Slurm prints the profile alone
    profile: str


def slice_of(gpu_class: str) -> Slice | None:
    """The slice that a GPU class is; None for a whole GPU."""
    found = _TYPE.fullmatch(gpu_class.casefold())
    return Slice(found["make"] or "", found["profile"]) if found else None


@dataclass(frozen=True, slots=True)
class MigSlice:
    """What one instance of a profile on GPUs of a class counts as."""

    gpu_class: str
    profile: str
    gpus: Fraction  # of one GPU
    valid_from: int = ALWAYS
    valid_until: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        fields.name("gpu_class", self.gpu_class)
        if slice_of(self.gpu_class):
            raise BadField(
                "gpu_class", "a GPU class with a profile in it", self.gpu_class, "write the profile apart"
            )
        found = slice_of(self.profile)
        if found is None or found.make:
            raise BadField("profile", "not a MIG profile", self.profile, "write one such as 1g.10gb")
        # Types are compared without regard to case, so two spellings would be two answers.
        for field in ("gpu_class", "profile"):
            text = getattr(self, field)
            if text != text.casefold():
                raise BadField(field, f"{field} is not in small letters", text, f"write {text.casefold()}")
        fields.validity(self.valid_from, self.valid_until)
        fields.words("source", self.source)
        fields.number("gpus", self.gpus)
        if not 0 < self.gpus <= 1:
            raise BadField(
                "gpus", "not a part of one GPU", exact_text(self.gpus), 'write more than 0, at most 1: "1/7"'
            )


class SliceTable:
    """The shares of all profiles, asked by class and instant."""

    def __init__(self, slices: Iterable[MigSlice]) -> None:
        self._versions: dict[Slice, list[MigSlice]] = defaultdict(list)
        for item in slices:
            self._versions[Slice(item.gpu_class, item.profile)].append(item)

    def share(self, gpu_class: str, node_gpu_class: str, at: int) -> Fraction | None:
        """What one instance of a class counts as, in whole GPUs; None: no entry says.

        Args:
            node_gpu_class: of the run's nodes, which tells the make where Slurm printed none.
            at: the run's start.
        """
        found = slice_of(gpu_class)
        if found is None:
            return Fraction(1)
        if not found.make:
            node = slice_of(node_gpu_class)
            found = found._replace(make=node.make if node else node_gpu_class.casefold())
        versions = self._versions.get(found, ())
        return next((v.gpus for v in versions if in_force(v.valid_from, v.valid_until, at)), None)
