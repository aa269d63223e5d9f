"""A portrait's own label map: read from a PNG, checked, brought to where the portrait lies.

The face parser is not asked for a portrait that has one. Values and colours are those of `labels`.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from barber.errors import InputError
from barber.labels import COLOURS, REGION_COUNT, Region
from barber.photographs.picture import Crop, LabelMap
from barber.pixels import MAX_SIDE_PX

INDEXED = "save it as a PNG of index values 0 to 15, as `barber faces` writes them"


def read_label_map(data: bytes, *, name: str) -> LabelMap:
    """A label map file as uint8 [H, W] of 0..15.

    A grey PNG holds the labels themselves; so does one with a palette, unless its palette is the
    official colours in another order. An RGB one is read by the official colours, and refused
    where two labels share one.

    Raises:
        InputError: Not a PNG, a value or colour that is no label, or nothing but background.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if max(image.size) > MAX_SIDE_PX:
                raise InputError(f"the label map {name} is larger than {MAX_SIDE_PX} pixels")
            found = _labels(image, name)
    except InputError:
        raise
    except Exception as error:  # damaged bytes make Pillow's reader fail in many ways
        raise InputError(
            f"the label map {name} cannot be read as a PNG ({error}): {INDEXED}"
        ) from error
    if not found.any():
        raise InputError(
            f"the label map {name} is background everywhere: paint at least one region, "
            "or leave the map out and let the parser find them"
        )
    return found


def fit_label_map(
    labels: LabelMap, size: int, *, name: str, width: int, height: int, crop: Crop | None = None
) -> LabelMap:
    """Brings a picture's label map to its portrait: uint8 [size, size], by nearest.

    Args:
        labels: The map of the whole upright picture, at any resolution of the same shape.
        size: The bundle's label size.
        name: What to call it in a message.
        width: Of the upright picture in pixels.
        height: Of the upright picture in pixels.
        crop: Where the portrait was cut out of the picture; None when it is all of it. Beyond the
            edge the map is reflected, as the recipe reflects the pixels.

    Raises:
        InputError: The map has another shape than the picture.
    """
    rows, columns = labels.shape
    if abs(columns * height - rows * width) > max(width, height):
        raise InputError(
            f"the label map {name} is {columns}x{rows} and its picture {width}x{height} (upright): "
            "give a map of the same shape"
        )
    centres = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(centres, centres)  # shares of the portrait's sides
    x, y = u * width, v * height
    if crop is not None:
        portrait = np.stack([u * crop.size, v * crop.size, np.ones_like(u)])
        x, y = np.einsum("ij,jkl->ikl", crop.matrix(), portrait)
    at_x = _reflected(np.floor(x * columns / width), columns)
    at_y = _reflected(np.floor(y * rows / height), rows)
    fitted: LabelMap = labels[at_y, at_x]
    if not fitted.any():
        raise InputError(
            f"the label map {name} is background wherever the face is: paint this picture's map"
        )
    return fitted


def _labels(image: Image.Image, name: str) -> LabelMap:
    if image.mode == "P":
        return _from_palette(image, name)
    if image.mode == "L":
        return _indices(np.asarray(image, dtype=np.uint8), name)
    if image.mode == "RGB" or (
        image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == 255
    ):
        return _from_colours(np.asarray(image.convert("RGB"), dtype=np.uint8), name)
    raise InputError(
        f"the label map {name} has pixels of kind {image.mode}, which tell no labels: {INDEXED}"
    )


def _indices(values: NDArray[np.uint8], name: str) -> LabelMap:
    highest = int(values.max())
    if highest >= REGION_COUNT:
        share = float((values >= REGION_COUNT).mean())
        raise InputError(
            f"the label map {name} has the value {highest} ({share:.1%} of it is above 15): "
            f"labels go from 0 to {REGION_COUNT - 1}"
        )
    return values


def _from_palette(image: Image.Image, name: str) -> LabelMap:
    """The indices, unless the used ones show the official colours of other labels."""
    indices = np.asarray(image, dtype=np.uint8)
    palette = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    shown = {int(i): tuple(int(c) for c in palette[i]) for i in used if i < len(palette)}
    own = {int(region): COLOURS[region] for region in Region}
    is_official = len(shown) == len(used) and set(shown.values()) <= set(COLOURS.values())
    if is_official and any(colour != own.get(i) for i, colour in shown.items()):
        return _from_colours(palette[indices], name)
    return _indices(indices, name)


def _from_colours(pixels: NDArray[np.uint8], name: str) -> LabelMap:
    """RGB [H, W, 3] by the official colours; InputError where a colour is none, or two labels'."""
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    found = np.zeros(packed.shape, dtype=np.uint8)
    for value in np.unique(packed):
        colour = (int(value) >> 16, int(value) >> 8 & 255, int(value) & 255)
        labels = [region for region in Region if COLOURS[region] == colour]
        if not labels:
            raise InputError(
                f"the label map {name} has the colour {colour}, which is no label's: {INDEXED}"
            )
        if len(labels) > 1:
            words = " and ".join(label.word for label in labels)
            raise InputError(
                f"the label map {name} has the colour {colour}, which {words} share: {INDEXED}"
            )
        found[packed == value] = labels[0]
    return found


def _reflected(index: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Indices brought into 0..count-1 by reflection; the edge is not repeated."""
    if count == 1:
        return np.zeros(index.shape, dtype=np.intp)
    period = 2 * (count - 1)
    wrapped = np.mod(index, period).astype(np.intp)
    inside: NDArray[np.intp] = np.minimum(wrapped, period - wrapped)
    return inside
