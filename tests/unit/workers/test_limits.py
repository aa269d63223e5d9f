"""Time limits by stage, and the watch over one run."""

import pytest

from barber.errors import SettingsError, StageTimeout
from barber.plan import StageKind
from barber.settings import Settings
from workers import limits
from workers.limits import Limits, Watch, parse

URL = "postgresql+psycopg2://u:p@127.0.0.1:1/none"


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


def test_number_alone_holds_for_what_is_not_named():
    found = parse("BARBER_SOFT_LIMIT_S", "600, blend=1200,target=0")

    assert found == {"target": 0, "reconstruct": 600, "align": 600, "blend": 1200}
    assert set(parse("BARBER_SOFT_LIMIT_S", "blend=3").values()) == {0, 3}
    assert set(parse("BARBER_SOFT_LIMIT_S", "").values()) == {0}


@pytest.mark.parametrize("text", ["soon", "blend=", "shave=3", "-1", "nan", "blend=1e12"])
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(SettingsError, match="BARBER_HARD_LIMIT_S has"):
        parse("BARBER_HARD_LIMIT_S", text)


def test_soft_limit_lies_below_the_hard_one():
    with pytest.raises(SettingsError, match="9 for blend"):
        Limits.of(Settings(database_url=URL, soft_limit_s="blend=9", hard_limit_s="8"))
    Limits.of(Settings(database_url=URL, soft_limit_s="9", hard_limit_s="0"))


def test_step_past_the_soft_limit_says_so(clock):
    watch = Watch(StageKind.ALIGN, soft_s=10, hang_s=0)
    clock.now = 10.0
    watch.step()
    clock.now = 10.5
    with pytest.raises(StageTimeout, match="align was not done after 10 s"):
        watch.step()
    clock.now = 1e6
    assert watch.hang() is None, "no watch for hangs was asked for"


def test_hang_is_told_when_no_step_comes_for_long_enough(clock):
    watch = Watch(StageKind.BLEND, soft_s=0, hang_s=60)
    clock.now = 50.0
    watch.step()
    clock.now = 110.0
    assert watch.hang() is None
    clock.now = 111.0
    assert "blend made no step for 61 s" in str(watch.hang())


def test_each_run_of_a_stage_has_a_watch_of_its_own(clock):
    settings = Settings(database_url=URL, hang_leases=2, lease_s=30, soft_limit_s="blend=5")
    found = Limits.of(settings)
    clock.now = 100.0
    watch = found.watch(StageKind.BLEND)
    clock.now = 160.0
    assert watch.hang() is None
    with pytest.raises(StageTimeout):
        watch.step()
    clock.now = 221.0
    assert watch.hang() is not None
