"""Variables at the top of a dashboard: what is chosen, out of what is there.

Invariant: what can be chosen is a label of a series that the catalogue or a recording rule names.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import SOURCE


def source() -> dashboard.DatasourceVariable:
    """Which Prometheus."""
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def choice(
    name: str, label: str, of: str, *, single: bool = False, latest: bool = False, hidden: bool = False
) -> dashboard.QueryVariable:
    """Values of a label to choose from, several or all.

    Args:
        of: the metric, with matchers, that carries the label.
        single: one at a time.
        latest: the largest number comes first.
        hidden: nobody chooses; it stands for all values there are, named one by one.
    """
    made = dashboard.QueryVariable(name).label(label).datasource(SOURCE)
    made = made.query({"query": f"label_values({of}, {name})", "refId": name}).definition(
        f"label_values({of}, {name})"
    )
    made = made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    order = models.VariableSort.NUMERICAL_DESC if latest else models.VariableSort.ALPHABETICAL_ASC
    made = made.sort(order)
    if single:
        return made.multi(False).include_all(False)
    made = made.multi(True).include_all(True)
    made = made.hide(models.VariableHide.HIDE_VARIABLE) if hidden else made.all_value(".*")
    return made.current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
