"""Faults that are caused, told of at a webhook, and mended: real Prometheus and Alertmanager, built rules.

What the rules wait for, and how far they look back, is divided by PACE. Ages in them are not: the daemon's
clock is put forward by the ten minutes that Slurm is away, and a node is restarted, as the runbook says, long
before its XID is half an hour old.
"""

from __future__ import annotations

import io
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from collectors.protocol import AccountingText
from collectors.slurm.commands import FIELDS
from dashboards.build import build
from dashboards.configuration import Site
from opsd.cli import main
from opsd.core.certificate import CAUSES, Cell, Certificate
from opsd.core.errors import Unavailable
from opsd.core.period import DAY, HOUR, Window
from opsd.daemon import Daemon, named
from opsd.pipeline import balance, reconcile
from opsd.pipeline.sources import ClusterSources
from opsd.store.engine import Store, open_engine
from tests.fakes import books
from tests.fakes.consortia import CLUSTER
from tests.fakes.daemons import settings
from tests.fakes.nvml.build import FakeNvml
from tests.fakes.nvml.running import running
from tests.stack import programs
from tests.stack.pace import quicken
from tests.stack.receiver import Alert, receiver

PACE = 60
DEADLINE_SECONDS = 120  # of what takes twenty on a machine that does nothing else
FAULTS = {
    "OpsdAwardOverQuota": {"award": "small", "project": "climate", "country": "PT"},
    "OpsdGpuHung": {"node": "a1", "gpu": "3"},
    "OpsdGpuXid": {"node": "a1", "gpu": "5", "xid": "79"},
    "OpsdGpuMissing": {"node": "a2"},
    "OpsdStepStale": {"step": "ingest"},
    "OpsdUsageUnexplained": {"cluster": CLUSTER},
}


class Clock:
    """The present, which can be put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        """Now."""
        return time.time() + self._ahead

    def put_forward(self, seconds: float) -> None:
        """So much time has passed."""
        self._ahead += seconds


class Slurm:
    """An accounting that tells of jobs of four GPUs and one hour, unless it is away."""

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self._clock = clock
        self._ended: list[int] = []

    def work(self) -> None:
        """A job of the small project has ended."""
        self._ended.append(int(self._clock()))

    def prove(self) -> str:
        """The name of its cluster."""
        if self.away:
            raise Unavailable("sacctmgr: nobody answers")
        return CLUSTER

    def changed(self, start: int, end: int) -> AccountingText:
        """The jobs in between."""
        self.prove()
        return self._text([at for at in self._ended if at - HOUR < end and at > start])

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Jobs by their numbers."""
        self.prove()
        return self._text([at for at in self._ended if at in job_ids])

    def _text(self, ended: Sequence[int]) -> AccountingText:
        rows = ("|".join(FIELDS), *map(_row, ended))
        text = "".join(f"{row}\n" for row in rows).encode()
        return AccountingText(io.BytesIO(text), int(self._clock()), "sacct")


def _row(ended: int) -> str:
    began = str(ended - HOUR)
    known = dict.fromkeys(FIELDS, "") | {
        "JobIDRaw": str(ended), "JobID": str(ended), "Cluster": CLUSTER, "Account": "pt-small", "User": "ana",
        "Partition": "acc", "QOS": "normal", "State": "COMPLETED", "Submit": began, "Eligible": began,
        "Start": began, "End": str(ended), "ElapsedRaw": str(HOUR), "Suspended": "00:00:00",
        "TimelimitRaw": "60", "AllocTRES": books.FOUR_GPUS, "NodeList": "a1",
    }  # fmt: skip
    return "|".join(known[name] for name in FIELDS)


@dataclass
class Node:
    """A node of eight GPUs, and its agent."""

    folder: Path
    gpus: FakeNvml
    port: int = field(default_factory=programs.free_port)
    agent: ExitStack = field(default_factory=ExitStack)

    def boot(self) -> None:
        """What its agent knew before is gone."""
        self.agent.close()
        options = [f"--web.listen-address=127.0.0.1:{self.port}", "--interval=500ms", "--deadline=450ms"]
        options += [f"--jobs.directory={self.folder}", "--no-collector.kernel-log"]
        self.agent.enter_context(running(self.gpus.environment(), *options))


