"""How hair looks: colour, gloss along the strands, depth, the bun."""

from __future__ import annotations

import numpy as np

from barber.faces import grain
from barber.faces.canvas import Canvas, Plane, ramp
from barber.faces.cast import Cast
from barber.faces.hair import HairLayers
from barber.faces.light import Lamp, Normals, unit_normals
from barber.faces.parameters import HairColour
from barber.labels import Region


def base_colour(colour: HairColour) -> Plane:
    """RGB [3] in [0, 1] of the hair in plain light."""
    dark, light = np.array([0.060, 0.047, 0.042]), np.array([0.80, 0.755, 0.69])
    rgb = dark + colour.light**1.2 * (light - dark)
    strength = 0.30 + 0.70 * (1.0 - abs(2.0 * colour.light - 1.0))
    rgb += strength * colour.red * np.array([0.95, -0.05, -0.45])
    rgb += strength * colour.yellow * np.array([0.72, 0.34, -0.80])
    found: Plane = np.clip(rgb, 0.02, 0.97).astype(np.float32)
    return found


def _normals(layers: HairLayers) -> Normals:
    """A round head of hair, with the relief of its locks."""
    style, view = layers.style, layers.view
    u = np.clip(view.x * (1.0 / (1.05 * style.half)), -1.0, 1.0)
    v = np.clip((view.y + 0.10) * (1.0 / (1.06 * style.top)), -1.0, 0.25)
    depth = 0.42 + 0.45 * np.sqrt(np.clip(1.0 - u * u - v * v, 0.0, 1.0))
    nx = u * (0.45 + 0.45 * u * u) + 0.26 * layers.slope
    return unit_normals(nx, 0.85 * v, depth + 0.15)


def _tangents(layers: HairLayers, n: Normals) -> tuple[Plane, Plane, Plane]:
    """Unit vectors along the strands, on the surface of the hair."""
    view, style = layers.view, layers.style
    angle = layers.flow.turn * np.float32(2.0 * np.pi)
    fall = ramp(view.y - style.crown_y, 0.25, 0.80)
    tx = np.sin(angle) * (1.0 - fall) + layers.flow.bend
    ty = np.cos(angle) * (1.0 - fall) + fall
    tz = -(n.x * tx + n.y * ty) / n.z
    scale = 1.0 / np.sqrt(tx * tx + ty * ty + tz * tz + 1e-4)
    return tx * scale, ty * scale, tz * scale


def _gloss(layers: HairLayers, lamp: Lamp, n: Normals) -> tuple[Plane, Plane]:
    """Diffuse light and highlight of hair: both depend on the strands' direction."""
    tx, ty, tz = _tangents(layers, n)
    toward = tx * lamp.x + ty * lamp.y + tz * lamp.z
    half = tx * lamp.half_x + ty * lamp.half_y + tz * lamp.half_z
    half = half - 0.10 + 0.16 * layers.relief
    diffuse = np.sqrt(np.clip(1.0 - toward * toward, 0.0, 1.0))
    shine = np.clip(1.0 - half * half, 0.0, 1.0)
    for _ in range(4):
        shine = shine * shine
    return diffuse, shine * np.clip(lamp.facing(n) + 0.25, 0.0, 1.0)


def paint_back_hair(canvas: Canvas, layers: HairLayers, cast: Cast) -> None:
    """The hair behind the neck and beside the cheeks, in shade, and the bun above."""
    view, colour = layers.view, cast.who.hair_colour
    base = base_colour(colour)[:, None, None]
    light = 0.46 + (0.12 * colour.contrast) * layers.relief - 0.12 * np.clip(view.y, -0.3, 0.6)
    canvas.paint(view, layers.back, base * np.maximum(light, 0.10), Region.HAIR)
    if layers.style.bun > 0.0:
        _paint_bun(canvas, layers, cast)


def _paint_bun(canvas: Canvas, layers: HairLayers, cast: Cast) -> None:
    """A knot on the crown: strands wind round it."""
    style, colour = layers.style, cast.who.hair_colour
    y = -0.10 - style.top + (0.45 - 0.95 * style.tie) * style.bun
    view = cast.hair.around(-0.25, y - 0.20, 0.25, y + 0.20)
    u, v = view.x / (1.12 * style.bun), (view.y - y) / style.bun
    radius = np.sqrt(u * u + v * v)
    turn = np.arctan2(u, v + 0.9) * np.float32(0.5 / np.pi)
    wound = grain.strand(0.22 * radius + 0.55 * turn + 0.03 * np.sin(3.0 * u), 48) * view.fade(
        0.014
    )
    n = unit_normals(0.9 * u, 0.9 * v, np.sqrt(np.clip(1.15 - radius * radius, 0.1, 1.0)))
    facing = np.clip(cast.lamp.facing(n), 0.0, 1.0)
    light = cast.lamp.fill * 0.7 + 0.75 * cast.lamp.key * facing + (0.14 * colour.contrast) * wound
    band = np.exp(-(((radius - 0.52) / 0.16) ** 2)) * facing
    rgb = base_colour(colour)[:, None, None] * np.maximum(light, 0.12)
    rgb = rgb + (0.30 * colour.gloss) * band * (0.30 + 0.70 * base_colour(colour))[:, None, None]
    canvas.paint(view, view.cover((radius - 1.0) * style.bun), rgb, Region.HAIR)


def paint_front_hair(canvas: Canvas, layers: HairLayers, cast: Cast) -> None:
    """The hair in front, with strands, streaks, tips and gloss."""
    view, colour, lamp, style = layers.view, cast.who.hair_colour, cast.lamp, layers.style
    n = _normals(layers)
    diffuse, shine = _gloss(layers, lamp, n)
    wrap = np.clip((lamp.facing(n) + 0.35) * 0.74, 0.0, 1.0)
    light = lamp.fill * 0.85 + lamp.key * wrap * (0.40 + 0.65 * diffuse)
    light = light * (1.0 + (0.30 * colour.contrast) * layers.relief)
    light = light * (_depth(layers) * (0.80 + 0.20 * style.grown))
    lift = colour.tips * np.clip(view.y + 0.20, 0.0, 1.0) * style.grown
    lift = lift + colour.streaks * np.clip(grain.strand(layers.flow.turn, 12) - 0.35, 0.0, 1.2)
    base = base_colour(colour)[:, None, None]
    matte = (1.0 - 0.70 * style.coil) * (0.25 + 0.75 * style.grown)
    tintless = np.array([1.0, 0.94, 0.86], dtype=np.float32)[:, None, None]
    rgb = np.clip(base + lift, 0.02, 1.0) * np.maximum(light, 0.10)
    rgb = rgb + (0.66 * colour.gloss * matte) * shine * (0.22 + 0.78 * base) * tintless
    canvas.paint(view, layers.front, rgb.astype(np.float32), Region.HAIR)


def _depth(layers: HairLayers) -> Plane:
    """Light lost near the outline, under the fringe's roots and low beside the neck."""
    style, view = layers.style, layers.view
    inner = np.clip(layers.outline * -9.0, 0.0, 1.0)
    lost = 1.0 - 0.22 * (1.0 - inner) * style.grown
    beside = ramp(view.y, 0.15, 0.60) * ramp(layers.opening, 0.16, 0.0)
    found: Plane = lost * (1.0 - 0.30 * beside)
    return found
