"""A day of a machine that does not exist, as Prometheus' own blocks: something to draw a dashboard from.

Run it:  python tests/stack/history.py FOLDER   then   prometheus --storage.tsdb.path=FOLDER/tsdb …
Allocations and jobs are the demonstration's; readings of GPUs are made up, and one of them is lost.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from collectors.simulated.live import Holding, LiveFactory
from exporters.catalogue import BY_NAME
from exporters.page import Page
from opsd.pipeline import demo
from opsd.store import migrate
from opsd.store.engine import open_engine

DAY, STEP, SEED, NODES, GPUS = 86_400, 120, 1, 4, 4
CLUSTER, LOST = "demo", (2, 1)  # the node's place and the GPU that is lost in the last half hour
GIB = 2**30
STEPS = {"ingest": (900, 4.2), "rebuild": (900, 1.1), "balances": (300, 0.4), "housekeeping": (172_800, 2.0)}

Sample = tuple[str, dict[str, str], float, float]  # name, labels, value, seconds


def write(folder: Path, until: int) -> None:
    """Blocks of the day before `until`, below `folder`/tsdb."""
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "day.om"
    with text.open("w", encoding="utf-8") as out:
        for name, samples in by_family(day(folder, until)).items():
            family = name.removesuffix("_total")
            kind = BY_NAME[name].kind if name in BY_NAME else "gauge"
            out.write(f"# TYPE {family} {kind}\n")
            out.writelines(samples)
        out.write("# EOF\n")
    command = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--max-block-duration=240h",
        "--quiet",
    ]
    subprocess.run([*command, str(text), str(folder / "tsdb")], check=True)


def by_family(samples: Iterator[Sample]) -> dict[str, list[str]]:
    """OpenMetrics wants a family's samples together."""
    found: dict[str, list[str]] = {}
    for name, labels, value, at in samples:
        shown = ",".join(f'{key}="{text}"' for key, text in labels.items())
        found.setdefault(name, []).append(f"{name}{{{shown}}} {value} {at}\n")
    return found


def day(folder: Path, until: int) -> Iterator[Sample]:
    """All samples of the day."""
    from opsd.pipeline import figures

    start = until - DAY
    factory = LiveFactory(start, SEED)
    nodes = factory.busy_nodes(start, NODES)
    store = open_engine(f"sqlite:///{folder / 'opsd.db'}")
    migrate.ensure_current(store)
    (folder / "demo").mkdir(exist_ok=True)
    demo.prepare(folder / "demo", until, SEED)
    demo.run(store, folder / "demo", until)
    ends = [balances(figures.run(store, now=moment)) for moment in (start, until)]
    store.close()
    for at in range(start, until + 1, STEP):
        yield from daemon(at, (at - start) / DAY, *ends)
        holdings = factory.holdings(at, nodes)
        for place, node in enumerate(nodes):
            mine = [it for it in holdings if it.node == node]
            sick = {LOST[1]} if place == LOST[0] and at > until - 1_800 else set()
            yield from agent(node, at, mine, sick, until)


def balances(figures: object) -> Page:
    """The daemon's page at one moment."""
    from exporters import balances as made

    return made.page(figures)


def daemon(at: int, part: float, first: Page, last: Page) -> Iterator[Sample]:
    """The daemon's page, moved from the first to the last by `part`."""
    target = {"job": "opsd", "instance": "127.0.0.1:9750"}
    yield "up", target, 1, at
    yield "opsd_page_timestamp_seconds", target, at, at
    yield "opsd_balances_as_of_timestamp_seconds", target, at, at
    for name, metric in BY_NAME.items():
        shown = {} if name == "opsd_balances_as_of_timestamp_seconds" else last.series(name)
        for key, value in shown.items():
            labels = target | dict(zip(metric.labels, key, strict=True))
            before = first.series(name).get(key, value)
            moved = before + (value - before) * part if name.startswith("opsd_award") else value
            if name.endswith(("over_quota", "reached_ratio")):
                moved = value if part > 0.8 else before
            yield name, labels, moved, at
    yield "opsd_ingest_covered_timestamp_seconds", target | {"cluster": CLUSTER}, at - 120 - at % 300, at
    for step, (stale, seconds) in STEPS.items():
        labels, since = target | {"step": step}, at - at % (stale // 3)
        yield "opsd_step_success", labels, 1, at
        yield "opsd_step_last_success_timestamp_seconds", labels, since, at
        yield "opsd_step_next_timestamp_seconds", labels, since + stale // 3, at
        yield "opsd_step_stale_after_seconds", labels, stale, at
        yield "opsd_step_duration_seconds", labels, round(seconds * (1 + noise(step, at) / 3), 2), at
        yield "opsd_step_consecutive_failures", labels, 0, at


def agent(node: str, at: int, holdings: list[Holding], sick: set[int], until: int) -> Iterator[Sample]:
    """One node's page."""
    target = {"job": "opsd-node", "instance": f"{node}:9751", "cluster": CLUSTER, "node": node}
    yield "up", target, 1, at
    yield "opsd_page_timestamp_seconds", target, at, at
    yield "opsd_gpu_devices_visible", target, GPUS, at
    yield "opsd_gpu_job_unresolved", target, 0, at
    yield "opsd_node_collector_up", target | {"collector": "nvml"}, 1, at
    held = {gpu: it for it in holdings for gpu in it.gpus}
    for gpu in range(GPUS):
        uuid = "GPU-" + hashlib.sha256(f"{node}/{gpu}".encode()).hexdigest()[:12]
        labels = target | {"gpu": str(gpu), "uuid": uuid}
        yield "opsd_gpu_up", labels, int(gpu not in sick), at
        yield "opsd_gpu_hung", labels, 0, at
        yield "opsd_gpu_lost", labels, int(gpu in sick), at
        if it := held.get(gpu):
            job = {"uuid": uuid, "jobid": str(it.job), "account": it.account, "user": it.user}
            yield "opsd_gpu_job_info", target | job, 1, at
        if gpu not in sick:
            yield from readings(labels, at, it.job if it else 0, gpu)
        else:
            xid = labels | {"xid": "79"}
            yield "opsd_gpu_xid_errors_total", xid, 1, at
            yield "opsd_gpu_xid_last_timestamp_seconds", xid, until - 1_750, at


def readings(labels: dict[str, str], at: int, job: int, gpu: int) -> Iterator[Sample]:
    """A job works as hard as it does: some always, some in turns, some hardly."""
    level = 0.0
    if job:
        habit = noise("habit", job)
        level = max(0.0, 0.97 - habit * habit * 0.9 + 0.05 * math.sin(at / 600 + gpu) - 0.08 * noise(job, at))
        if noise("turns", job) > 0.7 and (at // 900 + job) % 3 == 0:
            level *= 0.2
    watts = 70 + level * 560
    values = {
        "opsd_gpu_utilization_ratio": round(level, 2),
        "opsd_gpu_memory_total_bytes": 64 * GIB,
        "opsd_gpu_memory_used_bytes": int((0.25 + 0.65 * noise("memory", job)) * 64 * GIB) if job else 0,
        "opsd_gpu_power_average_watts": round(watts, 1),
    }
    for name, value in values.items():
        yield name, labels, value, at
    degrees = round(31 + watts / 15 + 3 * noise("air", gpu))
    yield "opsd_gpu_temperature_celsius", labels | {"sensor": "gpu"}, degrees, at


def noise(*what: object) -> float:
    """A number from 0 to 1 that is always the same for the same."""
    digest = hashlib.blake2b(repr(what).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder, int(time.time()) // STEP * STEP)
