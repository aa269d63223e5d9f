"""Your own bundles on disk: whole or not at all, whatever ends the process that writes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from barber import shelf
from barber.errors import CheckpointError
from barber.manifest import FileRecord
from tests.support.tiny_bundle import tiny_manifest

WRITER = """
import sys, time, pathlib
from barber import shelf
with shelf.placing(pathlib.Path(sys.argv[1]), replace=True) as folder:
    (folder / "generator.safetensors").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def fill(folder: Path, text: str = "new") -> None:
    (folder / "words").write_text(text)
    record = FileRecord.of(folder / "words")
    manifest = {
        **tiny_manifest().to_json(),
        "files": {"words": {"sha256": record.sha256, "bytes": record.bytes}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def place(path: Path, text: str = "new", *, replace: bool = False) -> None:
    with shelf.placing(path, replace=replace) as folder:
        fill(folder, text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed_writer(path: Path) -> None:
    """Starts a process that writes a bundle, and kills it half way."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        with pytest.raises(CheckpointError, match="another process writes a bundle"):
            place(path, replace=True)
        process.send_signal(signal.SIGKILL)


def test_a_bundle_appears_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "bundles" / "mine"
    with shelf.placing(path, replace=False) as folder:
        fill(folder)
        assert not path.exists()

    assert names(path) == ["manifest.json", "words"]
    assert names(tmp_path / "bundles") == ["mine"]


def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mind"), shelf.placing(tmp_path / "mine", replace=False):
        raise ValueError("changed my mind")

    assert names(tmp_path) == []


def test_a_full_disk_is_told_and_leaves_the_old_bundle(tmp_path: Path) -> None:
    place(tmp_path / "mine", "old")

    with (
        pytest.raises(
            CheckpointError, match=r"cannot be written.*No space left on device.*make room"
        ),
        shelf.placing(tmp_path / "mine", replace=True),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert names(tmp_path) == ["mine"]
    assert (tmp_path / "mine" / "words").read_text() == "old"


def test_a_bundle_is_replaced_only_when_asked(tmp_path: Path) -> None:
    place(tmp_path / "mine", "old")

    with pytest.raises(CheckpointError, match=r"there is a bundle 'mine'.*--force"):
        place(tmp_path / "mine")
    place(tmp_path / "mine", replace=True)

    assert (tmp_path / "mine" / "words").read_text() == "new"
    assert names(tmp_path) == ["mine"]


def test_a_killed_writer_leaves_no_bundle_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    killed_writer(tmp_path / "mine")
    assert [entry.name for entry in shelf.entries(tmp_path, shipped=tmp_path / "none")] == []
    assert len(names(tmp_path)) == 1

    place(tmp_path / "other")

    assert names(tmp_path) == ["other"]


def test_a_writer_killed_between_two_renames_loses_no_bundle(tmp_path: Path) -> None:
    whole, half = tmp_path / ".part-a-1-x0x0x0x0", tmp_path / ".part-b-y1y1y1y1"
    for folder in (whole / "old", whole / "new", half / "old"):
        folder.mkdir(parents=True)
        fill(folder, folder.name)
    (half / "new").mkdir()

    place(tmp_path / "other")

    assert names(tmp_path) == ["a-1", "b", "other"]
    assert (tmp_path / "a-1" / "words").read_text() == "new"
    assert (tmp_path / "b" / "words").read_text() == "old"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CheckpointError, match="BARBER_BUNDLES"):
        place(tmp_path / "file" / "mine")


def test_removing_takes_the_whole_folder(tmp_path: Path) -> None:
    place(tmp_path / "mine")
    place(tmp_path / "other")

    shelf.remove(tmp_path / "mine")

    assert names(tmp_path) == ["other"]
    with pytest.raises(CheckpointError, match="cannot be removed"):
        shelf.remove(tmp_path / "mine")


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "-x", "a b", "ä", "x" * 65, "a\n"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="cannot be a bundle's name"):
        shelf.check_name(name)


def test_a_shipped_name_is_taken() -> None:
    shelf.check_name("ffhq-1024.v2_x")
    with pytest.raises(CheckpointError, match="ships with the software"):
        shelf.check_name("rendered-128")


def test_the_listing_names_what_is_damaged_at_a_glance(tmp_path: Path) -> None:
    for name in ("cut", "lacking", "sound", "unreadable"):
        place(tmp_path / "own" / name)
    place(tmp_path / "shipped" / "first")
    (tmp_path / "own" / "cut" / "words").write_text("ne")
    (tmp_path / "own" / "lacking" / "words").unlink()
    (tmp_path / "own" / "unreadable" / "manifest.json").write_text("{")

    found = shelf.entries(tmp_path / "own", shipped=tmp_path / "shipped")

    assert [(entry.name, entry.shipped) for entry in found] == [
        ("first", True),
        ("cut", False),
        ("lacking", False),
        ("sound", False),
        ("unreadable", False),
    ]
    faults = {entry.name: entry.fault for entry in found}
    assert faults["first"] == faults["sound"] == ""
    assert faults["cut"] == "words has 2 bytes, not 3"
    assert faults["lacking"] == "words is missing"
    assert "is not JSON" in faults["unreadable"]
    assert {entry.bytes for entry in found if entry.name != "unreadable"} == {3}


def test_too_small_a_disk_is_told_before_anything_is_written(tmp_path: Path) -> None:
    shelf.check_room(tmp_path / "not" / "yet", 1000)
    with pytest.raises(CheckpointError, match=r"needs 9536743 MB and the disk of .* MB free"):
        shelf.check_room(tmp_path / "not" / "yet", 10**13)

    assert names(tmp_path) == []
