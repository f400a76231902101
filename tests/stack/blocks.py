"""Samples of pages as Prometheus' own blocks, by way of OpenMetrics text and promtool.

Invariant: a series carries what a scrape would give it: the page's labels, and under them the target's.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

from exporters.catalogue import BY_NAME
from exporters.page import Page

BLOCK_SECONDS = 162 * 3600  # promtool's largest below --max-block-duration; a file for each is read once
_COMMAND = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=240h", "--quiet")

Labels = Mapping[str, str]


class BlocksFailed(Exception):
    """promtool did not take the samples."""


class Blocks:
    """Takes samples in the order of time; a span's blocks are made while the next one is written."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet; `folder`: Prometheus' own (its --storage.tsdb.path)."""
        self.samples = 0
        self._folder = folder
        self._prefixes: dict[tuple[str, tuple[str, ...], str], str] = {}
        self._span = -1
        self._out: TextIO | None = None
        self._making: list[tuple[subprocess.Popen[str], Path]] = []
        # A Prometheus that starts removes half-made blocks in its folder: they are made beside it.
        self._workshop = folder.with_name(f"{folder.name}.made")

    def add_page(self, page: Page, target: Labels, at: int, names: Iterable[str] = BY_NAME) -> None:
        """What a scrape of this page would have stored of these metrics."""
        known, whose = self._prefixes, target["instance"]
        lines = [
            f"{known.get((name, key, whose)) or self._prefix(name, key, target)}{float(value)} {at}\n"
            for name in names
            for key, value in page.series(name).items()
        ]
        self.add_lines(lines, at)

    def add(self, name: str, labels: Labels, value: float, at: int) -> None:
        """One sample of a series of any name."""
        self.add_lines([f"{name}{shown(labels)} {float(value)} {at}\n"], at)

    def close(self) -> None:
        """Wait until all blocks are there.

        Raises:
            BlocksFailed: promtool refuses what was written.
        """
        self._end_span()
        while self._making:
            self._wait()

    def _prefix(self, name: str, key: tuple[str, ...], target: Labels) -> str:
        """As with honor_labels: what the page says of itself stands, an empty label is none."""
        labels = dict(target) | {
            label: text for label, text in zip(BY_NAME[name].labels, key, strict=True) if text
        }
        made = f"{name}{shown(labels)} "
        self._prefixes[name, key, target["instance"]] = made
        return made

    def add_lines(self, lines: list[str], at: int) -> None:
        """Samples of one moment, as OpenMetrics has them."""
        span = at // BLOCK_SECONDS
        if span != self._span:
            self._end_span()
            self._span = span
            self._folder.mkdir(parents=True, exist_ok=True)
            self._out = tempfile.NamedTemporaryFile(  # noqa: SIM115 (promtool reads it, then it is removed)
                "w", dir=self._folder.parent, suffix=".om", delete=False, encoding="utf-8"
            )  # fmt: skip
        assert self._out
        self._out.writelines(lines)
        self.samples += len(lines)

    def _end_span(self) -> None:
        if self._out is None:
            return
        self._out.write("# EOF\n")
        self._out.close()
        text = Path(self._out.name)
        self._out = None
        if self._making:  # one at a time: memory
            self._wait()
        process = subprocess.Popen(
            [*_COMMAND, str(text), str(self._workshop)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._making.append((process, text))

    def _wait(self) -> None:
        process, text = self._making.pop()
        said, _ = process.communicate()
        text.unlink(missing_ok=True)
        if process.returncode:
            raise BlocksFailed(f"promtool: {said.strip()}")
        for block in self._workshop.iterdir():
            if (block / "meta.json").exists():  # whole; a folder of promtool's own has none
                block.rename(self._folder / block.name)


def shown(labels: Labels) -> str:
    """`{name="text",…}`; nothing without labels."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
