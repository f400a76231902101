"""`opsd doctor` beside stand-ins for Slurm's commands, which print what a real Slurm 22.05 printed.

Each test breaks one thing, and asserts what is found and what is said to mend it.
"""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest

from opsd.cli import main
from opsd.core.period import HOUR
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.store import imports, migrate
from opsd.store.engine import Store, open_engine
from opsd.store.write import Writer

REAL = Path(__file__).parent.parent / "data" / "slurm-real"
NOW = int(time.time())
# Words that begin what changes something; `show runaway` asks, and would.
CHANGING = {
    "add", "modify", "update", "delete", "remove", "create", "load", "archive", "rollup", "reconfigure",
    "reset", "set", "hold", "release", "requeue", "suspend", "resume", "cancel", "runaway", "runawayjobs",
    "-i", "--immediate", "shutdown", "reboot",
}  # fmt: skip


class Slurm:
    """Stand-ins in a folder: each prints a file, and notes how it was called."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        (folder / "bin").mkdir()
        self.answers: dict[str, str] = {}
        for name in ("sacct", "sacctmgr", "scontrol", "squeue", "sdiag"):
            path = folder / "bin" / name
            path.write_text(f"#!/bin/sh\n{_SCRIPT.format(name=name, folder=folder)}")
            path.chmod(0o755)
        (folder / "opsd.toml").write_text(f'[slurm]\nbin = "{folder}/bin"\ntimeout_seconds = 20\n')
        self.options = ["--db", f"sqlite:///{folder}/opsd.db", "--config", f"{folder}/opsd.toml"]
        self.well()

    def well(self) -> None:
        """A Slurm with which nothing is wrong."""
        self.answer("config", real("scontrol-config").replace("limits,qos", "limits,qos,safe"))
        self.change("config", "PriorityDecayHalfLife   = 7-00:00:00", "PriorityDecayHalfLife   = 0")
        self.answer("nodes", real("scontrol-node-o"))
        self.answer("sdiag", real("sdiag"))
        self.answer("qos", "normal|1.000000\nhigh|1.000000\n")
        self.answer("tres", "cpu|\nmem|\nnode|\nbilling|\ngres|gpu\ngres|gpu:h100\n")
        self.answer("alive", "JobIDRaw|Account|User|Start|End\n7|es-bio|ana|1795000000|Unknown\n")
        self.answer("queue", "7\n")
        self.answer("rights", "Administrator\n")
        self.answer("columns", columns())
        self.stats(rolled=NOW - 60, hour=NOW // HOUR * HOUR)

    def stats(self, rolled: int, hour: int = 0, ahead: int = 0) -> None:
        """What `sacctmgr show stats` prints, with a clock some seconds ahead."""
        self.answer("ahead", str(ahead))
        line = f"Cluster 'lab' rollup statistics\nHour  last ran some day ({hour})\n" if hour else ""
        self.answer(
            "stats",
            f"***\nsacctmgr show stats output at some day (THERE)\n***\n\n"
            f"Internal DBD rollup last ran some day ({rolled})\n\tLast cycle:   113\n{line}",
        )

    def answer(self, name: str, text: str) -> None:
        """Let a question be answered so."""
        (self.folder / name).write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        """Change a word of an answer."""
        text = (self.folder / name).read_text()
        assert old in text
        self.answer(name, text.replace(old, new))

    def asked(self) -> list[list[str]]:
        """Every command that was run, in words."""
        return [line.split() for line in (self.folder / "asked").read_text().splitlines()]

    def doctor(self, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
        """Exit code, and each finding by its check."""
        code = main(["doctor", "--format", "json", *words, *self.options])
        found = json.loads(self.capsys.readouterr().out)
        return code, {f"{line['group']}: {line['check']}": line for line in found}


_SCRIPT = """\
echo {name} "$@" >>{folder}/asked
case "{name} $*" in
*"show config"*) cat {folder}/config ;;
*"show node"*) cat {folder}/nodes ;;
*"show stats"*) sed "s/THERE/$(( $(date +%s) + $(cat {folder}/ahead) ))/" {folder}/stats ;;
*"show qos"*) cat {folder}/qos ;;
*"show tres"*) case "$*" in *format=*) cat {folder}/tres ;; *) cat {folder}/tres ;; esac ;;
*"show user"*) cat {folder}/rights ;;
*"show cluster"*) echo lab ;;
sdiag*) cat {folder}/sdiag ;;
squeue*) cat {folder}/queue ;;
*--helpformat*) cat {folder}/columns ;;
sacct*) cat {folder}/alive ;;
*) echo "nobody asks {name} $*" >&2; exit 9 ;;
esac
"""


def real(name: str) -> str:
    """What a real Slurm printed."""
    return gzip.decompress((REAL / f"{name}.txt.gz").read_bytes()).decode()


def columns() -> str:
    """What `sacct --helpformat` prints."""
    from collectors.slurm.commands import FIELDS

    return " ".join(FIELDS) + "\n"


@pytest.fixture
def slurm(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """A Slurm that is well, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return Slurm(tmp_path, capsys)


