"""`opsd doctor`: what in Slurm or here keeps figures from being right, and what mends it. Changes nothing."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from opsd.cli.context import now
from opsd.config import Settings, Slurm, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from collectors.protocol import Health
    from opsd.pipeline.doctor import Line, Report
    from opsd.store.engine import Store


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.epilog = "Changes nothing. Ends with 3 when something is wrong, with 1 when no Slurm answers."
    parser.add_argument("--cluster", metavar="NAME", help="one of those in the configuration (default: all)")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")


def run(args: Namespace) -> int:
    """Print every finding; exit code 3 when something is wrong."""
    from opsd.cli.output import print_json
    from opsd.pipeline.doctor import COLUMNS

    asked = settings(args.db, args.config)
    store = _store(asked)
    try:
        found = _reports(asked, store, args.cluster)
    finally:
        if store is not None:
            store.close()
    if args.format == "json":
        print_json(dict(zip(COLUMNS, line.values, strict=True)) for line in found.lines)
    else:
        _print(found)
    if not found.reached:
        return 1
    return 3 if found.needs_eyes else 0


def _store(asked: Settings) -> Store | None:
    """The database as it is; one that is not there is not made by looking."""
    from opsd.store.engine import open_engine

    store = open_engine(asked.database_url)
    if not store.is_sqlite or Path(str(store.engine.url.database)).exists():
        return store
    store.close()
    return None


def _reports(asked: Settings, store: Store | None, cluster: str | None) -> Report:
    from opsd.cli.ingest import by_name, chosen, configured
    from opsd.daemon import STEPS
    from opsd.pipeline import doctor, own_checks, slurm_checks, status
    from opsd.store.engine import open_engine

    expected = [status.Expected(step.name, step.deadline, step.stale_seconds(asked.daemon)) for step in STEPS]
    address = open_engine(asked.database_url).shown
    lines: list[Line] = []
    patient = None
    for one in chosen(configured(asked), cluster):
        slurm = by_name(asked)[one.label]
        health = _health(slurm, one.label)
        patient = doctor.Patient(one, health, store, address, expected, now(), slurm.timezone)
        lines += doctor.run(patient, slurm_checks.GROUPS, one.shown).lines
    assert patient is not None  # there is always a cluster
    lines += doctor.run(patient, own_checks.GROUPS, "").lines
    return doctor.Report(tuple(lines))


def _health(slurm: Slurm, label: str) -> Health:
    from collectors import registry

    return registry.health(
        "slurm", folder=slurm.bin, conf=slurm.conf, timeout_seconds=slurm.timeout_seconds, clock=time.time,
        cluster=label,
    )  # fmt: skip


_INDENT = 28  # of a mark and the name of a check


def _print(found: Report) -> None:
    """Group by group; what is said in words wraps under its check."""
    from rich.text import Text

    from opsd.cli import draw
    from opsd.pipeline.doctor import ERROR, OK, UNKNOWN, WARNING

    marks = {OK: ("ok", draw.FINE), WARNING: ("warn", draw.WATCH), ERROR: ("ERROR", draw.OVER)}
    console = draw.console()
    said: set[str] = set()
    above = ("", "")
    several = len({line.cluster for line in found.lines if line.cluster}) > 1
    for line in found.lines:
        if (line.cluster, line.group) != above:
            above = (line.cluster, line.group)
            name = f"{line.cluster}: {line.group}" if several and line.cluster else line.group
            console.print(Text(name, draw.TITLE))
        mark, style = marks.get(line.finding.result, ("?", draw.NEAR))
        finding = line.finding
        console.print(Text.assemble("  ", (f"{mark:5}", style), f"  {line.check:18}"), end=" ")
        meaning = finding.meaning
        if finding.result == UNKNOWN and meaning in said:
            meaning = "the same"
        said.add(finding.meaning)
        texts = [(finding.value, ""), (meaning, ""), (finding.mend and f"-> {finding.mend}", draw.ACCENT)]
        _hang(console, [(text, style) for text, style in texts if text], _INDENT)
    counts = ", ".join(f"{found.count(result)} {result}" for result in (OK, WARNING, UNKNOWN, ERROR))
    console.print()
    console.print(f"{counts}; nothing was changed")


def _hang(console: Console, texts: Sequence[tuple[str, str]], indent: int) -> None:
    """Print texts one below the other, each wrapped, the first one where the line already is."""
    from rich.text import Text

    room = max(20, console.width - indent)
    first = True
    for text, style in texts:
        for part in Text(text, style).wrap(console, room):
            console.print(Text(" " * (0 if first else indent)) + part)
            first = False
