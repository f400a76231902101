"""A real Slurm on the loopback: munged, mariadbd, slurmdbd, slurmctld and six slurmd in one folder.

`python cluster.py FOLDER ZONE` brings it up, says `up`, and takes orders on stdin (`stop slurmdbd`,
`start slurmdbd`), each answered by `done`. It goes down when its stdin ends, however that comes about,
and takes the folder with it.

Invariant: whatever it started, and whatever that started in turn, is a descendant of this one process
(which adopts orphans), and is killed by its own process id before this process ends.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CLUSTER = "lab"
GPU_NODES, CPU_NODES = ("n1", "n2", "n3", "n4"), ("c1", "c2")
NODES = GPU_NODES + CPU_NODES
GPUS = 4  # a node
# Accounts on Debian that have no other business here, so that none need be made.
USERS = {"games": ("es-bio", "pt-ml"), "news": ("es-cfd",), "mail": ("pt-ml",), "list": ("tr-llm",)}
PROGRAMS = (
    "munged", "munge", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch",
    "scancel", "scontrol", "sinfo", "squeue", "sacct", "sacctmgr", "sreport",
)  # fmt: skip
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
WAIT_SECONDS = 120
_SUBREAPER, _DEATH_SIGNAL = 36, 1

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
SchedulerParameters=bf_interval=3,sched_interval=3,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
InactiveLimit=0
MinJobAge=7200
KillWait=2
CompleteWait=0
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
"""


def missing() -> str | None:
    """What keeps a Slurm from running here; None if nothing does."""
    if os.geteuid() != 0:
        return "slurmd starts jobs as other users, which takes root"
    lacking = [name for name in PROGRAMS if not _found(name)]
    if lacking:
        return f"no {', '.join(lacking)} here: tests/needs.sh has the packages"
    for user in ("mysql", *USERS):
        try:
            pwd.getpwnam(user)
        except KeyError:
            return f"the account {user} does not exist on this machine"
    return None


def _found(name: str) -> bool:
    return any(os.access(Path(folder) / name, os.X_OK) for folder in PATH.split(":") if folder)


def environment(folder: Path, zone: str) -> dict[str, str]:
    """What daemons and clients of the Slurm in a folder are run with."""
    return {"PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf"), "TZ": zone, "LC_ALL": "C", "HOME": "/"}


