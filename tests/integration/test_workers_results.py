"""Celery's result tables: a planted pickle stays a heap of bytes."""

import json
import pickle
from pathlib import Path

import pytest
from celery.exceptions import SecurityError
from kombu.exceptions import DecodeError
from sqlalchemy import create_engine, text

from workers.app import create_app

pytestmark = pytest.mark.integration


class Planted:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def plant(settings, statement, value):
    engine = create_engine(settings.database_url)
    with engine.begin() as connection:
        assert connection.execute(text(statement), {"value": value}).rowcount == 1
    engine.dispose()


# Every place of Celery's two tables that a reader decodes, and how it is read.
PLACES = {
    "result": (
        "UPDATE celery_taskmeta SET result = :value WHERE task_id = 'good'",
        lambda backend: backend.get_task_meta("good", cache=False),
    ),
    "children": (
        "UPDATE celery_taskmeta SET children = :value WHERE task_id = 'good'",
        lambda backend: backend.get_task_meta("good", cache=False),
    ),
    "failure": (
        "UPDATE celery_taskmeta SET result = :value, status = 'FAILURE' WHERE task_id = 'good'",
        lambda backend: backend.get_result("good"),
    ),
    "group": (
        "UPDATE celery_tasksetmeta SET result = :value WHERE taskset_id = 'all'",
        lambda backend: backend.restore_group("all", cache=False),
    ),
}


@pytest.fixture
def backend(settings):
    app = create_app(settings)
    app.backend.store_result("good", {"error": 0}, "SUCCESS")
    app.backend.save_group("all", app.GroupResult("all", [app.AsyncResult("good")]))
    return app.backend


@pytest.mark.matrix(24)
@pytest.mark.parametrize("place", PLACES)
def test_planted_pickle_is_not_loaded(settings, backend, tmp_path, place):
    statement, read = PLACES[place]
    victim = tmp_path / "unpickled"
    assert read(backend) is not None, "what is there before is read"
    plant(settings, statement, pickle.dumps(Planted(victim)))

    with pytest.raises((DecodeError, ValueError)):
        read(backend)
    assert not victim.exists()


def test_planted_failure_calls_nothing_that_is_no_exception(settings, backend, tmp_path):
    victim = tmp_path / "called"
    gadget = {"exc_module": "os", "exc_type": "system", "exc_message": [f"touch {victim}"]}
    plant(settings, PLACES["failure"][0], json.dumps(gadget).encode())

    with pytest.raises(SecurityError):
        backend.get_task_meta("good", cache=False)
    assert not victim.exists()


def test_plain_result_comes_back(settings):
    app = create_app(settings)
    app.backend.store_result("good", {"error": 0}, "SUCCESS")

    assert app.backend.get_task_meta("good", cache=False)["result"] == {"error": 0}
