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
from barber.catalogue import bulk_actions, stages
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


@pytest.fixture(params=["here", "there"])
def operator(request, server, engine, settings, bundle, capsys):
    """An admin's command line, on this machine or through a console: it must not matter."""
    there = {"BARBER_SERVER": server, "BARBER_TOKEN": token(engine, "ada", Role.ADMIN)}
    here = replace(settings, bundle=str(bundle)).to_env()

    def run(*arguments):
        environ = here if request.param == "here" else there
        code = cli.run([str(each) for each in arguments], environ)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_operators_do_the_same_here_and_there(operator, engine, settings):
    first, second = builders.known_portraits(engine, 2)
    specs = [builders.hair_spec(first, second, seed=seed) for seed in range(4)]
    one, two, three, four = builders.submit(engine, specs, name="night", submitted_by="olga")
    batch = json.loads(operator("show", one, "--json")[1])["batch_id"]

    # one job, a batch, everything
    assert operator("pause", one)[1] == f"job {one} is paused\n"
    assert operator("resume", one)[1] == f"job {one} goes on\n"
    assert operator("pause", "--batch", batch)[1] == f"batch {batch} is paused\n"
    assert operator("resume", "--batch", batch)[1] == f"batch {batch} goes on\n"
    assert operator("pause", "--all")[1] == "everything is paused\n"
    assert operator("resume", "--all")[1] == "everything goes on\n"
    assert operator("priority", one, 7)[1] == f"job {one} has priority 7\n"
    assert f"job {two}: ends by" in operator("deadline", "2h", two)[1]
    assert operator("deadline", "none", "--batch", batch, "--yes")[1] == "4 jobs changed\n"

    # the filter is the console's
    def listed(*arguments):
        return [row["id"] for row in json.loads(operator("jobs", "--json", *arguments)[1])]

    assert listed("--priority", 7) == [one]
    assert listed("--person", "olga", "--sort", "oldest") == [one, two, three, four]
    assert listed("--person", "nobody") == listed("--until", "2020-01-01") == []
    code, _, err = operator("jobs", "--cause", "x")
    assert code == 1 and "'x' is none" in err

    # a dry run of one job and of many changes nothing
    assert "(not done: --dry-run)" in operator("cancel", two, "--dry-run")[1]
    assert json.loads(operator("show", two, "--json")[1])["status"] == "queued"
    told = json.loads(operator("cancel", "--batch", batch, "--dry-run", "--json")[1])
    assert told == {"jobs": 4, "counts": {"queued": 4}}

    builders.Crew(engine, replace(settings, sweep_s=0.0)).work(
        {StageKind.BLEND: builders.break_down("the mask is empty")}
    )
    (cause,) = {group["key"] for group in json.loads(operator("dead", "--json")[1])["groups"]}
    assert listed("--cause", cause, "--failed-in", "blend") == [four, three, two, one]
    done = operator("retry", "--cause", cause, "--from", "align", "--deadline", "2h", "--yes")
    assert done[0] == 1 and "goes with a plain retry" in done[2]
    assert operator("retry", "--cause", cause, "--from", "align", "--yes")[1] == "4 jobs changed\n"
    assert operator("cancel", "--batch", batch, "--yes")[1] == "4 jobs changed\n"
    params = json.dumps({"blend": {"steps": 7}})
    code, out, _ = operator("retry", "--text", "night", "--params", params, "--yes", "--json")
    assert code == 0 and json.loads(out)["done"] == 4
    operator("cancel", "--batch", batch, "--yes")
    assert operator("retry", two, "--deadline", "2h")[0] == 0

    # what has ended is deleted
    code, _, err = operator("delete", one)
    assert code == 1 and "add --yes" in err
    assert operator("delete", one, "--yes")[1].startswith(f"job {one}: deleted with its ")
    code, _, err = operator("delete", two, "--yes")
    assert code == 1 and "cancel it first" in err
    assert operator("delete", "--batch", batch, "--yes")[1] == "2 jobs changed\n"
    assert listed() == [two]


