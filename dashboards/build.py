"""Everything that Grafana, Prometheus and Alertmanager read, as files.

Invariant: the same version and site give the same bytes, so that a review reads the difference.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dashboards import configuration
from dashboards.configuration import Site

# One row a dashboard, in the order of a morning's round; each module has `dashboard()`.
BOARDS = (
    "factory_overview",
    "gpu_fleet",
    "gpu_node",
    "job",
    "slurm_queue",
    "allocations",
    "countries_and_funders",
    "waste",
    "opsd_itself",
)
MISSING = "the package grafana-foundation-sdk is missing: install opsd-hpc[dashboards]"


class BuildFailed(Exception):
    """The files cannot be made or written."""


def boards() -> dict[str, dict[str, Any]]:
    """Every dashboard as Grafana's JSON, by uid."""
    try:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder

        modules = [import_module(f"dashboards.{name}") for name in BOARDS if find_spec(f"dashboards.{name}")]
    except ModuleNotFoundError as err:
        if str(err.name).startswith("grafana_foundation_sdk"):
            raise BuildFailed(MISSING) from err
        raise
    built = [module.dashboard().build() for module in modules]
    found = [_newer(json.loads(JSONEncoder().encode(board))) for board in built]
    return {board["uid"]: board for board in found}


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


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
