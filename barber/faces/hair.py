"""Where hair is: silhouette, hairline, bun and shadow, in the frame of the head that lent it.

The silhouette is a dome joined to a curtain with rounded ends. The back layer is the whole
silhouette, darker; the front layer is the silhouette without the opening the face looks through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from barber.faces import face, grain
from barber.faces.canvas import Plane, View, ramp, smooth_max, unit
from barber.faces.cast import Cast
from barber.faces.parameters import HairShape
from barber.faces.wear import hat_edge

_SKULL_TOP = -0.545  # y of the skull's top in head units
_BELT = -0.10  # y where the dome meets the curtain
_WAVE_LENGTH = 0.23
_RINGLET_LENGTH = 0.105
_RINGLETS = 30  # to a full turn about the crown


@dataclass(frozen=True, slots=True)
class Style:
    """The parameters as they act: growth, tie and coils bear on length and volume."""

    shape: HairShape
    grown: float  # 0 shaved .. 1 the whole style
    tie: float
    wave: float
    curl: float
    coil: float
    length: float
    half: float  # half width of the silhouette
    top: float  # height of the dome above the belt
    fringe: float
    parted: float  # how plainly the hair divides, 0 .. 1
    cover: float
    crown_x: float
    crown_y: float
    bun: float  # radius, 0 without one


def style_of(shape: HairShape, face_width: float) -> Style:
    """How this hair looks on a head of that half width."""
    grown, tie, coil = unit(shape.growth - 1.0), unit(shape.tie), unit(shape.coil)
    loose = grown * (1.0 - tie)
    length = -0.03 + (shape.length + 0.03) * loose
    body = unit((length + 0.14) / 0.45)  # short hair lies close
    side = grown * (1.0 - 0.80 * tie) * shape.side_volume * (0.35 + 0.65 * max(body, coil))
    rise = grown * (1.0 - 0.70 * tie) * shape.top_volume
    side, rise = side + 0.085 * coil * loose, rise + 0.070 * coil * loose
    long = unit((shape.length + 0.14) / 1.0)
    parted = unit(-12.0 * shape.fringe) * loose * (1.0 - 0.7 * coil)
    above = _SKULL_TOP - 0.10 - 0.9 * rise  # behind the head's horizon
    return Style(
        shape=shape,
        grown=grown,
        tie=tie,
        wave=unit(shape.wave) * loose * (1.0 - coil),
        curl=unit(shape.curl) * loose * (1.0 - coil),
        coil=coil,
        length=length,
        half=face_width + 0.006 + 0.016 * grown + side,
        top=_BELT - _SKULL_TOP + 0.004 + 0.010 * grown + rise,
        fringe=-0.03 + (shape.fringe + 0.03) * grown * (1.0 - tie),
        cover=(shape.cover + (0.375 - shape.cover) * max(tie, 1.0 - grown)) * (face_width / 0.38),
        parted=parted,
        crown_x=(0.5 + 0.5 * parted) * shape.parting,
        crown_y=above + 0.5 * parted * (shape.hairline - 0.06 - above),
        bun=unit(4.0 * tie) * grown * (0.085 + 0.065 * long),
    )


@dataclass(frozen=True, slots=True)
class Flow:
    """Coordinates along and across the strands, over the whole picture."""

    turn: Plane  # angle about the crown, in turns, with waves bent in
    along: Plane  # distance from the crown
    radius: Plane  # what a turn is long, divided by 2 pi
    bend: Plane  # cosine of the wave's phase times its strength
    phase: Plane  # of the waves, radians


def flow_of(style: Style, view: View) -> Flow:
    """Strands fan out from the crown, then hang down; waves swing them together."""
    dx, dy = view.x - style.crown_x, view.y - style.crown_y
    hang = np.minimum(dy, 0.52 + 0.12 * np.tanh((dy - 0.52) * 2.5))
    along = np.sqrt(dx * dx + dy * dy)
    radius = np.sqrt(dx * dx + hang * hang) + 0.02
    turn = np.arctan2(dx, hang) * np.float32(0.5 / np.pi)
    phase = along * np.float32(2.0 * np.pi / _WAVE_LENGTH)
    strength = (0.022 * style.wave + 0.006 * style.curl) * ramp(along, 0.10, 0.55)
    sway = np.sin(phase) * strength + 0.004 * np.sin(8.0 * along + 9.0 * turn)
    turn = turn + sway / (2.0 * np.pi * radius)
    bend = np.cos(phase) * (strength * np.float32(2.0 * np.pi / _WAVE_LENGTH))
    return Flow(turn, along, radius, bend, phase)


def ringlets(flow: Flow) -> tuple[Plane, Plane]:
    """Relief of ringlets, about [-1, 1], and the place across each, [-0.5, 0.5]."""
    place = flow.turn * _RINGLETS
    middle = np.floor(place) + 0.5
    across = place - middle  # -0.5 .. 0.5
    own = grain.strand(middle * (1.0 / _RINGLETS), 61)
    phase = flow.along * np.float32(2.0 * np.pi / _RINGLET_LENGTH) + 1.6 * own
    width = 0.84 + 0.16 * np.sin(phase + 1.2)
    body = np.maximum(1.0 - np.square(2.0 * across / width), -0.6)
    coil = np.sin(phase + 6.5 * across)
    return 0.95 * body - 0.30 + (0.55 + 0.30 * body) * coil, across


def silhouette(style: Style, view: View, bulge: Plane | float, ragged: Plane | float) -> Plane:
    """A field below 0 inside the hair's outline.

    Args:
        style: The hair.
        view: The pixels.
        bulge: Added to the outline's reach, in head units.
        ragged: Added to the length.
    """
    shape, half, top = style.shape, style.half, style.top
    u, v = view.x * (1.0 / half), np.minimum(view.y - _BELT, 0.0) * (1.0 / top)
    uu, vv = u * u, v * v
    radius = 0.66 * np.sqrt(uu + vv) + 0.34 * np.sqrt(np.sqrt(uu * uu + vv * vv))  # no egg heads
    dome = (radius - 1.0) * min(half, top)
    reach = max(style.length - _BELT, 0.02)
    along = np.clip((view.y - _BELT) * (1.0 / max(reach, 0.35)), 0.0, 1.2)
    side = np.abs(view.x) - half * (1.0 + shape.flare * along * np.sqrt(along + 0.05))
    corner = min(shape.round_ends, 0.45 * (reach + 0.15))
    ends = view.y - (style.length + ragged)
    curtain = smooth_max(side, ends, corner)
    cap = smooth_max(dome, ends, corner)
    return np.where(view.y < _BELT, cap, curtain) - bulge


def opening(style: Style, view: View, ragged: Plane | float) -> Plane:
    """A field below 0 where the hair in front leaves the face free."""
    shape = style.shape
    across = view.x - shape.parting * style.grown
    full = max(style.fringe, 0.0) / 0.17  # 0 .. 1: a full fringe hangs level, a bare brow arches
    bow = 1.15 - 0.95 * full + 1.4 * style.parted
    line = shape.hairline + style.fringe + bow * across * across
    line = line + shape.sweep * style.grown * (0.30 + 0.45 * full) * across
    line = line + (0.008 + 0.034 * full) * ragged
    lower = np.clip((view.y + 0.30) * 2.0, 0.0, 1.0)
    side = np.abs(view.x) - style.cover * (0.90 + 0.10 * lower) + 0.012 * ragged
    return smooth_max(line - view.y, side, 0.10)


@dataclass(frozen=True, slots=True)
class HairLayers:
    """One head of hair, over the whole picture."""

    style: Style
    view: View
    flow: Flow
    outline: Plane  # field of the silhouette
    opening: Plane  # field of the hole for the face
    relief: Plane  # of strands, ringlets and coils, about [-1, 1]
    slope: Plane  # of the strands, sideways
    front: Plane  # coverage of the front layer
    back: Plane  # coverage of the back layer
    shadow: Plane  # how much of the lamp's light the hair takes from the face


def _relief(style: Style, flow: Flow, view: View) -> tuple[Plane, Plane]:
    """Relief and sideways slope of strands, ringlets and coils."""
    turn, around = flow.turn, flow.radius * np.float32(2.0 * np.pi)
    relief = 0.26 * grain.strand(turn, 20)
    slope = np.zeros_like(relief)
    for waves, weight in ((48, 0.34), (118, 0.34), (270, 0.30)):
        seen = weight * view.fade(around * (1.0 / waves))
        drift = grain.strand(turn * 0.5 + 0.055 * flow.along, waves)
        relief = relief + seen * (0.75 * grain.strand(turn, waves) + 0.45 * drift)
        slope = slope + seen * grain.strand_slope(turn, waves)
    if style.grown < 1.0:
        stubble = 0.6 * grain.bumps(view.x, view.y, 90) * view.fade(0.011)
        relief = stubble + style.grown * (relief - stubble)
        slope = slope * style.grown
    if style.parted > 0.0:
        away = (view.x - style.shape.parting) * (1.0 / 0.013)
        above = ramp(style.shape.hairline + 0.02 - view.y, -0.02, 0.06)
        relief = relief - (1.6 * style.parted) * np.exp(-away * away) * above
    if style.wave > 0.0:
        relief = relief + (0.30 * style.wave) * np.cos(flow.phase)
    if style.curl > 0.0:
        rolls, across = ringlets(flow)
        keep = style.curl * ramp(flow.along, 0.12, 0.45)
        relief = relief + keep * (1.7 * rolls - 0.65 * relief)
        slope = slope + keep * (3.0 * across - 0.6 * slope)
    if style.coil > 0.0:
        coils = grain.bumps(view.x, view.y, 22)
        fine = grain.bumps(view.x, view.y, 60) * view.fade(1.0 / 60.0)
        relief = relief + style.coil * (0.62 * coils + 0.30 * fine - 0.85 * relief)
        slope = slope * (1.0 - style.coil)
    return relief, slope


def _bulge(style: Style, flow: Flow, relief: Plane) -> Plane:
    """How far waves, ringlets and coils push the outline out."""
    out = 0.003 * relief
    if style.wave > 0.0:
        out = out + (0.017 * style.wave) * np.sin(flow.phase) * ramp(flow.along, 0.25, 0.60)
    if style.curl > 0.0:
        out = out + (0.008 * style.curl) * relief
    if style.coil > 0.0:
        out = out + (0.005 * style.coil) * relief
    return out * ramp(flow.along, 0.10, 0.32)


def lay_hair(cast: Cast) -> HairLayers:
    """Works out one head of hair; a hat hides what is above its edge."""
    style, view = style_of(cast.who.hair, cast.hair_head.face_width), cast.hair.whole
    flow = flow_of(style, view)
    relief, slope = _relief(style, flow, view)
    locks = 0.6 * grain.strand(flow.turn, 20) + 0.5 * grain.strand(flow.turn, 48)
    locks = locks * style.shape.layers
    outline = silhouette(style, view, _bulge(style, flow, relief), 0.035 * style.grown * locks)
    edge = hat_edge(cast.who.wear.hat)
    if edge is not None:
        beside = np.maximum(np.abs(view.x) - 0.42, 0.0)
        outline = np.maximum(outline, edge - 0.02 + 1.6 * beside - view.y)
    hole = opening(style, view, locks * style.grown)
    solid = unit(style.shape.growth)
    soft = view.pixel + 0.030 * (1.0 - style.grown)  # a shaved hairline is soft
    inside = np.clip(0.5 + hole / soft, 0.0, 1.0)
    whole = view.cover(outline)
    front = solid * np.minimum(whole, inside)
    if style.grown < 1.0:  # short stubble grows on the scalp alone
        scalp = cast.face.whole
        skull = scalp.cover(face.outline(cast.face_head, scalp))
        front = front * (skull + unit(6.0 * style.grown) * (1.0 - skull))
    return HairLayers(
        style=style,
        view=view,
        flow=flow,
        outline=outline,
        opening=hole,
        relief=relief,
        slope=slope,
        front=front,
        back=unit(6.0 * style.grown) * whole,
        shadow=_shadow(cast, style, view),
    )


def _shadow(cast: Cast, style: Style, view: View) -> Plane:
    """The hair's shadow: its front layer, moved away from the lamp and softened."""
    reach = 0.075 * style.grown
    x = view.x + reach * cast.lamp.x / cast.lamp.z
    y = view.y - reach * cast.lamp.y / cast.lamp.z
    moved = View(x, y, view.pixel, view.window)
    field = np.maximum(silhouette(style, moved, 0.0, 0.0), -opening(style, moved, 0.0))
    near = np.maximum(style.length - view.y, 0.0)
    contact = ramp(opening(style, view, 0.0), -0.055, 0.01) * ramp(near, 0.0, 0.06)
    return style.grown * (0.62 * ramp(field, 0.028, -0.028) + 0.22 * contact)
