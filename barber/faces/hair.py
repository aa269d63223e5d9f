"""Hair: outline, hairline, strands and colour, in the frame of the head that lent the shape.

The silhouette is a dome joined to a curtain with rounded ends. The back layer is the whole
silhouette, darker; the front layer is the silhouette without the opening the face looks through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from barber.faces.canvas import Canvas, HeadFrame, Plane, View, smooth_max
from barber.faces.parameters import HairColour, HairShape, IdentityShape
from barber.labels import Region

_SKULL_TOP = -0.55  # y of the skull's top in head units
_BELT = -0.10  # y where the dome meets the curtain


@dataclass(frozen=True, slots=True)
class HairLayers:
    """Distances and shading of one head of hair, over the whole picture."""

    view: View
    outline: Plane  # signed distance to the silhouette
    opening: Plane  # signed distance to the hole for the face, negative inside
    front: Plane  # coverage of the front layer
    texture: Plane  # strands, about [-1, 1]
    crown: Plane  # distance to the crown


def _waves(shape: HairShape, view: View) -> tuple[Plane, float]:
    """A two-dimensional wave for curls, and how strongly to use it, in [0, 1]."""
    strength = max(shape.curl, 0.0)
    rate = 1.0 / shape.curl_size
    x, y = view.x * np.float32(26.0 * rate), view.y * np.float32(24.0 * rate)
    wave = np.sin(x + 0.9 * np.sin(0.63 * y)) * np.sin(y + 0.8 * np.sin(0.71 * x))
    return np.asarray(wave, dtype=np.float32), strength


def _outline(shape: HairShape, width: float, view: View, wave: Plane, curl: float) -> Plane:
    body = min(max((shape.length + 0.14) / 0.45, 0.0), 1.0)  # short hair lies close
    half = width + shape.side_volume * (0.30 + 0.70 * body)
    top = _BELT - (_SKULL_TOP - shape.top_volume)
    u, v = view.x / half, np.minimum(view.y - _BELT, 0.0) / top
    uu, vv = u * u, v * v
    radius = 0.62 * np.sqrt(uu + vv) + 0.38 * np.sqrt(np.sqrt(uu * uu + vv * vv))  # no egg heads
    dome = (radius - 1.0) * min(half, top)
    reach = max(shape.length - _BELT, 0.02)
    along = np.clip((view.y - _BELT) / max(reach, 0.35), 0.0, 1.2)
    side = np.abs(view.x) - half * (1.0 + shape.flare * along * np.sqrt(along + 0.05))
    corner = min(shape.round_ends, 0.45 * (reach + 0.15))
    curtain = smooth_max(
        np.asarray(side, dtype=np.float32), view.y - np.float32(shape.length), corner
    )
    cap = smooth_max(dome.astype(np.float32), view.y - np.float32(shape.length), corner)
    distance = np.where(view.y < _BELT, cap, curtain)
    return np.asarray(distance + (0.040 * curl) * wave, dtype=np.float32)


def _opening(shape: HairShape, width: float, view: View, texture: Plane) -> Plane:
    across = view.x - np.float32(shape.parting)
    full = shape.fringe / 0.17  # 0 .. 1: a full fringe hangs level, a bare brow arches
    line = (
        shape.hairline
        + shape.fringe
        + (1.15 - 0.95 * full) * across * across
        + shape.sweep * (0.35 + 0.45 * full) * across
        + (0.006 + 0.014 * full) * texture
    )
    lower = np.clip((view.y + 0.30) / 0.5, 0.0, 1.0)
    side = np.abs(view.x) - (shape.cover * width / 0.39) * (0.90 + 0.10 * lower)
    return smooth_max(np.asarray(line - view.y, dtype=np.float32), side + 0.004 * texture, 0.10)


def _strands(shape: HairShape, view: View, wave: Plane, curl: float) -> tuple[Plane, Plane]:
    """Strand texture and distance to the crown: lines fan out from it, then hang down."""
    dx = view.x - np.float32(0.7 * shape.parting)
    dy = view.y - np.float32(_SKULL_TOP - 0.85 * shape.top_volume + 0.03)
    hang = np.minimum(dy, 0.52 + 0.12 * np.tanh((dy - 0.52) / 0.4))
    radius = np.sqrt(dx * dx + dy * dy)
    angle = np.arctan2(dx, hang) + (0.10 * curl) * wave
    angle += (0.012 + 0.030 * curl) * np.sin(radius * (17.0 / shape.curl_size) + 5.0 * angle)
    fine = np.clip(radius * 5.0, 0.0, 1.0)
    texture = np.clip(radius * 4.0, 0.15, 1.0) * 0.45 * np.sin(19.0 * angle + 0.7) + fine * (
        0.35 * np.sin(41.0 * angle + 2.1) + 0.30 * np.sin(77.0 * angle + 4.0 * radius)
    )
    texture = (1.0 - 0.35 * curl) * texture + (0.75 * curl) * wave
    return np.asarray(texture, dtype=np.float32), np.asarray(radius, dtype=np.float32)


def lay_hair(
    shape: HairShape, head: IdentityShape, frame: HeadFrame, brim: float | None
) -> HairLayers:
    """Works out one head of hair on a head of that width; a hat hides what is above its brim."""
    view = frame.whole
    wave, curl = _waves(shape, view)
    outline = _outline(shape, head.face_width, view, wave, curl)
    if brim is not None:
        outline = np.maximum(outline, np.float32(brim) - view.y)
    texture, crown = _strands(shape, view, wave, curl)
    opening = _opening(shape, head.face_width, view, texture)
    front = view.cover(np.maximum(outline, -opening))
    return HairLayers(view, outline, opening, front, texture, crown)


def base_colour(colour: HairColour) -> Plane:
    """RGB [3] in [0, 1] of the hair in plain light."""
    dark, light = np.array([0.055, 0.045, 0.040]), np.array([0.87, 0.84, 0.80])
    rgb = dark + colour.light**1.2 * (light - dark)
    strength = 0.35 + 0.65 * (1.0 - abs(2.0 * colour.light - 1.0))
    rgb += strength * colour.red * np.array([0.95, -0.05, -0.45])
    rgb += strength * colour.yellow * np.array([0.60, 0.40, -0.95])
    return np.asarray(np.clip(rgb, 0.02, 0.97), dtype=np.float32)


def paint_back_hair(canvas: Canvas, layers: HairLayers, colour: HairColour) -> None:
    """The hair behind the neck and beside the cheeks, in shade."""
    base = base_colour(colour)
    light = 0.50 + 0.10 * layers.texture - 0.10 * np.clip(layers.view.y, -0.3, 0.6)
    canvas.paint(
        layers.view, layers.view.cover(layers.outline), base[:, None, None] * light, Region.HAIR
    )


def paint_front_hair(
    canvas: Canvas, layers: HairLayers, colour: HairColour, light_x: float
) -> None:
    """The hair in front, with strands, streaks, tips and a band of gloss."""
    view, texture = layers.view, layers.texture
    depth = np.clip(-layers.outline / 0.16, 0.0, 1.0)  # 0 at the outline, 1 inside
    rim = np.clip(layers.opening / 0.07, 0.0, 1.0)  # 0 at the face, 1 away from it
    light = 0.62 + 0.32 * np.sqrt(depth) + 0.10 * rim - 0.10 * np.clip(view.y + 0.2, 0.0, 1.0)
    light += colour.contrast * texture + light_x * 0.32 * view.x
    away = (layers.crown - 0.27) / 0.075
    gloss = colour.gloss * np.exp(-away * away) * (0.65 + 0.45 * texture)
    sheen = (layers.crown - 0.85) / 0.12
    gloss += 0.35 * colour.gloss * np.exp(-sheen * sheen) * (0.5 + 0.5 * texture)
    lift = colour.tips * np.clip(view.y + 0.25, 0.0, 1.2)
    lift += colour.streaks * np.clip(np.sin(9.0 * view.x + 3.0 * texture) - 0.35, 0.0, 1.0)
    base = base_colour(colour)[:, None, None]
    warm = np.array([1.0, 0.93, 0.82], dtype=np.float32)[:, None, None]
    planes = (base + lift) * np.maximum(light, 0.12) + gloss * (0.35 + 0.65 * base) * warm
    canvas.paint(view, layers.front, planes.astype(np.float32), Region.HAIR)
