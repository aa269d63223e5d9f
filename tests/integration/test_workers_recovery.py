"""Workers that die, stall and leave: the job succeeds, and each stage does so once."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import replace

import pytest

from barber.catalogue import workers
from barber.catalogue.db import transaction
from barber.settings import Settings
from barber.spec import ReconstructParams
from tests.support.postgres import fresh_database
from tests.support.system import QUICK, SHORT, Client, System, outcomes, write_tiny_bundle
from workers.endings import REFUSED_EXIT_CODE

pytestmark = pytest.mark.integration

LEASE_S = 4.0


@pytest.fixture
def settings(server_url, tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    with fresh_database(server_url) as url:
        yield Settings(
            database_url=url,
            home=tmp_path / "home",
            bundle=str(tmp_path / "bundle"),
            **{**QUICK, "lease_s": LEASE_S, "grace_s": 8.0, "drain_s": 2.0},
        )


@contextmanager
def running(settings, tmp_path):
    with System(settings, tmp_path / "logs") as system:
        system.start_dispatcher()
        yield system, Client.of(system)


@pytest.mark.matrix(3)
def test_worker_killed_in_every_kind_of_stage_costs_an_attempt_each(settings, tmp_path):
    points = "target:mid,reconstruct:before_finish,align:mid,blend:after_claim"
    with running(replace(settings, failpoint=points), tmp_path) as (system, client):
        system.start_worker()
        (job_id,) = client.submit(client.spec(1, 2), max_losses=20)
        (job,) = system.wait_for_jobs([job_id], timeout_s=900)

    assert job.row.status == "succeeded", job.row.error
    assert all(ends.count("succeeded") == 1 for ends in outcomes(job).values())
    hit = {stage.kind.value for stage in job.stages for a in stage.attempts if a.outcome == "lost"}
    assert hit == {"target", "reconstruct", "align", "blend"}
    assert all(stage.errors == 0 for stage in job.stages)


@pytest.mark.matrix(5)
def test_worker_that_stalls_is_fenced_and_one_that_leaves_hands_its_stage_back(settings, tmp_path):
    with running(settings, tmp_path) as (system, client):
        system.start_worker("stalls", failpoint="reconstruct:before_finish:stop")
        system.wait_ready("stalls")
        (job_id,) = client.submit(client.spec(1, 2), max_losses=20)
        marker = settings.home / "failpoints" / "reconstruct-before_finish"
        system.wait(marker.exists, "the worker to stall")
        replacement = system.start_worker("works")
        (job,) = system.wait_for_jobs([job_id], timeout_s=900)
        assert job.row.status == "succeeded", job.row.error

        os.kill(pid_of(system, "stalls"), signal.SIGCONT)
        system.wait(lambda: "fenced" in flat(system, job_id), "the late write to be fenced")
        assert all(ends.count("succeeded") == 1 for ends in outcomes(system.job(job_id)).values())

        (stalled,) = [process for process in system.processes if process.name == "stalls"]
        stalled.kill()
        endless = replace(SHORT, reconstruct=ReconstructParams(w_plus_steps=10**6, fs_steps=2))
        (last_id,) = client.submit(client.spec(3, 4, params=endless))
        system.wait(lambda: in_progress(system, last_id), "a stage to be under way")
        assert replacement.stop(timeout_s=120) == 0
        assert "returned" in flat(system, last_id)
        assert all(s.losses == s.errors == 0 for s in system.job(last_id).stages)
        with transaction(system.engine) as session:
            (row,) = [row for row in workers.listed(session) if row.name == "works"]
        assert row.status == "stopped"


def in_progress(system, job_id):
    return any(
        stage.kind == "reconstruct" and stage.status == "running" and stage.progress
        for stage in system.job(job_id).stages
    )


def pid_of(system, name):
    with transaction(system.engine) as session:
        return next(row.pid for row in workers.listed(session) if row.name == name)


def flat(system, job_id):
    return [end for ends in outcomes(system.job(job_id)).values() for end in ends]


def test_damaged_weights_stop_the_worker_with_a_sentence(settings, tmp_path):
    weights = max((tmp_path / "bundle").glob("*.safetensors"), key=lambda p: p.stat().st_size)
    weights.write_bytes(weights.read_bytes()[:-1])
    with System(settings, tmp_path / "logs") as system:
        worker = system.start_worker()
        system.wait(lambda: not worker.running, "the worker to stop", 300)

    assert "the worker stops: " in worker.log.read_text()
    assert weights.name in worker.log.read_text()
    assert worker.popen.returncode == REFUSED_EXIT_CODE
