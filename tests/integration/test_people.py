"""Who gets in, who may do what, and what is remembered of it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, update

from barber.catalogue import audit, jobs, logins, operate, people, tokens
from barber.catalogue.audit import Actor, Verb
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import ApiToken, Login, Role, Via
from barber.catalogue.status import JobStatus
from barber.errors import Conflict, InputError, LoginRefused, TooManyTries
from dashboard import access, create_app
from tests.support import builders
from tests.support.people import PASSWORD, csrf, enter, link, person, poster, token

pytestmark = pytest.mark.integration

HERE = logins.Origin(address="10.1.1.1")


@pytest.fixture
def app(settings):
    app = create_app(settings)
    yield app
    app.extensions["engine"].dispose()


@pytest.fixture
def submit(engine):
    """Submits batches of one job; returns the job's id and the batch's."""
    keys = builders.known_portraits(engine, 2)

    def submit_one(by=None, seed=0):
        new = jobs.NewJob(name=f"job-{seed}", spec=builders.hair_spec(*keys, seed=seed))
        with transaction(engine) as session:
            batch_id = jobs.submit(
                session, name="night", bundle_name="tiny", jobs=[new], submitted_by=by
            )
            (row,) = jobs.jobs(session, batch_id=batch_id)
        return row.id, batch_id

    return submit_one


def actor_of(row):
    return Actor(row.name, via=Via.API, person_id=row.id)


def password_of(app, name):
    def log_in(password):
        client = app.test_client()
        form = {"name": name, "password": password, "csrf_token": csrf(client)}
        return client.post("/login", data=form)

    return log_in


# roles


def routes(app: Flask):
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield rule, method


def address_of(rule):
    """An address that the rule matches and that nothing is behind."""
    path = re.sub(r"<(id|int):\w+>", "987654321", rule.rule)
    return re.sub(r"<(?:\w+:)?\w+>", "nothing", path)


def asked(client, rule, method, token):
    headers = {"Accept": "application/json", "X-CSRF-Token": token}
    body = {} if method == "GET" else {"data": {"csrf_token": token}}
    return client.open(address_of(rule), method=method, headers=headers, **body).status_code


def test_every_route_lets_in_the_role_that_it_declares_and_no_lower_one(app, engine):
    clients = {}
    for role in Role:
        clients[role] = app.test_client()
        enter(clients[role], engine, f"a-{role}", role)
    codes = {role: csrf(client) for role, client in clients.items()}
    stranger = app.test_client()
    nobodys = csrf(stranger)
    for rule, method in routes(app):
        needed = access.declared(app, rule.endpoint)
        what = f"{method} {rule.rule} takes {needed}"
        got = asked(stranger, rule, method, nobodys)
        assert (got in (401, 303)) == (needed != access.EVERYBODY) or got == 401, what
        for role, client in clients.items():
            if rule.endpoint == "doors.log_out":
                continue
            status = asked(client, rule, method, codes[role])
            if needed == access.EVERYBODY:
                assert status not in (403, 500), what
            elif role.covers(needed):
                assert status not in (401, 403, 500), f"{what}: {role} got {status}"
            else:
                assert status == 403, f"{what}: {role} got {status}"


def test_a_route_that_declares_no_role_stops_the_console(settings):
    app = create_app(settings)
    app.extensions["engine"].dispose()
    bare = Flask("bare")
    bare.add_url_rule("/forgotten", view_func=lambda: "open")
    with pytest.raises(AssertionError, match="declares no role"):
        access.check_declared(bare)


def test_changes_are_offered_only_to_those_who_may_make_them(app, engine, submit):
    enter(app.test_client(), engine, "olga", Role.OPERATOR)
    job_id, _ = submit()
    for name, role, offered in (("vera", Role.VIEWER, False), ("olga", Role.OPERATOR, True)):
        client = app.test_client()
        enter(client, engine, name, role)
        page = client.get(f"/jobs/{job_id}").text
        assert ('id="cancel"' in page) is offered
        assert "/people" not in page
    client = app.test_client()
    enter(client, engine, "vera", Role.VIEWER)
    refusal = poster(client)(f"/jobs/{job_id}/cancel")
    assert refusal.status_code == 403
    assert "takes the role operator, and vera has the role viewer" in refusal.text


@pytest.mark.parametrize("way", ["page", "api by token"])
def test_others_jobs_are_not_there_for_whoever_sees_their_own_alone(app, engine, submit, way):
    own = person(engine, "studio", Role.OPERATOR, own_only=True)
    other = person(engine, "olga", Role.OPERATOR)
    theirs, their_batch = submit(actor_of(other), seed=1)
    mine, my_batch = submit(actor_of(own), seed=2)
    client, headers = app.test_client(), {"Accept": "application/json"}
    if way == "page":
        enter(client, engine, "studio", Role.OPERATOR)
        root, headers["X-CSRF-Token"] = "", csrf(client)
    else:
        root, headers["Authorization"] = "/api/v1", f"Bearer {token(engine, 'studio')}"
    hidden = [
        client.get(f"{root}/jobs/{theirs}", headers=headers),
        client.get(f"{root}/batches/{their_batch}", headers=headers),
        client.get(f"{root}/jobs?batch={their_batch}", headers=headers),
        client.post(f"{root}/jobs/{theirs}/cancel", json={}, headers=headers),
        client.post(f"{root}/jobs/{theirs}/retry", json={}, headers=headers),
    ]
    unknown = client.get(f"{root}/jobs/987654", headers=headers).json["error"]
    for response in hidden[:2] + hidden[3:]:
        assert response.status_code == 404
        assert response.json["error"]["code"] == "not_found"
    said = hidden[0].json["error"]
    assert said == unknown | {"message": unknown["message"].replace("987654", str(theirs))}
    with transaction(engine) as session:
        assert jobs.job(session, theirs).row.status is JobStatus.QUEUED
        stage = jobs.job(session, theirs).stages[0].id
    preview = client.get(f"/stages/{stage}/preview.png", headers=headers)
    assert preview.json["error"]["message"] == f"stage {stage} has no preview"
    assert client.get(f"{root}/batches/{my_batch}", headers=headers).status_code == 200
    lists = client.get(f"{root}/jobs", headers=headers).text
    assert f"/jobs/{mine}" in lists
    assert f"/jobs/{theirs}" not in lists
    assert client.post(f"{root}/jobs/{mine}/cancel", json={}, headers=headers).status_code < 400


# getting in and staying in


def test_a_password_lets_in_and_the_session_is_a_new_one(app, engine):
    person(engine, "olga", Role.OPERATOR, password=PASSWORD)
    client = app.test_client()
    before = csrf(client)
    form = {"name": " Olga ", "password": PASSWORD, "csrf_token": before, "next": "/jobs"}
    response = client.post("/login", data=form)
    assert (response.status_code, response.headers["Location"]) == (303, "/jobs")
    assert csrf(client) != before
    assert "olga" in client.get("/jobs").text
    assert poster(client)("/logout").status_code == 303
    assert client.get("/jobs").status_code == 303


@pytest.mark.parametrize("onward", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_nobody_is_led_away_after_a_login(app, engine, onward):
    person(engine, "olga", password=PASSWORD)
    client = app.test_client()
    form = {"name": "olga", "password": PASSWORD, "csrf_token": csrf(client), "next": onward}
    assert client.post("/login", data=form).headers["Location"] == "/"


def test_wrong_names_and_wrong_passwords_get_the_same_answer(app, engine):
    person(engine, "olga", password=PASSWORD)
    person(engine, "linked")
    answers = set()
    for name in ("olga", "nobody", "linked", "x' OR 1=1 --"):
        response = password_of(app, name)("not this one, surely")
        assert response.status_code == 401
        answers.add(re.search(r'role="alert">([^<]+)<', response.text)[1])
    assert answers == {"The name or the password is wrong."}


def test_too_many_failures_close_the_door_for_a_while(engine):
    person(engine, "olga", password=PASSWORD)

    def guess(password, address="10.1.1.1", name="olga"):
        return logins.by_password(engine, name, password, logins.Origin(address=address), Via.API)

    for _ in range(logins.TRIES_PER_PAIR):
        with pytest.raises(LoginRefused):
            guess("wrong")
    with pytest.raises(TooManyTries) as refusal:
        guess(PASSWORD)
    assert refusal.value.wait_s == 900
    assert guess(PASSWORD, address="10.2.2.2").person.name == "olga"
    with pytest.raises(TooManyTries):  # a success elsewhere opens no door here
        guess(PASSWORD)


def test_guesses_made_at_once_are_counted_like_any_others(engine):
    person(engine, "olga", password=PASSWORD)

    def guess(_):
        try:
            logins.by_password(engine, "olga", "wrong one", HERE, Via.API)
        except TooManyTries:
            return "closed"
        except LoginRefused:
            return "wrong"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(guess, range(12))).count("wrong") == logins.TRIES_PER_PAIR


def test_a_link_lets_in_once_and_looking_at_it_does_not_use_it_up(app, engine):
    path = link(engine, "olga", Role.OPERATOR)
    for _ in range(2):
        assert "Enter as olga" in app.test_client().get(path).text
    first, second = app.test_client(), app.test_client()
    assert first.post(path, data={"csrf_token": csrf(first)}).status_code == 303
    used = second.post(path, data={"csrf_token": csrf(second)})
    assert used.status_code == 401
    assert "barber user link" in used.text


@pytest.mark.parametrize(
    ("column", "age"),
    [(Login.seen_at, logins.IDLE), (Login.created_at, logins.LONGEST)],
    ids=["idle", "old"],
)
def test_a_login_ends_by_itself(app, engine, column, age):
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    almost, over = age - timedelta(minutes=1), age + timedelta(minutes=1)
    for passed, status in ((almost, 200), (over, 303)):
        with transaction(engine) as session:
            session.execute(update(Login).values({column: func.now() - passed}))
        assert client.get("/jobs", headers={"X-Live": "0"}).status_code == status
        client.get("/jobs")


def test_a_page_that_keeps_itself_current_does_not_keep_a_login_alive(app, engine):
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    with transaction(engine) as session:
        session.execute(update(Login).values(seen_at=func.now() - timedelta(hours=11)))
    seen = (
        update(Login)
        .values(seen_at=Login.seen_at)
        .returning(Login.seen_at < func.now() - timedelta(hours=1))
    )
    client.get("/jobs", headers={"X-Live": "1"})
    with transaction(engine) as session:
        assert session.scalars(seen).one() is True
    client.get("/jobs")
    with transaction(engine) as session:
        assert session.scalars(seen).one() is False


@pytest.mark.parametrize("change", ["role", "password", "shut out"])
def test_what_changes_a_person_logs_them_out_everywhere(app, engine, change):
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    waiting = link(engine, "olga", Role.OPERATOR)
    with transaction(engine) as session:
        if change == "role":
            people.change(session, "olga", by="tests", role=Role.VIEWER)
        elif change == "password":
            people.set_password(session, "olga", PASSWORD, by="tests")
        else:
            people.change(session, "olga", by="tests", disabled=True)
    assert client.get("/jobs").status_code == 303
    assert app.test_client().get(waiting).status_code == 401


def test_a_stolen_cookie_alone_changes_nothing(app, engine):
    client = app.test_client()
    enter(client, engine, "ada", Role.ADMIN)
    for path in ("/people", "/account/tokens", "/logout", "/api/v1/jobs/1/cancel"):
        assert client.post(path, data={"name": "mallory", "role": "admin"}).status_code == 403
        assert client.post(path, json={"name": "mallory"}).status_code == 403
    with transaction(engine) as session:
        assert [row.name for row in people.listed(session)] == ["ada"]


# tokens


def test_a_token_works_until_it_is_revoked_and_is_kept_nowhere(app, engine):
    secret = token(engine, "olga", Role.OPERATOR)
    client, header = app.test_client(), {"Authorization": f"Bearer {secret}"}
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    with transaction(engine) as session:
        (row,) = tokens.listed(session)
        assert row.last_used_at is not None
        kept = session.scalars(update(ApiToken).values(name="x").returning(ApiToken.secret_sha256))
        assert secret not in kept.one()
        tokens.revoke(session, row.id, by="tests")
    refusal = client.get("/api/v1/jobs", headers=header)
    assert (refusal.status_code, refusal.json["error"]["code"]) == (401, "not_logged_in")
    assert "revoked" in refusal.json["error"]["message"]


@pytest.mark.parametrize(
    "header", ["Bearer ", "Bearer wrong", "Basic YTpi", "Bearer é", "barber_x", "Bearer a b"]
)
def test_what_is_no_token_is_refused_and_a_cookie_does_not_help(app, engine, header):
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    response = client.get("/api/v1/jobs", headers={"Authorization": header.encode()})
    assert response.status_code == 401


def test_a_token_ends_with_its_time_and_with_its_person(app, engine):
    secret = token(engine, "olga", Role.OPERATOR, days=1)
    client, header = app.test_client(), {"Authorization": f"Bearer {secret}"}
    for disabled, status in ((True, 401), (False, 200)):
        with transaction(engine) as session:
            people.change(session, "olga", by="tests", disabled=disabled)
        assert client.get("/api/v1/jobs", headers=header).status_code == status
    with transaction(engine) as session:
        session.execute(update(ApiToken).values(expires_at=func.now() - timedelta(seconds=1)))
    assert client.get("/api/v1/jobs", headers=header).status_code == 401


def test_a_token_has_the_lesser_role(app, engine, submit):
    low = token(engine, "olga", Role.OPERATOR, role=Role.VIEWER)
    high = token(engine, "olga", Role.OPERATOR)
    job_id, _ = submit()
    client = app.test_client()

    def cancel(secret):
        header = {"Authorization": f"Bearer {secret}"}
        return client.post(f"/api/v1/jobs/{job_id}/cancel", json={}, headers=header)

    assert cancel(low).status_code == 403
    with transaction(engine) as session:
        people.change(session, "olga", by="tests", role=Role.VIEWER)
    assert cancel(high).status_code == 403
    with transaction(engine) as session:
        people.change(session, "olga", by="tests", role=Role.OPERATOR)
    assert cancel(high).status_code == 200
    with transaction(engine) as session, pytest.raises(InputError, match="cannot be admin"):
        tokens.add(session, "olga", "more", by="tests", role=Role.ADMIN)


def test_a_person_makes_a_token_on_their_page_and_sees_it_once(app, engine):
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    post = poster(client)
    page = post("/account/tokens", name="nightly import", role="viewer", days="30")
    secret = re.search(r"barber_[\w-]{43}", page.text)[0]
    assert secret not in client.get("/account").text
    assert post("/account/tokens", name="more", role="admin", days="30").status_code == 400
    header = {"Authorization": f"Bearer {secret}"}
    assert app.test_client().get("/jobs", headers=header).status_code == 200
    made = app.test_client().post("/account/tokens", headers=header, data={"role": "viewer"})
    assert made.status_code == 403
    other = app.test_client()
    enter(other, engine, "otto", Role.OPERATOR)
    with transaction(engine) as session:
        token_id = tokens.listed(session)[0].id
    assert poster(other)(f"/account/tokens/{token_id}/revoke").status_code == 404
    assert post(f"/account/tokens/{token_id}/revoke").status_code == 303
    assert app.test_client().get("/api/v1/jobs", headers=header).status_code == 401


def test_a_person_chooses_a_password_and_needs_the_old_one_for_another(app, engine):
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    post = poster(client)
    assert post("/account/password", new=PASSWORD, again=PASSWORD).status_code == 303
    assert client.get("/jobs").status_code == 200, "this browser stays"
    assert password_of(app, "olga")(PASSWORD).status_code == 303
    other = "another horse battery"
    assert post("/account/password", old="wrong", new=other, again=other).status_code == 401
    assert post("/account/password", old=PASSWORD, new=other, again="x").status_code == 400
    assert post("/account/password", old=PASSWORD, new=other, again=other).status_code == 303
    assert password_of(app, "olga")(PASSWORD).status_code == 401


# people and the log


def test_an_admin_adds_somebody_who_enters_by_the_link(app, engine):
    client = app.test_client()
    enter(client, engine, "ada", Role.ADMIN)
    post = poster(client)
    page = post("/people", name="Vera", role="viewer", own_only="on")
    path = re.search(r"http://localhost(/login/[\w-]+)", page.text)[1]
    vera = app.test_client()
    assert vera.post(path, data={"csrf_token": csrf(vera)}).status_code == 303
    assert vera.get("/people").status_code == 403
    assert post("/people", name="vera", role="viewer").status_code == 409
    assert post("/people", name="<b>", role="viewer").status_code == 400
    assert post("/people", name="vera2", role="king").status_code == 400
    assert post("/people/vera/disable").status_code == 303
    assert vera.get("/").status_code == 303
    assert post("/people/vera/link").status_code == 200
    assert app.test_client().get(path).status_code == 401
    assert post("/people/vera/enable").status_code == 303
    changed = post("/people/vera/change", role="operator")
    assert changed.status_code == 303
    with transaction(engine) as session:
        row = people.find(session, "vera")
    assert (row.role, row.own_only, row.disabled_at) == (Role.OPERATOR, False, None)


def test_the_last_admin_stays(engine):
    person(engine, "ada", Role.ADMIN)
    person(engine, "gone", Role.ADMIN)
    with transaction(engine) as session:
        people.change(session, "gone", by="tests", disabled=True)
    for change in ({"role": Role.OPERATOR}, {"disabled": True}):
        with transaction(engine) as session, pytest.raises(Conflict, match="only admin"):
            people.change(session, "ada", by="tests", **change)
    with transaction(engine) as session, pytest.raises(InputError, match="sees everything"):
        people.change(session, "ada", by="tests", own_only=True)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaa", "olga.the.great", "x" * 1001])
def test_a_poor_password_is_refused(engine, password):
    name = "olga.the.great"
    with transaction(engine) as session, pytest.raises(InputError, match="password"):
        people.add(session, name, Role.VIEWER, by="tests", password=password)


def test_every_verb_is_in_the_log_with_who_by_which_way_and_why(app, engine, submit):
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    job_id, batch_id = submit(actor_of(person(engine, "olga")))
    poster(client)(f"/jobs/{job_id}/cancel")
    header = {"Authorization": f"Bearer {token(engine, 'olga')}"}
    app.test_client().post(f"/api/v1/jobs/{job_id}/retry", json={}, headers=header)
    here = Actor("unix", via=Via.COMMAND_LINE)
    with transaction(engine) as session:
        operate.set_priority(session, job_id, 5, by=here, why="the customer waits")
        operate.pause(session, job_id, by=here)
        operate.resume(session, job_id, by=here)
        operate.pause_batch(session, batch_id, by=here)
        operate.resume_batch(session, batch_id, by=here)
        operate.pause_all(session, by=here)
        operate.resume_all(session, by=here)
        found = [(e.verb, e.who, e.via, e.why) for e in audit.entries(session, job_id=job_id)]
        (submitted,) = audit.entries(session, verb=Verb.SUBMIT)
        system = [e.verb for e in audit.entries(session, who="unix") if e.subject == "everything"]
        of_batch = [e.verb for e in audit.entries(session, batch_id=batch_id)]
    assert found[::-1][:3] == [
        ("cancel", "olga", "console", "asked for on the job's page"),
        ("retry", "olga", "api", ""),
        ("priority", "unix", "command line", "the customer waits"),
    ]
    assert [verb for verb, *_ in found[::-1]][3:] == ["pause", "resume"]
    assert (submitted.who, submitted.batch_id) == ("olga", batch_id)
    assert system == ["resume", "pause"]
    assert of_batch == ["resume", "pause", "submit"]


def test_the_log_is_for_admins_and_filters(app, engine, submit):
    client = app.test_client()
    enter(client, engine, "ada", Role.ADMIN)
    job_id, _ = submit()
    poster(client)(f"/jobs/{job_id}/cancel")
    page = client.get(f"/audit?who=ada&verb=cancel&job={job_id}").text
    assert f'href="/jobs/{job_id}"' in page
    assert "127.0.0.1" in page
    assert "Nothing of that kind" in client.get("/audit?who=olga").text
    assert client.get("/audit?verb=steal").status_code == 400
    assert client.get("/audit?job=x").status_code == 400
