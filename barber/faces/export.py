"""Turns trained networks into a bundle folder: statistics, features, heads, scores, provenance."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from barber.faces.features import CALIBRATION_SEED, FEATURE_SEED, even_heads, random_features
from barber.faces.generator_training import GeneratorPlan, validation_psnr
from barber.faces.parser_training import ParserPlan, region_ious
from barber.faces.sharpening import SharpeningPlan
from barber.geometry import Geometry
from barber.losses.latent import measure_statistics
from barber.manifest import Manifest
from barber.models.checkpoints import write_bundle
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Generator

LICENCE = "MIT, like the program: made from our own drawings and fixed-seed random numbers only"
_STATISTICS_SAMPLES = 200_000
# Directions of w that a small mapping network hardly uses would bind the P-norm so tightly that
# reconstruction cannot move; their standard deviation is raised to this share of the largest.
_LEAST_STDEV_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetworks:
    """What the trainings leave, with the plans that made it."""

    geometry: Geometry
    generator: Generator  # the averaged one
    generator_plan: GeneratorPlan
    sharpening_plan: SharpeningPlan
    generator_steps: dict[str, int]  # taken of either plan
    parser: Segmenter
    parser_plan: ParserPlan
    parser_steps: int


def measure_scores(networks: TrainedNetworks, count: int) -> dict[str, float]:
    """Held-out qualities: the generator's PSNR and the parser's IoU per region."""
    geometry, generator = networks.geometry, networks.generator
    side = geometry.image_size
    scores = {
        "generator_psnr_db": validation_psnr(generator, side, count),
        "generator_mixed_psnr_db": validation_psnr(generator, side, count, mixed=True),
        "held_out_portraits": float(count),
    }
    for name, value in region_ious(networks.parser, geometry.label_size, count).items():
        scores[f"parser_iou_{name}"] = value
    on_drawn = region_ious(networks.parser, geometry.label_size, count, generator)
    scores["parser_iou_hair_on_generated"] = on_drawn["hair"]
    scores["parser_iou_mean_on_generated"] = on_drawn["mean"]
    return {name: round(value, 4) for name, value in scores.items()}


def export_bundle(
    path: Path,
    networks: TrainedNetworks,
    presets: dict[str, dict[str, Any]],
    *,
    held_out: int = 256,
) -> Manifest:
    """Writes the bundle of these networks; its folder's name becomes the bundle's name."""
    geometry = networks.geometry
    vgg = random_features(geometry.loss_size)
    measured = measure_statistics(
        networks.generator.map, geometry.style_dim, samples=_STATISTICS_SAMPLES
    )
    least = _LEAST_STDEV_SHARE * float(measured.stdev[0])
    pca = replace(measured, stdev=measured.stdev.clamp_min(least))
    with torch.no_grad():
        source = torch.Generator().manual_seed(CALIBRATION_SEED)
        z = torch.randn(20_000, geometry.style_dim, generator=source)
        w_avg = networks.generator.map(z).mean(dim=0)
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
        licence=LICENCE,
        source=_provenance(networks),
        scores=measure_scores(networks, held_out),
    )


def _provenance(networks: TrainedNetworks) -> str:
    return (
        "trained from scratch by `barber faces train` on portraits drawn by "
        "barber.faces.renderer; no photograph and no foreign weight is involved. "
        f"Generator: steps {networks.generator_steps} of {asdict(networks.generator_plan)} "
        f"and {asdict(networks.sharpening_plan)}. "
        f"Parser: {networks.parser_steps} steps of {asdict(networks.parser_plan)}. "
        f"Features: random, seed {FEATURE_SEED}. torch {torch.__version__}."
    )
