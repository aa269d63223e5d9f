"""Results in the console and the API: galleries, numbers, verdicts with a way back, archives."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from dataclasses import dataclass, replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from barber.catalogue import audit, gallery, quality, stages
from barber.catalogue.audit import Verb
from barber.catalogue.db import transaction
from barber.catalogue.gallery import Wanted
from barber.catalogue.people_tables import Role
from barber.catalogue.store import Store
from barber.plan import StageKind
from barber.quality import FEATURES, Quality
from dashboard import create_app
from tests.support import builders
from tests.support.people import Posting, enter, poster, token

pytestmark = pytest.mark.integration

SOUND = Quality(
    psnr_db=31.5,
    ssim=0.93,
    distance=0.02,
    distance_name=FEATURES,
    ious={"hair": 0.9},
    spread=60.0,
)


@dataclass
class Studio:
    """A console with a crew; what a job's number says is found in its result's numbers."""

    client: FlaskClient
    post: Posting
    engine: Engine
    store: Store
    crew: builders.Crew

    def batch(self, *ious: float | None, name: str = "night", **options: object) -> list[int]:
        """Jobs that have succeeded with these agreements; None leaves one unmeasured."""
        one, two = builders.register_portraits(self.engine, self.store, 2)
        specs = [builders.hair_spec(one, two, seed=seed) for seed in range(len(ious))]
        found = builders.submit(self.engine, specs, name=name, **options)

        def finish(session, claim):
            kind = claim.planned.kind
            file = self.store.store_file(builders.picture(claim.spec.seed), "image/png")
            iou = ious[claim.spec.seed]
            if kind is StageKind.BLEND and iou is not None:
                quality.record(session, claim.planned.key, replace(SOUND, ious={"hair": iou}))
            return stages.finish(session, claim, files={"image.png": file}, recipe={})

        self.crew.work(dict.fromkeys(StageKind, finish))
        return found

    def batch_of(self, job_id: int) -> int:
        return builders.view(self.engine, job_id).row.batch_id

    def api(self, method, path, body=None, secret=None):
        secret = secret or token(self.engine, "olga", Role.OPERATOR)
        headers = {"Authorization": f"Bearer {secret}"}
        return self.client.open(f"/api/v1{path}", method=method, json=body, headers=headers)

    def decisions(self, batch_id):
        with transaction(self.engine) as session:
            found, _ = gallery.page(session, Wanted(batch_id=batch_id), limit=100)
        return {item.job_id: item.decision for item in found}

    def order(self, path):
        page = self.client.get(path)
        assert page.status_code == 200, page.text
        return [int(n) for n in re.findall(r'id="result-(\d+)"', page.text)]


@pytest.fixture
def studio(engine, settings):
    app = create_app(settings)
    crew = builders.Crew(engine, replace(settings, sweep_s=0.0, backoff_s=0.0))
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    yield Studio(client, poster(client), engine, Store(settings.store_dir), crew)
    app.extensions["engine"].dispose()


def deed_of(page):
    """Of the message that was told last."""
    return re.findall(r'name="deed" value="(\d+)"', page.text)[-1]


def test_a_gallery_shows_the_worst_first_and_goes_on_where_the_page_ended(studio, monkeypatch):
    one, two, three, four = studio.batch(0.8, 0.2, None, 0.8)
    batch = studio.batch_of(one)
    assert studio.order(f"/results?batch={batch}") == [four, three, two, one]
    assert studio.order(f"/results?batch={batch}&sort=iou") == [two, four, one, three]
    assert studio.order(f"/results?batch={batch}&show=flagged") == [two]
    assert studio.order("/results") == [four, three, two, one]

    monkeypatch.setattr("dashboard.results.PAGE", 2)
    first = studio.client.get(f"/results?batch={batch}&sort=iou").text
    more = re.search(r'id="more" href="([^"]+)"', first)[1].replace("&amp;", "&")
    assert studio.order(more) == [one, three]

    found = studio.api("GET", f"/results?batch={batch}&sort=iou&limit=3").json
    assert [each["job_id"] for each in found["results"]] == [two, four, one]
    assert found["results"][0]["quality"]["flags"] == ["shape"]
    rest = studio.client.get(
        found["next"], headers={"Authorization": f"Bearer {token(studio.engine, 'olga')}"}
    ).json
    assert [each["job_id"] for each in rest["results"]] == [three]
    assert rest["results"][0]["quality"] is None


def test_one_result_is_beside_what_it_was_made_of_with_its_numbers(studio):
    job, other = studio.batch(0.75, 0.9)
    page = studio.client.get(f"/results/{other}?batch={studio.batch_of(job)}").text
    for words in ("Before", "After", "Target mask", "31.50 dB", "0.900", "Weighted feature"):
        assert words in page
    assert f'href="/results/{job}?batch=' in page  # the next one
    assert "LPIPS outside" not in page  # this bundle has none
    found = studio.api("GET", f"/jobs/{job}/review").json["result"]
    assert found["quality"]["ious"] == {"hair": 0.75}


def test_a_verdict_tells_who_and_when_and_can_be_undone(studio):
    job, other = studio.batch(0.9, 0.9)
    batch = studio.batch_of(job)
    page = studio.post("/results/verdicts", one=job, decision="accepted", batch=batch)
    assert page.status_code == 303
    shown = studio.client.get(page.location)
    assert "1 result accepted" in shown.text
    assert "accepted by olga" in studio.client.get(f"/results/{job}").text
    assert studio.decisions(batch) == {job: "accepted", other: None}
    with transaction(studio.engine) as session:
        (entry,) = audit.entries(session, job_id=job, verb=Verb.ACCEPT)
    assert entry.who == "olga"

    deed = deed_of(shown)
    assert studio.post("/results/undo", deed=deed, batch=batch).status_code == 303
    assert studio.decisions(batch) == {job: None, other: None}
    assert "othing is left to undo" in studio.post("/results/undo", deed=deed).text


def test_bulk_verdicts_spare_nobody_and_their_undo_spares_later_ones(studio):
    jobs = studio.batch(0.9, 0.2, 0.9, 0.3)
    batch = studio.batch_of(jobs[0])
    studio.post("/results/verdicts", one=jobs[0], decision="rejected", batch=batch)
    done = studio.post("/results/verdicts", all="accepted", batch=batch, show="all")
    assert set(studio.decisions(batch).values()) == {"accepted"}
    deed = deed_of(studio.client.get(done.location))
    studio.post("/results/verdicts", one=jobs[3], decision="rejected", batch=batch)
    studio.post("/results/undo", deed=deed, batch=batch)
    assert list(studio.decisions(batch).values()) == ["rejected", None, None, "rejected"]

    ticked = studio.api("POST", "/results/verdicts", {"decision": "rejected", "jobs": jobs[:3]})
    assert ticked.json["results"] == 2  # the first one is rejected already
    flagged = {"decision": None, "batch": batch, "show": "flagged"}
    assert studio.api("POST", "/results/verdicts", flagged).json["results"] == 2
    assert list(studio.decisions(batch).values()) == [None, "rejected", None, "rejected"]
    again = studio.api("POST", "/results/verdicts", flagged)
    assert again.status_code == 409
    assert "undecided already" in again.json["error"]["message"]


def test_a_verdict_is_of_one_result_not_of_the_next(studio):
    (job,) = studio.batch(0.9)
    studio.post("/results/verdicts", one=job, decision="accepted")
    changed = {"params": {"blend": {"steps": 7}}}
    assert studio.api("POST", f"/jobs/{job}/retry", changed).status_code == 200
    studio.crew.work()
    assert studio.decisions(studio.batch_of(job)) == {job: None}
    studio.post("/results/verdicts", one=job, decision="rejected")
    assert studio.decisions(studio.batch_of(job)) == {job: "rejected"}


def test_archives_hold_results_recipes_and_a_table_of_what_was_decided(studio):
    jobs = studio.batch(0.9, 0.2, 0.9)
    batch = studio.batch_of(jobs[0])
    studio.post("/results/verdicts", one=jobs[1], decision="rejected")
    whole = studio.post("/results/archive", all=1, batch=batch)
    assert whole.headers["Content-Disposition"] == "attachment; filename=night.zip"
    files = zipfile.ZipFile(io.BytesIO(whole.data))
    names = {"job-0", "job-1", "job-2"}
    expected = {f"{n}.{kind}" for n in names for kind in ("png", "json")} | {"results.csv"}
    assert set(files.namelist()) == expected
    assert json.loads(files.read("job-1.json"))["made"]["job"] == jobs[1]
    rows = list(csv.DictReader(io.StringIO(files.read("results.csv").decode())))
    assert [(row["file"], row["decision"], row["iou"]) for row in rows] == [
        ("job-0.png", "", "0.9"),
        ("job-1.png", "rejected", "0.2"),
        ("job-2.png", "", "0.9"),
    ]
    rejected = studio.post("/results/archive", all=1, batch=batch, show="rejected")
    assert "job-1.png" in zipfile.ZipFile(io.BytesIO(rejected.data)).namelist()
    some = studio.api("POST", "/results/archive", {"jobs": jobs[1:]})
    assert "job-0.png" not in zipfile.ZipFile(io.BytesIO(some.data)).namelist()


def test_what_makes_no_sense_is_refused_in_a_sentence(studio):
    (job,) = studio.batch(0.9)
    refused = {
        "/results?show=nice&batch=1": 400,
        "/results?sort=iou": 400,
        f"/results?batch={studio.batch_of(job)}&after=nowhere": 400,
        "/results?batch=4711": 404,
        "/results/4711": 404,
        f"/results/{job}/photograph.png": 409,
    }
    for path, status in refused.items():
        answer = studio.client.get(path)
        assert answer.status_code == status, (path, answer.text)
        assert "Traceback" not in answer.text
    assert "given as a portrait" in studio.client.get(f"/results/{job}/photograph.png").text
    assert studio.post("/results/verdicts", ticked="accepted").status_code == 400
    assert studio.post("/results/verdicts", ticked="fine", job=job).status_code == 400
    assert studio.post("/results/verdicts", all="accepted").status_code == 400


def test_a_viewer_looks_and_others_results_are_not_found(studio):
    (job,) = studio.batch(0.9)
    batch = studio.batch_of(job)
    viewer = studio.client.application.test_client()
    enter(viewer, studio.engine, "vera", Role.VIEWER)
    page = viewer.get(f"/results/{job}")
    assert page.status_code == 200
    assert "Accept" not in page.text
    assert "accept" not in viewer.get(f"/results?batch={batch}").text.replace("accepted", "")
    assert poster(viewer)("/results/verdicts", one=job, decision="accepted").status_code == 403

    stranger = studio.client.application.test_client()
    enter(stranger, studio.engine, "otto", Role.OPERATOR, own_only=True)
    send = poster(stranger)
    assert stranger.get(f"/results/{job}").status_code == 404
    assert stranger.get(f"/results?batch={batch}").status_code == 404
    assert send("/results/verdicts", one=job, decision="accepted").status_code == 409
    assert send("/results/verdicts", all="accepted", batch=batch).status_code == 404
    assert studio.decisions(batch) == {job: None}
    archive = zipfile.ZipFile(io.BytesIO(send("/results/archive", job=job).data))
    assert archive.namelist() == ["results.csv"]
