"""The spool: what was measured is handed out until it was fetched, and survives what befalls its folder."""

from __future__ import annotations

import errno
import gzip
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exporters.http_server import Request
from exporters.page import Page
from exporters.spool import KEPT_SECONDS, Spool, add_spool
from exporters.spool_file import CLOSED, OPEN, Contents, SpoolFile
from opsd.core.errors import Unavailable
from opsd.core.measured import Measured

AT = 1_800_000_000.0


def record(job: int) -> Measured:
    """A record of a job."""
    return Measured(job, "GPU-a", 100, 200, account="es-bio", user="ana", energy_mj=job)


def spool(*jobs: int, most_bytes: int = 2**20) -> Spool:
    """A new spool with a record of each job."""
    new = Spool("node1", most_bytes)
    new.restore(Contents("abc"))
    new.add(map(record, jobs), AT)
    return new


def ask(of: Spool, method: str = "GET", headers: dict[str, str] | None = None, **query: object) -> Any:
    """What a request is answered, as its JSON."""
    given = {name: str(value) for name, value in query.items()}
    answer = of.answer(Request(method, "/spool", given, headers or {}))
    assert (200, "application/json") == (answer.status, answer.kind)
    return json.loads(gzip.decompress(answer.body) if answer.encoding else answer.body)


def jobs(of: Spool) -> list[int]:
    """The jobs that it hands out."""
    return [one["job_id"] for one in ask(of)["records"]]


# --------------------------------------------------------------------------------------------- the answer


def test_an_answer() -> None:
    """It says whose spool it is, how far it goes, and whether there is more."""
    kept = spool(1, 2, 3)
    first = ask(kept, limit=2)
    second = ask(kept, after=first["cursor"], limit=2)

    assert {"version": 1, "node": "node1", "spool": "abc", "more": True} == {
        name: value for name, value in first.items() if name not in ("cursor", "records")
    }
    assert [record(1).as_json(), record(2).as_json()] == first["records"]
    assert (False, [record(3).as_json()]) == (second["more"], second["records"])
    assert first["cursor"] < second["cursor"] == ask(kept, after=second["cursor"])["cursor"]


def test_an_empty_spool() -> None:
    """It has no record, and nothing more."""
    assert {"version": 1, "node": "node1", "spool": "abc", "cursor": 0, "more": False, "records": []} == ask(
        spool()
    )


def test_gzip() -> None:
    """Who takes gzip gets it."""
    zipped = spool(1).answer(Request("GET", "/spool", {}, {"accept-encoding": "gzip"}))

    assert "gzip" == zipped.encoding
    assert [1] == [one["job_id"] for one in json.loads(gzip.decompress(zipped.body))["records"]]
    assert ask(spool(1)) == ask(spool(1), headers={"accept-encoding": "gzip"})


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"after": "-1"}, "after: not a whole number: '-1'"),
        ({"after": "x"}, "after: not a whole number: 'x'"),
        ({"after": "9" * 19}, "after: not a whole number"),
        ({"limit": ""}, "limit: not a whole number: ''"),
        ({"limit": "0"}, "limit: 0: 1 to 10,000 records"),
        ({"limit": "10001"}, "limit: 10001: 1 to 10,000 records"),
    ],
)
def test_a_question_that_makes_no_sense(query: dict[str, str], words: str) -> None:
    """It is refused with a word on why."""
    answer = spool(1).answer(Request("GET", "/spool", query, {}))

    assert 400 == answer.status
    assert words in answer.body.decode()


def test_before_anything_was_read() -> None:
    """There is no answer yet."""
    assert 503 == Spool("node1").answer(Request("GET", "/spool", {}, {})).status


def test_a_thousand_at_a_time() -> None:
    """Who asks for no number of records gets a thousand at most."""
    answer = ask(spool(*range(1, 1501)))

    assert (1000, True) == (len(answer["records"]), answer["more"])


# ----------------------------------------------------------------------------------------------- pruning


def test_what_was_fetched_is_dropped() -> None:
    """Asking for what comes after a record proves that it was fetched; asking again for it does not."""
    kept = spool(1, 2, 3)
    cursor = ask(kept, limit=2)["cursor"]
    kept.add([], AT)
    assert [1, 2, 3] == jobs(kept)

    ask(kept, after=cursor)
    kept.add([], AT)
    assert ([3], 1, 0) == (jobs(kept), kept.records, kept.dropped)


def test_a_number_that_was_never_handed_out() -> None:
    """It proves nothing: not a guess, not the cursor of another spool, and not what a HEAD was answered."""
    for beyond in (-1, 0, 1, 10**17):
        kept = spool(1, 2, 3)
        ask(kept, after=ask(kept, method="HEAD")["cursor"] + beyond)
        kept.add([], AT)

        assert [1, 2, 3] == jobs(kept)


