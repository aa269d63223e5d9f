"""Pages that are pushed: who gets what, and that nothing is lost on the way."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from barber.catalogue import jobs, operate, people
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from dashboard import create_app
from tests.integration.test_dashboard import Console
from tests.support.people import enter, token

pytestmark = pytest.mark.integration


class Stream:
    """A viewer's end of a stream."""

    def __init__(self, client, path, **headers):
        self.response = client.get(path, headers=headers)
        assert self.response.status_code == 200, self.response.text
        assert self.response.mimetype == "text/event-stream"
        self._chunks = self.response.iter_encoded()

    def next(self):
        """The next event as (id, kind, data); beats are passed over."""
        for chunk in self._chunks:
            facts = dict(
                line.split(": ", 1) for line in chunk.decode().splitlines() if ": " in line
            )
            if "event" in facts:
                return facts.get("id"), facts["event"], json.loads(facts["data"])
        return None, "end", None

    def silent(self):
        """Passes over the greeting; the next thing is a beat, so the viewer has it all."""
        assert next(self._chunks).startswith(b"retry")
        return next(self._chunks) == b": beat\n\n"

    def close(self):
        self.response.close()


@pytest.fixture
def app(engine, settings, monkeypatch):
    monkeypatch.setattr("dashboard.hub.TICK_S", 0.05)
    monkeypatch.setattr("dashboard.hub.BEAT_S", 0.2)
    app = create_app(settings, streams=3)
    yield app
    app.extensions["hub"].close()
    app.extensions["engine"].dispose()


@pytest.fixture
def console(app, engine, settings):
    return Console(app.test_client(), engine, settings)


@pytest.fixture
def watch(app, console, engine):
    """Opens streams of a job, by a person of that role."""
    opened = []

    def open_one(page, role=Role.OPERATOR, **headers):
        client = app.test_client()
        enter(client, engine, f"{role}", role)
        opened.append(Stream(client, f"/live?page={page}", **headers))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


def test_a_stream_begins_with_the_whole_and_goes_on_with_what_changed(console, watch):
    job_id = console.submit()
    stream = watch(f"/jobs/{job_id}")
    mark, kind, data = stream.next()
    assert kind == "whole"
    assert data["html"].lstrip().startswith('<div id="live"')
    assert 'name="csrf_token" value=""' in data["html"], "a page drawn for many has no token"
    with transaction(console.engine) as session:
        jobs.set_priority(session, job_id, 7, by="tests")
    after, kind, data = stream.next()
    assert kind == "parts"
    assert after != mark
    assert "priority 7" in data["parts"]["part-head"]
    assert "part-graph" not in data["parts"]
    assert data["root"]["says"] == "Job is queued"


def test_all_viewers_of_a_job_share_one_drawing_and_roles_do_not(console, watch, app):
    job_id = console.submit()
    first, second = watch(f"/jobs/{job_id}"), watch(f"/jobs/{job_id}")
    assert first.next() == second.next()
    viewer = watch(f"/jobs/{job_id}", Role.VIEWER)
    assert 'id="cancel"' not in viewer.next()[2]["html"]
    assert len(app.extensions["hub"]._channels) == 2


def test_whoever_comes_back_gets_what_it_missed_and_only_then(console, watch):
    job_id = console.submit()
    stream = watch(f"/jobs/{job_id}")
    mark, _, _ = stream.next()
    stream.close()
    assert watch(f"/jobs/{job_id}", **{"Last-Event-ID": mark}).silent()
    for priority in (5, 6, 7):
        with transaction(console.engine) as session:
            jobs.set_priority(session, job_id, priority, by="tests")
    _, kind, data = watch(f"/jobs/{job_id}&seen={mark}").next()
    assert kind in ("whole", "parts")
    assert "priority 7" in json.dumps(data)


