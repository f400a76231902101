"""Pages: what they say when all is well, when nothing is there yet, and when something is wrong."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from opsd.core.period import DAY, HOUR
from opsd.pipeline import close, dossier
from opsd.pipeline.close import Means, Request
from opsd.store import steps, tables
from opsd.store.editions import File
from opsd.store.engine import Store
from opsd.store.steps import Last
from opsd.web import page
from opsd.web.guard import HEADERS, is_ours
from tests.web.world import HOSTILE, NOW, Tables, build, client, empty


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The small world."""
    built = build(tmp_path_factory.mktemp("web"))
    yield built
    built.close()


@pytest.fixture(scope="module")
def browser(store: Store) -> TestClient:
    """In front of it."""
    return client(store)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Store]:
    """A database in which nothing is."""
    made = empty(tmp_path)
    yield made
    made.close()


def test_names_from_outside_are_text(browser: TestClient) -> None:
    """Markup in the names of organisations, projects and hints is shown, not obeyed."""
    text = browser.get("/", params={"month": "2026-10"}).text
    found = Tables(text).tables

    assert "<script" not in text
    assert any(HOSTILE in cell.text for row in found["quota"] for cell in row)
    assert HOSTILE == found["nobody"][1][4].text
    assert HOSTILE == browser.get("/api/overview").json()["consortium"]


def test_an_account_of_any_name_is_text(tmp_path: Path) -> None:
    """Slurm's own names come from outside too."""
    built = build(tmp_path)
    with built.write() as connection:
        renamed = tables.account.update().where(tables.account.c.name == "nobody")
        connection.execute(renamed.where(tables.account.c.cluster_id > 0).values(name="nob'\"><img src=x>"))
    text = client(built).get("/", params={"month": "2026-10"}).text
    built.close()

    assert "<img" not in text
    assert "nob'\"><img src=x>" in {row[0].text for row in Tables(text).tables["nobody"]}


def test_without_a_month_the_present_one_is_shown(browser: TestClient) -> None:
    """In the book zone, as far as it has come, with a way back and none ahead."""
    text = browser.get("/").text

    assert "<h1>November 2026</h1>" in text
    assert "So far, until 5 November 2026, 01:00 CET" in text
    assert 'rel="prev" href="/?month=2026-10"' in text
    assert 'rel="next"' not in text


def test_the_month_is_that_of_the_book_zone(store: Store) -> None:
    """Half past midnight in Madrid is still the old month in UTC."""
    now = datetime(2026, 10, 31, 23, 30, tzinfo=UTC).timestamp()
    assert "<h1>November 2026</h1>" in client(store, lambda: now).get("/").text


def test_a_month_leads_to_its_neighbours(browser: TestClient) -> None:
    """Where there is anything to see."""
    text = browser.get("/", params={"month": "2026-10"}).text

    assert 'rel="next" href="/?month=2026-11"' in text
    assert 'rel="prev"' not in text
    assert 'href="/report/2026-10.xlsx"' in text


@pytest.mark.parametrize(
    ("month", "days", "said"),
    [
        ("2026-10", 0, "Since 22 October 2026: earlier accounting was not read"),
        ("2026-11", 0, "So far, until 5 November 2026, 01:00 CET"),
        ("2026-11", 60, "Until 2 November 2026, 01:00 CET: later accounting is not read yet"),
        ("2026-12", 0, "Still to come"),
        ("2026-08", 0, "No accounting before 22 October 2026 was read"),
    ],
)
def test_a_month_says_what_part_of_it_is_shown(store: Store, month: str, days: int, said: str) -> None:
    """Only what was read from its beginning to its end is the whole."""
    text = client(store, lambda: NOW + days * DAY).get("/", params={"month": month}).text

    assert said in text
    assert "The whole month" not in text


def test_a_month_read_from_end_to_end_is_whole(tmp_path: Path) -> None:
    """In the small world none is, until Slurm is read again in December."""
    built = build(tmp_path)
    with built.write() as connection:
        sweep = {"cluster": "mn5", "covered_until": NOW + 60 * DAY, "observed_at": NOW + 60 * DAY}
        connection.execute(tables.sweep.insert().values(**sweep))
    text = client(built, lambda: NOW + 60 * DAY).get("/", params={"month": "2026-11"}).text
    built.close()

    assert "The whole month" in text


