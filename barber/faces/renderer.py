"""Portraits drawn from parameters, with exact label maps and true composites.

Source: our own drawing; no picture of a person is involved. Layers of signed distances are painted
back to front; the edge pixels are blended by coverage, and a pixel's label is the last layer that
covers more than half of it. The same parameters give the same bytes on the same numpy and CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from barber.errors import InputError
from barber.faces import hair as hairs
from barber.faces import head
from barber.faces.beard import Beard, paint_beard
from barber.faces.canvas import Canvas, HeadFrame
from barber.faces.parameters import GROUPS, Z_DIM, FaceParams, face_params, sample_z, take_groups

__all__ = [
    "GROUPS",
    "Z_DIM",
    "Beard",
    "FaceParams",
    "Parts",
    "Rendering",
    "draw",
    "face_params",
    "render",
    "sample_z",
    "take_groups",
    "true_composite",
    "true_face_swap",
]

Convention = Literal["image", "head"]
_SIZES = (16, 1024)
FEATURES = ("nose", "eyes", "brows", "mouth")  # of `Parts`


@dataclass(frozen=True, slots=True)
class Rendering:
    """A drawn portrait and its exact label map."""

    pixels: NDArray[np.uint8]  # [size, size, 3]
    label_map: NDArray[np.uint8]  # [size, size], values of Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Who gives what to one picture; each part stands where its giver has it."""

    base: FaceParams  # place, body, accessories but glasses
    ears: FaceParams
    face: FaceParams  # the face's outline and skin
    nose: FaceParams
    eyes: FaceParams
    brows: FaceParams
    mouth: FaceParams
    glasses: FaceParams
    hair: FaceParams  # the hair's shape
    hair_head: FaceParams  # the head whose place and width the hair follows
    colour: FaceParams  # the hair's colour
    beard: tuple[Beard, FaceParams] | None = None  # and the face that it grows on

    @classmethod
    def of(cls, person: FaceParams, beard: Beard | None = None) -> Self:
        """Everything from one person."""
        names = [field.name for field in fields(cls) if field.name != "beard"]
        own = dict.fromkeys(names, person)
        return cls(**own, beard=None if beard is None else (beard, person))

    def given_by(self, giver: FaceParams, *names: str) -> Self:
        """The same with the named parts of another."""
        changes: dict[str, Any] = dict.fromkeys(names, giver)
        return replace(self, **changes)


def draw(parts: Parts, size: int) -> Rendering:
    """Draws what several people give.

    Raises:
        InputError: The size is outside 16 to 1024 pixels.
    """
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise InputError(f"a portrait cannot be {size} pixels wide: use {_SIZES[0]} to {_SIZES[1]}")
    canvas = Canvas(size)

    def frame(person: FaceParams) -> HeadFrame:
        return HeadFrame(size, person.identity)

    base, base_frame = parts.base, frame(parts.base)
    brim = head.HAT_BRIM if head.wears_hat(base.accessories) else None
    layers = hairs.lay_hair(parts.hair.hair, parts.hair_head.identity, frame(parts.hair_head), brim)
    head.paint_background(canvas, base.scene)
    hairs.paint_back_hair(canvas, layers, parts.colour.hair_colour)
    head.paint_body(canvas, base, base_frame)
    head.paint_ears(canvas, parts.ears, frame(parts.ears))
    head.paint_face(canvas, parts.face, frame(parts.face), layers)
    if parts.beard is not None:
        beard, grower = parts.beard
        paint_beard(canvas, beard, grower, frame(grower))
    head.paint_nose(canvas, parts.nose, frame(parts.nose))
    head.paint_eyes(canvas, parts.eyes, frame(parts.eyes))
    head.paint_brows(canvas, parts.brows, frame(parts.brows))
    head.paint_mouth(canvas, parts.mouth, frame(parts.mouth))
    head.paint_earrings(canvas, base, base_frame)
    head.paint_glasses(canvas, parts.glasses, frame(parts.glasses))
    hairs.paint_front_hair(canvas, layers, parts.colour.hair_colour, base.scene.light_x)
    head.paint_hat(canvas, base, base_frame)
    return Rendering(canvas.pixels(), canvas.labels)


def render(params: FaceParams, size: int) -> Rendering:
    """Draws one person.

    Raises:
        InputError: The size is outside 16 to 1024 pixels.
    """
    return draw(Parts.of(params), size)


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
    own = Parts.of(identity)
    return draw(replace(own, hair=hair, hair_head=hair_head, colour=colour or hair), size)


def true_face_swap(base: FaceParams, face: FaceParams, *, size: int) -> Rendering:
    """Draws base with the face (skin, nose, eyes, brows, mouth) of another, where that face is.

    Hair, ears, neck, body, place and accessories stay base's. The face's skin keeps its own
    colour and light, so it can differ from the neck's.
    """
    return draw(Parts.of(base).given_by(face, "face", *FEATURES), size)
