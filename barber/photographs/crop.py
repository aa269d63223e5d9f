"""A portrait cut out of a photograph around its landmarks, and where it was cut from.

Source: method section 4.1 (the recipe by which FFHQ was made). The recipe always works at 1024
pixels; a smaller portrait is that one, resized. Deviations: a photograph is upright RGB before
it comes here (`pixels.decode` applies the EXIF orientation), and landmarks that cannot be a face
are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from barber.errors import InputError
from barber.photographs.picture import Crop
from barber.pixels import Pixels, resize

Points = NDArray[np.float64]  # [.., 2], x to the right and y down

LANDMARK_COUNT = 68
RECIPE_SIZE = 1024  # of the portrait that the recipe cuts
SUPERSAMPLE = 4  # the warp is made this many times larger, then brought down
MIN_QUAD_PX = 16.0  # a smaller square has no face in it, only noise
MIN_BORDER_PX = 3

# Points of the 68-point model.
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
MOUTH_LEFT, MOUTH_RIGHT = 48, 54


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedFace:
    """A portrait cut from a photograph."""

    pixels: Pixels  # uint8 [size, size, 3]
    crop: Crop


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A picture on its way through the recipe, and how to get back to where it came from."""

    image: Image.Image
    quad: Points  # [4, 2], in pixel indices of `image`
    side: float  # of the quad, in pixels of `image`


def align_face(photo: Pixels, landmarks: NDArray[Any], *, size: int = RECIPE_SIZE) -> AlignedFace:
    """Cuts the portrait of one face out of a photograph (method 4.1).

    Args:
        photo: The upright photograph, uint8 [H, W, 3].
        landmarks: The 68 points of the face, [68, 2] as (x, y) pixel indices.
        size: Side of the portrait; a divisor of 1024.

    Raises:
        InputError: The points cannot be a face, or the size is no divisor of 1024.
    """
    if size < 1 or RECIPE_SIZE % size:
        raise InputError(f"a portrait of {size} pixels cannot be cut: give a divisor of 1024")
    height, width, _ = photo.shape
    quad, side = oriented_square(landmarks)
    cut, shrink = _shrink(_Cut(image=Image.fromarray(photo), quad=quad, side=side))
    # What is sampled, in the photograph's own pixels: a shrunken side is rounded to whole pixels.
    scale = np.array([width / cut.image.width, height / cut.image.height])
    found = (cut.quad + 0.5) * scale
    cut, pads = _pad(_crop(cut))
    pixels = resize(np.asarray(_warp(cut), dtype=np.uint8), size)
    corners = tuple((float(x), float(y)) for x, y in found)
    crop = Crop(quad=corners, width=width, height=height, size=size, shrink=shrink, pads=pads)
    return AlignedFace(pixels=pixels, crop=crop)


def cut_again(photo: Pixels, crop: Crop) -> Pixels:
    """The portrait that was cut from the upright photograph before, uint8 [size, size, 3].

    Raises:
        InputError: The photograph has another size than the one that was cut.
    """
    height, width, _ = photo.shape
    if (width, height) != (crop.width, crop.height):
        raise InputError(
            f"the photograph is {width}x{height} pixels and was {crop.width}x{crop.height}: give "
            "the one that was cut"
        )
    image = Image.fromarray(photo)
    if crop.shrink > 1:
        smaller = (round(width / crop.shrink), round(height / crop.shrink))
        image = image.resize(smaller, Image.Resampling.LANCZOS)
    scale = np.array([width / image.width, height / image.height])
    quad = np.array(crop.quad) / scale - 0.5
    side = float(np.hypot(*(quad[3] - quad[0])))
    cut, _ = _pad(_crop(_Cut(image=image, quad=quad, side=side)))
    return resize(np.asarray(_warp(cut), dtype=np.uint8), crop.size)