def test_a_month_to_come_offers_no_report(browser: TestClient) -> None:
    """There is nothing to report, and it does not say that nothing was used."""
    text = browser.get("/", params={"month": "2026-12"}).text

    assert "December 2026 has not begun." in text
    assert "/report/" not in text
    assert "Everything used" not in text


def test_a_month_without_use_says_so(browser: TestClient) -> None:
    """And where there was some."""
    answer = browser.get("/", params={"month": "2025-02"})

    assert 200 == answer.status_code
    assert "No use was recorded in February 2025" in answer.text
    assert re.search(r'began in <a href="/\?month=2026-1[01]">', answer.text)


@pytest.mark.parametrize(
    "month", ["2026-13", "2026-1", "202610", "0000-01", "9999-12", "2026-10-01", "../x", "2026-१०", "<b>"]
)
@pytest.mark.parametrize("path", ["/", "/api/overview"])
def test_what_is_no_month_is_refused_in_words(browser: TestClient, path: str, month: str) -> None:
    """With 400, the text, and what to write instead."""
    answer = browser.get(path, params={"month": month})

    assert 400 == answer.status_code
    assert "write a month such as 2026-10" in answer.text
    assert path != "/" or "<b>" not in answer.text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("2026-10.docx", "no report format"),
        ("2026-13.csv", "not a month"),
        ("report", "not a month"),
        ("2027-03.csv", "still to come"),
    ],
)
def test_a_report_that_cannot_be_is_refused_in_words(browser: TestClient, name: str, said: str) -> None:
    """With 400 and why."""
    answer = browser.get(f"/report/{name}")

    assert (400, True) == (answer.status_code, said in answer.text)


@pytest.mark.parametrize("asked", ["scope=country:PT", "edition=2", "Locale=es", "as=known&scope="])
def test_a_part_is_not_answered_with_the_whole(browser: TestClient, asked: str) -> None:
    """A download that was meant to be one country's is never everybody's."""
    answer = browser.get(f"/report/2026-10.csv?{asked}")

    assert 400 == answer.status_code
    assert "no such choice here; opsd report writes parts and other editions" in answer.text


@pytest.mark.parametrize(
    ("asked", "said"), [({"locale": "fr"}, "language 'fr'"), ({"as": "knwon"}, "did you mean 'known'")]
)
@pytest.mark.parametrize("path", ["/", "/report/2026-10.csv"])
def test_a_language_or_standing_that_is_none_is_refused_in_words(
    browser: TestClient, path: str, asked: dict[str, str], said: str
) -> None:
    """With what there is."""
    answer = browser.get(path, params=asked)

    assert (400, True) == (answer.status_code, said in html.unescape(answer.text))


def test_a_closed_month_says_so_and_hands_out_what_was_frozen(tmp_path: Path) -> None:
    """The very file; as known now is another, one link away."""
    built = build(tmp_path)
    now = NOW + 60 * DAY
    means = Means(lambda _: (File("opsd-2026-10-edition-1-en.csv", b"frozen"),), "c", "p", "v")
    with built.write() as connection:
        for cluster in ("mn5", "aiup"):
            sweep = {"cluster": cluster, "covered_until": now, "observed_at": now}
            connection.execute(tables.sweep.insert().values(**sweep))
    with built.read() as connection:
        names = tuple(one.name for one in dossier.run(connection, "2026-10", now=now).concerns)
    close.run(built, Request("2026-10", "test", "a reason", "", names), means, now=now)
    browser = client(built, lambda: now)
    page = browser.get("/", params={"month": "2026-10"}).text
    known = browser.get("/", params={"month": "2026-10", "as": "known"}).text

    assert "Closed on 4 January 2027, edition 1" in page
    assert 'href="/?month=2026-10&amp;as=known"' in page
    assert "They are those known now; the report is as the month was closed." in page
    assert "They are those known now" not in known
    assert "As known now" in known
    assert 'href="/report/2026-10.csv?as=known"' in known
    assert b"frozen" == browser.get("/report/2026-10.csv").content
    assert b"frozen" != browser.get("/report/2026-10.csv", params={"as": "known"}).content
    built.close()


