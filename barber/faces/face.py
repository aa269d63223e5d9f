"""The face's outline, relief and skin."""

from __future__ import annotations

import numpy as np

from barber.faces import grain
from barber.faces.canvas import Canvas, HeadFrame, Plane, View, glow, slopes, unit
from barber.faces.cast import Cast
from barber.faces.light import Normals, skin_colour, toned, unit_normals
from barber.faces.parameters import Head
from barber.labels import Region

SKULL = 0.52  # height of the skull above the head's centre
# Nose and brows keep to these, whatever the eyes do: every part of a face can be swapped alone.
NOSE_TOP = -0.052
BROW_X = 0.180


def outline(head: Head, view: View) -> Plane:
    """A field below 0 inside the face: half an ellipse above, a rounded jaw below."""
    below = np.clip(view.y / head.face_height, 0.0, 1.3)
    u = np.abs(view.x) / (
        head.face_width * (1.0 - head.taper * below * below * (1.7 - 0.7 * below))
    )
    v = np.where(view.y < 0.0, view.y * (-1.0 / SKULL), view.y / head.face_height)
    power = np.where(view.y < 0.0, np.float32(2.15), np.float32(head.jaw))
    radius = np.power(np.power(u, power) + np.power(v, power), 1.0 / power)
    found: Plane = (radius - 1.0) * (0.92 * head.face_width)
    return found


def _eye_relief(cast: Cast, window: tuple[slice, slice]) -> Plane:
    """Sockets, lids, brow ridge and cheek bones."""
    eyes, view = cast.who.eyes, cast.eyes.at(window, 1.0)
    side = _mirrored(view)
    relief = -0.040 * glow(side, eyes.spacing + 0.004, eyes.height - 0.030, 0.088, 0.046)
    relief += 0.012 * glow(side, eyes.spacing, eyes.height - 0.002, 0.060, 0.038)
    relief -= 0.010 * glow(side, eyes.spacing - 0.070, eyes.height + 0.010, 0.030, 0.050)
    relief -= 0.007 * glow(side, eyes.spacing, eyes.height + 0.068, 0.070, 0.020)  # bag
    brow_view = cast.brows.at(window, 1.0)
    brow = _mirrored(brow_view)
    relief += 0.014 * glow(brow, BROW_X, cast.who.brows.height - 0.005, 0.120, 0.038)
    return relief


def _mirrored(view: View) -> View:
    return View(np.abs(view.x), view.y, view.pixel, view.window)


def _middle_relief(cast: Cast, window: tuple[slice, slice]) -> Plane:
    """Nose, cheeks and the folds beside the mouth."""
    nose, eye_line = cast.who.nose, NOSE_TOP
    view = cast.nose.at(window, 1.5)
    side, end = _mirrored(view), eye_line + nose.length
    middle = eye_line + 0.48 * nose.length
    relief = (0.030 * nose.bridge) * glow(view, 0.0, middle, 0.034, 0.56 * nose.length)
    relief += 0.036 * glow(view, 0.0, end - 0.028, 1.20 * nose.tip, 1.0 * nose.tip)
    relief += 0.020 * glow(side, 0.70 * nose.width, end - 0.018, 0.36 * nose.width, 0.026)
    relief -= 0.010 * glow(side, 1.20 * nose.width, end - 0.012, 0.014, 0.032)  # crease of the wing
    return relief


def _lower_relief(cast: Cast, window: tuple[slice, slice]) -> Plane:
    mouth, head = cast.who.mouth, cast.face_head
    view = cast.mouth.at(window, 1.0)
    side, face = _mirrored(view), _mirrored(cast.face.at(window, 1.0))
    relief = 0.018 * glow(view, 0.0, mouth.height + 0.005, 0.150, 0.095)  # the lips' mound
    relief -= 0.006 * glow(side, mouth.width + 0.016, mouth.height + 0.004, 0.030, 0.040)
    relief -= 0.016 * glow(view, 0.0, mouth.height + 0.030 + mouth.lower, 0.085, 0.022)
    relief -= 0.003 * glow(view, 0.0, mouth.height - mouth.upper - 0.030, 0.018, 0.030)  # philtrum
    relief += 0.019 * glow(face, 0.0, head.face_height - 0.085, 0.095, 0.060)  # chin
    relief += 0.026 * glow(face, 0.225, 0.115, 0.100, 0.085)  # cheek bone
    bent = 0.100 + 0.32 * (face.y - 0.12) + 1.2 * (face.y - 0.20) ** 2
    fold = (face.x - bent) * (1.0 / 0.028)
    relief -= 0.0055 * np.exp(-fold * fold) * glow(face, 0.13, 0.215, 0.12, 0.075)
    relief -= 0.012 * glow(face, 0.300, -0.16, 0.070, 0.120)  # temple
    return relief


