"""The console on a real catalogue: what each page shows, what each button changes."""

import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import Engine

from barber.catalogue import jobs, stages, workers
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.status import JobStatus
from barber.catalogue.store import Store
from barber.pixels import encode_png
from barber.plan import StageKind
from barber.preflight.findings import Check, Finding, Verdict
from barber.settings import Settings
from dashboard import create_app
from tests.support import builders
from tests.support.people import enter

pytestmark = pytest.mark.integration

TOKEN = "token-of-this-session"
NAN = "the loss became nan at step 17: lower the rate"


@dataclass
class Console:
    """A test client, and a crew that does what dispatcher and workers would."""

    client: FlaskClient
    engine: Engine
    settings: Settings

    def __post_init__(self):
        enter(self.client, self.engine, "olga", Role.OPERATOR)
        self.store = Store(self.settings.store_dir)
        self.crew = builders.Crew(self.engine, replace(self.settings, sweep_s=0.0, backoff_s=0.0))
        with self.client.session_transaction() as session:
            session["csrf"] = TOKEN

    def get(self, path, **headers):
        return self.client.get(path, headers=headers)

    def post(self, path, **form):
        return self.client.post(path, data={"csrf_token": TOKEN, **form})

    def ask(self, path, body):
        return self.client.post(path, json=body, headers={"X-CSRF-Token": TOKEN})

    def submit(self, *, seed=0, **options):
        """A batch of one job; returns the job's id."""
        identity, hair = builders.register_portraits(self.engine, self.store, 2)
        spec = builders.hair_spec(identity, hair, seed=seed)
        return builders.submit(self.engine, [spec], name="night run", **options)[0]

    def view(self, job_id):
        with transaction(self.engine) as session:
            return jobs.job(session, job_id)

    def play(self, job_id, *, fail=()):
        """Runs the job to its end; stages of the kinds in `fail` fail for good."""
        endings = dict.fromkeys(StageKind, self.finish)
        endings |= dict.fromkeys(fail, builders.break_down(NAN))
        self.crew.work(endings)
        return self.view(job_id)

    def finish(self, session, claim):
        file = self.store.store_file(builders.picture(claim.planned.slot), "image/png")
        return stages.finish(session, claim, files={"image.png": file}, recipe={})

    def say_hello(self, *names):
        with transaction(self.engine) as session:
            for name in names:
                queues = ["dispatcher"] if name == "dispatcher" else ["gpu", "cpu"]
                serves = name != "dispatcher"
                who = workers.Introduction(
                    name=name,
                    device="cuda:0",
                    queues=queues,
                    pid=1,
                    versions={},
                    bundle=builders.BUNDLE if serves else None,
                    bundle_name="tiny" if serves else None,
                )
                workers.hello(session, who)


@pytest.fixture
def console(engine, settings):
    app = create_app(settings)
    yield Console(app.test_client(), engine, settings)
    app.extensions["engine"].dispose()


def text_of(response):
    assert response.status_code == 200, response.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text)).replace("\xa0", " ")


def test_an_empty_catalogue_says_what_to_do(console):
    assert "barber submit" in text_of(console.get("/"))
    assert "barber up" in text_of(console.get("/"))
    assert "barber submit" in text_of(console.get("/jobs"))


def test_the_overview_shows_batches_refused_rows_and_workers(console):
    reason = "broken.png cannot be read: give a PNG file"
    console.submit(refused=[{"line": 7, "name": "broken", "reason": reason}])
    console.say_hello("w1", "dispatcher")
    console.crew.tick()
    console.crew.claim(console.crew.messages()[0], worker="w1")
    text = text_of(console.get("/"))
    assert "night run" in text
    assert f"Line 7 broken: {reason}" in text
    assert "cuda:0" in text
    assert re.search(r"job-0 \w+ · 0 %", text)
    assert "Dispatcher alive, 1 worker " in text


