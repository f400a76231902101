"""How a window of time is cut before anything is summed.

A window falls into segments inside which every label is constant: civil periods, binding edges and
award ends cut it. Each segment is whole UTC days, which the day facts answer, and what is left over
at its edges, which only the runs answer.

Invariant: the segments of a plan cover its window exactly once; so do its whole days plus its raw
regions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property

from opsd.core.period import CALENDARS, DAY, Window


@dataclass(frozen=True, slots=True)
class Segment:
    """[start, end) with the labels of the asked civil periods, in the order asked."""

    start: int
    end: int
    periods: tuple[str, ...]

    @property
    def whole_days(self) -> tuple[int, int]:
        """First and past-the-last whole UTC day; equal when there is none."""
        first, last = -(-self.start // DAY), self.end // DAY
        return (first, last) if last > first else (first, first)


@dataclass(frozen=True)
class Plan:
    """The segments of a window, in order."""

    segments: tuple[Segment, ...]

    @cached_property
    def starts(self) -> list[int]:
        """The first second of each segment."""
        return [segment.start for segment in self.segments]

    def at(self, instant: int) -> int:
        """The number of the segment that holds an instant of the window."""
        return bisect_right(self.starts, instant) - 1

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(segment number, start, end) of the parts of [start, end) inside the window."""
        if not self.segments:
            return
        start, end = max(start, self.segments[0].start), min(end, self.segments[-1].end)
        number = self.at(start)
        while start < end:
            stop = min(end, self.segments[number].end)
            yield number, start, stop
            start, number = stop, number + 1

    @cached_property
    def raw_regions(self) -> list[tuple[int, int]]:
        """What is no whole day, neighbours joined across segments."""
        loose: list[tuple[int, int]] = []
        for segment in self.segments:
            first, last = segment.whole_days
            if first == last:
                loose.append((segment.start, segment.end))
            else:
                loose += [(segment.start, first * DAY), (last * DAY, segment.end)]
        return joined(loose)

    @cached_property
    def day_spans(self) -> list[tuple[int, int, int]]:
        """(segment number, first day, past the last day) of every segment that has whole days."""
        return [
            (number, *segment.whole_days)
            for number, segment in enumerate(self.segments)
            if segment.whole_days[0] < segment.whole_days[1]
        ]


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans without the empty ones, those that touch made one."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def make(window: Window, calendars: Sequence[str], tz: tzinfo, edges: Iterable[int] = ()) -> Plan:
    """Cut a window at civil periods and at the instants where attribution may change.

    Args:
        calendars: the period keys asked for (`month`, `day`, `hour`); may be none.
        edges: further instants; those outside the window do not matter.
    """
    cuts = {window.start, *(edge for edge in edges if window.start < edge < window.end)}
    named = []
    for key in calendars:
        periods = [(part.start, label) for label, part in CALENDARS[key](window, tz)]
        cuts.update(start for start, _ in periods)
        named.append(periods)
    starts = sorted(cuts) if window.seconds else []
    ends = [*starts[1:], window.end]
    columns = [_labels(periods, starts) for periods in named]
    labels: Iterable[tuple[str, ...]] = zip(*columns, strict=True) if columns else [()] * len(starts)
    return Plan(tuple(Segment(a, b, c) for a, b, c in zip(starts, ends, labels, strict=False)))


def _labels(periods: Sequence[tuple[int, str]], starts: Sequence[int]) -> list[str]:
    begins = [start for start, _ in periods]
    return [periods[bisect_right(begins, start) - 1][1] for start in starts]
