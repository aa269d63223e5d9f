"""Head and shoulders without hair: everything from the background to the glasses."""

from __future__ import annotations

import numpy as np

from barber.faces.canvas import Canvas, HeadFrame, Plane, View, ellipse, glow
from barber.faces.hair import HairLayers
from barber.faces.parameters import Accessories, FaceParams, IdentityShape, SceneColour
from barber.labels import Region

_EYE_Y = -0.055
MOUTH_Y = 0.305
_SKULL = 0.52  # height of the skull above the head's centre
HAT_BRIM = -0.34


def _tint(light: float, red: float, blue: float) -> Plane:
    """RGB [3] of a lightness with two opposed hues."""
    rgb = np.array([light + red - 0.2 * blue, light - 0.45 * red - 0.1 * blue, light + blue])
    return np.asarray(np.clip(rgb, 0.02, 0.98), dtype=np.float32)


def skin_colour(scene: SceneColour) -> Plane:
    """RGB [3] of the skin in plain light."""
    dark, light = np.array([0.30, 0.19, 0.135]), np.array([0.965, 0.80, 0.705])
    rgb = dark + scene.skin_light * (light - dark)
    rgb += (1.0 - (2.0 * scene.skin_light - 1.0) ** 2) * np.array([0.055, 0.0, -0.05])
    return np.asarray(rgb + scene.skin_warm * np.array([0.5, 0.0, -1.0]), dtype=np.float32)


def _warm_shade(light: Plane) -> Plane:
    """Light by channel, [3, h, w]: skin turns redder, not greyer, where it is dark."""
    dark = np.clip(1.0 - light, 0.0, 1.0)[None]
    bias = np.array([0.16, 0.0, -0.06], dtype=np.float32)[:, None, None]
    return np.asarray(light[None] + dark * bias, dtype=np.float32)


def presence(amount: float) -> float:
    """Opacity of an accessory: absent below 0, whole from 1."""
    return min(max(amount, 0.0), 1.0)


def wears_hat(accessories: Accessories) -> bool:
    """Whether the hat is there enough to press the hair down."""
    return accessories.hat > 0.5


def paint_background(canvas: Canvas, scene: SceneColour) -> None:
    """A wall with a soft light."""
    view = HeadFrame(canvas.rgb.shape[1]).whole
    base = _tint(scene.ground_light, scene.ground_red, scene.ground_blue)[:, None, None]
    light = 1.0 - scene.ground_fall * view.y - 0.10 * (view.x * view.x + view.y * view.y - 0.7)
    light = light + 0.12 * scene.light_x * view.x
    canvas.rgb[:] = base * light