def test_a_batch_page_shows_its_jobs_with_thumbnails_and_cause(console):
    job_id = console.submit()
    view = console.play(job_id, fail=["align"])
    page = console.get(f"/batches/{view.row.batch_id}")
    text = text_of(page)
    assert "the loss became nan at step 17" in text
    for key in view.spec.portraits:
        assert f"/portraits/{key}.png?side=128" in page.text


def test_a_finished_job_shows_result_mask_recipe_and_stops_polling(console):
    job_id = console.submit()
    view = console.play(job_id)
    assert view.row.status is JobStatus.SUCCEEDED
    page = console.get(f"/jobs/{job_id}")
    text = text_of(page)
    assert f"/files/{view.row.result_file}" in page.text
    assert 'data-live=""' in page.text
    assert "Target mask" in text
    assert "portrait-0.png" in text
    assert "&#34;identity_steps&#34;: 140" in page.text
    assert 'id="retry"' not in page.text
    assert 'id="cancel"' not in page.text


def test_warnings_of_preflight_are_on_the_page_of_the_job_and_of_its_batch(console):
    identity, hair = builders.register_portraits(console.engine, console.store, 2)
    blur = Finding(
        check=Check.BLUR,
        verdict=Verdict.WARN,
        sentence="b<i>.png is soft",
        number=0.41,
        threshold=0.6,
    )
    allowed = Finding(check=Check.POSE, verdict=Verdict.WARN, sentence="it is turned", allowed=True)
    new = jobs.NewJob(
        name="soft",
        spec=builders.hair_spec(identity, hair),
        findings=(blur.to_json(), allowed.to_json()),
    )
    with transaction(console.engine) as session:
        batch_id = jobs.submit(session, name="night", bundle_name="tiny", jobs=[new])
        (row,) = jobs.jobs(session, batch_id=batch_id)
    page = console.get(f"/jobs/{row.id}").text
    assert "b&lt;i&gt;.png is soft" in page
    assert "0.41, limit 0.6" in page
    assert "a refusal that was allowed" in page
    batch = console.get(f"/batches/{batch_id}").text
    assert "1 job with warnings: blur 1, pose 1" in batch
    assert "2 warnings" in batch
    facts = console.get(f"/api/v1/jobs/{row.id}").json["job"]
    assert [finding["check"] for finding in facts["findings"]] == ["blur", "pose"]
    assert facts["warnings"] == 2


def test_loss_terms_that_were_left_out_are_told(console):
    def finish(session, claim):
        file = console.store.store_file(builders.picture(1), "image/png")
        recipe = {"dropped": ["1:brows"]} if claim.planned.kind is StageKind.BLEND else {}
        return stages.finish(session, claim, files={"image.png": file}, recipe=recipe)

    job_id = console.submit()
    assert console.view(job_id).dropped == ()
    console.crew.work(dict.fromkeys(StageKind, finish))
    assert console.view(job_id).dropped == ("1:brows",)
    assert "Colour not compared, too small a region: 1:brows" in text_of(
        console.get(f"/jobs/{job_id}")
    )
    assert console.get(f"/api/v1/jobs/{job_id}").json["job"]["dropped"] == ["1:brows"]


def test_a_running_job_shows_step_loss_and_preview(console):
    job_id = console.submit()
    console.crew.tick()
    claim = console.crew.claim(console.crew.messages()[0])
    with transaction(console.engine) as session:
        stages.heartbeat(
            session, claim, lease_s=60, progress=0.25, note="w+ 5/20", losses={"total": 0.4567}
        )
        stages.record_preview(session, claim, step=5, png=builders.picture(7))
    page = console.get(f"/jobs/{job_id}")
    assert "w+ 5/20 · loss 0.457" in text_of(page)
    assert 'data-live="2"' in page.text
    found = re.search(r'src="(/stages/\d+/preview\.png[^"]*)"', page.text)
    preview = console.get(found[1].replace("&amp;", "&"))
    assert preview.mimetype == "image/png"
    assert preview.data == builders.picture(7)


