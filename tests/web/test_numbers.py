"""The numbers of the page and of its JSON are those of usage and balance, and they foot."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from opsd import reports
from opsd.core.amounts import MICRO, exact_text
from opsd.core.dossier import Digests
from opsd.core.period import DAY, month_window
from opsd.pipeline import accounts, balance, program, report, usage
from opsd.store import parties
from opsd.store.engine import Store
from opsd.web import words
from tests.web.world import NOW, Cell, Tables, build, client, seconds, whole

MADRID = ZoneInfo("Europe/Madrid")
MONTHS = ["2026-10", "2026-11"]


@pytest.fixture(scope="module", params=[1, 2])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One of several small worlds."""
    built = build(tmp_path_factory.mktemp("web"), seed=request.param)
    yield built
    built.close()


@pytest.fixture(scope="module")
def browser(store: Store) -> TestClient:
    """In front of it."""
    return client(store)


def tables(browser: TestClient, month: str) -> dict[str, list[list[Cell]]]:
    """The tables of a month's page."""
    answer = browser.get("/", params={"month": month})
    assert 200 == answer.status_code
    return Tables(answer.text).tables


def used(store: Store, month: str, *keys: str) -> dict[tuple[str, ...], usage.Measures]:
    """What `opsd usage` says of a month of Madrid."""
    window = month_window(int(month[:4]), int(month[5:]), MADRID)
    with store.read() as connection:
        return {
            row.key: row.measures for row in usage.run(connection, window, keys, tz=MADRID, as_of=NOW).rows
        }


def exact(line: list[Cell]) -> tuple[int, int, int]:
    """GPU-, node- and CPU-seconds of a line of a table of use."""
    return seconds(line[1].title), seconds(line[4].title), seconds(line[5].title)


@pytest.mark.parametrize("month", MONTHS)
@pytest.mark.parametrize(("table", "key"), [("leads", "country"), ("pays", "pays")])
def test_each_party_has_the_seconds_of_usage(
    store: Store, browser: TestClient, month: str, table: str, key: str
) -> None:
    """Exact values stand in the titles; nothing is left out."""
    expected = {
        words.party(code): (it.gpu_seconds, it.node_seconds, it.cpu_seconds)
        for (code,), it in used(store, month, key).items()
    }
    lines = tables(browser, month)[table][1:-1]
    named = {name: exact(line) for line in lines for name in expected if line[0].text.startswith(name)}

    assert expected == named


@pytest.mark.parametrize("month", MONTHS)
def test_tables_of_use_foot_and_agree(browser: TestClient, month: str) -> None:
    """Columns add up to their totals, which are the same in both tables; so do the exact seconds."""
    found = tables(browser, month)
    leads, pays = found["leads"], found["pays"]

    for column in (1, 4, 5, 6):
        parts = [whole(line[column].text) for line in leads[1:-1]]
        assert sum(parts) == whole(leads[-1][column].text)
        assert leads[-1][column] == pays[-1][column]
    assert exact(leads[-1]) == tuple(map(sum, zip(*(exact(line) for line in leads[1:-1]), strict=True)))


def test_the_month_before_stands_beside(store: Store, browser: TestClient) -> None:
    """The last column is the whole of the month before, in GPU-hours."""
    expected = sum(it.gpu_seconds for it in used(store, "2026-10").values())
    assert expected == seconds(tables(browser, "2026-11")["leads"][-1][6].title)


def test_a_payers_pools_add_up_to_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two pools of one payer stand below it and are its parts, exactly and rounded."""
    built = build(tmp_path_factory.mktemp("pools"))
    with built.write() as connection:
        connection.exec_driver_sql("UPDATE pool SET funder = 'spain' WHERE id = 'ju-pool'")
    lines = tables(client(built), "2026-10")["pays"][1:-1]
    built.close()

    payer, first, second = lines[:3]
    assert {"JU pool", "Catalan pool"} == {first[0].text, second[0].text}
    for column in (1, 4, 5, 6):
        assert whole(payer[column].text) == whole(first[column].text) + whole(second[column].text)
    assert exact(payer) == tuple(map(sum, zip(exact(first), exact(second), strict=True)))


@pytest.mark.parametrize("month", MONTHS)
def test_awards_to_look_at_are_those_of_balance(store: Store, browser: TestClient, month: str) -> None:
    """At the month's end, or now while it lasts; granted = used + left as shown."""
    at = min(NOW, month_window(int(month[:4]), int(month[5:]), MADRID).end)
    with store.read() as connection:
        found = balance.run(connection, as_of=at)
    expected = {
        line.key: tuple(exact_text(Fraction(it, MICRO)) for it in (line.granted, line.used, line.left))
        for line in found.lines
        if line.state != "ok" or line.after_end
    }
    listed = reported(browser, month)
    rows = tables(browser, month).get("quota", [[]])[1:]
    shown = {row[7].text.split()[-1]: tuple(cell.title.split()[0] for cell in row[4:7]) for row in rows}

    assert expected == shown
    assert expected == {award: listed[award] for award in expected}
    assert {line.key for line in found.lines} == set(listed)
    assert all(whole(row[4].text) == whole(row[5].text) + whole(row[6].text) for row in rows)


