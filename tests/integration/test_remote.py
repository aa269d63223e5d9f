"""The command line against a console elsewhere: the same words and codes, through the API."""

from __future__ import annotations

import io
import json
import stat
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from werkzeug.serving import make_server

from barber import cli
from barber.catalogue import stages
from barber.catalogue.people_tables import Role
from barber.catalogue.store import Store
from barber.plan import StageKind
from dashboard import create_app
from tests.support import builders
from tests.support.people import PASSWORD, person, token
from tests.support.system import picture, write_tiny_bundle

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_bundle(path)
    return path


@pytest.fixture
def server(engine, settings, bundle):
    """A console on a port of its own."""
    app = create_app(replace(settings, bundle=str(bundle), upload_mb=4))
    listener = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}"
    listener.shutdown()
    thread.join()
    listener.server_close()
    app.extensions["hands"].close()
    app.extensions["engine"].dispose()


@pytest.fixture
def barber(server, tmp_path, capsys, monkeypatch):
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "BARBER_SERVER": server}

    def run(*arguments, say="", **more):
        monkeypatch.setattr("sys.stdin", io.StringIO(say))
        code = cli.run([str(each) for each in arguments], {**environ, **more})
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "faces").mkdir()
    for number, name in enumerate(("faces/a", "faces/b", "outside")):
        path = tmp_path / "tables" / f"{name}.png" if name != "outside" else tmp_path / "c.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, 64))
    return tmp_path / "tables"


def work(engine, settings):
    store = Store(settings.store_dir)

    def finish(session, claim):
        file = store.store_file(builders.picture(claim.planned.slot), "image/png")
        return stages.finish(session, claim, files={"image.png": file}, recipe={})

    crew = builders.Crew(engine, replace(settings, sweep_s=0.0, backoff_s=0.0))
    crew.work(dict.fromkeys(StageKind, finish))


def test_a_night_from_login_to_download(barber, server, engine, settings, folder, tmp_path):
    person(engine, "olga", Role.OPERATOR, password=PASSWORD)
    code, _, err = barber("jobs")
    assert code == 1 and f"barber login {server}" in err
    code, _, err = barber("login", server, "--name", "olga", say="wrong\n")
    assert code == 1 and "password" in err
    code, out, _ = barber("login", server, "--name", "olga", say=f"{PASSWORD}\n")
    assert code == 0, out
    kept = tmp_path / "config/barber/servers.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    # a picture outside of the table's folder goes along; a bad row is told by its line
    table = folder / "night.csv"
    table.write_text(
        "name,identity,hair,colour\n"
        "one,faces/a.png,faces/b.png,../c.png\n"
        '"two\n",faces/a.png,gone.png,\n'
        "three,faces/b.png,faces/a.png,keep\n"
    )
    code, _, err = barber("submit", table, "--json")
    assert code == 1 and json.loads(err)["error"]["rows"][0]["line"] == 4, err
    code, out, err = barber("submit", table, "--accept-valid", "--deadline", "2h", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["accepted"] == 2 and told["refused"][0]["line"] == 4
    batch = told["batch_id"]
    code, _, err = barber("submit", table, "--accept-valid")
    assert code == 1 and f"was queued before, as batch {batch}" in err

    jobs = json.loads(barber("jobs", "--batch", batch, "--json")[1])
    assert {job["name"] for job in jobs} == {"one", "three"} and jobs[0]["deadline"]
    first = jobs[0]["id"]
    assert "three" in barber("jobs", "--status", "queued", "--limit", 1)[1]
    code, out, _ = barber("show", first)
    assert code == 0 and f"job {first} three: queued" in out and "reconstruct 0" in out
    assert barber("cancel", first, "--why", "tests")[1] == f"job {first}: cancelled\n"
    code, _, err = barber("retry", "--batch", batch)
    assert code == 1 and "add --yes" in err
    code, out, _ = barber("retry", "--batch", batch, "--yes")
    assert (code, out) == (0, "1 job changed\n")

    work(engine, settings)
    code, out, _ = barber("watch", batch)
    assert code == 0 and f"batch {batch}: 2 succeeded" in out
    target = tmp_path / "night.zip"
    assert barber("download", batch, "--out", target)[0] == 0
    assert sorted(zipfile.ZipFile(target).namelist()) == [
        *("one.json", "one.png", "results.csv", "three.json", "three.png"),
    ]
    assert barber("download", batch, "--out", target)[0] == 1
    png = tmp_path / "one.png"
    assert barber("download", "--job", first, "--out", png)[0] == 0
    assert png.read_bytes().startswith(b"\x89PNG")

    code, out, _ = barber("logout", server)
    assert code == 0 and "logged out" in out and barber("jobs")[0] == 1


def test_what_goes_wrong_is_one_sentence(barber, server, engine, folder):
    vera = token(engine, "vera", Role.VIEWER)
    said = barber("jobs", BARBER_TOKEN="barber_wrong")
    assert said[0] == 1 and "this token does not work" in said[2]
    assert barber("show", 77, BARBER_TOKEN=vera)[2] == "barber: no job 77\n"
    assert "operator" in barber("cancel", 77, BARBER_TOKEN=vera)[2]
    away = {"BARBER_TOKEN": vera, "BARBER_SERVER": "http://127.0.0.1:1"}
    code, _, err = barber("jobs", **away)
    assert code == 1 and "http://127.0.0.1:1 cannot be reached" in err
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:  # it answers 501, in HTML
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        stranger = f"http://127.0.0.1:{other.server_port}"
        code, _, err = barber("jobs", BARBER_TOKEN=vera, BARBER_SERVER=stranger)
        thread.join()
    assert code == 1 and "not as a console of this version" in err
    assert barber("jobs", "--server", "ftp://x", BARBER_TOKEN=vera)[0] == 1
    code, _, err = barber("submit", folder / "none.csv", BARBER_TOKEN=vera)
    assert code == 1 and "cannot be read" in err
