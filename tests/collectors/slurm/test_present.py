"""What a cluster is doing now, read from what a real Slurm 22.05 printed and what later ones would."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from collectors.protocol import Present as Source
from collectors.slurm import present
from opsd.core.errors import OpsdError, Unavailable
from opsd.core.present import SOURCES, Present

DATA = Path(__file__).parents[2] / "data" / "slurm-present"
VERSIONS = ("22.05", "made-24.11", "made-25.05", "made-26.05")
REAL = DATA / "22.05"
# sinfo's words for what opsd calls otherwise; of a node where a job ends and another runs it names the first.
OF_SINFO = {"maint": "maintenance", "completing": "mixed"}


@dataclass
class Recorded(Source):
    """Answers what was recorded; `said` overrides by source, and an error there is raised."""

    folder: Path = REAL
    said: Mapping[str, str | OpsdError] = field(default_factory=dict)

    def answer(self, name: str) -> str:
        """The text of a source."""
        found = self.said.get(name)
        if isinstance(found, Exception):
            raise found
        return (self.folder / f"{name}.txt").read_text() if found is None else found

    def queue(self) -> str:
        """As recorded."""
        return self.answer("queue")

    def nodes(self) -> str:
        """As recorded."""
        return self.answer("nodes")

    def scheduler(self) -> str:
        """As recorded."""
        return self.answer("scheduler")

    def shares(self) -> str:
        """As recorded."""
        return self.answer("shares")

    def reservations(self) -> str:
        """As recorded."""
        return self.answer("reservations")

    def licenses(self) -> str:
        """As recorded."""
        return self.answer("licenses")


def look(folder: Path = REAL, **said: str | OpsdError) -> Present:
    """One look, by a watch that goes on by a second each time it is looked at."""
    ticks: Iterator[int] = count()
    return present.read(Recorded(folder, said), lambda: float(next(ticks)))


def as_json(seen: Present) -> str:
    """Everything that was read."""
    shown = {
        name: [one._asdict() for one in found] if isinstance(found, list) else found._asdict()
        for name in SOURCES
        if (found := getattr(seen, name)) is not None
    }
    return json.dumps({**shown, "failed": seen.failed}, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.golden
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_read(version: str, golden: Callable[[Path, str], None]) -> None:
    """Every source of every version is read, into these values."""
    seen = look(DATA / version)

    assert {} == seen.failed
    golden(DATA / version / "expected.json", as_json(seen))


def test_tasks_are_those_that_squeue_lists_one_by_one() -> None:
    """Counted from the brackets of pending arrays, jobs and GPUs are what `squeue --array` shows."""
    expected: Counter[tuple[str, str, str, int]] = Counter()
    for line in (REAL / "tasks.txt").read_text().splitlines():
        number, _, words = line.partition(" ")
        state, partition, account, tres = words.split("|")
        gpus = next((part.partition("=")[2] for part in tres.split(",") if part.startswith("gres/gpu=")), "0")
        expected[state.lower(), partition, account, int(gpus)] += int(number)
    found: Counter[tuple[str, str, str, int]] = Counter()
    for job in look().queue or ():
        found[job.state, job.partition, job.account, job.gpus] += job.tasks

    assert 298 == expected.total()
    assert expected == found


def test_nodes_are_as_sinfo_shows_them() -> None:
    """State, configured and used GPUs of every node are what `sinfo` prints of the same moment."""
    expected = {}
    for line in (REAL / "sinfo.txt").read_text().splitlines():
        node, state, gres, used = line.split("|")
        gpus = tuple(int(text.partition("(")[0].rpartition(":")[2] or 0) for text in (gres, used))
        expected[node] = (OF_SINFO.get(state, state), *gpus)
    found = {
        node.name: (node.state, sum(node.gpus.values()), sum(node.allocated.values()))
        for node in look().nodes or ()
    }

    assert 11 == len(expected)
    assert expected == found


def test_reasons_are_whole_and_forge_nothing() -> None:
    """A drain reason may hold |, brackets, a line end and what looks like fields; it stays the reason."""
    told = {node.name: (node.state, node.reason, node.reason_since) for node in look().nodes or ()}

    words = "fan 3 noisy | State=IDLE CfgTRES=gres/gpu=9 call [Ann@2026-11-27T08:00:00]"
    assert ("drained", words, 1795857161) == told["n3"]
    assert ("drained", "disk State=DOWN", 1795857139) == told["c4"]
    assert ("mixed", "", None) == told["n1"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ("", None)),
        (" Reason=psu [root@1795857139]", ("psu", 1795857139)),
        (" Reason=psu [root@Unknown]", ("psu", None)),
        (" Reason=psu", ("psu", None)),
        (
            " Reason=disk [root@1795857139]        State=DOWN Comment=ask [x@1] Extra=rack=5",
            ("disk State=DOWN", 1795857139),
        ),
        (" Comment=on loan Reason=none [x@1795857139]", ("", None)),
        (" Extra=State=DOWN Reason=none [x@1795857139]", ("", None)),
    ],
)
def test_words_behind_a_node(words: str, expected: tuple[str, int | None]) -> None:
    """Comments, which Slurm prints behind the reason, are none, and a text in them gives none."""
    (node,) = look(nodes=f"NodeName=a Gres=(null) State=IDLE Partitions=x AveWatts=0{words}\n").nodes or ()

    assert expected == (node.reason, node.reason_since)
    assert "idle" == node.state


def test_a_question_that_fails_takes_no_other_with_it() -> None:
    """It is absent, says why and has no duration; the others are there, each with how long it took."""
    seen = look(queue=Unavailable("squeue ended with 1"), licenses="LicenseName=x Total=many Used=0\n")

    assert (None, None) == (seen.queue, seen.licenses)
    assert {"queue": "squeue ended with 1"}.items() < seen.failed.items()
    assert "Total is not a whole number: 'many'" in seen.failed["licenses"]
    assert "LicenseName=x Total=many Used=0" in seen.failed["licenses"]
    assert {name: 1.0 for name in SOURCES if name not in seen.failed} == seen.seconds


def test_a_bug_is_not_a_failed_question() -> None:
    """Only trouble in the world and in the text is kept as a reason."""

    class Broken(Recorded):
        def nodes(self) -> str:
            raise KeyError("nodes")

    with pytest.raises(KeyError):
        present.read(Broken(), lambda: 0.0)


def test_gpus_of_reservations_without_nodes() -> None:
    """Where Slurm does not list them and nodes are not known, a reservation's GPUs are not 0 but unknown."""
    seen = look(nodes=Unavailable("no"))

    gpus = {one.name: one.gpus for one in seen.reservations or ()}
    assert {"upgrade": None, "class": None, "now-maint": None, "cores": 0, "part": None, "licres": 0} == gpus