def reported(browser: TestClient, month: str) -> dict[str, tuple[str, ...]]:
    """Granted, used and left of every award in the month's report, exact."""
    sections = browser.get(f"/report/{month}.json").json()["sections"]
    (projects,) = (section for section in sections if section["id"] == "projects")
    rows = [row for block in projects["blocks"] for row in block.get("rows", ()) if row["role"] == "leaf"]
    return {
        row["keys"]["award"]: tuple(row["cells"][name]["seconds"] for name in ("granted", "used", "left"))
        for row in rows
    }


def test_an_award_that_is_long_over_is_not_looked_at_for_ever(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """In the month of its end and use it is listed; later it is counted as left out."""
    built = build(tmp_path_factory.mktemp("ended"))
    then, later = (client(built, lambda at=at: at).get("/").text for at in (NOW, NOW + 400 * DAY))
    with built.read() as connection:
        ended = {key for key, award in parties.load(connection).awards.items() if award.end is not None}
    built.close()
    shown, left = (
        {row[7].text.split()[-1] for row in Tables(page).tables.get("quota", [])[1:]}
        for page in (then, later)
    )

    assert shown & ended
    assert shown - ended == left
    assert f"{len(shown & ended)} that ended before December 2027" in later
    assert f'<dd class="quiet">{len(left)} to look at</dd>' in later


def test_some_award_of_the_small_worlds_is_over(tmp_path_factory: pytest.TempPathFactory) -> None:
    """So that the test above has something to compare."""
    built = build(tmp_path_factory.mktemp("over"))
    page = client(built).get("/").text
    built.close()

    assert "over quota" in page


@pytest.mark.parametrize("month", MONTHS)
def test_accounts_of_nobody_add_up_to_the_tables_line(store: Store, browser: TestClient, month: str) -> None:
    """The list is that of `opsd account list`, and its hours are those both tables show as unattributed."""
    window = month_window(int(month[:4]), int(month[5:]), MADRID)
    expected = [
        (line.account, line.cluster, line.gpu_seconds, line.cpu_seconds)
        for line in accounts.run(store, window, now=NOW)
        if line.unattributed
    ]
    found = tables(browser, month)
    rows = found["nobody"][1:]
    nobody = next(line for line in found["leads"] if line[0].text == "Unattributed")

    assert expected == [(r[0].text, r[1].text, seconds(r[2].title), seconds(r[3].title)) for r in rows]
    assert [nobody[1], *nobody[4:]] == next(
        [line[1], *line[4:]] for line in found["pays"] if line[0].text == "Unattributed"
    )
    assert whole(nobody[1].text) == sum(whole(row[2].text) for row in rows)
    assert whole(nobody[5].text) == sum(whole(row[3].text) for row in rows)


def test_json_is_exact(store: Store, browser: TestClient) -> None:
    """Usage row by row, balances as `opsd balance` prints them."""
    found = browser.get("/api/overview", params={"month": "2026-10"}).json()
    expected = used(store, "2026-10", "pays", "country", "pool")
    rows = [row for row in found["usage"] if row["month"] == "2026-10"]
    with store.read() as connection:
        lines = balance.run(connection, as_of=month_window(2026, 10, MADRID).end).lines

    shown = {
        (row["pays"], row["country"], row["pool"]): usage.Measures(*(row[name] for name in usage.COLUMNS))
        for row in rows
    }
    assert expected == shown
    assert [(line.key, *line.values()) for line in lines] == [
        (row["award"], *(row[name] for name in balance.COLUMNS)) for row in found["balances"]
    ]
    assert "2026-10-01T00:00:00+02:00" == found["from"]
    assert "2026-11-01T00:00:00+01:00" == found["to"]


@pytest.mark.parametrize(("month", "complete"), [("2026-10", True), ("2026-11", False), ("2027-01", False)])
def test_only_a_month_that_is_over_is_complete(browser: TestClient, month: str, complete: bool) -> None:
    """Neither the present one nor one to come."""
    assert complete is browser.get("/api/overview", params={"month": month}).json()["complete"]


def test_days_are_those_of_usage(store: Store, browser: TestClient) -> None:
    """The chart's days, also that with 25 hours, add up to the month."""
    found = browser.get("/api/overview", params={"month": "2026-10"}).json()
    days: dict[str, int] = defaultdict(int)
    for row in found["usage_by_day"]:
        days[row["day"]] += row["gpu_seconds"]
    expected = {day: it.gpu_seconds for (day,), it in used(store, "2026-10", "day").items()}
    page = html.unescape(browser.get("/", params={"month": "2026-10"}).text)

    assert expected == dict(days)
    assert 31 == page.count("<title>") - 1
    assert f"25 October 2026: {round(expected['2026-10-25'] / 3600):,} GPU-hours" in page


@pytest.mark.parametrize(
    ("form", "language"), [*((form, "en") for form in reports.FORMATS), ("csv-semicolon", "tr")]
)
def test_a_report_is_what_the_command_writes(
    store: Store, browser: TestClient, form: str, language: str
) -> None:
    """The same bytes, offered as a file with a name and the right kind."""
    told = Digests(program=program.digest())
    with store.read() as connection:
        found = report.run(connection, "2026-10", now=NOW, digests=told)
    expected = reports.render(found, form, language)
    answer = browser.get(f"/report/2026-10.{form}", params={} if language == "en" else {"locale": language})

    assert 200 == answer.status_code
    assert expected == answer.content
    name = f"opsd-2026-10-{language}{reports.FORMATS[form].suffix}"
    assert f'attachment; filename="{name}"' == answer.headers["content-disposition"]
    assert reports.FORMATS[form].content_type == answer.headers["content-type"]