def test_an_agent_that_forgot_what_it_handed_out() -> None:
    """Killed just then, it believes who has the records all the same, as soon as it is asked once more."""
    kept = spool(1, 2, 3)
    cursor = ask(kept)["cursor"]
    again = Spool("node1")
    again.restore(kept.contents(None)._replace(served=0))
    left = []
    for _ in range(2):
        ask(again, after=cursor)
        again.add([], AT)
        left.append(again.records)

    assert [3, 0] == left
    assert (0, 0) == (again.records, again.dropped)


def test_a_cursor_of_another_spool_is_no_way_in() -> None:
    """Even taken at its word, the answer to it lets nothing be dropped."""
    kept = spool(1, 2, 3)
    foreign = ask(kept, after=10**17)
    ask(kept, after=foreign["cursor"], limit=1)
    kept.add([], AT)

    assert [1, 2, 3] == jobs(kept)


def test_after_14_days() -> None:
    """What nobody fetched is dropped, and counted."""
    kept = spool(1, 2)
    kept.add([record(3)], AT + 60)
    kept.add([], AT + KEPT_SECONDS - 1)
    assert [1, 2, 3] == jobs(kept)

    kept.add([], AT + KEPT_SECONDS + 30)
    assert ([3], 2) == (jobs(kept), kept.dropped)


def test_more_than_fits() -> None:
    """The oldest makes room, and is counted."""
    size = len(json.dumps(record(1).as_json(), separators=(",", ":")))
    kept = spool(1, 2, 3, most_bytes=3 * size)
    kept.add([record(4), record(5)], AT)

    assert ([3, 4, 5], 2) == (jobs(kept), kept.dropped)
    for number in range(6, 50):
        kept.add([record(number % 9 + 1)], AT)
    assert (3, 46) == (kept.records, kept.dropped)


def test_numbers_rise() -> None:
    """Also where many records are closed at once, and where the clock is set back."""
    kept = spool(*range(1, 20))
    kept.add([record(20)], AT - 9999)
    kept.add([record(21)], AT + 1)
    numbers = [entry.number for entry in kept.contents(None).entries]

    assert sorted(set(numbers)) == numbers
    assert int(1000 * (AT + 1)) == numbers[-1]


def test_on_the_page() -> None:
    """How many records wait, were dropped and could not be written."""
    page = Page()
    add_spool(page, spool(1, 2), 5)

    assert [2, 0, 5] == [
        page.series(f"opsd_node_spool_{name}")[()]
        for name in ("records", "dropped_total", "write_failures_total")
    ]


# --------------------------------------------------------------------------------------------- the folder


def read(folder: Path, name: str = "new") -> tuple[Contents, tuple[str, ...]]:
    """What an agent that starts finds."""
    file = SpoolFile(folder)
    found = file.read(name)
    file.close()
    return found.contents, found.faults


def test_a_folder_comes_back(tmp_path: Path) -> None:
    """What was written is what is read, by whoever comes next; only the owner may look."""
    folder = tmp_path / "spool"
    file = SpoolFile(folder)
    assert (Contents("new"), ()) == file.read("new")
    kept = spool(1, 2)
    for job in (3, 4, 5):
        file.write(kept.contents({"round": job}))
        kept.add([record(job)], AT)
    ask(kept, after=ask(kept, limit=3)["cursor"])
    kept.add([], AT)
    file.write(kept.contents({"round": 9}))
    file.close()

    contents, faults = read(folder)
    assert (kept.contents({"round": 9}), ()) == (contents, faults)
    assert [4, 5] == [json.loads(entry.line)["job_id"] for entry in contents.entries]
    assert {0o600} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert 0o700 == folder.stat().st_mode & 0o777


def test_two_agents(tmp_path: Path) -> None:
    """One folder is one agent's: the other is told, until the first has ended."""
    first, second = SpoolFile(tmp_path), SpoolFile(tmp_path)
    first.read("a")
    with pytest.raises(Unavailable, match="another agent uses it"):
        second.read("b")

    first.close()
    assert "b" == second.read("b").contents.name
    second.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """It is empty as long as it is not there; as soon as it can be made, all is written."""
    folder = tmp_path / "absent" / "spool"
    file = SpoolFile(folder)
    assert Contents("new") == file.read("new").contents
    with pytest.raises(
        Unavailable, match="spool: No such file or directory: what jobs did is kept in memory"
    ):
        file.write(spool(1).contents(None))

    folder.parent.mkdir()
    file.write(spool(1).contents(None))
    file.close()
    assert spool(1).contents(None) == read(folder)[0]


