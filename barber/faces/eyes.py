"""Eyes and brows: lids, whites, irises with fibres, pupils, glints, lashes, hairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from barber.faces import grain
from barber.faces.canvas import Canvas, Plane, View, ramp, tint
from barber.faces.cast import Cast
from barber.faces.face import BROW_X
from barber.faces.light import skin_colour
from barber.labels import Region

_LASH = (0.055, 0.040, 0.036)
_WHITE = np.array([0.955, 0.935, 0.920], dtype=np.float32)[:, None, None]
_FLESH = np.array([0.80, 0.50, 0.46], dtype=np.float32)[:, None, None]


@dataclass(frozen=True, slots=True)
class _Eye:
    """One eye in its own coordinates: x outward from the pupil, y down, unslanted."""

    view: View
    side: float
    x: Plane
    y: Plane
    u: Plane  # x in half widths
    upper: Plane  # y of the upper lid's edge
    lower: Plane


def _lay(cast: Cast, side: float) -> _Eye:
    eyes = cast.who.eyes
    cx = side * eyes.spacing
    view = cast.eyes.around(cx - 0.13, eyes.height - 0.10, cx + 0.13, eyes.height + 0.08, depth=1.0)
    x = (view.x - cx) * side
    y = view.y - eyes.height + eyes.slant * x
    u = np.clip(x / eyes.width, -1.0, 1.0)
    arch = 1.0 - u * u
    upper = -eyes.opening * np.power(arch, 0.72) * (1.0 - 0.16 * u)
    lower = (0.30 * eyes.opening + 0.009) * arch * (1.0 + 0.22 * u)
    return _Eye(view, side, x, y, u, upper, lower)


def paint_eyes(canvas: Canvas, cast: Cast) -> None:
    """Both eyes."""
    for side in (-1.0, 1.0):
        eye = _lay(cast, side)
        _paint_lid(canvas, cast, eye)
        inside = np.maximum(eye.upper - eye.y, eye.y - eye.lower)
        inside = np.maximum(inside, np.abs(eye.x) - cast.who.eyes.width)
        alpha = np.clip(0.5 - inside / eye.view.pixel, 0.0, 1.0)
        _paint_ball(canvas, cast, eye, alpha)
        _paint_lashes(canvas, cast, eye)


def _paint_lid(canvas: Canvas, cast: Cast, eye: _Eye) -> None:
    """The upper lid's fold and the soft edge below the eye."""
    eyes = cast.who.eyes
    within = ramp(np.abs(eye.x), 1.16 * eyes.width, 0.80 * eyes.width)
    above = eye.y - eye.upper + eyes.fold * (0.75 + 0.25 * (1.0 - eye.u * eye.u))
    crease = 0.50 * np.exp(-((above / 0.0085) ** 2)) + 0.16 * np.exp(-((above / 0.028) ** 2))
    below = eye.y - eye.lower - 0.010
    crease = crease + 0.20 * np.exp(-((below / 0.010) ** 2))
    canvas.shade(eye.view, (crease * within).astype(np.float32))


def _paint_ball(canvas: Canvas, cast: Cast, eye: _Eye, alpha: Plane) -> None:
    """White, iris, pupil and glint, in the shade of the upper lid."""
    eyes, iris = cast.who.eyes, cast.who.iris
    corner = np.exp(-(((eye.u + 1.02) / 0.20) ** 2))
    ball = _WHITE * (1.0 - 0.20 * eye.u * eye.u) + corner * (_FLESH - _WHITE)
    radius = np.sqrt(eye.x * eye.x + (eye.y + 0.004) ** 2)
    ring = radius / eyes.iris
    angle = np.arctan2(eye.y + 0.004, eye.x) * np.float32(0.5 / np.pi)
    fibres = grain.strand(angle, 26) * eye.view.fade(0.010)
    base = tint(iris.light, -0.5 * iris.blue + 0.04, iris.blue)[:, None, None]
    glow_below = 0.22 * np.clip(eye.y / eyes.iris, -0.6, 1.0)  # light gathers opposite the lamp
    light = 0.92 + 0.55 * np.exp(-(((ring - 0.58) / 0.22) ** 2)) + 0.14 * fibres + glow_below
    light = light * (1.0 - 0.62 * ramp(ring, 0.76, 1.02))
    view = eye.view
    ball += np.clip(0.5 - (radius - eyes.iris) / view.pixel, 0, 1) * (base * light - ball)
    pupil = np.clip(0.5 - (radius - 0.43 * eyes.iris) / view.pixel, 0.0, 1.0)
    ball *= 1.0 - 0.96 * pupil
    shade = 0.58 * np.exp(-((eye.y - eye.upper) / 0.014)) + 0.10
    ball *= 1.0 - np.clip(shade, 0.0, 0.75)
    gx = eye.side * 0.36 * eyes.iris * (0.6 if cast.lamp.x > 0 else -0.6)
    spot = np.sqrt((eye.x - gx) ** 2 + (eye.y + 0.42 * eyes.iris) ** 2) - 0.25 * eyes.iris
    glint = np.clip(0.5 - spot / view.pixel, 0.0, 1.0)
    ball += 0.95 * glint * (1.0 - ball)
    canvas.paint(view, alpha, ball, Region.EYES)


