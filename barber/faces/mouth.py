"""Nose, mouth and beard."""

from __future__ import annotations

import numpy as np

from barber.faces import face, grain
from barber.faces.canvas import Canvas, Plane, View, ellipse, glow, ramp, smooth_min, unit
from barber.faces.cast import Cast
from barber.faces.light import skin_colour
from barber.labels import Region


def paint_nose(canvas: Canvas, cast: Cast) -> None:
    """Nostrils, the crease of the wings and the label; the relief itself is the face's."""
    nose = cast.who.nose
    top, end = face.NOSE_TOP + 0.015, face.NOSE_TOP + nose.length
    view = cast.nose.around(-0.13, top, 0.13, end + 0.05, depth=1.5)
    along = np.clip((view.y - top) / (end - top), 0.0, 1.0)
    half = 0.021 + (0.80 * nose.width - 0.021) * along * along
    trunk = np.maximum(np.abs(view.x) - half, np.maximum(top - view.y, view.y - end + 0.010))
    wing_x = 0.60 * nose.width
    side = View(np.abs(view.x), view.y, view.pixel, view.window)
    wing = ellipse(side, wing_x, end - 0.020, 0.40 * nose.width, 0.031)
    ball = ellipse(view, 0.0, end - 0.022, 1.15 * nose.tip, 0.036)
    shape = smooth_min(trunk, smooth_min(wing, ball, 0.012), 0.012)
    below = np.clip((view.y - end + 0.040) / 0.05, 0.0, 1.0)
    rim = np.exp(-((shape / 0.0065) ** 2)) * below
    canvas.shade(view, (0.22 * rim * ramp(side.x, 0.25 * nose.width, 0.9 * nose.width)))
    hole_x, wide = 0.46 * nose.width, 0.27 * nose.width
    hole = ellipse(side, hole_x, end - 0.001 - 0.16 * (side.x - hole_x), wide, 0.0105)
    inner = tuple(float(v) for v in skin_colour(cast.who.skin) * (0.34, 0.24, 0.22))
    soft = np.clip(0.5 - hole / (view.pixel + 0.004), 0.0, 1.0)
    canvas.paint(view, 0.68 * soft, inner)
    canvas.mark(view, view.cover(shape), Region.NOSE)


def paint_mouth(canvas: Canvas, cast: Cast) -> None:
    """Opening with teeth, then both lips with their own relief, lines and gleam."""
    mouth = cast.who.mouth
    view = cast.mouth.around(-0.20, mouth.height - 0.10, 0.20, mouth.height + 0.12, depth=1.1)
    u = np.clip(view.x / mouth.width, -1.0, 1.0)
    arch = 1.0 - u * u
    line = mouth.height + mouth.smile * (0.45 - u * u) - 0.006 * np.exp(-((u / 0.16) ** 2))
    gap = max(mouth.gape, 0.0) * arch
    y = view.y - line
    ends = np.abs(view.x) - mouth.width
    _paint_opening(canvas, cast, view, (y, gap, ends, arch))
    notch = 1.0 - mouth.bow * np.exp(-((u / 0.13) ** 2)) + 0.16 * mouth.bow
    top = gap + mouth.upper * notch * np.power(arch, 0.85)
    bottom = gap + mouth.lower * np.power(arch, 0.70) * (1.0 + 0.04 * np.cos(6.0 * u))
    _paint_lip(canvas, cast, view, (y, gap, top, ends, u), upper=True)
    _paint_lip(canvas, cast, view, (y, gap, bottom, ends, u), upper=False)
    seam = np.exp(-((y / 0.0065) ** 2)) * ramp(ends, 0.012, -0.010)
    corner = np.exp(-((ends / 0.014) ** 2 + (y / 0.012) ** 2))
    closed = unit(1.0 - 90.0 * max(mouth.gape, 0.0))
    canvas.shade(view, 0.66 * closed * seam + 0.42 * corner * (1.0 - 0.5 * seam * closed))


_Lip = tuple[Plane, Plane, Plane, Plane, Plane]


def _paint_opening(
    canvas: Canvas, cast: Cast, view: View, place: tuple[Plane, Plane, Plane, Plane]
) -> None:
    y, gap, ends, _ = place
    gape = cast.who.mouth.gape
    if gape <= 0.0:
        return
    inside = np.maximum(np.maximum(-gap - y, y - gap), ends)
    between = np.exp(-((np.sin(view.x * (np.pi / 0.030)) / 0.16) ** 2)) * view.fade(0.012)
    biting = ramp(y, 0.75 * gape, 0.25 * gape)  # the upper teeth end above the lower lip
    shade = 1.0 - 0.25 * between - 0.55 * ramp(np.abs(view.x), 0.3, 1.1)
    shade = shade * (1.0 - 0.55 * np.exp(-(y + gap) / 0.007))
    tooth = np.array([0.93, 0.895, 0.84], dtype=np.float32)[:, None, None] * shade
    dark = np.array([0.22, 0.070, 0.070], dtype=np.float32)[:, None, None]
    rgb = dark + biting * (tooth - dark)
    alpha = np.clip(0.5 - inside / view.pixel, 0.0, 1.0)
    canvas.paint(view, alpha, rgb, Region.MOUTH)