def test_what_is_no_folder(tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "spool").write_text("")
    file = SpoolFile(tmp_path / "spool")

    with pytest.raises(Unavailable, match="spool: Not a directory: nothing is measured until it can be read"):
        file.read("new")


def test_a_folder_that_goes_away(tmp_path: Path) -> None:
    """Whoever takes it away while the agent runs takes nothing that is still in memory."""
    folder = tmp_path / "spool"
    file = SpoolFile(folder)
    file.read("new")
    kept = spool(1, 2)
    file.write(kept.contents(None))
    for path in folder.iterdir():
        path.unlink()
    kept.add([record(3)], AT)
    with pytest.raises(Unavailable, match="No such file"):
        file.write(kept.contents(None))

    file.write(kept.contents(None))
    file.close()
    assert kept.contents(None) == read(folder)[0]


def test_a_file_that_was_cut_by_somebody(tmp_path: Path) -> None:
    """It is written anew, not added to in the middle."""
    file = SpoolFile(tmp_path)
    file.read("new")
    kept = spool(1, 2)
    file.write(kept.contents(None))
    os.truncate(tmp_path / CLOSED, 10)
    kept.add([record(3)], AT)
    with pytest.raises(Unavailable):
        file.write(kept.contents(None))

    file.write(kept.contents(None))
    file.close()
    assert (kept.contents(None), ()) == read(tmp_path)


def test_the_file_stays_small(tmp_path: Path) -> None:
    """What was fetched goes from the disk, too."""
    file = SpoolFile(tmp_path)
    kept = spool()
    file.read("new")
    longest = 0
    for number in range(1, 1500):
        kept.add([record(number)], AT)
        file.write(kept.contents(None))
        ask(kept, after=ask(kept)["cursor"])
        longest = max(longest, (tmp_path / CLOSED).stat().st_size)
    file.write(kept.contents(None))
    file.close()

    assert 65_536 < longest < 70_000
    assert (kept.contents(None), ()) == read(tmp_path)


# ----------------------------------------------------------------------------------------------- damage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with records of jobs 1 to 3 and a state."""
    file = SpoolFile(tmp_path)
    file.read("new")
    file.write(spool(1, 2, 3).contents({"open": [4]}))
    file.close()
    return tmp_path


def held(contents: Contents) -> list[int]:
    """The jobs of its records."""
    return [json.loads(entry.line)["job_id"] for entry in contents.entries]


def test_a_tail_that_was_cut(folder: Path) -> None:
    """Wherever a crash cut the file, whole records are read, the rest is said, and what follows is whole."""
    whole, state = (folder / CLOSED).read_bytes(), (folder / OPEN).read_bytes()
    ends = [end + 1 for end, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(ends[0], len(whole), 7):
        (folder / CLOSED).write_bytes(whole[:length])
        (folder / OPEN).write_bytes(state)
        file = SpoolFile(folder)
        contents, faults = file.read("new")

        kept = [1, 2, 3][: sum(end <= length for end in ends) - 1]
        assert (kept, "abc", {"open": [4]}) == (held(contents), contents.name, contents.state)
        assert (length not in ends) == bool(faults)

        again = Spool("node1")
        again.restore(contents)
        again.add([record(9)], AT)
        file.write(again.contents(None))
        file.close()
        after, faults = read(folder)
        assert ([*kept, 9], ()) == (held(after), faults)
        assert after.entries[-1].number > spool(1, 2, 3).contents(None).last


def test_lines_that_are_no_records(folder: Path) -> None:
    """They are left out and said once: the file is written anew without them."""
    lines = (folder / CLOSED).read_bytes().splitlines(keepends=True)
    lines[2] = b"\0" * 50 + b"\n"
    lines.insert(3, b'{"number":1,"record":{"job_id":"x"}}\n')
    lines.insert(3, b"[" * 100_000 + b"\n")
    lines.insert(3, b'{"number":true,"record":{}}\n')
    (folder / CLOSED).write_bytes(b"".join(lines))

    file = SpoolFile(folder)
    contents, faults = file.read("new")
    file.write(contents)
    file.close()

    assert [1, 3] == held(contents)
    assert ("closed.jsonl: 4 damaged records left out",) == faults
    assert (contents, ()) == read(folder)


@pytest.mark.parametrize("head", [b"", b"\xff\xfe\n", b'{"version":1}\n'], ids=["none", "bytes", "nameless"])
def test_a_first_line_that_is_damaged(folder: Path, head: bytes) -> None:
    """The records are read all the same, and the spool keeps its name by the other file."""
    whole = (folder / CLOSED).read_bytes()
    (folder / CLOSED).write_bytes(head + whole.partition(b"\n")[2])

    contents, faults = read(folder)

    assert ("abc", [1, 2, 3]) == (contents.name, held(contents))
    assert "closed.jsonl: its first line is damaged: written anew" in faults


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version":1,"spool":5}', '{"version":1,"spool":"a","last":-1}']
)
def test_a_state_that_is_damaged(folder: Path, text: str) -> None:
    """Closed records and their numbers stay; what was open is lost, and that is said."""
    (folder / OPEN).write_text(text)

    contents, faults = read(folder)

    assert ("abc", [1, 2, 3], None) == (contents.name, held(contents), contents.state)
    assert spool(1, 2, 3).contents(None).last == contents.last
    assert ["open.json is damaged: what jobs did before now is lost, unless they had ended"] == list(faults)


