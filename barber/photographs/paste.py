"""A finished face put back into the photograph that its portrait was cut from.

Only what a job changed goes back, with a seam that fades over a few pixels around it: the rest of
a result is a reconstruction, and the photograph is better. Every pixel beyond the seam keeps its
bytes. Ours: neither the paper nor the official code goes back into a photograph.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from barber.errors import InputError
from barber.photographs.picture import Crop
from barber.pixels import Pixels, decode

FEATHER = 1 / 32  # width of the seam as a share of the portrait's side
BLURRED_FEATHER = 0.25  # of that width where the recipe blurred the portrait near an edge

Weights = NDArray[np.float32]  # [H, W] in [0, 1]: how much of the result is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """An upright photograph with what a picture file carries beside its colours."""

    pixels: Pixels = field(repr=False)  # uint8 [H, W, 3]
    alpha: NDArray[np.uint8] | None = field(default=None, repr=False)  # [H, W]; opaque when None
    icc: bytes | None = field(default=None, repr=False)  # its colour profile


def read_photograph(data: bytes, *, name: str) -> Photograph:
    """A photograph to paste into: upright, with transparency and RGB colour profile kept.

    A profile of other colours (CMYK, grey) is left out, since the pixels become RGB.

    Raises:
        InputError: It cannot be read; see `pixels.decode`.
    """
    flat = decode(data, name=name)
    with Image.open(io.BytesIO(data)) as image:
        profile = image.info.get("icc_profile")
        icc = profile if isinstance(profile, bytes) and profile[16:20] == b"RGB " else None
        if not image.has_transparency_data:
            return Photograph(pixels=flat, icc=icc)
        layers = np.array(ImageOps.exif_transpose(image).convert("RGBA"), dtype=np.uint8)
    return Photograph(pixels=layers[:, :, :3].copy(), alpha=layers[:, :, 3].copy(), icc=icc)


def paste_back(
    photo: Photograph,
    result: Pixels,
    crop: Crop,
    changed: NDArray[np.bool_],
    *,
    feather: float = FEATHER,
) -> Photograph:
    """The photograph with the changed regions of a result in their place.

    Args:
        photo: The upright photograph.
        result: The finished portrait, uint8 [R, R, 3].
        crop: Where the portrait was cut.
        changed: Bool [h, h], the regions that the job changed, over the whole portrait.
        feather: Width of the seam around them, as a share of the portrait's side.

    Raises:
        InputError: The crop is of another photograph or another size of portrait.
    """
    height, width, _ = photo.pixels.shape
    if (width, height) != (crop.width, crop.height) or result.shape[:2] != (crop.size, crop.size):
        raise InputError(
            f"the portrait of {crop.size} pixels was cut from a photograph of "
            f"{crop.width}x{crop.height}, not one of {result.shape[0]} from one of "
            f"{width}x{height}: give the photograph that it was cut from"
        )
    window = _window(crop)
    if not changed.any() or window is None:
        return photo
    left, top, right, bottom = window
    shown = _warp(Image.fromarray(seam(changed, crop, feather)), crop, window)
    weights = np.clip(np.asarray(shown, dtype=np.float32), 0, 1)
    colours = np.asarray(_warp(Image.fromarray(result), crop, window), dtype=np.float32)
    within = (slice(top, bottom), slice(left, right))
    pixels, alpha = photo.pixels.copy(), None
    if photo.alpha is not None:  # laid over what lies there, in its own opacity
        alpha = photo.alpha.copy()
        below = alpha[within].astype(np.float32) / 255
        opacity = weights + below * (1 - weights)
        alpha[within] = np.where(weights > 0, np.rint(opacity * 255), alpha[within])
        weights = np.divide(weights, opacity, out=np.zeros_like(weights), where=opacity > 0)
    old = pixels[within].astype(np.float32)
    mixed = np.rint(old + (colours - old) * weights[:, :, None])
    pixels[within] = np.where(weights[:, :, None] > 0, mixed, old).astype(np.uint8)
    return Photograph(pixels=pixels, alpha=alpha, icc=photo.icc)


def seam(changed: NDArray[np.bool_], crop: Crop, feather: float) -> Weights:
    """How much of the result each pixel of the portrait shows, float32 [R, R].

    One in the changed regions, falling to zero within `feather` around them and towards the
    portrait's own border, as far as that lies inside the photograph. Where the recipe blurred the
    portrait near the photograph's edge, the seam is narrower, so that little but change is shown.
    """
    from scipy.ndimage import distance_transform_edt  # slow to load; see `crop`

    size = crop.size
    large = Image.fromarray(changed).resize((size, size), Image.Resampling.NEAREST)
    distance = distance_transform_edt(~np.asarray(large, dtype=np.bool_))
    reach = max(feather * size, 1.0)
    around = reach * (1 - (1 - BLURRED_FEATHER) * _blurred(crop))
    weights = _smooth(1 - distance / around)
    border = _border_distance(crop)
    if border is not None:
        weights *= _smooth(border / reach)
    return weights.astype(np.float32)


def _smooth(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """From 0 to 1 with level ends."""
    t = np.clip(x, 0, 1)
    eased: NDArray[np.floating] = t * t * (3 - 2 * t)
    return eased


def _places(crop: Crop, margin: int = 0) -> NDArray[np.float64]:
    """Where the centres of a portrait's pixels lie in the photograph: [2, R + 2m, R + 2m]."""
    line = np.arange(-margin, crop.size + margin) + 0.5
    x, y = np.meshgrid(line, line)
    found: NDArray[np.float64] = np.einsum(
        "ij,jkl->ikl", crop.matrix(), np.stack([x, y, np.ones_like(x)])
    )
    return found


