from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, func, inspect, select, text
from sqlalchemy.exc import OperationalError

from barber.catalogue import migrate
from barber.catalogue.status import TRANSITIONS
from barber.catalogue.tables import Base
from barber.errors import SettingsError
from tests.support.postgres import fresh_database

pytestmark = pytest.mark.integration

SHAPE = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
          FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "options": "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL",
}


@pytest.fixture
def empty(server_url: str) -> Iterator[Engine]:
    with fresh_database(server_url, template="template1") as url:
        opened = create_engine(url)
        yield opened
        opened.dispose()


def shape(engine: Engine, *, without: tuple[str, ...] = ()) -> dict[str, set[tuple[object, ...]]]:
    """What Postgres itself says about the tables."""
    with engine.connect() as connection:
        return {
            name: {
                tuple(map(str, row))
                for row in connection.execute(text(query))
                if row[0] not in without
            }
            for name, query in SHAPE.items()
        }


def test_upgrade_downgrade_upgrade_leaves_the_same_shape(empty: Engine) -> None:
    migrate.upgrade(empty)
    before = shape(empty)
    assert migrate.current(empty) == migrate.head()
    migrate.downgrade(empty, "base")
    assert inspect(empty).get_table_names() == ["alembic_version"]
    assert migrate.current(empty) is None
    migrate.upgrade(empty)
    assert shape(empty) == before


def test_downgrade_leaves_no_function_behind(empty: Engine) -> None:
    migrate.upgrade(empty)
    migrate.downgrade(empty, "base")
    with empty.connect() as connection:
        left = connection.scalars(
            text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        ).all()
    assert left == []


def test_upgrade_twice_changes_nothing(empty: Engine) -> None:
    migrate.upgrade(empty)
    before = shape(empty)
    migrate.upgrade(empty.url.render_as_string(hide_password=False))
    assert shape(empty) == before


def test_an_upgrade_waits_for_another_one(empty: Engine) -> None:
    url = empty.url.render_as_string(hide_password=False)
    with ThreadPoolExecutor(1) as pool:
        with empty.begin() as other:
            other.execute(select(func.pg_advisory_xact_lock(migrate.MIGRATION_LOCK)))
            upgrading = pool.submit(migrate.upgrade, url)
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not other.scalar(text(waiting)):
                assert not upgrading.done()
            assert inspect(other).get_table_names() == []
        upgrading.result(60)
    assert migrate.current(empty) == migrate.head()


def test_a_migration_does_not_queue_behind_a_long_transaction(empty: Engine) -> None:
    migrate.upgrade(empty)
    with empty.begin() as reader:
        reader.execute(text("SELECT count(*) FROM job"))
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate.downgrade(empty, "base")
    assert migrate.current(empty) == migrate.head(), "nothing was half done"


def test_the_alembic_command_reads_the_settings(
    empty: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARBER_DATABASE_URL", empty.url.render_as_string(hide_password=False))
    command.upgrade(migrate.configuration(), "head")
    assert migrate.current(empty) == migrate.head()


def test_alembic_finds_no_difference_to_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_models_create_exactly_what_the_migrations_create(engine: Engine, empty: Engine) -> None:
    Base.metadata.create_all(empty)
    assert shape(engine, without=("alembic_version",)) == shape(empty)


def test_table_of_transitions_is_the_one_in_the_code(engine: Engine) -> None:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT entity, before, after FROM transition"))
        found = {tuple(row) for row in rows}
    assert found == {
        (entity, str(before), str(after))
        for entity, pairs in TRANSITIONS.items()
        for before, after in pairs
    }


def test_missing_migrations_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(migrate, "PROJECT", tmp_path)
    with pytest.raises(SettingsError, match=f"no migrations in {tmp_path}"):
        migrate.upgrade("postgresql+psycopg2://nobody@127.0.0.1:1/none")
