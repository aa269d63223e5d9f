"""Half-written files: which there are, and which are left alone."""

import os
import time

import pytest

from barber.catalogue.store import Store
from barber.unfinished import clear_unfinished


@pytest.fixture
def home(tmp_path):
    Store(tmp_path / "store").put(b"whole")
    for part in ("store/unfinished/x", "broker/messages/taken-1_x.gpu.msg.part"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).touch()
    (tmp_path / "broker" / "messages" / "1_x.gpu.msg").touch()
    return tmp_path


def files(home):
    return {path.name for path in home.rglob("*") if path.is_file()}


def test_only_what_is_half_written_goes(home):
    whole = {path.name for path in (home / "store").rglob("*") if len(path.name) == 64}

    assert clear_unfinished(home) == 2
    assert files(home) == whole | {"1_x.gpu.msg"}
    assert clear_unfinished(home) == 0


def test_what_somebody_may_still_write_stays(home):
    old = home / "store" / "unfinished" / "x"
    os.utime(old, (time.time() - 100, time.time() - 100))

    assert clear_unfinished(home, older_s=50) == 1
    assert not old.exists()


def test_a_home_that_does_not_exist_has_none(tmp_path):
    assert clear_unfinished(tmp_path / "none") == 0
