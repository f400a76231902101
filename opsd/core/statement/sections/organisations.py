"""Who used it: pools, in them countries, organisations and projects, with subtotals; companies and research.

Invariant: every leaf is a project's use under one pool, inside or outside its award's dates; they add up
to all use in scope, and what is nobody's stands on a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from opsd.core.attribution import UNATTRIBUTED
from opsd.core.statement import terms
from opsd.core.statement.footing import footed
from opsd.core.statement.table import (
    BARS,
    LEAF,
    PLAIN,
    SUBTOTAL,
    TOTAL,
    WARN,
    Chart,
    Column,
    Row,
    Section,
    Series,
    Table,
)
from opsd.core.statement.use import Uses, cells, columns
from opsd.core.statement.view import View, in_order
from opsd.core.statement.words import Text, Value, msg

LEVELS = ("pool", "country", "organisation", "project")
COMPANIES = ("start-up", "sme", "small-mid-cap", "large-company")
RESEARCH = ("research", "university")
GROUPS = {
    **dict.fromkeys(COMPANIES, "companies"),
    **dict.fromkeys(RESEARCH, "research"),
    "public-body": "public-bodies",
}
Key = tuple[str, ...]


def section(view: View) -> Section | None:
    """The tree of use, the headline above it, and countries as a picture."""
    return Section(
        "organisations",
        msg("Organisations and projects"),
        (_headline(view), _chart(view), _tree(view)),
    )


def _headline(view: View) -> Table:
    uses = Uses(view, lambda part: (GROUPS.get(part.place.kind, _rest(part.place.kind)),))
    labels = {
        "companies": msg("Companies"),
        "research": msg("Research and universities"),
        "public-bodies": msg("Public bodies"),
        "others": msg("Other organisations"),
        UNATTRIBUTED: terms.NOBODYS,
    }
    label = Column("group", msg("Kind of organisation"), wide=True)
    held = (label, *columns(view, terms.SHARE))
    order = [(name,) for name in labels if (name,) in uses.keys]
    rows = [Row({"group": labels[key[0]], **cells(uses, key)}, {"group": key[0]}) for key in order]
    rows.append(Row({"group": terms.TOTAL}, {}, TOTAL))
    return Table(
        "companies_and_research", msg("Companies and research"), held, footed(held, rows),
        (
            msg(
                "Companies are start-ups, small and medium-sized enterprises, small mid-caps and large"
                " companies."
            ),
        ),
    )  # fmt: skip


def _rest(kind: str) -> str:
    return UNATTRIBUTED if kind == UNATTRIBUTED else "others"


def _chart(view: View) -> Chart:
    uses = Uses(view, lambda part: (part.place.country,))
    series = [Series(msg("This period"), tuple(uses.now(key).hours("gpu") for key in uses.keys))]
    if view.dossier.previous_span:
        before = tuple(uses.before(key).hours("gpu") for key in uses.keys)
        series.append(Series(msg("Period before"), before))
    categories = tuple(terms.country(key[0]) for key in uses.keys)
    return Chart(
        "countries", BARS, msg("Use by country of the leading organisation"), categories, tuple(series),
        terms.UNITS["gpu-hours"],
    )  # fmt: skip


def _tree(view: View) -> Table:
    uses = Uses(view, lambda part: (*(getattr(part.place, level) for level in LEVELS), part.place.outside))
    outside = any(key[-1] for key in uses.keys)
    held = (
        Column("name", msg("Pool, country, organisation, project"), wide=True),
        Column("id", msg("Id"), wanted=2),
        *((Column("outside", msg("Outside its dates")),) if outside else ()),
        *columns(view, terms.SHARE),
    )
    rows = [*_branch(view, uses, uses.keys, 0), Row({"name": terms.TOTAL}, {}, TOTAL)]
    return Table(
        "organisations", msg("Use by pool, country, organisation and project"), held, footed(held, rows),
        (
            msg("A country is where the leading organisation is; the pool says who pays."),
            *((msg("Use outside an award's dates keeps its project and is in none of the award's charges."),)
              if outside else ()),
        ),
    )  # fmt: skip


def _branch(view: View, uses: Uses, keys: Sequence[Key], depth: int) -> Iterator[Row]:
    for prefix, below in grouped(keys, lambda key: key[: depth + 1]):
        if prefix[0] == UNATTRIBUTED:
            name: dict[str, Value] = {"name": msg("Belongs to no award"), "id": Text(UNATTRIBUTED)}
            (key,) = below
            yield Row({**name, **cells(uses, key)}, {"pool": UNATTRIBUTED}, LEAF, depth, WARN)
        elif depth < len(LEVELS) - 1:
            yield Row(_head(view, prefix), dict(zip(LEVELS, prefix, strict=False)), SUBTOTAL, depth)
            yield from _branch(view, uses, below, depth + 1)
        else:
            for key in below:
                yield _project(view, uses, key)


def _project(view: View, uses: Uses, key: Key) -> Row:
    said = {"outside": terms.OUTSIDE[key[-1]]} if key[-1] else {}
    keys = dict(zip((*LEVELS, "outside"), key, strict=True))
    tone = WARN if key[-1] else PLAIN
    return Row({**_head(view, key[:-1]), **said, **cells(uses, key)}, keys, LEAF, len(LEVELS) - 1, tone)


def _head(view: View, prefix: Key) -> dict[str, Value]:
    level, key = LEVELS[len(prefix) - 1], prefix[-1]
    if level == "country":
        return {"name": terms.country(key), "id": Text(key)}
    if key == UNATTRIBUTED:
        return {"name": terms.NOBODYS, "id": Text(key)}
    name = view.pool_name(key) if level == "pool" else Text(view.name(level, key))
    return {"name": name, "id": Text(key)}


def grouped(keys: Iterable[Key], head: Callable[[Key], Key]) -> Iterator[tuple[Key, list[Key]]]:
    """Keys by their head, in the order of rows."""
    groups: dict[Key, list[Key]] = {}
    for key in keys:
        groups.setdefault(head(key), []).append(key)
    for found in sorted(groups, key=in_order):
        yield found, groups[found]
