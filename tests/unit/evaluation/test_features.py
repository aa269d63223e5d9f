from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from barber.errors import CheckpointError
from barber.evaluation import features
from barber.evaluation.features import (
    FRECHET_LEAST,
    Distances,
    check_features,
    check_inception,
    frechet,
    load_inception,
)
from barber.manifest import Manifest, Origin
from barber.models.checkpoints import PERCEPTUAL_FILE, write_tensors
from barber.models.vgg import VGGWidths, has_imagenet
from tests.support.tiny_bundle import tiny_bundle, tiny_manifest

RNG = np.random.default_rng(7)
ONE, OTHER = (RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
ORIGIN = Origin(file="x.pth", sha256="a" * 64, bytes=1, licence="none")


@cache
def reference() -> lpips.LPIPS:
    """The package's own network with random weights, and random heads."""
    torch.manual_seed(0)
    network = lpips.LPIPS(pretrained=False, pnet_rand=True, net="vgg", verbose=False)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.startswith("lin"):
                value.uniform_(0, 1)
    return network.eval()


def write_vgg(path: Path) -> Manifest:
    """A bundle's features with the weights of `reference`."""
    network = reference()
    state = {}
    for number in range(1, 6):
        for name, layer in getattr(network.net, f"slice{number}").named_children():
            for part, value in layer.named_parameters():
                state[f"features.{name}.{part}"] = value
    for k in range(5):
        state[f"lin{k}.model.1.weight"] = getattr(network, f"lin{k}").model[1].weight
    return replace(
        tiny_manifest(),
        vgg=VGGWidths().to_json(),
        files=write_tensors(path, {PERCEPTUAL_FILE: state}),
        origins={"vgg": ORIGIN, "lpips": ORIGIN},
    )


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")  # how lpips asks for VGG16
def test_distances_are_those_of_the_lpips_package(tmp_path: Path) -> None:
    distances = Distances(tmp_path, write_vgg(tmp_path))
    found = distances.between(distances.maps(ONE), distances.maps(OTHER))
    signed = [torch.tensor(x).permute(2, 0, 1)[None].float() / 127.5 - 1 for x in (ONE, OTHER)]
    network = reference()
    with torch.no_grad():
        assert found["lpips"] == pytest.approx(float(network(*signed)), rel=1e-4)
        network.lpips = False  # the package's form without heads
        assert found["vgg"] == pytest.approx(float(network(*signed)), rel=1e-4)
    assert distances.titles.lpips == "LPIPS" and distances.titles.vgg == "VGG distance"
    same = distances.between(distances.maps(ONE), distances.maps(ONE))
    assert same == {"vgg": 0.0, "lpips": 0.0}


def tiny_distances(folder: Path, manifest: Manifest | None = None) -> Distances:
    perceptual = tiny_bundle().perceptual
    state = {**perceptual.vgg.state_dict(), **perceptual.heads.state_dict()}
    files = write_tensors(folder, {PERCEPTUAL_FILE: state})
    return Distances(folder, replace(manifest or tiny_manifest(), files=files))


def test_own_features_never_go_by_the_names_of_the_literature(tmp_path: Path) -> None:
    titles = tiny_distances(tmp_path).titles
    for title in (titles.vgg, titles.lpips, titles.frechet):
        assert not {"LPIPS", "VGG", "FID"} & set(title.replace(",", " ").split())
    assert any("no LPIPS" in note for note in titles.notes)
    assert any("not FID" in note for note in titles.notes)


def test_brought_files_of_another_network_are_no_lpips() -> None:
    brought = replace(tiny_manifest(), origins={"vgg": ORIGIN, "lpips": ORIGIN})
    assert not has_imagenet(brought)  # narrower than VGG16
    assert not has_imagenet(replace(tiny_manifest(), vgg=VGGWidths().to_json()))


def test_features_tell_pictures_apart(tmp_path: Path) -> None:
    distances = tiny_distances(tmp_path)
    one, other = distances.features(ONE), distances.features(OTHER)
    assert one.shape == (tiny_bundle().perceptual.vgg.channels[-1],)
    assert torch.equal(one, distances.features(ONE)) and not torch.equal(one, other)


def test_frechet_distance_is_that_of_the_normal_distributions() -> None:
    draw = torch.Generator().manual_seed(3)
    base = torch.randn(5000, 4, generator=draw).double()
    assert frechet(list(base), list(base)) == pytest.approx(0, abs=1e-6)
    assert frechet(list(base), list(base + 2)) == pytest.approx(4 * 4, rel=1e-6)
    # Of deviations 1 and 3 in each of four directions: (3 - 1)^2 each.
    centred = base - base.mean(dim=0)
    expected = 2**2 * float(centred.var(dim=0).sum())
    assert frechet(list(centred), list(3 * centred)) == pytest.approx(expected, rel=1e-6)


def test_too_few_pictures_have_no_frechet_distance() -> None:
    few = list(torch.randn(FRECHET_LEAST - 1, 4).double())
    enough = list(torch.randn(FRECHET_LEAST, 4).double())
    assert frechet(few, enough) is None and frechet(enough, few) is None
    assert frechet(enough, enough) is not None


def test_bundle_without_features_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no features .*`barber bundle add --vgg"):
        check_features(tmp_path, tiny_manifest())


def test_another_file_than_the_network_of_fid_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inception.pth"
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"is not the network of FID .* leave --inception"):
        check_inception(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        check_inception(tmp_path / "none.pth")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="another architecture than FID's"):
        load_inception(tmp_path / "weights.pth")


def test_network_of_fid_gives_2048_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The weights cannot be here: the network keeps its random ones.
    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    monkeypatch.setattr(features, "check_inception", lambda _: None)
    torch.save({}, tmp_path / "weights.pth")
    network = load_inception(tmp_path / "weights.pth")
    found = network(torch.tensor(ONE).permute(2, 0, 1)[None])[0]
    assert found.shape == (1, 2048) and bool(found.isfinite().all())
