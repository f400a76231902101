"""Panels of one house style: a few shapes over the Grafana SDK's builders.

Invariant: every panel has an id, a place, a description, a unit, and thresholds that are open below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder as BuilderOf
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
PERCENT, COUNT, SECONDS, WATTS, CELSIUS, BYTES = "percentunit", "none", "s", "watt", "celsius", "bytes"
HERTZ, BYTES_A_SECOND, JOULES, HOURS = "hertz", "binBps", "joule", "suffix: GPU-h"
GOOD, WARN, BAD, PLAIN = "green", "orange", "red", "text"
UNKNOWN = "#7d7d78"

Builder = Any  # the SDK's builders share methods but no type that has them


class Head(NamedTuple):
    """What every panel has: a stable id, a place in the grid of 24 columns, and words."""

    id: int
    x: int
    y: int
    w: int
    h: int
    title: str
    description: str


class Step(NamedTuple):
    """From this value on, this colour; None: from below everything."""

    value: float | None
    color: str


class Query(NamedTuple):
    """One expression and how its series are called in the legend."""

    expr: str
    legend: str = ""


Shaped = BuilderOf[models.Panel]  # a finished builder


def dressed(builder: Builder, head: Head, unit: str, steps: Sequence[Step]) -> Builder:
    """A builder with what every panel has."""
    place = models.GridPos(h=head.h, w=head.w, x=head.x, y=head.y)
    return (
        builder.id(head.id)
        .title(head.title)
        .description(head.description)
        .grid_pos(place)
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(thresholds(steps))
    )


def thresholds(steps: Sequence[Step]) -> dashboard.ThresholdsConfig:
    """Absolute thresholds; the first must be open below, or Grafana colours nothing under it."""
    if not steps or steps[0].value is not None:
        raise ValueError(f"thresholds {steps}: the first value must be None")
    made = [models.Threshold(value=step.value, color=step.color) for step in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def _range(number: int, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(_ref(number)).expr(query.expr).legend_format(query.legend).range()


def instant(number: int, query: Query) -> prometheus.Dataquery:
    """The query of that number, asked for the end of the time shown."""
    made = prometheus.Dataquery().ref_id(_ref(number)).expr(query.expr)
    return made.legend_format(query.legend).instant()


def _ref(number: int) -> str:
    return chr(ord("A") + number)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def row(id_: int, y: int, title: str) -> dashboard.Row:
    """A heading over the panels below it."""
    return dashboard.Row(title).id(id_).grid_pos(models.GridPos(h=1, w=24, x=0, y=y))


def number(
    head: Head,
    query: Query,
    unit: str,
    steps: Sequence[Step],
    *,
    decimals: int = 0,
    course: bool = True,
    filled: bool = False,
    none: str = "no data",
    link: str = "",
) -> Shaped:
    """One number, coloured by its thresholds, with its course behind it.

    Args:
        course: also what it was over the time shown; without it only the end of that time is asked for.
        filled: the whole panel is coloured, to be seen from afar; nothing is drawn there, and what was must
            not stand for what is.
        none: what stands there where nobody knows.
        link: uid of the dashboard that tells more.
    """
    course = course and not filled
    target = _range(0, query) if course else instant(0, query)
    made: Builder = dressed(stat.Panel(), head, unit, steps).with_target(target)
    made = made.decimals(decimals).no_value(none).reduce_options(_last()).mappings([_unknown(none)])
    graph = kinds.BigValueGraphMode.AREA if course else kinds.BigValueGraphMode.NONE
    color = kinds.BigValueColorMode.BACKGROUND_SOLID if filled else kinds.BigValueColorMode.VALUE
    made = made.color_mode(color).graph_mode(graph).text_mode(kinds.BigValueTextMode.VALUE)
    if unit == PERCENT:
        made = made.min(0).max(1)  # or its course is drawn between 0 and 100
    if link:
        made = made.links([_onward(link)])
    return made  # type: ignore[no-any-return]


def word(head: Head, query: Query, steps: Sequence[Step], *, none: str = "no data") -> Shaped:
    """What a label says now; the value of its series gives the colour."""
    made: Builder = dressed(stat.Panel(), head, COUNT, steps).with_target(instant(0, query))
    made = made.no_value(none).reduce_options(_last()).color_mode(kinds.BigValueColorMode.VALUE)
    made = made.graph_mode(kinds.BigValueGraphMode.NONE)
    return made.text_mode(kinds.BigValueTextMode.NAME)  # type: ignore[no-any-return]


def _unknown(text: str) -> models.SpecialValueMap:
    """Nothing is known: without this it would have the colour of the lowest threshold, often green."""
    known = models.ValueMappingResult(text=text, color=UNKNOWN, index=0)
    options = models.DashboardSpecialValueMapOptions(
        match=models.SpecialValueMatch.NULL_AND_NAN, result=known
    )
    return models.SpecialValueMap(options=options)


def _onward(uid: str) -> dashboard.DashboardLink:
    """From a panel to a dashboard, with the time range and what is chosen."""
    url = f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}"
    return dashboard.DashboardLink("Tell more").type(models.DashboardLinkType.LINK).url(url)


def bars(
    head: Head,
    query: Query,
    unit: str,
    steps: Sequence[Step],
    *,
    most: float | None = None,
    decimals: int = 0,
) -> Shaped:
    """One bar a series, of the present: a comparison of a few."""
    made: Builder = dressed(bargauge.Panel(), head, unit, steps).with_target(instant(0, query)).min(0)
    if most is not None:
        made = made.max(most)
    made = made.decimals(decimals).no_value("none").reduce_options(_last()).mappings([_unknown("none")])
    made = made.orientation(kinds.VizOrientation.HORIZONTAL).display_mode(kinds.BarGaugeDisplayMode.BASIC)
    return made.show_unfilled(True)  # type: ignore[no-any-return]


def timeline(head: Head, queries: Sequence[Query], unit: str, steps: Sequence[Step]) -> Shaped:
    """One line of blocks a series, as long as its value stays: what was the case, and when."""
    made: Builder = dressed(statetimeline.Panel(), head, unit, steps)
    for place, query in enumerate(queries):
        made = made.with_target(_range(place, query))
    made = made.show_value(kinds.VisibilityMode.AUTO).row_height(0.8).fill_opacity(70).line_width(0)
    made = made.merge_values(True).max_data_points(300).legend(_legend(shown=False)).no_value("none")
    return made.color_scheme(_color(models.FieldColorModeId.THRESHOLDS))  # type: ignore[no-any-return]


def several(
    head: Head, query: Query, unit: str, steps: Sequence[Step], *, decimals: int = 0, none: str = "no data"
) -> Shaped:
    """One number a series under its name: what must not be added up."""
    made: Builder = dressed(stat.Panel(), head, unit, steps).with_target(instant(0, query))
    made = made.decimals(decimals).no_value(none).reduce_options(_last())
    made = made.color_mode(kinds.BigValueColorMode.VALUE).graph_mode(kinds.BigValueGraphMode.NONE)
    return made.text_mode(kinds.BigValueTextMode.VALUE_AND_NAME)  # type: ignore[no-any-return]


def lines(
    head: Head,
    queries: Sequence[Query],
    unit: str,
    steps: Sequence[Step],
    *,
    stacked: bool = False,
    most: float | None = None,
    marked: bool = False,
    colors: Mapping[str, str] = MappingProxyType({}),
    dashed: Sequence[str] = (),
    below: str = "",
) -> Shaped:
    """Series over time, from zero.

    Args:
        marked: the thresholds are drawn into it.
        colors: of some series, by their names.
        dashed: series that are limits rather than readings.
        below: what the names of series begin with that are drawn downwards.
    """
    made: Builder = dressed(timeseries.Panel(), head, unit, steps)
    if not below:
        made = made.min(0)
    if unit == COUNT:
        made = made.decimals(0)
    for place, query in enumerate(queries):
        made = made.with_target(_range(place, query))
    if most is not None:
        made = made.max(most)
    elif unit == PERCENT:
        made = made.axis_soft_max(0.1)  # or lines that are all 0 get an axis to thousands of percent
    made = made.line_width(1).fill_opacity(60 if stacked else 0).show_points(kinds.VisibilityMode.NEVER)
    if stacked:
        made = made.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    mode = kinds.GraphThresholdsStyleMode.DASHED if marked else kinds.GraphThresholdsStyleMode.OFF
    made = made.thresholds_style(common.GraphThresholdsStyleConfig().mode(mode))
    made = made.legend(_legend()).color_scheme(_color(models.FieldColorModeId.PALETTE_CLASSIC))
    for name, color in colors.items():
        fixed = {"mode": models.FieldColorModeId.FIXED.value, "fixedColor": color}
        made = made.override_by_name(name, [models.DynamicConfigValue(id_val="color", value=fixed)])
    for name in dashed:
        made = made.override_by_name(name, [_DASHES, _GREY])
    if below:
        mirrored = models.DynamicConfigValue(id_val="custom.transform", value="negative-Y")
        made = made.override_by_regexp(f"/^{below}/", [mirrored])
    tooltip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI)
    return made.tooltip(tooltip.sort(kinds.SortOrder.DESCENDING))  # type: ignore[no-any-return]


_DASHES = models.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]})
_GREY = models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": "#9b9b93"})


def _legend(*, shown: bool = True) -> common.VizLegendOptions:
    made = common.VizLegendOptions().show_legend(shown).display_mode(kinds.LegendDisplayMode.LIST)
    return made.placement(kinds.LegendPlacement.BOTTOM).calcs([])


def _color(mode: models.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def heat(head: Head, query: Query, unit: str, steps: Sequence[Step]) -> Shaped:
    """One line of cells a series, coloured by thresholds: where it was busy, and when."""
    made: Builder = dressed(statushistory.Panel(), head, unit, steps).with_target(_range(0, query))
    made = made.decimals(0).show_value(kinds.VisibilityMode.NEVER).row_height(0.9).fill_opacity(80)
    made = made.line_width(0).max_data_points(72).legend(_legend())
    return made.color_scheme(_color(models.FieldColorModeId.THRESHOLDS))  # type: ignore[no-any-return]
