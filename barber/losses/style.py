"""The Gram loss over a region.

Source: method 9.3. VGG16 sees the signed pictures as they are, without ImageNet normalisation; a
Gram matrix is divided by the full area, not by the mask's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from barber.models.vgg import VGGFeatures

STYLE_TAPS = 4


def region_grams(vgg: VGGFeatures, image: Tensor, mask: Tensor) -> list[Tensor]:
    """Gram matrices [N, C, C] of the picture inside the mask, one per tap.

    Compute a fixed reference's once, without gradient.

    Args:
        vgg: The features.
        image: Signed picture [N, 3, H, W]; it is multiplied by the mask here.
        mask: {0, 1} float [N, 1, H, W].
    """
    grams = []
    for features in vgg(image * mask, min(STYLE_TAPS, len(vgg.channels))):
        inside = features * functional.interpolate(mask, size=features.shape[2:])
        rows = inside.permute(0, 2, 3, 1).flatten(1, 2)  # [N, H * W, C]
        grams.append(rows.transpose(1, 2) @ rows / inside[0].numel())
    return grams


def style_distance(grams: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """Mean over taps of the mean squared difference of Gram matrices: [N], unweighted.

    The method multiplies it by 40000; that weight is the caller's.
    """
    return torch.stack(
        [
            (own - other).square().mean(dim=(1, 2))
            for own, other in zip(grams, reference, strict=True)
        ]
    ).mean(dim=0)