def _lip_colour(cast: Cast) -> Plane:
    lips = cast.who.lips
    rose = skin_colour(cast.who.skin) * np.array([0.90, 0.70, 0.69], dtype=np.float32)
    rose = rose + lips.red * np.array([0.20, -0.42, -0.28], dtype=np.float32) + lips.light
    return np.clip(rose, 0.03, 0.95)


def _paint_lip(canvas: Canvas, cast: Cast, view: View, lip: _Lip, *, upper: bool) -> None:
    """One lip: a roll of flesh, lit from above, with fine upright lines."""
    y, gap, edge, ends, u = lip
    lamp = cast.lamp
    height = np.maximum(edge - gap, 1e-3)
    across = np.clip(((-y if upper else y) - gap) / height, 0.0, 1.0)  # 0 at the seam, 1 outside
    roll = np.cos(np.pi * across)  # faces the seam at 0, the outer edge at 1
    facing = (0.62 * roll if upper else -0.72 * roll) * -1.0
    light = lamp.fill + lamp.key * (0.66 - 0.42 * facing * (lamp.y + 0.25))
    light = light + 0.16 * lamp.x * u
    lines = np.sin(view.x * 330.0 + 40.0 * u * across) * view.fade(0.019)
    light = light * (1.0 + 0.05 * lines) * (0.86 + 0.14 * ramp(across, 0.0, 0.35))
    rgb = _lip_colour(cast)[:, None, None] * light * (0.93 if upper else 1.04)
    spot = np.exp(-(((across - 0.42) / 0.20) ** 2)) * np.exp(-(((u - 0.30 * lamp.x) / 0.36) ** 2))
    rgb += (0.05 if upper else 0.20) * spot * (0.75 + 0.25 * lines)
    distance = np.maximum((-y if upper else y) - edge, gap - (-y if upper else y))
    distance = np.maximum(distance, ends)
    label = Region.UPPER_LIP if upper else Region.LOWER_LIP
    canvas.paint(view, np.clip(0.5 - distance / view.pixel, 0.0, 1.0), rgb, label)


def paint_beard(canvas: Canvas, cast: Cast) -> None:
    """Beard and moustache, from stubble to full; labelled as skin like in the public set."""
    beard, mouth, head = cast.who.beard, cast.who.mouth, cast.face_head
    if max(beard.growth, beard.moustache) <= 0.0:
        return
    view = cast.beard.around(-0.46, -0.02, 0.46, head.face_height + 0.16)
    low = unit(beard.growth)
    longer = View(
        view.x, view.y - (beard.reach * low) * ramp(view.y, 0.30, 0.60), view.pixel, view.window
    )
    outside = face.outline(head, longer) - 0.012 * low
    smile = mouth.smile * 0.5
    bare = ellipse(view, 0.0, mouth.height - 0.135 - smile, 0.300, 0.225)  # cheeks and nose
    chin = ellipse(view, 0.0, mouth.height + 0.012, mouth.width + 0.004, 0.044)
    field = np.maximum(np.maximum(outside, -chin), -view.y)
    soft = view.pixel + 0.060 - 0.020 * low
    jaw = np.clip(0.5 - np.maximum(field, -bare) / soft, 0.0, 1.0) * ramp(view.y, 0.02, 0.20)
    jaw = jaw * np.clip(0.5 - outside / (view.pixel + 0.012), 0.0, 1.0)
    lip_top = mouth.height - mouth.upper - 0.026 - smile * 0.6
    tash = ellipse(view, 0.0, lip_top + view.x * view.x + 0.002, 0.96 * mouth.width, 0.021)
    upper = np.clip(0.5 - tash / (view.pixel + 0.014), 0.0, 1.0)
    alpha = np.maximum(jaw * low, upper * unit(beard.moustache)).astype(np.float32)
    _paint_facial_hair(canvas, cast, view, alpha)


def _paint_facial_hair(canvas: Canvas, cast: Cast, view: View, alpha: Plane) -> None:
    """Short hairs that run down and outward, over the skin that shows between them."""
    colour = cast.who.beard_colour
    angle = np.arctan2(view.x, 0.62 + 0.0 * view.y) * np.float32(0.5)
    hairs = grain.strand(angle + 0.02 * view.y, 160) * view.fade(0.020)
    hairs = hairs + grain.bumps(1.4 * view.x, 0.7 * view.y, 60) * view.fade(0.018)
    base = np.array([0.075, 0.058, 0.050], dtype=np.float32)
    base = base + colour.light * np.array([0.62, 0.54, 0.46], dtype=np.float32)
    base = base + colour.red * np.array([0.8, -0.05, -0.3], dtype=np.float32)
    u = view.x / cast.face_head.face_width
    light = 0.80 + 0.34 * cast.lamp.x * u - 0.22 * u * u + 0.13 * hairs
    light = light + 0.10 * glow(view, 0.0, cast.face_head.face_height - 0.06, 0.14, 0.08)
    rgb = np.clip(base, 0.03, 0.9)[:, None, None] * np.maximum(light, 0.2)
    cover = alpha * np.clip(0.90 + 0.14 * hairs, 0.3, 1.0)
    canvas.paint(view, cover.astype(np.float32), rgb)
    canvas.mark(view, alpha, Region.SKIN)
