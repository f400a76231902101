"""Tables of one house style: queries with the same labels become one line.

Invariant: only listed columns are shown, in their order, under headings of their own; an empty cell says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.panels import COUNT, PLAIN, Builder, Head, Query, Shaped, Step, dressed, instant, thresholds

NOTHING = "-"  # an empty cell
NARROWEST = 76  # of a column that takes what room there is, before the table scrolls


class Column(NamedTuple):
    """One column of a table: a label or `Value #A`, its heading, and how it is shown."""

    field: str
    heading: str
    width: int | None = None
    unit: str = ""
    decimals: int | None = None
    bar: bool = False
    steps: tuple[Step, ...] = ()
    texts: tuple[tuple[str, str, str], ...] = ()  # value, text, colour
    show: str = "color-text"  # how thresholds and texts are shown
    link: str = ""  # uid of a dashboard that opens with the cell's value chosen, as its label's variable


def grid(
    head: Head,
    queries: Sequence[Query],
    columns: Sequence[Column],
    *,
    sort: Sequence[str],
    none: str = "none",
    paged: bool = False,
) -> Shaped:
    """A table of the present: queries with the same labels become one line.

    Args:
        sort: headings of the columns that order the lines; `-` before one: the largest first.
        none: what stands there when there is nothing to list.
        paged: it may be longer than its place, and then has pages.
    """
    made: Builder = dressed(table.Panel(), head, COUNT, (Step(None, PLAIN),)).no_value(none)
    for place, query in enumerate(queries):
        made = made.with_target(instant(place, query).format(PromQueryFormat.TABLE))
    made = made.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    made = made.with_transformation(_organized(columns)).show_header(True)
    made = made.cell_height(kinds.TableCellHeight.SM).cell_options(kinds.TableAutoCellOptions())
    made = made.sort_by([_sorted(heading) for heading in sort])
    if paged:
        made = made.footer(common.TableFooterOptions().show(False).reducer([]).enable_pagination(True))
    for column in columns:
        made = made.override_by_name(column.heading, _properties(column))
    return made  # type: ignore[no-any-return]


def _sorted(heading: str) -> common.TableSortByFieldState:
    made = common.TableSortByFieldState().display_name(heading.removeprefix("-"))
    return made.desc(heading.startswith("-"))


def _organized(columns: Sequence[Column]) -> models.DataTransformerConfig:
    """Only the listed columns, in their order, under their headings."""
    options = {
        "includeByName": {column.field: True for column in columns},
        "indexByName": {column.field: place for place, column in enumerate(columns)},
        "renameByName": {column.field: column.heading for column in columns},
    }
    return models.DataTransformerConfig(id_val="organize", options=options)


def _properties(column: Column) -> list[models.DynamicConfigValue]:
    # What stands in a table of nothing would stand in each empty cell, too.
    found: dict[str, object] = {"noValue": NOTHING}
    if column.width:
        found["custom.width"] = column.width
    else:
        found["custom.minWidth"] = NARROWEST
    if column.unit:
        found["unit"] = column.unit
    if column.decimals is not None:
        found["decimals"] = column.decimals
    if column.steps:
        found["thresholds"] = thresholds(column.steps).build()
    if column.texts:
        found["mappings"] = [_mapping(column.texts)]
    if column.bar:
        found |= {
            "min": 0,
            "max": 1,
            "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
        }
    elif column.steps or column.texts:
        found["custom.cellOptions"] = {"type": column.show}
    if column.link:
        found["links"] = [_link(column)]
    return [models.DynamicConfigValue(id_val=key, value=value) for key, value in found.items()]


def _link(column: Column) -> dict[str, object]:
    """To another dashboard, with the time range and the data source kept."""
    chosen = f"var-{column.field}=${{__value.raw}}"
    url = f"/d/{column.link}?${{__url_time_range}}&var-datasource=${{datasource}}&{chosen}"
    return {"title": f"Look at this {column.heading.lower()}", "url": url}


def _mapping(texts: Sequence[tuple[str, str, str]]) -> models.ValueMap:
    options = {
        value: models.ValueMappingResult(text=text, color=color, index=place)
        for place, (value, text, color) in enumerate(texts)
    }
    return models.ValueMap(options=options)
