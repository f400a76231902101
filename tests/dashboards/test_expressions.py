"""Whose a GPU is: what the recorded shares come to, by Prometheus' own evaluation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.recording import RECORDED_BY_NAME
from tests.stack.programs import require

GPU = 'cluster="c", node="n", uuid="G1"'
# A job that ended in minute 10 without a mark of its end, and two that share the GPU from then on.
JOBS = {
    f'opsd_gpu_job_info{{{GPU}, jobid="1", account="es-a", user="u"}}': "1x10",
    f'opsd_gpu_job_info{{{GPU}, jobid="2", account="pt-b", user="u"}}': "_x10 0.5x20",
    f'opsd_gpu_job_info{{{GPU}, jobid="3", account="whose", user="u"}}': "_x10 0.5x20",
}
# Two jobs on three MIG devices of another node's GPU, beside the GPU's own readings.
OTHER = 'cluster="c", node="m", parent="G2", account="es-a"'
MIG = {
    f'opsd_gpu_job_info{{{OTHER}, uuid="{uuid}", jobid="{job}"}}': "1x40"
    for uuid, job in (("MIG-1", "4"), ("MIG-2", "4"), ("MIG-3", "5"))
}
ACCOUNTS = {
    f'opsd_account_info{{cluster="c", account="{account}", project="{project}", country="{country}"}}': "1x40"
    for account, project, country in (("es-a", "A", "ES"), ("pt-b", "B", "PT"), ("pt-b", "B2", "PT"))
}


def told(
    expression: str, minute: int, expected: dict[str, float], folder: Path, jobs: dict[str, str] = JOBS
) -> str:
    """What promtool has to object."""
    promtool = require("promtool")
    series = [{"series": name, "values": values} for name, values in (jobs | ACCOUNTS).items()]
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    asked: dict[str, Any] = {"expr": expression, "eval_time": f"{minute}m", "exp_samples": samples}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    (folder / "test.yml").write_text(yaml.safe_dump({"tests": [test]}))
    command = [promtool, "test", "rules", "test.yml"]
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def written_out(name: str) -> str:
    """A recorded series by what it is made of, down to what pages have."""
    return re.sub(r"opsd:\w+:\w+", lambda it: f"({written_out(it[0])})", RECORDED_BY_NAME[name].expr)


SHARES, HELD = written_out("opsd:gpu_jobs:share"), written_out("opsd:gpu_held:share")


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("minute", "expected"),
    [
        (5, {"ES": 1.0}),
        (12, {"ES": 0.5, "PT": 0.25, "unattributed": 0.25}),  # Prometheus still looks back on the first job
        (20, {"PT": 0.5, "unattributed": 0.5}),
    ],
)
def test_a_gpu_is_held_once(minute: int, expected: dict[str, float], tmp_path: Path) -> None:
    """By country, whoever shares it, and while the job before is not seen to have ended."""
    samples = {f'{{country="{country}"}}': value for country, value in expected.items()}

    assert "" == told(f"sum by (country) ({HELD})", minute, samples, tmp_path)
    assert "" == told(f"sum ({SHARES})", minute, {"{}": 1.0}, tmp_path)


@pytest.mark.prometheus
def test_jobs_on_mig_devices_share_their_gpu(tmp_path: Path) -> None:
    """They stand on the GPU, which counts once, by how many of its devices each holds."""
    gpu = 'cluster="c", node="m", uuid="G2", account="es-a"'
    expected = {f'{{{gpu}, jobid="4"}}': 2 / 3, f'{{{gpu}, jobid="5"}}': 1 / 3}

    assert "" == told(SHARES, 20, expected, tmp_path, MIG)
    assert "" == told(f"sum ({HELD})", 20, {"{}": 1.0}, tmp_path, MIG)
