"""A portrait on its way into the store: its pixels, its own label map, where it was cut from.

No SciPy here: the catalogue keeps these values and does not make them.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from barber.errors import InputError
from barber.labels import COLOURS, REGION_COUNT, Region
from barber.pixels import COMPRESSION, Pixels, decode
from barber.preflight.findings import Finding
from barber.spec import PortraitKey

LabelMap = NDArray[np.uint8]  # [H, W], values 0..15


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Where a portrait lies in its photograph: what the way back needs, and no pixels.

    Coordinates are those of the upright photograph, in pixels, with the origin at the outer corner
    of the first pixel: its centre is (0.5, 0.5). `quad` may reach beyond the photograph.
    """

    quad: tuple[tuple[float, float], ...]  # top left, bottom left, bottom right, top right
    width: int  # of the upright photograph
    height: int
    size: int  # side of the portrait
    shrink: int = 1  # how many times smaller the photograph was made first
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # left, top, right, bottom; after the shrink

    @property
    def side_px(self) -> float:
        """Side of the square in the photograph: below `size`, the portrait is enlarged."""
        corners = np.array(self.quad)
        return float(np.linalg.norm(corners[3] - corners[0]))

    def matrix(self) -> NDArray[np.float64]:
        """From portrait to photograph: float64 [2, 3], on (x, y, 1) in outer-corner pixels."""
        top_left, bottom_left, _, top_right = np.array(self.quad)
        columns = [(top_right - top_left) / self.size, (bottom_left - top_left) / self.size]
        return np.stack([*columns, top_left], axis=1)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Raises InputError when a field is missing, surplus or cannot be meant."""
        try:
            quad = tuple((float(x), float(y)) for x, y in data["quad"])
            left, top, right, bottom = (int(pad) for pad in data["pads"])
            sizes = {name: int(data[name]) for name in ("width", "height", "size", "shrink")}
            crop = cls(**{**data, **sizes, "quad": quad, "pads": (left, top, right, bottom)})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the crop of a portrait cannot be read: {error!r}") from error
        if len(quad) != 4 or not np.isfinite(quad).all() or crop.side_px < 1:
            raise InputError(f"the crop {quad} is no square of a photograph: align it again")
        return crop


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A portrait as bytes, ready to be kept; `portraits.PortraitReader` makes it."""

    key: PortraitKey  # of the pixels and the label map
    name: str  # of the file it came from
    width: int  # of that file, upright, in pixels
    height: int
    size: int  # side of the portrait
    png: bytes = field(repr=False)  # the portrait
    labels_png: bytes | None = field(default=None, repr=False)  # its own label map, at label size
    photo: bytes | None = field(default=None, repr=False)  # the file, when it was cut out of one
    crop: Crop | None = None  # where; set together with `photo`
    face_count: int | None = None  # faces found in the photograph; None when nobody looked
    landmarks: NDArray[np.int64] | None = field(default=None, repr=False)  # [68, 2], in the photo
    findings: tuple[Finding, ...] = field(default=(), repr=False)  # on the file

    def __post_init__(self) -> None:
        assert (self.photo is None) == (self.crop is None)

    def pixels(self) -> Pixels:
        """The portrait, uint8 [size, size, 3]."""
        return decode(self.png, name=self.name)

    def label_map(self) -> LabelMap | None:
        """Its own label map, uint8 [h, h] at the bundle's label size, if it has one."""
        return None if self.labels_png is None else decode_labels(self.labels_png)


def encode_labels(labels: LabelMap) -> bytes:
    """A label map as an index PNG in the official colours; equal maps give equal bytes."""
    assert labels.max() < REGION_COUNT, "the palette has one colour per label"
    height, width = labels.shape
    image = Image.frombytes("P", (width, height), np.ascontiguousarray(labels).tobytes())
    image.putpalette([channel for region in Region for channel in COLOURS[region]])
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=COMPRESSION)
    return out.getvalue()


def decode_labels(data: bytes) -> LabelMap:
    """The label map that `encode_labels` wrote."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        assert image.mode == "P", f"a kept label map has indices, not {image.mode}"
        return np.array(image, dtype=np.uint8)
