"""A real Postgres for tests: one server a session, one fresh migrated database a test."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, text

from barber.catalogue import migrate
from barber.catalogue.db import open_engine
from barber.settings import Settings
from barber.standalone.postgres import EmbeddedPostgres

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
TEMPLATE = "barber_template"
_numbers = itertools.count(1)


def at_database(url: str, name: str) -> str:
    """The same server's address with another database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def administration(url: str) -> Iterator[Engine]:
    """An autocommit engine on the server's own database."""
    engine = create_engine(at_database(url, "postgres"), isolation_level="AUTOCOMMIT")
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def fresh_database(url: str, *, template: str = TEMPLATE) -> Iterator[str]:
    """A new database copied from `template`, dropped afterwards even when still in use."""
    name = f"barber_{os.getpid()}_{next(_numbers)}"
    with administration(url) as admin, admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        try:
            yield at_database(url, name)
        finally:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A server of the session's own; its database `barber_template` is migrated."""
    with tempfile.TemporaryDirectory(prefix="barber-pg-") as folder:
        Path(folder).chmod(0o755)  # run by root, the server is another user
        with EmbeddedPostgres(Path(folder) / "data", settings=FAST) as server:
            with administration(server.url) as admin, admin.connect() as connection:
                connection.execute(text(f'CREATE DATABASE "{TEMPLATE}"'))
            migrate.upgrade(at_database(server.url, TEMPLATE))
            yield server.url


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    with fresh_database(server_url) as url:
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, home=tmp_path / "home")


@pytest.fixture(scope="session")
def roaming_engine(server_url: str) -> Engine:
    """One engine for all tests, so that each statement is compiled once, not once a test."""
    anywhere = Settings(database_url=at_database(server_url, TEMPLATE))
    return open_engine(anywhere, application="tests")


@pytest.fixture
def engine(settings: Settings, roaming_engine: Engine) -> Iterator[Engine]:
    """An engine on the test's own database."""
    name = make_url(settings.database_url).database

    def go_there(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        options["dbname"] = name

    event.listen(roaming_engine, "do_connect", go_there)
    yield roaming_engine
    event.remove(roaming_engine, "do_connect", go_there)
    roaming_engine.dispose()
