"""Whether the parts of a consortium fit together.

Invariant: `check` never raises on values that exist; everything wrong is in its list, and an empty
list means that every hour of use has one answer to who pays, who leads and what it costs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import pairwise
from typing import Any

from opsd.core import soundness_agreements, soundness_aid
from opsd.core.agreements import JU, Policy
from opsd.core.amounts import exact_text
from opsd.core.awards import Award
from opsd.core.consortium import BY_TABLE, KINDS, Consortium, Item, Key, Kind
from opsd.core.errors import OpsdError
from opsd.core.fields import ALWAYS, BadField, shared
from opsd.core.journal import KINDS as JOURNAL_KINDS
from opsd.core.parties import NodeClass, UnitTable
from opsd.core.period import isoformat, zone
from opsd.core.rules import RULES, params_of
from opsd.core.shape import Expand

LARGEST_GROUP = 1_000
REFERENCES: tuple[tuple[str, str, str], ...] = (  # table, its field, the table it must name
    ("node_class", "cluster", "cluster"),
    ("unit_table", "cluster", "cluster"),
    ("organisation", "parent", "organisation"),
    ("person", "organisation", "organisation"),
    ("person", "cluster", "cluster"),
    ("funder", "parent", "funder"),
    ("pool", "funder", "funder"),
    ("pool", "aid_rule", "aid_rule"),
    ("project", "organisation", "organisation"),
    ("award", "project", "project"),
    ("award", "pool", "pool"),
    ("award", "policy", "policy"),
    ("binding", "cluster", "cluster"),
    ("binding", "award", "award"),
    ("contact", "organisation", "organisation"),
    ("contact", "funder", "funder"),
    ("contact", "project", "project"),
    ("contribution", "funder", "funder"),
    ("contribution", "supersedes", "contribution"),
    ("share", "agreement", "agreement"),
    ("share", "pool", "pool"),
    ("cap", "within", "cap"),
    ("other_aid", "rule", "aid_rule"),
    ("factor", "cluster", "cluster"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not fit, at one field of one entry."""

    table: str
    key: Key
    field: str
    message: str
    name: str = ""  # of the entry, for people

    def __str__(self) -> str:
        return f"{self.table} {self.name}: {self.message}" if self.name else self.message


def shown(table: str, key: Key, tz: tzinfo = UTC) -> str:
    """The name of an entry for people: `mn5/etur01 from 2026-05-01T00:00:00+02:00`."""
    kind = BY_TABLE[table]
    *names, last = key if kind.dated else (*key, ALWAYS)
    text = "/".join(str(name) for name in names if name != "")
    return f"{text} from {isoformat(int(last), tz)}" if last != ALWAYS else text


def check(consortium: Consortium, expand: Expand | None = None) -> list[Problem]:
    """Everything that does not fit; host lists are compared node by node if `expand` is given."""
    found: list[Problem] = []
    for examine in CHECKS:
        found.extend(examine(consortium))
    if expand is not None:
        found.extend(_nodes_in_two_classes(consortium, expand))
    return found


def _problem(held: Consortium, table: str, item: Item, field: str, message: str) -> Problem:
    key = BY_TABLE[table].key_of(item)
    return Problem(table, key, field, message, shown(table, key, _zone(held)))


def _zone(held: Consortium) -> tzinfo:
    try:
        return zone(held.book_zone or "UTC")
    except OpsdError:
        return UTC  # named as a problem of its own


def _book_zone(held: Consortium) -> Iterator[Problem]:
    try:
        zone(held.book_zone or "UTC")
    except OpsdError as err:
        yield Problem("consortium", (), "book_zone", str(err))


def _settings(held: Consortium) -> Iterator[Problem]:
    for kind in held.second_person or ():
        if kind not in JOURNAL_KINDS:
            message = f"unknown kind {kind!r}; write some of {', '.join(JOURNAL_KINDS)}"
            yield Problem("consortium", (), "second_person", f"second_person: {message}")
    group = held.smallest_group
    if group is not None and not 1 <= group <= LARGEST_GROUP:
        message = f"smallest_group is no number of users: {group}; write 1 (merge nothing) to {LARGEST_GROUP}"
        yield Problem("consortium", (), "smallest_group", message)


