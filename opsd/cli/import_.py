"""`opsd import sacct FILE`: Slurm accounting, as text or JSON, into the database."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from opsd.cli.context import counted, note, now, open_store, warn
from opsd.cli.streams import say
from opsd.cli.times import time_option, zone_option
from opsd.core.errors import BadInput, WrongUsage
from opsd.core.period import isoformat

if TYPE_CHECKING:
    from collectors.slurm.reading import RecordReader
    from opsd.pipeline.ingest import Result
    from opsd.pipeline.rebuild import Result as Rebuilt
    from opsd.store.engine import Store

_CLOCK_SKEW = 60  # seconds
_SHOWN_REASONS = 5


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    sacct = kinds.add_parser(
        "sacct",
        help="what sacct -a -D -X -P or sacct -a -D --json printed",
        description="Import what sacct printed: text, best made with TZ=UTC SLURM_TIME_FORMAT=%s "
        "sacct -a -D -X -P --noconvert (docs/slurm-text.md has the columns), or JSON. "
        "Importing a file twice changes nothing.",
    )
    sacct.add_argument("file", metavar="FILE", help="plain or gzip; - reads stdin")
    sacct.add_argument("--fields", metavar="A,B,…", help="the columns, when the file has no header line")
    sacct.add_argument("--delimiter", metavar="C", help="what separates columns (default: as in the header)")
    sacct.add_argument("--timezone", metavar="TZ", help="the zone of times printed without an offset")
    sacct.add_argument("--cluster", metavar="NAME", help="the cluster of rows that do not name one")
    sacct.add_argument(
        "--observed-at",
        metavar="T",
        help="when Slurm printed this (default: the file's modification time, stdin: now)",
    )


def run(args: Namespace) -> int:
    """Import one file; exit code 3 when something was quarantined."""
    source, stream, observed_at, size = _open(args)
    with stream, open_store(args) as store:
        return _import(args, store, source, stream, observed_at, size)


def _open(args: Namespace) -> tuple[str, BinaryIO, int, int | None]:
    tz = zone_option(args.timezone)
    stated = None if args.observed_at is None else time_option("--observed-at", args.observed_at, tz)
    if args.file == "-":
        return "stdin", sys.stdin.buffer, _observed_at(stated, now()), None
    path = Path(args.file)
    try:
        if path.is_dir():
            raise BadInput(f"{path}: a folder, not a file: name the file that sacct printed")
        stream = path.open("rb")
        facts = path.stat()
    except OSError as err:
        raise BadInput(f"{path}: {err.strerror}: check the path and its permissions") from err
    return _readable(path.absolute()), stream, _observed_at(stated, int(facts.st_mtime)), facts.st_size


def _observed_at(stated: int | None, modified: int) -> int:
    """When Slurm said it; what lies ahead of the clock would let open runs use time that has not come."""
    clock = now()
    if stated is None and modified > clock + _CLOCK_SKEW:
        warn("the file's modification time is in the future: taken as observed now")
        return clock
    if stated is not None and stated > clock + _CLOCK_SKEW:
        warn("--observed-at is in the future: open runs count up to it")
    return modified if stated is None else stated


def _readable(path: Path) -> str:
    """A path as text that any database takes: bytes that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _import(
    args: Namespace, store: Store, source: str, stream: BinaryIO, observed_at: int, size: int | None
) -> int:
    from opsd.pipeline import ingest, rebuild

    reader = _reader(args, stream)
    for text in reader.warnings:
        warn(text)
    started = time.monotonic()
    with progress_bar("reading", size) as advance:
        result = ingest.run(
            store, reader, source=source, observed_at=observed_at, now=now(),
            progress=lambda done: advance(done, size),
        )  # fmt: skip
    read_in = time.monotonic() - started
    started = time.monotonic()
    with progress_bar("day facts", None) as advance:
        rebuilt = rebuild.run(store, progress=advance)
    _summary(args.file, observed_at, result, read_in, rebuilt, time.monotonic() - started)
    if result.broken:
        raise result.broken
    return 3 if result.quarantined else 0


def _reader(args: Namespace, stream: BinaryIO) -> RecordReader:
    from collectors.slurm.json_reader import is_json
    from collectors.slurm.sacct import SacctReader
    from collectors.slurm.source import peeked

    try:
        if stream.seekable():
            _refuse_damaged(args.file, stream)
        head, stream = peeked(stream)
        if is_json(head):
            return _json_reader(args, stream)
        return SacctReader(
            stream,
            fields=args.fields.split(",") if args.fields else None,
            delimiter=_delimiter(args.delimiter),
            zone=zone_option(args.timezone) if args.timezone else None,
            cluster=args.cluster,
            name=args.file,
        )
    except OSError as err:
        raise BadInput(f"{args.file}: {err.strerror}: it cannot be read: check the disk it is on") from err


def _json_reader(args: Namespace, stream: BinaryIO) -> RecordReader:
    from collectors.slurm.json_reader import JsonReader, refuse_failed

    for option in ("fields", "delimiter", "timezone"):
        if getattr(args, option) is not None:
            raise WrongUsage(
                f"{args.file} is JSON, which names its fields and says times as numbers: leave out --{option}"
            )
    if stream.seekable():
        refuse_failed(stream, args.file)
    return JsonReader(stream, cluster=args.cluster, name=args.file)


def _refuse_damaged(name: str, stream: BinaryIO) -> None:
    """Refuse a file whose checksum says that its bytes are not those that were written.

    A flipped bit may come out as plausible records long before the checksum at the end is reached, so
    a file is read twice. One that merely stops too early is honest up to there, and imported so far.
    """
    from collectors.slurm.source import GZIP, found_damage

    if stream.read(len(GZIP)) == GZIP:
        stream.seek(0)
        damage = found_damage(stream)
        if damage and "damaged" in damage:
            raise BadInput(
                f"{name}: {damage}: nothing was imported, because any record may be wrong; fetch it again"
            )
    stream.seek(0)


def _delimiter(text: str | None) -> str | None:
    r"""`\t` and `\x1f` are easier to type than the characters they mean."""
    if text is None or "\\" not in text:
        return text
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError as err:
        raise WrongUsage(f"--delimiter {text!r}: not an escape: write \\t, \\x1f or the text itself") from err


def _silent(_done: int, _total: int | None) -> None:
    """Nobody is looking."""


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _summary(
    name: str, observed_at: int, result: Result, read_in: float, rebuilt: Rebuilt, rebuilt_in: float
) -> None:
    tally = result.tally
    lines = [
        f"{name}: {counted(result.rows, 'row')} read in {read_in:.1f} s",
        f"  observed at  {isoformat(observed_at)}",
        f"  runs         {tally.new:,} new, {tally.changed:,} changed, {tally.unchanged:,} unchanged",
        f"  steps        {result.steps:,} skipped",
        f"  quarantined  {result.quarantined:,}",
        f"  day facts    {counted(rebuilt.cells, 'account-day')} rebuilt in {rebuilt_in:.1f} s",
        *_oddities(result),
    ]
    say("\n".join(lines))
    for reason in result.reasons[:_SHOWN_REASONS]:
        note(f"quarantined: {reason}")
    if result.quarantined > _SHOWN_REASONS:
        note(f"quarantined: … and {result.quarantined - _SHOWN_REASONS:,} more: opsd quarantine list")


def _oddities(result: Result) -> Iterator[str]:
    from opsd.core.flags import MEANINGS

    for flag, meaning in MEANINGS.items():
        if count := result.tally.flags[flag]:
            yield f"  note         {counted(count, 'run')}: {meaning}"
