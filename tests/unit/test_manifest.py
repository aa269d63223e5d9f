from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from barber.errors import CheckpointError
from barber.manifest import (
    LANDMARKS_NAME,
    FileRecord,
    Manifest,
    Origin,
    find_bundle,
    landmarks_file,
    read_manifest,
)
from tests.support.tiny_bundle import tiny_manifest


def write(folder: Path, manifest: Manifest) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest.to_json()))
    return folder


def test_a_manifest_survives_its_file(tmp_path: Path) -> None:
    manifest = tiny_manifest()

    assert read_manifest(write(tmp_path, manifest)) == manifest


def test_reading_a_manifest_needs_no_torch() -> None:
    code = "import sys, barber.manifest; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_digest_follows_what_stages_compute_with() -> None:
    manifest = tiny_manifest()
    geometry = replace(manifest.geometry, label_size=32)
    others = [
        replace(manifest, files={"drawn": FileRecord(sha256="0" * 64, bytes=0)}),
        replace(manifest, geometry=geometry),
        replace(manifest, segmenter={**manifest.segmenter, "pool": True}),
        replace(manifest, vgg={"blocks": [[4, 1]]}),
    ]

    digests = {manifest.digest, *(other.digest for other in others)}

    assert len(digests) == 5
    assert all(len(digest) == 64 for digest in digests)


def test_the_digest_ignores_what_only_people_read() -> None:
    manifest = tiny_manifest()
    renamed = replace(
        manifest, name="other", licence="MIT", scores={"psnr": 1.0}, presets={"x": {}}
    )

    assert renamed.digest == manifest.digest


def test_a_shipped_bundle_is_found_by_name_and_any_by_path(tmp_path: Path) -> None:
    shipped = write(tmp_path / "shipped" / "one", tiny_manifest())
    own = write(tmp_path / "own", tiny_manifest())

    assert find_bundle("one", shipped=tmp_path / "shipped") == shipped
    assert find_bundle(own, shipped=tmp_path / "shipped") == own
    assert find_bundle(str(own), shipped=tmp_path / "shipped") == own


def test_own_bundles_are_found_by_name_after_the_shipped_ones(tmp_path: Path) -> None:
    shipped, bundles = tmp_path / "shipped", tmp_path / "bundles"
    for folder in (shipped / "one", bundles / "one", bundles / "two"):
        write(folder, tiny_manifest())

    assert find_bundle("one", bundles, shipped=shipped) == shipped / "one"
    assert find_bundle("two", bundles, shipped=shipped) == bundles / "two"
    with pytest.raises(CheckpointError, match=r"\(one, one, two\)"):
        find_bundle("three", bundles, shipped=shipped)


def test_brought_files_and_landmarks_are_told_and_change_no_digest(tmp_path: Path) -> None:
    (tmp_path / LANDMARKS_NAME).write_bytes(b"abc")
    manifest = replace(
        tiny_manifest(),
        landmarks=FileRecord.of(tmp_path / LANDMARKS_NAME),
        origins={"generator": Origin(file="g.pt", sha256="0" * 64, bytes=9, licence="research")},
    )

    found = read_manifest(write(tmp_path, manifest))

    assert found == manifest
    assert found.digest == tiny_manifest().digest
    assert landmarks_file(tmp_path, found) == tmp_path / LANDMARKS_NAME
    assert landmarks_file(tmp_path, tiny_manifest()) is None
    (tmp_path / LANDMARKS_NAME).write_bytes(b"ab")
    with pytest.raises(CheckpointError, match="has not 3 bytes"):
        landmarks_file(tmp_path, found)


def test_an_unknown_bundle_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    write(tmp_path / "one", tiny_manifest())
    write(tmp_path / "two", tiny_manifest())

    with pytest.raises(CheckpointError, match=r"'three'.*\(one, two\)"):
        find_bundle("three", shipped=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "format None"),
        ('{"format": 99}', "format 99"),
        ('{"format": 1, "name": "x"}', "cannot be read: 'geometry'"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(CheckpointError, match=message):
        read_manifest(tmp_path)


def test_a_surplus_field_is_refused(tmp_path: Path) -> None:
    data = tiny_manifest().to_json() | {"surplus": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(data))

    with pytest.raises(CheckpointError, match="surplus"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"presets": 5},
        {"presets": {"demo": 5}},
        {"presets": {"demo": {"blend": {"steps": 0}}}},
        {"scores": None},
        {"scores": {"psnr": "high"}},
        {"name": 7},
        {"files": {"a": {"sha256": "0" * 64, "bytes": "x"}}},
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    data = tiny_manifest().to_json() | changes
    (tmp_path / "manifest.json").write_text(json.dumps(data))

    with pytest.raises(CheckpointError, match="the manifest cannot be read"):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no bundle"):
        read_manifest(tmp_path)
