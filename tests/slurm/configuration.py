"""What the daemons of the real Slurm read: nodes, partitions, limits, accounts and who is in them.

Invariant: everything listens on the loopback alone, and every path is inside the one folder.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

CLUSTER = "lab"
GPU_NODES, CPU_NODES = ("n1", "n2", "n3", "n4"), ("c1", "c2")
ODD_NODES = ("c3", "c4", "c5", "c6", "c7")  # what happens to these must not hit jobs that know nothing of it
NODES = GPU_NODES + CPU_NODES + ODD_NODES
GPUS = 4  # a node
# Accounts on Debian that have no other business here, so that none need be made.
USERS = {
    "games": ("es-bio", "pt-ml"),
    "news": ("es-cfd",),
    "mail": ("pt-ml",),
    "list": ("tr-llm",),
    # What happens to the jobs of these, text alone cannot count as Slurm does.
    "uucp": ("es-edge",),
    "irc": ("ro-geo",),
    "proxy": ("tr-chem", "pt-late"),
}
PLAIN_ACCOUNTS = ("es-bio", "es-cfd", "pt-ml", "tr-llm")
PARTITION_ASSOCIATION = ("tr-chem", "proxy", "gpu")
QOS = (("add", "qos", "low"), ("add", "qos", "high"), ("modify", "qos", "high", "set", "preempt=low"))
SLURM_CONF = """\
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=15
CredType=cred/munge
{loopback}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
PlugStackConfig=/dev/null
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SchedulerParameters=bf_interval=3,sched_interval=3,batch_sched_delay=0,sched_min_interval=0,permit_job_expansion
ReturnToService=1
InactiveLimit=0
MinJobAge=7200
KillWait=2
CompleteWait=0
PreemptType=preempt/qos
PreemptMode=REQUEUE
PriorityType=priority/basic
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass=socket={folder}/munge.sock
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu,gres/gpu:h100
GresTypes=gpu
PartitionName=DEFAULT MaxTime=1-0 DefaultTime=10
PartitionName=cpu Nodes={cpu_nodes} Default=YES TRESBillingWeights=CPU=1.0,Mem=0.25G
PartitionName=odd Nodes={odd_nodes} TRESBillingWeights=CPU=1.0,Mem=0.25G
PartitionName=gpu Nodes={gpu_nodes} TRESBillingWeights=CPU=1.0,Mem=0.25G,GRES/gpu=8.0
"""
NODE = (
    "NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs=16 Sockets=2"
    " CoresPerSocket=8 ThreadsPerCore=1 RealMemory=64000 {gres}"
)
GRES_CONF = "NodeName={gpu_nodes} Name=gpu Type=h100 File={folder}/dev/gpu[0-{last}]\n"
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd}
{loopback}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass=loopback
StorageLoc=slurm_acct_db
PrivateData=jobs,usage
"""
GRANTS = """\
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'loopback';
GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';
CREATE USER IF NOT EXISTS 'opsd'@'127.0.0.1' IDENTIFIED BY 'loopback';
GRANT SELECT ON slurm_acct_db.* TO 'opsd'@'127.0.0.1';
"""


def write(folder: Path, ports: Mapping[str, int], *, jobs: bool) -> None:
    """Write every file the daemons read; without `jobs`, those of slurmdbd alone."""
    folder.chmod(0o755)
    host = socket.gethostname().partition(".")[0]
    values = {"folder": folder, "host": host, "cluster": CLUSTER, "loopback": _loopback(host), **ports}
    values |= {"gpu_nodes": ",".join(GPU_NODES), "cpu_nodes": ",".join(CPU_NODES)}
    values["odd_nodes"] = ",".join(ODD_NODES)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    written = {
        "slurm.conf": "\n".join([*_nodes(ports), SLURM_CONF.format(**values)]),
        "slurmdbd.conf": SLURMDBD_CONF.format(**values),
        "grants.sql": GRANTS,
        "tree": tree(USERS),
        # Named, because slurmd looks for the mounted one even when nothing uses it: containers have none.
        "cgroup.conf": "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n",
        "gres.conf": GRES_CONF.format(**values, last=GPUS - 1),
    }
    for name, text in written.items():
        (folder / name).write_text(text)
    (folder / "slurmdbd.conf").chmod(0o600)
    if jobs:
        _make_devices(folder)


def _make_devices(folder: Path) -> None:
    for name in ("state", "dev", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    for gpu in range(GPUS):  # what /dev/null is: harmless, and a device
        os.mknod(folder / f"dev/gpu{gpu}", 0o666 | 0o020000, os.makedev(1, 3))


def _nodes(ports: Mapping[str, int]) -> list[str]:
    gres = f"Gres=gpu:h100:{GPUS}"
    return [
        NODE.format(name=name, port=ports[name], gres=gres if name in GPU_NODES else "") for name in NODES
    ]


def tree(users: Mapping[str, Sequence[str]]) -> str:
    """Who may use what, as `sacctmgr load` reads it: es-bio stands below es."""
    accounts = sorted({account for accounts in users.values() for account in accounts})
    countries = sorted({account.partition("-")[0] for account in accounts})
    lines = [f"Cluster - '{CLUSTER}':Fairshare=1:QOS='high,low,normal'", "Parent - 'root'"]
    lines += [_account(country) for country in countries]
    for country in countries:
        lines.append(f"Parent - '{country}'")
        lines += [_account(account) for account in accounts if account.partition("-")[0] == country]
    for account in accounts:
        lines.append(f"Parent - '{account}'")
        lines += [
            f"User - '{user}':DefaultAccount='{theirs[0]}'"
            for user, theirs in users.items()
            if account in theirs
        ]
        if account == PARTITION_ASSOCIATION[0]:
            _, user, partition = PARTITION_ASSOCIATION
            lines.append(f"User - '{user}':DefaultAccount='{users[user][0]}':Partition='{partition}'")
    return "\n".join(lines) + "\n"


def _account(name: str) -> str:
    return f"Account - '{name}':Description='{name}':Organization='lab'"


def _loopback(host: str) -> str:
    """Slurm listens where the host's own name leads to; if that is elsewhere, munge alone guards it."""
    try:
        inside = socket.gethostbyname(host).startswith("127.")
    except OSError:
        inside = False
    return "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if inside else ""
