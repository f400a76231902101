"""The house rules: what may lie where, what a wheel carries, and what must not be in any file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import alembic.command
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    ".ci",
    "alembic",
    "collectors",
    "dashboards",
    "docs",
    "exporters",
    "opsd",
    "systemd",
    "tests",
}
PACKAGES = {"opsd", "collectors", "exporters", "dashboards"}
# Slow to import, and not needed to print a help text.
HEAVY = {"alembic", "apscheduler", "pydantic", "rich", "sqlalchemy", "sqlmodel"}

# Put together here, so that this file does not hold what it looks for.
HOSTS = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))]
PLACES = [
    "/" + "/".join(parts)
    for parts in (("work", "main"), ("work", "shared"), ("tmp", "tools"), ("opt", "wheels"))
]
INDEX_OPTIONS = ["--" + "-".join(words) for words in (("index", "url"), ("extra", "index", "url"))]
SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an access key of a cloud": r"\bAKIA[0-9A-Z]{16}\b",
    "a token of a forge": r"\b(ghp|gho|ghs|glpat|github_pat)[_-][A-Za-z0-9_-]{20,}",
    "a token of Grafana": r"\bgl(sa|c)_[A-Za-z0-9_=]{20,}",
    "a token of a chat": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
}
REQUIREMENT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==\S+( ; [^\\]+?)? \\$")


def repository_files() -> list[Path]:
    """What is in the repository, or would be with the next commit."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: " + listed.stderr.strip())
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def text_of(file: Path) -> str:
    """A file's text; of a binary file whatever text is in it."""
    return file.read_bytes().decode(errors="replace")


def found_in(files: list[Path], pattern: str) -> list[str]:
    """`path:line` of each place where the pattern stands."""
    return [
        f"{file.relative_to(ROOT)}:{number}"
        for file in files
        for number, line in enumerate(text_of(file).splitlines(), start=1)
        if re.search(pattern, line)
    ]


def test_the_migrations_are_no_package() -> None:
    """An alembic/__init__.py would hide the library of that name."""
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_tests_are_no_packages() -> None:
    """An __init__.py in tests/collectors would hide the package collectors."""
    assert [] == list((ROOT / "tests").rglob("__init__.py"))


def test_alembic_is_the_library() -> None:
    """With the repository on the path, `import alembic.command` still finds what was installed."""
    assert not Path(alembic.command.__file__).is_relative_to(ROOT / "alembic")


def test_only_the_agreed_folders() -> None:
    """No new top-level folder: what is new goes into one that exists."""
    used = {file.relative_to(ROOT).parts[0] for file in repository_files() if file.parent != ROOT}

    assert used <= FOLDERS


@pytest.mark.parametrize("host", HOSTS)
def test_no_registry_is_named(host: str) -> None:
    """Where packages come from is each machine's own setting."""
    assert [] == found_in(repository_files(), re.escape(host))


@pytest.mark.parametrize("option", INDEX_OPTIONS)
def test_no_index_is_chosen(option: str) -> None:
    """The same for pip's options."""
    assert [] == found_in(repository_files(), rf"{re.escape(option)}\b")


@pytest.mark.parametrize("place", PLACES)
def test_no_folder_of_a_machine_is_named(place: str) -> None:
    """A path that exists on one machine only helps nobody else."""
    assert [] == found_in(repository_files(), rf"{re.escape(place)}\b")


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_is_kept(kind: str) -> None:
    """Keys and tokens come from the environment or a file outside, never from the repository."""
    assert [] == found_in(repository_files(), SECRETS[kind])


LOCKS = ("constraints.txt", "constraints-server.txt", "constraints-node.txt")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(lock: str) -> None:
    """What is installed is what was resolved: `name==version`, hashes, and nothing from an address."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    packages = [line for line in lines if not line.startswith(" ")]
    entries = re.split(r"^(?=\S)", "\n".join(lines), flags=re.MULTILINE)[1:]

    assert "://" not in text
    assert [] == [line for line in packages if not REQUIREMENT.match(line)]
    assert [] == [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]


def locked(lock: str) -> dict[str, str]:
    """Package to version, with the condition under which it is installed."""
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return dict(line.rstrip(" \\").split("==", 1) for line in lines if re.match(r"[A-Za-z0-9]", line))


@pytest.mark.parametrize("part", LOCKS[1:])
def test_a_site_installs_what_was_tested(part: str) -> None:
    """The locks of a service node and of a compute node hold versions of the whole lock only."""
    versions = {name: found.partition(" ")[0] for name, found in locked("constraints.txt").items()}
    installed = {name: found.partition(" ")[0] for name, found in locked(part).items()}

    assert installed
    assert installed.items() <= versions.items()


def test_a_compute_node_installs_little() -> None:
    """Driver, page, web configuration, passwords, and what `top` draws with; no SQL, no web framework."""
    drawing = {"rich", "markdown-it-py", "mdurl", "pygments"}
    assert {"bcrypt", "nvidia-ml-py", "prometheus-client", "pyyaml"} == (
        set(locked("constraints-node.txt")) - drawing
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_holds_the_four_packages(wheel: list[str]) -> None:
    """Nothing else goes into site-packages; above all no `alembic`, which would overwrite the library."""
    tops = {name.partition("/")[0] for name in wheel}

    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_the_wheel_holds_the_migrations(wheel: list[str]) -> None:
    """Every file of alembic/ is shipped as opsd/_alembic, so that an installed opsd can upgrade."""
    inside = ROOT / "alembic"
    expected = {
        f"opsd/_alembic/{file.relative_to(inside)}"
        for file in repository_files()
        if file.is_relative_to(inside)
    }

    assert expected == {name for name in wheel if name.startswith("opsd/_alembic/")}


def test_the_wheel_holds_what_the_portal_shows(wheel: list[str]) -> None:
    """Templates, style sheet and pictures travel with the modules that use them."""
    folders = [ROOT / "opsd" / "web" / name for name in ("templates", "static")]
    expected = {
        str(file.relative_to(ROOT))
        for file in repository_files()
        if any(file.is_relative_to(folder) for folder in folders)
    }

    assert len(expected) >= 5
    assert expected <= set(wheel)


def test_the_wheel_holds_sources_only(wheel: list[str]) -> None:
    """No bytecode and no tests travel along."""
    assert [] == [name for name in wheel if name.endswith(".pyc") or "/tests/" in name]


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    """`opsd --help` answers at once: no SQL, no models, no tables on the screen."""
    program = (
        "import json, sys\n"
        "sys.argv = ['opsd', '--help']\n"
        "from opsd.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr

    loaded = set(json.loads(ran.stdout.splitlines()[-1]))
    assert set() == HEAVY & loaded
