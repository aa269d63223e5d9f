"""Portraits drawn from parameters, with exact label maps and true composites.

Source: our own drawing; no picture of a person is involved. Layers are painted back to front; edge
pixels are blended by coverage, and a pixel's label is the last layer that covers more than half of
it. The same parameters give the same bytes on the same numpy and CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from barber.errors import InputError
from barber.faces import body, eyes, face, hair, mouth, strands, wear
from barber.faces.canvas import Canvas, HeadFrame
from barber.faces.cast import Cast
from barber.faces.light import Lamp
from barber.faces.parameters import (
    GROUPS,
    KINDS,
    Z_DIM,
    FaceParams,
    face_params,
    sample_z,
    take_groups,
)

__all__ = [
    "FACE_SETS",
    "GROUPS",
    "PIECES",
    "Z_DIM",
    "FaceParams",
    "Rendering",
    "face_params",
    "render",
    "sample_z",
    "take_groups",
    "true_composite",
    "true_face_swap",
    "true_mixture",
]

Convention = Literal["image", "head"]
_SIZES = (16, 1024)
# What a face swap can take from another face: groups by the name of the set.
FACE_SETS: dict[str, tuple[str, ...]] = {
    "eyes": ("eyes", "iris"),
    "brows": ("brows", "brow_colour"),
    "eyes-and-brows": ("eyes", "iris", "brows", "brow_colour"),
    "nose": ("nose",),
    "mouth": ("mouth", "lips"),
    "features": ("eyes", "iris", "brows", "brow_colour", "nose", "mouth", "lips"),
    "beard": ("beard", "beard_colour"),
    "face": (
        *("eyes", "iris", "brows", "brow_colour", "nose", "mouth", "lips"),
        *("beard", "beard_colour", "skin"),
    ),
}
_PARTS = ("eyes", "brows", "nose", "mouth", "beard", "hair", "ears", "glasses")  # with a frame
PIECES = ("ears", "glasses")  # can be given besides the groups that hold them


@dataclass(frozen=True, slots=True)
class Rendering:
    """A drawn portrait and its exact label map."""

    pixels: NDArray[np.uint8]  # [size, size, 3]
    label_map: NDArray[np.uint8]  # [size, size], values of Region


def _draw(cast: Cast, size: int) -> Rendering:
    canvas = Canvas(size)
    layers = hair.lay_hair(cast)
    body.paint_background(canvas, cast)
    strands.paint_back_hair(canvas, layers, cast)
    body.paint_body(canvas, cast)
    face.paint_ears(canvas, cast)
    face.paint_face(canvas, cast, layers.shadow)
    mouth.paint_beard(canvas, cast)
    mouth.paint_nose(canvas, cast)
    eyes.paint_eyes(canvas, cast)
    mouth.paint_mouth(canvas, cast)
    eyes.paint_brows(canvas, cast)
    body.paint_earrings(canvas, cast)
    wear.paint_glasses(canvas, cast)
    strands.paint_front_hair(canvas, layers, cast)
    wear.paint_hat(canvas, cast)
    return Rendering(canvas.pixels(), canvas.labels)


def _cast(base: FaceParams, givers: Mapping[str, FaceParams], size: int, at_head: bool) -> Cast:
    """Parameters by group from base or giver; frames of the givers, or all of base's head."""
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise InputError(f"a portrait cannot be {size} pixels wide: use {_SIZES[0]} to {_SIZES[1]}")
    unknown = sorted(set(givers) - {*KINDS, *PIECES})
    if unknown:
        known = ", ".join([*KINDS, *PIECES])
        raise InputError(f"no such group of parameters: {unknown[0]}; there are {known}")
    groups = {name: giver for name, giver in givers.items() if name in KINDS}
    who = replace(base, **{group: getattr(giver, group) for group, giver in groups.items()})
    if "glasses" in givers:
        who = _with_glasses(who, givers["glasses"])
    frames: dict[int, HeadFrame] = {}

    def frame(part: str) -> HeadFrame:
        giver = base if at_head else givers.get(part, base)
        return frames.setdefault(id(giver), HeadFrame(size, giver.head))

    parts = {part: frame(part) for part in _PARTS}
    return Cast(
        who=replace(who, head=base.head),
        lamp=Lamp(who.scene),
        base=frame(""),
        body_skin=base.skin,
        ears_head=(base if at_head else givers.get("ears", base)).head,
        ears_skin=givers.get("ears", base).skin,
        face=frame("head"),
        face_head=who.head,
        hair_head=(base if at_head else givers.get("hair", base)).head,
        **parts,
    )


