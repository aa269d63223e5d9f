"""What every case draws from: one vector set, and its networks on one device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from barber.geometry import Geometry
from barber.losses.perceptual import Perceptual
from barber.manifest import FileRecord, Manifest
from barber.models.bundle import ModelBundle
from barber.models.checkpoints import load_strict
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Generator
from barber.models.vgg import VGGFeatures
from tests.conformance.recipe import Recipe

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The networks that are the same at every image size."""

    segmenter: Segmenter
    perceptual: Perceptual


class Bench:
    """One vector set on one device; every network is filled once.

    Args:
        folder: Of the set.
        device: Where everything is computed.
        tell: Called with a few words before something long.

    Raises:
        SetError: The folder holds no vector set.
    """

    def __init__(
        self, folder: Path, *, device: torch.device | str = "cpu", tell: Tell | None = None
    ) -> None:
        self.recipe = Recipe(folder)
        self.vectors = self.recipe.vectors
        self.device = torch.device(device)
        self.tell: Tell = tell or (lambda words: None)
        self._bundles: dict[int, ModelBundle] = {}

    def bundle(self, size: int) -> ModelBundle:
        """The recipe's networks at an image size, in the official geometry."""
        if size not in self._bundles:
            self._bundles[size] = self._assemble(size)
        return self._bundles[size]

    def tensor(self, name: str, shape: tuple[int, ...], factor: float = 1.0) -> Tensor:
        """The recipe's `x` times a factor, float32."""
        return self.recipe.tensor(name, shape, factor).to(self.device)

    def signed(self, name: str, size: int) -> Tensor:
        """A picture in [-1, 1], [1, 3, size, size]."""
        return self.recipe.signed(name, size).to(self.device)

    def ellipse(self, name: str, size: int) -> Tensor:
        """A picture's ellipse as a 0/1 mask [1, 1, size, size]."""
        return self.recipe.ellipse(name, size).to(self.device)

    def label_cells(self) -> Tensor:
        """The label map of random cells, int64 [1, 64, 64]."""
        cells = np.floor(16 * self.recipe.u("test/labels64", (64, 64))).astype(np.int64)
        return torch.from_numpy(cells)[None].to(self.device)

    def labels(self, file: str, name: str) -> Tensor:
        """A stored label map as int64 [1, H, W]."""
        stored = self.recipe.array(file, name).astype(np.int64)
        return torch.from_numpy(stored)[None].to(self.device)

    @cached_property
    def _common(self) -> Common:
        segmenter, vgg = Segmenter(), VGGFeatures()
        for net, module in (("seg", segmenter), ("vgg", vgg)):
            load_strict(module, self.recipe.fill(net, module.state_dict()), net)
        heads = {
            f"lin{k}.model.1.weight": torch.empty(1, c, 1, 1) for k, c in enumerate(vgg.channels)
        }
        perceptual = Perceptual(vgg, self.recipe.fill("lpips", heads))
        return Common(segmenter=segmenter, perceptual=perceptual)

    def _assemble(self, size: int) -> ModelBundle:
        geometry, common = Geometry.official(size), self._common
        generator = Generator(geometry)
        load_strict(generator, self.recipe.fill("gen", generator.state_dict()), "gen")
        return ModelBundle.assemble(
            _manifest(self.recipe, geometry, common),
            generator=generator,
            segmenter=common.segmenter,
            perceptual=common.perceptual,
            pca=self.recipe.pca(),
            w_avg=self.recipe.w_avg(),
            device=self.device,
        )


def _manifest(recipe: Recipe, geometry: Geometry, common: Common) -> Manifest:
    return Manifest(
        name=f"recipe-{geometry.image_size}",
        geometry=geometry,
        segmenter=common.segmenter.widths.to_json(),
        vgg=common.perceptual.vgg.widths.to_json(),
        presets={},
        licence="none needed: synthetic numbers",
        source="the recipe of the conformance vectors",
        scores={},
        files={"recipe": FileRecord(sha256=recipe.salt, bytes=0)},
    )


def mean_std(x: Tensor) -> Tensor:
    """Mean and unbiased standard deviation of all entries, float64 [2]."""
    wide = x.detach().cpu().double()
    return wide.new_tensor([float(wide.mean()), float(wide.std())])