SHARES = "Account|User|NormShares|EffectvUsage|LevelFS\n"
QUEUE = "a|b|c|d|e|f|g|h|i|j|k|l\n"


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        ("queue", "", "Reason, but nothing"),
        ("queue", "JOBID|PARTITION\n", "no whole table"),
        ("queue", f"{QUEUE}12|cpu|a|u|q|RUNNING|1|1795857138|1795857138", "no whole table"),
        ("queue", f"{QUEUE}12|cpu|a\n", "there are 3 columns, not 12"),
        ("queue", f"{QUEUE}1|p|a|u|q|RUNNING|1|2026-11-28T09:00:00|N/A|N/A||None\n", "local time without"),
        ("queue", f"{QUEUE}1_[1-3,...]|p|a|u|q|PENDING|1|N/A|N/A|N/A||None\n", "tasks of an array are cut"),
        ("queue", f"{QUEUE}1_[9-3]|p|a|u|q|PENDING|1|N/A|N/A|N/A||None\n", "run backwards"),
        ("queue", f"{QUEUE}1_[1-3,5|p|a|u|q|PENDING|1|N/A|N/A|N/A||None\n", "not a job id"),
        ("queue", f"{QUEUE}1|p|a|u|q|RUNNING|1K|N/A|N/A|N/A||None\n", "NumNodes is not a whole number"),
        ("queue", f"{QUEUE}1|p|a|u|q|RUNNING|1|N/A|N/A|N/A|gres/gpu=x|None\n", "TRES gres/gpu"),
        ("nodes", "", "printed no node"),
        ("nodes", "Node=a State=IDLE\n", "does not begin with NodeName="),
        ("nodes", "NodeName=a Gres=gpu:4 Reason=State=IDLE [root@1]\n", "no State="),
        ("nodes", "NodeName=a State=IDLE Partitions=x\n", "no Gres="),
        ("nodes", "NodeName=a Gres=gpu:h100:four:2 State=IDLE\n", "not gpu:TYPE:COUNT"),
        ("nodes", "NodeName=a Gres=gpu:x:2,gpu:y:2 State=MIXED AllocTRES=gres/gpu=1\n", "of which type"),
        ("scheduler", "slurm_load_jobs error\n", "no Server thread count"),
        ("scheduler", "Server thread count: few\n", "Server thread count is not a whole number"),
        ("shares", "Account|User|NormShares\n", "no whole table"),
        ("shares", f"{SHARES}a||much|0|0\n", "NormShares is not a number"),
        ("reservations", "ReservationName=x StartTime=1795857138 NodeCnt=1\n", "no EndTime="),
        ("licenses", "LicenseName=x Total=1 Used=0\nLicenseName=x Total=1 Used=0\n", "stands twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_absent(source: str, text: str, message: str) -> None:
    """A line that Slurm would not print refuses that whole answer, with a reason that names it."""
    seen = look(**{source: text})

    assert [source] == list(seen.failed)
    assert message in seen.failed[source]


def test_where_nobody_counts_shares() -> None:
    """Without priority/multifactor sshare prints zeros behind no share: they are not taken for usage."""
    text = "root|||0.000000|0.000000\n es|||0.000000|0.000000\n"
    (share,) = look(shares=SHARES + text).shares or ()

    assert ("es", None, None, None) == share


def test_why_a_job_waits_names_no_nodes() -> None:
    """The nodes that Slurm adds to a reason change all the time and would make a label of each."""
    (waiting, running) = look(DATA / "made-24.11").queue or ()

    assert ("ReqNodeNotAvail", 5) == (waiting.reason, waiting.tasks)
    assert ("", 8) == (running.reason, running.gpus)
