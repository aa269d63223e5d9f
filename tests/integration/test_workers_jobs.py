"""Jobs on real processes: one dispatcher, one worker, Postgres, the filesystem broker."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from barber.artifacts import Portrait
from barber.catalogue import curves, jobs, outbox, portraits
from barber.catalogue.db import transaction
from barber.catalogue.jobs import StageView
from barber.labels import REGION_COUNT
from barber.models.bundle import ModelBundle
from barber.pipeline import compose
from barber.pixels import decode, read_recipe
from barber.settings import Settings
from barber.spec import ReconstructParams
from tests.support.postgres import fresh_database
from tests.support.system import QUICK, SHORT, Client, System, outcomes, write_tiny_bundle
from workers.app import create_app
from workers.chords import publish
from workers.dispatcher import Dispatcher

pytestmark = pytest.mark.integration

ENDLESS = replace(SHORT, reconstruct=ReconstructParams(w_plus_steps=100_000, fs_steps=2))


@pytest.fixture(scope="module")
def system(server_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("system")
    write_tiny_bundle(folder / "bundle")
    with fresh_database(server_url) as url:
        settings = Settings(
            database_url=url,
            home=folder / "home",
            bundle=str(folder / "bundle"),
            failpoint="align:mid:fail",
            **QUICK,
        )
        disarm(settings)
        with System(settings, folder / "logs") as system:
            system.start_worker()
            system.start_dispatcher()
            system.wait_ready("worker")
            yield system


@pytest.fixture
def client(system):
    return Client.of(system)


def disarm(settings):
    marker = settings.home / "failpoints" / "align-mid"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def arm(settings):
    (settings.home / "failpoints" / "align-mid").unlink()


def executions(views):
    """How many attempts there were at each artifact, by key."""
    return Counter(stage.key for job in views for stage in job.stages for _ in stage.attempts)


def test_job_with_two_references_runs_each_stage_once(system, client):
    spec = client.spec(1, 2, 3)
    (job_id,) = client.submit(spec)

    (job,) = system.wait_for_jobs([job_id])

    assert job.row.status == "succeeded"
    assert Counter(stage.kind.value for stage in job.stages) == {
        "target": 2,
        "reconstruct": 3,
        "align": 4,
        "blend": 1,
    }
    assert set(map(tuple, outcomes(job).values())) == {("succeeded",)}
    assert job.row.progress == 1.0
    told = Counter(event.kind for event in job.events)
    assert told["claimed"] == told["succeeded"] == 10
    assert told["job_succeeded"] == 1
    check_curves(system, job)
    check_segmentations(client, job)


def check_curves(system, job):
    """Every stage that went down a loss has told how, to its last step."""
    with transaction(system.engine) as session:
        found = curves.of_job(session, job.row.id)
    for stage in job.stages:
        (curve,) = found[stage.id]
        for phase in curve.phases:
            assert phase.names[0] == "total"
            assert [phase.points[0][0], phase.points[-1][0]] == [1, phase.steps]
        assert curve.phases[-1].points[-1][1] == 1.0


def check_segmentations(client, job):
    """Beside its picture each stage has that of its labels, as indices; a mask is one already."""
    for stage in job.stages:
        if stage.kind == "target":
            assert "segmentation.png" not in stage.files
            continue
        data = client.store.get(stage.files["segmentation.png"].sha256)
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == "P"
            assert np.asarray(image).max() < REGION_COUNT


def test_result_is_what_the_method_makes_without_a_queue(system, client):
    spec = client.spec(1, 2, 3)
    (job,) = system.wait_for_jobs(client.submit(spec))

    result = client.store.get(job.row.result_file)
    bundle = ModelBundle.load(Path(system.settings.bundle))
    with transaction(system.engine) as session:
        given = {
            key: Portrait(sha256=key, pixels=portraits.pixels(session, client.store, key))
            for key in spec.portraits
        }
    expected = compose(bundle, spec, given).blend

    assert torch.equal(torch.tensor(decode(result, name="result")), torch.tensor(expected.image))
    recipe = read_recipe(result, name="result")
    assert recipe["spec"] == spec.to_json()
    assert recipe["bundle"]["digest"] == bundle.digest


def test_portraits_shared_by_jobs_are_reconstructed_once(system, client):
    ids = client.submit(client.spec(11, 12), client.spec(11, 13), client.spec(13, 12))

    views = system.wait_for_jobs(ids)

    assert {job.row.status for job in views} == {"succeeded"}
    reconstructions = {s.key for job in views for s in job.stages if s.kind == "reconstruct"}
    assert len(reconstructions) == 3
    assert {executions(views)[key] for key in reconstructions} == {1}


@pytest.mark.matrix(2)
def test_retry_runs_the_failed_stage_and_what_hangs_on_it_alone(system, client):
    arm(system.settings)
    (job_id,) = client.submit(client.spec(21, 22, 23))
    (failed,) = system.wait_for_jobs([job_id])
    assert failed.row.status == "failed"
    # Two alignments run side by side; whichever comes to the failpoint first is named.
    named = r"failpoint align:mid \((hair of portrait portrait-22|portrait portrait-21)\.png \("
    assert re.match(named, failed.row.error)
    (broken,) = [stage for stage in failed.stages if stage.status == "failed"]
    assert (broken.kind, broken.error_class) == ("align", "stage")
    assert "failpoint align:mid" in broken.attempts[-1].trace.splitlines()[-1]

    with transaction(system.engine) as session:
        jobs.retry(session, job_id, by="tests")
    (job,) = system.wait_for_jobs([job_id])

    assert job.row.status == "succeeded"
    again = {stage: ends for stage, ends in outcomes(job).items() if ends != ["succeeded"]}
    assert again == {("align", broken.slot): ["error", "succeeded"]}
    assert outcomes(job)["blend", 0] == ["succeeded"]


@pytest.mark.matrix(16)
def test_damaged_artifact_is_built_again_once(system, client):
    (first,) = system.wait_for_jobs(client.submit(client.spec(31, 32)))
    damaged = next(stage for stage in first.stages if stage.kind == "reconstruct")
    file = client.store.path(damaged.files["artifact"].sha256)
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-10])

    # The same portraits with another seed of the blend's own: new alignments, old codes.
    longer = replace(SHORT, align=replace(SHORT.align, identity_steps=3, reference_steps=3))
    (second,) = system.wait_for_jobs(client.submit(client.spec(31, 32, params=longer)))

    assert second.row.status == "succeeded"
    assert executions([first, second])[damaged.key] == 2
    assert "quarantined" in {event.kind for event in second.events}
    assert any("error" in ends for ends in outcomes(second).values())


def test_message_delivered_three_times_is_one_attempt(system, client):
    (dispatcher,) = [p for p in system.processes if p.name == "dispatcher" and p.running]
    dispatcher.stop()
    try:
        (job_id,) = client.submit(client.spec(41, 42))
        ours = Dispatcher(system.settings, system.engine, create_app(system.settings))

        def thrice() -> bool:
            ours.tick()
            with transaction(system.engine) as session:
                rows = outbox.take(session, 100)
                for row in rows * 3:
                    publish(ours.app, row.topic, row.payload)
                outbox.done(session, [row.id for row in rows])
            return system.job(job_id).row.status.final

        system.wait(thrice, "the job to end")
    finally:
        system.start_dispatcher()

    job = system.job(job_id)
    assert job.row.status == "succeeded"
    assert set(map(tuple, outcomes(job).values())) == {("succeeded",)}


def test_killed_dispatcher_is_replaced_and_nothing_is_lost(system, client):
    ids = client.submit(*(client.spec(50 + n, 60 + n) for n in range(3)))

    def begun() -> bool:
        return any(system.job(job_id).row.status == "running" for job_id in ids)

    system.wait(begun, "a job to begin")
    (dispatcher,) = [p for p in system.processes if p.name == "dispatcher" and p.running]
    dispatcher.kill()
    system.start_dispatcher()

    views = system.wait_for_jobs(ids)

    assert {job.row.status for job in views} == {"succeeded"}
    assert all(ends.count("succeeded") == 1 for job in views for ends in outcomes(job).values())


@pytest.mark.matrix(17)
def test_running_stage_shows_itself_and_stops_when_its_job_is_cancelled(system, client):
    (job_id,) = client.submit(client.spec(71, 72, params=ENDLESS))

    def shown() -> StageView | None:
        for stage in system.job(job_id).stages:
            if stage.kind == "reconstruct" and stage.status == "running" and stage.preview_step:
                return stage
        return None

    stage = system.wait(shown, "a preview")
    assert stage.note.startswith("w_plus ")
    assert 0 < stage.progress < 1
    assert stage.losses_now["total"] > 0

    with transaction(system.engine) as session:
        jobs.cancel(session, job_id, by="tests")
    (job,) = system.wait_for_jobs([job_id])

    assert job.row.status == "cancelled"
    assert ["cancelled"] in outcomes(job).values()