def test_another_month_keeps_the_language(tmp_path: Path) -> None:
    """And not the standing, which is one month's matter; each way to take the report says what it is for."""
    built = build(tmp_path)
    page = client(built).get("/", params={"month": "2026-10", "locale": "tr", "as": "known"}).text
    built.close()

    assert 'href="/?month=2026-11&amp;locale=tr"' in page
    assert 'title="the same for a spreadsheet with a decimal comma"' in page


def test_an_empty_database_says_what_to_do_first(bare: Store) -> None:
    """No error, no empty tables, no report to download."""
    answer = client(bare).get("/")

    assert 200 == answer.status_code
    assert "Nothing has been read yet" in answer.text
    assert "opsd consortium apply FILE" in answer.text
    assert "opsd daemon" in answer.text
    assert "/report/" not in answer.text
    assert {} == Tables(answer.text).tables


def test_what_the_daemon_did_is_shown(tmp_path: Path) -> None:
    """Ages, failures in a row, what is overdue, how far Slurm was read, what is in quarantine."""
    built = build(tmp_path)
    fine = Last("ingest", NOW - 400, NOW - 300, NOW - 300, 900, steps.DONE, "", 0, NOW + 60)
    bad = Last("balances", NOW - 90, NOW - 80, NOW - 3 * HOUR, 90, steps.FAILED, "x", 4, NOW + 10)
    late = Last(
        "rebuild", NOW - 9 * HOUR, NOW - 9 * HOUR, NOW - 9 * HOUR, 9, steps.DONE, "", 0, NOW - 2 * HOUR
    )
    for row in (fine, bad, late):
        steps.note(built, row)
    with built.write() as connection:
        sweep = {"cluster": "mn5", "covered_until": NOW - 600, "observed_at": NOW - 500}
        connection.execute(tables.sweep.insert().values(**sweep))
        waiting = {"source": "s", "position": 1, "line": 1, "digest": "d", "length": 1, "data": b"x"}
        rest = {"layout": "", "reason": "r", "observed_at": NOW, "first_seen": NOW}
        connection.execute(tables.quarantine.insert().values(**waiting, **rest))
    text = client(built).get("/").text
    built.close()
    rows = [[cell.text for cell in row] for row in Tables(text).tables[""][1:]]

    assert [
        ["balances", "3 hours ago", "failed 4 times in a row"],
        ["ingest", "5 minutes ago", "done"],
        ["rebuild", "9 hours ago", "done, overdue"],
    ] == rows
    assert "1 record could not be read" in text
    assert "read up to 5 November 2026, 00:50 CET" in text
    assert "Data up to 5 November 2026, 00:50 CET" in text


def test_an_unknown_address_is_a_page_too(browser: TestClient) -> None:
    """404, with a way to the overview; JSON where JSON was asked for."""
    lost, api, static = (browser.get(path) for path in ("/nope", "/api/nope", "/static/../app.py"))

    assert [404, 404, 404] == [lost.status_code, api.status_code, static.status_code]
    assert 'href="/"' in lost.text
    assert "There is no such page" == api.json()["error"]


