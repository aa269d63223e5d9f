from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from barber.errors import CheckpointError
from barber.manifest import FileRecord, Manifest, read_manifest
from barber.models import checkpoints
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from tests.support.tiny_bundle import tiny_bundle

Change = Callable[[dict[str, Tensor]], object]


def write(path: Path, *, name: str = "written") -> Manifest:
    bundle = tiny_bundle()
    return checkpoints.write_bundle(
        path,
        name=name,
        geometry=bundle.geometry,
        generator=bundle.generator,
        segmenter=bundle.segmenter,
        vgg=bundle.vgg,
        heads=bundle.perceptual.heads.state_dict(),
        pca=bundle.pca,
        w_avg=bundle.w_avg,
        presets={"demo": {"target": {"steps": 3}}},
        licence="none needed",
        source="drawn from a seed",
        scores={"psnr_db": 12.5},
    )


def alter(path: Path, file: str, change: Change) -> None:
    """Changes a weight file and makes the manifest agree with its new bytes."""
    state = safetensors.torch.load_file(path / file)
    change(state)
    safetensors.torch.save_file(state, path / file)
    data = json.loads((path / "manifest.json").read_text())
    record = FileRecord.of(path / file)
    data["files"][file] = {"sha256": record.sha256, "bytes": record.bytes}
    (path / "manifest.json").write_text(json.dumps(data))


def test_a_written_bundle_loads_and_computes_the_same(tmp_path: Path) -> None:
    manifest, original = write(tmp_path / "b"), tiny_bundle()

    loaded = ModelBundle.load(tmp_path / "b")

    assert loaded.manifest == manifest == read_manifest(tmp_path / "b")
    assert loaded.digest == manifest.digest
    assert (loaded.name, loaded.presets) == ("written", {"demo": {"target": {"steps": 3}}})
    w_plus = original.w_avg.expand(1, original.geometry.rows, -1)
    picture = loaded.generator.synthesize(w_plus, Noise.buffers())
    assert torch.equal(picture, original.generator.synthesize(w_plus, Noise.buffers()))
    assert torch.equal(loaded.segmenter(picture), original.segmenter(picture))
    assert torch.equal(loaded.pca.p_norm(w_plus), original.pca.p_norm(w_plus))
    target = original.perceptual.features(picture * 0.5)
    assert torch.equal(
        loaded.perceptual.distance(picture, target), original.perceptual.distance(picture, target)
    )


def test_a_loaded_bundle_is_frozen(tmp_path: Path) -> None:
    write(tmp_path / "b")

    loaded = ModelBundle.load(tmp_path / "b")

    for network in (loaded.generator, loaded.segmenter, loaded.perceptual):
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())


def test_writing_again_replaces_the_whole_folder(tmp_path: Path) -> None:
    write(tmp_path / "b")
    (tmp_path / "b" / "leftover").touch()

    write(tmp_path / "b", name="again")

    assert read_manifest(tmp_path / "b").name == "again"
    assert not (tmp_path / "b" / "leftover").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_failed_write_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "b")

    def full(*_: object) -> FileRecord:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "_write", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write(tmp_path / "b", name="again")

    assert ModelBundle.load(tmp_path / "b").name == "written"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("file", ["generator", "segmenter", "perceptual", "statistics"])
def test_a_damaged_file_is_refused_by_its_digest(tmp_path: Path, file: str) -> None:
    write(tmp_path / "b")
    path = tmp_path / "b" / f"{file}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    with pytest.raises(CheckpointError, match=rf"{file}\.safetensors has sha256"):
        ModelBundle.load(tmp_path / "b")


def test_a_truncated_file_is_refused_by_its_length(tmp_path: Path) -> None:
    write(tmp_path / "b")
    path = tmp_path / "b" / checkpoints.SEGMENTER_FILE
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(CheckpointError, match=r"segmenter\.safetensors has \d+ bytes, not \d+"):
        ModelBundle.load(tmp_path / "b")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b")
    (tmp_path / "b" / checkpoints.STATISTICS_FILE).unlink()

    with pytest.raises(CheckpointError, match=r"statistics\.safetensors cannot be read"):
        ModelBundle.load(tmp_path / "b")


def test_a_file_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b")
    data = json.loads((tmp_path / "b" / "manifest.json").read_text())
    del data["files"][checkpoints.PERCEPTUAL_FILE]
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(data))

    with pytest.raises(CheckpointError, match=r"does not list perceptual\.safetensors"):
        ModelBundle.load(tmp_path / "b")


def test_bytes_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not a weight file")

    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        checkpoints.read_tensors(path, FileRecord.of(path))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("generator", lambda s: s.pop("conv1.noise.weight"), r"lacks 'conv1\.noise\.weight'"),
        ("segmenter", lambda s: s.update(surplus=torch.ones(1)), "surplus entry 'surplus'"),
        (
            "perceptual",
            lambda s: s.update({"features.0.bias": torch.ones(3)}),
            r"'features\.0\.bias' has shape \(3,\), not \(8,\)",
        ),
        (
            "generator",
            lambda s: s["style.1.bias"].fill_(float("nan")),
            r"'style\.1\.bias' holds a value that is not finite",
        ),
        ("perceptual", lambda s: s.pop("lin2.model.1.weight"), "LPIPS heads do not fit"),
        ("statistics", lambda s: s["stdev"].zero_(), "'stdev' holds a value that is not positive"),
        ("statistics", lambda s: s.pop("w_avg"), "lacks 'w_avg'"),
    ],
)
def test_entries_of_another_architecture_are_refused_by_name(
    tmp_path: Path, file: str, change: Change, message: str
) -> None:
    write(tmp_path / "b")
    alter(tmp_path / "b", f"{file}.safetensors", change)

    with pytest.raises(CheckpointError, match=message):
        ModelBundle.load(tmp_path / "b")
