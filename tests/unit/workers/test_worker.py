"""The worker's door: what it refuses before anything is loaded."""

import pytest

from workers import worker
from workers.endings import REFUSED_EXIT_CODE

DATABASE = "postgresql+psycopg2://u:p@127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BARBER_DATABASE_URL", DATABASE)
    monkeypatch.setenv("BARBER_HOME", str(tmp_path))
    monkeypatch.setattr(worker, "configure_logging", lambda: None)


@pytest.mark.parametrize("queues", ["", "gpu,tpu"])
def test_unknown_queue_is_refused(queues, caplog):
    assert worker.main(["--queues", queues, "--name", "w"]) == REFUSED_EXIT_CODE
    assert "use gpu, cpu, or gpu,cpu" in caplog.text


def test_missing_bundle_is_refused_before_the_pool_starts(monkeypatch, caplog):
    monkeypatch.setenv("BARBER_BUNDLE", "/nowhere/bundle")

    assert worker.main(["--name", "w"]) == REFUSED_EXIT_CODE
    assert "/nowhere/bundle" in caplog.text


def test_missing_setting_is_named(monkeypatch, caplog):
    monkeypatch.delenv("BARBER_DATABASE_URL")

    assert worker.main(["--name", "w"]) == REFUSED_EXIT_CODE
    assert "BARBER_DATABASE_URL is not set" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BARBER_SOFT_LIMIT_S", "shave=3", "BARBER_SOFT_LIMIT_S has 'shave=3'"),
        (
            "BARBER_SOFT_LIMIT_S",
            "20000",
            "is 20000 for reconstruct, which BARBER_HARD_LIMIT_S ends",
        ),
        ("BARBER_FAILPOINT", "target:never", "BARBER_FAILPOINT names 'target:never'"),
    ],
)
def test_unusable_limit_is_refused_at_the_door(monkeypatch, caplog, name, value, said):
    monkeypatch.setenv(name, value)

    assert worker.main(["--name", "w"]) == REFUSED_EXIT_CODE
    assert said in caplog.text
