"""Real workers that are killed or told to leave in the middle of a stage, which then goes on."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from barber.artifacts import Portrait
from barber.catalogue import operate, portraits
from barber.catalogue.db import transaction
from barber.models.bundle import ModelBundle
from barber.pipeline import compose
from barber.settings import Settings
from barber.spec import ReconstructParams
from tests.support.postgres import fresh_database
from tests.support.system import QUICK, SHORT, Client, System, outcomes, write_tiny_bundle
from workers.snapshots import MOST_STEPS

pytestmark = pytest.mark.integration

# The failpoint kills at half of a stage, in its second phase, when it has taken a snapshot.
LONG = replace(SHORT, reconstruct=ReconstructParams(w_plus_steps=20, fs_steps=100))
KILLED_AT = 60


@pytest.fixture
def settings(server_url, tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    with fresh_database(server_url) as url:
        yield Settings(
            database_url=url,
            home=tmp_path / "home",
            bundle=str(tmp_path / "bundle"),
            # Only the count of steps calls for a snapshot.
            **{**QUICK, "lease_s": 5.0, "grace_s": 10.0, "drain_s": 2.0, "snapshot_s": 1e6},
        )


@contextmanager
def running(settings, tmp_path):
    with System(settings, tmp_path / "logs") as system:
        system.start_dispatcher()
        yield system, Client.of(system)


def undisturbed(system, spec):
    """The artifacts of a job, made in this process, without a queue."""
    torch.set_num_threads(1)
    bundle = ModelBundle.load(Path(system.settings.bundle), torch.device("cpu"))
    store = Client.of(system).store
    with transaction(system.engine) as session:
        people = {
            key: Portrait(sha256=key, pixels=portraits.pixels(session, store, key))
            for key in spec.portraits
        }
    made = compose(bundle, spec, people).artifacts
    return {key: hashlib.sha256(value.to_bytes()).hexdigest() for key, value in made.items()}


def left(system):
    return list((system.settings.store_dir / "snapshots").glob("*"))


def said(system, job_id):
    """The steps that the reconstructions of a job have told of."""
    notes = [stage.note for stage in system.job(job_id).stages if stage.kind == "reconstruct"]
    return [int(note.split()[1].partition("/")[0]) for note in notes if note]


def told(system, job_id, kind):
    return [event for event in system.job(job_id).events if event.kind == kind]


@pytest.mark.slow
def test_killed_stage_goes_on_and_makes_the_same_bytes_and_a_leaving_worker_hands_over(
    settings, tmp_path
):
    with running(replace(settings, failpoint="reconstruct:mid"), tmp_path) as (system, client):
        worker = system.start_worker("first")
        spec = client.spec(1, 2, params=LONG)
        (job_id,) = client.submit(spec, max_losses=20)
        (job,) = system.wait_for_jobs([job_id], timeout_s=900)

        assert job.row.status == "succeeded", job.row.error
        assert all(ends.count("succeeded") == 1 for ends in outcomes(job).values())
        files = {stage.key: stage.files["artifact"].sha256 for stage in job.stages}
        assert files == undisturbed(system, spec)
        (killed,) = [stage for stage in job.stages if len(stage.attempts) > 1]
        lost, last = killed.attempts
        assert (killed.kind, lost.outcome, lost.from_step) == ("reconstruct", "lost", None)
        assert last.from_step == MOST_STEPS
        assert 0 < KILLED_AT - last.from_step <= 50
        notes = [event.data["note"] for event in told(system, job_id, "continued")]
        assert notes == ["fs 29/100"]
        assert not left(system)

        # A worker that leaves takes a snapshot of its own, wherever the stage stands.
        endless = replace(SHORT, reconstruct=ReconstructParams(w_plus_steps=10**6, fs_steps=2))
        (last_id,) = client.submit(client.spec(4, 4, params=endless))
        system.wait(lambda: len(left(system)) == 1, "a stage to be well under way")
        shown = max(said(system, last_id))
        assert worker.stop(timeout_s=120) == 0
        assert len(left(system)) == 1
        assert [end for ends in outcomes(system.job(last_id)).values() for end in ends][-1:] == [
            "returned"
        ], system.story()
        system.start_worker("second")
        system.wait(lambda: told(system, last_id, "continued"), "the stage to go on", 180)
        (event,) = told(system, last_id, "continued")
        assert event.data["step"] >= shown, "nothing that was told is repeated"
        assert event.data["note"] == f"w_plus {event.data['step']}/1000000"
        assert all(s.losses == s.errors == 0 for s in system.job(last_id).stages)

        with transaction(system.engine) as session:
            operate.cancel(session, last_id, by="tests")
        system.wait_for_jobs([last_id])
        system.wait(lambda: not left(system), "the snapshot of a cancelled stage to go")