@pytest.fixture
def database(slurm: Slurm) -> Store:
    """A database that was just read into, beside it."""
    store = open_engine(slurm.options[1])
    migrate.upgrade(store)
    return store


SLURM = ("rights", "accounting", "slurmdbd", "limits")


def test_all_is_well(slurm: Slurm) -> None:
    """Every check of Slurm is made and finds nothing; no database is made by looking."""
    code, found = slurm.doctor()

    assert {"ok"} == {line["result"] for line in found.values() if line["group"] in SLURM}
    assert 16 == sum(line["group"] in SLURM for line in found.values())
    assert (0, False) == (code, (slurm.folder / "opsd.db").exists())


def test_nothing_is_changed(slurm: Slurm, database: Store) -> None:
    """Slurm hears questions alone, and the database stays as it is."""
    database.close()
    before = (slurm.folder / "opsd.db").read_bytes()
    slurm.doctor()

    words = {word for command in slurm.asked() for word in command}
    assert set() == CHANGING & words
    assert {"sacct", "sacctmgr", "scontrol", "squeue", "sdiag"} == {command[0] for command in slurm.asked()}
    assert all("--readonly" in command for command in slurm.asked() if command[0] == "sacctmgr")
    assert {"show"} == {
        next(word for word in command[1:] if not word.startswith("-"))
        for command in slurm.asked()
        if command[0] in ("sacctmgr", "scontrol")
    }
    assert before == (slurm.folder / "opsd.db").read_bytes()


ENFORCE, STRICT = "accounting: enforcement", "associations,limits,qos,safe"


@pytest.mark.parametrize(
    ("old", "new", "check", "result", "mend"),
    [
        ("gres/gpu,gres/gpu:h100", "fs/lustre", "accounting: TRES", "error", "add gres/gpu to"),
        ("storage/slurmdbd", "storage/none", "accounting: storage", "error", "slurmdbd in slurm.conf"),
        (STRICT, "(null)", ENFORCE, "error", "=associations,limits,qos,safe in slurm.conf"),
        (STRICT, "associations", ENFORCE, "warning", "=associations,limits,qos,safe in slurm.conf"),
        (STRICT, "limits", ENFORCE, "warning", "=limits,safe in slurm.conf"),
        (STRICT, "safe,nojobs", ENFORCE, "error", "take nojobs out"),
        ("HalfLife   = 0", "HalfLife   = 7-00:00:00", "limits: decay", "warning", "=0 in slurm.conf"),
        ("JOB_ID             = 506", "JOB_ID             = 67000000", "limits: job ids", "warning", ""),
    ],
    ids=["gpu", "storage", "no-enforcement", "no-limits", "unsafe", "nojobs", "decay", "wrap"],
)
def test_a_configuration(slurm: Slurm, old: str, new: str, check: str, result: str, mend: str) -> None:
    """One setting of slurm.conf is found, with what to write instead; nothing else is."""
    slurm.change("config", old, new)
    code, found = slurm.doctor()
    odd = [name for name, line in found.items() if line["group"] in SLURM and line["result"] != "ok"]

    assert ([check], result, 3 if result == "error" else 0) == (odd, found[check]["result"], code)
    assert mend in found[check]["mend"]


def test_the_trap_is_explained(slurm: Slurm) -> None:
    """Limits without `safe` kill what runs."""
    slurm.change("config", "associations,limits,qos,safe", "associations,limits,qos")
    _, found = slurm.doctor()

    assert "its running jobs are killed" in found["accounting: enforcement"]["meaning"]


def test_uncounted_gpus(slurm: Slurm) -> None:
    """A node whose GPUs are in its Gres and not in its TRES, with its partitions."""
    text = (slurm.folder / "nodes").read_text()
    slurm.answer("nodes", text.replace(",gres/gpu=4,gres/gpu:h100=4", "", 1))
    code, found = slurm.doctor()

    line = found["accounting: GPU nodes"]
    assert (3, "error") == (code, line["result"])
    assert "has Gres of 4 GPUs and CfgTRES of 0" in line["value"]


