"""A result as the photograph that its identity was cut from, ready to be written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from barber.photographs.changes import Mask
from barber.photographs.paste import paste_back, read_photograph
from barber.photographs.picture import Crop
from barber.pixels import Pixels, encode_png


def original_png(
    photo: bytes,
    crop: Crop,
    result: Pixels,
    changed: Mask | None,
    *,
    name: str,
    recipe: Mapping[str, Any],
) -> bytes:
    """The photograph with the changed regions of a result in their place, as a PNG.

    It is upright, of the photograph's size, keeps its opacity and RGB colour profile, and carries
    the result's recipe with the photograph's digest and the crop.

    Args:
        photo: The photograph's file.
        crop: Where the identity was cut out of it.
        result: The finished portrait, uint8 [R, R, 3].
        changed: What the job changed, [h, h]; None for nothing.
        name: What to call the photograph in a message.
        recipe: Of the result.

    Raises:
        InputError: The photograph cannot be read, or is not the one that was cut.
    """
    photograph = read_photograph(photo, name=name)
    if changed is not None:
        photograph = paste_back(photograph, result, crop, changed)
    original = {"photograph": hashlib.sha256(photo).hexdigest(), "crop": crop.to_json()}
    return encode_png(
        photograph.pixels,
        recipe={**recipe, "original": original},
        alpha=photograph.alpha,
        icc=photograph.icc,
    )
