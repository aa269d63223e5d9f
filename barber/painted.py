"""A target mask that somebody painted: part of a job's spec, so that its recipe tells all of it."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from barber.errors import InputError
from barber.labels import COLOURS, REGION_COUNT, Region

LabelMap = NDArray[np.uint8]  # [h, h] of 0..15

MAX_SIDE: Final = 1024
MAX_BYTES: Final = 192 * 1024  # packed: specs are read by every list of jobs
MAX_FILE_BYTES: Final = 1 << 20

# On the screen and in files each label has a colour of its own; officially some share one, and
# those stand for neither here.
PAINT_COLOURS: Final[dict[Region, tuple[int, int, int]]] = COLOURS | {
    Region.EYES: (255, 170, 60),
    Region.EYEGLASSES: (150, 110, 70),
    Region.MOUTH: (30, 100, 200),
    Region.HAT: (180, 40, 40),
    Region.UPPER_LIP: (255, 90, 140),
    Region.LOWER_LIP: (200, 30, 110),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintedMask:
    """A label map by its bytes, which compare and digest as they are."""

    side: int
    labels: bytes = field(repr=False)  # side * side values of 0..15, row by row

    @classmethod
    def of(cls, label_map: LabelMap) -> Self:
        """Raises InputError when the map is too detailed to be kept with a job."""
        found = cls(side=len(label_map), labels=label_map.astype(np.uint8).tobytes())
        packed = len(found._packed())
        if packed > MAX_BYTES:
            raise InputError(
                f"the painted mask has {packed:,} bytes when packed, and {MAX_BYTES:,} are the "
                "most: paint areas, not noise"
            )
        return found

    @property
    def label_map(self) -> LabelMap:
        """Uint8 [h, h]."""
        return np.frombuffer(self.labels, dtype=np.uint8).reshape(self.side, self.side)

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(f"{self.side}:".encode() + self.labels).hexdigest()

    def _packed(self) -> bytes:
        return zlib.compress(self.labels, 9)

    def to_json(self) -> dict[str, Any]:
        return {"side": self.side, "labels": base64.b64encode(self._packed()).decode()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError when the data make no mask."""
        side = data["side"]
        if type(side) is not int or not 0 < side <= MAX_SIDE:
            raise ValueError(f"a painted mask has a side of 1 to {MAX_SIDE}, not {side!r}")
        unpacker = zlib.decompressobj()
        try:
            labels = unpacker.decompress(base64.b64decode(data["labels"]), side * side + 1)
        except zlib.error as error:
            raise ValueError(f"the painted mask cannot be unpacked: {error}") from error
        if len(labels) != side * side or max(labels) >= REGION_COUNT:
            raise ValueError(f"the painted mask is not {side}x{side} labels of 0 to 15")
        return cls(side=side, labels=labels)


def encode_painted(label_map: LabelMap) -> bytes:
    """A label map as an index PNG in which every label has its own colour."""
    image = Image.fromarray(label_map)
    image.putpalette([part for region in Region for part in PAINT_COLOURS[region]])
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def read_painted(data: bytes, *, side: int, name: str) -> PaintedMask:
    """A PNG that was painted: of the labels themselves, or of their colours.

    Args:
        data: The file.
        side: That the mask must have.
        name: What to call it in a message.

    Raises:
        InputError: No PNG, of another size, a value or colour that is no label, or too detailed.
    """
    from barber.photographs.own_labels import read_label_map

    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"the mask {name} has {len(data):,} bytes, of at most {MAX_FILE_BYTES:,}")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:  # reads its head alone
            if image.size != (side, side):
                raise InputError(
                    f"the mask {name} is {image.width}x{image.height} pixels and must be "
                    f"{side}x{side}: begin with the job's own mask"
                )
            coloured = _from_colours(image)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"the mask {name} must be {side}x{side} pixels: {error}") from error
    except Exception as error:  # damaged bytes make Pillow's reader fail in many ways
        raise InputError(f"the mask {name} cannot be read as a PNG: save it as one") from error
    return PaintedMask.of(read_label_map(data, name=name) if coloured is None else coloured)


def _from_colours(image: Image.Image) -> LabelMap | None:
    """The labels of an opaque picture in `PAINT_COLOURS`; None when it is another kind."""
    if image.mode not in ("RGB", "RGBA"):
        return None
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] != 255:
        return None
    pixels = np.asarray(image.convert("RGB"), dtype=np.uint32)
    packed = pixels @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    found = np.full(packed.shape, REGION_COUNT, dtype=np.uint8)
    for region, (red, green, blue) in PAINT_COLOURS.items():
        found[packed == (red << 16 | green << 8 | blue)] = region
    return None if (found == REGION_COUNT).any() else found