class Daemons:
    """The processes of one Slurm."""

    def __init__(self, folder: Path, zone: str) -> None:
        self.folder = folder
        self.environment = environment(folder, zone)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        ports = free_ports(3 + len(NODES))
        self.ports = dict(zip(("sql", "ctld", "dbd", *NODES), ports, strict=True))
        self.commands: dict[str, list[str]] = {
            "munged": [
                "munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
                f"--socket={folder}/munge.sock", f"--pid-file={folder}/munged.pid",
                f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed",
            ],
            "mariadbd": [
                "mariadbd", "--no-defaults", f"--datadir={folder}/mysql", f"--socket={folder}/mysql/sql.sock",
                f"--pid-file={folder}/mysql/mariadbd.pid", f"--init-file={folder}/grants.sql",
                "--bind-address=127.0.0.1", f"--port={self.ports['sql']}", "--skip-name-resolve",
                "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-fast-shutdown=2",
                "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900",
                "--max-allowed-packet=64M", "--character-set-server=utf8mb4", "--performance-schema=OFF",
            ],
            "slurmdbd": ["slurmdbd", "-D"],
            "slurmctld": ["slurmctld", "-D", "-f", f"{folder}/slurm.conf"],
            **{name: ["slurmd", "-D", "-N", name, "-f", f"{folder}/slurm.conf"] for name in NODES},
        }  # fmt: skip

    def configure(self) -> None:
        """Write every file the daemons read."""
        folder = self.folder
        folder.chmod(0o755)
        for name in ("state", "dev", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        for gpu in range(GPUS):  # what /dev/null is: harmless, and a device
            os.mknod(folder / f"dev/gpu{gpu}", 0o666 | 0o020000, os.makedev(1, 3))
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        values = {"folder": folder, "host": socket.gethostname().partition(".")[0], "cluster": CLUSTER}
        values |= {"gpu_nodes": ",".join(GPU_NODES), "cpu_nodes": ",".join(CPU_NODES), **self.ports}
        values["loopback"] = _loopback(str(values["host"]))
        nodes = [
            NODE.format(
                name=name, port=self.ports[name], gres=f"Gres=gpu:h100:{GPUS}" if name in GPU_NODES else ""
            )
            for name in NODES
        ]
        written = {
            "slurm.conf": "\n".join([*nodes, SLURM_CONF.format(**values)]),
            "slurmdbd.conf": SLURMDBD_CONF.format(**values),
            "gres.conf": GRES_CONF.format(**values, last=GPUS - 1),
            # Named, because slurmd looks for the mounted one even when nothing uses it: containers have none.
            "cgroup.conf": "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n",
            "grants.sql": GRANTS,
            "tree": _tree(),
        }
        for name, text in written.items():
            (folder / name).write_text(text)
        (folder / "slurmdbd.conf").chmod(0o600)

    def up(self) -> None:
        """Start everything, each when what it needs answers."""
        self.start("munged")
        self._make_database()
        self.start("mariadbd", user="mysql")
        self._until(
            "munged", lambda: self._says("munge", "-S", f"{self.folder}/munge.sock", "-n") is not None
        )
        self._until("mariadbd", lambda: _listens(self.ports["sql"]))
        self.start("slurmdbd")
        self._until("slurmdbd", self._accounting_answers)
        if self._says("sacctmgr", "-i", "load", f"file={self.folder}/tree") is None:
            raise SystemExit(f"sacctmgr would not load {self.folder}/tree")
        for name in ("slurmctld", *NODES):
            self.start(name)
        self._until("slurmctld", lambda: (self._says("sinfo", "-h", "-N", "-o", "%T") or "").split() == _IDLE)

    def _make_database(self) -> None:
        made = self.folder / "mysql"
        made.mkdir()
        owner = pwd.getpwnam("mysql")
        os.chown(made, owner.pw_uid, owner.pw_gid)
        command = [
            "mariadb-install-db",
            "--no-defaults",
            "--user=mysql",
            f"--datadir={made}",
            "--skip-test-db",
        ]
        with (self.folder / "mariadb-install-db.log").open("wb") as log:
            subprocess.run(command, env=self.environment, stdout=log, stderr=log, check=True)

    def start(self, name: str, user: str | None = None) -> None:
        """Start one daemon in the foreground; it is told to end should this process be killed outright."""
        with (self.folder / f"{name}.out").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self.commands[name], cwd=self.folder, env=self.environment, user=user,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_end_with_parent,  # noqa: PLW1509
            )  # fmt: skip

    def order(self, word: str, name: str) -> None:
        """Stop or start a daemon, and wait until it has."""
        if word == "stop":
            self.running[name].terminate()
            self.running[name].wait()
        else:
            self.start(name)
            self._until(name, self._accounting_answers)

    def _accounting_answers(self) -> bool:
        return self._says("sacctmgr", "-nP", "show", "qos", "format=name") is not None

    def _says(self, *command: str) -> str | None:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else None

    def _until(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not ready():
            if self.running[name].poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} did not come up:\n{self._words(name)}")
            time.sleep(0.2)

    def _words(self, name: str) -> str:
        files = [
            file for file in self.folder.iterdir() if file.suffix in (".out", ".log") and name in file.name
        ]
        return "\n".join(line for file in files for line in file.read_text().splitlines()[-20:])


_IDLE = ["idle"] * len(NODES)