def _references(held: Consortium) -> Iterator[Problem]:
    names = {kind.table: {item.id for item in held.items(kind)} for kind in KINDS if "id" in kind.key}
    for table, field, target in REFERENCES:
        kind = BY_TABLE[table]
        for item in held.items(kind):
            text = getattr(item, field)
            if text and text not in names[target]:
                message = f"unknown {field} {text!r}; declare it in a [[{target}]], or correct it"
                yield _problem(held, table, item, field, message)
    classes = {(c.cluster, c.id) for c in held.node_classes}
    for row in held.unit_tables:
        if (row.cluster, row.node_class) not in classes:
            message = f"unknown node_class {row.node_class!r}; declare it in a [[node_class]], or correct it"
            yield _problem(held, "unit_table", row, "node_class", message)


def _cluster_names(held: Consortium) -> Iterator[Problem]:
    """A name that Slurm gives leads to one cluster."""
    owners = {name: name for name in held.clusters}
    for name, cluster in held.clusters.items():
        for former in cluster.former_names:
            owner = owners.setdefault(former, name)
            if former in held.clusters or owner != name:
                message = f"former name {former!r} is a name of cluster {owner}; take it out of one"
                yield _problem(held, "cluster", cluster, "former_names", message)


def _cycles(held: Consortium) -> Iterator[Problem]:
    for table in ("organisation", "funder"):
        items = {item.id: item for item in held.items(BY_TABLE[table])}
        for name, item in items.items():
            path = [name]
            while (above := items[path[-1]].parent) in items and above not in path:
                path.append(above)
            if above == name == min(path):
                chain = " → ".join([*path, name])
                message = f"is above itself: {chain}; take one parent out"
                yield _problem(held, table, item, "parent", message)


def _overlaps(held: Consortium) -> Iterator[Problem]:
    """Two versions of one thing at one time."""
    for kind in KINDS:
        if kind.dated:
            for before, after in _versions(held, kind):
                if shared(before.valid_from, before.valid_until, after.valid_from, after.valid_until):
                    message = _overlap_text(kind, before, _zone(held))
                    yield _problem(held, kind.table, after, "from", message)


def _versions(held: Consortium, kind: Kind) -> Iterator[tuple[Any, Any]]:
    """Neighbours in time under one name; versions that were never in force do not count."""
    named: dict[Key, list[Any]] = defaultdict(list)
    for item in held.items(kind):
        if item.valid_until != item.valid_from:
            named[kind.key_of(item)[:-1]].append(item)
    for items in named.values():
        yield from pairwise(items)


def _overlap_text(kind: Kind, before: Item, tz: tzinfo) -> str:
    end: int | None = getattr(before, "valid_until", None)
    until = "has no end" if end is None else f"ends {isoformat(end, tz)}"
    other = shown(kind.table, kind.key_of(before), tz)
    return f"overlaps {other}, which {until}; set an earlier until there, or a later from here"


def _policies(held: Consortium) -> Iterator[Problem]:
    for policy in held.policies:
        for field, message in policy_faults(policy):
            yield _problem(held, "policy", policy, field, message)


def policy_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    """(field, message) for a rule that does not exist and parameters it does not take."""
    rule = RULES.get(policy.rule)
    if rule is None:
        yield "rule", f"unknown rule {policy.rule!r}; write one of {', '.join(RULES)}"
        return
    try:
        params = params_of(policy.params)
    except OpsdError as err:
        yield err.field if isinstance(err, BadField) else "params", str(err)
        return
    neutral = params_of("{}")
    for field in type(params).__dataclass_fields__:
        if field not in rule.PARAMS and getattr(params, field) != getattr(neutral, field):
            yield field, f"rule {policy.rule} has no {field}; it takes {', '.join(rule.PARAMS)}"
    if params.mode and params.mode not in rule.MODES and rule.MODES:
        yield "mode", f"unknown mode {params.mode!r}; write one of {', '.join(rule.MODES)}"


