"""Pictures brought to the sizes that losses and parser see, differentiably.

Source: method 4.3 (bicubic downsample) and 15 (which factor at which size). "Unit" is [0, 1],
"signed" is [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from barber.geometry import Geometry
from barber.models.segmenter import Segmenter

KEYS_A = -0.5  # the cubic's free parameter


def downsample_taps(factor: int) -> Tensor:
    """The filter of a bicubic downsample: float32 [4 * factor], summing to one."""
    t = ((torch.arange(4 * factor, dtype=torch.float64) - 2 * factor + 0.5) / factor).abs()
    near = (KEYS_A + 2) * t**3 - (KEYS_A + 3) * t**2 + 1
    far = KEYS_A * (t**3 - 5 * t**2 + 8 * t - 4)
    taps = torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
    return (taps / taps.sum()).to(torch.float32)


def downsample(x: Tensor, factor: int) -> Tensor:
    """Bicubic downsample of x [N, C, H, W] to [N, C, H / factor, W / factor], unclamped.

    A factor of 1 shifts by half a pixel, as the official code does; `to_loss_size` and
    `to_label_size` never ask for it.
    """
    channels, total = x.shape[1], 3 * factor
    before = total // 2
    after = total - before
    taps = downsample_taps(factor).to(x)
    x = x.contiguous(memory_format=torch.channels_last)
    x = functional.pad(x, (0, 0, before, after), mode="reflect")
    column = taps[None, None, :, None].expand(channels, 1, -1, 1)
    x = functional.conv2d(x, column, stride=(factor, 1), groups=channels)
    x = functional.pad(x, (before, after, 0, 0), mode="reflect")
    row = taps[None, None, None, :].expand(channels, 1, 1, -1)
    return functional.conv2d(x, row, stride=(1, factor), groups=channels)


def to_loss_size(image: Tensor, geometry: Geometry) -> Tensor:
    """A picture [N, 3, R, R] at the size of LPIPS, style and morphology; itself if it has it."""
    if geometry.image_size == geometry.loss_size:
        return image
    return downsample(image, geometry.image_size // geometry.loss_size)


def to_label_size(image: Tensor, geometry: Geometry) -> Tensor:
    """A picture [N, 3, R, R] at the size of label maps: bicubic down, itself, or bilinear up."""
    if geometry.image_size == geometry.label_size:
        return image
    if geometry.image_size > geometry.label_size:
        return downsample(image, geometry.image_size // geometry.label_size)
    size = (geometry.label_size, geometry.label_size)
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=False)


def photograph_to_parser(unit: Tensor, geometry: Geometry, *, clamp: bool = True) -> Tensor:
    """A photograph in [0, 1] as the parser wants it: resized, clamped, normalised (method 4.2)."""
    resized = to_label_size(unit, geometry)
    return Segmenter.normalise(resized.clamp(0, 1) if clamp else resized)


def to_parser_input(signed: Tensor, geometry: Geometry) -> Tensor:
    """A generated, signed picture as the parser wants it: never clamped (method 14.9)."""
    return Segmenter.normalise(to_label_size((signed + 1) / 2, geometry))
