"""Energy and carbon of use: what agents measured, the rest by declared factors.

The method, which the statement prints, too:

- A GPU's energy is measured for the time that agents covered. For the rest of its allocated time it is
  `gpu-watts` of its node class.
- What a node draws beside its GPUs is nowhere measured: `node-watts`, by the part of the node's CPUs held.
- Energy at the site is IT energy times `pue`; carbon is that times `location-based` and `market-based`.
- A factor that changes inside the period counts with the time that each version was in force.

Invariant: exact fractions; a factor that is missing makes what hangs on it unknown, never 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from opsd.core.consortium import Consortium
from opsd.core.dossier import Dossier, Seconds
from opsd.core.factors import GPU_WATTS, LOCATION, MARKET, NODE_WATTS, PUE
from opsd.core.fields import in_force
from opsd.core.gpu_use import MS

JOULES_PER_KWH = 3_600_000
Where = tuple[str, str]  # cluster, node class


class Energy(NamedTuple):
    """Of some use, in joules and kilogrammes of CO2e; None: a factor is missing."""

    measured: Fraction = Fraction(0)
    estimated: Fraction | None = Fraction(0)
    site: Fraction | None = Fraction(0)
    location: Fraction | None = Fraction(0)
    market: Fraction | None = Fraction(0)

    @property
    def it(self) -> Fraction | None:
        """Measured and estimated together."""
        return None if self.estimated is None else self.measured + self.estimated

    @property
    def measured_share(self) -> Fraction | None:
        """The part of the IT energy that was measured; None where there is none, or it is not known."""
        return self.measured / self.it if self.it else None

    def plus(self, other: Energy) -> Energy:
        """The sum; unknown where a part of it is."""
        pairs = zip(self, other, strict=True)
        return Energy(*(None if a is None or b is None else a + b for a, b in pairs))  # type: ignore[arg-type]


def by(dossier: Dossier, label: Callable[[str, str], str | None]) -> dict[str, Energy]:
    """Energy of the period's use by a label.

    Args:
        label: of an award (empty: nobody's) on a cluster; None leaves its use out.
    """
    factors = Factors(dossier)
    held: dict[tuple[str, Where], Seconds] = defaultdict(Seconds)
    for line in dossier.lines:
        name = label(line.key.award, line.key.cluster)
        if name is not None:
            where = line.key.cluster, line.key.node_class
            held[name, where] = held[name, where].plus(line.seconds)
    measured: dict[tuple[str, Where], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for one in dossier.measured:
        name = label(one.award, one.cluster)
        if name is not None:
            slot = name, (one.cluster, one.node_class)
            energy, covered = measured[slot]
            measured[slot] = energy + one.use.energy, covered + one.use.energy_of
    sums: dict[str, Energy] = defaultdict(Energy)
    for slot in sorted(held.keys() | measured.keys()):
        name, where = slot
        sums[name] = sums[name].plus(factors.energy(where, held[slot], *measured[slot]))
    return dict(sums)


class Factors:
    """The factors of a period: each version weighs with its time in force."""

    def __init__(self, dossier: Dossier) -> None:
        self._held: Consortium = dossier.master
        self._start, self._end = dossier.span.start, max(dossier.as_of, dossier.span.start + 1)
        self._known: dict[tuple[Where, str], Fraction | None] = {}

    def energy(self, where: Where, seconds: Seconds, millijoules: int, covered_ms: int) -> Energy:
        """Of seconds on one node class, of which agents measured so much."""
        measured = Fraction(millijoules, MS)
        gpus = max(Fraction(0), seconds.gpu - Fraction(covered_ms, MS))
        estimated = _plus(_times(self.of(where, GPU_WATTS), gpus), self._beside_gpus(where, seconds))
        it = None if estimated is None else measured + estimated
        site = _times(self.of(where, PUE), it)
        kwh = None if site is None else site / JOULES_PER_KWH
        return Energy(
            measured,
            estimated,
            site,
            _times(self.of(where, LOCATION), kwh),
            _times(self.of(where, MARKET), kwh),
        )

    def of(self, where: Where, kind: str) -> Fraction | None:
        """A factor of the period; None where some of the period has none."""
        if (where, kind) not in self._known:
            self._known[where, kind] = self._average(where, kind)
        return self._known[where, kind]

    def _average(self, where: Where, kind: str) -> Fraction | None:
        cluster, node_class = where
        versions = [
            one
            for one in self._held.factors
            if (one.cluster, one.kind) == (cluster, kind) and one.node_class in ("", node_class)
        ]
        edges = {self._start, self._end}
        for one in versions:
            edges |= {at for at in (one.valid_from, one.valid_until) if at and self._start < at < self._end}
        whole, ordered = Fraction(0), sorted(edges)
        for a, b in pairwise(ordered):
            here = [one for one in versions if in_force(one.valid_from, one.valid_until, a)]
            if not here:
                return None
            whole += min(here, key=lambda one: not one.node_class).value * (b - a)
        return whole / (self._end - self._start)

    def _beside_gpus(self, where: Where, seconds: Seconds) -> Fraction | None:
        known = self._held.node_class(*where, self._start) or self._held.node_class(*where, self._end - 1)
        nodes = Fraction(seconds.cpu, known.cpus) if known and known.cpus else Fraction(seconds.node)
        return _times(self.of(where, NODE_WATTS), nodes)


def _times(factor: Fraction | None, amount: Fraction | None) -> Fraction | None:
    """Nothing of what has no factor is nothing; something of it is unknown."""
    if amount is not None and not amount:
        return Fraction(0)
    return None if factor is None or amount is None else factor * amount


def _plus(a: Fraction | None, b: Fraction | None) -> Fraction | None:
    return None if a is None or b is None else a + b


def total(parts: Mapping[str, Energy]) -> Energy:
    """All parts together."""
    whole = Energy()
    for part in parts.values():
        whole = whole.plus(part)
    return whole
