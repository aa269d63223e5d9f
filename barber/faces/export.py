"""Turns trained networks into a bundle folder: statistics, features, heads, scores, provenance."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from barber.faces.batches import draw_batch
from barber.faces.generator_training import GeneratorPlan, validation_psnr
from barber.faces.parser_training import ParserPlan, region_ious
from barber.geometry import Geometry
from barber.losses.latent import measure_statistics
from barber.losses.perceptual import Perceptual
from barber.manifest import Manifest
from barber.models.checkpoints import write_bundle
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Generator
from barber.models.vgg import VGGFeatures, VGGWidths

LICENCE = "MIT, like the program: made from our own drawings and fixed-seed random numbers only"
_FEATURES = VGGWidths(((16, 2), (32, 2), (64, 2), (96, 2)))
_FEATURE_SEED = 3
_CALIBRATION_SEED = 900_003
_TYPICAL_DISTANCE = 0.5  # perceptual distance of two people, shared evenly by the taps
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
    generator_steps: int  # taken of the plan
    parser: Segmenter
    parser_plan: ParserPlan
    parser_steps: int


@torch.no_grad()
def random_features(side: int) -> VGGFeatures:
    """A VGG-like network of fixed-seed random filters, each layer scaled to unit mean square.

    Random features keep colour and position, which a network trained to name parts learns to
    ignore; for drawn faces they steer reconstruction better than those.

    Args:
        side: Of the drawn portraits that the scales are measured on.
    """
    source = torch.Generator().manual_seed(_FEATURE_SEED)
    network = VGGFeatures(_FEATURES)
    convolutions = [m for m in network.features.values() if isinstance(m, nn.Conv2d)]
    for layer in convolutions:
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=source))
        layer.bias.zero_()  # type: ignore[union-attr]
    x = draw_batch(_CALIBRATION_SEED, 0, 16, side, mixed=False).images
    blocks = [count for _, count in _FEATURES.blocks]
    position = 0
    for k, count in enumerate(blocks):
        x = nn.functional.max_pool2d(x, 2) if k else x
        for layer in convolutions[position : position + count]:
            layer.weight /= layer(x).square().mean().sqrt()
            x = torch.relu(layer(x))
        position += count
    return network


@torch.no_grad()
def even_heads(vgg: VGGFeatures, side: int) -> dict[str, Tensor]:
    """Constant LPIPS heads under which every tap finds different people equally far apart."""
    ones = {f"lin{k}.model.1.weight": torch.ones(1, c, 1, 1) for k, c in enumerate(vgg.channels)}
    plain = Perceptual(vgg, ones)
    features = plain.features(draw_batch(_CALIBRATION_SEED, 1, 32, side, mixed=False).images)
    heads = {}
    for k, own in enumerate(features):
        apart = float((own - own.roll(1, 0)).square().sum(dim=1).mean())
        weight = _TYPICAL_DISTANCE / (len(features) * apart)
        heads[f"lin{k}.model.1.weight"] = torch.full((1, own.shape[1], 1, 1), weight)
    return heads


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
        source = torch.Generator().manual_seed(_CALIBRATION_SEED)
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
        "trained from scratch by `python -m barber.faces.training` on portraits drawn by "
        "barber.faces.renderer; no photograph and no foreign weight is involved. "
        f"Generator: {networks.generator_steps} steps of {asdict(networks.generator_plan)}. "
        f"Parser: {networks.parser_steps} steps of {asdict(networks.parser_plan)}. "
        f"Features: random, seed {_FEATURE_SEED}. torch {torch.__version__}."
    )
