"""The public files' readers, on files of official shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from barber.errors import CheckpointError
from barber.geometry import Geometry
from barber.labels import LabelSet
from barber.models import official
from barber.models.segmenter import SegmenterWidths
from barber.models.stylegan2 import Generator
from tests.support.official_files import (
    GEOMETRY,
    entries,
    parser_entries,
    save,
    save_generator,
    save_pca,
    vgg_entries,
)

State = dict[str, Tensor]


def flat_generator(geometry: Geometry = GEOMETRY) -> State:
    with torch.device("meta"):
        network = Generator(geometry)
    return entries(network)


@pytest.mark.parametrize("shape", [(512,), (1, 512)])
def test_a_generator_file_gives_geometry_entries_and_mean(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    state = flat_generator()
    path = save_generator(tmp_path / "g.pt", state, latent_avg=torch.ones(shape), g_optim={"x": 1})

    found = official.read_generator(path)

    assert found.geometry == GEOMETRY
    assert found.w_avg is not None and torch.equal(found.w_avg, torch.ones(512))
    assert found.state.keys() == state.keys()
    assert all(
        torch.equal(found.state[key], state[key]) for key in ("conv1.conv.weight", "noises.noise_3")
    )


@pytest.mark.parametrize("size", [256, 512, 1024])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_the_official_sizes_are_recognised(size: int, multiplier: int) -> None:
    geometry = Geometry.official(size, channel_multiplier=multiplier)

    assert official.geometry_of(flat_generator(geometry), "ffhq.pt") == geometry


def test_a_checkpoint_from_training_has_no_mean(tmp_path: Path) -> None:
    torch.save({"g_ema": flat_generator()}, tmp_path / "g.pt")

    assert official.read_generator(tmp_path / "g.pt").w_avg is None


def test_float64_weights_are_rounded(tmp_path: Path) -> None:
    state = {key: value.double() + 1e-12 for key, value in flat_generator().items()}
    path = save_generator(tmp_path / "g.pt", state, latent_avg=torch.ones(512).double())

    found = official.read_generator(path)

    assert {value.dtype for value in found.state.values()} == {torch.float32}
    assert found.w_avg is not None and found.w_avg.dtype == torch.float32


def without(*keys: str) -> Callable[[State], object]:
    return lambda state: [state.pop(key) for key in keys]


def put(key: str, value: Tensor) -> Callable[[State], object]:
    return lambda state: state.update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("noises.noise_3"), r"lacks 'noises\.noise_3' \(1 missing, 0 surplus\)"),
        (
            lambda s: (without("to_rgb1.bias")(s), put("a", torch.ones(1))(s)),
            r"lacks 'to_rgb1\.bias' and has the surplus entry 'a' \(1 missing, 1 surplus\)",
        ),
        (
            lambda s: [put(f"x{k}", torch.ones(1))(s) for k in range(5)],
            r"has the surplus entries 'x0', 'x1', 'x2' and 2 more \(0 missing, 5 surplus\)",
        ),
        (without("input.input"), "no StyleGAN2 generator"),
        (
            put("to_rgb1.bias", torch.ones(3)),
            r"'to_rgb1\.bias' has shape \(3,\), not \(1, 3, 1, 1\)",
        ),
        (
            put("conv1.noise.weight", torch.tensor([torch.nan])),
            r"'conv1\.noise\.weight' holds a value",
        ),
        (put("conv1.noise.weight", torch.tensor([torch.inf])), "that is not finite"),
        (put("conv1.noise.weight", torch.tensor([1e300]).double()), "that is not finite"),
        (put("conv1.noise.weight", torch.ones(1).half()), "is float16, and the method needs"),
        (put("conv1.noise.weight", torch.ones(1).long()), "is int64, and the method needs"),
    ],
)
def test_generators_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, change: Callable[[State], object], message: str
) -> None:
    state = flat_generator()
    change(state)

    with pytest.raises(CheckpointError, match=message):
        official.read_generator(save_generator(tmp_path / "g.pt", state))


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        ({"image_size": 128, "channels": GEOMETRY.channels[:-1]}, "a generator of 128 pixels"),
        ({"style_dim": 256}, "style dimension 256, 8 mapping layers"),
        ({"mapping_layers": 4}, "style dimension 512, 4 mapping layers"),
        ({"channels": tuple((s, c // 2) for s, c in GEOMETRY.channels)}, "256 channels at 4"),
    ],
)
def test_generators_of_other_sizes_are_told_what_the_method_knows(
    tmp_path: Path, geometry: dict[str, object], words: str
) -> None:
    other = replace(GEOMETRY, loss_size=128, **geometry)
    with pytest.raises(CheckpointError, match=f"{words}.*knows 256, 512 and 1024 pixels"):
        official.read_generator(save_generator(tmp_path / "g.pt", flat_generator(other)))


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (torch.ones(7), r"'latent_avg' has shape \(7,\), not \(512,\)"),
        (torch.ones(2, 512), r"'latent_avg' has shape \(2, 512\)"),
        (torch.full((512,), torch.nan), "'latent_avg' holds a value that is not finite"),
        (torch.ones(512).half(), "'latent_avg' is float16"),
        ("words", "'latent_avg' is a str"),
    ],
)
def test_a_mean_that_does_not_fit_is_refused(tmp_path: Path, mean: object, message: str) -> None:
    path = save_generator(tmp_path / "g.pt", flat_generator(), latent_avg=mean)

    with pytest.raises(CheckpointError, match=message):
        official.read_generator(path)


def test_files_given_to_the_wrong_option_are_told_the_right_one(tmp_path: Path) -> None:
    generator = save_generator(tmp_path / "g.pt", flat_generator())
    parser = save(tmp_path / "seg.pth", parser_entries())
    vgg = save(tmp_path / "vgg.pth", vgg_entries())

    for read, path, option in (
        (official.read_generator, parser, "--parser"),
        (official.read_parser, generator, "--generator"),
        (official.read_parser, vgg, "--vgg"),
        (official.read_vgg, official.lpips_package_file(), "--lpips"),
        (official.read_heads, vgg, "--vgg"),
    ):
        with pytest.raises(CheckpointError, match=f"give it as {option}"):
            read(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"g": {}, "latent_avg": torch.ones(8)}, "is not a StyleGAN2 checkpoint: it lacks 'g_ema'"),
        ({}, "holds nothing"),
        ({"input.input": torch.ones(1)}, "is a bare generator"),
        ({"synthesis.b4.const": torch.ones(1)}, "NVIDIA's own layout"),
        ({"g_ema": torch.ones(1)}, "holds a Tensor, not a dict"),
        ({"g_ema": {"a": "b"}}, "'a' is a str, where a tensor belongs"),
        ({"g_ema": {"input.input": torch.ones(1)}}, "no StyleGAN2 generator"),
    ],
)
def test_what_is_no_generator_is_refused(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        official.read_generator(save(tmp_path / "g.pt", content))


@pytest.mark.parametrize("labels", list(LabelSet))
def test_both_label_sets_of_face_parsers_are_read(tmp_path: Path, labels: LabelSet) -> None:
    state = parser_entries(labels)

    widths, found = official.read_parser(save(tmp_path / "seg.pth", state))

    assert widths == SegmenterWidths(labels=labels)
    assert found.keys() == state.keys()
    assert found["cp.resnet.bn1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("conv_out.conv_out.weight", torch.ones(20, 256, 1, 1)), "tells 20 classes apart"),
        (
            put("conv_out16.conv_out.weight", torch.ones(19, 64, 1, 1)),
            r"\(19, 64, 1, 1\), not \(16, ",
        ),
        (without("conv_out.conv_out.weight"), r"lacks 'conv_out\.conv_out\.weight'"),
        (without("ffm.conv1.weight", "ffm.conv2.weight"), "2 missing, 0 surplus"),
        (put("sp.conv1.conv.weight", torch.ones(64, 3, 7, 7)), r"surplus entry 'sp\.conv1"),
    ],
)
def test_face_parsers_that_do_not_fit_are_refused(
    tmp_path: Path, change: Callable[[State], object], message: str
) -> None:
    state = parser_entries()
    change(state)

    with pytest.raises(CheckpointError, match=message):
        official.read_parser(save(tmp_path / "seg.pth", state))


@pytest.mark.parametrize("form", ["whole", "features", "numbers"])
def test_every_form_of_vgg16_gives_its_features(tmp_path: Path, form: str) -> None:
    state = vgg_entries()
    content = {
        "whole": {**state, "classifier.0.bias": torch.ones(1)},
        "features": state,
        "numbers": {key.removeprefix("features."): value for key, value in state.items()},
    }[form]

    assert official.read_vgg(save(tmp_path / "vgg.pth", content)).keys() == state.keys()


def test_another_vgg_is_refused(tmp_path: Path) -> None:
    state = {**vgg_entries(), "features.30.weight": torch.ones(1)}

    with pytest.raises(CheckpointError, match=r"surplus entry 'features\.30\.weight'"):
        official.read_vgg(save(tmp_path / "vgg19.pth", state))


def test_the_lpips_packages_own_heads_are_read() -> None:
    heads = official.read_heads(official.lpips_package_file())

    assert [tuple(h.shape[:2]) for h in heads.values()] == [
        (1, c) for c in (64, 128, 256, 512, 512)
    ]
    assert all(h.device.type == "cpu" for h in heads.values())


def test_heads_of_another_network_are_refused(tmp_path: Path) -> None:
    heads = {f"lin{k}.model.1.weight": torch.ones(1, 64, 1, 1) for k in range(5)}

    with pytest.raises(
        CheckpointError, match=r"'lin1\.model\.1\.weight' has shape .* 3 more differ"
    ):
        official.read_heads(save(tmp_path / "alex.pth", heads))


def test_vgg_is_taken_from_torchvisions_cache_or_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        CheckpointError, match=r"download https://download\.pytorch\.org/.*as --vgg"
    ):
        official.cached_vgg_file()

    path = tmp_path / "hub" / "checkpoints" / official.VGG_CACHED
    path.parent.mkdir(parents=True)
    path.touch()
    assert official.cached_vgg_file() == path


def test_pca_statistics_come_as_float32(tmp_path: Path) -> None:
    found = official.read_pca(save_pca(tmp_path / "pca.npz", 8), 8)

    assert {found.mean.dtype, found.components.dtype, found.stdev.dtype} == {torch.float32}
    assert torch.equal(found.components, torch.eye(8))


def test_pca_statistics_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pca.npz"
    with pytest.raises(CheckpointError, match="does not exist"):
        official.read_pca(path, 8)

    with pytest.raises(CheckpointError, match="has shape"):
        official.read_pca(save_pca(path, 9), 8)

    with pytest.raises(CheckpointError, match="not positive"):
        official.read_pca(save_pca(path, 8, X_stdev=np.zeros(8)), 8)

    with pytest.raises(CheckpointError, match="not finite"):
        official.read_pca(save_pca(path, 8, X_mean=np.full(8, np.nan)), 8)

    np.savez(path, X_mean=np.zeros(8))
    with pytest.raises(CheckpointError, match="no file of PCA statistics"):
        official.read_pca(path, 8)

    with pytest.raises(CheckpointError, match="no file of PCA statistics"):
        official.read_pca(save_pca(path, 8, X_mean=np.array([print] * 8, dtype=object)), 8)

    np.savez_compressed(path, X_mean=np.zeros(10_000_000))
    with pytest.raises(CheckpointError, match="claims to hold 80"):
        official.read_pca(path, 8)

    path.write_bytes(b"PK damaged")
    with pytest.raises(CheckpointError, match="damaged or cut-off archive"):
        official.read_pca(path, 8)
