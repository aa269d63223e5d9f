"""The tiny bundle: the real classes with few channels, seeded, quick enough for every unit test."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from barber.geometry import Geometry
from barber.labels import REGION_COUNT, Region
from barber.losses.latent import PCAStatistics, measure_statistics
from barber.losses.perceptual import Perceptual
from barber.manifest import FileRecord, Manifest
from barber.models.bundle import ModelBundle
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.models.stylegan2 import Generator, Noise
from barber.models.vgg import VGGFeatures, VGGWidths
from barber.resample import to_parser_input

GEOMETRY = Geometry(
    image_size=64,
    style_dim=32,
    mapping_layers=2,
    channels=((4, 16), (8, 16), (16, 16), (32, 12), (64, 8)),
    f_size=16,
    label_size=64,
    loss_size=64,
)
SEGMENTER_WIDTHS = SegmenterWidths(
    trunk=(8, 8, 12, 16),
    context=8,
    fusion=16,
    fusion_mid=4,
    head=16,
    aux_head=8,
    stem_kernel=3,
    stem_stride=1,
    pool=False,
)
# Of a parser that is trained: 16 where the trunk first halves, see barber.faces.parser_training.
TRAINED_WIDTHS = SegmenterWidths(
    trunk=(16, 16, 16, 16),
    context=8,
    fusion=8,
    fusion_mid=8,
    head=8,
    aux_head=8,
    stem_kernel=3,
    stem_stride=1,
    pool=False,
)
VGG_WIDTHS = VGGWidths(((8, 1), (12, 1), (16, 1), (16, 1)))
NOISE_STRENGTH = 0.05
# These labels get more contrast, so that they cover most of every label map, as on real portraits.
LARGE_REGIONS = (Region.BACKGROUND, Region.SKIN, Region.HAIR)
LARGE_CONTRAST = 3.0


@cache
def tiny_bundle(seed: int = 0) -> ModelBundle:
    """A bundle of random weights; equal for equal seeds. It is shared: change nothing in it."""
    source = torch.Generator().manual_seed(seed)
    generator, vgg = Generator(GEOMETRY), VGGFeatures(VGG_WIDTHS)
    segmenter = Segmenter(SEGMENTER_WIDTHS)
    _fill_generator(generator, source)
    _fill_convolutions(vgg, source)
    _fill_convolutions(segmenter, source)
    _spread_labels(segmenter, generator, source)
    pca, w_avg = _statistics(generator, seed)
    return ModelBundle.assemble(
        tiny_manifest(seed),
        generator=generator,
        segmenter=segmenter,
        perceptual=Perceptual(vgg, tiny_heads(vgg, source)),
        pca=pca,
        w_avg=w_avg,
    )


@cache
def coarse_bundle() -> ModelBundle:
    """The tiny networks with labels and losses at half the picture's size, as at 1024."""
    bundle = tiny_bundle()
    geometry = replace(GEOMETRY, label_size=32, loss_size=32)
    return replace(bundle, manifest=replace(bundle.manifest, geometry=geometry))


def tiny_manifest(seed: int = 0) -> Manifest:
    """The tiny bundle's manifest; its digest follows the seed as a real one follows its files."""
    record = FileRecord(sha256=hashlib.sha256(f"tiny {seed}".encode()).hexdigest(), bytes=0)
    return Manifest(
        name="tiny",
        geometry=GEOMETRY,
        segmenter=SEGMENTER_WIDTHS.to_json(),
        vgg=VGG_WIDTHS.to_json(),
        presets={},
        licence="none needed: random numbers",
        source="drawn from a seed",
        scores={},
        files={"drawn": record},
    )


def tiny_heads(vgg: VGGFeatures, source: torch.Generator) -> dict[str, Tensor]:
    """Positive LPIPS heads that fit the features."""
    return {
        f"lin{k}.model.1.weight": torch.rand(1, c, 1, 1, generator=source) / c
        for k, c in enumerate(vgg.channels)
    }


@torch.no_grad()
def _fill_generator(generator: Generator, source: torch.Generator) -> None:
    """Redraws what construction left to the global random state, and switches the noise on."""
    for name, value in generator.state_dict().items():
        if name.endswith("noise.weight"):
            value.fill_(NOISE_STRENGTH)
        elif not name.endswith(("bias", "kernel")):
            gain = 100.0 if name.startswith("style.") else 1.0
            value.copy_(gain * torch.randn(value.shape, generator=source))


@torch.no_grad()
def _fill_convolutions(network: nn.Module, source: torch.Generator) -> None:
    for parameter in network.parameters():
        if parameter.ndim == 4:
            spread = math.sqrt(2 / parameter[0].numel())
            parameter.copy_(spread * torch.randn(parameter.shape, generator=source))


@torch.no_grad()
def _spread_labels(segmenter: Segmenter, generator: Generator, source: torch.Generator) -> None:
    """Replaces the head, so that logits vary around zero; a random one gives one label only."""
    z = torch.randn(8, GEOMETRY.style_dim, generator=source)
    w_plus = generator.map(z)[:, None].repeat(1, GEOMETRY.rows, 1)
    pictures = generator.synthesize(w_plus, Noise.zero())
    segmenter.eval()
    fine, context, _ = segmenter.cp(to_parser_input(pictures, GEOMETRY))
    features = segmenter.conv_out.conv(segmenter.ffm(fine, context)).movedim(1, -1).flatten(0, 2)

    mean, spread = features.mean(dim=0), features.std(dim=0).clamp_min(1e-3)
    head = torch.randn(REGION_COUNT, features.shape[1], generator=source) / spread
    head -= torch.outer(head @ mean, mean) / mean.square().sum()
    head /= (features @ head.t()).std(dim=0)[:, None]
    head[list(LARGE_REGIONS)] *= LARGE_CONTRAST
    segmenter.conv_out.conv_out.weight.copy_(head[:, :, None, None])


def _statistics(generator: Generator, seed: int) -> tuple[PCAStatistics, Tensor]:
    pca = measure_statistics(generator.map, GEOMETRY.style_dim, samples=2000, seed=seed)
    z = torch.randn(2000, GEOMETRY.style_dim, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return pca, generator.map(z).mean(dim=0)
