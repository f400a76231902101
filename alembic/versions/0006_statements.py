"""Agreements, prices and factors; a journal that is chained; what was reported, frozen.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FROZEN = ("journal", "edition", "edition_record", "edition_runs", "edition_file")
_ADDED = {
    "organisation": ("undertaking", "tax_id", "nace", "ror"),
    "pool": ("aid_rule",),
    "project": ("purpose",),
}
_LINKED = ("approver", "subject", "evidence", "digest")


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for column in columns:
            op.add_column(table, _empty(column))
    op.add_column("award", sa.Column("granted_on", sa.BigInteger(), nullable=True))
    _master_data()
    _link_journal()
    _editions()
    _freeze()


def _empty(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''"))


def _link_journal() -> None:
    """Number and chain what is there, as opsd.core.journal seals new entries."""
    with op.batch_alter_table("journal") as journal:
        for column in _LINKED:
            journal.add_column(_empty(column))
        journal.add_column(sa.Column("previous", sa.Text(), nullable=True))
        journal.add_column(sa.Column("hash", sa.Text(), nullable=True))
        journal.alter_column("award", existing_type=sa.Text(), nullable=True)
    _chain()
    with op.batch_alter_table("journal") as journal:
        for column in ("previous", "hash"):
            journal.alter_column(column, existing_type=sa.Text(), nullable=False)
        journal.create_unique_constraint(op.f("uq_journal_previous"), ["previous"])


def _chain() -> None:
    names = ("id", "at", "posted", "kind", "award", "unit", "amount", "reason", "author")
    journal = sa.table("journal", *(sa.column(name) for name in (*names, "previous", "hash")))
    bind = op.get_bind()
    rows = bind.execute(sa.select(*(journal.c[name] for name in names)).order_by(journal.c.id)).all()
    before = "0" * 64
    for number, row in enumerate(rows, 1):
        told = (number, *row[1:], "", "", "", "", before)
        sealed = hashlib.sha256(
            json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        ).hexdigest()
        linked = sa.update(journal).where(journal.c.id == row[0])
        bind.execute(linked.values(id=number, previous=before, hash=sealed))
        before = sealed


def _master_data() -> None:
    op.create_table(
        "contribution",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("funder", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("committed", sa.Text(), nullable=True),
        sa.Column("paid", sa.Text(), nullable=True),
        sa.Column("agreed_on", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("supersedes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["funder"], ["funder.id"], name=op.f("fk_contribution_funder_funder")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contribution")),
    )
    op.create_index(op.f("ix_contribution_funder"), "contribution", ["funder"])
    op.create_table(
        "agreement",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("node_classes", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("under_use", sa.Text(), nullable=False),
        sa.Column("carry_most", sa.Text(), nullable=False),
        sa.Column("carry_periods", sa.BigInteger(), nullable=False),
        sa.Column("tranche", sa.Text(), nullable=False),
        sa.Column("tolerance", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", "valid_from", name=op.f("pk_agreement")),
    )
    op.create_table(
        "share",
        sa.Column("agreement", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("fraction", sa.Text(), nullable=True),
        sa.Column("hours", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["pool"], ["pool.id"], name=op.f("fk_share_pool_pool")),
        sa.PrimaryKeyConstraint("agreement", "pool", name=op.f("pk_share")),
    )
    op.create_table(
        "cap",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pools", sa.Text(), nullable=False),
        sa.Column("modes", sa.Text(), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("most", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("within", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("thresholds", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", "valid_from", name=op.f("pk_cap")),
    )
    op.create_table(
        "price",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("pools", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "valid_from", name=op.f("pk_price")),
    )
    op.create_table(
        "aid_rule",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("ceiling", sa.Text(), nullable=False),
        sa.Column("years", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "valid_from", name=op.f("pk_aid_rule")),
    )
    op.create_table(
        "other_aid",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("undertaking", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("granted_on", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_other_aid")),
    )
    op.create_table(
        "factor",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("node_class", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["cluster"], ["cluster.id"], name=op.f("fk_factor_cluster_cluster")),
        sa.PrimaryKeyConstraint("cluster", "node_class", "kind", "valid_from", name=op.f("pk_factor")),
    )
    op.create_table(
        "draft",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draft")),
        sa.UniqueConstraint("mark", name=op.f("uq_draft_mark")),
    )


def _editions() -> None:
    op.create_table(
        "edition",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("journal_id", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("digests", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edition")),
        sa.UniqueConstraint("period", "number", name=op.f("uq_edition_period_number")),
    )
    op.create_table(
        "edition_record",
        sa.Column("edition_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_edition_record_edition_id_edition")
        ),
        sa.PrimaryKeyConstraint("edition_id", "number", name=op.f("pk_edition_record")),
    )
    op.create_table(
        "edition_runs",
        sa.Column("edition_id", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_edition_runs_edition_id_edition")
        ),
        sa.PrimaryKeyConstraint("edition_id", "period", name=op.f("pk_edition_runs")),
    )
    op.create_table(
        "edition_file",
        sa.Column("edition_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_edition_file_edition_id_edition")
        ),
        sa.PrimaryKeyConstraint("edition_id", "name", name=op.f("pk_edition_file")),
    )


def _freeze() -> None:
    """The database itself refuses what would change the past."""
    if op.get_bind().dialect.name == "sqlite":
        for table in FROZEN:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'table {table} is append-only: {verb} refused'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION opsd_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'table % is append-only: % refused', TG_TABLE_NAME, TG_OP; END $$"
    )
    for table in FROZEN:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION opsd_append_only()"
        )


def downgrade() -> None:
    raise RuntimeError("what was reported is not taken back: restore a backup instead")
