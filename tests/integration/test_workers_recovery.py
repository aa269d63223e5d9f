"""Workers that die, stall and leave: the job succeeds, and each stage does so once.

Toy stages; that real ones go on where they were killed is shown in test_resume.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text

from barber.catalogue import workers
from barber.catalogue.db import transaction
from barber.catalogue.store import Store
from barber.errors import StoreAwayError, StoreError
from barber.plan import StageKind
from barber.settings import Settings
from tests.support.postgres import fresh_database
from tests.support.system import QUICK, System, outcomes, write_tiny_bundle
from tests.support.toys import ToyClient, toy_settings
from workers.bench import Bench
from workers.endings import REFUSED_EXIT_CODE
from workers.retry import IO, judge

pytestmark = pytest.mark.integration


@contextmanager
def running(server_url, tmp_path, **changes):
    with fresh_database(server_url) as url:
        settings = toy_settings(url, tmp_path / "home", drain_s=1.0, **changes)
        with System(settings, tmp_path / "logs") as system:
            system.start_dispatcher()
            yield system, ToyClient(system)


@pytest.mark.matrix(3)
def test_worker_killed_in_every_kind_of_stage_costs_an_attempt_each(server_url, tmp_path):
    points = "target:mid,reconstruct:before_finish,align:mid,blend:after_claim"
    with running(server_url, tmp_path, failpoint=points) as (system, client):
        system.start_worker()
        (job,) = client.run(client.fresh(1, 2), max_losses=20)

    assert job.row.status == "succeeded", job.row.error
    assert all(ends.count("succeeded") == 1 for ends in outcomes(job).values())
    hit = {stage.kind.value for stage in job.stages for a in stage.attempts if a.outcome == "lost"}
    assert hit == {"target", "reconstruct", "align", "blend"}
    assert all(stage.errors == 0 for stage in job.stages)


@pytest.mark.matrix(5)
def test_worker_that_stalls_is_fenced_and_one_that_leaves_hands_its_stage_back(
    server_url, tmp_path
):
    with running(server_url, tmp_path) as (system, client):
        system.start_worker("stalls", failpoint="reconstruct:before_finish:stop")
        system.wait_ready("stalls")
        (job_id,) = client.submit(client.fresh(1, 2), max_losses=20)
        marker = system.settings.home / "failpoints" / "reconstruct-before_finish"
        system.wait(marker.exists, "the worker to stall")
        system.start_worker("works")
        (job,) = system.wait_for_jobs([job_id])
        assert job.row.status == "succeeded", job.row.error

        os.kill(pid_of(system, "stalls"), signal.SIGCONT)
        system.wait(lambda: "fenced" in flat(system, job_id), "the late write to be fenced")
        assert all(ends.count("succeeded") == 1 for ends in outcomes(system.job(job_id)).values())

        for process in system.processes[1:]:
            process.kill()
        leaving = system.start_worker("leaves", chaos="stage_s=60")
        (last_id,) = client.submit(client.fresh(3, 4))
        system.wait(lambda: held_by(system, last_id, "leaves"), "a stage to be under way")
        assert leaving.stop(timeout_s=60) == 0
        assert "returned" in flat(system, last_id)
        assert all(s.losses == s.errors == 0 for s in system.job(last_id).stages)
        with transaction(system.engine) as session:
            (row,) = [row for row in workers.listed(session) if row.name == "leaves"]
        assert row.status == "stopped"


def held_by(system, job_id, name):
    return any(stage.worker == name and stage.progress for stage in system.job(job_id).stages)


def pid_of(system, name):
    with transaction(system.engine) as session:
        return next(row.pid for row in workers.listed(session) if row.name == name)


def flat(system, job_id):
    return [end for ends in outcomes(system.job(job_id)).values() for end in ends]


@pytest.mark.slow
def test_damaged_weights_stop_the_worker_with_a_sentence(database_url, tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    home, bundle = tmp_path / "home", str(tmp_path / "bundle")
    settings = Settings(database_url=database_url, home=home, bundle=bundle, **QUICK)
    weights = max((tmp_path / "bundle").glob("*.safetensors"), key=lambda p: p.stat().st_size)
    weights.write_bytes(weights.read_bytes()[:-1])
    with System(settings, tmp_path / "logs") as system:
        worker = system.start_worker()
        system.wait(lambda: not worker.running, "the worker to stop", 300)

    assert "the worker stops: " in worker.log.read_text()
    assert weights.name in worker.log.read_text()
    assert worker.popen.returncode == REFUSED_EXIT_CODE


@pytest.mark.matrix(30)
def test_a_worker_with_the_wrong_store_spoils_nothing(server_url, tmp_path):
    with running(server_url, tmp_path) as (system, client):
        system.start_worker()
        (job,) = client.run(client.fresh(1, 2))
        spec = client.fresh(1, 2)
        stage = next(each for each in job.stages if each.kind is StageKind.RECONSTRUCT)
        file = Store(system.settings.store_dir).path(stage.files["artifact"].sha256)

        def read(settings):
            options = {"bundle": None, "worker": "w", "versions": {}}
            bench = Bench(settings=settings, engine=system.engine, **options)
            with pytest.raises(StoreError) as refused:
                bench._artifact(spec, stage.key, stage.kind)
            with system.engine.connect() as connection:
                query = text("SELECT status FROM artifact WHERE key = :key")
                return refused.value, connection.scalar(query, {"key": stage.key})

        error, status = read(replace(system.settings, home=tmp_path / "unmounted"))
        assert (type(error), status) == (StoreAwayError, "ready")
        assert "mount the one that the other workers use" in str(error)

        file.rename(file.with_suffix(".aside"))
        file.mkdir()  # reading it fails, and not because it is missing
        error, status = read(system.settings)
        assert (type(error), status) == (StoreAwayError, "ready")
        assert judge(error) is IO

        file.rmdir()
        error, status = read(system.settings)
        assert (type(error), status) == (StoreError, "missing")
