"""`opsd demo` as it lives: daemon, portal and four GPU nodes in one process, until Ctrl-C.

Invariant: nothing here counts, renders or serves by itself: the real daemon, portal and agents do, on a
source and on GPUs that are simulated; whatever was started is stopped, in the opposite order.
"""

from __future__ import annotations

import json
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from collectors.simulated import prolog
from collectors.simulated.accounting import SimulatedAccounting
from collectors.simulated.live import LiveFactory
from collectors.simulated.present import SimulatedPresent
from collectors.simulated.rhythm import LENGTH
from collectors.simulated.text import CLUSTER
from exporters.serve import Address
from opsd import config
from opsd.cli.context import open_store
from opsd.core.errors import WrongUsage
from opsd.core.period import DAY
from opsd.daemon import Daemon
from opsd.node import Agent, Options
from opsd.pipeline import demo, demo_past, fetch, rebuild, sweep
from opsd.pipeline.sources import ClusterSources
from opsd.store.engine import Store
from opsd.web import WebServer

NODES = 4
GPUS = 4
PROLOG_SECONDS = 5.0
NODE_SECONDS = 5.0
INGEST_SECONDS = 30
BALANCES_SECONDS = 15
FETCH_SECONDS = 30
SLURM_SECONDS = 15
MEASURED_DAYS = fetch.MATCHED_DAYS - 1  # of what ended before, the daemon would look for no run
_PORTS = 2 + NODES
_LAST_PORT = 65_535

Clock = Callable[[], float]
Progress = Callable[[str], None]


