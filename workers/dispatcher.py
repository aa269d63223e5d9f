"""`python -m workers.dispatcher`: the tick that keeps the queue true to the catalogue.

Reap what lost its worker, send lost messages again, offer blends whose chord stayed silent, fill
the window, then publish what these left in the outbox. Any number may run: each tick has one
leader, and the outbox rows go to whoever takes them.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

from celery import Celery
from kombu.exceptions import KombuError
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from barber.catalogue import (
    bulk_actions,
    counts,
    deadlines,
    dispatch,
    garbage,
    outbox,
    refusals,
    room,
    snapshots,
)
from barber.catalogue import workers as roster
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.snapshots import SnapshotFiles
from barber.catalogue.store import Store
from barber.chaos.rules import DOUBLED, DROPPED, ChaosRules
from barber.errors import SettingsError
from barber.plan import METHOD_VERSION
from barber.settings import Settings
from barber.unfinished import clear_unfinished
from workers.app import CPU, create_app
from workers.broker import check_broker
from workers.chords import look_interval_s, publish
from workers.delays import declare_delays
from workers.failpoints import DISPATCHER, Failpoints, Point
from workers.logs import configure_logging
from workers.webhooks import DEADLINE_S, Sender

log = logging.getLogger("workers.dispatcher")  # not __name__: the module runs as __main__

RELAY_ROWS = 32  # published in one transaction
PRESENCE = "dispatcher"
PRESENCE_S = 2.0  # between two signs of life
LONGEST_PAUSE_S = 5.0  # between two tries while the database is away
BROKER_PATIENCE_S = 5.0  # with a broker that stands still: the ticks must go on
FOLD_S = 5.0  # between two foldings of the jobs' counters
BULK_S = 0.5  # of a round, for what is done to many jobs: the ticks must go on meanwhile
PRUNE_S = 60.0  # between two shards of what is deleted: all are seen in some four hours
ROWS_EVERY = 16  # shards: old previews are looked for less often, for they are read in one go
ABANDONED_S = 3600.0  # a half-written file that old belongs to a process that is gone

STEPS: tuple[tuple[str, Callable[[Session, Settings], int]], ...] = (
    ("stages lost with their worker", dispatch.reap),
    ("jobs ended at their deadline", deadlines.expire),
    ("messages sent again", dispatch.resend),
    ("blends offered by the sweep", dispatch.sweep),
    ("stages dispatched", dispatch.fill),
)


class Dispatcher:
    """One dispatcher process."""

    def __init__(self, settings: Settings, engine: Engine, app: Celery) -> None:
        self.settings, self.engine, self.app = settings, engine, app
        connection = app.connection_for_write()
        self._broker_errors = (
            KombuError,
            OSError,
            *connection.connection_errors,
            *connection.channel_errors,
        )
        self._broker_is_down = False
        self._delays_declared = False  # since the broker was last away: it may have lost all
        self._store = Store(settings.store_dir)
        self.name = f"{PRESENCE}@{socket.gethostname()}"
        self._presence_due = 0.0
        self._fold_due = 0.0
        self._prune_due = 0.0
        self._shard = secrets.randbelow(garbage.SHARDS)
        self._events_seen = 0  # up to this id in the collection's present round
        self._snapshots = SnapshotFiles(Store(settings.store_dir))
        self._sweep_due = 0.0
        self._rules = ChaosRules.parse(settings.chaos)
        self._failpoints = Failpoints(settings)
        self._disk_is_full: bool | None = None  # until it has been looked at

    def run(self, stop: threading.Event) -> None:
        """Ticks until told to stop; outlives a database, a broker or a store that is away."""
        pause_s = self.settings.tick_s
        while not stop.wait(pause_s):
            try:
                self.show_presence()
                self.tick()
                self.relay()
                self.fold()
                self.prune()
                self.sweep_snapshots()
                bulk_actions.work_off(self.engine, seconds=BULK_S)
                pause_s = self.settings.tick_s
            except (OperationalError, InterfaceError) as error:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                log.warning("the catalogue cannot be reached: %s", error.orig)
            except OSError as error:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                log.warning("the store cannot be looked after: %s", error)

    def tick(self) -> bool:
        """Brings the catalogue forward; False when another dispatcher leads."""
        for name, step in STEPS:
            if step is dispatch.fill and not self._has_room():
                continue
            # A transaction each: job rows stay locked for moments only.
            with transaction(self.engine) as session:
                if not dispatch.lead(session):
                    return False
                rows = step(session, self.settings)
                if rows:
                    self._failpoints.hit(DISPATCHER, Point.IN_TICK)
            if rows:
                log.info(name, extra={"rows": rows})
        return True

    def _has_room(self) -> bool:
        """Whether the store's disk takes more results; no stage is handed out onto a full one."""
        free = self._store.free_bytes()
        full = free < self.settings.min_free_mb * 2**20
        if full and not self._disk_is_full:
            log.warning(
                "the disk of %s has %d MB free: no stage is handed out below %g MB; make room",
                self.settings.store_dir,
                free // 2**20,
                self.settings.min_free_mb,
            )
        if self._disk_is_full and not full:
            log.info("the disk has room again")
        if full != self._disk_is_full:
            with transaction(self.engine) as session:
                room.tell(session, self.settings.min_free_mb if full else None)
        self._disk_is_full = full
        return not full

    def relay(self) -> int:
        """Publishes outbox rows, oldest first; returns how many.

        A crash between the publishing and the deletion doubles a message, which its second claim
        finds out. While the broker is away the rows wait, and the ticks go on.
        """
        published = 0
        with transaction(self.engine) as session:
            rows = outbox.take(session, RELAY_ROWS)
            look_s = self._look_s(session) if rows else 1
            for row in rows:
                if not self._publish(session, row, look_s):
                    break
                published += 1
            if published:
                self._failpoints.hit(DISPATCHER, Point.PUBLISHED)
            outbox.done(session, [row.id for row in rows[:published]])
            outbox.postpone(session, [row.id for row in rows[published:]])
        return published

    def _look_s(self, session: Session) -> int:
        """How seldom the pollers of the chords that go out now shall look."""
        return look_interval_s(dispatch.open_chords(session), roster.serving(session, CPU))

    def fold(self) -> None:
        """Adds up how many jobs changed their status, for those who read it."""
        if time.monotonic() < self._fold_due:
            return
        with transaction(self.engine) as session:
            counts.fold(session)
        self._fold_due = time.monotonic() + FOLD_S

    def prune(self) -> None:
        """Now and then deletes a little of what nobody needs any more, and what killed processes
        left half-written.
        """
        if time.monotonic() < self._prune_due:
            return
        self._prune_due = time.monotonic() + PRUNE_S
        store, keep = Store(self.settings.store_dir), garbage.Keep.of(self.settings.keep_days)
        rows = garbage.Rubbish()
        if self._shard % ROWS_EVERY == 0:
            with transaction(self.engine) as session:
                rows += garbage.collect_rows(session, keep)
        with transaction(self.engine) as session:
            events, self._events_seen = garbage.collect_events(
                session, keep, after=self._events_seen
            )
        rows += events
        with transaction(self.engine) as session:
            rows += garbage.collect_artifacts(session, self._shard, keep)
        with transaction(self.engine) as session:
            rows += garbage.collect_files(session, store, self._shard, keep)
        files = clear_unfinished(self.settings.home, ABANDONED_S)
        self._shard = (self._shard + 1) % garbage.SHARDS
        if rows.anything or files:
            log.info("deleted what nobody needs", extra={**asdict(rows), "unfinished": files})

    def sweep_snapshots(self) -> None:
        """Deletes, once per lease, the snapshots of stages that ended without their worker."""
        if time.monotonic() < self._sweep_due:
            return
        self._sweep_due = time.monotonic() + self.settings.lease_s
        try:
            with transaction(self.engine) as session:
                rows = snapshots.sweep(session, self._snapshots)
        except OSError as error:
            log.warning("snapshots cannot be swept: %s", error)
            return
        if rows:
            log.info("snapshots of ended stages deleted", extra={"rows": rows})

    def show_presence(self) -> None:
        """Keeps this process's row among the workers fresh, for the console."""
        if time.monotonic() < self._presence_due:
            return
        with transaction(self.engine) as session:
            if not roster.seen(session, self.name):
                roster.hello(session, self._introduction())
            lost = roster.mark_lost(session)
        for name in lost:
            log.warning("a worker fell silent and counts as lost", extra={"worker": name})
        self._presence_due = time.monotonic() + PRESENCE_S

    def _introduction(self) -> roster.Introduction:
        return roster.Introduction(
            name=self.name,
            device="",
            queues=[PRESENCE],
            pid=os.getpid(),
            versions={"method": str(METHOD_VERSION)},
            host=socket.gethostname(),
        )

    def leave(self) -> None:
        """Marks this process as gone."""
        with suppress(OperationalError, InterfaceError), transaction(self.engine) as session:
            roster.bye(session, self.name)

    def _publish(self, session: Session, row: outbox.OutboxRow, look_s: int) -> bool:
        """False when the broker is away. What can never be published is put aside."""
        try:
            if not self._delays_declared:
                declare_delays(self.app)
                self._delays_declared = True
            for _ in range(self._copies(row)):
                publish(self.app, row.topic, row.payload, look_s=look_s)
        except self._broker_errors as error:
            if not self._broker_is_down:
                log.warning("the broker does not take messages, so they wait: %s", error)
            self._broker_is_down, self._delays_declared = True, False
            return False
        except Exception as error:
            log.exception("a message cannot be published", extra={"outbox": row.id})
            reason = f"it cannot be published: {type(error).__name__}: {error}"
            refusals.record(session, refusals.Source.OUTBOX, reason, row.payload)
            return True
        if self._broker_is_down:
            log.info("the broker takes messages again")
        self._broker_is_down = False
        return True

    def _copies(self, row: outbox.OutboxRow) -> int:
        """How often a row is published: once, unless this is a chaos run."""
        if self._rules is None:
            return 1
        if self._rules.falls(self._rules.drop, row.id, "drop row"):
            log.info(DROPPED)
            return 0
        if self._rules.falls(self._rules.double, row.id, "double row"):
            log.info(DOUBLED)
            return 2
        return 1


def main() -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code."""
    configure_logging()
    try:
        settings = Settings.from_env(os.environ)
        app = create_app(settings, patience_s=BROKER_PATIENCE_S)
        check_broker(app)
    except SettingsError as error:
        log.error("the dispatcher does not start: %s", error)
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = open_engine(settings, application="dispatcher")
    log.info("dispatching")
    dispatcher = Dispatcher(settings, engine, app)
    sender = threading.Thread(target=Sender(settings, engine).run, args=(stop,), name="webhooks")
    sender.start()
    try:
        dispatcher.run(stop)
    finally:  # a process that only calls webhooks would look alive to whoever restarts it
        stop.set()
    sender.join(DEADLINE_S)
    dispatcher.leave()
    engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
