"""Everything that Grafana, Prometheus and Alertmanager read, as files.

Invariant: the same version and site give the same bytes, so that a review reads the difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from dashboards import configuration
from dashboards.configuration import Site
from dashboards.recording import RECORDED_BY_NAME
from exporters.catalogue import BY_NAME

_NAME = re.compile(r"\bopsd[_:][a-zA-Z0-9_:]+")
MISSING = "the package grafana-foundation-sdk is missing: install opsd-hpc[dashboards]"


class BuildFailed(Exception):
    """The files cannot be made or written."""


def boards() -> dict[str, dict[str, Any]]:
    """Every dashboard as Grafana's JSON, by uid, in the order of a morning's round.

    Raises:
        BuildFailed: the SDK is missing, two dashboards have one uid, or one asks for what nobody publishes.
        UnknownName: the same, found where the query is made.
    """
    try:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder

        built = [module.dashboard().build() for module in _modules()]
    except ModuleNotFoundError as err:
        if str(err.name).startswith("grafana_foundation_sdk"):
            raise BuildFailed(MISSING) from err
        raise
    found = [_newer(json.loads(JSONEncoder().encode(board))) for board in built]
    uids = [board["uid"] for board in found]
    if twice := sorted({uid for uid in uids if uids.count(uid) > 1}):
        raise BuildFailed(f"two dashboards have the uid {twice[0]}: give each its own in dashboards/uids.py")
    for board in found:
        check(board)
    return dict(zip(uids, found, strict=True))


def check(board: dict[str, Any]) -> None:
    """Every name in its queries is one that a page or a rule has, however it came into them.

    Raises:
        BuildFailed: one is not, and where it stands.
    """
    asked = [(it["title"], query["expr"]) for it in board["panels"] for query in it.get("targets", ())]
    asked += [(it["name"], it["definition"]) for it in board["templating"]["list"] if it.get("definition")]
    for where, expression in asked:
        if unknown := sorted(set(_NAME.findall(expression)) - BY_NAME.keys() - RECORDED_BY_NAME.keys()):
            raise BuildFailed(
                f"dashboard {board['title']!r}, {where!r}: neither exporters/catalogue.py nor"
                f" dashboards/recording.py has {unknown[0]}"
            )


def _modules() -> tuple[ModuleType, ...]:
    """One row a dashboard; each module has `dashboard()`. Imported late: they need the SDK."""
    from dashboards import (
        allocations,
        countries_and_funders,
        factory_overview,
        gpu_fleet,
        gpu_node,
        job,
        opsd_itself,
        slurm_queue,
        waste,
    )

    return (
        factory_overview,
        gpu_fleet,
        gpu_node,
        job,
        slurm_queue,
        allocations,
        countries_and_funders,
        waste,
        opsd_itself,
    )


def _newer(board: dict[str, Any]) -> dict[str, Any]:
    """What Grafana 12.2 and later look for in another place than those before, in both."""
    for panel in board["panels"]:
        if panel["type"] == "table" and panel["options"].get("footer", {}).get("enablePagination"):
            panel["options"]["enablePagination"] = True
    return board


def files(site: Site = Site()) -> dict[str, str]:  # noqa: B008 (frozen)
    """Every file, by its path below the folder."""
    made = {f"grafana/dashboards/{uid}.json": _pretty(board) for uid, board in boards().items()}
    from dashboards.rules import recording_rules, rules  # after boards(): alerts name panels, and so the SDK

    made["rules/opsd-recorded.yml"] = recording_rules()
    made["rules/opsd.yml"] = rules(site.grafana, site.runbook)
    made["prometheus.yml"] = configuration.prometheus(site)
    made["alertmanager.yml"] = configuration.alertmanager(site)
    made |= {f"targets/{name}": text for name, text in configuration.targets().items()}
    made |= {f"grafana/provisioning/{name}": text for name, text in configuration.grafana(site).items()}
    return made


def build(folder: Path, site: Site = Site()) -> list[Path]:  # noqa: B008 (frozen)
    """Write every file; lists of targets that are there already are kept.

    Raises:
        BuildFailed: a package is missing, or the folder cannot be written.
    """
    written = []
    for name, text in files(site).items():
        path = folder / name
        if name.startswith("targets/") and path.exists():
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as err:
            raise BuildFailed(f"{path}: {err.strerror}: choose another folder with --to") from err
        written.append(path)
    return written


def left_over(folder: Path, written: Iterable[Path]) -> list[Path]:
    """Dashboards in the folder that were not made now: Grafana reads every file there."""
    return sorted(set((folder / "grafana" / "dashboards").glob("*.json")) - set(written))


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
