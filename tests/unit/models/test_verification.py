from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import safetensors.torch
import torch

from barber.manifest import FileRecord
from barber.models.verification import Finding, verify
from tests.support.system import write_tiny_bundle

TRIALS = ["generator", "face parser", "LPIPS", "statistics"]


def bad(findings: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.said for finding in findings if not finding.sound}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "tiny")
    return tmp_path / "tiny"


def rewrite(path: Path, file: str, key: str, value: float) -> None:
    """Fills an entry and makes the manifest agree."""
    state = safetensors.torch.load_file(path / file)
    state[key].fill_(value)
    safetensors.torch.save_file(state, path / file)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][file] = asdict(FileRecord.of(path / file))
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_a_sound_bundle_is_looked_at_in_every_part(path: Path) -> None:
    findings = list(verify(path))

    assert bad(findings) == {}
    weights = [f"{n}.safetensors" for n in ("generator", "perceptual", "segmenter", "statistics")]
    assert [finding.what for finding in findings] == ["manifest", *weights, "networks", *TRIALS]
    assert "64x64 pixels" in findings[-4].said


def test_a_changed_byte_is_found_and_nothing_is_loaded(path: Path) -> None:
    file = path / "segmenter.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    (path / "generator.safetensors").unlink()

    findings = list(verify(path))

    assert set(bad(findings)) == {"generator.safetensors", "segmenter.safetensors"}
    assert "copy the bundle again" in bad(findings)["segmenter.safetensors"]
    assert "networks" not in [finding.what for finding in findings]


def test_a_manifest_that_cannot_be_read_ends_it(path: Path) -> None:
    (path / "manifest.json").write_text("{")

    assert [finding.what for finding in verify(path)] == ["manifest"]


def test_weights_that_are_not_finite_are_found(path: Path) -> None:
    rewrite(path, "generator.safetensors", "conv1.activate.bias", torch.nan)

    assert "not finite" in bad(list(verify(path)))["networks"]


def test_networks_that_overflow_are_found_by_trying_them(path: Path) -> None:
    rewrite(path, "generator.safetensors", "to_rgbs.3.bias", torch.finfo(torch.float32).max)
    rewrite(path, "generator.safetensors", "to_rgbs.2.bias", torch.finfo(torch.float32).max)

    assert (
        "picture of a code holds a value that is not finite" in bad(list(verify(path)))["generator"]
    )


def test_a_landmark_predictor_is_compared_too(path: Path) -> None:
    (path / "landmarks.dat").write_bytes(b"abc")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["landmarks"] = asdict(FileRecord.of(path / "landmarks.dat"))
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert bad(list(verify(path))) == {}

    (path / "landmarks.dat").write_bytes(b"abd")
    assert "landmarks.dat" in bad(list(verify(path)))
