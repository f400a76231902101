"""Suspensions, node events, reservations, partition limits, certificates, MIG slices, names of clusters.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("suspensions", sa.Text(), nullable=True))
    op.add_column("run_version", sa.Column("suspensions", sa.Text(), nullable=True))
    op.create_index(
        "ix_run_suspended",
        "run",
        ["cluster_id"],
        unique=False,
        sqlite_where=sa.text("suspended > 0"),
        postgresql_where=sa.text("suspended > 0"),
    )
    op.add_column(
        "cluster", sa.Column("former_names", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    op.add_column("sweep", sa.Column("modified_until", sa.BigInteger(), nullable=True))
    for name in ("notes", "suspected", "gone"):
        op.add_column("sweep", sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))
    op.create_table(
        "node_event",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tres", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "node", "start", "kind", name=op.f("pk_node_event")),
    )
    op.create_table(
        "reservation",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Text(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("tres", sa.Text(), nullable=False),
        sa.Column("associations", sa.Text(), nullable=True),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "id", "start", name=op.f("pk_reservation")),
    )
    op.create_table(
        "partition_limit",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("nodes", sa.Text(), nullable=False),
        sa.Column("tres", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "partition", "since", name=op.f("pk_partition_limit")),
    )
    op.create_table(
        "certificate",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("cells", sa.BigInteger(), nullable=False),
        sa.Column("unexplained_cells", sa.BigInteger(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "start", "end", name=op.f("pk_certificate")),
    )
    op.create_table(
        "mig_slice",
        sa.Column("gpu_class", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("gpus", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("gpu_class", "profile", "valid_from", name=op.f("pk_mig_slice")),
    )


def downgrade() -> None:
    for table in ("mig_slice", "certificate", "partition_limit", "reservation", "node_event"):
        op.drop_table(table)
    for name in ("notes", "suspected", "gone", "modified_until"):
        op.drop_column("sweep", name)
    op.drop_column("cluster", "former_names")
    op.drop_index("ix_run_suspended", table_name="run")
    op.drop_column("run_version", "suspensions")
    op.drop_column("run", "suspensions")
