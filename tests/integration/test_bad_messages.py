"""Messages that are none of ours, put on the real broker; and a worker whose clock jumps.

Each is recorded where an operator sees it, refused, and harmless: the worker goes on.
"""

from __future__ import annotations

import pickle
import uuid
from dataclasses import replace

import pytest
from celery import Celery
from kombu.serialization import register
from sqlalchemy import text

from barber.catalogue import outbox, refusals
from barber.catalogue.db import transaction
from barber.catalogue.status import JobStatus, Outcome
from barber.chaos.rules import TOY_DIGEST
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey
from tests.support.builders import hair_spec, known_portraits, submit
from tests.support.clock import WrongClock
from tests.support.invariants import offences
from tests.support.postgres import fresh_database
from tests.support.system import QUICK, System
from workers.app import FAN_IN_TASK, STAGE_TASK, add_stage_queue, create_app, stage_queue
from workers.dispatcher import Dispatcher

pytestmark = pytest.mark.integration

DAY_S = 86_400
TARGET = STAGE_TASK.format(kind="target")
STAGES = stage_queue(TOY_DIGEST)


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> WrongClock | None:
    return WrongClock.build(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def system(server_url, tmp_path_factory, clock):
    """A dispatcher and a worker of toy stages; the worker's clock can be set."""
    folder = tmp_path_factory.mktemp("system")
    with fresh_database(server_url) as url:
        facts = {**QUICK, "lease_s": 6.0, "sweep_s": 0.5}
        settings = Settings(
            database_url=url, home=folder / "home", chaos="stage_s=0.1,seed=1", **facts
        )
        with System(settings, folder / "logs") as system, pytest.MonkeyPatch.context() as patched:
            for name, value in (clock.environment if clock else {}).items():
                patched.setenv(name, value)
            system.start_worker()
            patched.undo()
            system.start_dispatcher()
            system.wait_ready("worker")
            yield system


@pytest.fixture(scope="module")
def app(system) -> Celery:
    app = create_app(system.settings)
    add_stage_queue(app, TOY_DIGEST)
    return app


@pytest.fixture(scope="module")
def people(system) -> list[PortraitKey]:
    return known_portraits(system.engine, 8)


def refused(system) -> dict[str, refusals.Refusal]:
    with transaction(system.engine) as session:
        return {found.reason: found for found in refusals.latest(session)}


def run_one(system, people, seed) -> int:
    spec = replace(hair_spec(*people[:2], seed=seed), bundle=TOY_DIGEST)
    (job_id,) = submit(system.engine, [spec])
    (view,) = system.wait_for_jobs([job_id])
    assert view.row.status is JobStatus.SUCCEEDED, view.row.error
    return job_id


def strange_task(app):
    app.send_task("os.system", args=["rm -rf /"], queue=STAGES)


def no_ids(app):
    app.send_task(TARGET, args=["1; DROP TABLE job"], queue=STAGES)


def no_such_stage(app):
    app.send_task(TARGET, args=[10**12, 1], queue=STAGES)


def no_such_job(app):
    app.send_task(FAN_IN_TASK, args=[10**12, 1])


def pickled(app):
    register("evil", pickle.dumps, pickle.loads, "application/x-python-serialize", "binary")
    app.send_task(TARGET, args=[1, 1], queue=STAGES, serializer="evil")


def no_task(app):
    with app.connection_for_write() as connection:
        producer = connection.Producer(serializer="json")
        producer.publish({"hello": "world"}, routing_key=STAGES, exchange=STAGES)


@pytest.mark.parametrize(
    ("send", "reason"),
    [
        (strange_task, "no task of that name is ours"),
        (no_ids, "the message does not carry two ids"),
        (no_such_stage, "no such stage"),
        (no_such_job, "no such job"),
        (pickled, "the message cannot be read"),
        (no_task, "the message is no task"),
    ],
)
def test_a_message_that_is_not_ours_is_recorded_and_harms_nobody(system, app, people, send, reason):
    send(app)
    system.wait(
        lambda: any(found.startswith(reason) for found in refused(system)),
        f"a record of {send.__name__}",
    )
    assert system.processes[0].running


def test_a_file_that_is_no_message_does_not_stop_the_worker(system, app, people):
    folder = system.settings.broker_dir / "messages"
    for number, content in enumerate([b"\0\xff garbage", b"[1, 2]", b'{"body": "x"}']):
        (folder / f"{number}_{uuid.uuid4()}.{STAGES}.msg").write_bytes(content)
    reason = "the file is no message of the folder broker"
    system.wait(
        lambda: sum(r.times for r in all_refused(system) if r.reason == reason) == 3,
        "three records",
    )
    run_one(system, people, seed=1)


def all_refused(system) -> list[refusals.Refusal]:
    with transaction(system.engine) as session:
        return refusals.latest(session)


def test_a_generation_from_the_future_is_recorded_and_refused(system, app, people):
    job_id = run_one(system, people, seed=2)
    view = system.job(job_id)
    stage = view.stages[0]
    app.send_task(TARGET, args=[stage.id, stage.generation + 7], queue=STAGES)
    app.send_task(FAN_IN_TASK, args=[job_id, view.generation + 7])
    expected = {
        f"generation {stage.generation + 7} was never sent",
        f"chord {view.generation + 7} was never built",
    }
    system.wait(lambda: expected <= set(refused(system)), "both records")
    again = system.job(job_id)
    assert again.row.status is JobStatus.SUCCEEDED
    assert [s.token for s in again.stages] == [s.token for s in view.stages]
    assert offences(system.engine) == []


def test_an_equal_message_is_one_record(system, app):
    for _ in range(3):
        app.send_task(TARGET, args=[10**11, 1], queue=STAGES)
    message = f"stage {10**11}, generation 1"
    system.wait(
        lambda: [r.times for r in all_refused(system) if r.message == message] == [3],
        "one record of three",
    )


def test_what_cannot_be_published_does_not_stop_the_dispatcher(system, people):
    with transaction(system.engine) as session:
        outbox.add(session, outbox.Topic.STAGE, {"kind": "blend"})
        outbox.add(session, outbox.Topic.CHORD, {"job_id": 1})
    dispatcher = Dispatcher(system.settings, system.engine, create_app(system.settings))
    system.wait(
        lambda: dispatcher.relay() is not None and not backlog(system), "the outbox to be empty"
    )
    found = [r for r in all_refused(system) if r.source is refusals.Source.OUTBOX]
    assert len(found) == 2
    assert all(r.reason.startswith("it cannot be published: KeyError") for r in found)
    run_one(system, people, seed=3)


def backlog(system) -> int:
    with transaction(system.engine) as session:
        return outbox.backlog(session).count


@pytest.mark.parametrize("days", [2, -2])
def test_a_worker_whose_clock_jumps_does_its_work(system, people, clock, days):
    if clock is None:
        pytest.skip("no C compiler to make a wrong clock with")
    spec = replace(JobSpec(identity=people[3], bundle=TOY_DIGEST, seed=10 + days))
    specs = [replace(spec, seed=spec.seed + 100 * n) for n in range(6)]
    try:
        with transaction(system.engine) as session:
            soon = session.scalar(text("SELECT now() + interval '1 hour'"))
        ids = submit(system.engine, specs, deadline=soon)
        system.wait(lambda: any(system.job(i).row.started_at for i in ids), "a job to start")
        clock.jump(days * DAY_S)
        views = system.wait_for_jobs(ids)
    finally:
        clock.jump(0)
    assert {view.row.status for view in views} == {JobStatus.SUCCEEDED}
    attempts = [a for view in views for stage in view.stages for a in stage.attempts]
    assert {a.outcome for a in attempts} == {Outcome.SUCCEEDED}, "no lease was lost or renewed"
    spans = [(a.ended_at - a.started_at).total_seconds() for a in attempts if a.ended_at]
    assert 0 < max(spans) < 600, "by the database's clock"
    assert offences(system.engine) == []