def test_numbers_go_on_without_the_records(folder: Path) -> None:
    """With either of the two files gone, no number is given a second time under the same name."""
    (folder / CLOSED).unlink()
    contents, _ = read(folder)

    assert ("abc", spool(1, 2, 3).contents(None).last) == (contents.name, contents.last)


@pytest.mark.parametrize("name", [CLOSED, OPEN])
def test_a_newer_opsd_wrote_it(folder: Path, name: str) -> None:
    """It is left alone."""
    written = (folder / name).read_text().replace('"version": 1', '"version": 2')
    written = written.replace('"version":1', '"version":2')
    (folder / name).write_text(written)

    with pytest.raises(Unavailable, match=f"{name} is of version 2, this opsd-node writes 1: give another"):
        read(folder)
    assert written == (folder / name).read_text()


# ----------------------------------------------------------------------------- full disks, and kill -9


class Killed(BaseException):
    """The process is no more."""


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, calls: int, failure: BaseException) -> Iterator[list[str]]:
    """After so many system calls that change something, the next fails: one that writes has written half."""
    done: list[str] = []

    def count(name: str, call: Any) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            done.append(name)
            if len(done) <= calls:
                return call(*given, **named)
            if name == "write":
                call(given[0], bytes(given[1])[: len(given[1]) // 2])
            raise failure

        return counted

    with monkeypatch.context() as patched:
        for name in ("open", "write", "fsync", "ftruncate", "replace", "mkdir"):
            patched.setattr(os, name, count(name, getattr(os, name)))
        yield done


def grown(folder: Path) -> tuple[SpoolFile, Spool]:
    """A spool on disk with records of jobs 1 and 2, and one of job 3 that is not written yet."""
    file, kept = SpoolFile(folder), spool(1, 2)
    file.read("new")
    file.write(kept.contents({"open": [3]}))
    kept.add([record(3)], AT)
    return file, kept


def test_a_kill_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Job 3 is in the records or still open, or both, but never lost; what was there before stays."""
    step = 0
    seen = []
    while True:
        folder = tmp_path / str(step)
        folder.mkdir()
        file, kept = grown(folder)
        try:
            with failing(monkeypatch, step, Killed()):
                file.write(kept.contents({"open": []}))
        except Killed:
            file.close()  # as the kernel does
            contents, _ = read(folder)
            is_open = contents.state == {"open": [3]}
            assert [1, 2] == held(contents)[:2]
            assert is_open or [1, 2, 3] == held(contents)
            seen.append((3 in held(contents), is_open))
        else:
            file.close()
            break
        step += 1

    assert {(False, True), (True, True)} == set(seen)
    assert kept.contents({"open": []}) == read(folder)[0]


def test_a_kill_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of which only a part was made is one to begin with."""
    for step in range(30):
        folder = tmp_path / str(step)
        file = SpoolFile(folder)
        file.read("new")
        try:
            with failing(monkeypatch, step, Killed()):
                file.write(spool(1).contents(None))
        except Killed:
            file.close()
            contents, _ = read(folder)
            assert held(contents) in ([], [1])
        else:
            file.close()
            assert step > 5
            return
    raise AssertionError("never ended")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step finds no room, all is written by the next that finds some, once."""
    said = set()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for step in range(30):
        folder = tmp_path / str(step)
        folder.mkdir()
        file, kept = grown(folder)
        try:
            with failing(monkeypatch, step, full):
                file.write(kept.contents({"open": []}))
        except Unavailable as err:
            said.add(str(err).replace(str(folder), f"{tmp_path}/N"))
        else:
            file.close()
            assert step > 5
            assert {f"{tmp_path}/N: No space left on device: what jobs did is kept in memory only"} == said
            return
        kept.add([record(4)], AT + 5)
        file.write(kept.contents({"open": [5]}))
        file.close()
        assert (kept.contents({"open": [5]}), ()) == read(folder)
    raise AssertionError("never ended")
