"""A real Slurm of two GPU nodes without accounting, on which opsd's own prolog and epilog run.

`python -m tests.slurm.gpu_nodes FOLDER ZONE` brings it up as `cluster` does. Each node's slurmd runs the
scripts with a job folder of its own, FOLDER/jobs-NODE, since all of them are on one machine.

Invariant: the scripts are those that a site installs; all that is added is where they write.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tests.slurm import cluster, configuration
from tests.slurm.cluster import REPOSITORY, Daemons, Slurm

NODES = ("n1", "n2", "n3")
SCRIPT = """\
#!/bin/sh
env | sort >{folder}/said-{name}-$SLURMD_NODENAME-$SLURM_JOB_ID
OPSD_JOBS_DIRECTORY={folder}/jobs-$SLURMD_NODENAME exec {folder}/opsd-{name}
"""
CHANGED = {
    "AccountingStorageType=accounting_storage/slurmdbd": "AccountingStorageType=accounting_storage/none",
    "AccountingStorageEnforce=associations,limits,qos\n": "",
    "AccountingStorageTRES=gres/gpu,gres/gpu:h100\n": "",
    ",GRES/gpu=8.0": "",
    "PreemptType=preempt/qos\nPreemptMode=REQUEUE\n": "",
    "cred_expire=15": "cred_expire=5",  # a requeued job waits for it
}
# Beside whole GPUs, n2 gives parts of its last one as shards and n3 as shares of CUDA MPS.
PARTS = {"n2": "shard:4", "n3": "mps:100"}
MORE = "Prolog={folder}/prolog\nEpilog={folder}/epilog\nPrologFlags=Alloc\n"


class GpuNodes(Daemons):
    """The processes of this one."""

    def configure(self) -> None:
        """The usual files, without accounting and with the scripts."""
        super().configure()
        path = self.folder / "slurm.conf"
        text = path.read_text()
        for old, new in CHANGED.items():
            assert old in text, old
            text = text.replace(old, new)
        text = text.replace("GresTypes=gpu", "GresTypes=gpu,shard,mps")
        for node, parts in PARTS.items():
            text = re.sub(rf"(NodeName={node} .* Gres=\S+)", rf"\1,{parts}", text)
        with (self.folder / "gres.conf").open("a") as gres:
            for node, parts in PARTS.items():
                name, _, count = parts.partition(":")
                device = self.folder / "dev" / f"gpu{configuration.GPUS - 1}"
                gres.write(f"NodeName={node} Name={name} Count={count} File={device}\n")
        path.write_text(text + MORE.format(folder=self.folder))
        for name in ("prolog", "epilog"):
            shutil.copy(REPOSITORY / "systemd" / "slurm" / f"opsd-{name}", self.folder)
            script = self.folder / name
            script.write_text(SCRIPT.format(folder=self.folder, name=name))
            script.chmod(0o755)

    def up(self) -> None:
        """Start what jobs need, and no more."""
        self.start("munged")
        self._until(
            "munged", lambda: self._says("munge", "-S", f"{self.folder}/munge.sock", "-n") is not None
        )
        for name in ("slurmctld", *NODES):
            self.start(name)
        self._until("slurmctld", self._are_nodes_idle)

    def _are_nodes_idle(self) -> bool:
        return (self._says("sinfo", "-h", "-N", "-n", ",".join(NODES), "-o", "%T") or "").split() == [
            "idle"
        ] * len(NODES)


class SlurmOfGpus(Slurm):
    """As its tests see it."""

    module = "tests.slurm.gpu_nodes"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "UTC", jobs=True)
        for node in NODES:
            (folder / f"jobs-{node}").mkdir()


if __name__ == "__main__":
    cluster.main(GpuNodes(Path(sys.argv[1]), sys.argv[2]))
