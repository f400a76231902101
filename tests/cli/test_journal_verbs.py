"""`opsd journal` and `opsd award` as they are typed."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from opsd.cli import main
from opsd.core.consortium import Consortium
from opsd.core.drafts import Content, Draft
from opsd.core.journal import Entry
from opsd.pipeline import consortium
from opsd.store import drafts, migrate
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.fakes import consortia
from tests.fakes.consortia import award

WHY = ("--reason", "as agreed", "--author", "Ana")
NEW = [
    "--project", "health", "--pool", "ct", "--unit", "gpu-hours", "--policy", "gpu", "--start", "2026-01-01",
]  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two awards, to copy."""
    path = tmp_path_factory.mktemp("prepared") / "opsd.db"
    store = open_engine(sqlite_address(path))
    migrate.upgrade(store)
    consortium.apply(store, consortia.consortium(award("one"), award("two")), author="Ana", now=0)
    store.close()
    return path


@pytest.fixture
def store(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Such a database, named by the environment."""
    address = sqlite_address(Path(shutil.copy(prepared, tmp_path / "copy.db")))
    monkeypatch.setenv("OPSD_DB", address)
    store = open_engine(address)
    yield store
    store.close()


@pytest.fixture
def guarded(store: Store) -> Store:
    """One in which everything needs a second person."""
    kinds = ["grant", "extension", "transfer", "carry-over", "expiry", "adjustment", "credit"]
    consortium.apply(store, Consortium.of([], second_person=kinds), author="Ana", now=0)
    return store


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, str]]:
    """What a list says, as csv."""
    capsys.readouterr()
    assert 0 == main([*words, "--format", "csv"])
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed since the last look."""
    found = capsys.readouterr()
    return found.out + found.err


# --------------------------------------------------------------------------------------------------- journal


@pytest.mark.parametrize(
    ("kind", "amount", "exact"),
    [
        ("adjustment", "-0.5", "-0.5"),
        ("adjustment", "1/3", "1/3"),
        ("carry-over", "-7", "-7"),
        ("carry-over", "7", "7"),
        ("credit", "+2", "2"),
        ("extension", "0.000001", "0.000001"),
        ("expiry", "-100", "-100"),
    ],
)
def test_an_entry_is_added(
    store: Store, capsys: pytest.CaptureFixture[str], kind: str, amount: str, exact: str
) -> None:
    """Exact, with reason, author and documents, in effect when it is told; the chain stays whole."""
    place = (
        "--kind",
        kind,
        "--award",
        "one",
        f"--amount={amount}",
        "--at",
        "2026-10-01",
        "--evidence",
        "p. 4",
    )
    assert 0 == main(["journal", "add", *place, *WHY])
    [row] = rows(capsys, "journal", "list", "--kind", kind)
    assert ("3", "one", "gpu-hours", exact, "2026-10-01T00:00:00+00:00", "as agreed", "Ana", "") == tuple(
        row[name] for name in ("id", "award", "unit", "amount", "at", "reason", "author", "approver")
    )
    assert ({"documents": ["p. 4"]}, 0) == (json.loads(row["evidence"]), main(["journal", "verify"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kind", "credit", "--amount=-1"], "a credit gives: take away by --kind adjustment"),
        (["--kind", "expiry", "--amount", "5"], "an expiry takes away: write --amount=-5"),
        (["--kind", "adjustment", "--amount", "0"], "an entry gives or takes something"),
        (["--kind", "adjustment", "--amount", "1e3"], "not an exact number: '1e3'"),
        (["--kind", "adjustment", "--amount", "1/7"], "not a whole number of micro-unit-seconds: '1/7'"),
        (
            ["--kind", "adjustment", "--amount", "1", "--award", "onne"],
            "award 'onne': there is none; did you",
        ),
        (["--kind", "adjustment", "--amount", "1", "--reason", "  "], "--reason is empty"),
        (["--kind", "adjustment", "--amount", "1", "--author", " "], "--author: nobody is named"),
        (["--kind", "adjustment", "--amount", "1", "--reason", "a\nb"], "--reason holds a line break"),
        (["--kind", "close", "--amount", "1"], "invalid choice: 'close'"),
    ],
)
def test_what_is_not_added(
    store: Store, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """A sign that the kind does not allow, no amount, award, reason or author: refused with what to do."""
    assert main(["journal", "add", "--award", "one", *WHY, *words]) in (1, 2)
    assert message in said(capsys)
    assert 2 == len(rows(capsys, "journal", "list"))


def test_a_reason_must_be_given(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no entry without one."""
    assert 2 == main(["journal", "add", "--kind", "credit", "--award", "one", "--amount", "1"])
    assert "--reason" in said(capsys)


def test_nobody_nameless_writes(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no login is known, an author must be told."""

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nobody)
    add = ["journal", "add", "--kind", "credit", "--award", "one", "--amount", "1", "--reason", "x"]
    assert 2 == main(add)
    assert "no login is known: write who answers for it" in said(capsys)
    assert 0 == main([*add, "--author", "Ana"])


def test_a_list_is_chosen_from(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """By award, kind and when they take effect; all columns in csv and json, a table for people."""
    for day in ("2026-10-01", "2026-10-31"):
        main(["journal", "add", "--kind", "credit", "--award", "two", "--amount", "1", "--at", day, *WHY])
    for words, ids in (
        (["--award", "two"], ["2", "3", "4"]), (["--kind", "grant"], ["1", "2"]),
        (["--from", "2026-10-01", "--to", "2026-10-31"], ["3"]), (["--from", "2026-10-31"], ["4"]),
    ):  # fmt: skip
        assert ids == [row["id"] for row in rows(capsys, "journal", "list", *words)]
    main(["journal", "list", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert [one["hash"] for one in found][:-1] == [one["previous"] for one in found][1:]
    main(["journal", "list"])
    assert "as agreed" in said(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--kind", "credits"], "--kind 'credits': there is none; did you mean 'credit'?"),
        (["list", "--award", "ones"], "--award 'ones': there is none; did you mean 'one'?"),
        (["list", "--drafts", "--award", "ones"], "--award 'ones': there is none"),
        (["verify", "--head", " "], "--head is empty"),
        (["approve", "99999999999999999999"], "draft 99999999999999999999: there is none"),
        (["decline", "-1", "--reason", "x"], "draft -1: there is none"),
    ],
)
def test_what_is_not_there_is_said(
    store: Store, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """An empty list would look like an answer."""
    assert main(["journal", *words]) in (1, 2)
    assert message in said(capsys)


@pytest.mark.parametrize("document", ["", " ", "two\nlines"])
def test_evidence_is_a_line_of_words(store: Store, capsys: pytest.CaptureFixture[str], document: str) -> None:
    """What an entry rests on can be printed; a blank is nothing to rest on."""
    words = ["journal", "add", "--kind", "credit", "--award", "one", "--amount", "1", "--evidence", document]
    assert 2 == main([*words, *WHY])
    assert "--evidence" in said(capsys)
    assert 2 == len(rows(capsys, "journal", "list"))


def test_the_head_of_an_empty_journal_is_before_every_other(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever printed it first can go on comparing."""
    assert 0 == main(["journal", "verify", "--head", "0" * 64])
    assert "the chain is whole" in said(capsys)


def test_verify_prints_the_head_and_names_what_is_wrong(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 and the head while it is whole, also with a head of before; 1 and the entry where one was changed."""
    head = rows(capsys, "journal", "list")[-1]["hash"]
    assert 0 == main(["journal", "verify", "--head", head])
    assert f"entries: 2\nhead: {head}\nthe chain is whole\n" == capsys.readouterr().out
    with store.write() as connection:
        connection.execute(text("DROP TRIGGER journal_no_update"))
        connection.execute(text("UPDATE journal SET amount = amount + 1 WHERE id = 1"))
    assert 1 == main(["journal", "verify"])
    assert "entry 1 was changed: it does not match its hash\n" in said(capsys)


def test_a_head_that_was_cut_off_is_missed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A journal without its last entry is whole in itself; whoever kept the head finds out."""
    head = rows(capsys, "journal", "list")[-1]["hash"]
    with store.write() as connection:
        connection.execute(text("DROP TRIGGER journal_no_delete"))
        connection.execute(text("DELETE FROM journal WHERE id = 2"))
    assert 0 == main(["journal", "verify"])
    assert 1 == main(["journal", "verify", "--head", head])
    assert f"no entry has the hash {head}" in said(capsys)


# ---------------------------------------------------------------------------------------------- two persons


def test_a_draft_is_told_approved_and_listed(guarded: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The first is told how the second posts it; the entry carries both, and the draft what became of it."""
    assert 0 == main(["journal", "add", "--kind", "expiry", "--award", "one", "--amount=-3", *WHY])
    assert "draft 1 waits; a second person posts it: opsd journal approve 1\n" in said(capsys)
    assert 2 == len(rows(capsys, "journal", "list"))
    assert 1 == main(["journal", "approve", "1", "--author", "ana"])
    assert "draft 1 is Ana's own: a second person must approve" in said(capsys)
    assert 0 == main(["journal", "approve", "1", "--author", "Bob"])
    [entry] = rows(capsys, "journal", "list", "--kind", "expiry")
    assert ("-3", "Ana", "Bob") == (entry["amount"], entry["author"], entry["approver"])
    [draft] = rows(capsys, "journal", "list", "--drafts")
    assert ("posted", "Ana", "Bob", "-3") == tuple(
        draft[name] for name in ("state", "author", "decided_by", "amount")
    )


def test_a_draft_is_declined(guarded: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Its reason stays with it, and it cannot be posted any more; one that is not there is named."""
    main(["award", "transfer", "one", "two", "--amount", "3", *WHY])
    assert 0 == main(["journal", "decline", "1", "--author", "Bob", "--reason", "not agreed"])
    both = rows(capsys, "journal", "list", "--drafts")
    assert [("declined", "not agreed", "-3"), ("declined", "not agreed", "3")] == [
        (one["state"], one["decision"], one["amount"]) for one in both
    ]
    assert 1 == main(["journal", "approve", "1", "--author", "Eve"])
    assert 1 == main(["journal", "approve", "7", "--author", "Eve"])
    assert "draft 7: there is none" in said(capsys)


def test_a_dry_run_says_that_it_would_wait(guarded: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """And keeps no draft."""
    main(["award", "extend", "one", "--amount", "+3", "--dry-run", *WHY])
    assert "dry run: nothing was written; it would wait for a second person\n" in said(capsys)
    assert [] == rows(capsys, "journal", "list", "--drafts")


def test_a_refresh_looks_for_failures(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A draft of a run that is not charged any more goes; without --drafts there is nothing to refresh."""
    with store.write() as connection:
        entry = Entry(0, 0, "credit", "one", "gpu-hours", 1, "node", "opsd")
        drafts.keep(connection, Draft(0, "credit", Content((entry,)), mark="mini/1@1790841600"))
    assert ["declined"] == [row["state"] for row in rows(capsys, "journal", "list", "--drafts", "--refresh")]
    assert 2 == main(["journal", "list", "--refresh"])


# ---------------------------------------------------------------------------------------------------- awards


def test_awards_are_granted_extended_and_listed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """What was typed stands in the list; the export of it applies without a change."""
    new = ["new", "--amount", "12.5", "--end", "2026-07-01", "--mode", "Playground"]
    assert 0 == main(["award", "grant", *new, *NEW, *WHY])
    assert 0 == main(["award", "extend", "new", "--amount", "+0.5", "--until", "2026-08-01", *WHY])
    row = rows(capsys, "award", "list")[0]
    assert {
        "id": "new", "project": "health", "pool": "ct", "unit": "gpu-hours", "granted": "13", "left": "13",
        "start": "2026-01-01T00:00:00+00:00", "end": "2026-08-01T00:00:00+00:00", "mode": "Playground",
    } == row  # fmt: skip
    main(["consortium", "export"])
    exported = capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exported.encode())))
        assert 0 == main(["consortium", "apply", "-"])
    assert "nothing to change\n" == capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "160")  # a narrow terminal leaves the mode out
        main(["award", "list"])
    assert "Playground" in said(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["grant", "new", "--amount", "-5", *NEW], "a negative grant: '-5'"),
        (["grant", "unattributed", "--amount", "5", *NEW], "unattributed"),
        (["grant", "new", "--amount", "5", *NEW, "--pool", "moon"], "unknown pool 'moon'"),
        (["grant", "new", "--amount", "5", *NEW, "--unit", "node-hours"], "policy 'gpu' charges gpu-hours"),
        (["grant", "one", "--amount", "5", *NEW], "award 'one' exists: opsd award extend"),
        (["extend", "one"], "nothing to extend; write --amount, --until or both"),
        (["extend", "one", "--amount", "-5"], "--amount -5: write how many unit-hours, above 0"),
        (["extend", "one", "--until", "2030-01-01"], "award 'one' has no end"),
        (["transfer", "one", "two", "--amount", "101"], "'one' has 100 gpu-hours left, not 101"),
        (
            ["credit", "one", "--amount", "1", "--run", "mini-7"],
            "not a run: 'mini-7'; write CLUSTER/",
        ),
        (["credit", "nobody", "--amount", "1"], "award 'nobody': there is none"),
        (
            ["credit", "one", "--amount", "1/7"],
            "--amount: amount is not a whole number of micro-unit-seconds: '1/7'",
        ),
        (["extend", "one", "--amount", "0.0000000001"], "'0.0000000001'; write a decimal with at most 8"),
    ],
)
def test_what_is_refused(
    store: Store, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """Named, with what to do, and nothing is written."""
    assert main(["award", *words, *WHY]) in (1, 2)
    assert message in said(capsys)
    assert 2 == len(rows(capsys, "journal", "list"))


def test_a_transfer_and_a_credit_are_told(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A line per entry, with who answers for it."""
    main(["award", "transfer", "one", "two", "--amount", "30", *WHY])
    told = said(capsys)
    assert "entry 3: transfer one -30 gpu-hours with two from " in told
    assert "entry 4: transfer two +30 gpu-hours with one from " in told
    assert "(as agreed; Ana)" in told
    main(["award", "credit", "one", "--amount", "5", *WHY])
    assert "entry 5: credit one +5 gpu-hours from " in said(capsys)
    assert ["75", "130"] == [row["left"] for row in rows(capsys, "award", "list")]