def surface(cast: Cast, view: View) -> Normals:
    """Normals of the face: a head that is flat in front and turns away at the sides, in relief."""
    head = cast.face_head
    u = view.x * (1.0 / (1.04 * head.face_width)) - 0.55 * cast.face.turn / head.face_width
    v = np.where(
        view.y < 0, view.y * (1.0 / (SKULL * 1.08)), view.y * (1.0 / (head.face_height * 1.06))
    )
    uu, vv = u * u, v * v
    nx, ny = u * (0.30 + 0.62 * uu), v * (0.22 + 0.62 * vv)
    nz = np.sqrt(np.clip(1.0 - uu * uu * 0.80 - vv * vv * 0.55, 0.06, 1.0))
    window = view.window
    relief = _eye_relief(cast, window)
    relief += _middle_relief(cast, window)
    relief += _lower_relief(cast, window)
    across, down = slopes(relief)
    scale = 0.92 / view.pixel
    return unit_normals(nx - scale * across, ny - scale * down, nz)


def _hollows(cast: Cast, window: tuple[slice, slice]) -> Plane:
    """Share of the fill light that reaches the skin: less in sockets, folds and under the nose."""
    who, face = cast.who, cast.face_head
    eyes = _mirrored(cast.eyes.at(window, 1.0))
    nose, mouth = cast.nose.at(window, 1.5), cast.mouth.at(window, 1.0)
    end = NOSE_TOP + who.nose.length
    lost = 0.40 * glow(eyes, who.eyes.spacing - 0.012, who.eyes.height - 0.022, 0.080, 0.042)
    lost += 0.34 * glow(nose, 0.0, end + 0.012, 0.95 * who.nose.width, 0.020)
    below = who.mouth.height + who.mouth.lower + 0.022
    lost += 0.38 * glow(mouth, 0.0, below, 0.075, 0.020)
    view = cast.face.at(window)
    v = view.y / face.face_height
    lost += 0.30 * np.clip(v * v * v - 0.35, 0.0, 1.0)
    found: Plane = 1.0 - np.minimum(lost, 0.8)
    return found


def _nose_shadow(cast: Cast, window: tuple[slice, slice]) -> Plane:
    """Where the nose keeps the lamp's light off the skin."""
    who, lamp = cast.who, cast.lamp
    view = cast.nose.at(window, 1.3)
    end = NOSE_TOP + who.nose.length
    drop = -0.055 * lamp.y / lamp.z
    shadow = glow(view, -0.085 * lamp.x / lamp.z, end + 0.010 + drop, 0.85 * who.nose.width, 0.026)
    side = glow(
        view, -0.095 * lamp.x / lamp.z, end - 0.4 * who.nose.length, 0.045, 0.45 * who.nose.length
    )
    return 0.30 * shadow + (0.18 * abs(lamp.x) * who.nose.bridge) * side


def paint_face(canvas: Canvas, cast: Cast, hair_shadow: Plane) -> None:
    """The skin of the face.

    Args:
        canvas: Painted on.
        cast: The picture's parameters.
        hair_shadow: Over the whole picture, how much of the lamp's light the hair takes.
    """
    skin, head = cast.who.skin, cast.face_head
    view = cast.face.around(-0.46, -0.58, 0.46, 0.64)
    normals = surface(cast, view)
    light = cast.lamp.on_skin(normals, _hollows(cast, view.window))
    blocked = np.clip(_nose_shadow(cast, view.window) + hair_shadow[view.window], 0.0, 0.85)
    light -= (
        blocked * (0.72 * cast.lamp.key) * np.array([0.82, 0.98, 1.0], np.float32)[:, None, None]
    )
    rgb = _complexion(cast, view) * np.maximum(light, 0.10)
    gleam = (0.10 + 0.09 * (1.0 - skin.light)) * cast.lamp.gleam(normals, 16) * (1.0 - blocked)
    rgb += gleam[None] * np.array([1.0, 0.96, 0.90], dtype=np.float32)[:, None, None]
    canvas.paint(view, view.cover(outline(head, view)), rgb, Region.SKIN)


