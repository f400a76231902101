"""`opsd ingest` beside a Slurm that misbehaves: stand-ins for its commands, at their true border.

Each test asserts what is counted afterwards and what is said. A real Slurm is in tests/slurm.
"""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors.slurm import commands
from collectors.slurm.commands import FIELDS
from opsd.cli import main
from opsd.pipeline import demo, pace, sweep
from opsd.store import sweeps
from opsd.store.engine import open_engine

HEADER = "|".join(FIELDS)
DAY = 86_400
AT = int(time.time()) // DAY * DAY - DAY  # yesterday, midnight
SACCTMGR = 'case "$*" in *show\\ user*) echo Operator ;; *show\\ cluster*) echo lab ;; *) exit 9 ;; esac'
DENIED = "sacctmgr: error: Your user doesn't have privilege to perform this action"


def row(job: int, seconds: int = 100, end: str | None = None) -> str:
    """A line as sacct prints it."""
    values = {
        "JobIDRaw": job, "JobID": job, "Cluster": "lab", "Account": "es-bio", "User": "ana",
        "Partition": "acc", "QOS": "normal", "State": "COMPLETED", "Submit": AT, "Eligible": AT, "Start": AT,
        "End": AT + seconds if end is None else end, "ElapsedRaw": seconds, "Suspended": "00:00:00",
        "TimelimitRaw": 60, "AllocTRES": "billing=4,cpu=4,gres/gpu=1,mem=1000M,node=1", "NodeList": "n1",
        "AssocID": 7, "DBIndex": job,
    }  # fmt: skip
    return "|".join(str(values.get(name, "")) for name in FIELDS) + "\n"


