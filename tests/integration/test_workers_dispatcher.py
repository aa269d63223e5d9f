"""The dispatcher by itself: its relay, its leadership, and a database that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from barber.catalogue import dispatch, migrate, outbox, workers
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.store import Store
from barber.settings import Settings
from barber.standalone.postgres import EmbeddedPostgres
from tests.support.brokers import broker_of
from tests.support.builders import hair_spec, register_portraits, staff, submit
from tests.support.postgres import FAST
from workers.app import create_app
from workers.dispatcher import Dispatcher, main
from workers.retry import IO, judge

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def dispatcher(settings, engine):
    return Dispatcher(settings, engine, create_app(settings))


@pytest.fixture
def job_id(settings, engine):
    return submit_one(settings, engine)


def submit_one(settings, engine):
    portraits = register_portraits(engine, Store(settings.store_dir), 2)
    (job_id,) = submit(engine, [hair_spec(*portraits)])
    with transaction(engine) as session:
        staff(session)
    return job_id


def messages(settings):
    return sorted((settings.broker_dir / "messages").glob("*.msg"))


def until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def backlog(engine):
    with transaction(engine) as session:
        return outbox.backlog(session).count


def test_message_leaves_the_outbox_for_the_broker(dispatcher, settings, engine, job_id):
    assert dispatcher.tick()
    assert (backlog(engine), messages(settings)) == (1, [])

    assert dispatcher.relay() == 1

    (message,) = messages(settings)
    assert json.loads(message.read_text())["headers"]["task"] == "barbershop.stage.target"
    assert backlog(engine) == 0
    assert dispatcher.relay() == 0


@pytest.mark.matrix(28)
@pytest.mark.parametrize("name", ["redis", pytest.param("rabbitmq", marks=pytest.mark.slow)])
def test_ticks_go_on_while_the_broker_stands_still(name, settings, engine, job_id, caplog):
    with broker_of(name, settings.home) as broker:
        settings = replace(settings, broker_url=broker.url)
        app = create_app(settings, patience_s=0.5)
        dispatcher = Dispatcher(settings, engine, app)
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=30, interval_step=0.1)
        dispatcher.tick()
        with broker.stalled():
            gives_up = threading.Thread(target=dispatcher.relay)
            gives_up.start()
            gives_up.join(60)
            assert not gives_up.is_alive()
            assert "the broker does not take messages" in caplog.text
            assert backlog(engine) == 1
            assert dispatcher.tick()
        with transaction(engine) as session:
            session.execute(text("UPDATE outbox SET not_before = NULL"))
        assert dispatcher.relay() == 1
        assert backlog(engine) == 0
        app.close()


@pytest.mark.matrix(8)
def test_message_waits_while_the_broker_is_away(dispatcher, settings, engine, job_id, caplog):
    folder = settings.broker_dir / "messages"
    away = folder.rename(settings.home / "away")
    dispatcher.tick()

    assert dispatcher.relay() == 0
    assert "the broker does not take messages" in caplog.text
    assert backlog(engine) == 1

    away.rename(folder)
    deadline = time.monotonic() + 20
    while not dispatcher.relay() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(messages(settings)) == 1
    assert backlog(engine) == 0


@pytest.mark.slow
@pytest.mark.matrix(9)
def test_a_chord_goes_out_once_to_a_new_rabbitmq_that_saw_no_worker(settings, engine, tmp_path):
    """Where its poller waits is else declared by workers; after a loss of data all is new again."""
    branches = [[{"kind": "reconstruct", "stage_id": n, "generation": 1}] for n in (1, 2)]
    payload = {"job_id": 1, "generation": 1, "branches": branches}

    def waiting(name):
        with app.connection_for_read() as connection:
            queue = connection.default_channel.queue_declare(name, passive=True)
            return queue.message_count

    with broker_of("rabbitmq", tmp_path) as broker:
        here = replace(settings, broker_url=broker.url)
        app = create_app(here)
        dispatcher = Dispatcher(here, engine, app)
        for lost in (False, True):
            if lost:
                broker.kill()
                broker.wipe()
                broker.start()
            with transaction(engine) as session:
                outbox.add(session, "chord", payload)
            deadline = time.monotonic() + 60
            while backlog(engine) and time.monotonic() < deadline:
                dispatcher.relay()
                time.sleep(0.2)
            assert backlog(engine) == 0
            while waiting("cpu") < 1 and time.monotonic() < deadline:
                time.sleep(0.2)
            assert (waiting("gpu"), waiting("cpu")) == (2, 1)
        app.close()


def test_crash_between_publishing_and_deleting_doubles_the_message(
    dispatcher, settings, engine, job_id, monkeypatch
):
    dispatcher.tick()
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "done", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatcher.relay()

    assert dispatcher.relay() == 1
    assert len(messages(settings)) == 2


@pytest.mark.matrix(29)
def test_dispatcher_goes_on_when_the_server_takes_writes_again(
    dispatcher, settings, engine, job_id, caplog
):
    """After a failover a server is read-only until it is promoted."""
    name = make_url(settings.database_url).database
    stop = threading.Event()
    life = threading.Thread(target=dispatcher.run, args=(stop,))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as admin:
        admin.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        engine.dispose()
        life.start()
        until(lambda: "the catalogue cannot be reached: cannot execute" in caplog.text)
        admin.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
        until(lambda: messages(settings))
    stop.set()
    life.join(20)
    assert not life.is_alive()


def test_error_of_a_server_without_writes_is_not_taken_for_a_fault_of_ours(engine):
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(OperationalError) as caught:
            connection.execute(text("DELETE FROM outbox"))
    assert judge(caught.value) is IO
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM outbox"))


def test_process_whose_ticks_end_is_over(settings, monkeypatch):
    """Whoever restarts it must see that; a thread that still calls webhooks is no dispatcher."""
    for name, value in settings.to_env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(Dispatcher, "tick", lambda _: 1 / 0)
    ended = []

    def live():
        with pytest.raises(ZeroDivisionError):
            main()
        ended.append(True)

    life = threading.Thread(target=live)
    life.start()
    life.join(30)
    assert ended
    until(lambda: "webhooks" not in {each.name for each in threading.enumerate()})


def test_second_dispatcher_does_not_tick_while_the_first_leads(dispatcher, engine, job_id):
    with transaction(engine) as session:
        assert dispatch.lead(session)
        assert not dispatcher.tick()
    assert dispatcher.tick()


def test_dispatcher_shows_its_presence_and_leaves(dispatcher, engine):
    def status():
        with transaction(engine) as session:
            return {row.queues: str(row.status) for row in workers.listed(session)}

    dispatcher.show_presence()
    assert status() == {("dispatcher",): "ready"}
    dispatcher.leave()
    assert status() == {("dispatcher",): "stopped"}


@pytest.fixture
def server():
    """A server of the test's own, which it may stop."""
    with tempfile.TemporaryDirectory(prefix="barber-pg-") as folder:
        Path(folder).chmod(0o755)  # run by root, the server is another user
        with EmbeddedPostgres(Path(folder) / "data", settings=FAST) as server:
            yield server


@pytest.mark.matrix(14)
def test_process_outlives_its_database_and_ends_on_sigterm(server, tmp_path):
    migrate.upgrade(server.url)
    settings = Settings(database_url=server.url, home=tmp_path / "home", tick_s=0.1)
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.dispatcher"],
            cwd=PROJECT,
            env={**os.environ, **settings.to_env()},
            stderr=out,
            start_new_session=True,
        )
    try:
        wait(lambda: "dispatching" in log.read_text(), log)
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)  # a fast stop
        server.process.wait(timeout=30)
        wait(lambda: "the catalogue cannot be reached" in log.read_text(), log)
        server.restart()
        engine = open_engine(settings, application="tests")
        submit_one(settings, engine)
        wait(lambda: messages(settings), log)
        engine.dispose()
        process.terminate()
        assert process.wait(timeout=30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait(check, log):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if check():
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
