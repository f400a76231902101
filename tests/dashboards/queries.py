"""What a query names, found by a real PromQL parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import promql_parser as promql

from dashboards.recording import RECORDED
from exporters.catalogue import BY_NAME

OF_PROMETHEUS = {"up": ("job", "instance", "cluster", "node")}
TARGET = {"job", "instance", "cluster", "node"}


class Named(NamedTuple):
    """Metrics with the labels of their matchers; labels of aggregations and joins; labels that are made."""

    metrics: tuple[tuple[str, tuple[str, ...]], ...]
    labels: tuple[str, ...]
    made: tuple[str, ...]


def named(expression: str) -> Named:
    """Everything that an expression names; raises where it is no PromQL."""
    nodes = list(_nodes(promql.parse(expression)))
    selectors = [it for it in nodes if isinstance(it, promql.VectorSelector)]
    metrics = tuple((it.name, tuple(one.name for one in it.matchers.matchers)) for it in selectors)
    made = tuple(label for node in nodes for label in _made(node))
    return Named(metrics, tuple(label for node in nodes for label in _labels(node)), made)


def _nodes(expr: promql.Expr) -> Iterator[promql.Expr]:
    yield expr
    if isinstance(expr, promql.MatrixSelector):
        yield expr.vector_selector
    below = [getattr(expr, name, None) for name in ("lhs", "rhs", "expr")]
    for child in [*below, *getattr(expr, "args", ())]:
        if isinstance(child, promql.Expr):
            yield from _nodes(child)


def _labels(node: promql.Expr) -> Iterator[str]:
    modifier = getattr(node, "modifier", None)
    if isinstance(node, promql.AggregateExpr) and modifier:
        yield from modifier.labels
    if isinstance(node, promql.BinaryExpr) and modifier:
        if modifier.matching:
            yield from modifier.matching.labels
        yield from modifier.group_labels or ()


def _made(node: promql.Expr) -> Iterator[str]:
    """Labels that a function or `count_values` writes."""
    if isinstance(node, promql.Call) and node.func.name in ("label_replace", "label_join"):
        yield node.args[1].val
    if isinstance(node, promql.AggregateExpr) and isinstance(node.param, promql.StringLiteral):
        yield node.param.val


def foreign(expression: str) -> list[str]:
    """Names in an expression that no page has."""
    found = named(expression)
    known = {name: set(BY_NAME[name].labels) | TARGET for name in BY_NAME}
    known |= {name: set(labels) for name, labels in OF_PROMETHEUS.items()}
    known |= {it.name: set(it.labels) for it in RECORDED}
    somewhere = set(found.made).union(*(known.get(name, set()) for name, _ in found.metrics))
    return [
        *(name for name, _ in found.metrics if name not in known),
        *(f"{name}.{it}" for name, labels in found.metrics for it in labels if it not in known.get(name, ())),
        *(label for label in found.labels if label not in somewhere),
    ]
