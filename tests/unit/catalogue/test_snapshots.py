"""Snapshots on disk: found by what they follow from, refused when anything differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from barber.catalogue.claims import Claim
from barber.catalogue.snapshots import Kept, SnapshotFiles
from barber.catalogue.store import Store
from barber.errors import StoreError
from barber.plan import plan
from barber.spec import JobSpec, PortraitKey

SPEC = JobSpec(identity=PortraitKey("a" * 64), bundle="b" * 64)
FIRST, BLEND = plan(SPEC)
CLAIM = Claim(stage_id=7, job_id=1, token=1, spec=SPEC, planned=FIRST, bundle_name="tiny")
FACTS = {"torch": "2.9.0", "device": "cpu", "threads": "1"}


@pytest.fixture
def files(tmp_path: Path) -> SnapshotFiles:
    return SnapshotFiles(Store(tmp_path / "store"))


def kept(taken: int) -> Kept:
    return Kept(taken=taken, note=f"fs {taken}/300", data=b"state\nafter %d" % taken)


def test_what_was_written_last_is_found(files: SnapshotFiles) -> None:
    for taken in (20, 40):
        files.write(CLAIM, FACTS, kept(taken))
    assert files.find(FIRST.key, FACTS) == (kept(40), [])
    assert len(list(files.folder.iterdir())) == 1


def test_nothing_is_found_where_nothing_was_written(files: SnapshotFiles) -> None:
    assert files.find(FIRST.key, FACTS) == (None, [])
    assert files.artifacts() == set() and files.remove([FIRST.key]) == 0


def test_late_write_of_a_fenced_worker_leaves_its_successors_alone(files: SnapshotFiles) -> None:
    files.write(replace(CLAIM, token=2), FACTS, kept(80))
    files.write(CLAIM, FACTS, kept(30))
    assert files.find(FIRST.key, FACTS) == (kept(80), [])


def test_other_artifacts_snapshots_are_not_touched(files: SnapshotFiles) -> None:
    files.write(CLAIM, FACTS, kept(20))
    other = replace(CLAIM, stage_id=8, planned=BLEND)
    path = files.write(other, FACTS, kept(60))
    assert files.find(FIRST.key, FACTS) == (kept(20), [])
    assert files.artifacts() == {FIRST.key, BLEND.key}
    assert files.remove([FIRST.key, BLEND.key], but=path) == 1
    assert files.artifacts() == {BLEND.key}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({**FACTS, "torch": "2.10.0"}, "made with torch 2.9.0, now 2.10.0"),
        ({**FACTS, "threads": "2"}, "made with threads 1, now 2"),
        ({**FACTS, "artifact 0123": "f" * 64}, "made with artifact 0123 unknown, now ffff"),
        ({"torch": "2.9.0", "device": "cpu"}, "made with threads 1, now unknown"),
    ],
)
def test_snapshot_made_from_something_else_is_refused_in_words(
    files: SnapshotFiles, facts: dict[str, str], reason: str
) -> None:
    files.write(CLAIM, FACTS, kept(20))
    found, reasons = files.find(FIRST.key, facts)
    assert found is None and len(reasons) == 1 and reason in reasons[0]


@pytest.mark.parametrize("harm", ["cut", "changed", "emptied", "foreign"])
def test_damaged_snapshot_is_refused_and_a_sound_one_beside_it_is_used(
    files: SnapshotFiles, harm: str
) -> None:
    path = files.write(CLAIM, FACTS, kept(80))
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[:-1],
            "changed": whole.replace(b"after 80", b"after 99"),
            "emptied": b"",
            "foreign": b"not one of ours\n",
        }[harm]
    )
    assert files.find(FIRST.key, FACTS) == (None, ["a snapshot is damaged"])
    files.write(replace(CLAIM, token=2), FACTS, kept(20))
    assert files.find(FIRST.key, FACTS) == (kept(20), ["a snapshot is damaged"])


def test_file_under_another_artifacts_name_is_refused(files: SnapshotFiles) -> None:
    path = files.write(CLAIM, FACTS, kept(20))
    path.rename(path.with_name(path.name.replace(FIRST.key, BLEND.key)))
    found, reasons = files.find(BLEND.key, FACTS)
    assert found is None and reasons == ["a snapshot is of another version of this program"]


def test_what_cannot_be_written_says_so_and_leaves_nothing(files: SnapshotFiles) -> None:
    files.folder.parent.mkdir(parents=True)
    files.folder.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot be written"):
        files.write(CLAIM, FACTS, kept(20))
    unfinished = files.folder.parent / "unfinished"
    assert not unfinished.exists() or not list(unfinished.iterdir())
