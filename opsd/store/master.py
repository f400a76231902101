"""The tables of master data and of the journal, as sqlmodel classes on the store's `METADATA`.

These say what the database holds, to migrations and to the portal. Attribution reads the same tables
without them (`opsd.store.parties`), because importing sqlmodel takes longer than answering.

Invariants: a column is named as the field of `opsd.core` it keeps (a test compares them); keys are
natural; times are epoch seconds; exact numbers are texts.
"""

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from opsd.store.tables import METADATA, AutoId


class Row(SQLModel):
    """What all tables share."""

    metadata: ClassVar[Any] = METADATA


def _key() -> Any:  # noqa: ANN401  # sqlmodel's Field is typed so
    return Field(primary_key=True, sa_type=Text)


def _key_of(other: str) -> Any:  # noqa: ANN401
    return Field(primary_key=True, sa_type=Text, foreign_key=other)


def _time_key() -> Any:  # noqa: ANN401
    return Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})


def _text() -> Any:  # noqa: ANN401
    return Field(sa_type=Text, nullable=False)


def _added_text() -> Any:  # noqa: ANN401
    """A column that came later, to a table with rows."""
    return Field(default="", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": text("''")})


def _text_or_none() -> Any:  # noqa: ANN401
    return Field(default=None, sa_type=Text, nullable=True)


def _ref(other: str) -> Any:  # noqa: ANN401
    return Field(sa_type=Text, nullable=False, foreign_key=other, index=True)


def _whole() -> Any:  # noqa: ANN401
    return Field(sa_type=BigInteger, nullable=False)


def _whole_or_none() -> Any:  # noqa: ANN401
    return Field(default=None, sa_type=BigInteger, nullable=True)


class ClusterRow(Row, table=True):
    """opsd.core.parties.Cluster; former names joined by commas."""

    __tablename__ = "cluster"
    id: str = _key()
    name: str = _text()
    former_names: str = _added_text()


class NodeClassRow(Row, table=True):
    """opsd.core.parties.NodeClass; partitions joined by commas."""

    __tablename__ = "node_class"
    cluster: str = _key_of("cluster.id")
    id: str = _key()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    nodes: str = _text()
    partitions: str = _text()
    cores: int | None = _whole_or_none()
    cpus: int | None = _whole_or_none()
    mem_mb: int | None = _whole_or_none()
    gpus: int | None = _whole_or_none()
    gpu_class: str = _text()


class UnitTableRow(Row, table=True):
    """opsd.core.parties.UnitTable; exact numbers as texts."""

    __tablename__ = "unit_table"
    cluster: str = _key_of("cluster.id")
    node_class: str = _key()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    gpu_hours: str | None = _text_or_none()
    core_hours: str | None = _text_or_none()
    cpu_hours: str | None = _text_or_none()
    khours: str | None = _text_or_none()
    source: str = _text()


class OrganisationRow(Row, table=True):
    """opsd.core.parties.Organisation."""

    __tablename__ = "organisation"
    id: str = _key()
    name: str = _text()
    country: str = _text()
    kind: str = _text()
    sector: str = _text()
    parent: str = _text()
    undertaking: str = _added_text()
    tax_id: str = _added_text()
    nace: str = _added_text()
    ror: str = _added_text()


class PersonRow(Row, table=True):
    """opsd.core.parties.Person."""

    __tablename__ = "person"
    user: str = _key()
    organisation: str = _ref("organisation.id")
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    cluster: str = _key()


class FunderRow(Row, table=True):
    """opsd.core.agreements.Funder; the amount as text."""

    __tablename__ = "funder"
    id: str = _key()
    name: str = _text()
    kind: str = _text()
    country: str | None = _text_or_none()
    parent: str = _text()
    amount_meur: str | None = _text_or_none()
    confirmed: bool = Field(nullable=False)
    source: str = _text()


class PoolRow(Row, table=True):
    """opsd.core.agreements.Pool."""

    __tablename__ = "pool"
    id: str = _key()
    funder: str = _ref("funder.id")
    name: str = _text()
    aid_rule: str = _added_text()


class ProjectRow(Row, table=True):
    """opsd.core.awards.Project."""

    __tablename__ = "project"
    id: str = _key()
    title: str = _text()
    organisation: str = _ref("organisation.id")
    sector: str = _text()
    purpose: str = _added_text()


class PolicyRow(Row, table=True):
    """opsd.core.agreements.Policy; parameters as canonical JSON."""

    __tablename__ = "policy"
    id: str = _key()
    rule: str = _text()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    params: str = _text()


class AwardRow(Row, table=True):
    """opsd.core.awards.Award; the amount as exact text, thresholds joined by commas."""

    __tablename__ = "award"
    id: str = _key()
    project: str = _ref("project.id")
    pool: str = _ref("pool.id")
    amount: str = _text()
    unit: str = _text()
    start: int = _whole()
    end: int | None = _whole_or_none()
    policy: str = _text()
    mode: str = _text()
    thresholds: str = _text()
    grace_days: int = _whole()
    report_due: int | None = _whole_or_none()
    granted_on: int | None = _whole_or_none()


class BindingRow(Row, table=True):
    """opsd.core.awards.Binding."""

    __tablename__ = "binding"
    cluster: str = _key_of("cluster.id")
    account: str = _key()
    award: str = _ref("award.id")
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    partition: str = _key()
    qos: str = _key()


class ContactRow(Row, table=True):
    """opsd.core.parties.Contact."""

    __tablename__ = "contact"
    id: str = _key()
    name: str = _text()
    email: str = _text()
    role: str = _text()
    organisation: str = _text()
    funder: str = _text()
    project: str = _text()
    locale: str = _text()


class AccountHintRow(Row, table=True):
    """opsd.core.parties.AccountHint."""

    __tablename__ = "account_hint"
    prefix: str = _key()
    meaning: str = _text()


class MigSliceRow(Row, table=True):
    """opsd.core.slices.MigSlice; the exact share of a GPU as text."""

    __tablename__ = "mig_slice"
    gpu_class: str = _key()
    profile: str = _key()
    gpus: str = _text()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    source: str = _text()


class ContributionRow(Row, table=True):
    """opsd.core.agreements.Contribution; money as micro-units and currency."""

    __tablename__ = "contribution"
    id: str = _key()
    funder: str = _ref("funder.id")
    purpose: str = _text()
    committed: str | None = _text_or_none()
    paid: str | None = _text_or_none()
    agreed_on: int | None = _whole_or_none()
    document: str = _text()
    sha256: str = _text()
    confirmed: bool = Field(nullable=False)
    supersedes: str = _text()


class AgreementRow(Row, table=True):
    """opsd.core.agreements.Agreement; exact numbers as texts, lists joined by commas."""

    __tablename__ = "agreement"
    id: str = _key()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    name: str = _text()
    node_classes: str = _text()
    resource: str = _text()
    part: str = _text()
    key: str = _text()
    basis: str = _text()
    under_use: str = _text()
    carry_most: str = _text()
    carry_periods: int = _whole()
    tranche: str = _text()
    tolerance: str = _text()
    document: str = _text()
    sha256: str = _text()
    confirmed: bool = Field(nullable=False)


class ShareRow(Row, table=True):
    """opsd.core.agreements.Share; exact numbers as texts."""

    __tablename__ = "share"
    agreement: str = _key()
    pool: str = _key_of("pool.id")
    fraction: str | None = _text_or_none()
    hours: str | None = _text_or_none()


class CapRow(Row, table=True):
    """opsd.core.agreements.Cap; exact numbers as texts, lists joined by commas."""

    __tablename__ = "cap"
    id: str = _key()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    name: str = _text()
    pools: str = _text()
    modes: str = _text()
    kinds: str = _text()
    purposes: str = _text()
    most: str = _text()
    base: str = _text()
    within: str = _text()
    window: str = _text()
    thresholds: str = _text()
    source: str = _text()
    confirmed: bool = Field(nullable=False)


class PriceRow(Row, table=True):
    """opsd.core.prices.Price; money as micro-units and currency."""

    __tablename__ = "price"
    id: str = _key()
    unit: str = _text()
    amount: str = _text()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    pools: str = _text()
    method: str = _text()
    approver: str = _text()
    source: str = _text()


class AidRuleRow(Row, table=True):
    """opsd.core.prices.AidRule; money as micro-units and currency."""

    __tablename__ = "aid_rule"
    id: str = _key()
    ceiling: str = _text()
    years: int = _whole()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    kinds: str = _text()
    source: str = _text()


class OtherAidRow(Row, table=True):
    """opsd.core.prices.OtherAid; money as micro-units and currency."""

    __tablename__ = "other_aid"
    id: str = _key()
    undertaking: str = _text()
    country: str = _text()
    rule: str = _text()
    amount: str = _text()
    granted_on: int = _whole()
    source: str = _text()


class FactorRow(Row, table=True):
    """opsd.core.factors.Factor; the exact number as text."""

    __tablename__ = "factor"
    cluster: str = _key_of("cluster.id")
    kind: str = _key()
    value: str = _text()
    node_class: str = _key()
    valid_from: int = _time_key()
    valid_until: int | None = _whole_or_none()
    source: str = _text()


class ConsortiumSettingRow(Row, table=True):
    """What a consortium has once: its name, its book zone."""

    __tablename__ = "consortium_setting"
    key: str = _key()
    value: str = _text()


class JournalRow(Row, table=True):
    """opsd.core.journal.Entry; rows are only ever added: triggers of migration 0006 refuse all else."""

    __tablename__ = "journal"
    __table_args__ = (Index("ix_journal_award_at", "award", "at"), UniqueConstraint("previous"))
    id: int | None = Field(default=None, primary_key=True, sa_type=AutoId)
    at: int = _whole()
    posted: int = _whole()
    kind: str = _text()
    award: str | None = Field(default=None, sa_type=Text, nullable=True, foreign_key="award.id")
    unit: str = _text()
    amount: int = _whole()
    reason: str = _text()
    author: str = _text()
    approver: str = _added_text()
    subject: str = _added_text()
    evidence: str = _added_text()
    digest: str = _added_text()
    previous: str = _text()
    hash: str = _text()


class DraftRow(Row, table=True):
    """opsd.core.drafts.Draft: an entry that waits for a person to post or decline it."""

    __tablename__ = "draft"
    __table_args__ = (UniqueConstraint("mark"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=AutoId)
    made_at: int = _whole()
    mark: str | None = _text_or_none()  # what it was drafted for, once: a run; none where a person wrote it
    kind: str = _text()
    entries: str = _text()  # the entries it would post, as canonical JSON
    author: str = _text()
    state: str = _text()  # waiting, posted or declined
    decided_at: int | None = _whole_or_none()
    decided_by: str = _text()
    reason: str = _text()  # of the decision
