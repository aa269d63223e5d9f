"""A job's chord on every broker: its body offers the blend, no sweep does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from barber.settings import Settings
from tests.support.postgres import fresh_database
from tests.support.rabbitmq import rabbitmq
from tests.support.redis_server import redis
from tests.support.system import QUICK, Client, System, outcomes, write_tiny_bundle

pytestmark = pytest.mark.integration


@contextmanager
def filesystem() -> Iterator[str]:
    yield "filesystem://"


@pytest.mark.parametrize("broker", [filesystem, rabbitmq, redis])
def test_chord_carries_a_job_to_its_blend(broker, server_url, tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    with broker() as broker_url, fresh_database(server_url) as url:
        settings = Settings(
            database_url=url,
            broker_url=broker_url,
            home=tmp_path / "home",
            bundle=str(tmp_path / "bundle"),
            **{**QUICK, "sweep_s": 10_000.0, "grace_s": 10_000.0},
        )
        with System(settings, tmp_path / "logs") as system:
            worker = system.start_worker()
            dispatcher = system.start_dispatcher()
            client = Client.of(system)
            job_ids = client.submit(client.spec(1, 2, 3), client.spec(2, 1))
            views = system.wait_for_jobs(job_ids, timeout_s=300)

            assert [job.row.status for job in views] == ["succeeded", "succeeded"]
            assert {len(ends) for job in views for ends in outcomes(job).values()} <= {0, 1}
            assert "by the sweep" not in dispatcher.log.read_text()
            # Each process ends by itself, and in good order, when asked.
            assert (dispatcher.stop(60), worker.stop(60)) == (0, 0)


def test_rabbitmq_delivers_again_what_a_killed_worker_held_and_nothing_is_done_twice(
    server_url, tmp_path
):
    """Late acknowledgement: the broker hands the same message out again, beside the catalogue."""
    write_tiny_bundle(tmp_path / "bundle")
    with rabbitmq() as broker_url, fresh_database(server_url) as url:
        settings = Settings(
            database_url=url,
            broker_url=broker_url,
            home=tmp_path / "home",
            bundle=str(tmp_path / "bundle"),
            failpoint="align:mid,blend:after_claim",
            **QUICK,
        )
        with System(settings, tmp_path / "logs") as system:
            system.start_worker()
            system.start_dispatcher()
            client = Client.of(system)
            (job_id,) = client.submit(client.spec(1, 2), max_losses=20)
            (job,) = system.wait_for_jobs([job_id], timeout_s=300)

    assert job.row.status == "succeeded", job.row.error
    assert all(ends.count("succeeded") == 1 for ends in outcomes(job).values())
    hit = {stage.kind.value for stage in job.stages for a in stage.attempts if a.outcome == "lost"}
    assert hit == {"align", "blend"}