class Site:
    """A folder with stand-ins for Slurm's commands, and opsd with a database beside them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.options = ["--db", f"sqlite:///{folder}/opsd.db", "--config", f"{folder}/opsd.toml"]
        (folder / "bin").mkdir()
        (folder / "opsd.toml").write_text(
            f'[slurm]\nbin = "{folder}/bin"\nsince = "2 days"\nwindow_hours = 24\ntimeout_seconds = 1\n'
        )
        self.command("sacctmgr", SACCTMGR)
        self.sacct("exit 1")
        self.command("squeue", "echo 5")

    def sacct(self, script: str, fields: Sequence[str] = FIELDS) -> None:
        """A sacct that has some columns, and else does something."""
        columns = " ".join(fields)
        self.command("sacct", f'case "$*" in --helpformat) echo "{columns}"; exit 0 ;; esac\n{script}')

    def command(self, name: str, script: str) -> None:
        """Put a stand-in into the folder."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def answer(self, text: str, after: str = "") -> None:
        """Let sacct print a text, and then do something."""
        (self.folder / "answer").write_text(text)
        self.sacct(f'echo "$@" >>{self.folder}/asked\ncat {self.folder}/answer\n{after}')

    def asked(self) -> list[str]:
        """How sacct was called, and forget it."""
        found = (self.folder / "asked").read_text().splitlines()
        (self.folder / "asked").unlink()
        return found

    def opsd(self, *words: str) -> tuple[int, str]:
        """Exit code and everything said of one command."""
        code = main([*words, *self.options])
        said = self.capsys.readouterr()
        return code, said.out + said.err

    def gpu_seconds(self) -> int:
        """Everything that is counted."""
        main(["usage", "--from", "2020-01-01", "--to", "2100-01-01", "--format", "csv", *self.options])
        header, *lines = self.capsys.readouterr().out.splitlines()
        return int(lines[0].split(",")[header.split(",").index("gpu_seconds")]) if lines else 0

    def covered(self) -> int | None:
        """How far the cluster counts as read."""
        store = open_engine(self.options[1])
        with store.read() as connection:
            found = sweeps.covered(connection).get("lab")
        store.close()
        return found


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose Slurm says nothing yet; opsd asks again without a pause."""
    monkeypatch.setattr(logging.root, "handlers", [*logging.root.handlers])  # a daemon sets its own
    monkeypatch.setattr(pace, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(pace, "LEAST", 86_400)  # a window of a day is not halved
    return Site(tmp_path, capsys)


WHOLE = HEADER + "\n" + row(1) + row(2)
BROKEN = {
    "hangs": (WHOLE, "sleep 60", "sacct: no whole answer within 1 s"),
    "prints rubbish": ("Welcome!\n" + WHOLE, "", "no header of the columns asked for but 'Wel"),
    "prints nothing": ("", "", "no header of the columns asked for but ''"),
    "prints other columns": ("JobID|User\n1|ana\n", "", "no header of the columns asked for but 'JobID|User"),
    "breaks off in a line": (WHOLE[:-20], "", "sacct broke off: the last line of its answer has no end"),
    "complains": (WHOLE, "echo 'sacct: error: lost' >&2", "sacct ended with 0: sacct: error: lost"),
    "fails half-way": (HEADER + "\n" + row(1), "exit 1", "sacct ended with 1: without a word"),
    "is killed": (HEADER + "\n" + row(1), "kill -9 $$", "sacct was ended by signal 9"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_an_answer_that_is_not_whole_counts_nothing(site: Site, case: str) -> None:
    """It is a failure, with its reason; nothing of it is stored, and the next ingest catches up."""
    text, after, said = BROKEN[case]
    site.answer(text, after)
    code, words = site.opsd("ingest")

    assert 1 == code
    assert said in words
    assert 0 == site.gpu_seconds()
    assert site.covered() is None
    site.answer(WHOLE)
    assert 0 == site.opsd("ingest")[0]
    assert 200 == site.gpu_seconds()


def test_a_later_failure_leaves_what_is_counted(site: Site) -> None:
    """Totals and how far they reach stay what they were."""
    site.answer(WHOLE)
    site.opsd("ingest")
    covered = site.covered()
    site.answer(WHOLE + row(3), "exit 1")

    assert 1 == site.opsd("ingest")[0]
    assert 200 == site.gpu_seconds()
    assert covered == site.covered()
    site.answer(WHOLE + row(3))
    assert "1 new, 0 changed" in site.opsd("ingest")[1]
    assert 300 == site.gpu_seconds()


def test_a_line_with_too_few_columns_is_set_aside(site: Site) -> None:
    """Its neighbours count, it does not, and the exit code says that something needs eyes."""
    cut = row(2)[:30] + "\n"
    site.answer(HEADER + "\n" + row(1) + cut + row(3))
    code, words = site.opsd("ingest")

    assert 3 == code
    assert "fields where the layout has" in words
    assert 200 == site.gpu_seconds()
    assert 3 == site.opsd("ingest")[0]
    assert 1 == site.opsd("quarantine", "list", "--format", "csv")[1].count("fields where")


def test_a_program_that_is_not_there_is_named(site: Site) -> None:
    """With the folder in which it was looked for."""
    (site.folder / "bin" / "sacct").unlink()
    code, words = site.opsd("ingest")

    assert 1 == code
    assert f"{site.folder}/bin/sacct: no such program here" in words


def test_without_rights_nothing_is_asked(site: Site) -> None:
    """A user that is no operator, and whom Slurm denies what only administrators may see."""
    site.command("sacctmgr", f'case "$*" in *stats*) echo "{DENIED}" >&2; exit 1 ;; *) echo None ;; esac')
    site.answer(WHOLE)
    code, words = site.opsd("ingest")

    assert 1 == code
    assert "may not see everybody's runs in Slurm" in words
    assert "adminlevel=Operator" in words
    assert not (site.folder / "asked").exists()
    assert 0 == site.gpu_seconds()


def test_who_stands_in_no_list_of_users_is_proven_by_what_it_may_see(site: Site) -> None:
    """SlurmUser has every right without being a user of the accounting."""
    site.command("sacctmgr", 'case "$*" in *show\\ cluster*) echo lab ;; *stats*) echo statistics ;; esac')
    site.answer(WHOLE)

    assert 0 == site.opsd("ingest")[0]
    assert 200 == site.gpu_seconds()


def test_rights_that_cannot_be_asked_for_are_none(site: Site) -> None:
    """slurmdbd away is no proof of anything."""
    site.command("sacctmgr", 'echo "sacctmgr: error: Connection refused" >&2; exit 1')
    code, words = site.opsd("ingest")

    assert 1 == code
    assert "sacctmgr ended with 1: sacctmgr: error: Connection refused" in words


def test_of_several_clusters_the_controller_says_which_is_ours(site: Site) -> None:
    """A slurmdbd may serve many; sacct answers for the one whose slurm.conf it reads."""
    site.command("sacctmgr", 'case "$*" in *show\\ user*) echo Operator ;; *) echo far; echo lab ;; esac')
    site.command("scontrol", 'echo "ClusterName             = lab"')
    site.answer(WHOLE)

    assert "cluster lab: " in site.opsd("ingest")[1]
    assert site.covered() is not None


def test_how_sacct_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTC, epochs, everybody, every attempt, no state; and nothing of the caller's own taste."""
    monkeypatch.setenv("SACCT_FORMAT", "JobName")
    monkeypatch.setenv("SLURM_CLUSTERS", "far")
    conf = site.folder / "slurm.conf"
    conf.touch()
    monkeypatch.setenv("SLURM_CONF", str(conf))
    site.answer(WHOLE, f"env | grep -E '^(TZ|SACCT|SLURM)' | sort >{site.folder}/env")
    site.opsd("ingest", "--from", "2026-01-05", "--to", "2026-01-06T06:00:00+02:00")

    options = "--allusers --duplicates --allocations --parsable2 --noconvert --local --format=" + ",".join(
        FIELDS
    )
    assert [
        f"{options} --starttime=2026-01-05T00:00:00 --endtime=2026-01-06T00:00:00",
        f"{options} --starttime=2026-01-06T00:00:00 --endtime=2026-01-06T04:00:00",
    ] == site.asked()
    expected = [f"SLURM_CONF={conf}", "SLURM_TIME_FORMAT=%s", "TZ=UTC"]
    assert expected == (site.folder / "env").read_text().splitlines()
    assert site.covered() is None


