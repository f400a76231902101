"""A real Slurm on the loopback: munged, mariadbd, slurmdbd, slurmctld and six slurmd in one folder.

`python cluster.py FOLDER ZONE` brings it up, says `up`, and takes orders on stdin (`stop slurmdbd`,
`start slurmdbd`), each answered by `done`. It goes down when its stdin ends, however that comes about,
and takes the folder with it. With `accounting` as third word it is slurmdbd and what that needs, alone.

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
from typing import Any

import pymysql

from tests.slurm import configuration
from tests.slurm.configuration import NODES, USERS

PROGRAMS = (
    "munged", "munge", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch",
    "scancel", "scontrol", "sinfo", "squeue", "sacct", "sacctmgr", "sreport",
)  # fmt: skip
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
WAIT_SECONDS = 120
REPOSITORY = Path(__file__).parents[2]
_SUBREAPER, _DEATH_SIGNAL = 36, 1


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

    def __init__(self, folder: Path, zone: str, *, jobs: bool = True) -> None:
        self.folder = folder
        self.jobs = jobs
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
        """Write what they read."""
        configuration.write(self.folder, self.ports, jobs=self.jobs)

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
        if self.jobs:
            for words in (*configuration.QOS, ("load", f"file={self.folder}/tree")):
                if self._says("sacctmgr", "-i", *words) is None:
                    raise SystemExit(f"sacctmgr {' '.join(words)}: it would not")
            for name in ("slurmctld", *NODES):
                self.start(name)
            self._until("slurmctld", self._nodes_idle)

    def _nodes_idle(self) -> bool:
        return (self._says("sinfo", "-h", "-N", "-o", "%T") or "").split() == ["idle"] * len(NODES)

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
            self._until(name, self._accounting_answers if name == "slurmdbd" else self._controller_answers)

    def _accounting_answers(self) -> bool:
        return self._says("sacctmgr", "-nP", "show", "qos", "format=name") is not None

    def _controller_answers(self) -> bool:
        return self._says("squeue", "-h") is not None

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


def main(daemons: Daemons) -> None:
    """Up, orders, down."""
    folder = daemons.folder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; their end ends this, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _adopt_orphans()
    try:
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
    """A Slurm in a folder, as its tests see it; without `jobs` it is slurmdbd alone."""

    module = "tests.slurm.cluster"

    def __init__(self, folder: Path, zone: str, *, jobs: bool, hour_ends: int = 0) -> None:
        self.folder = folder
        self.zone = zone
        self.hour_ends = hour_ends
        self.jobs = jobs
        self.environment = environment(folder, zone)

    @classmethod
    def with_an_hour(cls, folder: Path, ends: int) -> Slurm:
        """One whose clock says that an hour ends at an instant."""
        zone = f"LAB-0:{-ends % 3600 // 60:02d}:{-ends % 60:02d}"
        return cls(folder, zone, jobs=True, hour_ends=ends)

    def up(self) -> None:
        """Bring it up in a process of its own, which ends when this one does."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                self.module,
                self.folder,
                self.zone,
                "all" if self.jobs else "accounting",
            ],
            cwd=REPOSITORY,
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

    def database_url(self, user: str = "opsd") -> str:
        """slurmdbd's database: of `opsd`, who may only read, or of `slurm`."""
        words = (self.folder / "slurmdbd.conf").read_text().split()
        port = next(word.partition("=")[2] for word in words if word.startswith("StoragePort="))
        return f"mysql://{user}:loopback@127.0.0.1:{port}/slurm_acct_db"

    def sql(self, statement: str) -> Sequence[Sequence[Any]]:
        """What slurmdbd's database answers, asked as slurmdbd itself."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def connection(self) -> pymysql.Connection[Any]:
        """A connection to slurmdbd's database that may change everything."""
        port = int(self.database_url().rpartition(":")[2].partition("/")[0])
        return pymysql.connect(
            host="127.0.0.1", port=port, user="slurm", password="loopback", database="slurm_acct_db",
            autocommit=True, charset="utf8mb4",
        )  # fmt: skip

    def order(self, word: str, name: str) -> None:
        """`stop` or `start` a daemon."""
        assert self._process.stdin
        self._process.stdin.write(f"{word} {name}\n")
        self._process.stdin.flush()
        assert self._heard() == "done"

    def _heard(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def run(
        self,
        *command: str,
        user: str | None = None,
        more: Mapping[str, str] | None = None,
        answer: str = "",
    ) -> str:
        """What a Slurm command prints; it must succeed."""
        owner = {} if user is None else _as(user)
        done = subprocess.run(
            command,
            env=self.environment | dict(more or {}),
            cwd="/",
            input=answer,
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
    main(Daemons(Path(sys.argv[1]), sys.argv[2], jobs=sys.argv[3:] != ["accounting"]))
