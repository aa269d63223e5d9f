"""What waits for a person, deadlines and workers in the console."""

import html
import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from barber.catalogue import bulk_actions, jobs, outbox, room, snapshots, workers
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.refusals import Source, record
from barber.catalogue.status import JobStatus, WorkerStatus
from dashboard import create_app
from tests.integration.test_dashboard import NAN, TOKEN, Console, text_of
from tests.support import builders
from tests.support.people import enter

pytestmark = pytest.mark.integration

SPLIT = "the mask of 'hair' in job %d is empty"


@pytest.fixture
def console(engine, settings):
    app = create_app(settings)
    yield Console(app.test_client(), engine, settings)
    app.extensions["engine"].dispose()


def fail_jobs(console, numbers, message, *, kind="align", **options):
    """Jobs of one batch that failed for good; the message may take the job's number."""
    first, second = builders.known_portraits(console.engine, 2, start=1000 * numbers[0])
    specs = [builders.hair_spec(first, second, seed=number) for number in numbers]
    job_ids = builders.submit(console.engine, specs, name="night run", **options)

    def ending(session, claim):
        told = message % claim.job_id if "%d" in message else message
        return builders.break_down(told)(session, claim)

    console.crew.work({kind: ending})
    return job_ids


def retry_path(console):
    """Where the first group's button leads: to the bulk retry of exactly these."""
    pattern = r'href="(/bulk/new[?]verb=retry&amp;status=failed&amp;cause=[0-9a-f]{16})"'
    return html.unescape(re.findall(pattern, console.get("/attention").text)[0])


def statuses(console, job_ids):
    return [console.view(job_id).row.status for job_id in job_ids]


def set_deadline(console, job_id, seconds):
    """As if it had been set a while ago: it may have passed."""
    with transaction(console.engine) as session:
        moment = session.scalar(select(func.now() + timedelta(seconds=seconds)))
        session.execute(
            text("UPDATE job SET deadline = :at WHERE id = :id"), {"at": moment, "id": job_id}
        )


def test_an_untroubled_catalogue_needs_nobody(console):
    console.play(console.submit())
    page = console.get("/attention")
    assert "Nothing waits for you" in text_of(page)
    assert 'class="count"' not in page.text


def test_failures_are_grouped_by_cause_and_counted_in_the_header(console):
    alike = fail_jobs(console, (1, 2, 3), SPLIT)
    other = fail_jobs(console, (4,), NAN)
    page = console.get("/attention")
    words = text_of(page)
    assert "4 jobs of 2 causes" in words
    assert re.search(r"3 jobs Align StageError", words)
    for job_id in (*alike, *other):
        assert f'href="/jobs/{job_id}"' in page.text
    assert "Needs attention 4 failed" in text_of(console.get("/"))


def test_a_group_leads_to_the_bulk_retry_of_that_group_alone(console):
    alike = fail_jobs(console, (1, 2, 3), SPLIT)
    other = fail_jobs(console, (4,), NAN)
    path = retry_path(console)
    assert "Retry 3 jobs?" in text_of(console.get(path))
    cause = path.rpartition("=")[2]
    asked = {"verb": "retry", "status": "failed", "cause": cause, "expected": 3}
    assert console.post("/bulk", **asked, why=" ").status_code == 400
    assert statuses(console, alike) == [JobStatus.FAILED] * 3
    assert console.post("/bulk", **asked, why="new weights").status_code == 303
    assert bulk_actions.work_off(console.engine, seconds=30) == 4
    assert statuses(console, alike) == [JobStatus.RUNNING] * 3
    assert statuses(console, other) == [JobStatus.FAILED]
    retried = [e for e in console.view(alike[0]).events if e.kind == "retried"]
    assert "new weights" in str(retried[0].data)
    assert "olga" in str(retried[0].data)


def test_only_operators_retry_and_only_what_they_may_see(console):
    mine = fail_jobs(console, (1,), SPLIT)
    path = retry_path(console)
    enter(console.client, console.engine, "vera", Role.VIEWER)
    assert "/bulk/new" not in console.get("/attention").text
    assert console.get(path).status_code == 403
    enter(console.client, console.engine, "otto", Role.OPERATOR, own_only=True)
    with console.client.session_transaction() as session:
        session["csrf"] = TOKEN
    with transaction(console.engine) as session:
        record(session, Source.BROKER, "not ours", "a secret of somebody")
    words = text_of(console.get("/attention"))
    assert "Nothing waits for you" in words
    assert 'class="count"' not in console.get("/attention").text
    assert "0 of 0 jobs will be touched" in text_of(console.get(path))
    assert statuses(console, mine) == [JobStatus.FAILED]


def test_a_group_that_no_retry_mends_has_no_button(console):
    job_id = fail_jobs(console, (1,), SPLIT)[0]
    with transaction(console.engine) as session:
        session.execute(
            text("UPDATE job SET error_class = 'MethodChanged' WHERE id = :id"), {"id": job_id}
        )
    page = console.get("/attention")
    assert "barber submit TABLE --again" in page.text
    assert "/bulk/new" not in page.text


