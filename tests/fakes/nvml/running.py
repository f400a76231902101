"""An opsd-node process beside a test: started, scraped, stopped by its own id."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

PATIENCE_SECONDS = 30

Series = tuple[str, frozenset[tuple[str, str]]]


class Scraped:
    """A metrics page, to be asked for single values."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._values: dict[Series, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._values[sample.name, frozenset(sample.labels.items())] = sample.value

    def values(self, name: str, **labels: object) -> list[float]:
        """All values of a metric whose series carry these labels, in the page's order."""
        wanted = {(label, str(value)) for label, value in labels.items()}
        return [value for (of, held), value in self._values.items() if of == name and wanted <= held]

    def value(self, name: str, **labels: object) -> float | None:
        """The one value of a series; None if it is absent."""
        found = self.values(name, **labels)
        assert len(found) <= 1, f"{name}{labels}: {found}"
        return found[0] if found else None


class RunningAgent:
    """A started agent."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.wait_until_said("serving ")
        found = re.search(r"serving (\S+)/metrics", "".join(self.said))
        assert found
        self.url = found[1]

    def scrape(self) -> Scraped:
        """Its page now."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=PATIENCE_SECONDS) as answer:
            return Scraped(answer.read().decode())

    def wait_for(self, is_there: Callable[[Scraped], object]) -> Scraped:
        """The first page of which this holds."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(urllib.error.HTTPError):  # nothing collected yet
                page = self.scrape()
                if is_there(page):
                    return page
            if time.monotonic() > until:
                raise AssertionError(f"never came: {self.said}\n{page.text}")
            time.sleep(0.05)

    def pages(self, count: int) -> Scraped:
        """The page after so many more collections."""
        last = self.scrape()
        for _ in range(count):
            before = last.value("opsd_page_timestamp_seconds")
            last = self.wait_for(lambda page, t=before: page.value("opsd_page_timestamp_seconds") != t)
        return last

    def wait_until_said(self, text: str) -> None:
        """Wait for something on stderr."""
        until = time.monotonic() + PATIENCE_SECONDS
        while text not in "".join(self.said):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, f"never said {text!r}: {self.said}"
            time.sleep(0.02)

    def threads(self) -> int:
        """How many threads the process has, those of a moment (answering a scrape) left out."""
        counts = []
        for _ in range(10):
            counts.append(len(list(Path(f"/proc/{self.process.pid}/task").iterdir())))
            time.sleep(0.02)
        return min(counts)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_SECONDS)

    def _listen(self) -> None:
        assert self.process.stderr
        self.said.extend(self.process.stderr)


@contextlib.contextmanager
def running(environment: Mapping[str, str], *flags: object) -> Iterator[RunningAgent]:
    """An agent on a port of its own choice, collecting five times a second."""
    command = [sys.executable, "-m", "opsd.node", "--web.listen-address=127.0.0.1:0"]
    command += ["--interval=200ms", *map(str, flags)]
    process = subprocess.Popen(command, env=dict(environment), stderr=subprocess.PIPE, text=True)
    try:
        yield RunningAgent(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_SECONDS)
        if process.stderr:
            process.stderr.close()
