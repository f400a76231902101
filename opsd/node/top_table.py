"""A board as a table in the terminal.

Invariant: what is not known is a dash, never a 0 and never an empty bar; colour says nothing that a word or
a number does not say, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from opsd.node.board import Board, Device, Holder

_GIB = 2.0**30
_QUIET = "dim"
_WARM, _HOT = 75, 85  # degrees Celsius
_STALE_SECONDS = 15.0
# Columns of a terminal from which everything fits, all but account and clock, or at least user and memory.
_WIDE, _MEDIUM, _NARROW = 136, 114, 72


def table(board: Board, source: str, width: int, now: float) -> RenderableType:
    """The whole picture.

    Args:
        source: where it comes from, for the head.
        width: of the terminal, in columns.
        now: to tell how old it is.
    """
    parts: list[RenderableType] = [_head(board, source, now)]
    if board.is_released:
        parts.append(Text("The driver is released: no GPU is read until SIGUSR2.", "yellow"))
    elif not board.devices:
        parts.append(Text("No GPU is shown." + _why(board), "yellow"))
    else:
        parts.append(_devices(board, width))
    return Group(*parts)


def _head(board: Board, source: str, now: float) -> Text:
    whole = [device for device in board.devices if not device.parent]
    held = {holder.job for device in board.devices for holder in device.holders}
    watts = [device.power for device in whole if device.power is not None]
    words = [source]
    if board.driver:
        words.append(f"driver {board.driver}, CUDA {board.cuda}")
    up = sum(device.state == "up" for device in whole)
    words.append(f"{up} of {len(whole)} GPUs up")
    words.append(f"{len(held)} {'job' if len(held) == 1 else 'jobs'}")
    if watts:
        words.append(f"{math.fsum(watts):,.0f} W")
    head = Text(" · ".join(words), "bold")
    if board.at is not None and now - board.at > _STALE_SECONDS:
        head.append(f"  {now - board.at:.0f} s old", "bold red")
    if board.troubles:
        head.append(f"  not well: {', '.join(board.troubles)}", "bold red")
    return head


def _why(board: Board) -> str:
    return f" Not well: {', '.join(board.troubles)}." if board.troubles else ""


class Column(NamedTuple):
    """One column: from which width of a terminal it is shown, and what stands in it."""

    title: str
    least: int
    cell: Callable[[Device, int], RenderableType]
    is_right: bool = False


def _columns(activity: str) -> Sequence[Column]:
    return (
        Column("GPU", 0, _name),
        Column("job", 0, lambda device, _: _jobs(device)),
        Column("user", _NARROW, lambda device, _: _names([holder.user for holder in device.holders])),
        Column("account", _WIDE, lambda device, _: _names([holder.account for holder in device.holders])),
        Column(activity, 0, lambda device, width: _share(device.activity, _activity_style(device), width)),
        Column("tensor", _MEDIUM, lambda device, _: _number(_part(device.tensor, 0.01), "{:.0f} %"), True),
        Column("memory", _NARROW, _memory),
        Column("power", 0, _power),
        Column("°C", 0, lambda device, _: _temperature(device), True),
        Column("GHz", _WIDE, lambda device, _: _number(_part(device.clock, 1e9), "{:.2f}"), True),
        Column("faults", 0, _faults),
    )


def _devices(board: Board, width: int) -> Table:
    gap = (0, 1) if width >= _MEDIUM else (0, 1, 0, 0)
    shown = Table(box=None, pad_edge=False, padding=gap, expand=False)
    has_sm = any(device.is_sm_activity for device in board.devices)
    columns = [column for column in _columns("SM active" if has_sm else "busy") if column.least <= width]
    for column in columns:
        shown.add_column(
            column.title,
            justify="right" if column.is_right else "left",
            no_wrap=column.title != "faults",
            overflow="fold" if column.title == "faults" else "ellipsis",
        )
    for device in board.devices:
        shown.add_row(*(column.cell(device, width) for column in columns))
    return shown


def _name(device: Device, width: int) -> Text:
    if device.parent:
        return Text(f"  └ {device.name}", _QUIET)
    if width < _MEDIUM:
        return Text(f"{device.gpu:>2}")
    return Text.assemble(f"{device.gpu:>2} ", (_short(device.name), _QUIET))


def _short(name: str) -> str:
    """NVIDIA H100 80GB HBM3: the model is enough."""
    words = [word for word in name.split() if word not in ("NVIDIA", "Tesla")]
    return " ".join(words[:1]) if words and words[0] != "Simulated" else name


def _jobs(device: Device) -> Text:
    if not device.holders:
        return Text("free", _QUIET)
    return Text("\n").join(_job(holder) for holder in device.holders)


def _job(holder: Holder) -> Text:
    said = Text(holder.job)
    if holder.share < 1:
        said.append(f" {holder.share:.0%}", _QUIET)
    if holder.processes == 0:
        said.append(" no process", "yellow")
    return said


def _names(names: list[str]) -> Text:
    return Text("\n".join(names))


def _activity_style(device: Device) -> str:
    """Held and idle is what somebody should see."""
    is_idle = device.activity is not None and device.activity < 0.01
    return "yellow" if is_idle and device.holders else "green"


def _share(share: float | None, style: str, width: int) -> RenderableType:
    if share is None:
        return Text("-", _QUIET)
    return _barred(share, f"{share:4.0%}".replace("%", " %"), style, width)


def _memory(device: Device, width: int) -> RenderableType:
    if device.memory_used is None or not device.memory_total:
        return Text("-", _QUIET)
    whole = f"/{device.memory_total / _GIB:.0f}" if width >= _MEDIUM else ""
    digits = len(f"{device.memory_total / _GIB:.0f}")  # so that the numbers stand one below the other
    said = f"{device.memory_used / _GIB:{digits}.0f}{whole} GiB"
    return _barred(device.memory_used / device.memory_total, said, "blue", width)


def _power(device: Device, width: int) -> RenderableType:
    if device.power is None:
        return Text("-", _QUIET)
    if not device.power_limit or width < _MEDIUM:
        return Text(f"{device.power:.0f} W")
    return _barred(device.power / device.power_limit, f"{device.power:3.0f} W", "magenta", width)


def _temperature(device: Device) -> Text:
    if device.temperature is None:
        return Text("-", _QUIET)
    style = "red" if device.temperature >= _HOT else "yellow" if device.temperature >= _WARM else ""
    return Text(f"{device.temperature:.0f}", style)


def _faults(device: Device, width: int) -> Text:
    """Each on a line of its own where there is little room: what is broken within a word is hard to read."""
    said = list(device.faults)
    if device.state != "up":
        age = f" for {device.age:.0f} s" if device.age is not None else ""
        said.insert(0, f"{device.state}{age}")
    return Text((", " if width >= _WIDE else "\n").join(said), "bold red" if said else "")


def _barred(share: float, said: str, style: str, width: int) -> Table:
    row = Table.grid(padding=(0, 1))
    bar = 10 if width >= _MEDIUM else 4
    row.add_column(width=bar)
    row.add_column(justify="right", no_wrap=True)
    row.add_row(Bar(1.0, 0.0, min(1.0, share), width=bar, color=style, bgcolor="grey23"), said)
    return row


def _part(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _number(value: float | None, form: str) -> Text:
    return Text("-", _QUIET) if value is None else Text(form.format(value))
