"""Painted target masks: checked at the door, kept as versions, and what they make run again."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from safetensors.numpy import save
from sqlalchemy import Engine

from barber.catalogue import audit, stages
from barber.catalogue.audit import Verb
from barber.catalogue.db import transaction
from barber.catalogue.originals import ARTIFACT_FILE
from barber.catalogue.people_tables import Role
from barber.catalogue.store import Store
from barber.labels import Region
from barber.painted import encode_painted, read_painted
from barber.plan import StageKind
from dashboard import create_app
from tests.support import builders
from tests.support.people import Posting, csrf, enter, poster, token

pytestmark = pytest.mark.integration

SIDE = 16


def labels(rows: int) -> np.ndarray:
    """Hair in the upper rows, skin below."""
    found = np.full((SIDE, SIDE), int(Region.SKIN), dtype=np.uint8)
    found[:rows] = Region.HAIR
    return found


COMPOSED = labels(4)


@dataclass
class Easel:
    """A console with a job that has ended, and a crew."""

    client: FlaskClient
    post: Posting
    engine: Engine
    store: Store
    crew: builders.Crew

    def finish(self, session, claim):
        picture = self.store.store_file(builders.picture(1), "image/png")
        files = {"image.png": picture}
        if claim.planned.kind is StageKind.TARGET:
            data = save({"label_map": COMPOSED[None]})
            files[ARTIFACT_FILE] = self.store.store_file(data, "application/x-safetensors")
        return stages.finish(session, claim, files=files, recipe={})

    def work(self):
        self.crew.ran.clear()
        self.crew.work(dict.fromkeys(StageKind, self.finish))
        return sorted(set(self.crew.ran))

    def job(self, *, done=True):
        one, two = builders.register_portraits(self.engine, self.store, 2)
        (job,) = builders.submit(self.engine, [builders.hair_spec(one, two)])
        if done:
            self.work()
        return job

    def send(self, job, data, **form):
        file = (io.BytesIO(data), "painted.png")
        return self.post(f"/jobs/{job}/mask", mask=file, **form)

    def ask(self, method, path, **options):
        secret = token(self.engine, "olga", Role.OPERATOR)
        headers = {"Authorization": f"Bearer {secret}"}
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **options)

    def versions(self, job):
        found = self.ask("GET", f"/jobs/{job}/masks").json["versions"]
        return [(version["number"], version["in_use"]) for version in found]

    def shown(self, job, number=""):
        data = self.client.get(f"/jobs/{job}/mask/labels.png?version={number}").data
        return read_painted(data, side=SIDE, name="shown").label_map


@pytest.fixture
def easel(engine, settings):
    app = create_app(settings)
    crew = builders.Crew(engine, replace(settings, sweep_s=0.0, backoff_s=0.0))
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    yield Easel(client, poster(client), engine, Store(settings.store_dir), crew)
    app.extensions["engine"].dispose()


def test_a_painted_mask_runs_the_job_again_and_spares_what_was_reconstructed(easel):
    job = easel.job()
    before = builders.view(easel.engine, job)
    page = easel.client.get(f"/jobs/{job}/mask")
    assert page.status_code == 200
    assert "asked for: hair" in page.text
    assert np.array_equal(easel.shown(job), COMPOSED)

    saved = easel.send(job, encode_painted(labels(8)), why="longer fringe")
    assert saved.status_code == 303, saved.text
    assert easel.work() == ["align", "blend", "target"]
    after = builders.view(easel.engine, job)
    assert after.row.status == "succeeded"
    assert after.result_key != before.result_key
    assert np.array_equal(after.spec.painted.label_map, labels(8))
    reused = {s.portrait: s.key for s in before.stages if s.kind == "reconstruct"}
    assert {s.portrait: s.key for s in after.stages if s.kind == "reconstruct"} == reused
    assert np.array_equal(easel.shown(job), labels(8))
    with transaction(easel.engine) as session:
        (entry,) = audit.entries(session, job_id=job, verb=Verb.PAINT)
    assert (entry.who, entry.why, entry.data) == ("olga", "longer fringe", {"version": 1})


def test_earlier_versions_stay_and_going_back_costs_nothing(easel):
    job = easel.job()
    first = builders.view(easel.engine, job).result_key
    for rows in (8, 12):
        assert easel.send(job, encode_painted(labels(rows))).status_code == 303
        easel.work()
    assert easel.versions(job) == [(2, True), (1, False), (0, False)]
    assert np.array_equal(easel.shown(job, 1), labels(8))
    assert np.array_equal(easel.shown(job, 0), COMPOSED)
    assert "Painted mask 2" in easel.client.get(f"/jobs/{job}/mask").text

    assert easel.post(f"/jobs/{job}/mask", version="0").status_code == 303
    assert easel.work() == []  # every artifact is there
    assert builders.view(easel.engine, job).result_key == first
    used = easel.ask("POST", f"/jobs/{job}/masks/1/use", json={"why": "after all"})
    assert used.json["version"] == 1
    easel.work()
    assert easel.versions(job) == [(2, False), (1, True), (0, False)]
    easel.send(job, encode_painted(labels(12)))  # painted a second time: no new version
    easel.work()
    assert easel.versions(job) == [(2, True), (1, False), (0, False)]


def test_the_api_paints_too(easel):
    job = easel.job()
    grey = io.BytesIO()
    Image.fromarray(labels(10)).save(grey, "PNG")
    form = {"mask": (io.BytesIO(grey.getvalue()), "ten.png"), "why": "ten rows"}
    answer = easel.ask("POST", f"/jobs/{job}/masks", data=form)
    assert answer.json == {"job_id": job, "version": 1, "stages_set_back": 4}
    data = easel.ask("GET", f"/jobs/{job}/masks/1.png").data
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), labels(10))


def test_what_is_no_mask_is_refused_and_the_job_stays_as_it_was(easel):
    job = easel.job()
    before = builders.view(easel.engine, job)
    bald = encode_painted(np.full((SIDE, SIDE), int(Region.SKIN), dtype=np.uint8))
    wrong = {
        b"<script>alert(1)</script>": "cannot be read as a PNG",
        encode_painted(labels(8)[:8, :8]): "must be 16x16",
        bald: "shows no hair",
        b"": "cannot be read as a PNG",
    }
    for data, words in wrong.items():
        answer = easel.send(job, data)
        assert answer.status_code == 400, answer.text
        assert words in answer.text
        assert "Traceback" not in answer.text
    assert easel.post(f"/jobs/{job}/mask").status_code == 400  # no file at all
    assert easel.post(f"/jobs/{job}/mask", version="9").status_code == 404
    assert easel.ask("GET", f"/jobs/{job}/masks/99999999999.png").status_code == 404
    assert easel.ask("POST", f"/jobs/{job}/masks", data={"why": "?"}).status_code == 400
    same = easel.post(f"/jobs/{job}/mask", version="0")
    assert same.status_code == 409
    assert builders.view(easel.engine, job) == before


def test_a_job_under_way_keeps_its_mask_and_one_without_any_says_so(easel):
    job = easel.job(done=False)
    assert easel.client.get(f"/jobs/{job}/mask").status_code == 409
    easel.work()
    easel.send(job, encode_painted(labels(8)))
    under_way = easel.send(job, encode_painted(labels(9)))
    assert under_way.status_code == 409
    assert "wait until it has ended" in under_way.text
    (one,) = builders.register_portraits(easel.engine, easel.store, 1)
    plain = replace(builders.hair_spec(one, one), regions=())
    (other,) = builders.submit(easel.engine, [plain])
    assert "changes no region" in easel.client.get(f"/jobs/{other}/mask").text


def test_viewers_look_and_strangers_find_nothing(easel):
    job = easel.job()
    viewer = easel.client.application.test_client()
    enter(viewer, easel.engine, "vera", Role.VIEWER)
    assert "Save and run" not in viewer.get(f"/jobs/{job}/mask").text
    form = {"csrf_token": csrf(viewer), "version": "0"}
    assert viewer.post(f"/jobs/{job}/mask", data=form).status_code == 403
    stranger = easel.client.application.test_client()
    enter(stranger, easel.engine, "otto", Role.OPERATOR, own_only=True)
    assert stranger.get(f"/jobs/{job}/mask").status_code == 404
    assert stranger.get(f"/jobs/{job}/mask/labels.png").status_code == 404
    assert poster(stranger)(f"/jobs/{job}/mask", version="0").status_code == 404
