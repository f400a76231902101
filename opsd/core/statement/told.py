"""What a dossier says in English sentences (concerns, notes on capacity), as messages that can be translated.

A dossier freezes these sentences as they were said; here each of their forms is known, with its places.
Invariant: a place of a message is a place of its form, so no figure is lost; a sentence of no known form
stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from fractions import Fraction

from opsd.core import figures
from opsd.core.period import parse_time
from opsd.core.statement.rounding import SHOWN_SECONDS
from opsd.core.statement.words import Count, Hours, Moment, Msg, Text, Value, msg

Name = Callable[[str], str]  # of a cluster by its id
Form = tuple[str, Msg]
PLACE = Text("")  # what the sentence says there, by its name
_N, _T, _IN = r"[0-9,]+", r"[0-9T:.+Z-]+", r"cluster (?P<cluster>.+?): "
_NODES = r"(?P<nodes>.+?(?: and [0-9]+ more)?)"
_HELD = rf"(?P<held>{_N} [CG]PU-seconds(?: and {_N} GPU-seconds)?)"


def concern(text: str, name: Name) -> Value:
    """What stands against a close."""
    return _said(text, name, CONCERNS)


def note(text: str, name: Name) -> Value:
    """What the books of capacity could not count."""
    return _said(text, name, NOTES)


def _said(text: str, name: Name, forms: Sequence[Form]) -> Value:
    for pattern, message in forms:
        if found := re.fullmatch(pattern, text):
            values = {place: _value(place, part, name) for place, part in found.groupdict().items()}
            return Msg(message.id, tuple(sorted(values.items())))
    return Text(text)


def _value(place: str, text: str, name: Name) -> Value:
    return Text(name(text)) if place == "cluster" else _KINDS.get(place, Text)(text)


def _count(text: str) -> Count:
    return Count(int(text.replace(",", "")))


def _hours(text: str) -> Hours:
    seconds = int(text.replace(",", ""))
    return Hours(figures.nearest(seconds, SHOWN_SECONDS), Fraction(seconds))


def _moment(text: str) -> Moment:
    return Moment(parse_time(text, UTC))


def _held(text: str) -> Value:
    """`7,201 CPU-seconds and 36 GPU-seconds`, in hours."""
    first, *more = (_amount(*part.split(" ")) for part in text.split(" and "))
    return msg("{first} and {second}", first=first, second=more[0]) if more else first


def _amount(number: str, unit: str) -> Msg:
    hours = _hours(number)
    return msg("{hours} GPU-hours", hours=hours) if unit[0] == "G" else msg("{hours} CPU-hours", hours=hours)


def _nodes(text: str) -> Value:
    """`a01, a02, a03 and 4 more`."""
    found = re.fullmatch(r"(?P<some>.+) and (?P<number>[0-9]+) more", text)
    if found is None:
        return Text(text)
    return msg("{some} and {number} more", some=Text(found["some"]), number=_count(found["number"]))


_KINDS: Mapping[str, Callable[[str], Value]] = {
    "number": _count,
    "known": _count,
    "gpu": _hours,
    "node": _hours,
    "moment": _moment,
    "end": _moment,
    "held": _held,
    "nodes": _nodes,
}

CONCERNS: tuple[Form, ...] = (
    (
        rf"records that could not be read and are not counted: (?P<number>{_N})",
        msg("{number} records could not be read and are not counted.", number=PLACE),
    ),
    (
        r"no accounting from before the period's end was ever read",
        msg("No accounting from before the end of the period was ever read."),
    ),
    (
        rf"accounting begins at (?P<moment>{_T}), inside the period",
        msg("Accounting begins at {moment}, inside the period.", moment=PLACE),
    ),
    (
        r"the accounting of (?P<cluster>.+) was never read",
        msg("The accounting of {cluster} was never read.", cluster=PLACE),
    ),
    (
        (
            rf"the accounting of (?P<cluster>.+) was read up to (?P<moment>{_T}) only, and the period "
            rf"goes on to (?P<end>{_T})"
        ),
        msg(
            "The accounting of {cluster} was read up to {moment} only; the period goes on to {end}.",
            cluster=PLACE,
            moment=PLACE,
            end=PLACE,
        ),
    ),
    (
        (
            rf"accounts without an award: (?P<number>{_N}), with (?P<gpu>{_N}) GPU-seconds "
            rf"and (?P<node>{_N}) node-seconds"
        ),
        msg(
            "Accounts without an award: {number}, with {gpu} GPU-hours and {node} node-hours.",
            number=PLACE,
            gpu=PLACE,
            node=PLACE,
        ),
    ),
    (
        r"awards with use that has no charge: (?P<awards>.+)",
        msg("Awards with use that has no charge: {awards}.", awards=PLACE),
    ),
    (
        rf"GPU-seconds on GPUs of no known class: (?P<gpu>{_N})",
        msg("{gpu} GPU-hours were on GPUs of no known class.", gpu=PLACE),
    ),
    (
        (
            rf"no certificate compares (?P<cluster>.+) with Slurm's own report for (?P<number>{_N}) hours "
            rf"of the period, the first from (?P<moment>{_T})"
        ),
        msg(
            "{cluster} was not compared with Slurm's own report for {number} hours of the period, the first "
            "of them from {moment}.",
            cluster=PLACE,
            number=PLACE,
            moment=PLACE,
        ),
    ),
    (
        (
            rf"figures of (?P<cluster>.+) that differ from Slurm's without a cause: (?P<number>{_N}), "
            rf"of them within what nobody can know: (?P<known>{_N}); seconds by TRES: .*"
        ),
        msg(
            "Figures of {cluster} that differ from Slurm's own without a cause: {number}; of these by no "
            "more than what nobody can know: {known}.",
            cluster=PLACE,
            number=PLACE,
            known=PLACE,
        ),
    ),
    (
        r"no inventory of nodes tells what (?P<cluster>.+) could have given",
        msg("No inventory of nodes tells what {cluster} could have given.", cluster=PLACE),
    ),
)
NOTES: tuple[Form, ...] = (
    (
        rf"{_IN}node class (?P<node_class>.+) has no node: it is known by its partitions only, .*",
        msg(
            "{cluster}: class {node_class} is known by its partitions only, whose nodes were not read.",
            cluster=PLACE,
            node_class=PLACE,
        ),
    ),
    (
        (
            rf"{_IN}node class (?P<node_class>.+): node (?P<first>\S+) is in another class at the same time "
            rf"\((?P<number>{_N}) such\): .*"
        ),
        msg(
            "{cluster}: nodes of class {node_class} that are in another class at the same time, and count "
            "there: {number}, the first {first}.",
            cluster=PLACE,
            node_class=PLACE,
            number=PLACE,
            first=PLACE,
        ),
    ),
    (
        rf"{_IN}how many CPUs nodes? {_NODES} ha(?:s|ve) is not known, .*",
        msg(
            "{cluster}: nodes whose number of CPUs is not known, so that no line counts them: {nodes}.",
            cluster=PLACE,
            nodes=PLACE,
        ),
    ),
    (
        rf"{_IN}how many GPUs nodes? {_NODES} ha(?:s|ve) is not known, .*",
        msg(
            "{cluster}: nodes whose number of GPUs is not known, so that no line counts them: {nodes}.",
            cluster=PLACE,
            nodes=PLACE,
        ),
    ),
    (
        rf"{_IN}runs held {_HELD} more than their nodes have: .*",
        msg(
            "{cluster}: runs held {held} more than their nodes have; these are in no line.",
            cluster=PLACE,
            held=PLACE,
        ),
    ),
    (
        (
            rf"{_IN}(?P<number>{_N}) runs? ha(?:s|ve) no node list, so what they held is in no line "
            rf"\({_HELD}\): .*"
        ),
        msg(
            "{cluster}: runs without a list of nodes, so that they are in no line: {number}, with {held}.",
            cluster=PLACE,
            number=PLACE,
            held=PLACE,
        ),
    ),
    (
        (
            rf"{_IN}{_HELD} were held on nodes of which no class and no registration tells what they have "
            r"\((?P<nodes>.+)\): they are in no line"
        ),
        msg(
            "{cluster}: {held} on nodes of which nobody knows what they have are in no line: {nodes}.",
            cluster=PLACE,
            held=PLACE,
            nodes=PLACE,
        ),
    ),
    (
        rf"{_IN}accounting was read up to (?P<moment>{_T}) only: what is later looks unallocated",
        msg(
            "{cluster}: accounting was read up to {moment} only; later time looks as if not allocated.",
            cluster=PLACE,
            moment=PLACE,
        ),
    ),
    (
        rf"{_IN}no event was ever read from Slurm, so nothing is known to have been down or reserved",
        msg(
            "{cluster}: no event was ever read from Slurm, so nothing is known to have been down or "
            "reserved.",
            cluster=PLACE,
        ),
    ),
    (
        (
            rf"{_IN}Slurm's first event is of (?P<moment>{_T}): of earlier nothing is known to have been "
            r"down or reserved"
        ),
        msg(
            "{cluster}: Slurm's first event is of {moment}; of the time before nothing is known to have been "
            "down or reserved.",
            cluster=PLACE,
            moment=PLACE,
        ),
    ),
    (
        rf"{_IN}events were read up to (?P<moment>{_T}) only: what is later looks unallocated",
        msg(
            "{cluster}: events were read up to {moment} only; later time looks as if not allocated.",
            cluster=PLACE,
            moment=PLACE,
        ),
    ),
)
