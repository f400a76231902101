"""`opsd status`: what the daemon did last, and how old its data are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opsd.cli.context import counted, now, open_store
from opsd.cli.times import add_format
from opsd.config import settings
from opsd.core.period import DAY, HOUR, isoformat

if TYPE_CHECKING:
    from opsd.cli.draw import Cell
    from opsd.pipeline.status import Line, Status


_SHOWN_AGENTS = 3


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.epilog = "Ends with 3 when something is stale or failing."
    add_format(parser)


def run(args: Namespace) -> int:
    """Print the state of each step; exit code 3 when something is stale or failing."""
    from opsd.cli.output import print_rows
    from opsd.daemon import STEPS
    from opsd.pipeline import status

    daemon = settings(args.db, args.config).daemon
    expected = [status.Expected(step.name, step.deadline, step.stale_seconds(daemon)) for step in STEPS]
    at = now()
    with open_store(args) as store:
        found = status.run(store, expected, now=at)
    if args.format == "table":
        _print(found, at)
    else:
        rows = [line.values if args.format == "json" else _plain(line.values) for line in found.lines]
        print_rows(args.format, status.COLUMNS, rows)
    return 3 if found.needs_eyes else 0


def _plain(values: Sequence[object]) -> list[object]:
    """CSV has no truth values."""
    return [str(value).lower() if isinstance(value, bool) else value for value in values]


def _print(found: Status, at: int) -> None:
    from opsd.cli import draw
    from opsd.cli.draw import Column

    columns = [
        Column("step"), Column("result"), Column("last run"), Column("took", numeric=True),
        Column("next run"), Column("age", numeric=True), Column("limit", numeric=True),
        Column("failed", numeric=True),
    ]  # fmt: skip
    who = f"daemon: {found.holder}" if found.holder else "no daemon runs on this database"
    console = draw.console()
    rows = [_row(line, at, held=found.holder is not None) for line in found.lines]
    console.print(draw.table(f"Steps at {isoformat(at)}", columns, rows))
    for text in (who, *_clusters(found, at), *_agents(found), *_complaints(found)):
        console.print(text, soft_wrap=True)


def _clusters(found: Status, at: int) -> list[str]:
    """How far each was read, what looks wrong there, and what its sources cannot tell."""
    from opsd.pipeline.status import GONE, SUSPECTED, jobs_shown

    said = []
    for read in found.sweeps:
        ago = span(at - read.covered_until)
        said.append(f"{read.cluster}: read up to {isoformat(read.covered_until)}, {ago} ago")
        for jobs, what in ((read.suspected, SUSPECTED), (read.gone, GONE)):
            if jobs:
                said.append(f"{read.cluster}: {counted(len(jobs), 'run')} {what}: {jobs_shown(jobs)}")
        said += [f"{read.cluster}: not known: {note}" for note in read.notes]
    return said


def _agents(found: Status) -> list[str]:
    """How many agents answered when they were last asked, and the first that did not."""
    if not found.agents:
        return []
    failed = [agent for agent in found.agents if agent.failure]
    answered = counted(len(found.agents) - len(failed), "agent")
    said = [f"{answered} of {len(found.agents)} answered when last asked what jobs did with their GPUs"]
    said += [f"{agent.cluster} {agent.node}: {agent.failure}" for agent in failed[:_SHOWN_AGENTS]]
    return [*said, f"and {len(failed) - _SHOWN_AGENTS} more"] if len(failed) > _SHOWN_AGENTS else said


def _row(line: Line, at: int, *, held: bool) -> list[Cell]:
    from rich.text import Text

    from opsd.cli import draw

    last = line.last
    style = draw.OVER if line.failing else draw.WATCH if line.stale else draw.FINE
    result, after = Text(line.result, style), Text(span(line.stale_after))
    age = Text("never" if line.age is None else span(line.age), draw.WATCH if line.stale else "")
    if last is None:
        return [line.name, result, "", "", "", age, after, 0]
    took = "" if last.duration_ms is None else f"{last.duration_ms / 1000:.1f} s"
    following = "" if last.next_at is None or not held else _ahead(last.next_at - at)
    return [
        line.name, result, f"{span(at - last.started_at)} ago", took, following, age, after, last.failures,
    ]  # fmt: skip


def _ahead(seconds: int) -> str:
    return f"in {span(seconds)}" if seconds > 0 else "due"


def _complaints(found: Status) -> list[str]:
    """What needs eyes, each in a line of its own; the table may have no room for it."""
    said = []
    for line in found.lines:
        if (line.failing or line.result == "ok") and line.last and line.last.message:
            said.append(f"{line.name}: {line.last.message}")
        elif line.stale:
            never = "has never succeeded" if line.age is None else f"last succeeded {span(line.age)} ago"
            said.append(f"{line.name}: stale: {never}; it should at least every {span(line.stale_after)}")
    return said


def span(seconds: int) -> str:
    """A length of time in one unit that leaves two digits or so: `90 s`, `62 min`, `11 h`, `3 d`."""
    for name, size, most in (("s", 1, 100), ("min", 60, 100), ("h", HOUR, 48)):
        if seconds < most * size:
            return f"{max(0, seconds) // size} {name}"
    return f"{seconds // DAY} d"
