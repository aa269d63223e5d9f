"""The console's hold on the catalogue and the store: one engine per process."""

from __future__ import annotations

from contextlib import AbstractContextManager

from flask import Flask, current_app
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from barber.catalogue import db
from barber.catalogue.store import Store
from barber.settings import Settings


def attach(app: Flask, settings: Settings) -> None:
    """Opens the engine and the store for this application."""
    app.extensions["settings"] = settings
    app.extensions["engine"] = db.open_engine(settings, application="console")
    app.extensions["store"] = Store(settings.store_dir)


def transaction() -> AbstractContextManager[Session]:
    """A session in one transaction: committed at its end, rolled back by an exception."""
    engine: Engine = current_app.extensions["engine"]
    return db.transaction(engine)


def store() -> Store:
    """The files of artifacts and portraits."""
    kept: Store = current_app.extensions["store"]
    return kept


def settings() -> Settings:
    """The settings that the application was made with."""
    given: Settings = current_app.extensions["settings"]
    return given