def _complexion(cast: Cast, view: View) -> Plane:
    """The skin's own colour [3, h, w]: flush, lids, freckles."""
    who = cast.who
    skin = who.skin
    face = _mirrored(cast.face.at(view.window, 1.0))
    eyes = _mirrored(cast.eyes.at(view.window, 1.0))
    nose = cast.nose.at(view.window, 1.5)
    end = NOSE_TOP + who.nose.length
    flush = skin.blush * glow(face, 0.235, 0.150, 0.110, 0.085)
    flush += (0.05 + 0.5 * skin.blush) * glow(nose, 0.0, end - 0.02, 0.07, 0.045)
    flush += 0.07 * glow(eyes, who.eyes.spacing, who.eyes.height + 0.02, 0.085, 0.05)
    rgb = skin_colour(skin)[:, None, None] * np.ones_like(flush)
    spots = unit(skin.freckles)
    if spots > 0.0:
        grains = grain.bumps(0.5 + face.x * np.sign(view.x + 1e-9), view.y, 44)
        area = glow(face, 0.12, 0.11, 0.22, 0.14)
        dots = spots * np.clip(grains - 0.55, 0.0, 1.2) * area * view.fade(0.030)
        rgb *= 1.0 - dots * np.array([0.16, 0.30, 0.36], dtype=np.float32)[:, None, None]
    rgb *= 1.0 - flush * np.array([-0.10, 0.75, 0.62], dtype=np.float32)[:, None, None]
    return rgb


def paint_ears(canvas: Canvas, cast: Cast) -> None:
    """Both ears, behind the face: rim, hollow and lobe."""
    head, frame = cast.ears_head, cast.ears
    for side in (-1.0, 1.0):
        turned = 0.4 * side * head.turn
        x = side * (head.face_width + 0.012 + turned)
        wide, tall = 0.050 * head.ear_size, 0.108 * head.ear_size
        _paint_ear(canvas, cast, frame, (side, x, head.ear_y, wide, tall))


def _paint_ear(
    canvas: Canvas, cast: Cast, frame: HeadFrame, place: tuple[float, float, float, float, float]
) -> None:
    side, x, y, wide, tall = place
    view = frame.around(x - 1.2 * wide, y - tall, x + 1.2 * wide, y + tall)
    dx, dy = (view.x - x) * (side / wide), (view.y - y) / tall
    lean = dx - 0.22 * dy * dy + 0.16 * dy + 0.10
    round_ear = np.sqrt(lean * lean * (1.0 + 0.25 * np.clip(dy, 0, 1)) + dy * dy) - 1.0
    depth = np.clip(-round_ear, 0.0, 1.0)
    rim = np.exp(-(((depth - 0.11) / 0.10) ** 2))
    ridge = np.exp(-(((depth - 0.44) / 0.10) ** 2)) * np.clip(0.6 - dy, 0.0, 1.0)
    hollow = np.exp(-(((dx + 0.15) / 0.36) ** 2 + ((dy - 0.12) / 0.36) ** 2))
    groove = np.exp(-(((depth - 0.27) / 0.09) ** 2)) * np.clip(0.7 - dy, 0.0, 1.0)
    facing = 0.5 + 0.5 * side * cast.lamp.x
    light = cast.lamp.fill + cast.lamp.key * (0.52 + 0.40 * facing)
    light = light * (0.80 + 0.13 * rim + 0.08 * ridge - 0.22 * groove - 0.34 * hollow)
    tone = toned(skin_colour(cast.ears_skin), (1.03, 0.91, 0.87))
    canvas.paint(view, view.cover(round_ear * wide), tone * light, Region.EARS)
