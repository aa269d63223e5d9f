"""The list of jobs with its filter, and bulk actions, in the console and its API."""

import re

import pytest

from barber.catalogue import bulk_actions, jobs
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.status import JobStatus
from dashboard import create_app
from tests.integration.test_dashboard import TOKEN, Console, text_of
from tests.integration.test_dashboard_attention import fail_jobs, statuses
from tests.support.people import enter

pytestmark = pytest.mark.integration

LUCK = "no luck in job %d"


@pytest.fixture
def console(engine, settings):
    app = create_app(settings)
    yield Console(app.test_client(), engine, settings)
    app.extensions["engine"].dispose()


def work_off(console):
    while bulk_actions.work_off(console.engine, seconds=1.0):
        pass


def shown(console, query):
    page = console.get(f"/jobs?{query}")
    assert page.status_code == 200, page.text
    return [int(found) for found in re.findall(r'<li class="job[^"]*" id="job-(\d+)"', page.text)]


def test_every_field_filters_and_the_overview_leads_to_the_jobs_of_a_cause(console):
    a, b = fail_jobs(console, (1, 2), LUCK)
    (c,) = fail_jobs(console, (3,), "quite another thing", kind="blend", priority=5)
    with transaction(console.engine) as session:
        key = jobs.job(session, a).stages[0].key
    for query, found in (
        ("", [c, b, a]),
        ("status=failed&failed_in=align", [b, a]),
        ("status=failed&status=queued&text=another", [c]),
        ("text=NIGHT", [c, b, a]),
        (f"text={key[:12]}", [a]),
        (f"text={key}", [a]),
        ("error=StageError&batch=2", [c]),
        ("priority=5", [c]),
        ("person=nobody", []),
        ("bundle=tiny&sort=oldest", [a, b, c]),
        ("sort=priority", [c, b, a]),
        ("sort=updated", [c, b, a]),
        ("since=2020-01-01T00:00&until=2100-01-01", [c, b, a]),
        ("until=2020-01-01", []),
        ("text=&status=&batch=", [c, b, a]),
    ):
        assert shown(console, query) == found, query
    overview = console.get("/")
    assert re.search(r"2 jobs Align StageError", text_of(overview))
    causes = re.findall(r'href="/jobs\?([^"]*cause=[0-9a-f]{16})"', overview.text)
    assert [shown(console, query.replace("&amp;", "&")) for query in causes] == [[b, a], [c]]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("colour=red", "'colour' is no filter: there are text"),
        ("status=done", "'done' is unknown"),
        ("failed_in=wash", "'wash' is unknown"),
        ("sort=best", "'best' is unknown"),
        ("text=ab", "3 to 200 characters"),
        ("text=%00%00%00", "a character that is none"),
        ("batch=x", "'x' is no id"),
        ("batch=77", "no batch 77"),
        ("priority=high", "'high' is none"),
        ("priority=" + "9" * 60, "is none"),
        ("since=yesterday", "is no time"),
        ("since=2026-01-02&until=2026-01-01", "nothing lies between"),
        ("cause=all", "'all' is none"),
        ("before=x", "is no place in a list sorted by newest"),
        ("sort=priority&before=4", "is no place in a list sorted by priority"),
        ("error=" + "e" * 300, "error is too long"),
    ],
)
def test_a_filter_that_is_none_is_told_in_a_sentence(console, query, said):
    answer = console.get(f"/jobs?{query}")
    assert answer.status_code in (400, 404)
    assert said.lower() in re.sub(r"&#39;|&quot;", "'", answer.text).lower()


def test_a_bulk_retry_is_shown_asked_done_and_reported(console):
    failed = fail_jobs(console, (1, 2, 3), LUCK)
    waits = console.submit(seed=9)
    asked = console.get("/bulk/new?verb=retry&text=night")
    words = text_of(asked)
    assert "Retry 3 jobs?" in words
    assert "3 of 4 jobs will be touched." in words
    assert "1 will not (1 queued): nothing of them has failed." in words
    form = {"verb": "retry", "text": "night", "expected": "4"}
    assert console.post("/bulk", **form, why=" ").status_code == 400
    assert console.post("/bulk", **{**form, "expected": "3"}, why="again").status_code == 409
    assert statuses(console, failed) == [JobStatus.FAILED] * 3
    begun = console.post("/bulk", **form, why="the disk is free")
    path = begun.headers["Location"]
    assert begun.status_code == 303
    assert "4 to go" in text_of(console.get(path))
    work_off(console)
    words = text_of(console.get(path))
    assert "3 done · 1 left alone · 0 to go" in words
    assert f"left alone: job {waits} is queued and has no failed stage" in words
    assert statuses(console, failed) == [JobStatus.RUNNING] * 3
    only = text_of(console.get(f"{path}?only=skipped"))
    assert "set back" not in only
    assert "the disk is free" in text_of(console.get("/bulk"))
    assert console.post(f"{path}/stop").status_code == 409


