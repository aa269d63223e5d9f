"""A fixed random feature network for perceptual and style distances of drawn faces."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from barber.faces.batches import draw_batch
from barber.losses.perceptual import Perceptual
from barber.models.vgg import VGGFeatures, VGGWidths

FEATURE_SEED = 3
CALIBRATION_SEED = 900_003
_WIDTHS = VGGWidths(((16, 2), (32, 2), (64, 2), (96, 2)))
_TYPICAL_DISTANCE = 0.5  # perceptual distance of two people, shared evenly by the taps


@torch.no_grad()
def random_features(side: int) -> VGGFeatures:
    """A VGG-like network of fixed-seed random filters, each layer scaled to unit mean square.

    Random features keep colour and position, which a network trained to name parts learns to
    ignore; for drawn faces they steer reconstruction better than those.

    Args:
        side: Of the drawn portraits that the scales are measured on.
    """
    source = torch.Generator().manual_seed(FEATURE_SEED)
    network = VGGFeatures(_WIDTHS)
    convolutions = [m for m in network.features.values() if isinstance(m, nn.Conv2d)]
    for layer in convolutions:
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=source))
        layer.bias.zero_()  # type: ignore[union-attr]
    x = draw_batch(CALIBRATION_SEED, 0, 16, side, mixed=False).images
    blocks = [count for _, count in _WIDTHS.blocks]
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
    features = plain.features(draw_batch(CALIBRATION_SEED, 1, 32, side, mixed=False).images)
    heads = {}
    for k, own in enumerate(features):
        apart = float((own - own.roll(1, 0)).square().sum(dim=1).mean())
        weight = _TYPICAL_DISTANCE / (len(features) * apart)
        heads[f"lin{k}.model.1.weight"] = torch.full((1, own.shape[1], 1, 1), weight)
    return heads
