"""What accounting shows beside plain runs: resized jobs, and a job that is suspended now.

Invariant: a quirk rewrites rows, never what the nodes did: no node holds more than before.
"""

from __future__ import annotations

from dataclasses import replace

from collectors.simulated.scheduler import Run

RESIZED = 9
SHORTEST = 2 * 3600


def with_quirks(runs: list[Run], until: int) -> list[Run]:
    """The runs, some of them as Slurm writes them when people use its rarer commands."""
    return resized(_one_suspended(runs, until), to_resize(runs))


def resized(runs: list[Run], chosen: list[Run]) -> list[Run]:
    """The runs, the chosen ones as the two rows of a resized job."""
    these = {id(run) for run in chosen}  # comparing fifty thousand rows with each would take longer
    return [row for run in runs for row in (_shrunk(run) if id(run) in these else (run,))]


def to_resize(runs: list[Run]) -> list[Run]:
    """A few ended runs that are long and large enough to have given nodes back."""
    fit = [
        run
        for run in runs
        if run.state == "COMPLETED"
        and run.start is not None
        and run.end is not None
        and run.request.shape.nodes > 1
        and run.end - run.start > SHORTEST
        and not run.suspended
        and "+" not in run.request.label
    ]
    return fit[:: max(1, len(fit) // RESIZED)][:RESIZED]


def _shrunk(run: Run) -> tuple[Run, Run]:
    """A job that gave half its nodes back: the second row's Submit is the resize, its Start the old one."""
    assert run.start is not None
    assert run.end is not None
    resize = (run.start + run.end) // 2
    kept = run.nodes[: len(run.nodes) // 2]
    later = replace(
        run.request,
        submit=resize,
        eligible=resize,
        shape=run.request.shape._replace(nodes=len(kept)),
    )
    return replace(run, state="RESIZING", end=resize), replace(run, request=later, nodes=kept)


def _one_suspended(runs: list[Run], until: int) -> list[Run]:
    """The first running job that is old enough has been suspended for the last half hour."""
    found = list(runs)
    for index, run in enumerate(found):
        if run.state == "RUNNING" and run.start is not None and until - run.start > SHORTEST:
            found[index] = replace(run, state="SUSPENDED", suspended=1800)
            return found
    return found
