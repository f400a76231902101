"""A closed month in real formats: the same bytes for ever, and the whole way on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsd import reports
from opsd.cli import main
from opsd.core.dossier import Dossier
from opsd.core.period import DAY, HOUR
from opsd.core.statement.build import REPORTED, build
from opsd.pipeline import verify
from opsd.reports.locale import STYLES
from opsd.store import editions
from opsd.store.editions import File
from opsd.store.engine import Store, open_engine
from tests.pipeline import closing_world
from tests.pipeline.closing_world import MEANS, SEEN, window

MONTH = "2026-10"
WRITTEN = [(form, "en") for form in reports.FORMATS if form != "zip"] + [("pdf", "tr"), ("csv", "ro")]


def render(made: Dossier) -> tuple[File, ...]:
    """Every format, and other languages of some."""
    statement = build(made, standing=REPORTED)
    return tuple(
        File(reports.file_name(statement, form, language), reports.render(statement, form, language))
        for form, language in WRITTEN
    )


REAL = MEANS._replace(render=render)


def later_runs(store: Store, held: closing_world.World) -> None:
    """A thousand runs of after the month."""
    end = window(MONTH).end
    row = next(row for row in held.rows if row.end is not None)
    rows = [
        row._replace(
            job_id=50_000 + number, hash=50_000 + number, submit=end + number * HOUR,
            start=end + number * HOUR,
            end=end + number * HOUR + DAY, suspended=0,
        )
        for number in range(1_000)
    ]  # fmt: skip
    closing_world.read(store, rows, held.known, SEEN + 30 * DAY)


def files(store: Store) -> tuple[str, list[File]]:
    """The digest of the edition and what is in its files."""
    with store.read() as connection:
        edition = editions.find(connection, MONTH, 1)
        assert edition is not None
        return edition.digest, editions.files(connection, edition)


def test_the_same_bytes_everywhere_and_for_ever(sqlite_url: str, postgres_url: str) -> None:
    """On SQLite and PostgreSQL, closed before and after a thousand later runs, and written again."""
    held = closing_world.world(3, 40)
    here, there = closing_world.stored(sqlite_url, held), closing_world.stored(postgres_url, held)
    assert closing_world.closed(here, MONTH, means=REAL).edition
    later_runs(there, held)
    assert closing_world.closed(there, MONTH, means=REAL).edition

    assert len(WRITTEN) == len(files(here)[1])
    assert [(file.name, file.content) for file in files(here)[1]] == [
        (file.name, file.content) for file in files(there)[1]
    ]
    assert files(here) == files(there)
    later_runs(here, held)
    with here.read() as connection:
        found = verify.run(connection, None, verify.Means(render, MEANS.program))
    assert (len(WRITTEN), []) == (found.written_again, found.faults)
    for store in (here, there):
        store.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, closing_world.World]]:
    """A small world in a database that the command line finds by itself."""
    url = f"sqlite:///{tmp_path / 'opsd.db'}"
    monkeypatch.setenv("OPSD_DB", url)
    held = closing_world.world(3, 25)
    closing_world.stored(url, held).close()
    store = open_engine(url)
    yield store, held
    store.close()


def test_from_close_to_verify(
    world: tuple[Store, closing_world.World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused by name, closed in every format and language, verified, compared with what comes late."""
    store, held = world

    def said(*words: str, rc: int = 0) -> tuple[str, str]:
        assert rc == main(["period", *words])
        return capsys.readouterr()

    assert "no month is closed yet" in said("show")[0]
    _, refused = said("close", MONTH, "--reason", "month end", rc=1)
    assert "not acknowledged: look into each, then say --acknowledge " in refused
    names = refused.split("--acknowledge ")[1].split()
    shown, told = said("close", MONTH, "--reason", "month end", "--author", "Ana", "--acknowledge", *names)
    whole = (len(reports.FORMATS) - 1) * len(STYLES)
    assert f"{MONTH}/1 closed: {whole} files, digest " in told
    assert [] == [name for name in names if name not in shown]
    assert f"{MONTH}/1 is closed" in said("close", MONTH)[1]

    (row,) = json.loads(said("show", "--format", "json")[0])
    assert (MONTH, 1, "Ana", "month end", 0) == tuple(
        row[name] for name in ("period", "edition", "author", "reason", "corrected_gpu_seconds")
    )
    folder = tmp_path / "files"
    said("show", MONTH, "--files", str(folder))
    assert whole == len(list(folder.iterdir()))
    verified = said("verify")[1]
    assert f"{whole} files, {whole} of them written again" in verified
    assert "everything is as it was closed" in verified
    assert "nothing changed since" in said("show", "--pending")[0]
    assert "nothing differs" in said("show", MONTH, "--changes", "1", "known")[0]

    closing_world.longer(store, held, MONTH)
    pending = json.loads(said("show", MONTH, "--pending", "--format", "json")[0])
    changes = json.loads(said("show", MONTH, "--changes", "1", "known", "--format", "json")[0])
    (total,) = [one for one in changes if one["by"] == "total"]
    moved = sum(item["node_seconds"] for item in pending)
    assert {"run"} == {item["what"] for item in pending}
    assert moved == total["node_seconds_after"] - total["node_seconds_before"]
    for by in ("cluster", "pool", "country", "award", "line", "run"):
        parts = [one["node_seconds_after"] - one["node_seconds_before"] for one in changes if one["by"] == by]
        assert moved == sum(parts)


def test_what_is_asked_wrongly_is_said(
    world: tuple[Store, closing_world.World], capsys: pytest.CaptureFixture[str]
) -> None:
    """With what there is instead."""
    store, _ = world
    assert closing_world.closed(store, MONTH).edition
    for words, rc, expected in (
        (("show", "2026-09"), 2, "'2026-09' is not closed; did you mean '2026-10'?"),
        (("show", MONTH, "--edition", "2"), 2, "2026-10 has no edition '2'; there are 1"),
        (("show", "--files", "x"), 2, "name the month: opsd period show 2026-10"),
        (("show", MONTH, "--changes", "1", "later"), 2, "2026-10 has no edition 'later'"),
        (
            ("show", MONTH, "--pending", "--files", "x"),
            2,
            "--pending and --files: ask for one after the other",
        ),
        (("verify", "2026-08"), 2, "'2026-08' is not closed"),
        (("close", "October", "--reason", "x"), 2, "'October' is no month: write 2026-10"),
        (("close", MONTH, "--reason", "two\nlines"), 2, "--reason holds a line break"),
        (("close", MONTH, "--reason", "x", "--author", " "), 2, "--author: nobody is named"),
        (("close", MONTH, "--reason", "x", "--approver", " "), 2, "--approver is empty"),
    ):
        assert rc == main(["period", *words])
        assert expected in capsys.readouterr().err
