"""Who may ask the console for a change, and what its answers forbid a browser."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from barber.settings import Settings
from dashboard import create_app, security


@pytest.fixture
def app(tmp_path):
    # Nothing listens there: a request that is refused must not get as far as the catalogue.
    url = "postgresql+psycopg2://nobody:nothing@127.0.0.1:1/none"
    return create_app(
        Settings(database_url=url, home=tmp_path), hosts=("localhost", "127.0.0.1", "[::1]")
    )


def refusal(response):
    return response.status_code, response.get_json()["error"]["code"]


def test_the_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    first = security.session_secret(tmp_path / "home")
    path = tmp_path / "home" / security.SECRET_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first) == 32
    assert security.session_secret(tmp_path / "home") == first
    assert [p.name for p in path.parent.iterdir()] == [security.SECRET_FILE]


def test_consoles_that_start_together_agree_on_the_secret(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(lambda _: security.session_secret(tmp_path), range(16)))
    assert len(set(secrets)) == 1


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_a_stranger_is_asked_who_they_are(app, verb):
    response = app.test_client().post(f"/jobs/1/{verb}", headers={"Accept": "application/json"})
    assert refusal(response) == (401, "not_logged_in")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_stranger_who_opens_a_page_is_led_to_the_door(app):
    response = app.test_client().get("/jobs?status=failed&batch=2")
    assert response.status_code == 303
    assert response.headers["Location"] == "/login?next=/jobs?status%3Dfailed%26batch%3D2"


def test_the_token_of_another_session_is_refused(app):
    client = app.test_client()
    with client.session_transaction() as session:
        session["csrf"] = "mine"
    response = client.post(
        "/login", data={"csrf_token": "theirs"}, headers={"Accept": "application/json"}
    )
    assert refusal(response) == (403, "refused")


def test_a_foreign_page_cannot_ask_for_a_change_even_with_a_token(app):
    client = app.test_client()
    with client.session_transaction() as session:
        session["csrf"] = "mine"
    response = client.post(
        "/jobs/1/retry",
        data={"csrf_token": "mine"},
        headers={"Origin": "https://elsewhere.example", "Accept": "application/json"},
    )
    assert refusal(response) == (403, "refused")


def test_a_host_name_that_is_not_the_consoles_is_refused(app):
    for path in ("/", "/api/v1/jobs", "/nowhere"):
        response = app.test_client().get(path, headers={"Host": "rebound.example"})
        assert response.status_code == 400
        assert "127.0.0.1" in response.text


def test_no_answer_lets_scripts_frames_or_caches_in(app):
    response = app.test_client().get("/nowhere")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert "<script>" not in response.text
    assert "style=" not in response.text


def test_the_session_cookie_stays_with_the_site_and_away_from_scripts(app):
    with app.test_request_context():
        security.csrf_token()
        response = app.make_response("")
        app.session_interface.save_session(app, security.session, response)
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_without_a_database_pages_say_so_and_health_is_down(app):
    client = app.test_client()
    with client.session_transaction() as session:
        session["login"] = "somebody's"
    page = client.get("/")
    assert page.status_code == 503
    assert "nothing is lost" in page.text
    health = client.get("/health")
    assert (health.status_code, health.get_json()["status"]) == (503, "down")
