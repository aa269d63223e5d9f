"""Turns trained networks into a bundle folder: statistics, features, heads, scores, provenance."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from barber.faces.ahead import Source
from barber.faces.features import CALIBRATION_SEED, FEATURE_SEED, even_heads, random_features
from barber.faces.generator_training import validation_psnr
from barber.faces.parser_training import region_ious
from barber.faces.recipe import Recipe
from barber.losses.latent import measure_statistics
from barber.manifest import Manifest
from barber.models.checkpoints import write_bundle
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Generator

OWN_LICENCE = (
    "not stated: ask whoever trained it and whoever holds the rights to the pictures it learnt from"
)
LICENCE = "MIT, like the program: made from our own drawings and fixed-seed random numbers only"
_STATISTICS_SAMPLES = 200_000
# Directions of w that a small mapping network hardly uses would bind the P-norm so tightly that
# reconstruction cannot move; their standard deviation is raised to this share of the largest.
_LEAST_STDEV_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetworks:
    """What the trainings leave, with the plans that made it."""

    recipe: Recipe
    source: Source  # with the codes of these networks, where codes are learnt
    pictures: Path | None  # one's own; None for drawn people
    generator: Generator  # the averaged one
    generator_steps: dict[str, int]  # taken of either plan
    parser: Segmenter
    parser_steps: int

    def code_shape(self) -> tuple[Tensor, Tensor]:
        """Mean [D] and factor [D, D] that make codes of the training's spread from normal ones."""
        size = self.recipe.geometry.style_dim
        if self.source.codes is None:
            return torch.zeros(size), torch.eye(size)
        (table,) = self.source.codes.parameters()
        covariance = torch.cov(table.detach().double().T) + 1e-6 * torch.eye(size).double()
        return table.detach().mean(dim=0), torch.linalg.cholesky(covariance).float()


def measure_scores(networks: TrainedNetworks, count: int) -> dict[str, float]:
    """Qualities: the generator's PSNR and the parser's IoU per region.

    Of drawn people, nobody was seen before. Of one's own pictures, the parser's are unseen, and the
    generator's are those that it learnt from, since no others have codes: the names say so.
    """
    geometry, generator = networks.recipe.geometry, networks.generator
    source, side = networks.source, geometry.image_size
    kind = "generator" if source.codes is None else "generator_on_known"
    scores = {
        f"{kind}_psnr_db": validation_psnr(generator, source, side, count),
        f"{kind}_mixed_psnr_db": validation_psnr(generator, source, side, count, mixed=True),
        "held_out_portraits": float(count),
    }
    for name, value in region_ious(networks.parser, source, geometry.label_size, count).items():
        scores[f"parser_iou_{name}"] = value
    on_drawn = region_ious(networks.parser, source, geometry.label_size, count, generator)
    scores["parser_iou_hair_on_generated"] = on_drawn["hair"]
    scores["parser_iou_mean_on_generated"] = on_drawn["mean"]
    return {name: round(value, 4) for name, value in scores.items()}


def export_bundle(
    path: Path,
    networks: TrainedNetworks,
    presets: dict[str, dict[str, Any]],
    *,
    licence: str | None = None,
    held_out: int = 256,
) -> Manifest:
    """Writes the bundle of these networks; its folder's name becomes the bundle's name."""
    geometry = networks.recipe.geometry
    vgg = random_features(geometry.loss_size)
    mean, factor = networks.code_shape()

    def mapped(normal: Tensor) -> Tensor:
        return networks.generator.map(mean + normal @ factor.T)

    measured = measure_statistics(mapped, geometry.style_dim, samples=_STATISTICS_SAMPLES)
    least = _LEAST_STDEV_SHARE * float(measured.stdev[0])
    pca = replace(measured, stdev=measured.stdev.clamp_min(least))
    with torch.no_grad():
        source = torch.Generator().manual_seed(CALIBRATION_SEED)
        z = torch.randn(20_000, geometry.style_dim, generator=source)
        w_avg = mapped(z).mean(dim=0)
    return write_bundle(
        path,
        name=path.name,
        geometry=geometry,
        generator=networks.generator,
        segmenter=networks.parser.eval(),
        vgg=vgg,
        heads=even_heads(vgg, geometry.loss_size),
        pca=pca,
        w_avg=w_avg,
        presets=presets,
        licence=licence or (LICENCE if networks.pictures is None else OWN_LICENCE),
        source=_provenance(networks),
        scores=measure_scores(networks, held_out),
    )


def _provenance(networks: TrainedNetworks) -> str:
    recipe = networks.recipe
    drawn = (
        "portraits drawn by barber.faces.renderer; no photograph and no foreign weight is involved"
    )
    learnt = (
        drawn
        if networks.pictures is None
        else f"the pictures of the folder {networks.pictures.name}"
    )
    return (
        f"trained from scratch by `barber faces train` on {learnt}. "
        f"Generator: steps {networks.generator_steps} of {asdict(recipe.generator)} "
        f"and {asdict(recipe.sharpening)}. "
        f"Parser: {networks.parser_steps} steps of {asdict(recipe.parser)}. "
        f"Features: random, seed {FEATURE_SEED}. torch {torch.__version__}."
    )
