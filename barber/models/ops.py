"""Upsampling, filtering and modulated convolution: plain reference first, fast path beside it.

Source: method 5.3; the fast forms are the "freedom of form" named there. Both compute the same
functions; the unit tests hold them together. Measured on one CPU core (96 channels, 16 to 64
pixels, batch 1 and 8, forward and backward): a transposed convolution followed by one depthwise 4x4
convolution in channels-last layout was the fastest exact form; folding the filter into the
convolution's weight (6x6, or four phases of 3x3) took two to ten times as long.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from barber.models.frozen import convolve

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)
EPSILON = 1e-8
LEAK = 0.2
GAIN = math.sqrt(2.0)


def fir_kernel(gain: float = 1.0) -> Tensor:
    """The 4x4 low-pass kernel [4, 4]: outer product of (1, 3, 3, 1), summing to `gain`."""
    taps = torch.tensor(FIR_TAPS)
    return torch.outer(taps, taps) * (gain / sum(FIR_TAPS) ** 2)


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2, times the square root of two."""
    return functional.leaky_relu(x, LEAK) * GAIN


def pixel_norm(z: Tensor) -> Tensor:
    """Scales every row of z [N, D] to a mean square of one."""
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + EPSILON)


# The reference forms: literal, slow, for the tests and for reading.


def reference_upfirdn(
    x: Tensor, kernel: Tensor, *, up: int, down: int, pad: tuple[int, int]
) -> Tensor:
    """Inserts up - 1 zeros after each sample, pads, convolves, keeps every down-th sample.

    Args:
        x: [N, C, H, W].
        kernel: [k, k]; true convolution, so it is flipped here.
        up: Factor of the zero insertion.
        down: Factor of the decimation.
        pad: Zeros before and after, on both axes.
    """
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h * up, w * up)
    spread[:, :, ::up, ::up] = x
    padded = functional.pad(spread, (*pad, *pad))
    taps = kernel.flip(0, 1).to(x).expand(c, 1, *kernel.shape)
    return functional.conv2d(padded, taps, groups=c)[:, :, ::down, ::down]


def reference_modulated_conv(
    x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool, upsample: bool
) -> Tensor:
    """Modulated convolution as written in the paper: one filter bank per sample.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k], unscaled.
        style: [N, I].
        demodulate: Whether each output filter is brought to unit norm.
        upsample: Whether the result is [N, O, 2H, 2W] (transposed convolution, then low-pass).
    """
    scale = 1.0 / math.sqrt(weight[0].numel())
    outputs = []
    for sample, row in zip(x, style, strict=True):
        filters = scale * weight * row[None, :, None, None]
        if demodulate:
            filters = filters * torch.rsqrt(
                filters.square().sum(dim=(1, 2, 3), keepdim=True) + EPSILON
            )
        if upsample:
            y = functional.conv_transpose2d(sample[None], filters.transpose(0, 1), stride=2)
            outputs.append(reference_upfirdn(y, fir_kernel(4.0), up=1, down=1, pad=(1, 1)))
        else:
            outputs.append(functional.conv2d(sample[None], filters, padding=weight.shape[-1] // 2))
    return torch.cat(outputs)


# The fast forms: what the generator calls.


def blur(x: Tensor, kernel: Tensor) -> Tensor:
    """Low-pass after a transposed convolution: [N, C, 2H+1, 2W+1] to [N, C, 2H, 2W].

    Args:
        x: The transposed convolution's output.
        kernel: [4, 4], symmetric, sums to 4.
    """
    channels = x.shape[1]
    return convolve(x, kernel.expand(channels, 1, *kernel.shape), padding=1, groups=channels)


def upsample_skip(rgb: Tensor, kernel: Tensor) -> Tensor:
    """Doubles the RGB skip: [N, 3, H, W] to [N, 3, 2H, 2W].

    A transposed convolution of stride 2 inserts the zeros and filters in one go; the kernel is
    symmetric, so flipping it changes nothing.

    Args:
        rgb: The coarser picture.
        kernel: [4, 4], symmetric, sums to 4.
    """
    channels = rgb.shape[1]
    taps = kernel.expand(channels, 1, *kernel.shape)
    return functional.conv_transpose2d(rgb, taps, stride=2, padding=1, groups=channels)


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """The factor [N, O] that brings each modulated, scaled filter to unit norm.

    Args:
        weight: [O, I, k, k], unscaled.
        style: [N, I], already times the scale.
    """
    energy = weight.square().sum(dim=(2, 3))  # [O, I]
    return torch.rsqrt(style.square() @ energy.t() + EPSILON)


def modulated_conv(
    x: Tensor, weight: Tensor, style: Tensor, blur_kernel: Tensor | None = None
) -> Tensor:
    """Modulated convolution without demodulation: scales the input, shares the weight.

    Scaling input channels equals scaling the filters, and lets a batch share one convolution
    whose weight needs no gradient.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k], unscaled.
        style: [N, I], already times the scale; or [N, I, H, W], one for every place.
        blur_kernel: [4, 4] to upsample by two, or None.
    """
    x = x * (style if style.ndim == 4 else style[:, :, None, None])
    if blur_kernel is None:
        return convolve(x, weight, padding=weight.shape[-1] // 2)
    return blur(convolve(x, weight.transpose(0, 1), stride=2, transposed=True), blur_kernel)


def finish(x: Tensor, factor: Tensor, noise: Tensor | None, bias: Tensor) -> Tensor:
    """Demodulation factor, noise, bias and activation in as few passes as possible.

    The activation's gain is positive, so it moves into the factor and the bias. Noise and
    activation work in place: the result is all that the backward pass and the next layer keep.

    Args:
        x: [N, O, H, W].
        factor: [N, O]; or [N, O, H, W], one for every place.
        noise: [N or 1, 1, H, W] already times its strength, or None.
        bias: [O].
    """
    by_place = factor if factor.ndim == 4 else factor[:, :, None, None]
    y = torch.addcmul(bias[None, :, None, None] * GAIN, x, by_place * GAIN)
    if noise is not None:
        y += noise * GAIN
    return functional.leaky_relu_(y, LEAK)


def spread(values: Tensor, shares: Tensor, side: int) -> Tensor:
    """Values that belong to parts of the picture, as a map: [1, C, side, side].

    Args:
        values: [K, C], one row for each part.
        shares: [1, K, h, h], what each part has of every place; they sum to one.
        side: Of the map.
    """
    here = functional.interpolate(
        shares, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    return torch.einsum("nkhw,kc->nchw", here, values).contiguous(memory_format=torch.channels_last)
