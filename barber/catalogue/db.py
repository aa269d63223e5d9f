"""The way to Postgres: one engine per process, one scope per transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from psycopg2.errors import ReadOnlySqlTransaction
from sqlalchemy import Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from barber.settings import Settings

# A statement that waits so long for a lock, or a transaction that sleeps so long, is a fault.
SERVER_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "timezone": "UTC",
        "statement_timeout": "60s",
        "lock_timeout": "20s",
        "idle_in_transaction_session_timeout": "120s",
    }.items()
)


def open_engine(settings: Settings, *, application: str) -> Engine:
    """An engine on the catalogue; `application` is what `pg_stat_activity` calls its connections.

    Dead connections are noticed before use, so a restarted server costs nothing but the wait.
    Every process opens its own: connections do not survive a fork. A server that is read-only, as
    one is for a while after a failover, counts as one that is away.
    """
    url = make_url(settings.database_url)
    options = [SERVER_OPTIONS, *_texts(url.query.get("options"))]
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={
            "application_name": application,
            "connect_timeout": 10,
            "options": " ".join(options),  # the address may name a schema
        },
    )
    event.listen(engine, "handle_error", _away_when_read_only)
    return engine


def _away_when_read_only(context: ExceptionContext) -> None:
    """Drops all connections to a server that takes no writes; the next may lead to another.

    Raises:
        OperationalError: Instead of an error that reads like a fault of ours.
    """
    error = context.original_exception
    if isinstance(error, ReadOnlySqlTransaction):
        context.is_disconnect = True
        raise OperationalError(context.statement, context.parameters, error)


def _texts(value: str | Sequence[str] | None) -> Sequence[str]:
    return [value] if isinstance(value, str) else value or ()


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session that commits when the block ends and rolls back when it raises."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