def test_an_open_run_is_asked_for_by_its_job(site: Site) -> None:
    """Once its window no longer shows it."""
    site.answer(HEADER + "\n" + row(5, end="Unknown").replace("COMPLETED", "RUNNING"))
    site.opsd("ingest")
    site.asked()
    time.sleep(1.1)  # an answer of the same second is no later one
    by_job = f'case "$*" in *--jobs=5) printf "%s" "{row(5, 50)}" ;; esac'
    site.sacct(f'echo "$@" >>{site.folder}/asked; echo "{HEADER}"\n{by_job}')
    code, words = site.opsd("ingest")

    assert 0 == code
    assert "asked again  1 open run that" in words
    assert site.asked()[-1].endswith(" --jobs=5")
    assert 50 == site.gpu_seconds()


def test_a_disk_that_is_full_while_the_answer_comes(site: Site) -> None:
    """Said as what it is, whatever sacct itself made of it; afterwards nothing is missing."""
    site.opsd("db", "upgrade")
    site.answer(HEADER + "\n" + row(1) * 20_000)
    small = 3_000_000  # of an answer of four million bytes
    full = subprocess.run(
        [sys.executable, "-m", "opsd", "ingest", *site.options], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (small, small)),
    )  # fmt: skip

    assert 1 == full.returncode
    assert "its output does not fit into the folder" in full.stderr
    assert "Traceback" not in full.stderr
    assert 0 == site.gpu_seconds()
    site.answer(WHOLE)
    assert 0 == site.opsd("ingest")[0]
    assert 200 == site.gpu_seconds()


