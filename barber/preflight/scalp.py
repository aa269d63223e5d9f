"""Whether what a parser calls hair looks like hair, or like the skin of a bald head.

A parser that saw few bald heads labels a bare scalp as hair. A scalp has the face's hue and no
strands; hair differs in the one or shows the other. Brightness tells nothing: a lamp from above
makes the top of a bald head as different from the chin as dark hair is.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_filter

from barber.labels import Region
from barber.pixels import Pixels
from barber.preflight.faces import Labels
from barber.preflight.tones import LUMA

STRANDS_PX = 1.5  # standard deviation; finer than this is a strand, coarser is light and shade
STRANDS_WEIGHT = 16  # a strand's contrast counts so much more than a difference of hue
RIM_STEPS = 2  # the edge of the hair has contrast on a bald head as well
LEAST_PX = 8
OFFSET = 8.0  # grey levels added before the logarithm, so that noise in black is not contrast


def hair_contrast(pixels: Pixels, label_map: Labels, size: int) -> float | None:
    """How much the hair differs from the skin in hue and strands, in natural logarithms.

    None without both.

    Args:
        pixels: The portrait, uint8 [R, R, 3].
        label_map: [h, h].
        size: The bundle's loss size; twice that is where strands are looked for.
    """
    side = min(pixels.shape[0], 2 * size)
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
    steps = (np.arange(side) * label_map.shape[0]) // side
    labels = label_map[steps[:, None], steps[None, :]]
    hair, skin = labels == Region.HAIR, labels == Region.SKIN
    if hair.sum() < LEAST_PX or skin.sum() < LEAST_PX:
        return None
    shown = np.asarray(image, dtype=np.float32)
    tones = np.log(shown + OFFSET)
    change = np.median(tones[hair], axis=0) - np.median(tones[skin], axis=0)
    hue = change - change.mean()
    within = binary_erosion(hair, iterations=RIM_STEPS)
    strands = _strands(shown @ LUMA, within) if within.sum() >= LEAST_PX else 0.0
    return float(np.hypot(np.linalg.norm(hue), STRANDS_WEIGHT * strands))


def _strands(grey: np.ndarray[tuple[int, ...], np.dtype[np.float32]], where: Labels) -> float:
    """The median contrast of what is fine, relative to the brightness around it.

    A median, because rims of ears, earrings and spectacles on a bald head are fine too, and few.
    """
    fine = grey - gaussian_filter(grey, STRANDS_PX)
    return float(np.median(np.abs(fine[where])) / (grey[where].mean() + OFFSET))