def test_ticked_rows_are_taken_whatever_the_filter(console):
    a, b = fail_jobs(console, (1, 2), LUCK)
    words = text_of(console.get(f"/bulk/new?verb=delete&status=succeeded&job={a}"))
    assert "Delete 1 job?" in words
    assert "cannot be brought back" in words
    console.post("/bulk", verb="delete", job=a, why="a test", expected="1")
    work_off(console)
    assert console.get(f"/jobs/{a}").status_code == 404
    assert shown(console, "") == [b]
    assert "gone" in text_of(console.get("/bulk/1"))


def test_everything_must_be_said(console):
    console.submit()
    assert "All jobs there are" in text_of(console.get("/bulk/new?verb=cancel"))
    form = {"verb": "cancel", "why": "stop"}
    assert console.post("/bulk", **form).status_code == 400
    assert console.post("/bulk", **form, everything="1").status_code == 303


def test_a_viewer_may_not_and_an_own_only_operator_reaches_own_jobs_alone(console):
    failed = fail_jobs(console, (1, 2), LUCK)
    app = console.client.application
    viewer = app.test_client()
    enter(viewer, console.engine, "vera", Role.VIEWER)
    assert viewer.get("/jobs").status_code == 200
    assert "bulk-bar" not in viewer.get("/jobs").text
    assert viewer.get("/bulk/new?verb=retry&status=failed").status_code == 403
    other = app.test_client()
    enter(other, console.engine, "otto", Role.OPERATOR, own_only=True)
    with other.session_transaction() as session:
        session["csrf"] = TOKEN
    assert "0 of 0 jobs" in text_of(other.get(f"/bulk/new?verb=retry&job={failed[0]}"))
    form = {"csrf_token": TOKEN, "verb": "retry", "job": failed[0], "why": "mine"}
    assert other.post("/bulk", data=form).status_code == 409
    console.post("/bulk", verb="retry", job=failed[0], why="mine")
    assert other.get("/bulk/1").status_code == 404
    assert other.post("/bulk/1/stop", data={"csrf_token": TOKEN}).status_code == 404


def test_programs_do_the_same(console):
    failed = fail_jobs(console, (1, 2, 3), LUCK)
    body = {"verb": "retry", "filter": {"status": ["failed"], "text": "luck"}}
    looked = console.ask("/api/v1/bulk", {**body, "dry_run": True}).get_json()
    assert looked == {
        "bulk": None,
        "outlook": {"total": 3, "touched": 3, "left": {}, "why_left": ""},
    }
    assert console.ask("/api/v1/bulk", body).status_code == 400, "no reason was given"
    made = console.ask("/api/v1/bulk", {**body, "why": "again", "expected": 3}).get_json()["bulk"]
    work_off(console)
    after = console.get(f"/api/v1/bulk/{made['id']}").get_json()["bulk"]
    assert (after["status"], after["done"], after["progress"]) == ("done", 3, 1.0)
    seen, path = [], f"/api/v1/bulk/{made['id']}/jobs?limit=2"
    while path:
        page = console.get(path).get_json()
        seen += [each["job_id"] for each in page["jobs"]]
        path = page["next"]
    assert seen == failed


def test_api_pages_keep_their_order(console):
    made = [*fail_jobs(console, (1, 2), LUCK), *fail_jobs(console, (3,), LUCK, priority=9)]
    seen, path = [], "/api/v1/jobs?sort=priority&limit=1"
    while path:
        page = console.get(path).get_json()
        seen += [each["id"] for each in page["jobs"]]
        path = page["next"]
    assert seen == [made[2], made[1], made[0]]