@pytest.mark.parametrize(
    "words",
    [("--to", "2026-01-01"), ("--from", "2026-01-02", "--to", "2026-01-01"), ("--from", "2099-01-01")],
)
def test_a_span_that_is_none_is_refused(site: Site, words: tuple[str, ...]) -> None:
    """Without a start, backwards, or in the future."""
    assert 2 == site.opsd("ingest", *words)[0]


@pytest.mark.parametrize("words", [("ingest",), ("daemon",), ("daemon", "--once", "ingest")])
def test_made_up_and_real_jobs_are_not_mixed(site: Site, words: tuple[str, ...]) -> None:
    """With a demonstration's database Slurm is not read at all; its folder says whose it is."""
    demo.clear(site.folder / "demo", AT, 1)
    site.options[1] = f"sqlite:///{site.folder}/demo/opsd.db"
    site.answer(WHOLE)
    code, said = site.opsd(*words)

    assert 1 == code
    assert f"opsd: database {site.options[1]} belongs to opsd demo" in said
    assert "unset OPSD_DB" in said
    assert not (site.folder / "asked").exists()
    assert 0 == site.gpu_seconds()


def test_a_slurm_without_its_configuration(site: Site) -> None:
    """A machine that is no client of the Slurm: what to do is said, not only what sacctmgr said."""
    site.command("sacctmgr", "echo 'sacctmgr: fatal: Could not establish a configuration source' >&2; exit 1")
    code, said = site.opsd("ingest")

    assert 1 == code
    assert "Could not establish a configuration source" in said
    assert "run opsd where `sacctmgr show cluster` works, or set [slurm] conf" in said


# -- columns -------------------------------------------------------------------------------------------

# Stand-ins, no real Slurms: what `sacct --helpformat` lists of what concerns opsd. 22.05 as its manual and
# a real one say. SLUID, SegmentSize and Restarts as src/sacct/sacct.c of SchedMD/slurm has them (2025);
# OriginalSLUID as the manual of 26.05 names it. Reserved became Planned after 22.05; neither is asked for.
LATER = {
    "22.05": ("Reserved",),
    "23.11": ("Planned", "Restarts"),
    "24.11": ("Planned", "Restarts", "SLUID"),
    "25.05": ("Planned", "Restarts", "SLUID", "SegmentSize", "StdOut"),
    "25.11": ("Planned", "Restarts", "SLUID", "SegmentSize", "StdOut"),
    "26.05": ("Planned", "Restarts", "SLUID", "SegmentSize", "StdOut", "OriginalSLUID"),
}


class Version:
    """A sacct that has certain columns, refuses others as Slurm does, and prints what it is asked for."""

    def __init__(self, site: Site, fields: Sequence[str]) -> None:
        values = dict(zip(FIELDS, row(1).rstrip("\n").split("|"), strict=True)) | {"SLUID": "s1A2B3C4D5E6F7"}
        (site.folder / "values").write_text("".join(f"{name}={values.get(name, '')}\n" for name in fields))
        site.sacct(_PRINTS_WHAT_IT_IS_ASKED.format(folder=site.folder), fields)


_PRINTS_WHAT_IT_IS_ASKED = """\
echo "$@" >>{folder}/asked
for word; do case "$word" in --format=*) asked=${{word#--format=}} ;; esac; done
echo "$asked" | tr , "|"
line=
for name in $(echo "$asked" | tr , " "); do
  if ! grep -q "^$name=" {folder}/values; then
    echo "sacct: error: Invalid field requested: \\"$name\\"" >&2; exit 1
  fi
  line="$line|$(sed -n "s/^$name=//p" {folder}/values)"
done
echo "${{line#|}}"
"""


