"""Anti-aliased painting by implicit shapes, with the label map kept in step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barber.faces.parameters import Head
from barber.labels import Region

Plane = NDArray[np.floating[Any]]  # [h, w]
Colour = tuple[float, ...] | Plane  # one RGB, or planes [3, h, w], in [0, 1]
Window = tuple[slice, slice]
_ZOOM = 1.22  # head units to picture units: eyes and chin fall about where aligned photos have them


def slopes(plane: Plane) -> tuple[Plane, Plane]:
    """Central differences per pixel along x and y."""
    across, down = np.empty_like(plane), np.empty_like(plane)
    np.subtract(plane[:, 2:], plane[:, :-2], out=across[:, 1:-1])
    across[:, 0], across[:, -1] = across[:, 1], across[:, -2]
    np.subtract(plane[2:], plane[:-2], out=down[1:-1])
    down[0], down[-1] = down[1], down[-2]
    across *= 0.5
    down *= 0.5
    return across, down


@dataclass(frozen=True, slots=True)
class View:
    """Head coordinates of the pixels in a window of the picture."""

    x: Plane  # [h, w]
    y: Plane
    pixel: float  # side of a pixel, in head units
    window: Window

    def cover(self, field: Plane) -> Plane:
        """Coverage in [0, 1] of the pixels by the shape where a smooth field is negative."""
        across, down = slopes(field)
        steep = np.sqrt(across * across + down * down)
        return np.clip(0.5 - field / (steep + 1e-6), 0.0, 1.0)

    def stroke(self, distance: Plane, half: float | Plane) -> Plane:
        """Coverage by a line of this half width, right also where it is thinner than a pixel."""
        full = np.minimum(np.asarray(half, dtype=np.float32) * (2.0 / self.pixel), 1.0)
        return np.clip((half - np.abs(distance)) / self.pixel + 0.5, 0.0, full)

    def fade(self, wavelength: float | Plane) -> Plane:
        """Share of a wave's contrast that the pixels can show: 0 below 2 pixels, 1 from 4 on."""
        found: Plane = np.clip(
            np.asarray(wavelength, dtype=np.float32) / (2.0 * self.pixel) - 1.0, 0, 1
        )
        return found


class HeadFrame:
    """Where a head stands in the picture: pixel centres in that head's own coordinates."""

    def __init__(self, size: int, head: Head | None = None) -> None:
        self.size = size
        self.head_x = head.head_x if head else 0.0
        self.head_y = head.head_y if head else 0.0
        self.turn = head.turn if head else 0.0
        tilt = head.tilt if head else 0.0
        axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
        axis /= np.float32(_ZOOM)
        x, y = axis[None, :] - np.float32(self.head_x), axis[:, None] - np.float32(self.head_y)
        cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
        self._x: Plane = cos * x + sin * y
        self._y: Plane = cos * y - sin * x
        self.whole = self.at((slice(0, size), slice(0, size)))

    def at(self, window: Window, depth: float = 0.0) -> View:
        """The pixels of a window; with a depth, as the turned face sees them.

        Args:
            window: Rows and columns.
            depth: How far the features seen stand out: 0 the outline, 1 the face, more the nose.
        """
        x, y = self._x[window], self._y[window]
        if depth and self.turn:
            u, v = x * np.float32(1.0 / 0.40), y * np.float32(1.0 / 0.56)
            bulge = np.sqrt(np.clip(1.0 - u * u - v * v, 0.0, 1.0))
            x = x - np.float32(depth * self.turn) * bulge
        return View(x, y, 2.0 / (_ZOOM * self.size), window)

    def around(
        self, left: float, top: float, right: float, bottom: float, depth: float = 0.0
    ) -> View:
        """The pixels of a box in head coordinates, with a margin for tilt and soft edges."""
        margin = 0.03 + 2.0 / self.size
        wide = margin + abs(depth * self.turn)

        def index(value: float, shift: float) -> int:
            place = int(((value + shift) * _ZOOM + 1.0) * self.size / 2.0)
            return min(max(place, 0), self.size - 4)

        rows = slice(index(top - margin, self.head_y), index(bottom + margin, self.head_y) + 4)
        columns = slice(index(left - wide, self.head_x), index(right + wide, self.head_x) + 4)
        return self.at((rows, columns), depth)


class Canvas:
    """RGB planes in [0, 1] and the label map, painted back to front."""

    def __init__(self, size: int) -> None:
        self.rgb = np.zeros((3, size, size), dtype=np.float32)
        self.labels = np.full((size, size), int(Region.BACKGROUND), dtype=np.uint8)

    def paint(self, view: View, alpha: Plane, colour: Colour, label: Region | None = None) -> None:
        """Lays a colour over a window; pixels covered by more than half take the label."""
        part = self.rgb[(slice(None), *view.window)]
        planes = np.asarray(colour, dtype=np.float32)
        if planes.ndim == 1:
            planes = planes[:, None, None]
        part += alpha * (planes - part)
        if label is not None:
            self.mark(view, alpha, label)

    def mark(self, view: View, alpha: Plane, label: Region) -> None:
        """Gives the label to pixels that are covered by more than half."""
        self.labels[view.window][alpha > 0.5] = int(label)

    def shade(self, view: View, amount: Plane) -> None:
        """Multiplies a window by 1 - amount, the blue and green a little more than the red."""
        part = self.rgb[(slice(None), *view.window)]
        part[0] *= 1.0 - 0.90 * amount
        part[1] *= 1.0 - amount
        part[2] *= 1.0 - amount

    def pixels(self) -> NDArray[np.uint8]:
        """The picture, uint8 [size, size, 3]."""
        levels = np.rint(np.clip(self.rgb, 0.0, 1.0) * 255.0)
        return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))


def ellipse(view: View, x: float, y: float | Plane, width: float, height: float) -> Plane:
    """A field below 0 inside an upright ellipse of these half axes; in units of its smaller one."""
    u, v = (view.x - x) / width, (view.y - y) / height
    found: Plane = (np.sqrt(u * u + v * v) - 1.0) * min(width, height)
    return found


def glow(view: View, x: float, y: float, width: float, height: float) -> Plane:
    """A soft spot in (0, 1] around a point."""
    u, v = (view.x - x) * (1.0 / width), (view.y - y) * (1.0 / height)
    found: Plane = np.exp(-(u * u + v * v))
    return found


def smooth_max(a: Plane, b: Plane, radius: float) -> Plane:
    """The larger of two distances, with the corner rounded."""
    h = np.maximum(radius - np.abs(a - b), 0.0)
    return np.maximum(a, b) + h * h * (0.25 / radius)


def smooth_min(a: Plane, b: Plane, radius: float) -> Plane:
    """The smaller of two distances, with the corner filled."""
    return -smooth_max(-a, -b, radius)


def ramp(value: Plane, low: float, high: float) -> Plane:
    """0 at low, 1 at high, smooth between."""
    t = np.clip((value - low) * (1.0 / (high - low)), 0.0, 1.0)
    found: Plane = t * t * (3.0 - 2.0 * t)
    return found


def unit(amount: float) -> float:
    """An amount clipped to [0, 1]."""
    return min(max(amount, 0.0), 1.0)


def tint(light: float, red: float, blue: float) -> Plane:
    """RGB [3] of a lightness with two opposed hues."""
    rgb = np.array([light + red - 0.2 * blue, light - 0.45 * red - 0.1 * blue, light + blue])
    found: Plane = np.clip(rgb, 0.02, 0.98).astype(np.float32)
    return found
