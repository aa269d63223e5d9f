"""Glasses and hat."""

from __future__ import annotations

import numpy as np

from barber.faces.canvas import Canvas, Plane, View, ellipse, ramp, tint, unit
from barber.faces.cast import Cast
from barber.faces.light import unit_normals
from barber.labels import Region

_EYE_LINE = -0.045  # glasses sit at one height, whatever the eyes do
_APART = 0.172  # half the distance between the middles of the lenses
_HIGHEST, _LOWEST = -0.50, -0.30  # the cap's edge when perched on the skull, when pulled down


def hat_edge(amount: float) -> float | None:
    """The y of the cap's lower edge in the middle, or None without a cap."""
    return None if amount <= 0.0 else _HIGHEST + unit(amount) * (_LOWEST - _HIGHEST)


def paint_glasses(canvas: Canvas, cast: Cast) -> None:
    """Two rims that thicken with the amount, a bridge, the arms, and a sheen on the lenses."""
    wear, head = cast.who.wear, cast.who.head
    amount = unit(wear.glasses)
    if amount == 0.0:
        return
    view = cast.glasses.around(-0.46, -0.20, 0.46, 0.14, depth=1.2)
    x = np.abs(view.x)
    wide, tall = 0.118 * wear.frame_size, (0.080 + 0.022 * wear.frame_round) * wear.frame_size
    power = 4.0 - 1.9 * wear.frame_round
    u, v = np.abs(x - _APART) / wide, np.abs(view.y - _EYE_LINE - 0.010) / tall
    rim = (np.power(np.power(u, power) + np.power(v, power), 1.0 / power) - 1.0) * tall
    half = 0.0035 + 0.0105 * amount
    bridge = np.abs(view.y - _EYE_LINE + 0.022 + 0.9 * view.x * view.x)
    bridge = np.where(x < _APART - wide, bridge, np.float32(1.0))
    arm = np.abs(view.y - _EYE_LINE + 0.028 - 0.06 * (x - 0.3))
    arm = np.where((x > _APART + wide) & (x < head.face_width + 0.01), arm, np.float32(1.0))
    distance = np.minimum(np.abs(rim), np.minimum(bridge, arm))
    _paint_lenses(canvas, view, rim)
    under = view.stroke(np.abs(rim) + 0.5 * half, 1.6 * half)
    canvas.shade(view, 0.16 * under)
    light = cast.who.cloth.frame_light
    edge = np.exp(-(((rim - 0.35 * half) / (0.5 * half + 0.3 * view.pixel)) ** 2))
    shine = 0.85 + 0.9 * edge * np.clip(-(view.y - _EYE_LINE) / tall, 0.0, 1.0)
    rgb = np.array([light, 0.82 * light, 0.72 * light], dtype=np.float32)[:, None, None]
    canvas.paint(
        view, view.stroke(distance, half), rgb * shine + 0.10 * (shine - 0.85), Region.EYEGLASSES
    )


def _paint_lenses(canvas: Canvas, view: View, rim: Plane) -> None:
    glass = np.clip(0.5 - rim / view.pixel, 0.0, 1.0)
    slant = view.x + 0.8 * view.y - 0.02
    band = np.exp(-(((np.abs(slant) - 0.16) / 0.022) ** 2))
    canvas.paint(view, (0.05 + 0.13 * band) * glass, (0.92, 0.95, 0.98))


def paint_hat(canvas: Canvas, cast: Cast) -> None:
    """A knitted cap with a turned-up edge, pulled down with the amount."""
    edge = hat_edge(cast.who.wear.hat)
    if edge is None:
        return
    head, cloth = cast.who.head, cast.who.cloth
    view = cast.base.around(-0.62, -1.0, 0.62, _LOWEST + 0.14)
    half = head.face_width + 0.090
    dome = ellipse(view, 0.0, -0.18, half, 0.575)
    lower = edge + 0.10 - 0.26 * view.x * view.x
    fold = view.y - lower + 0.150
    cuff = ramp(fold, -0.006, 0.006)
    field = np.maximum(dome - 0.016 * cuff, view.y - lower)
    u, v = view.x / (half + 0.02), np.clip((view.y + 0.18) / 0.60, -1.0, 0.3)
    lines = view.x / np.sqrt(np.clip(1.0 - 0.85 * v * v, 0.15, 1.0)) * (1.0 - cuff) + view.x * cuff
    knit = np.sin(lines * (95.0 / half * 0.42)) * view.fade(0.066)
    rows = np.sin(view.y * 260.0 + 2.0 * np.sin(lines * 100.0)) * view.fade(0.024)
    normals = unit_normals(
        u * (0.35 + 0.65 * u * u) + 0.22 * knit,
        0.80 * v * (1.0 - 0.6 * cuff),
        np.sqrt(np.clip(1.0 - 0.62 * u * u - 0.3 * v * v, 0.1, 1.0)),
    )
    light = cast.lamp.on_matter(normals) * (0.95 + 0.05 * knit + 0.03 * rows)
    light *= 1.0 - 0.28 * np.exp(-((fold / 0.016) ** 2)) * (fold < 0.004)
    light *= 1.0 + 0.07 * cuff - 0.14 * ramp(view.y - lower, -0.03, 0.0)
    rgb = tint(cloth.hat_light, cloth.hat_red, cloth.hat_blue)[:, None, None]
    canvas.paint(view, view.cover(field), rgb * light, Region.HAT)
