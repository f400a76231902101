"""`make stack`: the demonstration under a real Prometheus and Alertmanager with the built configuration.

Everything listens on the loopback and ends with Ctrl-C. Alerts are printed as Alertmanager sends them.
Invariant: what this starts it stops, by process, however it ends.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))  # started as a program: `tests` is beside `opsd`

from dashboards.build import build
from dashboards.configuration import Site
from opsd.cli import signals
from tests.stack import programs
from tests.stack.pace import quicken
from tests.stack.receiver import Alert, receiver

PACE = 10
KEPT = "--storage.tsdb.retention.time=90d"
OPSD_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT = 8750, 9790, 9793
DEMO_DEADLINE_SECONDS = 180


def main() -> int:
    """Start, say where, wait for the end."""
    args = options()
    if missing := [it for it in ("prometheus", "prometheus-alertmanager") if not shutil.which(it)]:
        packages = " ".join(sorted({programs.PACKAGES[it] for it in missing}))
        print(f"make stack needs {' and '.join(missing)}: apt-get install {packages}", file=sys.stderr)
        return 1
    try:
        with signals.told() as ends, stack(args, ends):
            print(
                f"  Every waiting time of the rules is divided by {args.pace}. Ctrl-C stops all.", flush=True
            )
            signals.wait(ends)
            print("stopping ...", flush=True)
    except Interrupted:
        return 130
    print("stopped", flush=True)
    return 0


class Servers(NamedTuple):
    """Where the parts answer."""

    prometheus: str
    alertmanager: str


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dir", default="demo", help="of the demonstration (default: demo)")
    parser.add_argument("--port", type=int, default=OPSD_PORT, help="of the portal; 0: any")
    parser.add_argument("--prometheus-port", type=int, default=PROMETHEUS_PORT, help="0: any")
    parser.add_argument("--alertmanager-port", type=int, default=ALERTMANAGER_PORT, help="0: any")
    parser.add_argument(
        "--pace", type=int, default=PACE, help=f"divides every waiting time of the rules (default: {PACE})"
    )
    parser.add_argument("--receiver", help="where alerts go (default: they are printed here)")
    parser.add_argument(
        "--history-days", type=float, default=0, help="of Prometheus, before all begins (default: 0, none)"
    )
    return parser.parse_args(arguments)


class Interrupted(Exception):
    """Somebody wants an end before all was up."""


@contextmanager
def stack(args: argparse.Namespace, ends: SimpleQueue[str]) -> Iterator[Servers]:
    """All of it, running."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="opsd-stack-")))
        demo, start = Path(args.dir).absolute(), int(time.time()) + 1
        until = start if args.history_days else None
        running.enter_context(demonstration(demo, args.port, folder / "demo.log", ends, until))
        if args.history_days:
            fill(folder / "prometheus", demo, start, args.history_days, ends)
        hook = args.receiver or running.enter_context(receiver(shown))
        ports = [args.prometheus_port or programs.free_port(), args.alertmanager_port or programs.free_port()]
        configure(folder / "built", demo, hook, ports[1], args.pace)
        alertmanager = running.enter_context(
            programs.alertmanager(folder / "built" / "alertmanager.yml", folder / "alertmanager", ports[1])
        )
        prometheus = running.enter_context(
            programs.prometheus(folder / "built" / "prometheus.yml", folder / "prometheus", ports[0], KEPT)
        )
        print(f"  prometheus    {prometheus}/alerts", flush=True)
        print(f"  alertmanager  {alertmanager}/api/v2/alerts", flush=True)
        yield Servers(prometheus, alertmanager)


def fill(tsdb: Path, folder: Path, start: int, days: float, ends: SimpleQueue[str]) -> None:
    """What Prometheus would have kept, had it been there before."""
    from tests.stack import history  # slow, and not wanted by tests

    def progress(text: str) -> None:
        if not ends.empty():
            raise Interrupted
        print(text, flush=True)

    told = history.Demonstration(folder, start)
    history.wait_for_page(told.daemon, "opsd_balances_as_of_timestamp_seconds")
    progress(f"history: {history.fill(tsdb, told, days, progress):,} samples")


def configure(folder: Path, demo: Path, hook: str, alertmanager_port: int, pace: int) -> None:
    """What a site would run, told where the demonstration is."""
    site = Site(targets=str(demo / "targets"), alertmanager=f"127.0.0.1:{alertmanager_port}", receiver=hook)
    build(folder, site)
    quicken(folder, pace)


@contextmanager
def demonstration(
    folder: Path, port: int, log: Path, ends: SimpleQueue[str], until: int | None = None
) -> Iterator[None]:
    """`opsd demo`, once it lives: it has said where everything is.

    Args:
        until: its present when it starts, so that somebody else can know; None: now.
    """
    command = [sys.executable, "-m", "opsd", "demo", "--dir", str(folder), "--port", str(port)]
    if until is not None:
        command += ["--until", datetime.fromtimestamp(until, UTC).isoformat()]
    print("starting the demonstration ...", flush=True)
    with programs.started(command, log) as process:
        for _ in range(DEMO_DEADLINE_SECONDS * 10):
            time.sleep(0.1)
            if not ends.empty():
                raise Interrupted
            text = log.read_text(encoding="utf-8", errors="replace")
            if process.poll() is not None:
                raise SystemExit(f"opsd demo ended with {process.returncode}:\n{text}")
            if "opsd balance\n" in text:
                print(text, flush=True)
                break
        else:
            raise SystemExit(f"opsd demo did not start:\n{text}")
        yield


def shown(name: str, alert: Alert) -> None:
    """Print an alert."""
    words = alert["annotations"]["summary"]
    line = f"  {alert['status']:8}  to {name:16}  {alert['labels']['alertname']}: {words}\n"
    sys.stdout.write(line)  # one write: alerts come in several threads
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
