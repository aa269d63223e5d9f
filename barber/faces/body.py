"""Background, neck, clothes and what hangs on neck and ears."""

from __future__ import annotations

import numpy as np

from barber.faces import face
from barber.faces.canvas import Canvas, HeadFrame, View, ellipse, ramp, tint, unit
from barber.faces.cast import Cast
from barber.faces.light import skin_colour, toned, unit_normals
from barber.labels import Region

_GOLD = np.array([0.90, 0.72, 0.36], dtype=np.float32)


def paint_background(canvas: Canvas, cast: Cast) -> None:
    """A wall with the lamp's soft pool of light on it."""
    scene = cast.who.scene
    view = HeadFrame(canvas.rgb.shape[1]).whole
    base = tint(scene.ground_light, scene.ground_red, scene.ground_blue)[:, None, None]
    dx, dy = view.x - 0.35 * scene.light_x, view.y + 0.15
    pool = np.exp(-(dx * dx + dy * dy) * 1.1)
    light = 0.86 + 0.22 * pool - scene.ground_fall * view.y
    canvas.rgb[:] = base * light + 0.03 * pool


def paint_body(canvas: Canvas, cast: Cast) -> None:
    """Neck with the chin's shadow, collar bones and clothes."""
    _paint_neck(canvas, cast)
    _paint_cloth(canvas, cast)
    _paint_necklace(canvas, cast)


def _paint_neck(canvas: Canvas, cast: Cast) -> None:
    body, lamp = cast.who.body, cast.lamp
    view = cast.base.around(-0.62, 0.25, 0.62, 1.1)
    low = np.clip(view.y - (body.shoulder_y - 0.16), 0.0, 0.4)
    half = body.neck_width * (1.0 - 0.12 * np.clip(view.y - 0.35, 0.0, 0.2)) + 4.2 * low * low
    u = view.x / half
    nx = np.clip(u, -1.0, 1.0) * (0.35 + 0.55 * u * u)
    cords = np.exp(-(((np.abs(u) - 0.62 + 0.5 * low) / 0.13) ** 2)) * np.sign(view.x)
    normals = unit_normals(nx - 0.14 * cords, 0.22 + 0.9 * low, np.full_like(nx, 0.85))
    light = lamp.on_skin(normals)
    bone = np.exp(
        -(((view.y - body.shoulder_y - 0.055 + 0.10 * np.abs(view.x)) / 0.012) ** 2)
    ) * ramp(np.abs(view.x), 0.03, 0.08)
    light *= 1.0 - 0.12 * bone
    light *= 1.0 - 0.72 * _chin_shadow(cast, view)
    rgb = toned(skin_colour(cast.body_skin), (0.99, 0.97, 0.96)) * light
    canvas.paint(view, view.cover(np.abs(view.x) - half), rgb, Region.NECK)


def _chin_shadow(cast: Cast, view: View) -> np.ndarray:
    """The head between lamp and neck: near black under the jaw, soft farther down."""
    own = cast.face.at(view.window)
    moved = View(
        own.x + 0.16 * cast.lamp.x / cast.lamp.z,
        own.y + 0.15 * cast.lamp.y / cast.lamp.z - 0.02,
        own.pixel,
        own.window,
    )
    gap = face.outline(cast.face_head, moved)
    near = face.outline(cast.face_head, own)
    return np.clip(0.62 * ramp(-gap, -0.075, 0.045) + 0.40 * ramp(-near, -0.10, 0.02), 0.0, 0.9)


def _paint_cloth(canvas: Canvas, cast: Cast) -> None:
    body, cloth = cast.who.body, cast.who.cloth
    view = cast.base.around(-1.2, 0.6, 1.2, 1.2)
    out = view.x / body.shoulder_width
    slope = body.shoulder_y + 0.10 * out * out
    slope = slope + 0.55 * np.maximum(np.abs(view.x) - body.shoulder_width, 0.0)
    opening = ellipse(view, 0.0, body.shoulder_y - 0.075, body.neck_width + 0.045, body.neckline)
    field = np.maximum(slope - 0.02 - view.y, -opening)
    folds = np.sin(7.0 * view.x + 3.0 * view.y) * np.sin(5.0 * view.y - 2.5 * np.abs(view.x) + 1.0)
    nx = 0.62 * out + 0.10 * folds
    depth = np.clip((view.y - slope) * (1.0 / 0.16), 0.0, 1.0)
    normals = unit_normals(nx, -0.55 * (1.0 - depth), np.full_like(nx, 0.75))
    light = cast.lamp.on_matter(normals) * (0.97 + 0.045 * folds)
    hem = ramp(opening, 0.012, 0.024) - 0.9 * ramp(opening, 0.024, 0.032)
    light *= 0.90 + 0.10 * hem
    weave = np.sin(view.x * 210.0) * np.sin(view.y * 210.0) * (0.02 * view.fade(0.030))
    rgb = tint(cloth.light, cloth.red, cloth.blue)[:, None, None]
    canvas.paint(view, view.cover(field), rgb * (light + weave), Region.CLOTH)


def _paint_necklace(canvas: Canvas, cast: Cast) -> None:
    amount, body = unit(cast.who.wear.necklace), cast.who.body
    if amount == 0.0:
        return
    view = cast.base.around(-0.35, 0.5, 0.35, 1.0)
    ring = ellipse(view, 0.0, body.shoulder_y - 0.10, body.neck_width + 0.01, 0.140)
    ring = np.where(view.y > body.shoulder_y - 0.085, ring, np.float32(1.0))
    half = 0.004 + 0.009 * amount
    beads = np.sin(view.x * 150.0) * view.fade(0.042)
    shine = 0.80 + 0.25 * beads + 0.5 * np.exp(-(((ring + 0.3 * half) / (0.5 * half)) ** 2))
    canvas.paint(view, view.stroke(ring, half), _GOLD[:, None, None] * shine, Region.NECKLACE)


def paint_earrings(canvas: Canvas, cast: Cast) -> None:
    """A drop on each lobe that grows with the amount."""
    amount, head = unit(cast.who.wear.earrings), cast.who.head
    if amount == 0.0:
        return
    wide, tall = 0.010 + 0.016 * amount, 0.014 + 0.036 * amount
    for side in (-1.0, 1.0):
        x = side * (head.face_width + 0.014 + 0.4 * side * head.turn)
        y = head.ear_y + 0.104 * head.ear_size + 0.6 * tall
        view = cast.base.around(x - 0.05, y - 0.08, x + 0.05, y + 0.08)
        drop = ellipse(view, x, y, wide, tall)
        spot = ellipse(view, x + 0.3 * cast.lamp.x * wide, y - 0.35 * tall, 0.4 * wide, 0.35 * tall)
        shine = 0.72 + 0.25 * np.clip(-drop / wide, 0.0, 1.0) + 0.5 * view.cover(spot)
        canvas.paint(view, view.cover(drop), _GOLD[:, None, None] * shine, Region.EARRING)