def asked_columns(site: Site) -> list[str]:
    """The columns of the last question."""
    return next(word for word in site.asked()[-1].split() if word.startswith("--format="))[9:].split(",")


@pytest.mark.parametrize("version", LATER)
def test_each_version_is_asked_for_what_it_has(site: Site, version: str) -> None:
    """Nothing is missed on any of them; where runs have a name for good, it is read."""
    Version(site, [*FIELDS, *LATER[version]])
    code, words = site.opsd("ingest")

    assert 0 == code
    assert [*FIELDS, *(["SLUID"] if "SLUID" in LATER[version] else [])] == asked_columns(site)
    assert "sacct has no column" not in words
    assert 100 == site.gpu_seconds()


@pytest.mark.parametrize("column", commands.LOST)
def test_a_column_that_is_missing_is_said_and_the_rest_is_read(site: Site, column: str) -> None:
    """What is lost by it is named, by the ingest and in the status; what is counted is the same."""
    Version(site, [name for name in FIELDS if name != column])
    code, words = site.opsd("ingest")
    said = f"cluster lab: not known: sacct has no column {column}: {commands.LOST[column]}"

    assert 0 == code
    assert 1 == words.count(said)
    assert 1 == words.count("sacct has no column")
    assert column not in asked_columns(site)
    assert 100 == site.gpu_seconds()
    assert said.removeprefix("cluster ") in site.opsd("status")[1]


@pytest.mark.parametrize("column", commands.NEEDED)
def test_a_column_without_which_nothing_can_be_counted_is_refused(site: Site, column: str) -> None:
    """By its name, before anything is read."""
    Version(site, [name for name in FIELDS if name != column])
    code, words = site.opsd("ingest")

    assert 1 == code
    assert f"opsd: this sacct has no column {column}, without which no run can be counted" in words
    assert not (site.folder / "asked").exists()


def test_every_column_is_needed_or_its_loss_is_named() -> None:
    """And no other."""
    assert sorted(FIELDS) == sorted([*commands.NEEDED, *commands.LOST])


# -- several clusters ----------------------------------------------------------------------------------

TWO = """\
name=$(echo "$*" | sed -n 's/.*--clusters=\\([^ ]*\\).*/\\1/p')
echo "$name" >>{folder}/clusters
if [ "$name" = far ] && [ -e {folder}/down ]; then echo "sacct: error: far is away" >&2; exit 1; fi
sed "s/|lab|/|$name|/" {folder}/answer
"""


@pytest.fixture
def two(site: Site) -> Site:
    """A slurmdbd that serves the clusters far and lab."""
    with (site.folder / "opsd.toml").open("a") as configuration:
        configuration.write("[clusters.far]\n[clusters.lab]\n")
    site.command("sacctmgr", 'case "$*" in *show\\ user*) echo Operator ;; *) echo far; echo lab ;; esac')
    site.answer(WHOLE)
    site.sacct(TWO.format(folder=site.folder))
    return site


def test_each_cluster_is_asked_for_by_its_name(two: Site) -> None:
    """One after the other, and its runs are its own."""
    code, words = two.opsd("ingest")

    assert 0 == code
    assert ["far", "far", "lab", "lab"] == (two.folder / "clusters").read_text().split()
    assert ("cluster far: " in words, "cluster lab: " in words) == (True, True)
    assert 400 == two.gpu_seconds()
    rows = two.opsd(
        "usage", "--from", "2020-01-01", "--to", "2100-01-01", "--by", "cluster", "--format", "csv"
    )[1].splitlines()
    assert ["far", "lab"] == [line.split(",")[0] for line in rows[1:] if line.split(",")[0] in ("far", "lab")]


def test_a_cluster_that_fails_harms_no_other(two: Site) -> None:
    """It is named, the other is read, and the exit code says that something failed."""
    (two.folder / "down").touch()
    code, words = two.opsd("ingest")

    assert 1 == code
    assert "cluster far: sacct ended with 1: sacct: error: far is away" in words
    assert 200 == two.gpu_seconds()


