"""What a stage's own thread sees of the heartbeat."""

import threading

import numpy as np
import pytest

from barber.catalogue.stages import Claim, Pulse
from barber.errors import Cancelled
from barber.plan import StageKind, plan
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey
from barber.stages.descent import StepReport
from workers.heart import Heart
from workers.limits import Watch

SPEC = JobSpec(identity=PortraitKey("a" * 64), bundle="b" * 64)
CLAIM = Claim(stage_id=1, job_id=1, token=1, spec=SPEC, planned=plan(SPEC)[0], bundle_name="tiny")


def heart(*, progress_s=1000.0, lease_s=30.0, **options):
    url = "postgresql+psycopg2://u:p@127.0.0.1:1/none"
    options = {"watch": Watch(StageKind.ALIGN, soft_s=0, hang_s=0), "on_hang": print, **options}
    settings = Settings(database_url=url, progress_s=progress_s, lease_s=lease_s)
    return Heart(None, CLAIM, settings, **options)


def report(done=0.1, preview=None, snapshot=None):
    return StepReport(
        phase="w_plus",
        step=3,
        steps=30,
        done=done,
        losses={"total": 1.0},
        preview=preview,
        snapshot=snapshot,
    )


def picture():
    return np.zeros((8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pulse", "reason"),
    [
        (Pulse.CANCEL, "its job was cancelled"),
        (Pulse.LATE, "its job's deadline passed"),
        (Pulse.LOST, "its lease"),
    ],
)
def test_stage_stops_at_the_step_after_the_bad_news(pulse, reason):
    beating = heart()
    beating.on_step(report())
    beating.pulse = pulse

    with pytest.raises(Cancelled, match=reason):
        beating.on_step(report())


@pytest.mark.parametrize("hears", [True, False])
def test_stage_that_does_not_notice_its_end_is_ended(hears, monkeypatch):
    monkeypatch.setattr("workers.heart.LEAST_PATIENCE_S", 0.05)
    ended = threading.Event()
    errors = []
    beating = heart(progress_s=0.0, lease_s=0.1, on_hang=lambda e: (errors.append(e), ended.set()))

    def beat(_):
        beating.pulse = Pulse.CANCEL
        return True

    monkeypatch.setattr(beating, "_beat", beat)
    with beating:
        if not hears:
            assert ended.wait(20)
    assert [type(error) for error in errors] == ([] if hears else [Cancelled])
    if errors:
        assert "its job was cancelled, and it made no step" in str(errors[0])


def test_stage_stops_when_its_worker_leaves():
    with pytest.raises(Cancelled, match="its worker shuts down"):
        heart(is_leaving=lambda: True).on_step(report())


def test_previews_are_made_at_a_bounded_rate():
    made = []
    rarely, often = heart(progress_s=1000.0), heart(progress_s=0.0)

    for _ in range(5):
        rarely.on_step(report(preview=lambda: made.append("rarely") or picture()))
    for _ in range(5):
        often.on_step(report(preview=lambda: made.append("often") or picture()))

    assert made == ["often"] * 5


def test_second_half_is_announced():
    told = []
    beating = heart(on_middle=lambda: told.append(True))

    beating.on_step(report(done=0.4))
    assert told == []
    beating.on_step(report(done=0.6))
    assert told == [True]


def test_every_step_is_offered_to_the_keeper_and_the_last_one_taken_before_leaving():
    told = []

    class Keeper:
        def after_step(self, report):
            told.append("offered")

        def take(self, report):
            told.append("taken")

    leaving = []
    beating = heart(keeper=Keeper(), is_leaving=lambda: bool(leaving))
    beating.on_step(report())
    leaving.append(True)
    beating.on_step(report(snapshot=None))  # a phase's last step: what it came to is not known yet
    with pytest.raises(Cancelled):
        beating.on_step(report(snapshot=lambda: "a snapshot"))
    assert told == ["offered", "taken"]
