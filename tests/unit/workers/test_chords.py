"""Outbox rows as Celery signatures."""

import base64
import json

import pytest

from barber.settings import Settings
from workers.app import create_app
from workers.chords import LOOKS_FOR_S, job_chord, look_interval_s, publish, stage_signature

PAYLOAD = {
    "job_id": 7,
    "generation": 2,
    "branches": [
        [
            {"stage_id": 11, "generation": 1, "kind": "reconstruct"},
            {"stage_id": 12, "generation": 1, "kind": "align"},
        ],
        [{"stage_id": 13, "generation": 4, "kind": "align"}],
    ],
}


@pytest.fixture
def app(tmp_path):
    url = "postgresql+psycopg2://u:p@127.0.0.1:1/none"
    return create_app(Settings(database_url=url, home=tmp_path))


def flat(signature):
    inner = signature.get("kwargs", {}).get("tasks")
    return [leaf for task in inner for leaf in flat(task)] if inner else [signature]


def test_header_holds_the_branches_and_the_body_the_fan_in(app):
    chord = job_chord(app, PAYLOAD)

    header = [[(leaf.task, leaf.args) for leaf in flat(branch)] for branch in chord.tasks]
    assert header == [
        [("barbershop.stage.reconstruct", (11, 1)), ("barbershop.stage.align", (12, 1))],
        [("barbershop.stage.align", (13, 4))],
    ]
    assert (chord.body.task, chord.body.args) == ("barbershop.fan_in", (7, 2))


def test_nothing_but_ids_travels(app):
    chord = job_chord(app, PAYLOAD)

    for leaf in [*flat(chord.tasks[0]), *flat(chord.tasks[1]), chord.body]:
        assert leaf.immutable
        assert leaf.kwargs == {}
        assert all(type(value) is int for value in leaf.args)


def test_stages_take_the_gpu_queue_and_the_body_the_cpu_queue(app):
    chord = job_chord(app, PAYLOAD)

    assert {leaf.options["queue"] for task in chord.tasks for leaf in flat(task)} == {"gpu"}
    assert chord.body.options["queue"] == "cpu"


def test_message_is_named_after_its_stage_so_that_it_can_be_revoked(app):
    signature = stage_signature(app, {"stage_id": 5, "generation": 3, "kind": "blend"})

    assert signature.options["task_id"] == "stage-5-3"


def test_publishing_a_chord_leaves_first_tasks_and_the_poller_and_touches_no_database(
    app, tmp_path
):
    publish(app, "chord", PAYLOAD)

    messages = [path.name for path in (tmp_path / "broker" / "messages").iterdir()]
    assert sorted(name.split(".")[1] for name in messages) == ["cpu", "gpu", "gpu"]


@pytest.mark.parametrize(
    ("chords", "workers", "seconds"),
    [(0, 0, 1), (20, 0, 1), (20, 1, 1), (21, 1, 2), (400, 1, 20), (400, 4, 5), (1000, 100, 1)],
)
def test_the_more_chords_are_open_the_more_seldom_each_is_looked_at(chords, workers, seconds):
    assert look_interval_s(chords, workers) == seconds


def test_a_seldom_look_lasts_as_long_as_a_frequent_one(app, tmp_path):
    publish(app, "chord", PAYLOAD, look_s=20)

    (poller,) = (tmp_path / "broker" / "messages").glob("*.cpu.*")
    message = json.loads(poller.read_text())
    assert message["headers"]["task"] == "celery.chord_unlock"
    _, told, _ = json.loads(base64.b64decode(message["body"]))
    assert (told["interval"], told["max_retries"]) == (20, LOOKS_FOR_S / 20)


def test_publishing_a_stage_leaves_one_message_with_its_ids(app, tmp_path):
    publish(app, "stage", {"stage_id": 5, "generation": 3, "kind": "target"})

    (message,) = (tmp_path / "broker" / "messages").iterdir()
    content = json.loads(message.read_text())
    assert content["headers"]["task"] == "barbershop.stage.target"
    assert json.loads(base64.b64decode(content["body"]))[0] == [5, 3]