def test_one_cluster_alone(two: Site) -> None:
    """As --cluster says; a name that is none is a mistake of who typed it."""
    assert 0 == two.opsd("ingest", "--cluster", "lab")[0]
    assert {"lab"} == set((two.folder / "clusters").read_text().split())
    code, words = two.opsd("ingest", "--cluster", "labb")
    assert 2 == code
    assert "--cluster labb: no such cluster; did you mean 'lab'? the configuration has far lab" in words


def test_a_cluster_that_slurmdbd_does_not_know_is_refused(two: Site) -> None:
    """sacct would answer with nothing, and say nothing."""
    two.command("sacctmgr", 'case "$*" in *show\\ user*) echo Operator ;; *) echo lab ;; esac')
    code, words = two.opsd("ingest")

    assert 1 == code
    assert "cluster far: slurmdbd knows no such cluster; it knows lab" in words
    assert 200 == two.gpu_seconds()


# -- open runs that nobody knows -----------------------------------------------------------------------


def test_a_suspected_runaway_is_told(site: Site) -> None:
    """By the ingest and in the status, by its job."""
    site.answer(HEADER + "\n" + row(5, end="Unknown").replace("COMPLETED", "RUNNING"))
    site.command("squeue", f'echo "$@" >>{site.folder}/queued; echo "CLUSTER: lab"; echo 4')
    words = site.opsd("ingest")[1]

    assert "cluster lab: 1 run open here, unknown to slurmctld, so suspected runaway" in words
    assert "job 5" in words
    assert "lab: 1 run open here, unknown to slurmctld" in site.opsd("status")[1]
    assert ["--all --local --states=all --noheader --format=%A"] == (
        (site.folder / "queued").read_text().splitlines()
    )


def test_a_controller_that_is_away_hinders_nothing(site: Site) -> None:
    """The accounting is read, and it is said what was not looked at."""
    site.answer(WHOLE)
    site.command("squeue", 'echo "squeue: error: Connection refused" >&2; exit 1')
    code, words = site.opsd("ingest")

    assert 0 == code
    assert "not known: squeue ended with 1: squeue: error: Connection refused" in words
    assert 200 == site.gpu_seconds()


@pytest.mark.parametrize("case", ["refused", "without PyMySQL"])
def test_a_database_of_slurmdbd_that_is_away_hinders_nothing(
    site: Site, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is read and day facts are built; it needs eyes, and is said here and in the status until mended."""
    site.answer(WHOLE)
    with (site.folder / "opsd.toml").open("a") as configuration:
        configuration.write('database_url = "mysql://opsd:secret@127.0.0.1:1/slurm_acct_db"\n')
    said = "opsd@127.0.0.1:1/slurm_acct_db: "
    if case == "without PyMySQL":
        monkeypatch.setitem(sys.modules, "pymysql", None)
        said = "PyMySQL is not installed: pip install 'opsd-hpc[slurmdbd]'"
    for runs in ("2 new, 0 changed", "0 new, 0 changed"):
        code, words = site.opsd("ingest")
        assert 3 == code
        assert (True, True) == (runs in words, "day facts " in words)
        assert 1 == words.count("cluster lab: not known: slurm")
        assert (True, True, False) == (said in words, sweep.NO_DATABASE in words, "secret" in words)
    status = site.opsd("status")[1]
    assert (True, 1) == (said in status, status.count("lab: not known: slurm"))
    assert (200, True) == (site.gpu_seconds(), site.covered() is not None)


def test_without_the_tables_it_is_said_what_cannot_be_known(site: Site) -> None:
    """Once."""
    site.answer(WHOLE)

    assert 1 == site.opsd("ingest")[1].count("not known: no connection to slurmdbd's database")
    assert 1 == site.opsd("status")[1].count("not known: no connection to slurmdbd's database")
