"""What every test may ask for: reproducible property tests, golden files, a database of either kind.

Invariant: a test that needs PostgreSQL gets a real server, private to its process, or is left out loudly.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from psycopg import OperationalError, connect, sql

from tests.fakes.certificates import make as make_certificates
from tests.fakes.nvml.build import FakeNvml
from tests.fakes.nvml.build import build as nvml_build

LEFT_OUT = "tests left out: "
NO_POSTGRESQL = f"PostgreSQL {LEFT_OUT}"
START_DEADLINE_SECONDS = 60
START_ATTEMPTS = 5

# Typesetting takes every core it finds; beside another worker's timed tests it gets one.
os.environ.setdefault("RAYON_NUM_THREADS", "1")

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# ------------------------------------------------------------------------------------------ golden files


@pytest.fixture
def golden() -> Callable[[Path, str], None]:
    """Compare text with the expected output in a file; under `make golden` rewrite the file instead."""

    def compare(expected_file: Path, actual: str) -> None:
        if os.environ.get("OPSD_GOLDEN"):
            expected_file.parent.mkdir(parents=True, exist_ok=True)
            expected_file.write_text(actual, encoding="utf-8", newline="")
        assert expected_file.read_bytes().decode() == actual

    return compare


# -------------------------------------------------------------------------------------------------- GPUs


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for NVIDIA's library, built for this run (tests/fakes/nvml)."""
    if shutil.which("gcc") is None:
        pytest.skip("GPU tests left out: gcc was not found; install the package gcc and libc6-dev")
    return nvml_build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def fake_nvml(nvml_library: Path, tmp_path: Path) -> FakeNvml:
    """A machine with 8 GPUs; its knobs can be turned while programs run on it."""
    return FakeNvml(nvml_library, tmp_path / "nvml.control", {"gpus": 8})


# -------------------------------------------------------------------------------------------- Prometheus


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checker."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("Prometheus tests left out: promtool was not found; install the package prometheus")
    return found


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates of a server, a client and a stranger (tests/fakes/certificates.py)."""
    if shutil.which("openssl") is None:
        pytest.skip("TLS tests left out: openssl was not found; install the package openssl")
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


# --------------------------------------------------------------------------------------------- databases


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'opsd.db'}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database, dropped after the test."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once of each kind: the suite of the store runs on both."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return str(request.getfixturevalue(fixture))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A private PostgreSQL server on the loopback; one per test process, started when first asked for."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip(f"{NO_POSTGRESQL}initdb and postgres were not found; install the package postgresql")
    account = _unprivileged_account()
    if os.geteuid() == 0 and account is None:
        pytest.skip(f"{NO_POSTGRESQL}it refuses root, and neither postgres nor nobody is an account here")
    with PostgresServer.running(programs, account) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end, and in red, what was left out for want of a program."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)]
    missing = [reason.removeprefix("Skipped: ") for reason in reasons if LEFT_OUT in reason]
    for reason in sorted(set(missing)):
        terminalreporter.write_line(f"{missing.count(reason)} {reason}", red=True, bold=True)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server: where it listens, and the password of its superuser `opsd`."""

    port: int
    password: str

    @classmethod
    @contextlib.contextmanager
    def running(cls, programs: Path, account: pwd.struct_passwd | None) -> Iterator[PostgresServer]:
        """Make a cluster in a temporary folder, run it as `account`, and stop it by its process id."""
        folder = Path(tempfile.mkdtemp(prefix="opsd-postgresql-"))
        try:
            server_password = _make_cluster(programs, folder, account)
            process, port = _start(programs, folder, account, server_password)
            try:
                yield cls(port=port, password=server_password)
            finally:
                process.send_signal(signal.SIGINT)  # fast shutdown: clients are disconnected
                process.wait(timeout=START_DEADLINE_SECONDS)
        finally:
            shutil.rmtree(folder)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://{self._address(database)}"

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Create an empty database under a name of its own; drop it afterwards, connections and all."""
        name = f"opsd_{secrets.token_hex(8)}"
        self._administer(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administer(self, statement: sql.Composed) -> None:
        with connect(f"postgresql://{self._address('postgres')}", autocommit=True) as connection:
            connection.execute(statement)

    def _address(self, database: str) -> str:
        return f"opsd:{self.password}@127.0.0.1:{self.port}/{database}"


def _postgres_programs() -> Path | None:
    """The folder with initdb and postgres: the newest of Debian's or Red Hat's, else that on the path."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    folders.sort(key=_major_version, reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    return next((folder for folder in folders if _has_server(folder)), None)


def _has_server(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("initdb", "postgres"))


def _major_version(folder: Path) -> int:
    found = re.search(r"\d+", str(folder))
    return int(found.group()) if found else 0


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom root hands the server to; None where the tests do not run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _make_cluster(programs: Path, folder: Path, account: pwd.struct_passwd | None) -> str:
    """Run initdb, and give back the superuser's password: other people may be on this machine, too.

    The collation is English, not C: the order of a report's rows must not hang on the database's.
    """
    password = secrets.token_hex(16)
    password_file = folder / "password"
    password_file.write_text(password)
    if account:
        for path in (folder, password_file):
            os.chown(path, account.pw_uid, account.pw_gid)
    command = [
        programs / "initdb",
        "--pgdata",
        folder / "data",
        "--username=opsd",
        f"--pwfile={password_file}",
    ]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions"]
    icu = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
    made = _initdb([*command, *icu], folder, account)
    if made.returncode != 0:  # older than 15, or built without ICU
        shutil.rmtree(folder / "data", ignore_errors=True)
        made = _initdb([*command, "--locale=C.UTF-8"], folder, account)
    assert made.returncode == 0, made.stdout + made.stderr
    return password


def _initdb(
    command: list[str | Path], folder: Path, account: pwd.struct_passwd | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, **_as_account(account)
    )


def _start(
    programs: Path, folder: Path, account: pwd.struct_passwd | None, password: str
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server on a free port; another process may take the port first, so try a few.

    It needs no safe disk, and its zone is an odd one: only UTC epochs may come out of the store.
    """
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "40",
        "shared_buffers": "32MB",
        "timezone": "Asia/Kathmandu",
    }
    command = [programs / "postgres", "-D", folder / "data"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    log_file = folder / "log"
    for _ in range(START_ATTEMPTS):
        port = _free_port()
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [*command, "-p", str(port)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 (makes one system call)
                **_as_account(account),
            )
        if _answers(process, port, password):
            return process, port
    raise AssertionError(f"PostgreSQL did not start:\n{log_file.read_text()}")


def _answers(process: subprocess.Popen[bytes], port: int, password: str) -> bool:
    """Wait until the server takes a connection; False if it ended instead."""
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while process.poll() is None:
        with contextlib.suppress(OperationalError):
            connect(f"postgresql://opsd:{password}@127.0.0.1:{port}/postgres").close()
            return True
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
        time.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_account(account: pwd.struct_passwd | None) -> dict[str, object]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _end_with_parent() -> None:
    """Ask Linux to stop the server if the test process is killed: nobody else would."""
    pr_set_pdeathsig = 1
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)
