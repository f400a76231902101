"""A board as a table in the terminal.

Invariant: what is not known is a dash, never a 0 and never an empty bar; colour says nothing that a word or
a number does not say, too.
"""

from __future__ import annotations

import math

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from opsd.node.board import Board, Device, Holder

_GIB = 2.0**30
_BAR = 10
_QUIET = "dim"
_WARM, _HOT = 75, 85  # degrees Celsius
_STALE_SECONDS = 15.0
_WIDE = 124  # columns of a terminal from which everything fits


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
        parts.append(_devices(board, is_wide=width >= _WIDE))
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


def _devices(board: Board, *, is_wide: bool) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 1), expand=False)
    has_sm = any(device.is_sm_activity for device in board.devices)
    shown.add_column("GPU", no_wrap=True)
    shown.add_column("job", no_wrap=True)
    shown.add_column("user", no_wrap=True)
    if is_wide:
        shown.add_column("account", no_wrap=True)
    shown.add_column("SM active" if has_sm else "utilisation", no_wrap=True)
    shown.add_column("tensor", justify="right", no_wrap=True)
    shown.add_column("memory", no_wrap=True)
    shown.add_column("power", no_wrap=True)
    shown.add_column("°C", justify="right", no_wrap=True)
    if is_wide:
        shown.add_column("GHz", justify="right", no_wrap=True)
    shown.add_column("faults", overflow="fold")
    for device in board.devices:
        shown.add_row(*_row(device, is_wide=is_wide))
    return shown


def _row(device: Device, *, is_wide: bool) -> list[RenderableType]:
    account = [_names([holder.account for holder in device.holders])] if is_wide else []
    clock = [_number(_part(device.clock, 1e9), "{:.2f}")] if is_wide else []
    return [
        _name(device),
        _jobs(device),
        _names([holder.user for holder in device.holders]),
        *account,
        _share(device.activity, _activity_style(device)),
        _number(_part(device.tensor, 0.01), "{:.0f} %"),
        _memory(device),
        _power(device),
        _temperature(device),
        *clock,
        _faults(device),
    ]


def _name(device: Device) -> Text:
    if device.parent:
        return Text(f"  └ {device.name}", _QUIET)
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


def _share(share: float | None, style: str) -> RenderableType:
    if share is None:
        return Text("-", _QUIET)
    return _barred(share, f"{share:4.0%}".replace("%", " %"), style)


def _memory(device: Device) -> RenderableType:
    if device.memory_used is None or not device.memory_total:
        return Text("-", _QUIET)
    said = f"{device.memory_used / _GIB:.0f}/{device.memory_total / _GIB:.0f} GiB"
    return _barred(device.memory_used / device.memory_total, said, "blue")


def _power(device: Device) -> RenderableType:
    if device.power is None:
        return Text("-", _QUIET)
    if not device.power_limit:
        return Text(f"{device.power:.0f} W")
    return _barred(device.power / device.power_limit, f"{device.power:.0f} W", "magenta")


def _temperature(device: Device) -> Text:
    if device.temperature is None:
        return Text("-", _QUIET)
    style = "red" if device.temperature >= _HOT else "yellow" if device.temperature >= _WARM else ""
    return Text(f"{device.temperature:.0f}", style)


def _faults(device: Device) -> Text:
    said = list(device.faults)
    if device.state != "up":
        age = f" for {device.age:.0f} s" if device.age is not None else ""
        said.insert(0, f"{device.state}{age}")
    return Text(", ".join(said), "bold red" if said else "")


def _barred(share: float, said: str, style: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_column(width=_BAR)
    row.add_column(justify="right", no_wrap=True)
    row.add_row(Bar(1.0, 0.0, min(1.0, share), width=_BAR, color=style, bgcolor="grey23"), said)
    return row


def _part(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _number(value: float | None, form: str) -> Text:
    return Text("-", _QUIET) if value is None else Text(form.format(value))