def test_a_tres_that_slurmdbd_lacks(slurm: Slurm) -> None:
    """What the accounting does not keep is in no report."""
    slurm.answer("tres", "cpu|\nmem|\nnode|\ngres|gpu\n")
    _, found = slurm.doctor()

    assert ("error", "sacctmgr show tres: no billing") == (
        found["accounting: TRES in slurmdbd"]["result"], found["accounting: TRES in slurmdbd"]["value"]
    )  # fmt: skip


@pytest.mark.parametrize(("off", "result", "said"), [(-30, "warning", "behind"), (300, "error", "ahead of")])
def test_another_clock(slurm: Slurm, off: int, result: str, said: str) -> None:
    """slurmdbd's clock is compared with ours."""
    slurm.stats(rolled=NOW, ahead=off)
    _, found = slurm.doctor()

    line = found["slurmdbd: clock"]
    assert (result, True) == (line["result"], said in line["value"])


def test_other_hours(slurm: Slurm) -> None:
    """A slurmdbd whose hours end otherwise than the zone here says is found out by its own statistics."""
    slurm.stats(rolled=NOW, hour=1_795_329_900)  # as a Slurm in LAB-0:15 said
    code, found = slurm.doctor()

    assert (3, "error") == (code, found["slurmdbd: hours"]["result"])
    assert "ended 45 minutes into one" in found["slurmdbd: hours"]["meaning"]


def test_hours_that_nothing_confirms(slurm: Slurm) -> None:
    """Without slurmdbd's zone, marks or statistics the zone here is a guess, and said to be one."""
    slurm.stats(rolled=NOW)
    _, found = slurm.doctor()

    line = found["slurmdbd: hours"]
    assert ("warning", True) == (line["result"], line["mend"].startswith("[slurm] timezone"))


@pytest.mark.parametrize(("zone", "hour", "result"), [("UTC", 0, "ok"), ("+05:30", 1_795_329_900, "error")])
def test_hours_by_the_configuration(slurm: Slurm, zone: str, hour: int, result: str) -> None:
    """The zone of slurmdbd that the configuration says is named, and held against slurmdbd's statistics."""
    slurm.stats(rolled=NOW, hour=hour)
    with (slurm.folder / "opsd.toml").open("a") as file:
        file.write(f'timezone = "{zone}"\n')
    _, found = slurm.doctor()

    line = found["slurmdbd: hours"]
    assert (result, True) == (line["result"], f"by [slurm] timezone = {zone}" in line["value"])


def test_a_configuration_file_that_is_not_there(slurm: Slurm) -> None:
    """Slurm's commands would wait a minute each for it: none is run, and the file is named."""
    with (slurm.folder / "opsd.toml").open("a") as file:
        file.write('conf = "/nowhere/slurm.conf"\n')
    code, found = slurm.doctor()

    assert (1, False) == (code, (slurm.folder / "asked").exists())
    assert "/nowhere/slurm.conf: no such file" in found["accounting: storage"]["meaning"]


def test_old_sums(slurm: Slurm) -> None:
    """A roll-up that does not run."""
    slurm.stats(rolled=NOW - 90_000)
    assert "error" == slurm.doctor()[1]["slurmdbd: roll-up"]["result"]
    slurm.stats(rolled=0)
    assert "warning" == slurm.doctor()[1]["slurmdbd: roll-up"]["result"]


def test_runaways(slurm: Slurm) -> None:
    """Rows without an end whose jobs slurmctld does not know; not those that just began, nor pending ones."""
    rows = [
        "7|es-bio|ana|1795000000|Unknown",
        "8|es-bio|ana|1795000000|Unknown",
        f"9|es-bio|ana|{int(time.time())}|Unknown",  # a long suite is not what has just begun
    ]
    rows += ["10|es-bio|ana|Unknown|Unknown", "11|es-bio|ana|1795000000|1795000100"]
    slurm.answer("alive", "\n".join(["JobIDRaw|Account|User|Start|End", *rows, ""]))
    code, found = slurm.doctor()

    line = found["slurmdbd: runaway jobs"]
    assert (3, "error") == (code, line["result"])
    assert "1 rows without an end" in line["value"]
    assert "8 (es-bio, since 2026-11-18)" in line["value"]
    assert "sacctmgr show runaway" in line["mend"]


def test_records_on_their_way_are_no_runaways(slurm: Slurm) -> None:
    """While slurmctld holds records back, nobody can say."""
    slurm.answer("queue", "")
    slurm.change("sdiag", "DBD Agent queue size: 0", "DBD Agent queue size: 12")

    assert "unknown" == slurm.doctor()[1]["slurmdbd: runaway jobs"]["result"]


