"""How a verb reaches the catalogue: a running home, or the address in BARBER_DATABASE_URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy import Engine

from barber.catalogue.db import open_engine
from barber.catalogue.store import Store
from barber.settings import Settings
from barber.standalone.home import DEFAULT_HOME, Home

F = TypeVar("F", bound=Callable[..., object])

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    help=f"Directory of the running `barber up`.  [default: {DEFAULT_HOME}]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def catalogue_options(verb: F) -> F:
    """The options of every verb that talks to a running system."""
    return home_option(json_option(verb))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A running system, as a verb sees it."""

    settings: Settings
    engine: Engine
    console: str  # address of the console; empty when unknown

    @property
    def store(self) -> Store:
        return Store(self.settings.store_dir)


@contextmanager
def connect(environ: Mapping[str, str], home: Path | None) -> Iterator[Connection]:
    """Opens the catalogue of the given home, else of the environment, else of the default home.

    Raises:
        SettingsError: No system runs there.
    """
    settings, console = _settings(environ, home)
    engine = open_engine(settings, application="barber")
    try:
        yield Connection(settings=settings, engine=engine, console=console)
    finally:
        engine.dispose()


def _settings(environ: Mapping[str, str], home: Path | None) -> tuple[Settings, str]:
    if home is None and environ.get("BARBER_DATABASE_URL"):
        return Settings.from_env(environ), ""
    place = Home(home or Path(environ.get("BARBER_HOME", DEFAULT_HOME)))
    running = place.find_running()
    settings = Settings.from_env({**environ, "BARBER_DATABASE_URL": running.database_url})
    return replace(settings, home=place.path, bundle=running.bundle), running.console