def test_what_was_looked_at_is_judged_here_and_there(operator, engine, settings):
    first, second = builders.known_portraits(engine, 2)
    specs = [builders.hair_spec(first, second, seed=seed) for seed in range(3)]
    one, two, three = builders.submit(engine, specs, name="night", submitted_by="olga")
    batch = json.loads(operator("show", one, "--json")[1])["batch_id"]
    code, out, _ = operator("overview")
    assert code == 0 and out.startswith("3 queued\n") and f"batch {batch}: 3 open, no esti" in out
    assert operator("accept", one)[0] == 1  # there is nothing to look at yet
    work(engine, settings)
    (row,) = json.loads(operator("batches", "--json")[1])
    assert (row["id"], row["finished"], row["counts"]["succeeded"]) == (batch, True, 3)
    assert "olga" in operator("batches")[1]

    code, out, _ = operator("accept", one, two, "--why", "sharp")
    assert code == 0 and out.startswith("2 results accepted; `barber undo ")
    done = json.loads(operator("reject", "--batch", batch, "--show", "undecided", "--json")[1])
    assert done["results"] == 1
    assert operator("undo", done["deed"])[1] == "1 result as before\n"
    assert operator("undecide", "--batch", batch)[1].startswith("2 results undecided")
    for wrong in (["accept"], ["accept", one, "--batch", batch], ["accept", "--batch", 99]):
        code, _, err = operator(*wrong)
        assert code == 1 and err.startswith("barber: "), wrong

    params = json.dumps({"blend": {"steps": 7}})
    copied = operator("clone", three, "--name", "anew", "--params", params, "--json")
    copy = json.loads(copied[1])["copy_id"]
    found = json.loads(operator("show", copy, "--json")[1])
    assert (found["name"], found["status"]) == ("anew", "queued")
    assert operator("clone", three, "--params", "[]")[0] == operator("clone", 99)[0] == 1


def test_bulk_actions_are_asked_for_followed_and_stopped(operator, engine):
    first, second = builders.known_portraits(engine, 2)
    specs = [builders.hair_spec(first, second, seed=seed) for seed in range(3)]
    one, two, _ = builders.submit(engine, specs, name="night", submitted_by="olga")
    operator("cancel", one)
    assert operator("bulk", "list")[1] == "no bulk actions\n"
    for words, complaint in (
        (["cancel"], "which jobs?"),
        (["priority", "--all"], "--to goes with"),
        (["cancel", "--batch", 77], "no batch 77"),
        (["cancel", "--person", "olga"], "add --yes"),
        (["cancel", "--person", "olga", "--why", " ", "--yes"], "say why"),
    ):
        code, _, err = operator("bulk", "start", *words)
        assert code == 1 and complaint in err and err.count("\n") <= 2, err
    told = operator("bulk", "start", "priority", "--to", 9, "--person", "olga", "--dry-run")[1]
    assert told == "3 jobs: 2 to be touched, 1 cancelled left alone\n"
    code, out, _ = operator(
        "bulk", "start", "priority", "--to", 9, "--person", "olga", "--yes", "--json"
    )
    row = json.loads(out)
    assert code == 0 and (row["status"], row["total"]) == ("waiting", 3)
    worker = threading.Timer(0.3, bulk_actions.work_off, (engine,), {"seconds": 5})
    worker.start()
    code, out, _ = operator("bulk", "show", row["id"], "--watch", "--json")
    worker.join()
    facts = json.loads(out)
    assert code == 1, "one was left alone"
    assert (facts["status"], facts["done"], facts["skipped"]) == ("done", 2, 1)
    assert [job["done"] for job in facts["jobs"]] == [False, True, True]
    assert f"job {one}: " in operator("bulk", "show", row["id"], "--skipped")[1]
    assert json.loads(operator("show", two, "--json")[1])["priority"] == 9
    second = json.loads(operator("bulk", "start", "cancel", "--all", "--yes", "--json")[1])
    assert "cancel stopped" in operator("bulk", "stop", second["id"])[1]
    assert [row["status"] for row in json.loads(operator("bulk", "list", "--json")[1])] == [
        *("stopped", "done"),
    ]
    code, _, err = operator("bulk", "show", 77)
    assert code == 1 and "no bulk action 77" in err


def test_every_face_with_every_style(operator, folder, tmp_path):
    styles = [folder / "faces", tmp_path / "c.png"]
    table = tmp_path / "made.csv"
    code, out, _ = operator(
        *("matrix", "--identity", folder / "faces", "--hair", styles[0], "--hair", styles[1]),
        *("--out", table),
    )
    assert code == 0 and out == f"4 rows in {table}\n", "nobody wears their own hair"
    assert table.read_text().splitlines()[0] == "name,identity,hair"
    code, out, err = operator(
        *("matrix", "--identity", folder / "faces", "--colour", tmp_path / "c.png"),
        *("--name", "colours", "--json", "--no-parse"),
    )
    assert code == 0, err
    batch = json.loads(out)["batch_id"]
    rows = json.loads(operator("jobs", "--batch", batch, "--json")[1])
    assert sorted(row["name"] for row in rows) == ["a × c", "b × c"]
    for words, complaint in (
        (["--hair", styles[0]], "nobody is to be changed"),
        (["--identity", styles[1]], "what is taken of them?"),
        (["--identity", styles[1], "--look", "lips"], "needs a portrait"),
        (["--identity", styles[1], "--look", "lips", "--hair", styles[1]], "takes no --hair"),
        (["--identity", styles[1], "--hair", styles[1]], "but its own"),
        (["--identity", styles[1], "--hair", tmp_path / "config"], "has no pictures"),
    ):
        (tmp_path / "config").mkdir(exist_ok=True)
        code, _, err = operator("matrix", *words)
        assert code == 1 and complaint in err, err


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
