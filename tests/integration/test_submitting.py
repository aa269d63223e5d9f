"""New work through the console and the API: checked first, queued when somebody says so, once."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from barber.catalogue import drawer, intakes, jobs, portraits
from barber.catalogue.db import transaction
from barber.catalogue.intake_tables import Intake, IntakeRow, IntakeStatus
from barber.catalogue.intakes import Filled
from barber.catalogue.people_tables import Audit, Role
from barber.catalogue.store import Store
from barber.catalogue.tables import Job, Stage
from barber.errors import Conflict
from barber.looks import LOOKS
from barber.spec import PortraitKey
from barber.standalone.intake import Reader
from barber.table_rows import PlannedRow
from dashboard import create_app
from tests.support import builders
from tests.support.people import csrf, enter, person, token
from tests.support.system import System, picture, write_tiny_bundle

pytestmark = pytest.mark.integration

SIDE = 64
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_bundle(path)
    return path


@pytest.fixture
def console(engine, settings, bundle):
    app = create_app(replace(settings, bundle=str(bundle), upload_mb=1))
    client = app.test_client()
    enter(client, engine, "olga", Role.OPERATOR)
    yield client
    app.extensions["hands"].close()
    app.extensions["engine"].dispose()


def face(number):
    return io.BytesIO(picture(number, SIDE)), f"face-{number}.png"


def post(console, path, **form):
    form = {"csrf_token": csrf(console), **form}
    return console.post(path, data=form, content_type="multipart/form-data")


def send(console, *numbers):
    """Portraits into the drawer; their keys."""
    answer = post(console, "/api/v1/portraits", file=[face(number) for number in numbers])
    assert answer.status_code == 200, answer.text
    return [each["key"] for each in answer.json["portraits"]]


def checked(console, engine, path):
    """Waits until an import is checked; its facts and its page."""
    number = int(re.search(r"/imports/(\d+)", path)[1])
    until = time.monotonic() + 30
    while True:
        page = console.get(f"/imports/{number}")
        with transaction(engine) as session:
            found = intakes.find(session, number)
        if not found.moving:
            return found, console.get(f"/imports/{number}").text
        assert time.monotonic() < until, page.text
        time.sleep(0.05)


def import_table(console, engine, text, *pictures, name="night.csv"):
    data = text if isinstance(text, bytes) else text.encode()
    files = {"table": (io.BytesIO(data), name), "pictures": list(pictures)}
    answer = post(console, "/submit/table", **files)
    assert answer.status_code == 303, answer.text
    return checked(console, engine, answer.headers["Location"])


def batches(engine):
    with transaction(engine) as session:
        return jobs.batches(session)


def say(console, found, **ticked):
    return post(console, f"/imports/{found.id}/queue", **ticked)


def test_faces_times_styles_are_queued_once_after_a_look(console, engine):
    one, two, three = send(console, 1, 2, 3)
    page = console.get("/submit").text
    assert page.count("face-1.png") >= 2  # to be changed, and to give
    chosen = {"look": "hair-shape", "face-to-change": [one, two], "hair": [two, three]}
    answer = post(console, "/submit/choice", name="tuesday", priority="7", **chosen)
    found, page = checked(console, engine, answer.headers["Location"])
    # nobody gets their own hair: 2 x 2 less the one with itself
    assert (found.sound, found.refused, found.warned) == (3, 0, 0)  # not checked is no warning
    assert "face-1 × face-2" in page and "Queue 3 jobs" in page
    assert batches(engine) == []
    first, second = say(console, found), say(console, found)
    assert first.headers["Location"] == second.headers["Location"]
    (batch,) = batches(engine)
    assert (batch.name, batch.submitted_by, batch.total) == ("tuesday", "olga", 3)
    with transaction(engine) as session:
        rows = jobs.jobs(session, batch_id=batch.id)
        spec = jobs.job(session, rows[-1].id).spec
    assert {row.priority for row in rows} == {7}
    (region,) = spec.regions
    assert (spec.identity, region.structure, region.appearance) == (one, two, one)

    # the very same again is told of, and asks for a word of its own
    answer = post(console, "/submit/choice", name="tuesday", priority="7", **chosen)
    found, _ = checked(console, engine, answer.headers["Location"])
    say(console, found)
    found, page = checked(console, engine, f"/imports/{found.id}")
    assert f"/batches/{batch.id}" in page and len(batches(engine)) == 1
    say(console, found, again="on")
    assert len(batches(engine)) == 2


def test_what_only_the_parser_can_check_is_told_by_check(console, engine):
    one, two = send(console, 1, 2)
    form = {"look": "hair", "face-to-change": [one], "hair": [two]}
    found, page = checked(
        console, engine, post(console, "/submit/choice", **form).headers["Location"]
    )
    told = console.get(f"/api/v1/imports/{found.id}").json["import"]["unchecked"]
    assert told["pose"] == 1 and "Not checked here" in page and "<b>Pose</b>: 1" in page


def test_portraits_leave_the_drawer_and_jobs_keep_them(console, engine):
    one, two = send(console, 1, 2)
    assert "Take the ticked ones out" in console.get("/submit").text
    assert post(console, "/submit/portraits/remove").status_code == 400
    answer = post(console, "/submit/portraits/remove", face=[one])
    assert answer.status_code == 303
    page = console.get("/submit").text
    assert "1 portrait taken out of your drawer" in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "face-1.png" not in page and "face-2.png" in page
    with transaction(engine) as session:
        assert portraits.portraits(session, [one, two]).keys() == {one, two}


@pytest.mark.parametrize("look", [look.word for look in LOOKS])
def test_every_look_says_which_portrait_it_lacks(console, look):
    (one,) = send(console, 1)
    answer = post(console, "/submit/choice", **{"look": look, "face-to-change": [one]})
    assert answer.status_code == 400 and "needs a portrait under" in answer.text


def test_regions_by_name_take_shape_and_colour(console, engine):
    one, two = send(console, 1, 2)
    form = {"look": "regions", "face-to-change": [one], "region-1": "lips", "colour-1": two}
    answer = post(console, "/submit/choice", **form)
    found, _ = checked(console, engine, answer.headers["Location"])
    say(console, found)
    with transaction(engine) as session:
        (job,) = jobs.jobs(session, batch_id=batches(engine)[0].id)
        (region,) = jobs.job(session, job.id).spec.regions
    assert (region.structure, region.appearance) == (one, two)
    answer = post(console, "/submit/choice", **{**form, "region-1": "lisp"})
    assert answer.status_code == 400 and "unknown region" in answer.text and "lisp" in answer.text


def test_a_table_is_checked_row_by_row_and_its_good_rows_can_go_alone(console, engine):
    text = "name,identity,hair,seed\ngood,face-1.png,face-2.png,1\nbad,face-1.png,gone.png,x\n"
    found, page = import_table(console, engine, text, face(1), face(2))
    assert (found.sound, found.refused) == (1, 1)
    assert "Line 3" in page and "gone.png" in page and "seed is" in page
    assert say(console, found).status_code == 409
    assert batches(engine) == []
    say(console, found, accept_valid="on")
    (batch,) = batches(engine)
    assert batch.total == 1 and batch.refused[0]["line"] == 3


def test_json_lines_in_a_zip_use_its_pictures_and_the_drawer(console, engine):
    send(console, 2)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("faces/face-1.png", picture(1, SIDE))
        row = {"name": "a", "identity": "faces/face-1.png", "hair": "face-2.png", "seed": 5}
        archive.writestr("manifest.jsonl", json.dumps(row) + "\n{oops\n[1]\n")
    found, page = import_table(console, engine, packed.getvalue(), name="night.zip")
    assert (found.sound, found.refused) == (1, 2), found.problem
    assert "Line 2" in page and "is no JSON" in page and "Line 3" in page


BAD_TABLES = {
    "a missing column": ("name,hair\na,b.png\n", "night.csv", "no column &#39;identity&#39;"),
    "no rows": ("name,identity,hair\n", "night.csv", "there is no row"),
    "not text": (b"\xff\xfe\x00", "night.csv", "is not UTF-8 text"),
    "no ZIP": (b"PK no", "night.zip", "is not a ZIP that can be read"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_table_that_cannot_be_used_says_why(console, engine, case):
    text, name, sentence = BAD_TABLES[case]
    found, page = import_table(console, engine, text, name=name)
    assert found.status == "broken" and sentence in page
    assert str(console.application.extensions["settings"].home) not in page


def test_files_that_are_no_portraits_are_told_one_by_one(console, engine):
    files = [face(1), (io.BytesIO(SVG), "logo.png"), (io.BytesIO(b"#!/bin/sh"), "run.png")]
    page = console.get(post(console, "/submit/portraits", file=files).headers["Location"]).text
    assert "1 of 3 pictures are in your drawer" in page
    assert "logo.png is not a picture" in page and "run.png is not a picture" in page
    huge = b"--x\r\n" + b"\0" * (2 << 20)
    answer = console.post(
        "/submit/portraits", data=huge, content_type="multipart/form-data; boundary=x"
    )
    assert answer.status_code == 413 and "larger than the console accepts" in answer.text
    up = [(io.BytesIO(picture(1, SIDE)), "../../up.png")]
    answer = post(console, "/submit/portraits", file=up)
    assert answer.status_code == 400 and "cannot be a file" in answer.text


def test_drawers_and_imports_are_their_owners_alone(console, engine):
    one, two = send(console, 1, 2)
    chosen = {"look": "hair", "face-to-change": [one], "hair": [two]}
    answer = post(console, "/submit/choice", **chosen)
    found, _ = checked(console, engine, answer.headers["Location"])
    other = console.application.test_client()
    enter(other, engine, "otto", Role.OPERATOR)
    assert other.get(f"/imports/{found.id}").status_code == 404
    assert say(other, found).status_code == 404
    assert other.get("/api/v1/portraits").json == {"portraits": []}
    viewer = console.application.test_client()
    enter(viewer, engine, "vera", Role.VIEWER)
    assert viewer.get("/submit").status_code == 403
    assert ">New<" not in viewer.get("/").text
    with transaction(engine) as session:
        drawer.take_out(session, found.person_id, [one])
        left = drawer.listed(session, found.person_id, limit=5)
    assert [each.key for each in left] == [two]


def test_an_import_whose_reader_died_is_read_anew(console, engine):
    one, two = send(console, 1, 2)
    hands = console.application.extensions["hands"]
    hands.go_on, kept = (lambda _: None), hands.go_on  # the process ended before it began
    chosen = {"look": "hair", "face-to-change": [one], "hair": [two]}
    answer = post(console, "/submit/choice", **chosen)
    hands.go_on = kept
    with transaction(engine) as session:
        session.execute(update(Intake).values(seen_at=func.now() - 2 * intakes.SILENT))
    found, _ = checked(console, engine, answer.headers["Location"])
    assert (found.status, found.sound) == ("checked", 1)


def test_the_api_imports_as_the_pages_do(console, engine):
    secret = token(engine, "olga", Role.OPERATOR)
    bearer = {"Authorization": f"Bearer {secret}"}
    one, two = send(console, 1, 2)
    words = [each["word"] for each in console.get("/api/v1/looks", headers=bearer).json["looks"]]
    assert words == [look.word for look in LOOKS]
    asked = {"name": "api", "faces": [one], "look": "hair", "picked": {"hair": [two]}}
    begun = console.post("/api/v1/imports/choice", json=asked, headers=bearer)
    assert begun.status_code == 202, begun.text
    number = begun.json["import"]["id"]
    checked(console, engine, f"/imports/{number}")
    rows = console.get(f"/api/v1/imports/{number}/rows", headers=bearer).json["rows"]
    assert [row["name"] for row in rows] == ["face-1 × face-2"]
    queue = f"/api/v1/imports/{number}/queue"
    done = console.post(queue, json={"deadline": "2h"}, headers=bearer)
    assert done.json["import"]["status"] == "queued", done.text
    with transaction(engine) as session:
        (job,) = jobs.jobs(session, batch_id=done.json["import"]["batch_id"])
    assert job.deadline is not None
    person(engine, "otto", Role.OPERATOR)
    other = {"Authorization": f"Bearer {token(engine, 'otto', Role.OPERATOR)}"}
    assert console.post(queue, json={}, headers=other).status_code == 404


def test_the_same_key_with_another_file_of_the_same_length_is_refused(console, engine):
    headers = {"Idempotency-Key": "k1", "X-CSRF-Token": csrf(console)}

    def upload(table):
        data = {"table": (io.BytesIO(table), "t.csv"), "pictures": [face(1), face(2)]}
        return console.post("/api/v1/imports", data=data, headers=headers)

    table = b"name,identity,hair\na,face-1.png,face-2.png\n"
    first, again = upload(table), upload(table)
    assert first.status_code == again.status_code == 202
    assert again.headers["Idempotent-Replay"] == "true" and first.json == again.json
    assert upload(table.replace(b"\na,", b"\nb,")).status_code == 409


ROWS = 1_100


@pytest.fixture
def waiting(engine):
    """An import of 1,100 sound rows that somebody has said yes to; its number."""
    one, two = builders.known_portraits(engine, 2)
    rows = [
        PlannedRow(
            line=n, name=f"row {n}", spec=builders.hair_spec(one, two, seed=n), priority=n % 3
        )
        for n in range(1, ROWS + 1)
    ]
    olga = person(engine, "olga", Role.OPERATOR)
    with transaction(engine) as session:
        number = intakes.begin(session, olga.id, "night", {"kind": "choice"})
        intakes.add_rows(session, number, 1, rows)
        intakes.end_check(session, number, "d" * 64)
        intakes.order(session, number, {"by": "olga", "via": "console"})
    return number


def test_a_console_killed_while_it_queues_leaves_nothing_out_and_doubles_nothing(
    engine, settings, waiting, tmp_path
):
    def find():
        with transaction(engine) as session:
            return intakes.find(session, waiting)

    with System(settings, tmp_path / "logs") as system:
        system.start_console()  # goes on with what an earlier one was at
        system.wait(lambda: (filled := find().filled) and filled.jobs, "a first slice", 60)
        system.processes[-1].kill()
        found = find()
        filled = found.filled
        assert found.status is IntakeStatus.QUEUEING and 0 < filled.jobs < ROWS
        (batch,) = batches(engine)
        assert (batch.filling, batch.finished, batch.total) == (True, False, filled.jobs)
        with transaction(engine) as session, pytest.raises(Conflict, match="still being queued"):
            jobs.cancel_batch(session, batch.id, by="olga")
        assert builders.Crew(engine, settings).tick() == 0, "nothing is handed out yet"
        system.start_console()
        system.wait(lambda: find().status is IntakeStatus.QUEUED, "the rest", 60)
        system.processes[-1].stop()
    (batch,) = batches(engine)
    assert (find().batch_id, batch.filling, batch.total) == (batch.id, False, ROWS)
    with engine.connect() as connection:
        told = connection.execute(select(Job.name, Job.priority).order_by(Job.id)).all()
        stages = connection.scalar(select(func.count()).select_from(Stage))
        told_of = connection.execute(select(Audit.data).where(Audit.verb == "submit")).scalars()
        assert [entry["jobs"] for entry in told_of] == [ROWS]
    assert [tuple(row) for row in told] == [(f"row {n}", n % 3) for n in range(1, ROWS + 1)]
    assert stages == 6 * ROWS
    assert builders.Crew(engine, settings).tick() > 0


def test_a_row_that_cannot_be_queued_any_more_ends_the_import_with_what_is_queued(
    engine, settings, waiting
):
    missing = builders.hair_spec(PortraitKey("e" * 64), PortraitKey("f" * 64)).to_json()
    with transaction(engine) as session:
        session.execute(update(IntakeRow).where(IntakeRow.place == 500).values(spec=missing))
    Reader(engine=engine, store=Store(settings.store_dir), settings=settings).go_on(waiting)
    (batch,) = batches(engine)
    assert (batch.filling, batch.total) == (False, 400)
    with transaction(engine) as session:
        found = intakes.find(session, waiting)
    assert found.status is IntakeStatus.BROKEN
    assert found.problem.endswith(f"; 400 jobs are queued as batch {batch.id}")


def test_two_consoles_at_one_import_write_each_row_once(engine, waiting):
    with transaction(engine) as session:
        batch = jobs.begin(session, name="night")
        first = intakes.fill(session, waiting, None, Filled(batch_id=batch, place=0, jobs=0))
    with transaction(engine) as session:
        intakes.fill(session, waiting, first, Filled(batch_id=batch, place=9, jobs=9))
    with transaction(engine) as session, pytest.raises(Conflict, match="another console"):
        intakes.fill(session, waiting, first, Filled(batch_id=batch, place=9, jobs=9))
