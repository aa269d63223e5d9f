"""Celery's result tables: a planted pickle stays a heap of bytes."""

import pickle
from pathlib import Path

import pytest
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


@pytest.mark.matrix(24)
def test_planted_pickle_is_not_loaded(settings, tmp_path):
    app = create_app(settings)
    app.backend.store_result("good", {"error": 0}, "SUCCESS")
    victim = tmp_path / "unpickled"
    engine = create_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE celery_taskmeta SET result = :bytes WHERE task_id = 'good'"),
            {"bytes": pickle.dumps(Planted(victim))},
        )
    engine.dispose()

    with pytest.raises((DecodeError, ValueError)):
        app.backend.get_task_meta("good", cache=False)
    assert not victim.exists()


def test_plain_result_comes_back(settings):
    app = create_app(settings)
    app.backend.store_result("good", {"error": 0}, "SUCCESS")

    assert app.backend.get_task_meta("good", cache=False)["result"] == {"error": 0}
