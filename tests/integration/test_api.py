"""The API as programs use it: described truly, checked at the door, done once."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from dataclasses import dataclass, replace

import numpy as np
import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from safetensors.numpy import save
from sqlalchemy import Engine, text

from barber.catalogue import audit, jobs, operate, people, stages, tokens
from barber.catalogue.audit import Verb
from barber.catalogue.db import transaction
from barber.catalogue.originals import ARTIFACT_FILE
from barber.catalogue.people_tables import Role
from barber.catalogue.status import JobStatus
from barber.catalogue.store import Store
from barber.labels import Region
from barber.painted import encode_painted
from barber.plan import StageKind
from barber.recipe import read_origins
from dashboard import create_app
from tests.support import builders
from tests.support.people import PASSWORD, person, token
from tests.support.system import picture, write_tiny_bundle

pytestmark = pytest.mark.integration

SIDE = 64
HAIRY = np.full((8, 8), int(Region.HAIR), dtype=np.uint8)  # a target mask


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_bundle(path)
    return path


@dataclass
class Api:
    """A program with a token, and a crew that works off what it submits."""

    client: FlaskClient
    engine: Engine
    store: Store
    crew: builders.Crew
    secret: str = ""

    def ask(self, method, path, body=None, *, secret=None, **options):
        headers = {"Authorization": f"Bearer {secret or self.secret}", **options.pop("headers", {})}
        given = {"json": body} if body is not None else options
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **given)

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.ask("POST", path, body if options.get("data") or body else {}, **options)

    def upload(self, *numbers):
        files = [(io.BytesIO(picture(n, SIDE)), f"face-{n}.png") for n in numbers]
        answer = self.post("/portraits", data={"file": files})
        assert answer.status_code == 200, answer.text
        return [each["key"] for each in answer.json["portraits"]]

    def batch(self, *seeds, name="night", **options):
        """A batch of jobs over two portraits; returns its id."""
        one, two = self.upload(1, 2)
        regions = [{"region": "hair", "shape": two}]
        asked = [
            {"name": f"job-{seed}", "identity": one, "regions": regions, "seed": seed}
            for seed in seeds
        ]
        return self.post("/batches", {"name": name, "jobs": asked}, **options)

    def work(self, *, fail=()):
        def finish(session, claim):
            number = claim.spec.seed + claim.planned.slot
            file = self.store.store_file(builders.picture(number), "image/png")
            files = {"image.png": file}
            if claim.planned.kind is StageKind.TARGET:
                data = save({"label_map": HAIRY[None]})
                files[ARTIFACT_FILE] = self.store.store_file(data, "application/x-safetensors")
            return stages.finish(session, claim, files=files, recipe={})

        endings = dict.fromkeys(StageKind, finish)
        self.crew.work(endings | dict.fromkeys(fail, builders.break_down("the loss became nan")))


@pytest.fixture
def api(engine, settings, bundle):
    settings = replace(settings, bundle=str(bundle), upload_mb=1)
    app = create_app(settings)
    crew = builders.Crew(engine, replace(settings, sweep_s=0.0, backoff_s=0.0))
    api = Api(app.test_client(), engine, Store(settings.store_dir), crew)
    api.secret = token(engine, "olga", Role.OPERATOR)
    yield api
    for name in ("hub", "hands"):
        app.extensions[name].close()
    app.extensions["engine"].dispose()


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert set(answer.json) == {"error"}
    return answer.json["error"]["message"]


# the description


def test_the_description_is_valid_and_tells_every_route_with_its_role(api):
    description = api.client.get("/api/v1/openapi.json").json
    validate(description)
    told = {
        (method.upper(), re.sub(r"{\w+}", "{}", path))
        for path, methods in description["paths"].items()
        for method in methods
    }
    routed = {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in api.client.application.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/") and not rule.rule.endswith("openapi.json")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert told == routed
    for methods in description["paths"].values():
        for facts in methods.values():
            assert re.search(r"For (everybody|the role \w+)\.", facts["description"])
            assert facts["summary"]
            assert "403" in facts["responses"]


def test_every_described_route_answers_as_described(api):
    """Each once, the good way; answers are checked against their models by the endpoint itself."""
    admin = token(api.engine, "ada", Role.ADMIN)
    person(api.engine, "vera", password=PASSWORD)
    batch = api.batch(1, 2).json["batch_id"]
    api.work(fail=["align"])
    failed = api.get(f"/jobs?batch={batch}").json["jobs"][0]["id"]
    assert api.post(f"/jobs/{failed}/retry", {"why": "again"}).status_code == 200
    api.work()
    mask = io.BytesIO(encode_painted(np.triu(HAIRY)))
    painted = api.post(f"/jobs/{failed}/masks", data={"mask": (mask, "mask.png")})
    api.work()
    composed = api.post(f"/jobs/{failed}/masks/0/use", {"why": "tests"})
    api.work()
    sets = {"a": api.batch(4).json["batch_id"], "b": api.batch(5).json["batch_id"]}
    api.work()
    sides = {
        which: {"label": which, "batch": batch_id, "pattern": f"job-{seed}*"}
        for seed, (which, batch_id) in enumerate(sets.items(), 4)
    }
    study = api.post("/studies", {"name": "spring", **sides})
    number = study.json["study_id"]
    late = api.batch(3).json["batch_id"]
    waiting = api.get(f"/jobs?batch={late}").json["jobs"][0]["id"]
    with transaction(api.engine) as session:
        token_id = jobs_token(session)
    bulk_asked = {"verb": "cancel", "why": "tests"}
    why, vera = {"why": "tests"}, {"name": "vera", "password": PASSWORD}
    calls = {
        "GET /batches": api.get("/batches"),
        "POST /batches": api.batch(7, name="more"),
        "GET /batches/{}": api.get(f"/batches/{batch}"),
        "POST /batches/{}/pause": api.post(f"/batches/{late}/pause", why),
        "POST /batches/{}/resume": api.post(f"/batches/{late}/resume", why),
        "GET /batches/{}/results.zip": api.get(f"/batches/{batch}/results.zip"),
        "GET /jobs": api.get("/jobs"),
        "GET /jobs/{}": api.get(f"/jobs/{failed}"),
        "GET /jobs/{}/result.png": api.get(f"/jobs/{failed}/result.png"),
        "GET /jobs/{}/recipe.json": api.get(f"/jobs/{failed}/recipe.json"),
        "GET /jobs/{}/review": api.get(f"/jobs/{failed}/review"),
        "GET /jobs/{}/parameters": api.get(f"/jobs/{failed}/parameters"),
        "GET /jobs/{}/curves": api.get(f"/jobs/{failed}/curves"),
        "GET /jobs/{}/watch": (watched := api.get(f"/jobs/{failed}/watch")),
        "POST /jobs/{}/clone": api.post(f"/jobs/{failed}/clone", {"seed": 9, **why}),
        "GET /results": api.get("/results"),
        "POST /studies": study,
        "GET /studies": api.get("/studies"),
        "GET /studies/{}": api.get(f"/studies/{number}"),
        "GET /studies/{}/ballot": api.get(f"/studies/{number}/ballot"),
        "POST /studies/{}/votes": api.post(f"/studies/{number}/votes", {"pair": 0, "side": "left"}),
        "POST /studies/{}/close": api.post(f"/studies/{number}/close"),
        "GET /jobs/{}/masks": api.get(f"/jobs/{failed}/masks"),
        "GET /jobs/{}/masks/{}.png": api.get(f"/jobs/{failed}/masks/1.png"),
        "POST /jobs/{}/masks": painted,
        "POST /jobs/{}/masks/{}/use": composed,
        "POST /results/archive": api.post("/results/archive", {"jobs": [failed]}),
        "POST /results/verdicts": (
            verdict := api.post("/results/verdicts", {"decision": "accepted", "jobs": [failed]})
        ),
        "POST /results/undo": api.post("/results/undo", {"deed": verdict.json["deed"]}),
        "POST /jobs/{}/retry": api.post(f"/jobs/{failed}/retry", {"from_kind": "blend"}),
        "POST /jobs/{}/pause": api.post(f"/jobs/{waiting}/pause", why),
        "POST /jobs/{}/resume": api.post(f"/jobs/{waiting}/resume", why),
        "POST /jobs/{}/priority": api.post(f"/jobs/{waiting}/priority", {"priority": 9}),
        "POST /jobs/{}/deadline": api.post(
            f"/jobs/{waiting}/deadline", {"deadline": "2096-01-01T00:00:00+00:00", **why}
        ),
        "POST /batches/{}/deadline": api.post(f"/batches/{late}/deadline", {"deadline": None}),
        "DELETE /tokens/mine": api.ask(
            "DELETE", "/tokens/mine", secret=token(api.engine, "olga", Role.OPERATOR)
        ),
        **hooks(api),
        "POST /jobs/{}/cancel": api.post(f"/jobs/{waiting}/cancel", why),
        "POST /jobs/actions": api.post(
            "/jobs/actions", {"action": "retry", "filter": {"batch": late}, **why}
        ),
        "POST /bulk": (bulk := api.post("/bulk", {**bulk_asked, "filter": {"batch": late}})),
        "GET /bulk": api.get("/bulk"),
        "GET /bulk/{}": api.get(f"/bulk/{bulk.json['bulk']['id']}"),
        "GET /bulk/{}/jobs": api.get(f"/bulk/{bulk.json['bulk']['id']}/jobs?limit=1"),
        "POST /bulk/{}/stop": api.post(f"/bulk/{bulk.json['bulk']['id']}/stop", {}),
        "POST /batches/{}/cancel": api.post(f"/batches/{late}/cancel", why),
        "POST /jobs/{}/delete": api.post(f"/jobs/{waiting}/delete", why),
        "POST /portraits": api.post("/portraits", data=face(1)),
        "POST /tables": api.post("/tables", data=table("anna.png,berta.png", "anna.png")),
        **imports(api),
        **pictures(api, sets["a"]),
        **accounts(api, admin),
        "POST /pause": api.post("/pause", why, secret=admin),
        "POST /resume": api.post("/resume", why, secret=admin),
        "POST /login": api.client.post("/api/v1/login", json=vera),
        "GET /attention": api.get("/attention"),
        "GET /workers": api.get("/workers"),
        "GET /overview": api.get("/overview"),
        "GET /me": api.get("/me"),
        "GET /tokens": api.get("/tokens"),
        "GET /audit": api.get("/audit?verb=cancel", secret=admin),
        "DELETE /tokens/{}": api.ask("DELETE", f"/tokens/{token_id}", secret=admin),
    }
    assert watched.mimetype == "text/event-stream"
    watched.close()
    for call, answer in calls.items():
        assert answer.status_code in (200, 201, 202), f"{call}: {answer.text[:300]}"
    description = api.client.get("/api/v1/openapi.json").json
    told = {
        f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path).removeprefix('/api/v1')}"
        for path, methods in description["paths"].items()
        for method in methods
    }
    assert told == set(calls)


def hooks(api):
    """Each route of webhooks."""
    made = api.post("/webhooks", {"url": "https://example.com/barber"})
    path = f"/webhooks/{made.json['webhook']['id']}"
    return {
        "POST /webhooks": made,
        "GET /webhooks": api.get("/webhooks"),
        "GET /webhooks/{}/deliveries": api.get(f"{path}/deliveries"),
        "POST /webhooks/{}/enable": api.post(f"{path}/enable"),
        "DELETE /webhooks/{}": api.ask("DELETE", path),
    }


def pictures(api, batch_id):
    """Each route of pictures; no stage runs any more, so a preview is put there."""
    job_id = api.get(f"/jobs?batch={batch_id}").json["jobs"][0]["id"]
    facts = api.get(f"/jobs/{job_id}").json["job"]
    stage_id = facts["stages"][0]["id"]
    with transaction(api.engine) as session:
        session.execute(
            text("INSERT INTO stage_preview (stage_id, token, step, png) VALUES (:id, 1, 1, :png)"),
            {"id": stage_id, "png": builders.picture(1)},
        )
    return {
        "GET /pictures/{}.png": api.get(f"/pictures/{facts['result_file']}.png"),
        "GET /portraits/{}.png": api.get(f"/portraits/{api.upload(1)[0]}.png?side=64"),
        "GET /stages/{}/preview.png": api.get(f"/stages/{stage_id}/preview.png"),
    }


def accounts(api, admin):
    """Each route of people."""
    nora = {"name": "nora", "role": "viewer"}
    return {
        "POST /people": api.post("/people", nora, secret=admin),
        "GET /people": api.get("/people", secret=admin),
        "POST /people/{}/change": api.post(
            "/people/nora/change", {"role": "operator"}, secret=admin
        ),
        "POST /people/{}/link": api.post("/people/nora/link", secret=admin),
    }


def imports(api):
    """Each route of drawers and imports; the choice is queued once it is checked."""
    faces = api.upload(1, 2)
    choice = {"faces": faces[:1], "look": "hair", "picked": {"hair": faces[1:]}}
    begun = api.post("/imports/choice", choice)
    number = begun.json["import"]["id"]
    api.client.application.extensions["hands"].now(number)
    wait_for(lambda: api.get(f"/imports/{number}").json["import"]["status"] == "checked")
    return {
        "GET /portraits": api.get("/portraits"),
        "GET /looks": api.get("/looks"),
        "POST /imports": api.post("/imports", data=table("anna.png,berta.png", "anna.png")),
        "POST /imports/choice": begun,
        "GET /imports/{}": api.get(f"/imports/{number}"),
        "GET /imports/{}/rows": api.get(f"/imports/{number}/rows"),
        "POST /imports/{}/queue": api.post(f"/imports/{number}/queue", {"again": True}),
        "POST /portraits/remove": api.post("/portraits/remove", {"keys": faces[:1]}),
    }


def wait_for(fact):
    until = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < until
        time.sleep(0.05)


def jobs_token(session):
    return tokens.add(session, "olga", "to be revoked", by="tests")[0].id


def face(number):
    return {"file": (io.BytesIO(picture(number, SIDE)), f"face-{number}.png")}


def table(row, *names, header="identity,hair", **fields):
    """A form with a table and its pictures, where "berta.png" is the second."""
    numbers = {"anna.png": 1, "berta.png": 2}
    wanted = {cell for cell in row.replace("\n", ",").split(",") if cell in numbers} | set(names)
    pictures = [(io.BytesIO(picture(numbers[n], SIDE)), n) for n in sorted(wanted)]
    text = f"{header}\n{row}\n".encode()
    return {"table": (io.BytesIO(text), "night.csv"), "pictures": pictures, **fields}


# reading


def test_lists_are_paged_by_key_and_keep_their_filter(api):
    batch = api.batch(*range(5)).json["batch_id"]
    path, seen = f"/jobs?batch={batch}&status=queued&status=running&limit=2", []
    while path:
        page = api.get(path.removeprefix("/api/v1")).json
        seen += [job["name"] for job in page["jobs"]]
        path = page["next"]
    assert seen == [f"job-{n}" for n in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=done", "'done'"),
        ("limit=0", "limit"),
        ("limit=1000", "'1000'"),
        ("before=x", "'x'"),
        ("colour=red", "colour: is nothing that can be asked here"),
        ("since=yesterday", "'yesterday'"),
        ("since=0001-01-01T00:00:00Z", "since=0001"),
        ("until=9999-12-31T23:59:59-19:38", "until=9999"),
        ("batch=987654", "no batch 987654"),
    ],
)
def test_a_filter_that_is_none_is_named(api, query, said):
    answer = api.get(f"/jobs?{query}")
    assert answer.status_code in (400, 404)
    assert said in answer.json["error"]["message"]


def test_filters_find_by_every_field(api):
    batch = api.batch(1, 2).json["batch_id"]
    api.work(fail=["align"])
    for query, found in (
        ("status=failed", 2),
        ("failed_in=align", 2),
        ("failed_in=blend", 0),
        ("text=JOB-1", 1),
        ("text=nan", 2),
        ("error=StageError", 2),
        ("bundle=none", 0),
        ("since=2030-01-01T00:00:00Z", 0),
        ("until=2030-01-01T00:00:00Z", 2),
        ("mine=true", 2),
    ):
        assert len(api.get(f"/jobs?batch={batch}&{query}").json["jobs"]) == found, query


# submitting


def test_portraits_are_kept_once_and_what_is_none_is_refused_with_its_reason(api):
    svg = (io.BytesIO(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "face.png")
    files = [(io.BytesIO(picture(1, SIDE)), "a.png"), (io.BytesIO(picture(1, SIDE)), "b.png"), svg]
    answer = api.post("/portraits", data={"file": files}).json
    assert len({each["key"] for each in answer["portraits"]}) == 1
    (refused,) = answer["refused"]
    assert refused["name"] == "face.png"
    assert "/tmp" not in json.dumps(answer)
    shown = api.client.get(
        answer["portraits"][0]["picture"], headers={"Authorization": f"Bearer {api.secret}"}
    )
    assert shown.mimetype == "image/png"
    only = api.post("/portraits", data={"file": [(io.BytesIO(b"#!/bin/sh"), "x.png")]})
    assert "none of the files" in problem(only, 400)
    assert only.json["error"]["rows"][0]["name"] == "x.png"


@pytest.mark.parametrize("name", ["../up.png", "/etc/x.png", "a/../../b.png"])
def test_a_file_name_does_not_lead_out_of_its_folder(api, name):
    answer = api.post("/portraits", data={"file": [(io.BytesIO(picture(1, SIDE)), name)]})
    assert "cannot be a file's name" in problem(answer, 400)


def test_too_large_an_upload_is_refused_before_it_is_read(api):
    kind = {"Content-Type": "multipart/form-data; boundary=xxxx"}
    assert "larger" in problem(api.post("/portraits", data=b"x" * (2 << 20), headers=kind), 413)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"identity": "0" * 64}, "is not known: upload"),
        ({"identity": "anna.png"}, "identity"),
        ({"regions": [{"region": "wig"}]}, "wig"),
        ({"preset": "best"}, "best"),
        ({"settings": ["blend.steps=-1"]}, "blend.steps"),
        ({"seed": -1}, "seed"),
        ({"priority": 5000}, "priority"),
        ({"name": ""}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_job_that_cannot_be_is_told_and_nothing_is_queued(api, change, said):
    one, two = api.upload(1, 2)
    job = {"name": "a", "identity": one, "regions": [{"region": "hair", "shape": two}]}
    answer = api.post("/batches", {"name": "night", "jobs": [job, job | {"name": "b"} | change]})
    assert answer.status_code == 400
    assert said in answer.text
    assert api.get("/batches").json["batches"] == []


def test_characters_that_are_none_are_refused_wherever_they_stand(api):
    admin = token(api.engine, "ada", Role.ADMIN)
    for word in ("wh\0y", "wh\ud800y"):
        assert "is none" in problem(api.post("/pause", {"why": word}, secret=admin), 400)
        assert "is none" in problem(api.post("/batches", {"jobs": [{word: 1}]}), 400)
    assert "is none" in problem(api.get("/jobs?person=a%00b"), 400)
    assert "is none" in problem(api.get("/portraits/a%00b.png"), 400)
    form = {"mask": (io.BytesIO(b"x"), "mask.png"), "why": "wh\0y"}
    assert "is none" in problem(api.post("/jobs/1/masks", data=form), 400)


def test_what_is_no_json_is_told(api):
    for body, kind, status in (
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("name=x", "application/x-www-form-urlencoded", 415),
    ):
        headers = {"Content-Type": kind}
        problem(api.post("/batches", data=body, headers=headers), status)


def test_a_table_is_checked_row_by_row_and_queued_as_a_whole(api):
    rows = "anna.png,berta.png\nanna.png,missing.png\nanna.png,/etc/passwd\n../x.png,berta.png"
    checked = api.post("/tables", data=table(rows, dry_run="1")).json
    assert (checked["batch_id"], checked["accepted"]) == (None, 1)
    assert [row["line"] for row in checked["refused"]] == [3, 4, 5]
    assert "outside" in checked["refused"][1]["reason"]
    refused = api.post("/tables", data=table(rows))
    assert "/tmp" not in problem(refused, 400)
    assert [row["line"] for row in refused.json["error"]["rows"]] == [3, 4, 5]
    assert api.get("/batches").json["batches"] == []
    done = api.post("/tables", data=table(rows, accept_valid="1")).json
    row = api.get(f"/batches/{done['batch_id']}").json["batch"]
    assert (row["name"], row["submitted_by"], len(row["refused"])) == ("night", "olga", 3)
    again = api.post("/tables", data=table(rows, accept_valid="1"))
    assert f"as batch {done['batch_id']}" in problem(again, 409)
    assert api.post("/tables", data=table(rows, accept_valid="1", again="1")).status_code == 200


def test_a_table_without_its_column_is_told(api):
    answer = api.post("/tables", data=table("anna.png,berta.png", header="who,hair"))
    assert "unknown column 'who'" in problem(answer, 400)
    assert "no file `table`" in problem(api.post("/tables", data={"pictures": []}), 400)


# once


def test_a_request_with_a_key_is_done_once(api):
    key = {"headers": {"Idempotency-Key": "night-7"}}
    first, second = api.batch(1, **key), api.batch(1, **key)
    assert first.json == second.json
    assert "Idempotent-Replay" not in first.headers
    assert second.headers["Idempotent-Replay"] == "true"
    assert "another request" in problem(api.batch(2, **key), 409)
    api.secret = token(api.engine, "otto", Role.OPERATOR)
    assert api.batch(1, **key).json["batch_id"] != first.json["batch_id"]
    assert len(api.get("/batches").json["batches"]) == 2


def test_a_request_that_failed_gives_its_key_back(api):
    key = {"headers": {"Idempotency-Key": "k"}}
    for _ in range(2):
        problem(api.post("/jobs/987654/cancel", {"why": "x"}, **key), 404)
    assert api.batch(1, **key).status_code == 200


# many jobs


def test_a_bulk_action_is_counted_first_and_then_done_a_page_at_a_time(api):
    batch = api.batch(*range(7)).json["batch_id"]
    asked = {"action": "cancel", "filter": {"batch": batch, "status": ["queued"]}, "why": "wrong"}
    counted = api.post("/jobs/actions", asked | {"dry_run": True}).json
    assert (counted["total"], counted["count"], counted["jobs"]) == (7, {"queued": 7}, [])
    late = api.post("/jobs/actions", asked | {"expected": 6})
    assert "meets 7 jobs now, not 6" in problem(late, 409)
    done, place = [], {"expected": 7}
    while True:
        answer = api.post("/jobs/actions", asked | {"limit": 3} | place).json
        done += answer["jobs"]
        if answer["next"] is None:
            break
        place = {"after": answer["next"], "up_to": answer["up_to"]}
    assert [verdict["done"] for verdict in done] == [True] * 7
    with transaction(api.engine) as session:
        entries = audit.entries(session, verb=Verb.CANCEL)
    assert {(entry.who, entry.why) for entry in entries} == {("olga", "wrong")}
    assert len(entries) == 7


def test_a_batch_is_cancelled_whole_however_large(api, monkeypatch):
    monkeypatch.setattr(operate, "AT_ONCE", 3)
    batch = api.batch(*range(7)).json["batch_id"]
    answer = api.post(f"/batches/{batch}/cancel", {"why": "wrong"})
    assert answer.json == {"batch_id": batch, "jobs": 7}
    assert api.post(f"/batches/{batch}/cancel", {"why": "wrong"}).json["jobs"] == 0
    found = api.get(f"/jobs?batch={batch}").json["jobs"]
    assert [job["status"] for job in found] == ["cancelled"] * 7


def test_a_bulk_action_tells_of_each_job_that_refuses(api):
    batch = api.batch(1, 2).json["batch_id"]
    ids = [job["id"] for job in api.get(f"/jobs?batch={batch}").json["jobs"]]
    api.post(f"/jobs/{ids[0]}/cancel", {})
    asked = {"action": "cancel", "job_ids": ids, "why": "all of them"}
    verdicts = {v["job_id"]: v for v in api.post("/jobs/actions", asked).json["jobs"]}
    assert not verdicts[ids[0]]["done"]
    assert "was cancelled already" in verdicts[ids[0]]["outcome"]
    assert verdicts[ids[1]]["done"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"filter": {}}, "everything=true"),
        ({"why": ""}, "why"),
        ({"action": "delete_all"}, "delete_all"),
        ({"action": "priority"}, "priority"),
        ({"priority": 3}, "priority"),
    ],
)
def test_a_bulk_action_that_is_none_is_refused(api, change, said):
    asked = {"action": "cancel", "filter": {"status": ["queued"]}, "why": "because"}
    assert said in problem(api.post("/jobs/actions", asked | change), 400)


def test_a_bulk_action_reaches_no_job_that_is_out_of_sight(api):
    batch = api.batch(1, 2).json["batch_id"]
    person(api.engine, "studio", Role.OPERATOR, own_only=True)
    secret = token(api.engine, "studio")
    ids = [job["id"] for job in api.get(f"/jobs?batch={batch}").json["jobs"]]
    for chosen in ({"job_ids": ids}, {"filter": {"batch": batch}}, {"everything": True}):
        asked = {"action": "cancel", "why": "mine?", **chosen}
        answer = api.post("/jobs/actions", asked, secret=secret).json
        assert (answer["total"], answer["jobs"]) == (0, [])


# results


def test_a_batch_comes_as_a_zip_with_recipes(api):
    batch = api.batch(1, 2).json["batch_id"]
    api.work()
    answer = api.get(f"/batches/{batch}/results.zip")
    assert answer.headers["Content-Disposition"] == "attachment; filename=night.zip"
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        names = sorted(archive.namelist())
        assert names == ["job-1.json", "job-1.png", "job-2.json", "job-2.png", "results.csv"]
        assert archive.testzip() is None
        recipe = json.loads(archive.read("job-1.json"))
        png = archive.read("job-1.png")
    assert read_origins(recipe)
    job_id = next(j["id"] for j in api.get("/jobs").json["jobs"] if j["name"] == "job-1")
    assert api.get(f"/jobs/{job_id}/result.png").data == png
    assert api.get(f"/jobs/{job_id}/recipe.json").json["sha256"] == recipe["sha256"]


def test_a_job_without_a_result_says_why(api):
    batch = api.batch(1).json["batch_id"]
    job_id = api.get(f"/jobs?batch={batch}").json["jobs"][0]["id"]
    assert "has no result yet" in problem(api.get(f"/jobs/{job_id}/result.png"), 409)


def test_a_damaged_result_leaves_the_others_in_the_zip(api):
    batch = api.batch(1).json["batch_id"]
    api.work()
    with transaction(api.engine) as session:
        (row,) = jobs.jobs(session, batch_id=batch)
    assert row.status is JobStatus.SUCCEEDED
    path = api.store.path(row.result_file)
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with zipfile.ZipFile(io.BytesIO(api.get(f"/batches/{batch}/results.zip").data)) as archive:
        assert archive.namelist() == ["results.csv", "missing.txt"]
        assert f"job {row.id}" in archive.read("missing.txt").decode()


# people


def test_a_password_gives_a_token_and_no_login_stays(api):
    person(api.engine, "vera", password=PASSWORD)
    answer = api.client.post("/api/v1/login", json={"name": "vera", "password": PASSWORD})
    me = api.get("/me", secret=answer.json["token"]).json
    assert me == {"name": "vera", "role": "viewer", "own_only": False, "via": "token"}
    wrong = api.client.post("/api/v1/login", json={"name": "vera", "password": "no, not that"})
    assert "name or the password" in problem(wrong, 401)
    with transaction(api.engine) as session:
        assert people.find(session, "vera").has_password
    assert [t["person"] for t in api.get("/tokens").json["tokens"]] == ["olga"]
