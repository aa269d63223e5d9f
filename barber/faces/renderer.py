"""Portraits drawn from parameters, with exact label maps and true composites.

Source: our own drawing; no picture of a person is involved. Layers of signed distances are painted
back to front; the edge pixels are blended by coverage, and a pixel's label is the last layer that
covers more than half of it. The same parameters give the same bytes on the same numpy and CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from barber.errors import InputError
from barber.faces import hair as hairs
from barber.faces import head
from barber.faces.canvas import Canvas, HeadFrame
from barber.faces.parameters import GROUPS, Z_DIM, FaceParams, face_params, sample_z, take_groups

__all__ = [
    "GROUPS",
    "Z_DIM",
    "FaceParams",
    "Rendering",
    "face_params",
    "render",
    "sample_z",
    "take_groups",
    "true_composite",
    "true_face_swap",
]

Convention = Literal["image", "head"]
_SIZES = (16, 1024)


@dataclass(frozen=True, slots=True)
class Rendering:
    """A drawn portrait and its exact label map."""

    pixels: NDArray[np.uint8]  # [size, size, 3]
    label_map: NDArray[np.uint8]  # [size, size], values of Region


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who gives what to one picture."""

    base: FaceParams  # place, body, ears, accessories
    face: FaceParams  # the face's outline, skin and features, in its own head frame
    hair: FaceParams  # the hair's shape
    hair_head: FaceParams  # the head whose place and width the hair follows
    colour: FaceParams  # the hair's colour


def _draw(cast: _Cast, size: int) -> Rendering:
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise InputError(f"a portrait cannot be {size} pixels wide: use {_SIZES[0]} to {_SIZES[1]}")
    canvas = Canvas(size)
    base_frame = HeadFrame(size, cast.base.identity)
    face_frame = HeadFrame(size, cast.face.identity)
    brim = head.HAT_BRIM if head.wears_hat(cast.base.accessories) else None
    layers = hairs.lay_hair(
        cast.hair.hair, cast.hair_head.identity, HeadFrame(size, cast.hair_head.identity), brim
    )
    head.paint_background(canvas, cast.base.scene)
    hairs.paint_back_hair(canvas, layers, cast.colour.hair_colour)
    head.paint_body(canvas, cast.base, base_frame)
    head.paint_ears(canvas, cast.base, base_frame)
    head.paint_face(canvas, cast.face, face_frame, layers)
    head.paint_nose(canvas, cast.face, face_frame)
    head.paint_eyes(canvas, cast.face, face_frame)
    head.paint_mouth(canvas, cast.face, face_frame)
    head.paint_earrings(canvas, cast.base, base_frame)
    head.paint_glasses(canvas, cast.base, base_frame)
    hairs.paint_front_hair(canvas, layers, cast.colour.hair_colour, cast.base.scene.light_x)
    head.paint_hat(canvas, cast.base, base_frame)
    return Rendering(canvas.pixels(), canvas.labels)


def render(params: FaceParams, size: int) -> Rendering:
    """Draws one person.

    Raises:
        InputError: The size is outside 16 to 1024 pixels.
    """
    return _draw(_Cast(params, params, params, params, params), size)


def true_composite(
    identity: FaceParams,
    hair: FaceParams,
    colour: FaceParams | None = None,
    *,
    size: int,
    convention: Convention = "image",
) -> Rendering:
    """Draws identity with the hair shape of another and, if given, the hair colour of a third.

    Args:
        identity: Gives face, body, place and accessories.
        hair: Gives the hair's shape, and its colour unless `colour` does.
        colour: Gives the hair's colour.
        size: Side of the picture in pixels.
        convention: "image" leaves the hair where it is in its own picture, as the method does;
            "head" moves it onto identity's head.
    """
    hair_head = hair if convention == "image" else identity
    return _draw(_Cast(identity, identity, hair, hair_head, colour or hair), size)


def true_face_swap(base: FaceParams, face: FaceParams, *, size: int) -> Rendering:
    """Draws base with the face (skin, nose, eyes, brows, mouth) of another, where that face is.

    Hair, ears, neck, body, place and accessories stay base's. The face's skin keeps its own
    colour and light, so it can differ from the neck's.
    """
    return _draw(_Cast(base, face, base, base, base), size)
