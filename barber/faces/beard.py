"""Beards: hair on the skin below the nose, labelled skin as face parsers do.

A beard is no part of the latent code, so the shipped bundle has never seen one: what it makes of a
bearded portrait is what a network makes of something new.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from barber.faces.canvas import Canvas, HeadFrame, Plane, View, ellipse
from barber.faces.head import MOUTH_Y, face_outline, nose_end
from barber.faces.parameters import FaceParams, IdentityShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Beard:
    """A full beard with its moustache."""

    light: float  # 0 near black to 1 near white
    red: float = 0.1  # how far from grey to red, 0 to 0.3
    thickness: float = 1.0  # coverage of the skin, 0 to 1
    cheek: float = 0.16  # y at which its upper edge meets the face's outline, in head units


def paint_beard(canvas: Canvas, beard: Beard, who: FaceParams, frame: HeadFrame) -> None:
    """Hair over the lower face of `who`; the mouth has to be painted afterwards."""
    shape = who.identity
    view = frame.around(-0.46, 0.0, 0.46, 0.64)
    alpha = _cover(beard, shape, view)
    strands = 0.5 + 0.5 * np.sin(150.0 * view.x + 9.0 * np.sin(24.0 * view.y) + 40.0 * view.y)
    light = 0.80 + 0.30 * strands - 0.25 * (view.x / shape.face_width) ** 2
    light = light + 0.25 * who.scene.light_x * view.x / shape.face_width
    base = 0.07 + 0.80 * beard.light
    rgb = np.array([base + 0.7 * beard.red, base, base - 0.5 * beard.red], dtype=np.float32)
    colour = np.clip(rgb, 0.02, 0.95)[:, None, None] * light
    canvas.paint(view, alpha, colour.astype(np.float32))


def _cover(beard: Beard, shape: IdentityShape, view: View) -> Plane:
    """Opacity of the beard, [h, w]: within the face, below a line that rises to the ears."""
    low, edge = nose_end(shape) + 0.012, beard.cheek
    across = np.abs(view.x) / shape.face_width
    # Level under the nose, down to the corners of the mouth, up again along the cheeks.
    line = np.where(
        across < 0.34,
        low + 0.45 * across * across,
        MOUTH_Y + 0.02 - (MOUTH_Y + 0.02 - edge) * np.clip((across - 0.34) / 0.62, 0, 1) ** 1.5,
    )
    under_lip = ellipse(
        view, 0.0, MOUTH_Y + 0.02, 0.85 * shape.mouth_width, 0.03 + shape.lip_fullness
    )
    distance = np.maximum(np.maximum(line - view.y, face_outline(shape, view)), -under_lip)
    soft = np.clip(0.5 - distance / 0.022, 0.0, 1.0)
    return np.asarray(beard.thickness * soft, dtype=np.float32)