@pytest.mark.matrix(27)
def test_without_a_place_the_answer_says_so_and_a_place_given_back_is_free(console, watch, app):
    job_id = console.submit()
    streams = [watch(f"/jobs/{job_id}") for _ in range(3)]
    refused = console.get(f"/live?page=/jobs/{job_id}")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    for stream in streams:
        stream.close()  # one of them was never begun
    assert app.extensions["hub"].streams == 0
    watch(f"/jobs/{job_id}").next()


@pytest.mark.parametrize(
    "page", ["/nowhere", "/results", "/account", "", "//evil/", "/live?page=/"]
)
def test_pages_that_are_not_pushed_are_named(console, page):
    response = console.get(f"/live?page={page}")
    assert response.status_code == 400
    assert "is not pushed" in response.text


def test_the_overview_and_a_batch_are_pushed_too(console, watch):
    job_id = console.submit()
    batch = console.view(job_id).row.batch_id
    assert "night run" in watch("/").next()[2]["html"]
    assert "job-0" in watch(f"/batches/{batch}").next()[2]["html"]


def test_lists_and_what_needs_attention_are_pushed_as_they_change(console, watch, monkeypatch):
    monkeypatch.setattr("dashboard.jobs.LIST_POLL_S", 0.1)
    monkeypatch.setattr("dashboard.attention.POLL_S", 0.1)
    monkeypatch.setattr("dashboard.hub.LISTS_S", 0.0)  # one in each round, and none is forgotten
    job_id = console.submit()
    none = watch("/jobs%3Fstatus=cancelled")
    some = watch("/jobs%3Fstatus=queued")
    attention = watch("/attention")
    assert "Nothing meets this filter" in none.next()[2]["html"]
    assert "job-0" in some.next()[2]["html"]
    assert "Needs attention" in attention.next()[2]["html"]
    with transaction(console.engine) as session:
        operate.pause_all(session, by="tests", why="tests")
    assert "Everything" in json.dumps(attention.next()[2])
    with transaction(console.engine) as session:
        jobs.cancel(session, job_id, by="tests")
    assert "job-0" in json.dumps(none.next()[2])
    assert "Nothing meets this filter" in json.dumps(some.next()[2])


def test_somebody_elses_job_is_gone(console, app, engine):
    job_id = console.submit()
    client = app.test_client()
    enter(client, engine, "vera", Role.VIEWER, own_only=True)
    stream = Stream(client, f"/live?page=/jobs/{job_id}")
    assert stream.next() == (None, "gone", {})
    stream.close()


def test_a_stream_ends_when_its_viewer_may_no_longer_look(console, watch, engine, monkeypatch):
    monkeypatch.setattr("dashboard.hub.RECHECK_S", 0.0)
    stream = watch(f"/jobs/{console.submit()}", Role.VIEWER)
    assert stream.next()[1] == "whole"
    with transaction(engine) as session:
        people.end_logins(session, people.find(session, "viewer").id)
    assert stream.next()[1] == "gone"


def test_a_console_process_ends_at_once_whoever_listens(console, engine, settings):
    """The whole process, as `barber up` and service managers end it."""
    job_id = console.submit()
    process = subprocess.Popen(
        [sys.executable, "-m", "dashboard", "--port", "0"],
        env={**os.environ, **settings.to_env()},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = re.search(r"http://(\S+)/", process.stdout.readline())[1]
        listener = http.client.HTTPConnection(address, timeout=30)
        secret = token(engine, "olga", Role.OPERATOR)
        listener.request(
            "GET", f"/live?page=/jobs/{job_id}", headers={"Authorization": f"Bearer {secret}"}
        )
        with listener.getresponse() as stream:
            assert stream.status == 200 and stream.readline().startswith(b"retry")
            process.terminate()
            began = time.monotonic()
            assert process.wait(30) == 0
            assert time.monotonic() - began < 5  # seconds; less than one on an idle machine
        listener.close()
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


def test_the_end_of_the_console_ends_its_streams(console, watch, app):
    stream = watch(f"/jobs/{console.submit()}")
    stream.next()
    threading.Timer(0.1, app.extensions["hub"].close).start()
    assert stream.next()[1] == "end"
