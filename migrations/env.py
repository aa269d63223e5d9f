"""Runs migrations: on the connection that `barber.catalogue.migrate` hands in, or, for the
`alembic` command, on a fresh one to BARBER_DATABASE_URL."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine, text

from barber.catalogue import (  # noqa: F401 (all are its metadata)
    bulk_tables,
    counts,
    intake_tables,
    refusals,
    review_tables,
    study_tables,
    tables,
    webhook_tables,
)
from barber.catalogue.migrate import MIGRATION_LOCK
from barber.settings import Settings


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    """Leaves out the result backend's tables: Celery makes them in the same database by itself."""
    return not (kind == "table" and name is not None and name.startswith("celery_"))


def migrate(connection: Connection) -> None:
    """One transaction for all migrations, so that a failing one leaves nothing behind."""
    context.configure(
        connection=connection,
        target_metadata=tables.Base.metadata,
        compare_type=True,
        include_name=_ours,
    )
    with connection.begin():
        connection.execute(text("SET LOCAL statement_timeout = '120s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        # From here on, never queue behind a long transaction while others queue behind us.
        connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        context.run_migrations()


def main() -> None:
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    given = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    engine = create_engine(Settings.from_env(os.environ).database_url)
    try:
        with engine.connect() as connection:
            migrate(connection)
    finally:
        engine.dispose()


main()