def _blurred(crop: Crop) -> NDArray[np.float64]:
    """How strongly the recipe blurred each pixel of the portrait, [R, R] in [0, 1]."""
    x, y = _places(crop)
    blur = np.zeros((crop.size, crop.size))
    sides = zip((x, y, crop.width - x, crop.height - y), crop.pads, strict=True)
    for inwards, pad in sides:
        if pad:  # the recipe blurs from the edge to a third of the padding inwards
            blur = np.maximum(blur, 1 - 3 * inwards / (pad * crop.shrink))
    return np.clip(blur, 0, 1)


def _border_distance(crop: Crop) -> NDArray[np.float64] | None:
    """Portrait pixels to where the photograph goes on beyond it, [R, R]; None if nowhere."""
    from scipy.ndimage import distance_transform_edt

    x, y = _places(crop, margin=1)
    beyond = (x > 0) & (x < crop.width) & (y > 0) & (y < crop.height)
    beyond[1:-1, 1:-1] = False
    if not beyond.any():
        return None
    distance: NDArray[np.float64] = distance_transform_edt(~beyond)
    return distance[1:-1, 1:-1] - 1


def _window(crop: Crop) -> tuple[int, int, int, int] | None:
    """The part of the photograph that the portrait covers; None if they do not meet."""
    corners, limits = np.array(crop.quad), np.array([crop.width, crop.height])
    low = np.clip(np.floor(corners.min(axis=0)), 0, limits).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, limits).astype(int)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _warp(image: Image.Image, crop: Crop, window: tuple[int, int, int, int]) -> Image.Image:
    """A picture over the portrait, as it lies in a window of the photograph.

    It is brought to the photograph's scale by a filter that covers every pixel, so that a small
    face does not alias; the turn that is left hardly changes its size.
    """
    is_colour = image.mode == "RGB"
    side = max(1, round(crop.side_px))
    filters = Image.Resampling
    image = image.resize((side, side), filters.LANCZOS if is_colour else filters.BILINEAR)
    forward = np.vstack(
        [crop.matrix() @ np.diag([crop.size / side, crop.size / side, 1]), [0, 0, 1]]
    )
    left, top, right, bottom = window
    inverse = np.linalg.inv(forward) @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    return image.transform(
        (right - left, bottom - top),
        Image.Transform.AFFINE,
        tuple(float(value) for value in inverse[:2].flatten()),
        filters.BICUBIC if is_colour else filters.BILINEAR,
    )