def _paint_lashes(canvas: Canvas, cast: Cast, eye: _Eye) -> None:
    """The dark upper edge that thickens outward, single lashes, and a faint lower edge."""
    eyes, view = cast.who.eyes, eye.view
    ends = np.clip(0.5 - (np.abs(eye.x) - 1.05 * eyes.width) / view.pixel, 0.0, 1.0)
    thick = eyes.lashes * (0.62 + 0.38 * eye.u)
    line = view.stroke(eye.y - eye.upper + 0.5 * thick, thick) * ends
    canvas.paint(view, 0.92 * line, _LASH, Region.EYES)
    length = 1.6 * eyes.lashes * (1.0 + 0.8 * eye.u)
    out = (eye.upper - eye.y) / np.maximum(length, 1e-3)
    slant = eye.x + 0.35 * (eye.y - eye.upper) * np.sign(eye.u)
    hairs = np.clip(np.sin(slant * 620.0) + 0.15, 0.0, 1.0) * view.fade(0.0101)
    hairs = hairs + 0.38 * (1.0 - view.fade(0.0101))
    tips = np.clip(out, 0.0, 1.0) * np.clip(1.6 - out, 0.0, 1.0) * (out < 1.6)
    canvas.paint(view, (0.75 * hairs * tips * ends).astype(np.float32), _LASH)
    rim = view.stroke(eye.y - eye.lower, 0.0030) * ends
    canvas.paint(view, 0.45 * rim, tuple(0.42 * float(v) for v in skin_colour(cast.who.skin)))


def paint_brows(canvas: Canvas, cast: Cast) -> None:
    """Both brows: tapered arcs of slanting hairs."""
    brows, skin = cast.who.brows, skin_colour(cast.who.skin)
    dark = np.array([0.062, 0.045, 0.038], dtype=np.float32)
    colour = skin * 0.80
    colour = colour + cast.who.brow_colour.dark * (dark - colour)
    for side in (-1.0, 1.0):
        cx = side * BROW_X
        view = cast.brows.around(
            cx - brows.length,
            brows.height - 0.10,
            cx + brows.length,
            brows.height + 0.07,
            depth=1.0,
        )
        u = (view.x - cx) * (side / brows.length)
        bend = 1.0 - (u - 0.22) ** 2
        centre = brows.height - brows.arch * bend - brows.slope * brows.length * u + 0.012
        thick = brows.thickness * np.clip(0.98 - 0.42 * (u + 0.35) ** 2 - 0.18 * u, 0.12, 1.0)
        across = (view.y - centre) / thick
        inside = np.clip(0.5 - (np.abs(view.y - centre) - thick) / (view.pixel + 0.006), 0.0, 1.0)
        alpha = inside * np.clip(
            0.5 - (np.abs(u) - 1.0) * brows.length / (view.pixel + 0.018), 0, 1
        )
        lean = u * (brows.length / 0.10) + across * (0.10 + 0.05 * u) * (brows.thickness / 0.02)
        hairs = grain.strand(0.21 * lean + 0.5, 150) * view.fade(0.0070)
        hairs = hairs + grain.strand(0.21 * lean + 0.1, 70) * view.fade(0.0140)
        strength = np.clip(0.90 + 0.16 * hairs, 0.25, 1.0)
        canvas.paint(view, alpha * strength, colour)
        canvas.mark(view, alpha, Region.BROWS)
