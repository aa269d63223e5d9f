"""Every network of the method, loaded once, frozen, on one device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from barber.errors import CheckpointError
from barber.geometry import Geometry
from barber.losses.latent import PCAStatistics
from barber.losses.perceptual import Perceptual
from barber.manifest import Manifest, read_manifest
from barber.models.checkpoints import (
    GENERATOR_FILE,
    PERCEPTUAL_FILE,
    SEGMENTER_FILE,
    STATISTICS_FILE,
    check_statistics,
    load_strict,
    read_tensors,
    split_perceptual,
)
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.models.stylegan2 import Generator
from barber.models.vgg import VGGFeatures, VGGWidths


def _exact_arithmetic() -> None:
    """Has the device compute in full float32, the same way each time; of effect on CUDA only.

    The method is specified in float32 (section 2), and cuDNN would round to TF32 by default.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBundle:
    """The networks and statistics that stages run on; nothing in it is ever trained."""

    generator: Generator
    segmenter: Segmenter
    perceptual: Perceptual
    pca: PCAStatistics
    w_avg: Tensor  # [D], the mean of w
    device: torch.device
    manifest: Manifest

    @property
    def name(self) -> str:
        """What people call the bundle."""
        return self.manifest.name

    @property
    def geometry(self) -> Geometry:
        """Every size of the method."""
        return self.manifest.geometry

    @property
    def digest(self) -> str:
        """The bundle's identity, 64 hex digits."""
        return self.manifest.digest

    @property
    def presets(self) -> dict[str, dict[str, Any]]:
        """Stage params that suit this bundle, by preset name."""
        return self.manifest.presets

    @property
    def vgg(self) -> VGGFeatures:
        """The features that LPIPS and the style loss share."""
        return self.perceptual.vgg

    @classmethod
    def assemble(
        cls,
        manifest: Manifest,
        *,
        generator: Generator,
        segmenter: Segmenter,
        perceptual: Perceptual,
        pca: PCAStatistics,
        w_avg: Tensor,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Freezes the networks, moves everything to the device and joins it."""
        _exact_arithmetic()
        target = torch.device(device)
        for network in (generator, segmenter, perceptual):
            network.requires_grad_(False).eval().to(target)
        return cls(
            generator=generator,
            segmenter=segmenter,
            perceptual=perceptual,
            pca=pca.to(target),
            w_avg=w_avg.to(target),
            device=target,
            manifest=manifest,
        )

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> Self:
        """Reads a bundle folder; every file is checked against the manifest first.

        Raises:
            CheckpointError: A file is missing, damaged, of another architecture or not finite.
        """
        manifest = read_manifest(path)

        def tensors(name: str) -> dict[str, Tensor]:
            if name not in manifest.files:
                raise CheckpointError(f"the manifest in {path} does not list {name}")
            return read_tensors(path / name, manifest.files[name])

        generator = Generator(manifest.geometry)
        load_strict(generator, tensors(GENERATOR_FILE), GENERATOR_FILE)
        segmenter = Segmenter(SegmenterWidths.from_json(manifest.segmenter))
        load_strict(segmenter, tensors(SEGMENTER_FILE), SEGMENTER_FILE)
        features, heads = split_perceptual(tensors(PERCEPTUAL_FILE))
        vgg = VGGFeatures(VGGWidths.from_json(manifest.vgg))
        load_strict(vgg, features, PERCEPTUAL_FILE)
        pca, w_avg = check_statistics(
            tensors(STATISTICS_FILE), manifest.geometry.style_dim, STATISTICS_FILE
        )
        return cls.assemble(
            manifest,
            generator=generator,
            segmenter=segmenter,
            perceptual=Perceptual(vgg, heads),
            pca=pca,
            w_avg=w_avg,
            device=device,
        )
