"""Failpoints: read from the setting, fired once."""

import os
import signal
import subprocess
import sys

import pytest

from barber.errors import SettingsError, StageError
from barber.plan import StageKind
from barber.settings import Settings
from workers.failpoints import Failpoints, Point
from workers.retry import Action, judge


def failpoints(tmp_path, text):
    url = "postgresql+psycopg2://u:p@127.0.0.1:1/none"
    return Failpoints(Settings(database_url=url, home=tmp_path, failpoint=text))


def test_point_fires_once_per_installation(tmp_path):
    with pytest.raises(StageError, match="align:mid"):
        failpoints(tmp_path, "align:mid:fail").hit(StageKind.ALIGN, Point.MID)

    failpoints(tmp_path, "align:mid:fail").hit(StageKind.ALIGN, Point.MID)


def test_other_points_and_kinds_are_left_alone(tmp_path):
    points = failpoints(tmp_path, "align:mid:fail")

    points.hit(StageKind.ALIGN, Point.BEFORE_FINISH)
    points.hit(StageKind.BLEND, Point.MID)


def test_kill_is_the_default_effect(tmp_path):
    code = (
        "import sys; sys.path.insert(0, '.'); from pathlib import Path;"
        "from barber.plan import StageKind; from barber.settings import Settings;"
        "from workers.failpoints import Failpoints, Point;"
        f"s = Settings(database_url='postgresql+psycopg2://', home=Path({str(tmp_path)!r}),"
        "failpoint='blend:after_claim');"
        "Failpoints(s).hit(StageKind.BLEND, Point.AFTER_CLAIM)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9


def test_error_is_one_that_is_tried_again(tmp_path):
    with pytest.raises(OSError, match="align:mid") as caught:
        failpoints(tmp_path, "align:mid:error").hit(StageKind.ALIGN, Point.MID)
    assert judge(caught.value).action is Action.RETRY


def test_poison_kills_each_time(tmp_path, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, sign: killed.append(sign))
    for _ in range(2):
        failpoints(tmp_path, "align:mid:poison").hit(StageKind.ALIGN, Point.MID)
    assert killed == [signal.SIGKILL] * 2


@pytest.mark.parametrize("text", ["align", "align:never", "shave:mid", "align:mid:explode"])
def test_unknown_point_is_refused(tmp_path, text):
    with pytest.raises(SettingsError, match=text):
        failpoints(tmp_path, text)
