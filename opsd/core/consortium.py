"""All master data of an installation as one value, and the table of what it is made of.

Invariant: equal content is equal whatever order it was given in; dated entries are kept in the order
of their keys. `opsd.core.soundness.check` says whether the parts fit together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from opsd.core.agreements import Agreement, Cap, Contribution, Funder, Policy, Pool, Share
from opsd.core.awards import Award, Binding, Project
from opsd.core.factors import Factor
from opsd.core.fields import in_force
from opsd.core.parties import AccountHint, Cluster, Contact, NodeClass, Organisation, Person, UnitTable
from opsd.core.prices import AidRule, OtherAid, Price
from opsd.core.slices import MigSlice

Item = (
    Cluster
    | NodeClass
    | UnitTable
    | MigSlice
    | Organisation
    | Person
    | Funder
    | Pool
    | Project
    | Award
    | Binding
    | Policy
    | Contact
    | AccountHint
    | Contribution
    | Agreement
    | Share
    | Cap
    | Price
    | AidRule
    | OtherAid
    | Factor
)
Key = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of master data: its table, its values, the fields that name one of them."""

    table: str
    values: type[Any]
    key: tuple[str, ...]
    attribute: str  # of Consortium

    @property
    def dated(self) -> bool:
        """Whether one name may have several versions in time."""
        return self.key[-1] == "valid_from"

    @property
    def columns(self) -> tuple[str, ...]:
        """Field names, which are column names."""
        return tuple(f.name for f in fields(self.values))

    def key_of(self, item: Item) -> Key:
        """The values that name `item` among its kind."""
        return tuple(getattr(item, name) for name in self.key)