def test_a_long_queue(slurm: Slurm) -> None:
    """slurmdbd has been away for long."""
    slurm.change("sdiag", "DBD Agent queue size: 0", "DBD Agent queue size: 15000")
    line = slurm.doctor()[1]["slurmdbd: queue"]

    assert "error" == line["result"]
    assert "MaxDBDMsgs = 20032" in line["meaning"]


def test_factors(slurm: Slurm) -> None:
    """A QOS that counts twice."""
    slurm.answer("qos", "normal|1.000000\nurgent|2.000000\n")
    line = slurm.doctor()[1]["limits: UsageFactor"]

    assert ("warning", "urgent: UsageFactor = 2.000000") == (line["result"], line["value"])


def test_missing_columns(slurm: Slurm) -> None:
    """An older sacct."""
    slurm.answer("columns", columns().replace(" DBIndex", "").replace(" Flags", ""))
    line = slurm.doctor()[1]["rights: sacct columns"]

    assert ("warning", "2 columns are missing") == (line["result"], line["value"])
    assert "sacct has no column DBIndex" in line["meaning"]


def test_no_rights(slurm: Slurm) -> None:
    """Without them the rest is still looked at."""
    slurm.answer("rights", "None\n")
    program = slurm.folder / "bin" / "sacctmgr"
    denied = "echo 'sacctmgr: error: Access denied' >&2; exit 1 ;;\n"
    program.write_text(program.read_text().replace("case ", f'case "$*" in *stats*) {denied}esac\ncase ', 1))
    code, found = slurm.doctor()

    assert (3, "error") == (code, found["rights: operator rights"]["result"])
    assert "adminlevel=Operator" in found["rights: operator rights"]["mend"]
    assert "ok" == found["accounting: storage"]["result"]


def test_no_slurm(slurm: Slurm) -> None:
    """Where nothing answers, everything about Slurm is unknown, and the exit code says that it failed."""
    for name in ("sacct", "sacctmgr", "scontrol", "squeue", "sdiag"):
        (slurm.folder / "bin" / name).unlink()
    code, found = slurm.doctor()

    assert (1, {"unknown"}) == (code, {line["result"] for line in found.values() if line["group"] in SLURM})


def test_the_database(slurm: Slurm, database: Store) -> None:
    """What opsd finds out about itself: an account without an award, and that Slurm was never read."""
    row = RunRecord(
        "lab", 1, NOW - 7_300, NOW - 7_300, NOW - 100, "COMPLETED", "es-bio",
        "cpu=4,gres/gpu=2,mem=100,node=1", user="ana", hash=7,
    )  # fmt: skip
    with database.write() as connection:
        number = imports.open_import(connection, "test", NOW, NOW)
        Writer(connection, Inventory((), lambda text: [text]), number, NOW).batch(connection, [row])
    database.close()
    code, found = slurm.doctor()

    unbound = found["opsd's work: unbound accounts"]
    assert ("warning", "lab/es-bio (4 GPU-hours)") == (unbound["result"], unbound["value"])
    assert "opsd account bind lab/es-bio AWARD --from T" == unbound["mend"]
    assert ("ok", "ok", "warning", "warning") == tuple(
        found[name]["result"]
        for name in (
            "opsd's database: schema", "opsd's database: writable", "opsd's work: read up to",
            "opsd's work: daemon",
        )
    )  # fmt: skip
    assert 0 == code


def test_quarantine(slurm: Slurm, database: Store) -> None:
    """Records that could not be read need eyes."""
    bad = imports.Bad("x", 0, 1, "d", 3, b"abc", "", "no column End")
    with database.write() as connection:
        imports.set_aside(connection, [bad], NOW, NOW)
    database.close()
    code, found = slurm.doctor()

    assert (3, "error", "1 records") == (
        code, found["opsd's work: quarantine"]["result"], found["opsd's work: quarantine"]["value"]
    )  # fmt: skip


def test_on_a_terminal(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut and no line is longer than the terminal; words, not colours alone, say what is wrong."""
    monkeypatch.setenv("COLUMNS", "80")
    slurm.change("config", "associations,limits,qos,safe", "(null)")
    code = main(["doctor", *slurm.options])
    out = slurm.capsys.readouterr().out

    assert (3, []) == (code, [line for line in out.splitlines() if len(line) > 80 or "…" in line])
    assert "  ERROR  enforcement" in out
    assert "nothing was changed" in out


def test_a_cluster_that_is_not_configured(slurm: Slurm) -> None:
    """Wrong usage."""
    assert 2 == main(["doctor", "--cluster", "mars", *slurm.options])