def test_the_fragment_is_the_live_part_alone_and_costs_nothing_when_unchanged(console):
    job_id = console.submit()
    console.play(job_id)
    whole = console.get(f"/jobs/{job_id}")
    fragment = console.get(f"/jobs/{job_id}", **{"X-Live": "1"})
    assert "<html" in whole.text
    assert fragment.text.lstrip().startswith('<div id="live"')
    again = console.get(
        f"/jobs/{job_id}", **{"X-Live": "1", "If-None-Match": fragment.headers["ETag"]}
    )
    assert again.status_code == 304
    assert again.data == b""


def test_retry_by_the_button_sets_the_failed_stage_back_and_the_job_succeeds(console):
    job_id = console.submit()
    console.play(job_id, fail=["align"])
    page = console.get(f"/jobs/{job_id}")
    assert "Retry 2 failed stages" in text_of(page)
    response = console.post(f"/jobs/{job_id}/retry")
    assert (response.status_code, response.headers["Location"]) == (303, f"/jobs/{job_id}")
    before = {s.id: len(s.attempts) for s in console.view(job_id).stages}
    view = console.play(job_id)
    assert view.row.status is JobStatus.SUCCEEDED
    ran = [s.kind for s in view.stages if len(s.attempts) > before[s.id]]
    assert sorted(ran) == ["align", "align", "blend"]


def test_a_retry_whose_body_is_no_object_is_refused(console):
    job_id = console.submit()
    response = console.ask(f"/api/v1/jobs/{job_id}/retry", [1])
    assert response.status_code == 400
    assert "not as it should be" in response.get_json()["error"]["message"]


def test_cancel_by_the_button_ends_a_queued_job_which_can_be_retried(console):
    job_id = console.submit()
    assert console.post(f"/jobs/{job_id}/cancel").status_code == 303
    assert console.view(job_id).row.status is JobStatus.CANCELLED
    assert "Retry what was stopped" in text_of(console.get(f"/jobs/{job_id}"))
    assert console.post(f"/jobs/{job_id}/retry").status_code == 303
    assert console.view(job_id).row.status is not JobStatus.CANCELLED


def test_a_change_that_is_not_possible_is_a_page_that_leads_back(console):
    job_id = console.submit()
    console.play(job_id)
    for verb in ("retry", "cancel"):
        response = console.post(f"/jobs/{job_id}/{verb}")
        assert response.status_code == 409
        assert f"Back to job {job_id}" in response.text
    assert console.view(job_id).row.status is JobStatus.SUCCEEDED


def test_without_the_token_nothing_changes(console):
    job_id = console.submit()
    response = console.client.post(f"/jobs/{job_id}/cancel")
    assert response.status_code == 403
    assert "reload the page" in response.text
    assert console.view(job_id).row.status is JobStatus.QUEUED


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/999",
        "/batches/999",
        "/nowhere",
        "/files/" + "0" * 64,
        "/files/nothex",
        "/portraits/" + "0" * 64 + ".png",
        "/stages/999/preview.png",
        "/jobs/99999999999999999999",
        "/api/v1/jobs/999",
        "/api/v1/batches/999",
    ],
)
def test_what_is_not_there_is_404_in_the_houses_look(console, path):
    response = console.get(path)
    assert response.status_code == 404
    if path.startswith("/api"):
        assert response.get_json()["error"]["code"] == "not_found"
    else:
        assert "Nothing here" in response.text


@pytest.mark.parametrize("query", ["status=done", "before=x", "batch=-1", "before=0"])
def test_a_filter_that_is_none_is_named(console, query):
    for path in ("/jobs", "/api/v1/jobs"):
        response = console.get(f"{path}?{query}")
        assert response.status_code == 400
        assert query.partition("=")[2] in response.text


def test_the_list_filters_by_status_and_pages_by_key(console):
    ids = [console.submit(seed=i) for i in range(53)]
    console.post(f"/jobs/{ids[0]}/cancel")
    first = console.get("/api/v1/jobs?status=queued").get_json()
    second = console.get(first["next"]).get_json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[:0:-1]
    assert second["next"] is None
    page = console.get("/jobs?status=queued")
    assert f"before={ids[3]}" in page.text
    assert [j["id"] for j in console.get("/api/v1/jobs?status=cancelled").get_json()["jobs"]] == [
        ids[0]
    ]


