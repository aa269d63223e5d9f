"""Public files to a bundle of one's own, on files of official shapes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from barber.errors import CheckpointError
from barber.labels import LabelSet
from barber.manifest import LANDMARKS_NAME, FileRecord, Origin, landmarks_file, read_manifest
from barber.models import adding, checkpoints, official
from barber.models.adding import Added, Brought, Request, add_bundle, check_landmarks
from barber.models.bundle import ModelBundle
from tests.support.official_files import (
    GEOMETRY,
    LANDMARKS_HEAD,
    generator_entries,
    parser_entries,
    save,
    save_generator,
    save_landmarks,
    save_pca,
    vgg_entries,
)

SAMPLES = 3000


def quiet(_what: str, _done: int, _total: int) -> None:
    """For nobody who looks."""


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Brought:
    folder = tmp_path_factory.mktemp("files")
    return Brought(
        generator=save_generator(folder / "ffhq.pt"),
        parser=save(folder / "79999_iter.pth", parser_entries(LabelSet.CELEBAMASK)),
        vgg=save(folder / "vgg16.pth", vgg_entries()),
        lpips=official.lpips_package_file(),
        landmarks=save_landmarks(folder / "shape_predictor_68_face_landmarks.dat"),
    )


@pytest.fixture(scope="module")
def added(
    brought: Brought, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Added, list[tuple[str, int, int]]]]:
    """A bundle made once, what was said about it, and the progress that was told."""
    path, told = tmp_path_factory.mktemp("bundles") / "mine", []
    result = add_bundle(
        Request(path=path, brought=brought, pca_samples=SAMPLES),
        lambda what, done, total: told.append((what, done, total)),
    )
    yield path, result, told
    for file in path.glob("*.safetensors"):  # some 210 MB
        file.unlink()


def test_a_bundle_of_public_files_is_written_whole(added: tuple[Path, Added, object]) -> None:
    path, result, _ = added
    manifest = read_manifest(path)

    assert manifest == result.manifest
    assert manifest.name == "mine"
    assert manifest.geometry == GEOMETRY
    assert manifest.segmenter["labels"] == "celebamask-19"
    assert {file.name for file in path.iterdir()} == {"manifest.json", *manifest.all_files}
    assert [p.name for p in path.parent.iterdir()] == ["mine"]


def test_its_manifest_tells_what_was_brought_and_computed(
    added: tuple[Path, Added, object], brought: Brought
) -> None:
    manifest = added[1].manifest

    record = FileRecord.of(brought.generator)
    assert manifest.origins["generator"] == Origin(
        file="ffhq.pt",
        sha256=record.sha256,
        bytes=record.bytes,
        licence=adding.LICENCES["generator"],
    )
    assert set(manifest.origins) == {"generator", "parser", "vgg", "lpips", "landmarks"}
    assert f"PCA statistics computed here from {SAMPLES} codes, seed 0" in manifest.source
    assert "research" in manifest.licence
    assert any("19 CelebAMask-HQ classes" in note for note in added[1].notes)


def test_its_networks_are_those_of_the_files(
    added: tuple[Path, Added, object], brought: Brought
) -> None:
    loaded = ModelBundle.load(added[0])

    state = official.read_generator(brought.generator).state
    found = loaded.generator.state_dict()
    assert all(torch.equal(found[key], state[key]) for key in state)
    assert loaded.segmenter.widths.labels is LabelSet.CELEBAMASK
    codes = loaded.generator.map(torch.randn(500, 512, generator=torch.Generator().manual_seed(8)))
    assert 0.8 < float(loaded.pca.p_norm(codes[None])) < 1.6


def test_its_landmarks_lie_beside_the_weights(
    added: tuple[Path, Added, object], brought: Brought
) -> None:
    path, result, _ = added

    found = landmarks_file(path, result.manifest)

    assert brought.landmarks is not None
    assert found == path / LANDMARKS_NAME
    assert found.read_bytes() == brought.landmarks.read_bytes()


def test_progress_tells_what_is_done_and_how_far(
    added: tuple[Path, Added, list[tuple[str, int, int]]],
) -> None:
    told = added[2]

    assert ("computing PCA statistics", SAMPLES, SAMPLES) in told
    assert told.index(("reading ffhq.pt", 0, 1)) < told.index(
        ("writing generator.safetensors", 0, 1)
    )


def test_a_taken_name_is_refused_before_a_file_is_read(
    added: tuple[Path, Added, object], brought: Brought
) -> None:
    missing = replace(brought, generator=Path("nowhere.pt"))
    with pytest.raises(CheckpointError, match=r"there is a bundle 'mine'.*--force"):
        add_bundle(Request(path=added[0], brought=missing), quiet)


Bad = Callable[[dict[str, Tensor]], object]


def refuse(folder: Path, brought: Brought, message: str, **request: object) -> None:
    """Adding fails with the message, and neither a bundle nor a trace of one is there."""
    folder.mkdir(exist_ok=True)
    with pytest.raises(CheckpointError, match=message):
        add_bundle(
            Request(path=folder / "mine", brought=brought, pca_samples=1000, **request), quiet
        )
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_be_used_leaves_nothing(tmp_path: Path, brought: Brought) -> None:
    broken = {**vgg_entries(), "features.0.bias": torch.full((64,), torch.nan)}
    for part, file, message in (
        ("generator", brought.parser, "holds a face parser.*--parser"),
        ("parser", brought.generator, "holds a StyleGAN2 checkpoint.*--generator"),
        ("vgg", save(tmp_path / "nan.pth", broken), "'features.0.bias' holds a value"),
        ("lpips", brought.vgg, "holds VGG features"),
        ("pca", brought.vgg, "no file of PCA statistics"),
        ("pca", save_pca(tmp_path / "small.npz", 9), "has shape"),
        ("landmarks", brought.vgg, "is not dlib's shape predictor"),
        ("vgg", tmp_path / "none.pth", r"none\.pth \(--vgg\) does not exist"),
    ):
        refuse(tmp_path / "bundles", replace(brought, **{part: file}), message)


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, brought: Brought, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _state: object) -> FileRecord:
        path.write_bytes(b"as far as it went")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints, "_write", full)
    refuse(tmp_path / "bundles", brought, "cannot be written .No space left on device")

    monkeypatch.setattr(adding.shelf, "SPARE_BYTES", 10**15)
    refuse(tmp_path / "bundles", brought, "the bundle needs 20[0-9] MB and the disk")


def test_a_name_that_cannot_be_is_refused(tmp_path: Path, brought: Brought) -> None:
    with pytest.raises(CheckpointError, match="cannot be a bundle's name"):
        add_bundle(Request(path=tmp_path / ".part-x", brought=brought), quiet)
    assert list(tmp_path.iterdir()) == []


def test_a_mean_is_computed_when_absent(
    tmp_path: Path, brought: Brought, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "MEAN_SAMPLES", 4000)
    torch.save({"g_ema": generator_entries()}, tmp_path / "trained.pt")
    own = replace(
        brought, generator=tmp_path / "trained.pt", pca=save_pca(tmp_path / "other_PCA.npz")
    )
    parts = adding._read(own, quiet)

    _, w_avg = adding._statistics(Request(path=tmp_path / "b", brought=own), parts, quiet)

    z = torch.randn(4000, 512, generator=torch.Generator().manual_seed(8))
    expected = adding._mapping(parts.generator)(z).mean(dim=0)
    torch.testing.assert_close(w_avg, expected, atol=0.15, rtol=0)
    assert parts.computed == ["mean latent computed here from 4000 codes, seed 0"]
    assert "trained.pt has no 'latent_avg'" in parts.notes[-2]
    assert "other_PCA.npz does not seem to belong to this generator" in parts.notes[-1]


def test_a_landmark_predictor_is_told_from_other_files(tmp_path: Path) -> None:
    (tmp_path / "packed.bz2").write_bytes(b"BZh91AY")
    (tmp_path / "words.dat").write_bytes(b"words")
    for path, message in (
        (tmp_path / "packed.bz2", "still packed: unpack it with `bunzip2"),
        (tmp_path / "words.dat", "is not dlib's shape predictor"),
        (tmp_path / "none.dat", "cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=message):
            check_landmarks(path)


def test_dlib_itself_tries_the_predictor_where_it_is_there(tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    whole = save_landmarks(tmp_path / "whole.dat")
    assert check_landmarks(whole) == []
    assert whole.read_bytes().startswith(LANDMARKS_HEAD)

    (tmp_path / "cut.dat").write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        check_landmarks(tmp_path / "cut.dat")
    with pytest.raises(CheckpointError, match="of 68 landmarks"):
        check_landmarks(save_landmarks(tmp_path / "five.dat", points=5))


def test_without_dlib_the_predictor_goes_in_untried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_landmarks(tmp_path / "whole.dat")
    monkeypatch.setattr(adding.importlib.util, "find_spec", lambda _name: None)

    assert check_landmarks(path) == [
        "dlib is not installed, so the landmark predictor was not tried"
    ]