class Part(Protocol):
    """Something that runs in threads of its own."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> object:
        """End."""


class Started(NamedTuple):
    """Where the parts answer."""

    portal: str
    daemon: str
    nodes: dict[str, str]


def clock_from(start: int | None) -> Clock:
    """The real clock, or one that shows `start` now and goes on from there."""
    if start is None:
        return time.time
    began = time.time()
    return lambda: start + time.time() - began


@contextmanager
def living(
    args: Namespace, folder: Path, clock: Clock, progress: Progress = lambda _: None
) -> Iterator[Started]:
    """Everything, started; stopped on leaving.

    Args:
        args: `db` (the demonstration's own), `config`, `port` (of the portal; the others follow), `seed`.
        folder: where to put it.
        clock: the present of the whole demonstration.
        progress: told what is being done.
    """
    web_at, daemon_at, *nodes_at = addresses(args.port)
    start = int(clock())
    progress("making up ninety days of jobs")
    factory = LiveFactory(start, args.seed)
    demo.clear(folder, start, args.seed)
    (folder / demo.TOML).write_text(factory.consortium_toml(), encoding="utf-8", newline="\n")
    source = SimulatedAccounting(factory, clock)
    settings = config.Settings(
        args.db,
        "demo",
        slurm=config.Slurm(since=f"{LENGTH // 86_400} days"),
        daemon=config.Daemon(
            listen_address=str(daemon_at), ingest_seconds=INGEST_SECONDS, balances_seconds=BALANCES_SECONDS,
            fetch_seconds=FETCH_SECONDS, slurm_seconds=SLURM_SECONDS,
        ),
        web=config.Web(listen_address=str(web_at)),
        nodes=config.Nodes(file=str(_targets(folder, "nodes"))),
    )  # fmt: skip
    with open_store(args) as store, ExitStack() as running:
        _first_look(store, folder, source, start, progress)
        nodes = factory.busy_nodes(start, NODES)
        progress("measuring what jobs did with GPUs")
        _measure_past(factory, folder, nodes, start, args.seed)
        progress("starting")
        running.enter_context(_prologs(factory, clock, folder, nodes))
        agents = {
            node: Agent(_options(folder, node, address, place, args.seed), clock=clock)
            for place, (node, address) in enumerate(zip(nodes, nodes_at, strict=True))
        }
        _write_targets(folder, "nodes", *(_target(agent.url, node) for node, agent in agents.items()))
        present = SimulatedPresent(factory, clock)
        cluster = ClusterSources(source, since=settings.slurm.since, open_present=lambda _name: present)
        daemon, web = (
            Daemon(store, settings, [cluster], clock=clock),
            WebServer(store, settings, clock=clock),
        )
        parts: tuple[Part, ...] = (*agents.values(), daemon, web)
        for part in parts:
            part.start()
            running.callback(part.stop)
        started = Started(web.url, daemon.url, {node: agent.url for node, agent in agents.items()})
        _write_targets(folder, "daemon", _target(started.daemon))
        yield started


def addresses(port: int) -> list[Address]:
    """Portal, daemon and nodes, one after another on the loopback; 0 lets the system choose each."""
    if port and not 1024 <= port <= _LAST_PORT - _PORTS:
        raise WrongUsage(f"--port {port}: name one between 1024 and {_LAST_PORT - _PORTS}, or 0 for any")
    return [Address("127.0.0.1", port + place if port else 0) for place in range(_PORTS)]


def _first_look(
    store: Store, folder: Path, source: SimulatedAccounting, start: int, progress: Progress
) -> None:
    """What the daemon does on its first day, before anybody looks: who pays, and all of history."""
    progress("applying consortium.toml")
    demo.apply(store, folder, start)
    progress("reading ninety days of accounting")
    sweep.run(store, source, now=start, since=start - LENGTH)
    progress("building day facts")
    rebuild.run(store)


def _measure_past(factory: LiveFactory, folder: Path, nodes: Sequence[str], start: int, seed: int) -> None:
    """What the nodes' agents have measured so far: they go on with it, and the daemon fetches it."""
    past = factory.past(start, nodes, start - MEASURED_DAYS * DAY)
    for place, node in enumerate(nodes):
        held = [holding for holding in past if holding.node == node]
        demo_past.write(_spool(folder, node), held, GPUS, _seed(seed, place), start)


def _options(folder: Path, node: str, address: Address, place: int, seed: int) -> Options:
    return Options(
        listen_address=str(address),
        interval=NODE_SECONDS,
        jobs_directory=_jobs(folder, node),
        spool_directory=_spool(folder, node),
        simulated=GPUS,
        simulated_seed=_seed(seed, place),
    )


def _seed(seed: int, place: int) -> str:
    """Other GPUs on each node."""
    return f"{seed}/{place}"


def _spool(folder: Path, node: str) -> Path:
    return folder / demo.NODES / node / "spool"


def _jobs(folder: Path, node: str) -> Path:
    return folder / demo.NODES / node / "jobs"


@contextmanager
def _prologs(factory: LiveFactory, clock: Clock, folder: Path, nodes: Sequence[str]) -> Iterator[None]:
    """Keep the nodes' job files as the jobs come and go."""
    over = threading.Event()

    def keep() -> None:
        holdings = factory.holdings(int(clock()), nodes)
        for node in nodes:
            prolog.keep(_jobs(folder, node), [holding for holding in holdings if holding.node == node])

    def keep_on() -> None:
        while not over.wait(PROLOG_SECONDS):
            keep()

    keep()
    thread = threading.Thread(target=keep_on, name="prologs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _targets(folder: Path, name: str) -> Path:
    return folder / demo.TARGETS / f"{name}.json"


def _write_targets(folder: Path, name: str, *targets: dict[str, object]) -> None:
    """In the form of Prometheus' file_sd: what to ask, and what to call it."""
    path = _targets(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{name}.new")
    draft.write_text(json.dumps(targets, indent=1) + "\n", encoding="utf-8")
    draft.rename(path)


def _target(url: str, node: str = "") -> dict[str, object]:
    labels = {"cluster": CLUSTER, "node": node} if node else {}
    return {"targets": [url.partition("//")[2].rstrip("/")], "labels": labels}
