"""A head in three dimensions, turned by known angles and seen from far away: as a label map.

Skin is an ellipsoid; eyes, brows and mouth are discs on it, and the nose is a ridge in front.
Lengths are millimetres, x to the right in the picture, y down, z towards the camera.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from barber.labels import Region

SIDE = 128
PER_MM = SIDE / 300  # pixels per millimetre
SKULL = np.array([75.0, 105.0, 90.0])  # half axes
Points = NDArray[np.float64]  # [.., 3]


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Points:
    """The rotation [3, 3] of a head by degrees; signs as those of `preflight.pose.Pose`."""
    a, b, c = (math.radians(angle) for angle in (yaw, pitch, roll))
    about_y = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    about_z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    turned: Points = about_z @ about_x @ about_y
    return turned


def turned_label_map(
    yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, *, glasses: bool = False
) -> NDArray[np.uint8]:
    """The label map uint8 [128, 128] of the head after `turn`."""
    seen = turn(yaw, pitch, roll)
    # The front of the face is flatter than a skull; features lie where they do on a face.
    parts = [
        (Region.SKIN, _ellipsoid()),
        (Region.BROWS, _disc(-31.5, -38, 18, 4)),
        (Region.BROWS, _disc(31.5, -38, 18, 4)),
        (Region.EYEGLASSES if glasses else Region.EYES, _disc(-31.5, -20, 14, 6)),
        (Region.EYEGLASSES if glasses else Region.EYES, _disc(31.5, -20, 14, 6)),
        (Region.LOWER_LIP, _disc(0, 50, 24, 8)),
        (Region.NOSE, _ridge()),
    ]
    depth = np.full((SIDE, SIDE), -np.inf)
    labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    for label, points in parts:
        _splat(points @ seen.T, label, depth, labels)
    return labels


def _ellipsoid() -> Points:
    u, v = np.meshgrid(np.linspace(0, 2 * math.pi, 360), np.linspace(0, math.pi, 240))
    ball = np.stack([np.sin(v) * np.cos(u), np.cos(v), np.sin(v) * np.sin(u)], axis=-1)
    return (ball * SKULL).reshape(-1, 3) - [0, 0, FACE_Z]


FACE_Z = 90.0 + 2  # the plane of eyes and mouth lies in front of the skull


def _disc(x: float, y: float, half_width: float, half_height: float) -> Points:
    u, v = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 30))
    inside = u**2 + v**2 <= 1
    flat = np.stack([x + half_width * u, y + half_height * v, np.zeros_like(u)], axis=-1)
    return flat[inside]


def _ridge() -> Points:
    """A nose 24 wide and 50 long whose tip stands 32 mm out; its middle 18 mm."""
    u, v = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(0, 1, 90))
    height = 6 + 26 * v
    shape = [(5 + 11 * v) * u, -16 + 50 * v, height * (1 - np.abs(u))]
    return np.stack(shape, axis=-1).reshape(-1, 3)


def _splat(
    points: Points, label: Region, depth: NDArray[np.float64], labels: NDArray[np.uint8]
) -> None:
    """Paints points where nothing painted so far is nearer."""
    x = np.rint(points[:, 0] * PER_MM + SIDE / 2).astype(int)
    y = np.rint(points[:, 1] * PER_MM + SIDE / 2).astype(int)
    near = np.argsort(points[:, 2])
    x, y, z = x[near], y[near], points[near, 2]
    inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    x, y, z = x[inside], y[inside], z[inside]
    ahead = z >= depth[y, x]
    depth[y[ahead], x[ahead]] = z[ahead]
    labels[y[ahead], x[ahead]] = int(label)
