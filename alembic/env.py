"""How alembic reaches the database: always over the connection that `opsd.store.migrate` hands it."""

from __future__ import annotations

from alembic import context

from opsd.store.tables import METADATA, partial_on_postgresql


def run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise SystemExit("run migrations with `opsd db upgrade`")
    import opsd.store.master  # noqa: F401  (adds its tables to METADATA)

    partial_on_postgresql()

    context.configure(
        connection=connection, target_metadata=METADATA, render_as_batch=True, compare_server_default=True
    )
    with context.begin_transaction():
        context.run_migrations()


run()
