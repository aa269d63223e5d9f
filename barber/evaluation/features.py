"""Distances that a network sees: VGG distance, LPIPS and the Fréchet distance of two sets.

Source: LPIPS of version 0.1 on VGG16 (method 9.1); the VGG distance is that package's form without
learned heads (`lpips=False`); the Fréchet distance is computed by torch-fidelity, as is the
Inception network of FID. They carry those names only when the networks behind them are the ones
that the literature uses. A bundle that was not made of the public files gives the same formulas on
its own features under other names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import (
    KEY_METRIC_FID,
    fid_features_to_statistics,
    fid_statistics_to_metric,
)

from barber.errors import CheckpointError
from barber.losses.perceptual import Perceptual
from barber.manifest import FileRecord, Manifest
from barber.models.checkpoints import PERCEPTUAL_FILE, load_strict, read_tensors, split_perceptual
from barber.models.untrusted import plain_tensors, read_pickle
from barber.models.vgg import VGGFeatures, VGGWidths, has_imagenet
from barber.pixels import Pixels, resize
from barber.stages.pictures import to_signed

LARGEST_SIDE = 256  # at which pictures are compared; LPIPS is published for about that
FRECHET_LEAST = 100  # pictures in each set below which no Fréchet distance is told
INCEPTION_DIGEST = "6726825d"  # how the sha256 of the published weights begins, as in their name
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Titles:
    """What the distances are called, and what they rest on."""

    vgg: str
    lpips: str
    frechet: str
    notes: tuple[str, ...]  # a sentence each


def check_features(path: Path, manifest: Manifest) -> None:
    """Raises CheckpointError for a bundle without the features that losses and distances need."""
    if PERCEPTUAL_FILE not in manifest.files:
        raise CheckpointError(
            f"the bundle {path} has no features ({PERCEPTUAL_FILE}), and neither the method nor "
            "its evaluation works without: make it anew with `barber bundle add --vgg --lpips`"
        )


def check_inception(path: Path) -> None:
    """Raises CheckpointError when a file is not the published Inception network of FID."""
    try:
        found = FileRecord.of(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if not found.sha256.startswith(INCEPTION_DIGEST):
        raise CheckpointError(
            f"{path} is not the network of FID (sha256 {found.sha256[:8]}.., not "
            f"{INCEPTION_DIGEST}..): bring pt_inception-2015-12-05-6726825d.pth, or leave "
            "--inception out"
        )


class Distances:
    """The distances of one bundle, on the CPU.

    Args:
        path: The bundle's folder.
        manifest: Its manifest.
        inception: The weights of FID's network, checked; the bundle's features when None.

    Raises:
        CheckpointError: A file is missing or damaged.
    """

    def __init__(self, path: Path, manifest: Manifest, inception: Path | None = None) -> None:
        check_features(path, manifest)
        tensors = read_tensors(path / PERCEPTUAL_FILE, manifest.files[PERCEPTUAL_FILE])
        features, heads = split_perceptual(tensors)
        vgg = VGGFeatures(VGGWidths.from_json(manifest.vgg))
        load_strict(vgg, features, PERCEPTUAL_FILE)
        self._perceptual = Perceptual(vgg, heads).requires_grad_(False).eval()
        self._side = min(manifest.geometry.image_size, LARGEST_SIDE)
        self._inception = None if inception is None else load_inception(inception)
        self.titles = _titles(manifest, self._side, self._inception is not None)

    @torch.no_grad()
    def maps(self, picture: Pixels) -> list[Tensor]:
        """The unit-length feature maps of a picture uint8 [R, R, 3], finest first."""
        return self._perceptual.features(to_signed(resize(picture, self._side), CPU))

    @torch.no_grad()
    def between(self, ones: Sequence[Tensor], others: Sequence[Tensor]) -> dict[str, float]:
        """The VGG distance, "vgg", and LPIPS, "lpips", of two pictures' maps."""
        squares = [(a - b).square() for a, b in zip(ones, others, strict=True)]
        heads = [self._perceptual.heads[f"lin{k}"] for k in range(len(squares))]
        weighted = [head(square).mean() for head, square in zip(heads, squares, strict=True)]
        return {
            "vgg": float(sum(square.sum(dim=1).mean() for square in squares)),
            "lpips": float(sum(weighted)),
        }

    @torch.no_grad()
    def features(self, picture: Pixels) -> Tensor:
        """What the Fréchet distance compares: float64 [D]."""
        if self._inception is not None:
            whole = torch.tensor(picture).permute(2, 0, 1)[None]
            found: Tensor = self._inception(whole)[0]
        else:
            signed = to_signed(resize(picture, self._side), CPU)
            scaled = self._perceptual.scaling(signed)
            vgg = self._perceptual.vgg
            found = vgg(scaled, len(vgg.channels))[-1].mean(dim=(2, 3))
        return found[0].double()


def frechet(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float | None:
    """Fréchet distance of two sets of features; None when one has fewer than `FRECHET_LEAST`."""
    if min(len(ones), len(others)) < FRECHET_LEAST:
        return None
    first, second = (fid_features_to_statistics(torch.stack(list(x))) for x in (ones, others))
    return float(fid_statistics_to_metric(first, second, verbose=False)[KEY_METRIC_FID])


def load_inception(path: Path) -> nn.Module:
    """FID's network with 2048 features, from uint8 [N, 3, H, W].

    torch-fidelity unpickles whatever is in the file, so it is given a copy that was read as plain
    tensors.

    Raises:
        CheckpointError: The file is damaged or holds another architecture.
    """
    state = plain_tensors(read_pickle(path), str(path))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "inception.pth"
        torch.save(state, copy)
        try:
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(copy)
            )
        except RuntimeError as error:
            raise CheckpointError(f"{path} holds another architecture than FID's") from error
    return network


def _titles(manifest: Manifest, side: int, inception: bool) -> Titles:
    if has_imagenet(manifest):
        vgg, lpips = "VGG distance", "LPIPS"
        origins = ", ".join(
            f"{part} {manifest.origins[part].file} (sha256 {manifest.origins[part].sha256[:12]})"
            for part in ("vgg", "lpips")
        )
        notes = [f"VGG distance and LPIPS rest on the public files of the bundle: {origins}."]
    else:
        vgg, lpips = "feature distance", "weighted feature distance"
        notes = [
            "The bundle brings no ImageNet networks, so there is no LPIPS and no VGG distance. "
            "The feature distance and the weighted feature distance are their formulas on the "
            "bundle's own features. The method descends along the same features, which flatters "
            "whatever optimises; they compare with no published number."
        ]
    notes.append(
        f"Both are computed at {side} pixels. The feature distance is the sum over taps of the "
        "mean squared difference of unit-length features; the weighted one has the heads' weights."
    )
    frechet_title = "FID" if inception else "Fréchet distance of features"
    if inception:
        notes.append("FID: 2048 features of the published Inception network, by torch-fidelity.")
    else:
        taps = manifest.vgg["blocks"][-1][0]
        notes.append(
            f"The Fréchet distance is FID's formula (torch-fidelity) on the bundle's last feature "
            f"map, averaged over positions ({taps} numbers a picture). It is not FID; that "
            "needs the Inception network (--inception)."
        )
    return Titles(vgg=vgg, lpips=lpips, frechet=frechet_title, notes=tuple(notes))