def test_pictures_are_served_for_ever_in_few_sizes_and_nothing_else_is(console):
    console.submit()
    big = encode_png(np.zeros((300, 300, 3), dtype=np.uint8))
    picture, secret = console.store.put(big), console.store.put(b"tensors")
    response = console.get(f"/files/{picture}")
    assert response.data == big
    assert "immutable" in response.headers["Cache-Control"]
    with Image.open(io.BytesIO(console.get(f"/files/{picture}?side=64").data)) as small:
        assert small.size == (64, 64)
    assert console.get(f"/files/{picture}?side=65").status_code == 400
    assert console.get(f"/files/{secret}").status_code == 404
    named = console.get(f'/files/{picture}?download=a "b"/../c').headers["Content-Disposition"]
    assert named == 'attachment; filename="a-b-..-c.png"'


def test_a_damaged_picture_is_not_shown(console):
    picture = console.store.put(builders.picture(5))
    path = Path(console.store.path(picture))
    path.chmod(0o644)
    path.write_bytes(builders.picture(6))
    assert console.get(f"/files/{picture}").status_code == 404


def test_names_from_tables_cannot_become_markup(console):
    sign = "<script>alert(1)</script>"
    job_id = console.submit(refused=[{"line": 1, "name": sign, "reason": sign}])
    for path in ("/", f"/batches/{console.view(job_id).row.batch_id}"):
        assert "&lt;script&gt;alert" in console.get(path).text
        assert "<script>alert" not in console.get(path).text


def test_the_api_tells_what_the_page_shows_and_takes_the_same_changes(console):
    job_id = console.submit()
    console.play(job_id, fail=["align"])
    job = console.get(f"/api/v1/jobs/{job_id}").get_json()["job"]
    assert (job["status"], job["error_class"]) == ("failed", "StageError")
    failed = next(stage for stage in job["stages"] if stage["status"] == "failed")
    assert failed["attempts"][0]["outcome"] == "error"
    assert job["spec"]["regions"][0]["labels"] == ["hair"]
    json.dumps(job, allow_nan=False)
    answer = console.ask(f"/api/v1/jobs/{job_id}/retry", {"stage": failed["id"]})
    assert answer.get_json()["stages_set_back"] >= 1
    assert console.view(job_id).row.status is JobStatus.RUNNING
    rest = console.ask(f"/api/v1/jobs/{job_id}/retry", {})
    assert rest.get_json()["stages_set_back"] == 1  # the other one
    assert console.ask(f"/api/v1/jobs/{job_id}/retry", {}).status_code == 409
    assert console.ask(f"/api/v1/jobs/{job_id}/cancel", {}).status_code == 200
    batch = console.get("/api/v1/batches").get_json()["batches"][0]
    assert console.get(f"/api/v1/batches/{batch['id']}").get_json()["batch"]["name"] == "night run"


def test_health_tells_whether_anybody_would_do_the_work(console):
    health = console.get("/health")
    assert (health.status_code, health.get_json()["status"]) == (200, "degraded")
    console.say_hello("w1", "dispatcher")
    facts = console.get("/health").get_json()
    assert facts["status"] == "ok"
    assert facts["dispatcher_silent_s"] < 30
    assert [w["name"] for w in facts["workers"]] == ["w1"]


def test_an_unforeseen_error_is_a_page_with_a_mark_and_no_trace(console, monkeypatch, caplog):
    def burst(*arguments, **options):
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(jobs, "job", burst)
    response = console.get("/jobs/1")
    assert response.status_code == 500
    assert "secret detail" not in response.text
    mark = re.search(r"under ([0-9a-f]{8})", response.text)[1]
    assert mark in caplog.text


def test_the_console_never_loads_torch():
    code = (
        "import sys, dashboard, dashboard.__main__, dashboard.api, dashboard.batches, "
        "dashboard.jobs, dashboard.portraits, dashboard.health, dashboard.problems, "
        "dashboard.record; assert 'torch' not in sys.modules; assert 'celery' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