def test_pauses_refused_messages_and_a_stuck_outbox_are_told(console):
    job_id = console.submit()
    with transaction(console.engine) as session:
        jobs.pause_batch(session, console.view(job_id).row.batch_id, by="olga")
        jobs.pause_all(session, by="olga")
        for _ in range(2):
            record(session, Source.BROKER, "no such stage", "<b>stage 99</b>")
        outbox.add(session, outbox.Topic.STAGE, {"stage_id": 1})
        session.execute(text("UPDATE outbox SET created_at = now() - interval '5 minutes'"))
    page = console.get("/attention")
    words = text_of(page)
    assert "Everything 1 open job" in words
    assert f"Batch {console.view(job_id).row.batch_id} 1 open job" in words
    assert "no such stage" in words
    assert "&lt;b&gt;stage 99" in page.text
    assert re.search(r"1 message cannot leave; the oldest waits 5 min 0\d s", words)


def test_jobs_without_a_worker_say_which_is_missing(console):
    console.submit()
    for path in ("/", "/attention"):
        words = text_of(console.get(path))
        assert "1 job waits for a worker that holds bundle tiny" in words
        assert "barber worker --bundle tiny" in words
    console.say_hello("w1")
    assert "waits for a worker" not in text_of(console.get("/"))


def test_the_overview_tells_lost_workers_from_live_ones(console):
    console.say_hello("w1", "w2", "w3", "dispatcher")
    with transaction(console.engine) as session:
        workers.seen(session, "w2", alive_s=-1)
        workers.mark_lost(session)
        workers.bye(session, "w3")
        workers.seen(session, "w1", status=WorkerStatus.DRAINING)
    page = console.get("/")
    rows = re.findall(r"<tr[^>]*>.*?</tr>", page.text, flags=re.DOTALL)
    row = {name: each for name in ("w1", "w2", "w3") for each in rows if f">{name}<" in each}
    assert "s-draining" in row["w1"]
    assert "s-lost" in row["w2"]
    assert "w3" not in row
    assert "Dispatcher alive, 1 worker " in text_of(page)


def test_deadlines_to_come_and_passed_are_told_on_the_pages(console):
    job_id = console.submit()
    batch = f"/batches/{console.view(job_id).row.batch_id}"
    assert "ends by" not in text_of(console.get(f"/jobs/{job_id}"))
    set_deadline(console, job_id, 7400)
    for path in (f"/jobs/{job_id}", batch, "/jobs"):
        assert re.search(r"ends by .* in 2 h 03 min, or fails", text_of(console.get(path)))
        assert 'class="late"' not in console.get(path).text
    assert "1 open job with a deadline" in text_of(console.get(batch))
    set_deadline(console, job_id, -120)
    for path in (f"/jobs/{job_id}", batch):
        assert 'class="late"' in console.get(path).text
    assert re.search(r"deadline .* passed 2 min 0\d s ago", text_of(console.get(f"/jobs/{job_id}")))
    console.crew.tick()
    assert "missed its deadline" in text_of(console.get(f"/jobs/{job_id}"))
    assert "1 job missed the deadline" in text_of(console.get(batch))
    assert 'class="late"' in console.get(batch).text


def test_the_api_tells_what_the_pages_show(console):
    alike = fail_jobs(console, (1, 2), SPLIT)
    console.submit()
    with transaction(console.engine) as session:
        record(session, Source.BROKER, "no such stage", "stage 99")
        session.execute(text("UPDATE worker SET alive_until = now() - interval '1 minute'"))
        workers.mark_lost(session)
        room.tell(session, 256)
    assert "less than 256 MB free" in text_of(console.get("/attention"))
    told = console.get("/api/v1/attention").get_json()
    assert "less than 256 MB free" in told["full_disk"]
    assert [(each["jobs"], each["latest_jobs"]) for each in told["groups"]] == [(2, alike[::-1])]
    assert retry_path(console).endswith(f"cause={told['groups'][0]['key']}")
    assert [each["reason"] for each in told["refused"]] == ["no such stage"]
    assert [each["jobs"] for each in told["unserved"]] == [1]
    there = console.get("/api/v1/workers").get_json()
    assert [each["status"] for each in there["workers"]] == ["lost"]
    assert there["unserved"] == told["unserved"]


def test_an_attempt_that_goes_on_from_a_snapshot_says_where(console):
    job_id = console.submit()
    console.crew.tick()
    claim = console.crew.claim(console.crew.messages()[0])
    assert "resumed" not in text_of(console.get(f"/jobs/{job_id}"))
    with transaction(console.engine) as session:
        snapshots.continued(session, claim, snapshots.Kept(taken=120, note="120/300", data=b""))
    assert "running, resumed at step 120" in text_of(console.get(f"/jobs/{job_id}"))
    stages = console.get(f"/api/v1/jobs/{job_id}").get_json()["job"]["stages"]
    steps = [attempt["from_step"] for stage in stages for attempt in stage["attempts"]]
    assert steps == [120]
