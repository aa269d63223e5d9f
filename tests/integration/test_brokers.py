"""The same jobs and the same faults on every broker; only the address differs.

One system per broker runs through the whole module: a dispatcher, a worker, toy stages.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from barber.catalogue import jobs, outbox
from barber.catalogue.db import transaction
from barber.chaos.rules import TOY_DIGEST
from barber.errors import SettingsError
from tests.support.brokers import BROKERS, lose
from tests.support.invariants import offences
from tests.support.postgres import fresh_database
from tests.support.studio import STAGES, Studio, disarmed, running_studio
from tests.support.system import outcomes
from workers.app import FAN_IN_TASK, create_app
from workers.broker import check_broker
from workers.chords import publish

pytestmark = pytest.mark.integration

POINTS = "align:mid:fail,reconstruct:mid:stop,target:before_finish:kill,align:after_claim:stop"


# The turn of the others comes with `make slow` and `make matrix`.
LATER = ("rabbitmq", "redis", "valkey")


@pytest.fixture(
    scope="module",
    params=[pytest.param(b, marks=[pytest.mark.slow] if b in LATER else []) for b in BROKERS],
)
def studio(
    request: pytest.FixtureRequest, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Studio]:
    home = tmp_path_factory.mktemp(request.param) / "home"
    points = disarmed(home, POINTS)
    with (
        fresh_database(server_url) as url,
        running_studio(request.param, url, home, failpoint=points, sweep_s=10.0) as studio,
    ):
        yield studio
        assert offences(studio.system.engine) == []
        # Each process ends by itself, and in good order, when asked.
        for process in (studio.dispatcher, studio.worker):
            assert process.stop(60) == 0, process.log.read_text()[-4000:]


def once(job: jobs.JobView) -> bool:
    return all(ends.count("succeeded") <= 1 for ends in outcomes(job).values())


@pytest.mark.matrix(10)
def test_the_chord_carries_jobs_to_their_blends(studio: Studio) -> None:
    views = studio.client.run(*(studio.client.spec(0, 1 + n, 5) for n in range(3)))

    assert [job.row.status for job in views] == ["succeeded"] * 3
    assert {len(ends) for job in views for ends in outcomes(job).values()} <= {0, 1}
    assert "by the sweep" not in studio.dispatcher.log.read_text()
    assert "CRITICAL" not in studio.worker.log.read_text()


@pytest.mark.matrix(2)
def test_a_failed_stage_is_retried_alone(studio: Studio) -> None:
    studio.arm("align-mid")
    (failed,) = studio.client.run(studio.client.fresh(0, 1, 2))
    assert failed.row.status == "failed"
    with transaction(studio.system.engine) as session:
        jobs.retry(session, failed.row.id, by="tests")
    (job,) = studio.system.wait_for_jobs([failed.row.id])

    assert job.row.status == "succeeded"
    repeated = [ends for ends in outcomes(job).values() if len(ends) > 1]
    assert repeated == [["error", "succeeded"]]


def test_a_cancelled_jobs_messages_die(studio: Studio) -> None:
    with studio.held():
        (job_id,) = studio.client.submit(studio.client.fresh(1, 2))
        studio.until_dispatched(job_id)
        with transaction(studio.system.engine) as session:
            jobs.cancel(session, job_id, by="tests")
    studio.client.run(studio.client.fresh(2, 3))  # its messages came behind

    job = studio.system.job(job_id)
    assert job.row.status == "cancelled"
    assert set(map(len, outcomes(job).values())) == {0}


@pytest.mark.matrix(7)
@pytest.mark.matrix(10)
def test_a_message_doubled_late_forged_or_foreign_changes_nothing(studio: Studio) -> None:
    with studio.held():
        (job_id,) = studio.client.submit(studio.client.fresh(3, 4))
        studio.until_dispatched(job_id)
        for message in studio.messages(job_id) * 2:
            publish(studio.app, "stage", message)
            publish(studio.app, "stage", message | {"generation": message["generation"] + 7})
        for nobody in (10**12, "x' OR 1=1"):
            forged = {"kind": "align", "stage_id": nobody, "generation": 1, "bundle": TOY_DIGEST}
            publish(studio.app, "stage", forged)
        studio.app.send_task("somebody.elses", queue=STAGES)
        foreign = studio.app.amqp.queues[STAGES].exchange
        with studio.app.producer_pool.acquire() as producer:
            producer.publish(b"\x80\x05 no message", routing_key=STAGES, exchange=foreign)
    (job,) = studio.system.wait_for_jobs([job_id])
    for message in studio.messages(job_id) * 2:
        publish(studio.app, "stage", message)
        studio.app.send_task(FAN_IN_TASK, args=(job_id, 1))
    studio.client.run(studio.client.fresh(4, 5))

    assert job.row.status == "succeeded"
    assert set(map(tuple, outcomes(studio.system.job(job_id)).values())) == {("succeeded",)}
    assert studio.worker.running


@pytest.mark.matrix(6)
def test_lost_messages_are_sent_again(studio: Studio) -> None:
    with studio.held():
        (job_id,) = studio.client.submit(studio.client.fresh(5, 6))
        studio.until_dispatched(job_id)
        assert lose(studio.app, STAGES) == 1
    (job,) = studio.system.wait_for_jobs([job_id])

    assert job.row.status == "succeeded"
    assert {event.kind for event in job.events} >= {"resent"}
    assert once(job)


@pytest.mark.matrix(3)
@pytest.mark.matrix(4)
def test_a_killed_child_and_a_killed_worker_cost_an_attempt_each(studio: Studio) -> None:
    stalled, killed = studio.arm("reconstruct-mid"), studio.arm("target-before_finish")
    (job_id,) = studio.client.submit(studio.client.fresh(6, 7))
    studio.system.wait(stalled.exists, "the worker to be in the middle of a stage")
    studio.worker.kill()
    studio.new_worker()
    (job,) = studio.system.wait_for_jobs([job_id])

    assert killed.exists()
    assert job.row.status == "succeeded"
    lost = {stage.kind.value for stage in job.stages for a in stage.attempts if a.outcome == "lost"}
    assert lost == {"target", "reconstruct"}
    assert once(job)


@pytest.mark.matrix(8)
@pytest.mark.matrix(9)
def test_a_broker_that_dies_with_all_it_holds_delays_the_jobs(studio: Studio) -> None:
    """What was out is lost with it, what is decided meanwhile waits in the outbox."""
    stalled = studio.arm("align-after_claim")
    (early,) = studio.client.submit(studio.client.fresh(8, 9))
    studio.system.wait(stalled.exists, "a stage to be under way")
    studio.broker.kill()
    (late,) = studio.client.submit(studio.client.fresh(9, 8))

    def waits() -> bool:
        with transaction(studio.system.engine) as session:
            return outbox.backlog(session).count > 0

    studio.system.wait(waits, "the outbox to hold the late job's message")
    os.kill(studio.child(), signal.SIGCONT)
    studio.broker.wipe()
    studio.broker.start()
    views = studio.system.wait_for_jobs([early, late])

    assert [job.row.status for job in views] == ["succeeded"] * 2
    assert all(map(once, views))


def test_a_wrong_password_is_one_sentence_without_the_password(studio: Studio) -> None:
    address = urlsplit(studio.broker.url)
    if not address.port:
        assert check_broker(studio.app) is None
        return
    wrong = address._replace(netloc=f"nobody:wr0ng@{address.hostname}:{address.port}").geturl()
    app = create_app(replace(studio.system.settings, broker_url=wrong))
    with pytest.raises(SettingsError, match=r"refuses us .* BARBER_BROKER_URL") as refused:
        check_broker(app)
    assert "wr0ng" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_queue_of_another_form_is_named(studio: Studio) -> None:
    """The suite's own queue stands for an older installation's, and what we want is another."""
    if urlsplit(studio.broker.url).scheme != "amqp":
        return
    app = create_app(studio.system.settings)
    app.amqp.queues["cpu"].queue_arguments = {"x-queue-type": "classic"}
    with pytest.raises(SettingsError, match=r"in another form .*'cpu'.* delete it"):
        check_broker(app)