# In the order of reference: what a row names stands above it.
KINDS: tuple[Kind, ...] = (
    Kind("cluster", Cluster, ("id",), "clusters"),
    Kind("node_class", NodeClass, ("cluster", "id", "valid_from"), "node_classes"),
    Kind("unit_table", UnitTable, ("cluster", "node_class", "valid_from"), "unit_tables"),
    Kind("mig_slice", MigSlice, ("gpu_class", "profile", "valid_from"), "mig_slices"),
    Kind("organisation", Organisation, ("id",), "organisations"),
    Kind("person", Person, ("user", "cluster", "valid_from"), "people"),
    Kind("funder", Funder, ("id",), "funders"),
    Kind("pool", Pool, ("id",), "pools"),
    Kind("project", Project, ("id",), "projects"),
    Kind("policy", Policy, ("id", "valid_from"), "policies"),
    Kind("award", Award, ("id",), "awards"),
    Kind("binding", Binding, ("cluster", "account", "partition", "qos", "valid_from"), "bindings"),
    Kind("contribution", Contribution, ("id",), "contributions"),
    Kind("agreement", Agreement, ("id", "valid_from"), "agreements"),
    Kind("share", Share, ("agreement", "pool"), "shares"),
    Kind("cap", Cap, ("id", "valid_from"), "caps"),
    Kind("price", Price, ("id", "valid_from"), "prices"),
    Kind("aid_rule", AidRule, ("id", "valid_from"), "aid_rules"),
    Kind("other_aid", OtherAid, ("id",), "other_aids"),
    Kind("factor", Factor, ("cluster", "node_class", "kind", "valid_from"), "factors"),
    Kind("contact", Contact, ("id",), "contacts"),
    Kind("account_hint", AccountHint, ("prefix",), "account_hints"),
)
BY_TABLE = {kind.table: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Consortium:
    """Who pays, who leads, who uses, on which machines; an empty name or zone, or None, is *not said*."""

    name: str = ""
    book_zone: str = ""
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    node_classes: tuple[NodeClass, ...] = ()
    unit_tables: tuple[UnitTable, ...] = ()
    mig_slices: tuple[MigSlice, ...] = ()
    organisations: Mapping[str, Organisation] = field(default_factory=dict)
    people: tuple[Person, ...] = ()
    funders: Mapping[str, Funder] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    projects: Mapping[str, Project] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    awards: Mapping[str, Award] = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()
    contacts: Mapping[str, Contact] = field(default_factory=dict)
    account_hints: Mapping[str, AccountHint] = field(default_factory=dict)
    contributions: Mapping[str, Contribution] = field(default_factory=dict)
    agreements: tuple[Agreement, ...] = ()
    shares: tuple[Share, ...] = ()
    caps: tuple[Cap, ...] = ()
    prices: tuple[Price, ...] = ()
    aid_rules: tuple[AidRule, ...] = ()
    other_aids: Mapping[str, OtherAid] = field(default_factory=dict)
    factors: tuple[Factor, ...] = ()
    second_person: tuple[str, ...] | None = None  # kinds of journal entries that a second person approves
    smallest_group: int | None = None  # users; smaller groups are merged in reports

    @classmethod
    def of(
        cls,
        items: Iterable[Item],
        name: str = "",
        book_zone: str = "",
        second_person: Iterable[str] | None = None,
        smallest_group: int | None = None,
    ) -> Consortium:
        """Gather values of any kind, in any order; of two with one key the later stays."""
        kinds = {kind.values: kind for kind in KINDS}
        gathered: dict[str, dict[Key, Item]] = {kind.attribute: {} for kind in KINDS}
        for item in items:
            kind = kinds[type(item)]
            gathered[kind.attribute][kind.key_of(item)] = item
        parts: dict[str, Any] = {}
        for kind in KINDS:
            ordered = dict(sorted(gathered[kind.attribute].items()))
            if kind.dated or len(kind.key) > 1:
                parts[kind.attribute] = tuple(ordered.values())
            else:
                parts[kind.attribute] = {key[0]: item for key, item in ordered.items()}
        guarded = None if second_person is None else tuple(sorted(set(second_person)))
        return cls(
            name=name, book_zone=book_zone, second_person=guarded, smallest_group=smallest_group, **parts
        )

    def guards(self, kind: str) -> bool:
        """Whether a second person must approve journal entries of a kind."""
        return kind in (self.second_person or ())

    def items(self, kind: Kind) -> tuple[Any, ...]:
        """Every value of a kind, by key."""
        held = getattr(self, kind.attribute)
        return held if isinstance(held, tuple) else tuple(held.values())

    def by_key(self, kind: Kind) -> dict[Key, Any]:
        """Every value of a kind under its key."""
        return {kind.key_of(item): item for item in self.items(kind)}

    def node_class(self, cluster: str, name: str, at: int) -> NodeClass | None:
        """The version of a node class in force at `at`."""
        for found in self.node_classes:
            same = (found.cluster, found.id) == (cluster, name)
            if same and in_force(found.valid_from, found.valid_until, at):
                return found
        return None

    def policy_versions(self, name: str) -> tuple[Policy, ...]:
        """All versions of a charge policy, oldest first."""
        return tuple(policy for policy in self.policies if policy.id == name)

    def policy_at(self, name: str, at: int) -> Policy | None:
        """The version of a charge policy in force at `at`."""
        for policy in self.policy_versions(name):
            if in_force(policy.valid_from, policy.valid_until, at):
                return policy
        return None

    def funder_chain(self, name: str) -> tuple[Funder, ...]:
        """A funder and those above it, up to the top (or to where a chain bites itself)."""
        chain: list[Funder] = []
        funder = self.funders.get(name)
        while funder is not None and funder not in chain:
            chain.append(funder)
            funder = self.funders.get(funder.parent)
        return tuple(chain)

    def hint(self, account: str) -> str:
        """What the longest matching account prefix suggests; "" if none does."""
        matching = [prefix for prefix in self.account_hints if account.startswith(prefix)]
        return self.account_hints[max(matching, key=len)].meaning if matching else ""
