"""Brings a database to the catalogue's current shape. Alembic is imported only when asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine

from barber.errors import SettingsError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATION_LOCK = 7_201_955  # any number, the same for all who migrate
PROJECT = Path(__file__).resolve().parents[2]

_one_at_a_time = threading.Lock()  # alembic keeps what it is doing in a global


def upgrade(database: Engine | str, revision: str = "head") -> None:
    """Runs the migrations up to `revision`; several callers at once wait for each other."""
    from alembic import command

    _run(database, lambda config: command.upgrade(config, revision))


def downgrade(database: Engine | str, revision: str) -> None:
    """Takes migrations back down to `revision`; "base" leaves an empty database."""
    from alembic import command

    _run(database, lambda config: command.downgrade(config, revision))


def current(database: Engine | str) -> str | None:
    """The revision that a database has; None for an empty one."""
    from alembic.migration import MigrationContext

    with _connected(database) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The revision that this code needs."""
    from alembic.script import ScriptDirectory

    revision = ScriptDirectory.from_config(configuration()).get_current_head()
    assert revision is not None
    return revision


def configuration() -> Config:
    """Alembic's configuration, read from the project's pyproject.toml.

    Raises:
        SettingsError: The code does not lie in a checkout, so there are no migrations.
    """
    from alembic.config import Config

    settings, folder = PROJECT / "pyproject.toml", PROJECT / "migrations"
    if not (settings.is_file() and folder.is_dir()):
        raise SettingsError(
            f"no migrations in {PROJECT}: run from a checkout of the project, "
            "which has them in the folder migrations/"
        )
    return Config(toml_file=settings)


def _run(database: Engine | str, action: Callable[[Config], None]) -> None:
    config = configuration()
    with _one_at_a_time, _connected(database) as connection:
        config.attributes["connection"] = connection
        action(config)


@contextmanager
def _connected(database: Engine | str) -> Iterator[Connection]:
    engine = create_engine(database) if isinstance(database, str) else database
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        if engine is not database:
            engine.dispose()
