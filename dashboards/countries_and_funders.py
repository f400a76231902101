"""The dashboard *Countries and funders*: what each country and pool was granted, used and has left.

Invariant: units are never added up: a line, or a number, for each.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards import board, panels, uids
from dashboards.expressions import once
from dashboards.palette import COUNTRIES, COUNTRY_TEXTS, NEUTRAL, NOT_BELOW_ZERO, SHARE
from dashboards.panels import BAD, COUNT, GOOD, PERCENT, PLAIN, WARN, Head, Query, Shaped, Step
from dashboards.recording import recorded
from dashboards.tables import Column, grid

_LEADS = 'country=~"$country"'
_HOUR = 3600
_JOULES_OF_MWH = 3.6e9
_IDLE = (Step(None, GOOD), Step(0.1, WARN), Step(0.25, BAD))
_USED = (Step(None, PLAIN), Step(0.95, WARN), Step(1, BAD))


def dashboard() -> builders.Dashboard:
    """The whole of it."""
    return board.board(
        uids.COUNTRIES,
        "Countries and funders",
        "What each country and each pool was granted, has used and has left; who pays for whom; and how much "
        "of the GPUs that a country holds does nothing.",
        [board.country()],
        [
            board.Row(1, 0, "All chosen countries", _total()),
            board.Row(2, 6, "Granted, used, left", [_balances("country"), _balances("pool")]),
            board.Row(3, 27, "GPUs", _gpus()),
            board.Row(4, 37, "Who pays for whom", _whose()),
        ],
        time="now-30d",
        refresh="5m",
    )


def _awards(it: str, by: str) -> str:
    """Of awards whose projects the chosen countries lead, one unit beside the other."""
    return f"sum by ({by}) ({recorded(f'opsd:award_{it}:seconds', _LEADS)})"


def _total() -> list[Shaped]:
    told, idle = (f"sum({once(f'opsd_project_{it}_gpu_seconds', _LEADS)})" for it in ("idle_told", "idle"))
    now = recorded("opsd:country_gpus_held:sum", _LEADS)
    return [
        panels.several(
            Head(10, 0, 1, 7, 5, "Used of what was granted",
                 "By unit of the awards, all awards of the chosen countries together. Orange and red: a unit "
                 "of which hardly anything, or nothing, is left."),
            Query(f"{_awards('used', 'unit')} / ({_awards('granted', 'unit')} > 0)", "{{unit}}"),
            PERCENT, _USED,
        ),
        panels.several(
            Head(11, 7, 1, 7, 5, "Hours left",
                 "Granted less used, by unit of the awards. What is over quota counts against it."),
            Query(f"{_awards('left', 'unit')} / {_HOUR}", "{{unit}}"), "locale", NOT_BELOW_ZERO,
        ),
        panels.number(
            Head(12, 14, 1, 5, 5, "GPUs held now",
                 "GPUs that jobs of the chosen countries' projects hold, as node agents see them."),
            Query(f"sum({now})"), COUNT, NEUTRAL,
        ),
        panels.number(
            Head(13, 19, 1, 5, 5, "Held, but idle",
                 "Share of the GPU-hours held in the last 7 days in which the GPU did nothing. The dashboard "
                 "Waste says whose jobs they were."),
            Query(f"{idle} / ({told} > 0)"), PERCENT, _IDLE, link=uids.WASTE,
        ),
    ]  # fmt: skip


def _balances(by: str) -> Shaped:
    """By country that leads, or by pool that pays."""
    # A pool pays whoever leads; only countries are chosen.
    chosen = [f'by="{by}"', *(['key=~"$country"'] if by == "country" else [])]

    def named(expr: str) -> str:
        return f'label_replace({expr}, "{by}", "$1", "key", "(.+)")'

    used, granted, left = (
        recorded(f"opsd:balance_{it}:seconds", *chosen) for it in ("used", "granted", "left")
    )
    free = once("opsd_balance_free_seconds", *chosen)
    burned = once("opsd_balance_burn_seconds", 'days="7"', *chosen)
    burn = f"sum by (by, key, unit) ({burned})"
    shown = (
        f"{used} / ({granted} > 0)", *(f"{it} / {_HOUR}" for it in (granted, used, left, free)),
        f"{burn} / {7 * _HOUR}",
    )  # fmt: skip
    first = {
        "country": Column("country", "Country", 80, texts=COUNTRY_TEXTS, link=uids.ALLOCATIONS),
        "pool": Column("pool", "Pool"),
    }[by]
    words = {
        "country": "By the country that leads the project, whoever pays.",
        "pool": "By the pool that pays, whoever leads the project, whatever country is chosen.",
    }[by]
    place, y = {"country": (20, 7), "pool": (21, 17)}[by]
    return grid(
        Head(place, 0, y, 24, 10, f"By {by}",
             f"{words} In hours of each unit. Free: left, less what open runs may still use. A day: used a "
             "day on average of the last 7."),
        [Query(named(it)) for it in shown],
        [
            first,
            Column("unit", "Unit", 95),
            Column("Value #A", "Used of it", None, PERCENT, 0, bar=True, steps=SHARE),
            Column("Value #B", "Granted, h", 110, "locale", 0),
            Column("Value #C", "Used, h", 110, "locale", 0),
            Column("Value #D", "Left, h", 110, "locale", 0, steps=NOT_BELOW_ZERO),
            Column("Value #E", "Free, h", 110, "locale", 0, steps=NOT_BELOW_ZERO),
            Column("Value #F", "A day, h", 90, "locale", 0),
        ],
        sort=("Unit", "-Granted, h"), none="no award", paged=True,
    )  # fmt: skip


def _gpus() -> list[Shaped]:
    def lately(what: str) -> str:
        return f"sum by (country) ({once(f'opsd_project_{what}', _LEADS)})"

    by_country = f"sum by (country) ({recorded('opsd:country_gpus_held:sum', _LEADS)})"
    held, idle, told = (lately(f"{it}_gpu_seconds") for it in ("held", "idle", "idle_told"))
    return [
        panels.lines(
            Head(22, 0, 28, 14, 9, "GPUs held, by country",
                 "GPUs that jobs of projects led by each country hold; one that jobs share counts by its "
                 "shares. Unattributed: of accounts that no award pays for."),
            [Query(by_country, "{{country}}")],
            COUNT, NEUTRAL, stacked=True, colors=COUNTRIES,
        ),
        grid(
            Head(23, 14, 28, 10, 9, "Held and idle in the last 7 days",
                 "GPU-hours that jobs held, and of them those in which under 1 % of the GPU was busy. Energy "
                 "is that of the GPUs alone."),
            [
                Query(f"{idle} / ({told} > 0)"), Query(f"{held} / {_HOUR}"), Query(f"{idle} / {_HOUR}"),
                Query(f"{lately('energy_joules')} / {_JOULES_OF_MWH}"),
            ],
            [
                Column("country", "Country", 84, texts=COUNTRY_TEXTS, link=uids.WASTE),
                Column("Value #A", "Idle share", None, PERCENT, 0, bar=True, steps=_IDLE),
                Column("Value #B", "Held, h", 72, "locale", 0),
                Column("Value #C", "Idle, h", 70, "locale", 0),
                Column("Value #D", "MWh", 58, COUNT, 1),
            ],
            sort=("-Idle share", "Country"), none="nothing was measured",
        ),
    ]  # fmt: skip


def _whose() -> list[Shaped]:
    return [
        _by_labels(
            Head(24, 0, 38, 12, 11, "Who pays, and who leads",
                 "Awards by the pool that pays and the country that leads. Read a pool's lines to see whom "
                 "it pays for."),
            ("pool", "country"),
            [
                Column("pool", "Pool"),
                Column("country", "Country", 74, texts=COUNTRY_TEXTS, link=uids.ALLOCATIONS),
            ],
            sort=("Pool", "-Granted, h"),
        ),
        _by_labels(
            Head(25, 12, 38, 12, 11, "Organisations",
                 "Awards by the organisation that leads the project, and its country; the largest grants "
                 "first."),
            ("organisation", "country"),
            [
                Column("organisation", "Organisation"),
                Column("country", "Country", 74, texts=COUNTRY_TEXTS, link=uids.ALLOCATIONS),
            ],
            sort=("Unit", "-Granted, h"),
        ),
    ]  # fmt: skip


def _by_labels(head: Head, labels: tuple[str, ...], first: list[Column], *, sort: tuple[str, ...]) -> Shaped:
    by = ", ".join((*labels, "unit"))
    used, granted = _awards("used", by), _awards("granted", by)
    return grid(
        head,
        [Query(f"{used} / ({granted} > 0)"), Query(f"{granted} / {_HOUR}")],
        [
            *first,
            Column("unit", "Unit", 95),
            Column("Value #A", "Used of it", None, PERCENT, 0, bar=True, steps=SHARE),
            Column("Value #B", "Granted, h", 96, "locale", 0),
        ],
        sort=sort, none="no award", paged=True,
    )  # fmt: skip