@dataclass
class Scene:
    """A daemon, nodes, and all that watches them."""

    folder: Path
    store: Store
    slurm: Slurm
    clock: Clock
    nodes: dict[str, Node]
    prometheus: str = ""
    told: list[tuple[str, Alert]] = field(default_factory=list)

    def grant(self, hours: int) -> None:
        """The consortium file with another amount for the small award, applied."""
        file, opsd = str(self.folder / "consortium.toml"), ["--db", self.store.shown]
        assert 0 == main([*opsd, "consortium", "export", file])
        text, count = re.subn(
            r'(id = "small"\n(?:.+\n)*?amount = )\d+', rf"\g<1>{hours}", Path(file).read_text()
        )
        Path(file).write_text(text)
        assert 1 == count
        assert 0 == main([*opsd, "consortium", "apply", file, "--reason", "the project asked for it"])

    def compare(self, residual: int) -> None:
        """A certificate of the last day in which Slurm counts so many seconds more."""
        now = int(self.clock())
        day = Window(now // DAY * DAY - DAY, now // DAY * DAY)
        cell = Cell("root", "", "cpu", 1_000_000, 1_000_000 + residual, (0,) * len(CAUSES))
        made = Certificate(
            CLUSTER, day, day, "UTC", now, "sreport", ("cpu",), (cell,), (), (), {}, hours_not_added_up=0
        )
        reconcile.keep(self.store, made, "{}")

    def left(self) -> int:
        """What is left of the small award."""
        with self.store.read() as connection:
            lines = balance.run(connection, as_of=int(self.clock())).lines
        return next(line.left for line in lines if line.key == "small")

    def status(self, name: str) -> list[str]:
        """What was told of a fault, first to last."""
        wanted = FAULTS[name].items()
        alerts = [alert for _, alert in self.told if alert["labels"]["alertname"] == name]
        return [alert["status"] for alert in alerts if wanted <= alert["labels"].items()]

    def is_seen(self) -> bool:
        """Whether Prometheus has the award and both nodes with all their GPUs."""
        query = (
            "count(opsd_gpu_devices_visible == 8) == 2 and on () opsd_award_over_quota{award='small'} == 0"
        )
        url = f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(json.load(answer)["data"]["result"])

    def wait_until(self, what: str, place: int, faults: Iterable[str] = FAULTS) -> None:
        """Until each of these was told of so, first (0) or last (-1)."""

        def missing() -> list[str]:
            return [name for name in faults if self.status(name)[place:][:1] != [what]]

        wait_for(lambda: not missing(), lambda: f"not {what}: {missing()}; told: {self.seen()}")

    def seen(self) -> list[tuple[str, str]]:
        """For whoever reads a failure."""
        return [(alert["labels"]["alertname"], alert["status"]) for _, alert in self.told]


def wait_for(holds: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Until something is so."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.2)


@pytest.fixture
def scene(tmp_path: Path, nvml_library: Path, sqlite_url: str) -> Iterator[Scene]:
    """All of it, sound: the small award has three hours left, and Slurm answers."""
    for program in ("prometheus", "prometheus-alertmanager"):
        programs.require(program)
    clock = Clock()
    with ExitStack() as stack:
        store = open_engine(sqlite_url)
        stack.callback(store.close)
        books.fill(store)
        nodes = {name: node(tmp_path / name, nvml_library) for name in ("a1", "a2")}
        made = Scene(tmp_path, store, Slurm(clock), clock, nodes)
        made.grant(15)
        made.compare(0)
        for one in nodes.values():
            stack.callback(one.agent.close)
            one.boot()
        daemon = Daemon(
            store, settings(sqlite_url, ingest_seconds=1, balances_seconds=1),
            [ClusterSources(made.slurm, since="1 day")], clock, wall=clock, beat_seconds=0.5,
            steps=named(["ingest", "rebuild", "balances"]),
        )  # fmt: skip
        daemon.start()
        stack.callback(daemon.stop)
        watch(stack, made, daemon.url)
        yield made


def node(folder: Path, library: Path) -> Node:
    """A node that no job is on."""
    folder.mkdir()
    return Node(folder, FakeNvml(library, folder.with_suffix(".nvml"), {"gpus": 8, "seed": folder.name[-1]}))


def watch(stack: ExitStack, scene: Scene, daemon: str) -> None:
    """Prometheus and Alertmanager with what `opsd dashboards build` writes, quickened."""
    hook = stack.enter_context(receiver(lambda name, alert: scene.told.append((name, alert))))
    built, ports = scene.folder / "built", [programs.free_port(), programs.free_port()]
    build(built, Site(alertmanager=f"127.0.0.1:{ports[0]}", receiver=hook))
    targets = {
        "daemon": [{"targets": [daemon.removeprefix("http://")], "labels": {}}],
        "nodes": [
            {"targets": [f"127.0.0.1:{one.port}"], "labels": {"cluster": CLUSTER, "node": name}}
            for name, one in scene.nodes.items()
        ],
    }
    for name, some in targets.items():
        (built / "targets" / f"{name}.json").write_text(json.dumps(some))
    quicken(built, PACE, ranges=True)
    patient(built / "prometheus.yml")
    stack.enter_context(
        programs.alertmanager(built / "alertmanager.yml", scene.folder / "alertmanager", ports[0])
    )
    scene.prometheus = stack.enter_context(
        programs.prometheus(built / "prometheus.yml", scene.folder / "prometheus", ports[1])
    )


def patient(config: Path) -> None:
    """A scrape may take a second, and so comes each second: the machine may have other things to do."""
    read = yaml.safe_load(config.read_text())
    read["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config.write_text(yaml.safe_dump(read))


@pytest.mark.prometheus
@pytest.mark.slow
def test_each_fault_is_told_and_its_end_too(scene: Scene) -> None:
    """Six faults at once, each with labels of its own; nothing was said before, nothing is left after."""
    wait_for(scene.is_seen, lambda: "Prometheus sees too little")
    assert [] == [name for name in FAULTS if scene.status(name)]

    cause(scene)
    scene.wait_until("firing", 0, ["OpsdStepStale"])
    scene.slurm.away = False  # the longer it is away, the longer the daemon waits before it asks again
    scene.wait_until("firing", 0)
    mend(scene)
    scene.wait_until("resolved", -1)

    receivers = {alert["labels"]["alertname"]: name for name, alert in scene.told}
    assert {
        "OpsdAwardOverQuota": "allocations-pt", "OpsdGpuHung": "on-call", "OpsdGpuXid": "on-call",
        "OpsdGpuMissing": "operations", "OpsdStepStale": "operations", "OpsdUsageUnexplained": "operations",
    } == {name: receivers[name] for name in FAULTS}  # fmt: skip


def cause(scene: Scene) -> None:
    """Six faults; Slurm goes when its last job has been charged."""
    first, second = scene.nodes.values()
    scene.slurm.work()  # four GPU-hours, and three are left
    first.gpus.set(xid="1:5:79", hang__3=1)
    second.gpus.set(gpus=7)
    second.boot()
    wait_for(lambda: scene.left() < 0, lambda: "the job is not charged")
    scene.slurm.away = True
    scene.clock.put_forward(600)
    scene.compare(7_200)


def mend(scene: Scene) -> None:
    """More hours, books that agree, a driver that answers, a GPU that is back."""
    scene.grant(40)
    scene.compare(0)
    first, second = scene.nodes.values()
    first.gpus.set(xid=None, hang__3=None)
    second.gpus.set(gpus=8)
    for one in (first, second):
        one.boot()
