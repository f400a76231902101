"""Options that mean the same in every command: zones, times, output formats."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, tzinfo

from opsd.core.errors import BadText, WrongUsage
from opsd.core.period import Window, parse_time, zone

FORMATS = ("table", "csv", "json")


def add_format(parser: ArgumentParser) -> None:
    """`--format`."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="csv and json put data alone on stdout (default: table)",
    )


def zone_option(name: str | None, default: tzinfo = UTC) -> tzinfo:
    """The zone of `--timezone`."""
    if name is None:
        return default
    try:
        return zone(name)
    except BadText as err:
        raise WrongUsage(f"--timezone: {err}") from err


def time_option(option: str, text: str, tz: tzinfo) -> int:
    """One time on the command line, to epoch seconds."""
    try:
        return parse_time(text, tz)
    except BadText as err:
        raise WrongUsage(f"{option}: {err}") from err
    except ValueError as err:  # more digits than Python takes for a number
        raise WrongUsage(f"{option}: not a time: {text[:40]!r}…; write 2026-10-01") from err


def window_option(start: str, end: str, tz: tzinfo) -> Window:
    """`--from` and `--to`, half-open."""
    window = time_option("--from", start, tz), time_option("--to", end, tz)
    if window[1] < window[0]:
        raise WrongUsage(f"--to {end} is before --from {start}: put the earlier time first")
    return Window(*window)
