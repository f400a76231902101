"""What runs really did with GPUs, and how far each agent's spool was fetched.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "measured",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("started", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("sluid", sa.Text(), nullable=False),
        sa.Column("allocated_ms", sa.BigInteger(), nullable=False),
        sa.Column("covered_ms", sa.BigInteger(), nullable=False),
        sa.Column("process_ms", sa.BigInteger(), nullable=True),
        sa.Column("idle_ms", sa.BigInteger(), nullable=True),
        sa.Column("gpm_ms", sa.BigInteger(), nullable=False),
        sa.Column("sm_active_ms", sa.BigInteger(), nullable=True),
        sa.Column("tensor_active_ms", sa.BigInteger(), nullable=True),
        sa.Column("energy_mj", sa.BigInteger(), nullable=True),
        sa.Column("is_energy_estimated", sa.SmallInteger(), nullable=False),
        sa.Column("memory_peak_bytes", sa.BigInteger(), nullable=True),
        sa.Column("xids", sa.Text(), nullable=False),
        sa.Column("is_end_seen", sa.SmallInteger(), nullable=False),
        sa.Column("fetched_at", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("cluster", "job_id", "uuid", "started", name=op.f("pk_measured")),
    )
    op.create_index("ix_measured_ended", "measured", ["ended"], unique=False)
    op.create_index("ix_measured_run_id", "measured", ["run_id"], unique=False)
    op.create_table(
        "spool",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("spool", sa.Text(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("fetched_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("cluster", "node", name=op.f("pk_spool")),
    )


def downgrade() -> None:
    for table in ("spool", "measured"):
        op.drop_table(table)