def _tree() -> str:
    """Who may use what, as `sacctmgr load` reads it."""
    accounts = sorted({account for accounts in USERS.values() for account in accounts})
    lines = [f"Cluster - '{CLUSTER}':Fairshare=1:QOS='normal'", "Parent - 'root'"]
    lines += [f"Account - '{account}':Description='{account}':Organization='lab'" for account in accounts]
    for account in accounts:
        lines.append(f"Parent - '{account}'")
        lines += [
            f"User - '{user}':DefaultAccount='{theirs[0]}'"
            for user, theirs in USERS.items()
            if account in theirs
        ]
    return "\n".join(lines) + "\n"


def _loopback(host: str) -> str:
    """Slurm listens where the host's own name leads to; if that is elsewhere, munge alone guards it."""
    try:
        inside = socket.gethostbyname(host).startswith("127.")
    except OSError:
        inside = False
    return "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if inside else ""


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# -- processes -------------------------------------------------------------------------------------


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


def _adopt_orphans() -> None:
    """Job steps daemonize themselves away from their slurmd: they become children of this process."""
    if ctypes.CDLL(None).prctl(_SUBREAPER, 1) != 0:
        raise SystemExit("this kernel lets no process adopt orphans: a Slurm could not be taken down whole")


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it has ended
            found.setdefault(parent, []).append(int(entry.name))
    return found


def _kill_descendants() -> None:
    """Nothing here is worth a polite end: the folder goes with it."""
    while True:
        children, below = _children(), [os.getpid()]
        for parent in below:
            below.extend(children.get(parent, ()))
        if len(below) == 1:
            return
        for pid in below[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        _reap()
        time.sleep(0.05)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def main(folder: Path, zone: str) -> None:
    """Up, orders, down."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; their end ends this, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _adopt_orphans()
    try:
        daemons = Daemons(folder, zone)
        daemons.configure()
        daemons.up()
        print("up", flush=True)
        for line in sys.stdin:
            daemons.order(*line.split())
            print("done", flush=True)
    finally:
        _kill_descendants()
        shutil.rmtree(folder)


class Slurm:
    """The Slurm of this test session, as its tests see it."""

    def __init__(self, folder: Path, hour_ends: int) -> None:
        self.folder = folder
        self.hour_ends = hour_ends
        self.zone = f"LAB-0:{-hour_ends % 3600 // 60:02d}:{-hour_ends % 60:02d}"
        self.environment = environment(folder, self.zone)

    def up(self) -> None:
        """Bring it up in a process of its own, which ends when this one does."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, self.folder, self.zone],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._heard() == "up", f"no Slurm came up in {self.folder}"

    def down(self) -> None:
        """Take it down, and wait until nothing of it runs."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def order(self, word: str, name: str) -> None:
        """`stop` or `start` a daemon."""
        assert self._process.stdin
        self._process.stdin.write(f"{word} {name}\n")
        self._process.stdin.flush()
        assert self._heard() == "done"

    def _heard(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def run(self, *command: str, user: str | None = None, more: Mapping[str, str] | None = None) -> str:
        """What a Slurm command prints; it must succeed."""
        owner = {} if user is None else _as(user)
        done = subprocess.run(
            command,
            env=self.environment | dict(more or {}),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **owner,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
        return done.stdout

    def submit(self, user: str, *options: str) -> int:
        """Submit a job; its number."""
        words: Sequence[str] = ("sbatch", "--parsable", "-D", "/", "-o", "/dev/null", *options)
        return int(self.run(*words, user=user).partition(";")[0])

    def state(self, job: int) -> str:
        """The state of a job as the controller has it."""
        return self.run("squeue", "-h", "-t", "all", "-j", str(job), "-o", "%T").partition("\n")[0]

    def wait_for(self, job: int, *states: str) -> None:
        """Wait until a job is in one of some states."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (state := self.state(job)) not in states:
            assert time.monotonic() < deadline, f"job {job} is {state}, not {' or '.join(states)}"
            time.sleep(0.5)


def _as(user: str) -> dict[str, object]:
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
