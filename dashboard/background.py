"""What takes longer than a request: imports are read by threads of the console's own.

A thread is only a pair of hands. What is to be done stands in the catalogue, so a console that
ends in the middle loses nothing: the next one goes on where it stood, and so does the next look at
an import that nobody works on.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from flask import Flask, current_app
from sqlalchemy import Engine

from barber.catalogue import intakes
from barber.catalogue.db import transaction
from barber.catalogue.store import Store
from barber.settings import Settings
from barber.standalone.intake import Reader

log = logging.getLogger(__name__)

HANDS = 2


class Hands:
    """The threads of one console."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._pool = ThreadPoolExecutor(HANDS, thread_name_prefix="intake")
        self._busy: set[int] = set()
        self._lock = threading.Lock()

    def go_on(self, intake_id: int) -> None:
        """Goes on with an import, as soon as a thread is free."""
        with self._lock:
            if intake_id in self._busy:
                return
            self._busy.add(intake_id)
        self._pool.submit(self._work, intake_id)

    def now(self, intake_id: int) -> None:
        """Goes on with an import in this very thread."""
        self._reader.go_on(intake_id)

    def close(self) -> None:
        """Ends the threads when they have finished what they are at."""
        self._pool.shutdown(cancel_futures=True)

    def _work(self, intake_id: int) -> None:
        try:
            self._reader.go_on(intake_id)
        except Exception:
            log.exception("an import was interrupted", extra={"intake": intake_id})
        finally:
            with self._lock:
                self._busy.discard(intake_id)


def attach(app: Flask, settings: Settings, engine: Engine, store: Store) -> None:
    """Gives an application its hands; no thread starts before there is work."""
    app.extensions["hands"] = Hands(Reader(engine=engine, store=store, settings=settings))


def resume(app: Flask) -> None:
    """Goes on with the imports that a console before this one was at."""
    engine: Engine = app.extensions["engine"]
    hands: Hands = app.extensions["hands"]
    with transaction(engine) as session:
        unfinished = intakes.unfinished(session)
    for intake_id in unfinished:
        hands.go_on(intake_id)


def go_on(intake_id: int) -> None:
    """Goes on with an import in the background."""
    hands: Hands = current_app.extensions["hands"]
    hands.go_on(intake_id)
