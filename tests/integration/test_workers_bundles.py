"""Workers with different bundles: each job finds its worker, or stays queued and says which."""

from __future__ import annotations

import json

import pytest

from barber import cli
from barber.catalogue import jobs, stages, workers
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.settings import Settings
from dashboard import create_app
from tests.support.builders import Crew, hair_spec, known_portraits, submit
from tests.support.people import enter
from tests.support.postgres import fresh_database
from tests.support.system import QUICK, Client, System, outcomes, write_tiny_bundle
from workers import app as celery_app
from workers.chords import stage_signature

pytestmark = pytest.mark.integration

UNKNOWN = "a" * 64


@pytest.fixture(scope="module")
def system(server_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("system")
    for seed in (0, 1):
        write_tiny_bundle(folder / f"bundle-{seed}", seed=seed)
    with fresh_database(server_url) as url:
        settings = Settings(
            database_url=url, home=folder / "home", bundle=str(folder / "bundle-0"), **QUICK
        )
        with System(settings, folder / "logs") as system:
            system.start_worker("first")
            system.start_worker("second", bundle=str(folder / "bundle-1"))
            system.start_dispatcher()
            system.wait_ready("first", "second")
            yield system


@pytest.fixture
def clients(system):
    folder = system.settings.home.parent
    return [Client.of(system, bundle=folder / f"bundle-{seed}") for seed in (0, 1)]


def attempts_of(job):
    return {attempt.worker for stage in job.stages for attempt in stage.attempts}


def test_every_job_finds_the_worker_that_holds_its_bundle(system, clients):
    ids = [
        client.submit(client.spec(1, 2), bundle_name=client.manifest.name)[0] for client in clients
    ]

    views = system.wait_for_jobs(ids)

    assert [view.row.status for view in views] == ["succeeded", "succeeded"]
    assert [attempts_of(view) for view in views] == [{"first"}, {"second"}]


def test_job_on_a_bundle_that_nobody_holds_stays_queued_and_says_so(system, clients, capsys):
    client = clients[0]
    (job_id,) = client.submit(client.spec(81, 82, bundle=UNKNOWN), bundle_name="ffhq")
    (other,) = client.submit(client.spec(83, 84))
    system.wait_for_jobs([other])

    job = system.job(job_id)

    assert (job.row.status, outcomes(job)) == ("queued", {k: [] for k in outcomes(job)})
    said = f"waits for a worker that holds bundle ffhq ({UNKNOWN[:12]}): first holds tiny ("
    assert job.waits_for.startswith(said)
    assert "second holds tiny-1 (" in job.waits_for
    assert job.waits_for.endswith("start one with `barber worker --bundle ffhq`")
    assert cli.run(["show", str(job_id)], system.settings.to_env()) == 0
    assert f"waits   {job.waits_for.removeprefix('waits ')}" in capsys.readouterr().out
    web = create_app(system.settings)
    browser = web.test_client()
    enter(browser, web.extensions["engine"], "olga", Role.OPERATOR)
    page = browser.get(f"/jobs/{job_id}", base_url="http://localhost").text
    assert "This job waits for a worker that holds bundle ffhq" in page
    health = browser.get("/health", base_url="http://localhost").json
    web.extensions["engine"].dispose()
    assert health["status"] == "degraded"
    assert [(u["bundle"], u["jobs"]) for u in health["unserved"]] == [("ffhq", 1)]
    with transaction(system.engine) as session:
        jobs.cancel(session, job_id, by="tests")


def test_message_that_comes_to_the_wrong_worker_goes_back_and_costs_nothing(engine, settings):
    crew = Crew(engine, settings)
    (job_id,) = submit(engine, [hair_spec(*known_portraits(engine, 2))])
    crew.tick()
    message = crew.messages()[0]
    with transaction(engine) as session:
        claim = stages.claim(
            session,
            message["stage_id"],
            message["generation"],
            worker="wrong",
            device="cpu",
            lease_s=9,
            bundle=UNKNOWN,
        )
        assert claim is None
        job = jobs.job(session, job_id)
    (stage,) = [stage for stage in job.stages if stage.id == message["stage_id"]]
    assert (stage.status, stage.errors, stage.losses, stage.attempts) == ("pending", 0, 0, ())
    (event,) = [event for event in job.events if event.kind == "declined"]
    assert event.data["reason"].startswith("wrong holds bundle aaaaaaaaaaaa, not bbbbbbbbbbbb")

    assert crew.tick() == 0, "it waits a while, so that nothing turns in a circle"
    with transaction(engine) as session:
        assert not stages.decline(session, message["stage_id"], message["generation"], why="again")


def test_worker_that_gets_a_foreign_message_leaves_the_stage_to_its_own(system, clients):
    first, second = clients
    with transaction(system.engine) as session:
        jobs.pause_all(session, by="tests")
    (job_id,) = second.submit(second.spec(5, 6), bundle_name="tiny-1")
    with transaction(system.engine) as session:
        jobs.resume_all(session, by="tests")
    stage_id = system.job(job_id).stages[0].id
    app = celery_app.create_app(system.settings)
    foreign = {"kind": "target", "stage_id": stage_id, "bundle": first.manifest.digest}
    for generation in (1, 2, 3):
        stage_signature(app, {**foreign, "generation": generation}).apply_async()

    (job,) = system.wait_for_jobs([job_id])

    assert job.row.status == "succeeded"
    assert attempts_of(job) == {"second"}
    assert all(stage.errors == stage.losses == 0 for stage in job.stages)


def test_silent_worker_is_marked_lost_and_serves_nobody(engine, settings):
    crew = Crew(engine, settings)
    submit(engine, [hair_spec(*known_portraits(engine, 2))])
    crew.tick()
    crew.messages()
    with transaction(engine) as session:
        (bundle,) = workers.held_bundles(session)
        (row,) = workers.listed(session)
        workers.seen(session, row.name, alive_s=-1)
    with transaction(engine) as session:
        assert workers.held_bundles(session) == {}
        assert workers.mark_lost(session) == [row.name]
        assert workers.mark_lost(session) == []
        (lost,) = workers.listed(session)
        (unserved,) = workers.unserved(session)
    assert (lost.status, lost.alive) == ("lost", False)
    assert (unserved.bundle, unserved.jobs) == (bundle, 1)
    assert "no worker for stages is up" in unserved.sentence
    with transaction(engine) as session:
        workers.seen(session, row.name)
        assert workers.held_bundles(session) == {bundle: 1}, "it is back"


def test_job_that_waits_tells_json_readers_too(system, clients, capsys):
    client = clients[0]
    (job_id,) = client.submit(client.spec(91, 92, bundle=UNKNOWN), bundle_name="ffhq")
    assert cli.run(["show", str(job_id), "--json"], system.settings.to_env()) == 0
    assert "bundle ffhq" in json.loads(capsys.readouterr().out)["waits_for"]
    with transaction(system.engine) as session:
        jobs.cancel(session, job_id, by="tests")