def paint_body(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """Neck, necklace and clothes."""
    shape, scene = who.identity, who.scene
    skin = skin_colour(scene)[:, None, None]
    view = frame.around(-0.42, 0.25, 0.42, 1.1)
    flare = 0.10 * np.clip(view.y - 0.62, 0.0, 1.0) ** 2 * 6.0
    neck = np.abs(view.x) - shape.neck_width * (1.0 - 0.10 * np.clip(view.y - 0.35, 0, 0.3)) - flare
    round_x = view.x / (shape.neck_width + 0.05)
    light = 0.90 - 0.22 * round_x * round_x + 0.25 * scene.light_x * round_x
    chin = shape.face_height
    light = light - 0.34 * np.exp(-(((view.y - chin) / 0.17) ** 2))
    canvas.paint(view, view.cover(neck), skin * _warm_shade(light), Region.NECK)

    view = frame.around(-1.2, 0.6, 1.2, 1.2)
    slope = shape.shoulder_y + 0.10 * (view.x / shape.shoulder_width) ** 2
    slope = slope + 0.55 * np.maximum(np.abs(view.x) - shape.shoulder_width, 0.0)
    opening = ellipse(view, 0.0, shape.shoulder_y - 0.075, shape.neck_width + 0.035, 0.155)
    cloth = np.maximum(slope - 0.02 - view.y, -opening)
    folds = 0.05 * np.sin(9.0 * view.x + 3.0 * view.y) * np.sin(4.0 * view.y + 2.0 * view.x)
    light = 1.0 + folds - 0.35 * np.abs(view.x) ** 2 + 0.28 * scene.light_x * view.x
    light = light - 0.16 * np.exp(-opening * opening / 0.0006)
    rgb = _tint(scene.cloth_light, scene.cloth_red, scene.cloth_blue)[:, None, None]
    canvas.paint(view, view.cover(cloth), (rgb * light).astype(np.float32), Region.CLOTH)
    _paint_necklace(canvas, who, frame)


def _paint_necklace(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    opacity = presence(who.accessories.necklace)
    if opacity == 0.0:
        return
    shape = who.identity
    view = frame.around(-0.35, 0.5, 0.35, 1.0)
    ring = np.abs(ellipse(view, 0.0, shape.shoulder_y - 0.10, shape.neck_width + 0.01, 0.125))
    ring = np.maximum(ring - 0.011, shape.shoulder_y - 0.07 - view.y)
    shine = 0.80 + 0.20 * np.sin(70.0 * view.x)
    gold = np.array([0.90, 0.76, 0.40], dtype=np.float32)[:, None, None] * shine
    canvas.paint(view, opacity * view.cover(ring), gold.astype(np.float32), Region.NECKLACE)


def paint_ears(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """Both ears, behind the face."""
    shape = who.identity
    skin = skin_colour(who.scene)
    for side in (-1.0, 1.0):
        x, y = side * (shape.face_width + 0.012), shape.ear_y
        wide, tall = 0.048 * shape.ear_size, 0.105 * shape.ear_size
        view = frame.around(x - wide, y - tall, x + wide, y + tall)
        hollow = glow(view, x - side * 0.004, y, 0.6 * wide, 0.6 * tall)
        light = 0.86 + 0.18 * side * who.scene.light_x - 0.28 * hollow
        tone = (skin * np.array([1.0, 0.93, 0.91], dtype=np.float32))[:, None, None]
        canvas.paint(view, view.cover(ellipse(view, x, y, wide, tall)), tone * light, Region.EARS)


def face_outline(shape: IdentityShape, view: View) -> Plane:
    """Signed distance to the face: half an ellipse above, a rounded jaw below."""
    u = np.abs(view.x) / shape.face_width
    below = np.clip(view.y / shape.face_height, 0.0, 1.3)
    u = u / (1.0 - shape.taper * below * below * (1.6 - 0.6 * below))
    v = np.where(view.y < 0.0, -view.y / _SKULL, view.y / shape.face_height)
    power = np.where(view.y < 0.0, np.float32(2.15), np.float32(shape.jaw)).astype(np.float32)
    radius = np.power(np.power(u, power) + np.power(v, power), 1.0 / power)
    return np.asarray((radius - 1.0) * (0.92 * shape.face_width), dtype=np.float32)


def nose_end(shape: IdentityShape) -> float:
    """y of the nose's tip."""
    return _EYE_Y + 0.04 + shape.nose_length


def _face_light(shape: IdentityShape, scene: SceneColour, view: View) -> Plane:
    """Lambert light of an ellipsoid, with the hollows and bumps of a face on top."""
    nx = view.x / (shape.face_width * 1.06)
    ny = np.where(view.y < 0, view.y / (_SKULL * 1.1), view.y / (shape.face_height * 1.08))
    nz = np.sqrt(np.clip(1.0 - nx * nx - ny * ny, 0.02, 1.0))
    light = 0.63 + 0.41 * nz + 0.34 * scene.light_x * nx - 0.07 * ny
    light += 0.05 * glow(view, 0.0, -0.30, 0.22, 0.12)  # forehead
    end = nose_end(shape)
    for side in (-1.0, 1.0):
        x = side * shape.eye_spacing
        light -= 0.13 * glow(view, x, _EYE_Y - 0.030, 0.105, 0.062)  # socket
        light -= 0.05 * glow(view, x, _EYE_Y + 0.060, 0.075, 0.022)  # bag
        light += 0.07 * glow(view, side * 0.21, 0.135, 0.10, 0.075)  # cheek bone
        light -= 0.07 * glow(view, side * 0.125, 0.245, 0.030, 0.085)  # fold beside the nose
    light -= 0.11 * glow(view, 0.0, end + 0.045, 0.075, 0.026)
    lower = MOUTH_Y + 0.045 + shape.lip_fullness
    light -= 0.12 * glow(view, 0.0, lower + 0.022, 0.085, 0.024)
    light += 0.06 * glow(view, 0.0, 0.5 * (lower + shape.face_height) + 0.03, 0.085, 0.055)
    return np.asarray(light, dtype=np.float32)


def paint_face(canvas: Canvas, who: FaceParams, frame: HeadFrame, layers: HairLayers) -> None:
    """The face's skin, with the shadow that hair in front casts on it."""
    shape, scene = who.identity, who.scene
    view = frame.around(-0.46, -0.58, 0.46, 0.64)
    light = _face_light(shape, scene, view)
    gap = np.maximum(layers.outline, -layers.opening)[view.window]  # to the front hair
    edge = np.clip(1.0 - gap / 0.075, 0.0, 1.0)
    light = light * (1.0 - 0.30 * edge * edge)
    rgb = skin_colour(scene)[:, None, None] * _warm_shade(light)
    flush = scene.blush * (glow(view, -0.23, 0.17, 0.10, 0.08) + glow(view, 0.23, 0.17, 0.10, 0.08))
    rgb = rgb + flush * np.array([0.25, -0.55, -0.45], dtype=np.float32)[:, None, None]
    alpha = view.cover(face_outline(shape, view))
    canvas.paint(view, alpha, rgb.astype(np.float32), Region.SKIN)


def paint_nose(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """Bridge, ball, wings and nostrils."""
    shape, scene = who.identity, who.scene
    top, end = _EYE_Y + 0.01, nose_end(shape)
    view = frame.around(-0.11, top, 0.11, end + 0.04)
    along = np.clip((view.y - top) / (end - top), 0.0, 1.0)
    half = 0.020 + (shape.nose_width - 0.020) * along**1.7
    trunk = np.maximum(np.abs(view.x) - half, np.maximum(top - view.y, view.y - end + 0.012))
    wings = np.minimum(
        ellipse(view, -0.55 * shape.nose_width, end - 0.016, 0.48 * shape.nose_width, 0.027),
        ellipse(view, 0.55 * shape.nose_width, end - 0.016, 0.48 * shape.nose_width, 0.027),
    )
    ball = ellipse(view, 0.0, end - 0.020, 0.62 * shape.nose_width, 0.034)
    alpha = view.cover(np.minimum(np.minimum(trunk, wings), ball))
    across = view.x / half
    light = 1.02 + 0.10 * np.exp(-(across * across) * 3.0) * along
    light = light - 0.13 * np.clip(np.abs(across) - 0.35, 0.0, 1.0)
    light = light + 0.16 * scene.light_x * np.clip(across, -1.0, 1.0)
    light = light + 0.12 * glow(view, 0.0, end - 0.035, 0.028, 0.022)
    light = light - 0.12 * np.clip((view.y - end + 0.02) / 0.03, 0.0, 1.0)
    tone = (skin_colour(scene) * np.array([0.97, 0.90, 0.885], dtype=np.float32))[:, None, None]
    soft = alpha * (0.35 + 0.65 * np.clip(along * 1.6, 0.0, 1.0))
    canvas.paint(view, soft, tone * light * 0.94)
    canvas.labels[view.window][alpha > 0.5] = int(Region.NOSE)
    for side in (-1.0, 1.0):
        x = side * 0.46 * shape.nose_width
        hole = view.cover(ellipse(view, x, end - 0.001, 0.30 * shape.nose_width, 0.0085))
        canvas.paint(view, 0.65 * hole, tuple(float(v) * 0.32 for v in skin_colour(scene)))


def paint_eyes(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """Lids, whites, irises, pupils and glints."""
    shape, scene = who.identity, who.scene
    iris_rgb = _tint(scene.eye_light, -0.5 * scene.eye_blue + 0.03, scene.eye_blue)
    skin = skin_colour(scene)
    for side in (-1.0, 1.0):
        cx = side * shape.eye_spacing
        view = frame.around(cx - 0.12, _EYE_Y - 0.11, cx + 0.12, _EYE_Y + 0.09)
        dx = (view.x - np.float32(cx)) * side
        dy = view.y - np.float32(_EYE_Y) + shape.eye_tilt * dx
        u = dx / shape.eye_width
        arch = np.clip(1.0 - u * u, 0.0, 1.0)
        upper = -dy - shape.eye_open * arch
        lower = dy - 0.72 * shape.eye_open * arch
        almond = np.maximum(np.maximum(upper, lower), np.abs(dx) - shape.eye_width)
        crease = np.abs(dy + shape.eye_open * (0.35 + arch) + 0.012) - 0.006
        crease = np.maximum(crease, np.abs(dx) - shape.eye_width)
        canvas.paint(view, 0.45 * view.cover(crease), tuple(0.55 * float(v) for v in skin))
        white = 0.90 - 0.22 * np.clip(0.5 - (dy + shape.eye_open) / (2 * shape.eye_open), 0, 1)
        tone = np.array([0.97, 0.955, 0.94], dtype=np.float32)[:, None, None] * white
        alpha = view.cover(almond)
        canvas.paint(view, alpha, tone.astype(np.float32), Region.EYES)
        disc = ellipse(view, cx, _EYE_Y - 0.002, 0.037, 0.037)
        ring = 0.75 + 0.5 * np.clip(-disc / 0.037, 0.0, 1.0)
        canvas.paint(view, alpha * view.cover(disc), iris_rgb[:, None, None] * ring)
        pupil = view.cover(ellipse(view, cx, _EYE_Y - 0.002, 0.0165, 0.0165))
        canvas.paint(view, alpha * pupil, (0.03, 0.03, 0.035))
        glint = view.cover(ellipse(view, cx + 0.012, _EYE_Y - 0.014, 0.0085, 0.0085))
        canvas.paint(view, alpha * glint, (0.97, 0.97, 0.97))
        lash = np.maximum(np.abs(upper) - 0.0085, np.abs(dx) - 1.04 * shape.eye_width)
        canvas.paint(view, 0.85 * view.cover(lash), (0.09, 0.06, 0.05), Region.EYES)


def paint_brows(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """Both brows."""
    for side in (-1.0, 1.0):
        _paint_brow(canvas, who, frame, side)


def _paint_brow(canvas: Canvas, who: FaceParams, frame: HeadFrame, side: float) -> None:
    shape, scene = who.identity, who.scene
    cx, width = side * (shape.eye_spacing + 0.008), shape.eye_width + 0.035
    view = frame.around(cx - width, shape.brow_y - 0.09, cx + width, shape.brow_y + 0.05)
    u = (view.x - np.float32(cx)) * side / width
    centre = shape.brow_y - shape.brow_arch * (1.0 - (u - 0.12) ** 2) + 0.010
    thick = shape.brow_thick * np.clip(1.0 - 0.45 * (u + 0.55) ** 2, 0.15, 1.0)
    distance = np.maximum(np.abs(view.y - centre) - thick, (np.abs(u) - 1.0) * width)
    hairs = 0.86 + 0.14 * np.sin(95.0 * u + 60.0 * view.y)
    dark = np.array([0.07, 0.05, 0.04], dtype=np.float32)
    rgb = skin_colour(scene) * 0.85
    rgb = (rgb + scene.brow_dark * (dark - rgb))[:, None, None] * np.ones_like(u)
    alpha = view.cover(distance)
    canvas.paint(view, alpha * hairs, rgb.astype(np.float32))
    canvas.labels[view.window][alpha > 0.5] = int(Region.BROWS)


def paint_mouth(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """Opening with teeth, upper and lower lip."""
    shape, scene = who.identity, who.scene
    view = frame.around(-0.19, MOUTH_Y - 0.09, 0.19, MOUTH_Y + 0.13)
    u = view.x / shape.mouth_width
    arch = np.clip(1.0 - u * u, 0.0, 1.0)
    line = MOUTH_Y + shape.smile * (0.5 - u * u)
    gap = max(shape.mouth_open, 0.0) * arch
    full = shape.lip_fullness
    bow = full * (0.92 - 0.30 * np.exp(-(u * u) / 0.03)) * arch**0.8
    ends = np.abs(view.x) - shape.mouth_width
    y = view.y - line
    inside = np.maximum(np.maximum(-gap - y, y - gap), ends)
    teeth = 0.97 - 7.0 * np.clip(y + 0.1 * gap, 0.0, 0.1)
    tone = np.array([0.95, 0.91, 0.87], dtype=np.float32)[:, None, None] * np.clip(teeth, 0.18, 1.0)
    if shape.mouth_open > 0.0:
        canvas.paint(view, view.cover(inside), tone.astype(np.float32), Region.MOUTH)
    else:
        seam = np.maximum(np.abs(y) - 0.004, ends)
        canvas.paint(view, view.cover(seam), (0.25, 0.11, 0.10))
    rose = skin_colour(scene) * np.array([0.93, 0.74, 0.72], dtype=np.float32)
    rose = rose + scene.lip_red * np.array([0.22, -0.38, -0.26], dtype=np.float32)
    upper = np.maximum(np.maximum(-gap - bow - y, y + gap + 0.003), ends)
    dim = 0.84 + 3.0 * np.clip(-y - gap, 0.0, 0.05)
    canvas.paint(view, view.cover(upper), rose[:, None, None] * dim, Region.UPPER_LIP)
    drop = 1.18 * full * arch**0.7
    lower = np.maximum(np.maximum(gap + 0.003 - y, y - gap - drop), ends)
    wet = 0.20 * glow(
        view, 0.02, MOUTH_Y + 0.5 * shape.smile + gap.max() + 0.55 * full, 0.055, 0.012
    )
    canvas.paint(view, view.cover(lower), rose[:, None, None] * (0.98 + wet), Region.LOWER_LIP)


def paint_earrings(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """A drop below each ear."""
    opacity, shape = presence(who.accessories.earrings), who.identity
    if opacity == 0.0:
        return
    for side in (-1.0, 1.0):
        x = side * (shape.face_width + 0.018)
        y = shape.ear_y + 0.105 * shape.ear_size + 0.022
        view = frame.around(x - 0.04, y - 0.06, x + 0.04, y + 0.06)
        gold = np.array([0.88, 0.76, 0.46], dtype=np.float32)[:, None, None]
        shine = 0.8 + 0.5 * glow(view, x - 0.008, y - 0.015, 0.016, 0.02)
        drop = view.cover(ellipse(view, x, y, 0.021, 0.036))
        canvas.paint(view, opacity * drop, gold * shine, Region.EARRING)


def paint_glasses(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """Two rounded rims, a bridge and the start of the arms."""
    opacity, shape = presence(who.accessories.glasses), who.identity
    if opacity == 0.0:
        return
    view = frame.around(-0.46, -0.20, 0.46, 0.12)
    width, height, y0 = min(0.118, 0.8 * shape.eye_spacing), 0.085, _EYE_Y + 0.012
    u = (np.abs(view.x) - shape.eye_spacing) / width
    v = (view.y - np.float32(y0)) / height
    rim = np.power(np.power(np.abs(u), 3.0) + np.power(np.abs(v), 3.0), 1.0 / 3.0) - 1.0
    distance = np.abs(rim * height) - 0.0115
    across = np.maximum(np.abs(view.x) - (shape.eye_spacing - width), np.abs(view.y - y0 + 0.02))
    bridge = np.maximum(across - 0.010, np.abs(view.y - y0 + 0.02) - 0.010)
    arms = np.maximum(
        np.abs(view.y - y0 + 0.03) - 0.010, shape.eye_spacing + width - np.abs(view.x)
    )
    arms = np.maximum(arms, np.abs(view.x) - shape.face_width)
    alpha = view.cover(np.minimum(np.minimum(distance, bridge), arms))
    tint = opacity * 0.14 * view.cover(rim * height)
    canvas.paint(view, tint, (0.75, 0.80, 0.86))
    light = who.scene.frame_light
    canvas.paint(view, opacity * alpha, (light, 0.85 * light, 0.75 * light), Region.EYEGLASSES)


def paint_hat(canvas: Canvas, who: FaceParams, frame: HeadFrame) -> None:
    """A knitted cap that comes down to the brim."""
    opacity, shape, scene = presence(who.accessories.hat), who.identity, who.scene
    if opacity == 0.0:
        return
    view = frame.around(-0.6, -0.95, 0.6, HAT_BRIM + 0.12)
    dome = ellipse(view, 0.0, -0.20, shape.face_width + 0.095, 0.56)
    brim = HAT_BRIM + 0.10 - 0.20 * view.x * view.x
    distance = np.maximum(dome, view.y - brim)
    knit = 0.07 * np.sin(75.0 * view.x / np.sqrt(np.clip(1.2 + view.y, 0.2, 1.0)))
    band = np.clip((view.y - brim + 0.13) / 0.012, 0.0, 1.0)
    light = 0.94 + knit - 0.9 * view.x * view.x + 0.4 * scene.light_x * view.x
    light = light - (0.25 - 0.3 * scene.frame_light) * band
    rgb = _tint(0.9 - scene.cloth_light, -scene.cloth_red, -scene.cloth_blue)[:, None, None]
    canvas.paint(view, opacity * view.cover(distance), rgb * light, Region.HAT)
