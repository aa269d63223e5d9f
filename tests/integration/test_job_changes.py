"""One job changed by its page and by the API: parameters, stages again, place, deadline, a copy."""

import re

import numpy as np
import pytest

from barber.catalogue import audit, curves, stages
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.status import JobStatus, StageStatus
from barber.labels import Region
from barber.pixels import encode_labels_png
from dashboard import create_app
from tests.integration.test_dashboard import Console, text_of
from tests.support import builders
from tests.support.people import enter, token

pytestmark = pytest.mark.integration

FALL = [{"phase": "w_plus", "steps": 2, "names": ["total"], "points": [[1, 0.5, 4], [2, 1, 2]]}]


@pytest.fixture
def console(engine, settings):
    app = create_app(settings)
    yield Console(app.test_client(), engine, settings)
    app.extensions["engine"].dispose()


def again(console, job_id, before):
    return sorted(
        stage.kind
        for stage in console.play(job_id).stages
        if len(stage.attempts) > before[stage.id]
    )


def attempts(view):
    return {stage.id: len(stage.attempts) for stage in view.stages}


def test_a_stage_that_was_done_runs_again_with_what_hangs_on_it(console):
    view = console.play(console.submit())
    job_id = view.row.id
    align = next(stage for stage in view.stages if stage.kind == "align")
    assert "Run again: align" in console.get(f"/jobs/{job_id}").text
    response = console.post(f"/jobs/{job_id}/rerun", stage=align.id, why="the fringe")
    assert response.headers["Location"] == f"/jobs/{job_id}"
    assert "2 stages will run again" in text_of(console.get(f"/jobs/{job_id}"))
    assert again(console, job_id, attempts(view)) == ["align", "blend"]
    with transaction(console.engine) as session:
        (entry, *_) = audit.entries(session, job_id=job_id)
    assert (entry.verb, entry.why, entry.data["from_stage"]) == ("retry", "the fringe", align.id)


def test_changed_parameters_run_what_they_change(console):
    view = console.play(console.submit())
    job_id = view.row.id
    form = text_of(console.get(f"/jobs/{job_id}/change"))
    assert "mix smoothing 0 to 512" in form
    response = console.post(f"/jobs/{job_id}/params", **{"blend.steps": "7", "align.rate": "0.01"})
    assert response.status_code == 303
    assert console.view(job_id).spec.params.blend.steps == 7
    assert again(console, job_id, attempts(view)) == ["blend"]
    assert "official: 400" in console.get(f"/jobs/{job_id}/change").text


@pytest.mark.parametrize(
    ("place", "typed", "told"),
    [
        ("blend.steps", "0", "blend.steps is 0"),
        ("blend.steps", "many", "blend.steps is &#39;many&#39;"),
        ("align.rate", "-1", "align.rate is -1"),
        ("blend.mix_smoothing", "513", "at most 512 pixels"),
        ("target.fill", "magic", "use one of semantic, heuristic"),
        ("blend.stepz", "5", "unknown parameter blend.stepz"),
        ("blend.steps", "400", "no parameter differs"),
    ],
)
def test_what_cannot_be_a_parameter_is_named_and_nothing_typed_is_lost(console, place, typed, told):
    job_id = console.submit()
    console.play(job_id)
    response = console.post(
        f"/jobs/{job_id}/params", **{place: typed, "align.style_weight": "40000"}
    )
    assert response.status_code in (400, 409)
    assert told in response.text
    if place != "blend.stepz":
        assert typed in response.text
    assert console.view(job_id).row.status is JobStatus.SUCCEEDED


def test_priority_and_deadline_are_set_and_refused_in_words(console):
    job_id = console.submit()
    assert console.post(f"/jobs/{job_id}/priority", priority="9").status_code == 303
    assert console.view(job_id).row.priority == 9
    for wrong in ("", "high", "1001"):
        refused = console.post(f"/jobs/{job_id}/priority", priority=wrong)
        assert (refused.status_code, "-1000 to 1000" in refused.text) == (400, True)
    assert console.post(f"/jobs/{job_id}/deadline", deadline="2h").status_code == 303
    assert console.view(job_id).row.deadline is not None
    refused = console.post(f"/jobs/{job_id}/deadline", deadline="tomorrow")
    assert (refused.status_code, "cannot be read" in refused.text) == (400, True)
    assert console.post(f"/jobs/{job_id}/deadline", deadline="").status_code == 303
    assert console.view(job_id).row.deadline is None


def test_a_copy_is_a_job_of_its_own_and_reuses_what_was_made(console):
    view = console.play(console.submit())
    form = console.get(f"/jobs/{view.row.id}/clone").text
    assert 'name="blend.steps" value="400"' in form
    response = console.post(
        f"/jobs/{view.row.id}/clone", name="softer", priority="3", **{"blend.steps": "9"}
    )
    copy_id = int(response.headers["Location"].rsplit("/", 1)[1])
    copy = console.play(copy_id)
    assert (copy.row.name, copy.row.priority, copy.spec.params.blend.steps) == ("softer", 3, 9)
    assert copy.row.batch_name == f"softer (copy of job {view.row.id})"
    assert sorted(s.kind for s in copy.stages if not s.reused) == ["blend"]
    assert console.view(view.row.id).row.status is JobStatus.SUCCEEDED
    refused = console.post(f"/jobs/{view.row.id}/clone", seed="-1")
    assert (refused.status_code, "seed is" in refused.text) == (400, True)