def test_a_bug_is_said_without_its_traceback(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 and a sentence; what went wrong inside is for the log."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("the secret of the inside")

    monkeypatch.setattr("opsd.web.app.page", broken)
    browser = client(store)
    answers = [browser.get("/"), browser.get("/api/overview")]

    assert [500, 500] == [answer.status_code for answer in answers]
    assert not any("secret" in answer.text or "Traceback" in answer.text for answer in answers)
    assert "frame-ancestors 'none'" in answers[0].headers["content-security-policy"]


def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """503 while it is away, whatever was shown before; the page is back when it is."""
    built = build(tmp_path)
    browser = client(built)
    file, aside = tmp_path / "opsd.db", tmp_path / "aside.db"
    assert 200 == browser.get("/?month=2026-10").status_code
    built.close()
    shutil.move(file, aside)
    file.mkdir()
    away = browser.get("/?month=2026-11")
    api = browser.get("/api/overview?month=2026-11")
    file.rmdir()
    shutil.move(aside, file)
    back = browser.get("/?month=2026-11")
    built.close()

    assert [503, 503, 200] == [away.status_code, api.status_code, back.status_code]
    assert "The database does not answer" in away.text
    assert str(tmp_path) not in away.text + api.text
    assert "10" == away.headers["retry-after"]


@pytest.mark.parametrize("path", ["/", "/nope", "/?month=x", "/healthz", "/static/opsd.css", "/api/overview"])
def test_every_answer_keeps_to_itself(browser: TestClient, path: str) -> None:
    """The security headers stand on pages, errors, files and JSON alike; so they do for HEAD."""
    expected = {name.decode(): value.decode() for name, value in HEADERS}
    for answer in (browser.get(path), browser.head(path)):
        assert expected == {name: answer.headers.get(name) for name in expected}


def test_head_is_get_without_a_body(browser: TestClient) -> None:
    """On every address."""
    for path in ("/", "/api/overview", "/healthz", "/report/2026-10.csv", "/static/opsd.css"):
        answer = browser.head(path)
        assert (200, b"") == (answer.status_code, answer.content), path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(browser: TestClient, method: str) -> None:
    """Other methods than GET and HEAD are not answered."""
    answer = browser.request(method, "/")
    assert (405, "GET, HEAD") == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:8750", True),
        ("localhost", True),
        ("LOCALHOST:9", True),
        ("[::1]:8750", True),
        ("127.8.9.1", True),
        ("opsd.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8750", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_only_this_machines_names_are_answered(browser: TestClient, host: str, ours: bool) -> None:
    """A stranger's name that was made to point here (DNS rebinding) gets nothing."""
    assert ours == is_ours(host)
    assert (200 if ours else 421) == browser.get("/healthz", headers={"host": host}).status_code


def test_the_page_asks_for_nothing_from_elsewhere(browser: TestClient) -> None:
    """Every address in it is a path of this server; styles stand in the sheet, as the policy wants."""
    text = browser.get("/", params={"month": "2026-10"}).text
    addresses = re.findall(r'(?:href|src|action)="([^"]*)"', text)

    assert len(addresses) > 5
    assert [] == [address for address in addresses if not re.match(r"(/(?!/)|#)", address)]
    assert [] == re.findall(r"<script|<style|\sstyle=|\son\w+=", text)
    sheet = browser.get("/static/opsd.css").text
    assert "url(" not in sheet
    assert "@import" not in sheet


def test_every_link_of_the_page_leads_somewhere(browser: TestClient) -> None:
    """Also those within the page."""
    text = browser.get("/", params={"month": "2026-10"}).text
    inside = re.findall(r'href="#([^"]+)"', text)
    outside = {address.replace("&amp;", "&") for address in re.findall(r'href="(/[^"]*)"', text)}

    assert [] == [name for name in inside if f'id="{name}"' not in text]
    assert {200} == {browser.get(address).status_code for address in outside}


def test_tables_can_be_read_aloud(browser: TestClient) -> None:
    """Every header says what it heads, every bar what it shows, every scrolled table can be reached."""
    text = browser.get("/", params={"month": "2026-10"}).text

    assert 1 == text.count("<h1>")
    assert [] == re.findall(r"<th(?:>| (?![^>]*scope=)[^>]*>)", text)
    assert [] == re.findall(r'<svg class="(?:bar|chart)[^"]*"(?! role="img" aria-label="[^"]+")', text)
    assert [] == re.findall(r'<div class="scroll"(?! tabindex="0" role="region")', text)


def test_pages_are_kept_for_a_while(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is worked out once for those who ask within a few seconds."""
    made = []

    def counted(found: page.Overview) -> page.Page:
        made.append(str(found.month))
        return page.page(found)

    monkeypatch.setattr("opsd.web.app.page", counted)
    browser = client(store)
    for month in ("2026-10", "2026-10", "2026-11", "2026-10"):
        browser.get("/", params={"month": month})
    browser.get("/api/overview", params={"month": "2026-11"})

    assert ["2026-10", "2026-11"] == made
