"""How sharp and how well exposed a picture is: numbers from its pixels alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from barber.pixels import Pixels

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
FINE_PX, COARSE_PX = 1.0, 2.0  # standard deviations that part the bands of detail
LEAST_ENERGY = 1e-3  # of the coarse band, in squared grey levels; below it nothing is to be seen
DARK_PERCENTILE, BRIGHT_PERCENTILE = 2, 98
MIDDLE = 0.2  # radius of the disc that stands for the face where no label map is
CLIPPED = 250  # a pixel with no channel below this has lost its colour


def luma(pixels: Pixels) -> NDArray[np.float32]:
    """Brightness in grey levels, float32 [H, W]."""
    grey: NDArray[np.float32] = pixels.astype(np.float32) @ LUMA
    return grey


def detail(pixels: Pixels, size: int) -> float:
    """The finest detail's strength over the next coarser one's, at the size that losses see.

    Both are energies of bands of one picture, so contrast, light and subject cancel; of a sharp
    picture they are about equal, and blur takes the fine one first. The variance of a Laplacian,
    which is the fine band alone, differs twentyfold between sharp pictures (docs/preflight.md).

    Args:
        pixels: The portrait, uint8 [R, R, 3].
        size: The bundle's loss size.

    Returns:
        0 for a picture without any detail.
    """
    grey = luma(pixels)
    if grey.shape[0] > size:
        image = Image.fromarray(grey).resize((size, size), Image.Resampling.LANCZOS)
        grey = np.asarray(image, dtype=np.float32)
    finer, coarser = gaussian_filter(grey, FINE_PX), gaussian_filter(grey, COARSE_PX)
    coarse = float(np.square(finer - coarser).mean())
    return float(np.square(grey - finer).mean()) / coarse if coarse > LEAST_ENERGY else 0.0


def brightness(pixels: Pixels) -> tuple[float, float]:
    """The brightness of the lightest parts, and the span from there down to the darkest.

    Both in grey levels from 0 to 255. Dark skin or hair alone do not make the first one low: eyes,
    teeth, clothes and background are in the picture as well.
    """
    dark, bright = np.percentile(luma(pixels), [DARK_PERCENTILE, BRIGHT_PERCENTILE])
    return float(bright), float(bright - dark)


def clipped_share(pixels: Pixels, where: NDArray[np.bool_] | None) -> float:
    """The share of pixels that are burnt out to white, 0..1.

    Args:
        pixels: The portrait, uint8 [R, R, 3].
        where: The face, bool [h, w] at any size, so that a white background does not count; the
            middle of the picture when None.
    """
    height, width, _ = pixels.shape
    inside = _middle(height, width) if where is None else _enlarged(where, height, width)
    white = pixels.min(axis=2) >= CLIPPED
    return float(white[inside].mean()) if inside.any() else 0.0


def _middle(height: int, width: int) -> NDArray[np.bool_]:
    """A disc of two fifths of the sides, where the face of a portrait is."""
    down = (np.arange(height) + 0.5) / height - 0.5
    across = (np.arange(width) + 0.5) / width - 0.5
    disc: NDArray[np.bool_] = np.hypot(down[:, None], across[None, :]) < MIDDLE
    return disc


def _enlarged(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """A mask at another size, by nearest."""
    rows = (np.arange(height) * mask.shape[0]) // height
    columns = (np.arange(width) * mask.shape[1]) // width
    enlarged: NDArray[np.bool_] = mask[rows[:, None], columns[None, :]]
    return enlarged