def oriented_square(landmarks: NDArray[Any]) -> tuple[Points, float]:
    """The square around a face: corners [4, 2] in pixel indices, and its side in pixels.

    The corners run top left, bottom left, bottom right, top right, as the face stands upright.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (LANDMARK_COUNT, 2) or not np.isfinite(points).all():
        raise InputError(f"landmarks of shape {points.shape}: give 68 points of x and y")
    left, right = points[LEFT_EYE].mean(axis=0), points[RIGHT_EYE].mean(axis=0)
    eyes, eye_to_eye = (left + right) / 2, right - left
    eye_to_mouth = (points[MOUTH_LEFT] + points[MOUTH_RIGHT]) / 2 - eyes
    x = eye_to_eye - eye_to_mouth[::-1] * [-1, 1]
    length = float(np.hypot(*x))
    reach = max(2.0 * float(np.hypot(*eye_to_eye)), 1.8 * float(np.hypot(*eye_to_mouth)))
    if length == 0 or 2 * reach < MIN_QUAD_PX:
        raise InputError(
            f"the eyes and mouth that were found span a square of {2 * reach:.0f} pixels: "
            "give a larger picture of the face"
        )
    x = x / length * reach
    y = x[::-1] * [-1, 1]
    centre = eyes + 0.1 * eye_to_mouth
    quad = np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    return quad, 2 * float(np.hypot(*x))


def _shrink(cut: _Cut) -> tuple[_Cut, int]:
    """Makes a photograph smaller whose face is far larger than the portrait will be."""
    shrink = int(np.floor(cut.side / RECIPE_SIZE * 0.5))
    if shrink <= 1:
        return cut, 1
    image = cut.image
    smaller = (round(image.width / shrink), round(image.height / shrink))
    image = image.resize(smaller, Image.Resampling.LANCZOS)
    return _Cut(image=image, quad=cut.quad / shrink, side=cut.side / shrink), shrink


def _border(side: float) -> int:
    return max(round(side * 0.1), MIN_BORDER_PX)


def _crop(cut: _Cut) -> _Cut:
    """Leaves what lies around the quad; the rest would only cost memory."""
    border, limits = _border(cut.side), np.array(cut.image.size)
    low = np.maximum(np.floor(cut.quad.min(axis=0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(cut.quad.max(axis=0)).astype(int) + border, limits)
    if (high <= low).any():
        raise InputError("the face lies outside of the picture: give landmarks of this photograph")
    box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    return _Cut(image=cut.image.crop(box), quad=cut.quad - low, side=cut.side)


def _pad(cut: _Cut) -> tuple[_Cut, tuple[int, int, int, int]]:
    """Continues a photograph whose quad reaches beyond its edge, blurred ever more outwards."""
    border, limits = _border(cut.side), np.array(cut.image.size)
    before = -np.floor(cut.quad.min(axis=0)).astype(int) + border
    after = np.ceil(cut.quad.max(axis=0)).astype(int) - limits + border
    pads = np.maximum([*before, *after], 0)  # left, top, right, bottom
    if pads.max() <= border - 4:
        return cut, (0, 0, 0, 0)
    pads = np.maximum(pads, round(cut.side * 0.3))
    left, top, right, bottom = (int(pad) for pad in pads)
    photo = np.asarray(cut.image, dtype=np.float32)
    padded = np.pad(photo, ((top, bottom), (left, right), (0, 0)), mode="reflect")
    blurred = _fade(padded, outwardness(padded.shape[:2], (left, top, right, bottom)), cut.side)
    image = Image.fromarray(blurred)
    return _Cut(image=image, quad=cut.quad + pads[:2], side=cut.side), (left, top, right, bottom)


def outwardness(shape: tuple[int, ...], pads: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """How far out each pixel of a padded picture lies, float32 [H, W].

    0 is the photograph's edge, 1 the outermost pixel; negative inside the photograph.
    """
    height, width = shape
    left, top, right, bottom = (np.float32(pad) for pad in pads)
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    across = 1 - np.minimum(x / left, (width - 1 - x) / right)
    down = 1 - np.minimum(y / top, (height - 1 - y) / bottom)
    out: NDArray[np.float32] = np.maximum(across, down)
    return out


def _fade(padded: NDArray[np.float32], out: NDArray[np.float32], side: float) -> Pixels:
    """Blurs what lies near and beyond the edge, then lets it fade to the median colour."""
    from scipy.ndimage import gaussian_filter  # slow to load, and most commands see no photograph

    blur, fade = np.clip(3 * out + 1, 0, 1), np.clip(out, 0, 1)
    for channel in range(padded.shape[2]):  # one at a time: a photograph can be large
        plane = padded[:, :, channel]
        plane += (gaussian_filter(plane, 0.02 * side) - plane) * blur
        plane += (np.median(plane) - plane) * fade
    return np.clip(np.rint(padded), 0, 255).astype(np.uint8)


def _warp(cut: _Cut) -> Image.Image:
    """The quad as an upright square of the recipe's size."""
    large = RECIPE_SIZE * SUPERSAMPLE
    corners = tuple(float(value) for value in (cut.quad + 0.5).flatten())
    image = cut.image.transform(
        (large, large), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR
    )
    return image.resize((RECIPE_SIZE, RECIPE_SIZE), Image.Resampling.LANCZOS)