def _charging(held: Consortium) -> Iterator[Problem]:
    """An award whose policy does not cover its life, or charges in another unit."""
    for award in held.awards.values():
        versions = [p for p in held.policy_versions(award.policy) if p.valid_until != p.valid_from]
        for policy in versions:
            rule = RULES.get(policy.rule)
            in_life = shared(award.start, award.end, policy.valid_from, policy.valid_until)
            if rule and in_life and award.unit != rule.UNIT:
                message = f"is in {award.unit}, but policy {policy.id!r} charges {rule.UNIT}; change one"
                yield _problem(held, "award", award, "unit", message)
                break
        if versions and (hole := _hole(award, versions)) is not None:
            since = isoformat(hole, _zone(held))
            message = f"policy {award.policy!r} says nothing from {since}; add a version for it"
            yield _problem(held, "award", award, "policy", message)


def _hole(award: Award, versions: Sequence[Policy]) -> int | None:
    at = award.start
    for policy in versions:
        if policy.valid_from > at:
            break
        if policy.valid_until is None:
            return None
        at = max(at, policy.valid_until)
    return at if award.end is None or at < award.end else None


def _unit_tables(held: Consortium) -> Iterator[Problem]:
    for table in held.unit_tables:
        for node_class in held.node_classes:
            same = (node_class.cluster, node_class.id) == (table.cluster, table.node_class)
            if same and shared(
                node_class.valid_from, node_class.valid_until, table.valid_from, table.valid_until
            ):
                for field, message in _contradictions(table, node_class):
                    yield _problem(held, "unit_table", table, field, message)


def _contradictions(table: UnitTable, node_class: NodeClass) -> Iterator[tuple[str, str]]:
    for field, counted in (("gpu_hours", "gpus"), ("core_hours", "cores"), ("cpu_hours", "cpus")):
        agreed, count = getattr(table, field), getattr(node_class, counted)
        if agreed is not None and count is not None and agreed != count:
            yield field, f"{field} is {agreed}, but the node class has {counted} = {count}; correct one"
    if table.khours is not None and table.core_hours is not None and table.khours * 1000 != table.core_hours:
        right = exact_text(table.core_hours / 1000)
        yield "khours", f"khours is {exact_text(table.khours)}, but core_hours make {right}; correct one"


def _payers(held: Consortium) -> Iterator[Problem]:
    for pool in held.pools.values():
        chain = held.funder_chain(pool.funder)
        if chain and chain[-1].kind != JU and chain[-1].country is None:
            top = chain[-1].id
            message = f"nobody pays: its top funder {top!r} is neither the JU nor has a country"
            yield _problem(held, "pool", pool, "funder", f"{message}; give it one")


def _dated_terms(held: Consortium) -> Iterator[Problem]:
    """Agreements and caps; State aid and energy."""
    for table, item, field, message in (*soundness_agreements.faults(held), *soundness_aid.faults(held)):
        yield _problem(held, table, item, field, message)


def _nodes_in_two_classes(held: Consortium, expand: Expand) -> Iterator[Problem]:
    kind = BY_TABLE["node_class"]
    seen: dict[tuple[str, str], list[NodeClass]] = defaultdict(list)
    told: set[tuple[Key, Key]] = set()
    for item in held.node_classes:
        try:
            nodes = expand(item.nodes) if item.nodes else ()
        except OpsdError as err:
            yield _problem(held, kind.table, item, "nodes", str(err))
            continue
        for node in nodes:
            for other in seen[item.cluster, node]:
                pair = (kind.key_of(other), kind.key_of(item))
                same_time = shared(item.valid_from, item.valid_until, other.valid_from, other.valid_until)
                if same_time and item.id != other.id and pair not in told:
                    told.add(pair)
                    other_name = shown(kind.table, pair[0], _zone(held))
                    message = f"node {node} is also in {other_name} at that time; end one"
                    yield _problem(held, kind.table, item, "nodes", message)
            seen[item.cluster, node].append(item)


CHECKS: tuple[Callable[[Consortium], Iterator[Problem]], ...] = (
    _book_zone,
    _settings,
    _references,
    _cluster_names,
    _cycles,
    _overlaps,
    _policies,
    _charging,
    _unit_tables,
    _payers,
    _dated_terms,
)
