"""One soft lamp and a fill: how surfaces of skin and cloth answer to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from barber.faces.canvas import Plane
from barber.faces.parameters import Scene, Skin

# How far light creeps round a surface by channel: blood lets red travel farthest, so the border of
# a shadow on skin is warm.
_SKIN_WRAP = (0.58, 0.36, 0.28)
_DARK, _FAIR = np.array([0.320, 0.205, 0.150]), np.array([0.955, 0.795, 0.705])


@dataclass(frozen=True, slots=True)
class Normals:
    """Unit surface normals by component; z points at the viewer."""

    x: Plane
    y: Plane
    z: Plane


def unit_normals(x: Plane, y: Plane, z: Plane) -> Normals:
    """Brings the three components to unit length."""
    scale = 1.0 / np.sqrt(x * x + y * y + z * z)
    return Normals(x * scale, y * scale, z * scale)


class Lamp:
    """The scene's light as a direction, a strength and a colour."""

    def __init__(self, scene: Scene) -> None:
        direction = np.array([scene.light_x, -scene.light_y, 0.80])
        direction /= np.linalg.norm(direction)
        self.x, self.y, self.z = (float(v) for v in direction)
        half = direction + np.array([0.0, 0.0, 1.0])
        half /= np.linalg.norm(half)
        self.half_x, self.half_y, self.half_z = (float(v) for v in half)
        self.fill = scene.fill
        self.key = 1.06 - scene.fill
        self.colour = (1.0 + scene.warmth, 1.0 + 0.1 * scene.warmth, 1.0 - scene.warmth)

    def facing(self, n: Normals) -> Plane:
        """Cosine between normal and lamp."""
        found: Plane = n.x * self.x + n.y * self.y + n.z * self.z
        return found

    def gleam(self, n: Normals, power: int) -> Plane:
        """The highlight's strength in [0, 1]; the power is of two."""
        strength = np.clip(n.x * self.half_x + n.y * self.half_y + n.z * self.half_z, 0.0, 1.0)
        for _ in range(power.bit_length() - 1):
            strength = strength * strength
        found: Plane = strength
        return found

    def on_skin(self, n: Normals, open_sky: Plane | float = 1.0) -> Plane:
        """Light by channel [3, h, w] on skin; open_sky scales the fill where hollows lose it."""
        facing = self.facing(n)
        around = (self.fill * (0.93 - 0.10 * n.y)) * open_sky
        light = np.empty((3, *facing.shape), dtype=np.float32)
        for channel, wrap in enumerate(_SKIN_WRAP):
            key = np.clip((facing + wrap) * (1.0 / (1.0 + wrap)), 0.0, 1.0)
            light[channel] = (around + self.key * key) * self.colour[channel]
        return light

    def on_matter(self, n: Normals) -> Plane:
        """Light by channel [3, h, w] on cloth."""
        key = np.clip((self.facing(n) + 0.25) * 0.8, 0.0, 1.0)
        light = self.fill * (0.95 - 0.10 * n.y) + self.key * key
        found: Plane = light[None] * np.asarray(self.colour, dtype=np.float32)[:, None, None]
        return found


def skin_colour(skin: Skin) -> Plane:
    """RGB [3] of the skin in plain light, from deep brown to fair."""
    rgb = _DARK + skin.light * (_FAIR - _DARK)
    rgb += (1.0 - (2.0 * skin.light - 1.0) ** 2) * np.array([0.055, 0.0, -0.05])
    rgb += skin.warm * np.array([0.5, 0.0, -1.0])
    found: Plane = np.clip(rgb, 0.02, 0.98).astype(np.float32)
    return found


def toned(colour: Plane, factors: tuple[float, float, float]) -> Plane:
    """A colour [3] times a factor per channel, as planes [3, 1, 1]."""
    return (colour * np.asarray(factors, dtype=np.float32))[:, None, None]
