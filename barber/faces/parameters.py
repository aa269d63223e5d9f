"""What a drawn person is made of: 96 named parameters, and the latent code that carries them.

A latent code z is N(0, I) in 96 dimensions, scaled to RMS 1 (what the mapping network does to its
input). Every dimension goes through the normal distribution function to u in (0, 1) and from there
in a straight line to one parameter, so colours and positions are monotone in z. The dimensions
come in groups; a composite takes each group from the person who gives it.

Lengths are in head units (half the picture's side is 0.82 of them), x to the right, y down.
Colours are mixes of a lightness and two opposed hues in [0, 1] RGB.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barber.errors import InputError


def _span(low: float, high: float) -> Any:
    """A parameter that runs in a straight line from low (u = 0) to high (u = 1)."""
    return field(metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the head is and how its outline runs."""

    head_x: float = _span(-0.014, 0.014)  # centre of the head
    head_y: float = _span(0.022, 0.050)
    tilt: float = _span(-0.035, 0.035)  # radians, clockwise
    turn: float = _span(-0.036, 0.036)  # how far the middle of the face moves to one side
    face_width: float = _span(0.340, 0.405)  # half width at the cheek bones
    face_height: float = _span(0.500, 0.610)  # centre to chin
    jaw: float = _span(1.80, 2.60)  # exponent of the lower outline: round to square
    taper: float = _span(0.02, 0.22)  # how much the jaw narrows
    ear_size: float = _span(0.80, 1.25)
    ear_y: float = _span(-0.03, 0.06)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Neck, shoulders and the cut of the clothes."""

    neck_width: float = _span(0.150, 0.235)
    shoulder_width: float = _span(0.50, 0.80)
    shoulder_y: float = _span(0.66, 0.77)
    neckline: float = _span(0.10, 0.25)  # depth of the opening


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """The shape of both eyes."""

    spacing: float = _span(0.146, 0.192)  # half the distance between the pupils
    height: float = _span(-0.072, -0.032)  # y of the pupils
    width: float = _span(0.066, 0.094)  # half width of one eye
    opening: float = _span(0.022, 0.052)  # height of the upper lid above the pupil
    slant: float = _span(-0.14, 0.20)  # radians, outer corner up
    fold: float = _span(0.004, 0.032)  # distance of the lid's crease from its edge
    iris: float = _span(0.033, 0.043)  # radius
    lashes: float = _span(0.003, 0.014)  # thickness of the upper lash line


@dataclass(frozen=True, slots=True, kw_only=True)
class Brows:
    """The shape of both brows."""

    height: float = _span(-0.178, -0.128)  # y of the middle
    thickness: float = _span(0.007, 0.027)  # half of it
    arch: float = _span(0.000, 0.048)
    slope: float = _span(-0.15, 0.07)  # outer end up
    length: float = _span(0.080, 0.128)  # half of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Nose:
    """The shape of the nose."""

    length: float = _span(0.140, 0.235)  # from between the eyes to the base
    width: float = _span(0.042, 0.090)  # half width of the wings
    bridge: float = _span(0.25, 1.25)  # how far the ridge stands out
    tip: float = _span(0.022, 0.046)  # radius


@dataclass(frozen=True, slots=True, kw_only=True)
class Mouth:
    """The shape of the mouth."""

    height: float = _span(0.275, 0.335)  # y of the line between the lips
    width: float = _span(0.092, 0.172)  # half of it
    gape: float = _span(-0.030, 0.038)  # half height of the opening; closed below 0
    smile: float = _span(-0.008, 0.068)  # how far the corners rise
    upper: float = _span(0.012, 0.038)  # height of the upper lip
    lower: float = _span(0.018, 0.050)  # height of the lower lip
    bow: float = _span(0.00, 0.45)  # depth of the notch in the upper lip


@dataclass(frozen=True, slots=True, kw_only=True)
class Beard:
    """Facial hair; it counts as skin, as in the public label set."""

    growth: float = _span(-2.2, 1.1)  # bare below 0, full from 1 on
    moustache: float = _span(-2.2, 1.1)  # likewise
    reach: float = _span(-0.010, 0.120)  # how far it hangs below the chin


@dataclass(frozen=True, slots=True, kw_only=True)
class HairShape:
    """The outline and flow of the hair."""

    growth: float = _span(-0.9, 13.0)  # bald below 0, shaved at 1, the whole style from 2 on
    length: float = _span(-0.14, 0.86)  # y of the ends
    side_volume: float = _span(0.020, 0.19)  # beyond the head's width
    top_volume: float = _span(0.010, 0.16)  # above the skull
    flare: float = _span(-0.16, 0.22)  # ends wider (> 0) or narrower than the temples
    round_ends: float = _span(0.05, 0.30)  # corner radius of the ends
    hairline: float = _span(-0.44, -0.32)  # y of its highest point
    fringe: float = _span(-0.09, 0.17)  # how far it comes down from the hairline; parted below 0
    parting: float = _span(-0.17, 0.17)  # x of the hairline's highest point
    sweep: float = _span(-0.30, 0.30)  # slope of the hairline to one side
    cover: float = _span(0.29, 0.46)  # half width of the face that stays uncovered
    wave: float = _span(-0.9, 1.0)  # straight below 0
    curl: float = _span(-1.5, 1.0)  # ringlets above 0
    coil: float = _span(-2.4, 1.0)  # tight round coils above 0
    tie: float = _span(-3.6, 1.0)  # loose below 0, tied to a bun at 1
    layers: float = _span(0.10, 1.00)  # how ragged fringe and ends are


@dataclass(frozen=True, slots=True, kw_only=True)
class Wear:
    """What the person wears; each is absent below 0 and grows from there."""

    glasses: float = _span(-2.0, 1.0)  # from wire to thick frames
    frame_size: float = _span(0.92, 1.10)
    frame_round: float = _span(0.0, 1.0)  # square to round
    earrings: float = _span(-1.6, 1.0)
    necklace: float = _span(-1.8, 1.0)
    hat: float = _span(-6.0, 1.0)  # how far the cap is pulled down


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The wall and the light."""

    ground_light: float = _span(0.20, 0.86)  # the background
    ground_red: float = _span(-0.12, 0.12)
    ground_blue: float = _span(-0.14, 0.14)
    ground_fall: float = _span(-0.14, 0.14)  # darker (> 0) or lighter towards the bottom
    light_x: float = _span(-0.75, 0.75)  # side the light comes from
    light_y: float = _span(0.15, 0.75)  # how high it stands
    fill: float = _span(0.22, 0.62)  # share of light that comes from everywhere
    warmth: float = _span(-0.06, 0.08)  # of the light


