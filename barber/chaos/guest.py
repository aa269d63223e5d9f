"""Room for a chaos run on somebody's own Postgres: a schema that comes and goes with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psutil
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from barber.errors import SettingsError
from barber.settings import DATABASE_DRIVER

LOCAL = ("", "localhost", "127.0.0.1", "::1")
DEFAULT_PORTS = {"postgresql": 5432, "amqp": 5672, "pyamqp": 5672, "redis": 6379}


@contextmanager
def guest_schema(url: str, name: str) -> Iterator[str]:
    """Makes an empty schema, gives the address that leads there, and drops it afterwards.

    Raises:
        SettingsError: The address cannot be read, nobody answers, or the schema is refused.
    """
    if url.split("://", 1)[0] != DATABASE_DRIVER:
        raise SettingsError(
            f"--database-url must name its driver: {DATABASE_DRIVER}://user:password@host:port/name"
        )
    _execute(url, f'CREATE SCHEMA "{name}"')
    try:
        home = make_url(url).update_query_dict({"options": f"-csearch_path={name}"})
        yield home.render_as_string(hide_password=False)
    finally:
        _execute(url, f'DROP SCHEMA "{name}" CASCADE')


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url, connect_args={"connect_timeout": 10})
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    except DBAPIError as error:
        raise SettingsError(
            f"{statement.split(maxsplit=2)[0].lower()} of the run's schema failed: "
            f"{str(error.orig).strip()}: give an address whose user may create schemas"
        ) from error
    finally:
        engine.dispose()


def server_pid(url: str) -> int | None:
    """The process that listens where an address leads; None while there is none.

    Raises:
        SettingsError: The server runs on another machine, where nothing can be killed from here.
    """
    parts = urlsplit(url)
    if (parts.hostname or "") not in LOCAL:
        raise SettingsError(
            f"{parts.hostname} is another machine: --kill-servers kills servers of this one only"
        )
    port = parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0], 0)
    for line in psutil.net_connections("tcp"):
        if line.status == psutil.CONN_LISTEN and line.laddr.port == port:
            return int(line.pid) if line.pid else None
    return None
