"""`opsd balance`: what it prints is what the daemon's page shows, under every key."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from exporters import balances
from exporters.page import Page
from opsd.cli import main
from opsd.core.amounts import exact_text
from opsd.core.period import DAY, isoformat
from opsd.pipeline import figures
from opsd.store.engine import open_engine
from tests.pipeline.priced_world import BASE, stored, world

AS_OF = BASE + 6 * DAY + 4321
OLD = (
    "unit", "granted", "settled", "accrued", "committed", "left", "free", "after_end", "state",
)  # fmt: skip
NEW = ("burn_1d", "burn_7d", "burn_30d", "forecast", "exhaustion")


@pytest.fixture
def database(sqlite_url: str) -> str:
    """Three awards of three units: one over quota, one with much left, one whose commitment nobody knows."""
    made = world(3)
    amounts = {"A1": 1_000_000, "A2": 10**12, "A3": 10**15}
    entries = [replace(entry, amount=amounts[entry.award]) for entry in made.entries[:3]]
    stored(sqlite_url, made.rows, made.known, entries, made.seen).close()
    return sqlite_url


def printed(database: str, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, str]]:
    """The rows of the command's csv."""
    main(["balance", "--db", database, "--as-of", f"@{AS_OF}", "--format", "csv", *more])
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_columns_come_only_when_asked_for(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --forecast csv and json are as ever; with it, burn and forecast stand at the end."""
    (plain, *_), (more, *_) = printed(database, capsys), printed(database, capsys, "--forecast")
    main(["balance", "--db", database, "--as-of", f"@{AS_OF}", "--format", "json", "--forecast"])
    first: dict[str, Any] = json.loads(capsys.readouterr().out)[0]

    assert ["award", *OLD] == list(plain)
    assert ["award", *OLD, *NEW] == list(more)
    assert plain == {name: more[name] for name in plain}
    assert more == {name: value or "" for name, value in first.items()}


@pytest.mark.parametrize("by", ["award", "project", "organisation", "country", "pool"])
def test_the_page_says_what_the_command_says(
    database: str, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each amount, burn and forecast of each line is the sample of its series, and there are no others."""
    store = open_engine(database)
    page = balances.page(figures.run(store, now=AS_OF))
    store.close()
    prefix = "opsd_award" if by == "award" else "opsd_balance"
    rows = printed(database, capsys, "--by", by, "--forecast")

    shown = {
        name: {(row[by], row["unit"]): row[name] for row in rows if row[name] not in ("", "unknown")}
        for name in (*OLD[1:7], *NEW)
    }
    assert all(shown.values())
    for name in OLD[1:7]:
        assert shown[name] == samples(page, f"{prefix}_{name}_seconds", by)
    burn = samples(page, f"{prefix}_burn_seconds", by)
    for days in ("1", "7", "30"):
        of_days = {(key, unit): value for (key, unit, of), value in burn.items() if of == days}
        assert shown[f"burn_{days}d"] == of_days
    said = {(key, unit): state for key, unit, state in samples(page, f"{prefix}_forecast_info", by)}
    assert shown["forecast"] == said
    instants = samples(page, f"{prefix}_exhaustion_timestamp_seconds", by)
    assert shown["exhaustion"] == {key: isoformat(int(value)) for key, value in instants.items()}


def samples(page: Page, name: str, by: str) -> dict[tuple[str, ...], str]:
    """What stands on the page of a key, as exact decimals: by key, unit in seconds, and what else it has."""
    found = {}
    for labels, value in page.series(name).items():
        key = (labels[0], *labels[5:]) if by == "award" else labels[1:]
        if by == "award" or labels[0] == by:
            found[key[0], key[1].replace("-hours", "-seconds"), *key[2:]] = exact_text(
                Fraction(round(value * 1_000_000), 1_000_000)
            )
    return found
