"""What a drawn person is made of: 64 named parameters, and the latent code that carries them.

A latent code z is N(0, I) in 64 dimensions, scaled to RMS 1 (what the mapping network does to its
input). Every dimension goes through the normal distribution function to u in (0, 1) and from there
in a straight line to one parameter, so colours and positions are monotone in z. The dimensions
come in groups; a composite takes each group from the person who gives it.

Lengths are in head units (half the picture's side is 0.82 of them), x to the right, y down.
Colours are linear mixes of a lightness and two opposed hues in [0, 1] RGB.
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
class IdentityShape:
    """Where the head is and how the face is built."""

    head_x: float = _span(-0.025, 0.025)  # centre of the head
    head_y: float = _span(0.02, 0.06)
    tilt: float = _span(-0.03, 0.03)  # radians, clockwise
    face_width: float = _span(0.350, 0.425)  # half width at the cheek bones
    face_height: float = _span(0.510, 0.610)  # eye line to chin
    jaw: float = _span(1.85, 2.75)  # exponent of the lower outline: round to square
    taper: float = _span(0.02, 0.17)  # how much the jaw narrows
    neck_width: float = _span(0.155, 0.225)
    shoulder_width: float = _span(0.50, 0.78)
    shoulder_y: float = _span(0.66, 0.78)
    ear_size: float = _span(0.80, 1.25)
    ear_y: float = _span(-0.03, 0.06)
    eye_spacing: float = _span(0.152, 0.198)  # half the distance between the pupils
    eye_width: float = _span(0.066, 0.090)  # half width of one eye
    eye_open: float = _span(0.027, 0.047)  # half height of one eye
    eye_tilt: float = _span(-0.10, 0.14)  # radians, outer corner up
    brow_y: float = _span(-0.168, -0.125)
    brow_thick: float = _span(0.010, 0.023)
    brow_arch: float = _span(0.000, 0.038)
    nose_length: float = _span(0.150, 0.225)
    nose_width: float = _span(0.044, 0.080)
    mouth_width: float = _span(0.100, 0.165)
    mouth_open: float = _span(-0.020, 0.036)  # the lips are closed below 0
    smile: float = _span(-0.012, 0.050)  # how far the corners rise
    lip_fullness: float = _span(0.018, 0.040)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneColour:
    """The colours of the person and of the place, hair excepted."""

    ground_light: float = _span(0.18, 0.86)  # the background
    ground_red: float = _span(-0.18, 0.18)
    ground_blue: float = _span(-0.20, 0.20)
    ground_fall: float = _span(-0.14, 0.14)  # darker (> 0) or lighter towards the bottom
    skin_light: float = _span(0.0, 1.0)
    skin_warm: float = _span(-0.015, 0.055)
    cloth_light: float = _span(0.12, 0.85)
    cloth_red: float = _span(-0.22, 0.22)
    cloth_blue: float = _span(-0.22, 0.22)
    lip_red: float = _span(0.02, 0.30)
    blush: float = _span(0.0, 0.10)
    eye_light: float = _span(0.12, 0.52)  # the iris
    eye_blue: float = _span(-0.14, 0.20)
    brow_dark: float = _span(0.35, 0.88)  # how far the brows go from skin to near black
    light_x: float = _span(-0.55, 0.55)  # side the light comes from
    frame_light: float = _span(0.05, 0.55)  # glasses, and the hat's band


@dataclass(frozen=True, slots=True, kw_only=True)
class HairShape:
    """The outline and flow of the hair."""

    length: float = _span(-0.14, 0.86)  # y of the ends
    side_volume: float = _span(0.025, 0.20)  # beyond the head's width
    top_volume: float = _span(0.01, 0.16)  # above the skull
    flare: float = _span(-0.16, 0.24)  # ends wider (> 0) or narrower than the temples
    round_ends: float = _span(0.05, 0.30)  # corner radius of the ends
    hairline: float = _span(-0.44, -0.33)  # y of its highest point
    fringe: float = _span(0.0, 0.17)  # how far a fringe comes down from the hairline
    parting: float = _span(-0.17, 0.17)  # x of the hairline's highest point
    cover: float = _span(0.29, 0.46)  # half width of the face that stays uncovered
    curl: float = _span(-0.6, 1.0)  # straight below 0
    curl_size: float = _span(0.7, 1.4)  # wave length, relative
    sweep: float = _span(-0.30, 0.30)  # slope of the hairline to one side


@dataclass(frozen=True, slots=True, kw_only=True)
class HairColour:
    """The colour of the hair."""

    light: float = _span(0.0, 1.0)  # near black to near white
    red: float = _span(-0.03, 0.26)
    yellow: float = _span(-0.03, 0.15)
    gloss: float = _span(0.04, 0.30)  # strength of the specular band
    contrast: float = _span(0.06, 0.24)  # of the strands
    tips: float = _span(-0.08, 0.14)  # lighter (> 0) or darker towards the ends
    streaks: float = _span(-0.10, 0.16)  # a few broad lighter or darker streaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Accessories:
    """What the person wears; each is absent below 0 and fully there from 1 on."""

    glasses: float = _span(-20.0, 6.0)
    earrings: float = _span(-17.0, 9.0)
    necklace: float = _span(-18.0, 8.0)
    hat: float = _span(-48.0, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceParams:
    """One drawn person."""

    identity: IdentityShape
    scene: SceneColour
    hair: HairShape
    hair_colour: HairColour
    accessories: Accessories

    def to_json(self) -> dict[str, dict[str, float]]:
        """Every parameter by group and name."""
        return {name: dict(values) for name, values in asdict(self).items()}


_KINDS = {
    "identity": IdentityShape,
    "scene": SceneColour,
    "hair": HairShape,
    "hair_colour": HairColour,
    "accessories": Accessories,
}


def _group_slices() -> dict[str, slice]:
    slices, start = {}, 0
    for group, kind in _KINDS.items():
        stop = start + len(fields(kind))
        slices[group] = slice(start, stop)
        start = stop
    return slices


GROUPS: dict[str, slice] = _group_slices()  # the dimensions of z by group
Z_DIM = GROUPS["accessories"].stop
SHAPE_GROUPS = ("identity", "hair", "accessories")  # what F carries
COLOUR_GROUPS = ("scene", "hair_colour")  # what S carries


def sample_z(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """Draws n latent codes, float32 [n, 64], each of RMS 1."""
    z = rng.standard_normal((n, Z_DIM))
    return np.asarray(z / np.sqrt(np.mean(z**2, axis=1, keepdims=True)), dtype=np.float32)


def take_groups(
    base: NDArray[np.float32], giver: NDArray[np.float32], groups: tuple[str, ...]
) -> NDArray[np.float32]:
    """Base's code(s) [..., 64] with the named groups of the giver's, not normalised again."""
    mixed = base.copy()
    for group in groups:
        mixed[..., GROUPS[group]] = giver[..., GROUPS[group]]
    return mixed


def face_params(z: NDArray[np.floating[Any]]) -> FaceParams:
    """Reads one latent code, [64], as a person.

    Raises:
        InputError: z is not 64 finite numbers.
    """
    if z.shape != (Z_DIM,) or not np.isfinite(z).all():
        raise InputError(
            f"a face needs {Z_DIM} finite numbers, not an array of shape {tuple(z.shape)} "
            "or with infinite entries"
        )
    uniform = [0.5 + 0.5 * math.erf(float(value) / math.sqrt(2.0)) for value in z]
    values: dict[str, Any] = {}
    for group, kind in _KINDS.items():
        entries = zip(fields(kind), uniform[GROUPS[group]], strict=True)
        values[group] = kind(
            **{
                f.name: f.metadata["low"] + u * (f.metadata["high"] - f.metadata["low"])
                for f, u in entries
            }
        )
    return FaceParams(**values)
