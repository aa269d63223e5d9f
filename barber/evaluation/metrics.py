"""Distances between two pictures of uint8 pixels. No torch: the command line uses them.

Source: PSNR and SSIM as in the paper's table of reconstructions; SSIM with the original
authors' settings (Gaussian window of 1.5 pixels, population covariance), by scikit-image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from barber.errors import InputError
from barber.pixels import Pixels

PEAK = 255.0
# Equal pictures have an infinite PSNR, which no mean can take. This stands for it: an error of half
# a step in every pixel, the least that 8 bits can tell, has 54 dB.
PSNR_CAP_DB = 60.0

Mask = NDArray[np.bool_]  # [H, W]


def rmse(one: Pixels, other: Pixels) -> float:
    """Root of the mean squared difference in steps of 0..255, over all channels."""
    _check_pair(one, other)
    return math.sqrt(float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)))


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures.

    Args:
        one: uint8 [H, W, 3].
        other: Of the same shape.

    Raises:
        InputError: The shapes differ.
    """
    error = rmse(one, other)
    return math.inf if error == 0 else 20 * math.log10(PEAK / error)


def ssim(one: Pixels, other: Pixels) -> float:
    """Mean structural similarity over pixels and channels, at most 1.

    Args:
        one: uint8 [H, W, 3], at least 11 pixels high and wide.
        other: Of the same shape.

    Raises:
        InputError: The shapes differ.
    """
    _check_pair(one, other)
    return float(
        structural_similarity(
            one,
            other,
            channel_axis=2,
            data_range=PEAK,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def capped_psnr(one: Pixels, other: Pixels, where: Mask | None = None) -> float | None:
    """PSNR in dB, at most `PSNR_CAP_DB`.

    Args:
        one: uint8 [H, W, 3].
        other: Of the same shape.
        where: Only these pixels; all of them when None.

    Returns:
        The distance; None when there are no such pixels.
    """
    if where is not None:
        if not where.any():
            return None
        one, other = one[where][None], other[where][None]
    return min(psnr(one, other), PSNR_CAP_DB)


def overlap(one: Mask, other: Mask) -> float | None:
    """Intersection over union of two masks of one shape; None when both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else None


def _check_pair(one: Pixels, other: Pixels) -> None:
    if one.shape != other.shape:
        raise InputError(
            f"pictures of {one.shape[1]}x{one.shape[0]} and {other.shape[1]}x{other.shape[0]} "
            "cannot be compared: bring them to one size"
        )
