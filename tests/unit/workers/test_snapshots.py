"""The rate at which a claim's snapshots are taken, and that none of them can fail a stage."""

from dataclasses import dataclass, replace

import pytest

from barber.catalogue.snapshots import SnapshotFiles
from barber.catalogue.stages import Claim
from barber.catalogue.store import Store
from barber.plan import plan
from barber.spec import JobSpec, PortraitKey
from workers import snapshots
from workers.snapshots import Keeper

SPEC = JobSpec(identity=PortraitKey("a" * 64), bundle="b" * 64)
CLAIM = Claim(stage_id=1, job_id=1, token=2, spec=SPEC, planned=plan(SPEC)[0], bundle_name="tiny")
FACTS = {"torch": "2.9.0"}


@dataclass
class Taken:
    taken: int

    def to_bytes(self):
        return b"%d" % self.taken


class Walk:
    """Reports of a stage of two phases, as a keeper sees them."""

    phase, losses, preview = "fs", {}, None

    def __init__(self, phases):
        self.steps = sum(phases)
        self._ends = {sum(phases[: k + 1]) for k in range(len(phases))}
        self.step = 0

    @property
    def snapshot(self):
        return None if self.step in self._ends else lambda: Taken(self.step)

    def reports(self):
        while self.step < self.steps:
            self.step += 1
            yield self


@pytest.fixture
def clock(monkeypatch):
    """The time that a keeper sees; set `now` to pass it."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(snapshots.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def files(tmp_path):
    return SnapshotFiles(Store(tmp_path / "store"))


def on_disk(files):
    kept, _ = files.find(CLAIM.planned.key, FACTS)
    return kept.taken if kept else 0


@pytest.mark.parametrize("phases", [[300], [49, 200], [50, 200], [51, 98], [100, 49], [98, 1]])
def test_a_kill_at_any_step_repeats_fifty_steps_at_most(files, clock, phases):
    keeper = Keeper(files, CLAIM, FACTS, every_s=1e6)
    repeated = []
    for report in Walk(phases).reports():
        repeated.append(report.step - on_disk(files))  # killed after this step, before a snapshot
        keeper.after_step(report)
    assert 40 < max(repeated) <= 50


def test_snapshots_are_as_far_apart_as_the_setting_says(files, clock):
    keeper, seen = Keeper(files, CLAIM, FACTS, every_s=5.0), set()
    for report in Walk([30]).reports():
        clock.now = float(report.step)  # a step a second
        keeper.after_step(report)
        seen.add(on_disk(files))
    assert seen == {0, 5, 10, 15, 20, 25}


def test_snapshot_that_a_phases_end_withholds_comes_with_the_next_step(files, clock):
    keeper = Keeper(files, CLAIM, FACTS, every_s=0.0)
    found = [(keeper.after_step(report), on_disk(files))[1] for report in Walk([3, 3]).reports()]
    assert found == [1, 2, 2, 4, 5, 5]


def test_first_snapshot_takes_the_place_of_what_earlier_attempts_left(files, clock):
    for token in (1, 2):
        keeper = Keeper(files, replace(CLAIM, token=token), FACTS, every_s=0.0)
        keeper.after_step(next(Walk([9]).reports()))
        assert [path.name.rpartition(".")[2] for path in files.folder.iterdir()] == [str(token)]


def test_full_disk_is_told_once_and_stops_nothing(files, clock, caplog):
    files.folder.parent.mkdir(parents=True)
    files.folder.write_text("a file where the folder should be")
    keeper = Keeper(files, CLAIM, FACTS, every_s=0.0)
    for report in Walk([5]).reports():
        keeper.after_step(report)
    told = [record for record in caplog.records if "without snapshots" in record.message]
    assert len(told) == 1


def test_first_attempt_without_a_snapshot_is_no_news_and_a_repeated_one_is(files):
    assert Keeper(files, replace(CLAIM, token=1), FACTS, every_s=0).find() == (None, "")
    kept, reason = Keeper(files, CLAIM, FACTS, every_s=0).find()
    assert kept is None and reason == "there is no snapshot of it"


def test_other_machines_snapshot_is_refused_with_the_difference(files, clock):
    keeper = Keeper(files, CLAIM, {"device_name": "H200"}, every_s=0.0)
    keeper.after_step(next(Walk([9]).reports()))
    kept, reason = Keeper(files, CLAIM, {"device_name": "A100"}, every_s=0.0).find()
    assert kept is None and "device_name H200, now A100" in reason