@dataclass(frozen=True, slots=True, kw_only=True)
class Skin:
    """The complexion."""

    light: float = _span(0.0, 1.0)
    warm: float = _span(-0.03, 0.06)
    blush: float = _span(0.0, 0.12)
    freckles: float = _span(-0.9, 0.6)  # none below 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Iris:
    """The colour of the eyes."""

    light: float = _span(0.10, 0.52)
    blue: float = _span(-0.16, 0.18)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowColour:
    """The colour of the brows."""

    dark: float = _span(0.30, 0.95)  # how far from skin to near black


@dataclass(frozen=True, slots=True, kw_only=True)
class Lips:
    """The colour of the lips."""

    red: float = _span(0.00, 0.34)
    light: float = _span(-0.10, 0.06)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeardColour:
    """The colour of the facial hair."""

    light: float = _span(0.0, 0.60)
    red: float = _span(0.0, 0.16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloth:
    """The colours of what is worn."""

    light: float = _span(0.12, 0.85)
    red: float = _span(-0.17, 0.17)
    blue: float = _span(-0.17, 0.17)
    frame_light: float = _span(0.03, 0.50)  # glasses
    hat_light: float = _span(0.12, 0.80)
    hat_red: float = _span(-0.17, 0.17)
    hat_blue: float = _span(-0.17, 0.17)


@dataclass(frozen=True, slots=True, kw_only=True)
class HairColour:
    """The colour of the hair."""

    light: float = _span(0.0, 1.0)  # near black to near white
    red: float = _span(-0.02, 0.20)
    yellow: float = _span(-0.02, 0.11)
    gloss: float = _span(0.10, 0.75)  # strength of the highlights
    contrast: float = _span(0.35, 1.15)  # of the strands
    tips: float = _span(-0.10, 0.18)  # lighter (> 0) or darker towards the ends
    streaks: float = _span(-0.12, 0.18)  # a few broad lighter or darker streaks


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceParams:
    """One drawn person, by group."""

    head: Head
    body: Body
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    beard: Beard
    hair: HairShape
    wear: Wear
    scene: Scene
    skin: Skin
    iris: Iris
    brow_colour: BrowColour
    lips: Lips
    beard_colour: BeardColour
    cloth: Cloth
    hair_colour: HairColour

    def to_json(self) -> dict[str, dict[str, float]]:
        """Every parameter by group and name."""
        return {name: dict(values) for name, values in asdict(self).items()}


KINDS: dict[str, type] = {
    "head": Head,
    "body": Body,
    "eyes": Eyes,
    "brows": Brows,
    "nose": Nose,
    "mouth": Mouth,
    "beard": Beard,
    "hair": HairShape,
    "wear": Wear,
    "scene": Scene,
    "skin": Skin,
    "iris": Iris,
    "brow_colour": BrowColour,
    "lips": Lips,
    "beard_colour": BeardColour,
    "cloth": Cloth,
    "hair_colour": HairColour,
}


def _group_slices() -> dict[str, slice]:
    slices, start = {}, 0
    for group, kind in KINDS.items():
        stop = start + len(fields(kind))
        slices[group] = slice(start, stop)
        start = stop
    return slices


GROUPS: dict[str, slice] = _group_slices()  # the dimensions of z by group
Z_DIM = GROUPS["hair_colour"].stop
SHAPE_GROUPS = ("head", "body", "eyes", "brows", "nose", "mouth", "beard", "hair", "wear")
SCENE_GROUPS = ("scene", "skin", "iris", "brow_colour", "lips", "beard_colour", "cloth")
COLOUR_GROUPS = (*SCENE_GROUPS, "hair_colour")  # what S carries; F carries the shapes


def sample_z(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """Draws n latent codes, float32 [n, 96], each of RMS 1."""
    z = rng.standard_normal((n, Z_DIM))
    return np.asarray(z / np.sqrt(np.mean(z**2, axis=1, keepdims=True)), dtype=np.float32)


def take_groups(
    base: NDArray[np.float32], giver: NDArray[np.float32], groups: tuple[str, ...]
) -> NDArray[np.float32]:
    """Base's code(s) [..., 96] with the named groups of the giver's, not normalised again."""
    mixed = base.copy()
    for group in groups:
        mixed[..., GROUPS[group]] = giver[..., GROUPS[group]]
    return mixed


def face_params(z: NDArray[np.floating[Any]]) -> FaceParams:
    """Reads one latent code, [96], as a person.

    Raises:
        InputError: z is not 96 finite numbers.
    """
    if z.shape != (Z_DIM,) or not np.isfinite(z).all():
        raise InputError(
            f"a face needs {Z_DIM} finite numbers, not an array of shape {tuple(z.shape)} "
            "or with infinite entries"
        )
    uniform = [0.5 + 0.5 * math.erf(float(value) / math.sqrt(2.0)) for value in z]
    values: dict[str, Any] = {}
    for group, kind in KINDS.items():
        entries = zip(fields(kind), uniform[GROUPS[group]], strict=True)
        values[group] = kind(
            **{
                f.name: f.metadata["low"] + u * (f.metadata["high"] - f.metadata["low"])
                for f, u in entries
            }
        )
    return FaceParams(**values)