def _with_glasses(who: FaceParams, giver: FaceParams) -> FaceParams:
    worn = giver.wear
    wear = replace(
        who.wear,
        glasses=worn.glasses,
        frame_size=worn.frame_size,
        frame_round=worn.frame_round,
    )
    return replace(who, wear=wear, cloth=replace(who.cloth, frame_light=giver.cloth.frame_light))


def render(params: FaceParams, size: int) -> Rendering:
    """Draws one person.

    Raises:
        InputError: The size is outside 16 to 1024 pixels.
    """
    return _draw(_cast(params, {}, size, at_head=False), size)


def true_mixture(
    base: FaceParams,
    givers: Mapping[str, FaceParams],
    *,
    size: int,
    convention: Convention = "image",
) -> Rendering:
    """Draws base with any groups of any number of others: the truth for K references.

    Args:
        base: Gives every group that nobody else gives, and the place of the body.
        givers: Person by group of parameters, see `GROUPS`, or by piece: "ears" (with their skin)
            and "glasses" can be given apart from the groups that hold them.
        size: Side of the picture in pixels.
        convention: "image" leaves every shape where it is in its giver's picture, as the method
            does; "head" moves it onto base's head.

    Raises:
        InputError: A group has no such name, or the size is outside 16 to 1024 pixels.
    """
    return _draw(_cast(base, givers, size, convention == "head"), size)


def true_composite(
    identity: FaceParams,
    hair: FaceParams | None,
    colour: FaceParams | None = None,
    *,
    size: int,
    convention: Convention = "image",
) -> Rendering:
    """Draws identity with the hair shape of another and the hair colour of that or a third.

    Args:
        identity: Gives face, body, place and accessories.
        hair: Gives the hair's shape, and its colour unless `colour` does; None keeps the shape.
        colour: Gives the hair's colour. Identity itself changes the shape alone.
        size: Side of the picture in pixels.
        convention: "image" leaves the hair where it is in its own picture, as the method does;
            "head" moves it onto identity's head.
    """
    shape, tone = hair or identity, colour or hair or identity
    givers = {"hair": shape, "hair_colour": tone}
    return true_mixture(identity, givers, size=size, convention=convention)


def true_face_swap(
    base: FaceParams,
    face: FaceParams,
    *,
    size: int,
    region: str = "face",
    convention: Convention = "image",
) -> Rendering:
    """Draws base with a part of the face of another, where that part is in its own picture.

    Hair, ears, neck, body, place, light and accessories stay base's. With the whole face, the
    outline and the skin change too; ears and neck keep their own, so the skins can differ.

    Args:
        base: Gives everything else.
        face: Gives the part.
        size: Side of the picture in pixels.
        region: A name of `FACE_SETS`: "face" (whole), "features", "eyes-and-brows", "eyes",
            "brows", "nose", "mouth" or "beard".
        convention: "image" or "head", as in `true_mixture`.

    Raises:
        InputError: The region has no such name.
    """
    if region not in FACE_SETS:
        raise InputError(f"no such part of a face: {region}; there are {', '.join(FACE_SETS)}")
    groups = FACE_SETS[region] + (("head",) if region == "face" else ())
    return true_mixture(base, dict.fromkeys(groups, face), size=size, convention=convention)