def test_a_viewer_may_change_nothing_and_sees_no_traceback(console, engine):
    job_id = console.submit()
    ending = lambda session, claim: stages.fail(  # noqa: E731
        session, claim, error_class="bug", message="broke", final=True, backoff_s=0, trace="line 7"
    )
    console.crew.work({"target": ending})
    assert "line 7" in console.get(f"/jobs/{job_id}").text
    enter(console.client, engine, "vera", Role.VIEWER)
    page = console.get(f"/jobs/{job_id}").text
    assert "broke" in page
    assert "line 7" not in page
    assert "line 7" not in console.get(f"/api/v1/jobs/{job_id}").text
    assert not any(word in page for word in ("Retry", "Change…", "Clone…"))
    for verb in ("retry", "rerun", "params", "priority", "deadline", "clone", "cancel"):
        with console.client.session_transaction() as session:
            session["csrf"] = "token-of-this-session"
        assert console.post(f"/jobs/{job_id}/{verb}", stage="1").status_code == 403, verb
    assert console.get(f"/jobs/{job_id}/change").status_code == 403


def test_somebody_elses_job_is_not_found_by_any_change(console, engine, settings):
    job_id = console.submit()
    enter(console.client, engine, "otto", Role.OPERATOR, own_only=True)
    with console.client.session_transaction() as session:
        session["csrf"] = "token-of-this-session"
    for verb in ("rerun", "params", "priority", "deadline", "clone"):
        given = {"stage": "1", "priority": "1", "blend.steps": "3"}
        assert console.post(f"/jobs/{job_id}/{verb}", **given).status_code == 404, verb
    for path in ("parameters", "curves", "watch"):
        assert console.get(f"/api/v1/jobs/{job_id}/{path}").status_code == 404, path


def test_the_page_draws_curves_and_lays_label_maps_over_pictures(console):
    def finish(session, claim):
        curves.record(session, claim, FALL)
        file = console.store.store_file(builders.picture(1), "image/png")
        found = np.full((8, 8), int(Region.HAIR), dtype=np.uint8)
        found[4:] = Region.CLOTH
        labels = console.store.store_file(encode_labels_png(found), "image/png")
        files = {"image.png": file, "segmentation.png": labels}
        return stages.finish(session, claim, files=files, recipe={})

    job_id = console.submit()
    console.crew.work(dict.fromkeys(("target", "reconstruct", "align", "blend"), finish))
    page = console.get(f"/jobs/{job_id}").text
    assert page.count('aria-label="loss from 4 to 2"') == 12  # six cards, six in full
    assert page.count("over own pixels") == 5  # two portraits, two alignments, the result
    assert page.count("over mask pixels") == 4  # the mask itself, two alignments, the result
    legend = re.search(r'<ul class="legend".*?</ul>', page, re.DOTALL)
    assert legend and 'fill="rgb(204, 102, 255)"' in legend[0]
    assert re.findall(r"</svg>([\w, -]+)<", legend[0]) == ["hair", "cloth"]  # what is there alone


def test_the_api_does_what_the_page_does(console, engine):
    view = console.play(console.submit())
    job_id, blend = view.row.id, view.stages[-1]
    listed = console.get(f"/api/v1/jobs/{job_id}/parameters").get_json()["parameters"]
    steps = next(each for each in listed if (each["stage"], each["name"]) == ("blend", "steps"))
    assert (steps["value"], steps["least"], steps["kind"]) == (400, 1, "whole")
    answer = console.ask(f"/api/v1/jobs/{job_id}/retry", {"from_stage": blend.id})
    assert answer.get_json()["stages_set_back"] == 1
    moment = "2099-01-01T00:00:00Z"
    assert console.ask(f"/api/v1/jobs/{job_id}/deadline", {"deadline": moment}).status_code == 200
    vague = console.ask(f"/api/v1/jobs/{job_id}/deadline", {"deadline": "2099-01-01T00:00:00"})
    assert (vague.status_code, "zone" in vague.text) == (400, True)
    copied = console.ask(f"/api/v1/jobs/{job_id}/clone", {"params": {"blend": {"steps": 3}}})
    copy = console.view(copied.get_json()["copy_id"])
    assert copy.spec.params.blend.steps == 3
    bad = console.ask(f"/api/v1/jobs/{job_id}/clone", {"params": {"blend": {"steps": 0}}})
    assert (bad.status_code, "blend.steps is 0" in bad.text) == (400, True)


def test_the_api_tells_curves_by_attempt_and_follows_a_job(console, engine, settings):
    job_id = console.submit()
    console.crew.tick()
    claim = console.crew.claim(console.crew.messages()[0])
    with transaction(engine) as session:
        curves.record(session, claim, FALL)
    (curve,) = console.get(f"/api/v1/jobs/{job_id}/curves").get_json()["curves"]
    assert (curve["stage_id"], curve["attempt"]) == (claim.stage_id, 1)
    assert curve["phases"][0]["points"][-1] == [2.0, 1.0, 2.0]
    assert console.view(job_id).stages[0].status is StageStatus.RUNNING
    headers = {"Authorization": f"Bearer {token(engine, 'prog', Role.OPERATOR)}"}
    stream = console.client.get(f"/api/v1/jobs/{job_id}/watch", headers=headers)
    chunks = stream.iter_encoded()
    told = next(chunk for chunk in chunks if b"event: job" in chunk)
    assert b'"status":"running"' in told
    stream.close()
    console.client.application.extensions["hub"].close()
