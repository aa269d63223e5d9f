"""What needs no network but the parser: the picture left alone, and hair cut out and laid on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from barber.labels import Region
from barber.pixels import Pixels

LabelMap = NDArray[np.uint8]  # [h, h]


def cut_and_paste(
    identity: Pixels,
    hair: Pixels,
    hair_map: LabelMap,
    colour: Pixels | None = None,
    colour_map: LabelMap | None = None,
) -> Pixels:
    """Lays the pixels that the parser calls hair in one portrait over another, where they are.

    The edge is as soft as enlarging the label map makes it. A colour from a third portrait moves
    the hair's mean colour to that portrait's, where the parser sees hair in both. Nothing is
    uncovered: the identity's own hair stays wherever the new one does not hide it.

    Args:
        identity: uint8 [R, R, 3].
        hair: Gives the pixels.
        hair_map: Its label map.
        colour: Gives the mean colour; the hair's own when None.
        colour_map: Its label map.
    """
    side = identity.shape[0]
    alpha = _alpha(hair_map, side)[:, :, None]
    source = hair.astype(np.float32)
    if colour is not None and colour_map is not None:
        wanted, own = _mean_hair(colour, colour_map), _mean_hair(hair, hair_map)
        if wanted is not None and own is not None:
            source = source + wanted - own
    mixed = alpha * source + (1 - alpha) * identity.astype(np.float32)
    whole: Pixels = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return whole


def _alpha(label_map: LabelMap, side: int) -> NDArray[np.float32]:
    mask = Image.fromarray((label_map == Region.HAIR).astype(np.uint8) * 255)
    soft = mask.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(soft, dtype=np.float32) / np.float32(255)


def _mean_hair(picture: Pixels, label_map: LabelMap) -> NDArray[np.float32] | None:
    """Mean colour of the hair, [3]; None where there is none."""
    weight = _alpha(label_map, picture.shape[0])[:, :, None]
    total = float(weight.sum())
    if total == 0:
        return None
    return np.asarray((weight * picture).sum(axis=(0, 1)) / total, dtype=np.float32)
