"""Webhooks: a real receiver is called for what happened, signed, again when it fails, then left."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import func, update

from barber.catalogue import jobs, people, webhooks
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.webhook_tables import Delivery, DeliveryStatus, Happening
from barber.errors import InputError
from dashboard import create_app
from tests.support import builders
from tests.support.people import enter, person, poster, token
from workers.webhooks import Sender

pytestmark = pytest.mark.integration


class Receiver:
    """A server that keeps what it is sent, and answers as told."""

    def __init__(self):
        self.calls, self.status = [], 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.calls.append((dict(self.headers), body))
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(b"thank you")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def sender(engine, settings):
    return Sender(replace(settings, webhook_private=1, webhook_failures=3), engine)


def turn(sender):
    with ThreadPoolExecutor(2) as pool:
        return sender.turn(pool)


def register(engine, name, url, *happenings, **options):
    whose = person(engine, name, Role.OPERATOR, **options)
    with transaction(engine) as session:
        return webhooks.add(session, whose.id, url, happenings, by="tests", allow_private=True)


def submit(engine, count):
    face, style = builders.known_portraits(engine, 2)
    return builders.submit(engine, [builders.hair_spec(face, style, seed=n) for n in range(count)])


def cancel(engine, *job_ids):
    with transaction(engine) as session:
        for job_id in job_ids:
            jobs.cancel(session, job_id, by="tests")


def now(engine):
    with transaction(engine) as session:
        session.execute(update(Delivery).values(not_before=func.now()))


def verified(call, secret):
    """As docs/api.md tells a receiver to."""
    headers, body = call
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert hmac.compare_digest(headers["webhook-signature"], f"v1,{mac}")
    return json.loads(body)


def test_endings_are_told_once_and_signed(engine, settings, sender, receiver):
    hook, secret = register(
        engine, "olga", receiver.url, Happening.JOB_CANCELLED, Happening.BATCH_FINISHED
    )
    one, two = submit(engine, 2)
    cancel(engine, one)
    assert turn(sender) == 1  # the batch is not over
    cancel(engine, two)
    assert turn(sender) == 2
    assert turn(sender) == 0
    told = [verified(call, secret) for call in receiver.calls]
    assert sorted(each["type"] for each in told) == [
        *("batch.finished", "job.cancelled", "job.cancelled"),
    ]
    over = next(each["data"] for each in told if each["type"] == "batch.finished")
    assert over["counts"] == {"cancelled": 2}
    with transaction(engine) as session:
        log = webhooks.log(session, hook.id)
    assert {(row.status, row.answered, row.said) for row in log} == {
        (DeliveryStatus.DELIVERED, 200, "thank you")
    }


def test_a_receiver_that_fails_is_called_again_with_the_same_id_then_disabled(
    engine, sender, receiver
):
    hook, _ = register(engine, "olga", receiver.url, Happening.JOB_CANCELLED)
    (job,) = submit(engine, 1)
    cancel(engine, job)
    receiver.status = 500
    for _ in range(3):
        assert turn(sender) == 1
        assert turn(sender) == 0  # not before its pause is over
        now(engine)
    assert len({call[0]["webhook-id"] for call in receiver.calls}) == 1
    with transaction(engine) as session:
        found = webhooks.one(session, hook.id)
        assert found.disabled_at and "3 calls in a row failed" in found.disabled_why
    assert turn(sender) == 0
    receiver.status = 204
    with transaction(engine) as session:
        webhooks.enable(session, hook.id, by="tests")
    assert turn(sender) == 1
    with transaction(engine) as session:
        assert webhooks.log(session, hook.id)[0].status is DeliveryStatus.DELIVERED
        assert webhooks.one(session, hook.id).failures == 0


def test_a_private_address_is_not_called_unless_allowed(engine, settings, receiver):
    hook, _ = register(engine, "olga", receiver.url, Happening.JOB_CANCELLED)
    (job,) = submit(engine, 1)
    cancel(engine, job)
    assert turn(Sender(settings, engine)) == 1
    assert receiver.calls == []
    with transaction(engine) as session:
        assert "cannot be called" in webhooks.log(session, hook.id)[0].said
        with pytest.raises(InputError, match="private network"):
            webhooks.add(
                session,
                hook.person_id,
                "https://10.0.0.1/",
                [Happening.JOB_FAILED],
                by="tests",
                allow_private=False,
            )


def test_pages_and_api_look_after_ones_own(engine, settings, receiver):
    app = create_app(replace(settings, webhook_private=1))
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    page = poster(client)("/webhooks", url=receiver.url, happening="job.failed").text
    assert "whsec_" in page and receiver.url in page
    again = client.get("/webhooks").text
    assert "whsec_" not in again
    refused = poster(client)("/webhooks", url="https://[::1", happening="job.failed")
    assert refused.status_code == 400 and "cannot be read as an address" in refused.text
    bearer = {"Authorization": f"Bearer {token(engine, 'otto', Role.OPERATOR)}"}
    api = app.test_client()
    assert api.get("/api/v1/webhooks", headers=bearer).json == {"webhooks": []}
    with transaction(engine) as session:
        (row,) = webhooks.listed(session)
    path = f"/api/v1/webhooks/{row.id}"
    assert api.delete(path, headers=bearer).status_code == 404
    assert api.get(f"{path}/deliveries", headers=bearer).status_code == 404
    with transaction(engine) as session:
        people.change(session, "otto", role=Role.ADMIN, by="tests")
    admin = {"Authorization": f"Bearer {token(engine, 'ada', Role.ADMIN)}"}
    assert api.post(f"{path}/enable", headers=admin).status_code == 200
    assert api.delete(path, headers=admin).json == {"id": row.id}
    app.extensions["hands"].close()
    app.extensions["engine"].dispose()
