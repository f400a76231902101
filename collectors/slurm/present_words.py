"""How Slurm writes what a cluster is doing now: lines, NAME=VALUE, GRES and TRES, counts that may be missing.

Invariant: a line that cannot be read refuses the whole answer, and the message shows it: half an answer would
be taken for all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from collectors.slurm import grammar
from opsd.core.errors import BadText, Unavailable
from opsd.core.tres import GPU, GPU_TYPED

T = TypeVar("T")

_BRACKETS = re.compile(r"\([^()]*\)")  # sockets (S:0-1) and indexes (IDX:0,3), which hold commas
_NOTHING = frozenset({"", "(null)", "N/A"})
_SHOWN = 200


def lines(text: str) -> list[str]:
    """Those that hold something. `str.splitlines` would also cut at characters that a text may hold."""
    return [line for line in text.split("\n") if line.strip()]


def each(program: str, some: Iterable[str], read: Callable[[str], T]) -> list[T]:
    """What every line says.

    Raises:
        Unavailable: a line cannot be read.
    """
    found = []
    for line in some:
        try:
            found.append(read(line))
        except BadText as err:
            raise Unavailable(
                f"{program}: {err}: nothing of its answer was taken, for it holds {line[:_SHOWN]!r}"
            ) from err
    return found


def given(text: str) -> str:
    """A value; "" for Slurm's words for none."""
    return "" if text in _NOTHING else text


def value(line: str, name: str) -> str:
    """What stands after the first NAME= of a line; "" for Slurm's words for nothing.

    Raises:
        BadText: there is none.
    """
    found = optional(line, name)
    if found is None:
        raise BadText(f"there is no {name}=", line, "is it Slurm's?")
    return found


def optional(line: str, name: str) -> str | None:
    """The same; None where there is no NAME=."""
    found = re.search(rf"(?:^| ){name}=(\S*)", line)
    return given(found[1]) if found else None


def epoch(text: str, what: str) -> int | None:
    """A time as the client asks for it, in seconds; None where there is none."""
    return grammar.time(given(text), None, what)


def gres_gpus(gres: str) -> dict[str, int]:
    """GPUs of a GRES list by type: `gpu:h100:4(S:0-1),gpu:2,shard:8` has 4 h100 and 2 without a type."""
    found: dict[str, int] = {}
    for entry in _BRACKETS.sub("", gres).split(","):
        name, *words = (word for word in entry.split(":") if word != "no_consume")
        if name != "gpu":
            continue
        count = grammar.whole(words.pop(), "a GRES count") if words and words[-1].isdecimal() else 1
        if len(words) > 1:
            raise BadText("a GRES is not gpu:TYPE:COUNT", entry)
        gpu_class = words[0] if words else ""
        found[gpu_class] = found.get(gpu_class, 0) + count
    return found


def tres_gpus(tres: str) -> dict[str, int]:
    """GPUs of a TRES list by type; "" for those whose type it does not tell.

    The rest of the list is not read: memory is rounded there (mem=62.51G), and nobody here needs it.
    """
    counts: dict[str, int] = {}
    for entry in tres.split(","):
        name, _, count = entry.rpartition("=")
        if name == GPU or name.startswith(GPU_TYPED):
            counts[name] = grammar.whole(count, f"TRES {name}")
    typed = {name.removeprefix(GPU_TYPED): count for name, count in counts.items() if name != GPU}
    rest = counts.get(GPU, 0) - sum(typed.values())
    return typed if rest <= 0 else {**typed, "": rest}


def by_class(configured: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    """Counts under the types that a node is configured with, and no more than it has of each.

    Slurm writes types of TRES in lower case, and counts GPUs without one where the accounting does not keep
    the type; a node of one type leaves no doubt. More than there is are in use for a moment when a node is
    configured anew below its jobs.
    """
    names = {gpu_class.lower(): gpu_class for gpu_class in configured}
    found: dict[str, int] = {}
    for told, count in counts.items():
        name = names.get(told.lower(), next(iter(configured)) if len(configured) == 1 else None)
        if count and name is None:
            raise BadText(
                "nobody tells of which type the used GPUs are", f"{dict(counts)} of {dict(configured)}"
            )
        if count and name is not None:
            found[name] = min(found.get(name, 0) + count, configured[name])
    return found


def table(program: str, text: str, titles: Sequence[str]) -> list[str]:
    """The lines below the titles of a table with | between its columns.

    Raises:
        Unavailable: it has other columns, or its last line has no end.
    """
    first, *others = text.split("\n")
    if first.count("|") != len(titles) - 1 or not text.endswith("\n"):
        printed = f"{text[:80]!r} … {text[-40:]!r}" if text else "nothing"
        raise Unavailable(f"{program} printed no whole table of {', '.join(titles)}, but {printed}")
    return [line for line in others if line]


def columns(line: str, titles: Sequence[str]) -> list[str]:
    """The columns of a line; the last one may hold |."""
    found = line.split("|", len(titles) - 1)
    if len(found) != len(titles):
        raise BadText(f"there are {len(found)} columns, not {len(titles)}", line)
    return found
