"""`make screens PREVIEW=FOLDER`: every dashboard drawn against the stack, and what is wrong with it.

The 1600 pixels wide, dark picture goes to docs/screens/, the others and the reports to build/screens/.
Invariant: it ends with 1 when any report has a fault; what it starts it stops.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))  # started as a program: `tests` is beside `opsd`

from dashboards import uids
from dashboards.build import boards
from dashboards.quiet import ALLOWED_EMPTY
from opsd.cli import signals
from opsd.core.names import nearest
from tests.stack import run
from tests.stack.past_rules import ask
from tests.stack.pictures import Fault, faults, squeeze

ROOT = Path(__file__).parents[2]
NEEDS = {
    "node": "nodejs", "npm": "npm", "chromium": "chromium", "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
}  # fmt: skip
FOLDER, DOCS = ROOT / "build" / "screens", ROOT / "docs" / "screens"
COPY = ROOT / "build" / "preview"
SETTLE_SECONDS = 60  # of living, after every rule has been evaluated: rates over minutes have something
MOST_BYTES = 300_000
PACE = 5


class Look(NamedTuple):
    """A way to draw a dashboard."""

    width: int
    theme: str


LOOKS = tuple(Look(width, theme) for width in (1600, 1000) for theme in ("dark", "light"))


class CannotDraw(Exception):
    """Something is missing, or the preview failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, judge, tell."""
    args = options(arguments)
    try:
        wanted = chosen(args.boards)
        preview = prepare(args.preview)
        with prometheus(args) as url:
            found = [fault for board in wanted for fault in draw(board, preview, url)]
    except (CannotDraw, run.Interrupted) as err:
        print(f"make screens: {err}", file=sys.stderr)
        return 1
    show(found)
    return 1 if found else 0


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preview", type=Path, help="folder of grafana-preview")
    parser.add_argument("--boards", default="", help="uids with or without opsd-, by commas (default: all)")
    parser.add_argument("--prometheus", help="one that runs already, instead of a stack")
    parser.add_argument("--history-days", type=float, default=30, help="(default: 30)")
    return parser.parse_args(arguments)


def chosen(text: str) -> list[dict[str, Any]]:
    """The dashboards that are asked for."""
    every = boards()
    names = [name if name in every else f"opsd-{name}" for name in text.replace(",", " ").split()]
    for name in names:
        if name not in every:
            known = [uid.removeprefix("opsd-") for uid in every]
            raise CannotDraw(f"BOARDS: no dashboard {name!r}" + nearest(name, known, " ".join(known)))
    return [every[name] for name in names or every]


def prepare(preview: Path | None) -> Path:
    """A copy of the preview that may be written to; what it needs is there."""
    if missing := [name for name in NEEDS if not shutil.which(name)]:
        packages = " ".join(sorted({NEEDS[name] for name in missing}))
        raise CannotDraw(f"{' and '.join(missing)} not found: apt-get install {packages}")
    if preview is None or not (preview / "preview.mjs").is_file():
        where = f"{preview} has no preview.mjs" if preview else "no folder is named"
        raise CannotDraw(f"{where}: PREVIEW=FOLDER, that of grafana-preview")
    shutil.copytree(
        preview, COPY, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules", "dist", ".tmp")
    )
    _node(["preview.mjs", "--build-only"])
    return COPY


@contextmanager
def prometheus(args: argparse.Namespace) -> Iterator[str]:
    """One with the history and the living demonstration in it."""
    if args.prometheus:
        yield args.prometheus.rstrip("/")
        return
    asked = run.options([
        "--dir", str(ROOT / "build" / "screens-demo"), "--port", "0", "--prometheus-port", "0",
        "--alertmanager-port", "0", "--pace", str(PACE), "--history-days", str(args.history_days),
    ])  # fmt: skip
    with signals.told() as ends, run.stack(asked, ends) as servers:
        print("waiting for the rules, and a little more ...", flush=True)
        until = time.monotonic() + SETTLE_SECONDS
        while not are_evaluated(servers.prometheus) or time.monotonic() < until:
            time.sleep(1)
            if not ends.empty():
                raise run.Interrupted
        yield servers.prometheus


def are_evaluated(url: str) -> bool:
    """Whether every rule has been, at least once."""
    groups = ask(url, "rules")["groups"]
    return bool(groups) and all(rule["health"] != "unknown" for group in groups for rule in group["rules"])


def draw(board: dict[str, Any], preview: Path, url: str) -> Iterator[Fault]:
    """All looks of a dashboard; a fault that each of them has is told once."""
    uid, told = board["uid"], set[Fault]()
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{uid}.json"
    file.write_text(json.dumps(board), encoding="utf-8")
    for look in LOOKS:
        name = f"{uid}-{look.width}-{look.theme}"
        report = FOLDER / f"{name}.report.json"
        _node([
            "preview.mjs", "--dashboard", str(file), "--prom", url, "--out", str(FOLDER / f"{name}.png"),
            "--report", str(report), "--width", str(look.width), "--theme", look.theme, "--timezone", "UTC",
            *(part for text in variables(uid, url) for part in ("--var", text)),
        ], preview)  # fmt: skip
        found = json.loads(report.read_text(encoding="utf-8"))
        for fault in faults(uid, found, ALLOWED_EMPTY.get(uid, {})):
            if fault not in told:
                told.add(fault)
                yield fault._replace(what=f"{look.width} {look.theme}: {fault.what}")
    _publish(uid)


def _publish(uid: str) -> None:
    picture = DOCS / f"{uid}.png"
    DOCS.mkdir(parents=True, exist_ok=True)
    shutil.copy(FOLDER / f"{uid}-{LOOKS[0].width}-{LOOKS[0].theme}.png", picture)
    size = squeeze(picture)
    print(
        f"  {picture.relative_to(ROOT)}: {size:,} bytes" + (", large" if size > MOST_BYTES else ""),
        flush=True,
    )


def variables(uid: str, url: str) -> list[str]:
    """What somebody would choose: a node with many jobs, a job that computes on several GPUs."""
    if uid == uids.NODE:
        return [f"node={_first(url, 'topk(1, count by (node) (opsd_gpu_job_info))', 'node')}"]
    if uid == uids.JOB:
        busy = "opsd_gpu_job_info * on (uuid) group_left () (opsd_gpu_utilization_ratio > 0.3)"
        several = f"topk(1, count by (jobid) ({busy}) > 1)"
        return [f"jobid={_first(url, several, 'jobid') or _first(url, f'topk(1, {busy})', 'jobid')}"]
    return []


def _first(url: str, query: str, label: str) -> str:
    found = ask(url, "query", query=query)["result"]
    return str(found[0]["metric"][label]) if found else ""


def _node(command: Sequence[str], folder: Path = COPY) -> None:
    done = subprocess.run(["node", *command], cwd=folder, check=False, capture_output=True, text=True)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        raise CannotDraw(f"{' '.join(command[:3])}: {done.stderr.strip()}")


def show(found: Sequence[Fault]) -> None:
    """A table."""
    if not found:
        print("every dashboard is as it should be")
        return
    width = max(len(it.title) for it in found)
    for it in sorted(found, key=lambda it: (it.uid, it.panel or 0, it.what)):
        print(f"{it.uid:18} {it.panel or '':>4} {it.title:{width}}  {it.what}")
    print(f"{len(found)} faults")


if __name__ == "__main__":
    raise SystemExit(main())
