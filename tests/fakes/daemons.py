"""Around a daemon in a test: steps that do what they are told, a Slurm that is away, a page that is read."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from collectors.protocol import AccountingText
from opsd import config
from opsd.config import Settings
from opsd.core.errors import Unavailable
from opsd.daemon.steps import Every, Outcome, Step, Work
from opsd.pipeline.sources import ClusterSources

PATIENCE_SECONDS = 30


class SlurmAway:
    """A source of accounting that nobody answers for."""

    def prove(self) -> str:
        """Nobody answers."""
        raise Unavailable("sacctmgr: nobody answers")

    def changed(self, start: int, end: int) -> AccountingText:
        """Nobody answers."""
        raise Unavailable(f"sacct from {start} to {end}: nobody answers")

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Nobody answers."""
        raise Unavailable(f"sacct of {len(job_ids)} jobs: nobody answers")


SLURM_AWAY = [ClusterSources(SlurmAway())]


def settings(url: str = "", **daemon: Any) -> Settings:
    """Settings with a port that the system chooses."""
    return Settings(url, "test", daemon=config.Daemon(**{"listen_address": "127.0.0.1:0"} | daemon))


def step(
    name: str,
    does: Callable[[Work], Outcome | None],
    *,
    seconds: float = 600,
    deadline: int = 60,
    follows: str = "",
) -> Step:
    """A row of the table of steps."""
    return Step(name, lambda work: does(work) or Outcome(), Every(lambda _: seconds), deadline, 3, follows)


def nothing(_work: Work) -> None:
    """A step that does nothing."""


def broken(_work: Work) -> None:
    """A step that fails."""
    raise Unavailable("it is broken")


def page_of(url: str) -> str:
    """The page as Prometheus gets it."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def samples(url: str, name: str) -> dict[str, float]:
    """A metric's samples by their first label's value."""
    families = text_string_to_metric_families(page_of(url))
    found = (sample for family in families for sample in family.samples if sample.name == name)
    return {next(iter(sample.labels.values()), ""): sample.value for sample in found}


def until(holds: Callable[[], object]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
