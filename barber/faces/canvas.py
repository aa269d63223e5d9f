"""Anti-aliased painting by signed distances, with the label map kept in step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barber.faces.parameters import IdentityShape
from barber.labels import Region

Plane = NDArray[np.floating[Any]]  # [h, w]
Colour = tuple[float, ...] | Plane  # one RGB, or planes [3, h, w], in [0, 1]
Window = tuple[slice, slice]
_ZOOM = 1.22  # head units to picture units: eyes and chin fall about where aligned photos have them


@dataclass(frozen=True, slots=True)
class View:
    """Head coordinates of the pixels in a window of the picture."""

    x: Plane  # [h, w]
    y: Plane
    pixel: float  # side of a pixel, in head units
    window: Window

    def cover(self, distance: Plane) -> Plane:
        """Coverage in [0, 1] of the pixels by the shape whose signed distance this is."""
        return np.asarray(np.clip(0.5 - distance / self.pixel, 0.0, 1.0))


class HeadFrame:
    """Where a head stands in the picture: pixel centres in that head's own coordinates."""

    def __init__(self, size: int, head: IdentityShape | None = None) -> None:
        self.size = size
        self.head_x = head.head_x if head else 0.0
        self.head_y = head.head_y if head else 0.0
        tilt = head.tilt if head else 0.0
        axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
        axis /= np.float32(_ZOOM)
        x, y = axis[None, :] - np.float32(self.head_x), axis[:, None] - np.float32(self.head_y)
        cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
        self._x: Plane = cos * x + sin * y
        self._y: Plane = cos * y - sin * x
        self.whole = self._view((slice(0, size), slice(0, size)))

    def _view(self, window: Window) -> View:
        return View(self._x[window], self._y[window], 2.0 / (_ZOOM * self.size), window)

    def around(self, left: float, top: float, right: float, bottom: float) -> View:
        """The pixels of a box in head coordinates, with a margin for tilt and soft edges."""
        margin = 0.035 + 2.0 / self.size

        def index(value: float, shift: float) -> int:
            return int(np.clip(((value + shift) * _ZOOM + 1.0) * self.size / 2.0, 0, self.size))

        rows = slice(index(top - margin, self.head_y), index(bottom + margin, self.head_y) + 1)
        columns = slice(index(left - margin, self.head_x), index(right + margin, self.head_x) + 1)
        return self._view((rows, columns))


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
            self.labels[view.window][alpha > 0.5] = int(label)

    def shade(self, view: View, amount: Plane) -> None:
        """Multiplies a window by 1 - amount: shadow where positive, light where negative."""
        self.rgb[(slice(None), *view.window)] *= 1.0 - amount

    def pixels(self) -> NDArray[np.uint8]:
        """The picture, uint8 [size, size, 3]."""
        levels = np.rint(np.clip(self.rgb, 0.0, 1.0) * 255.0)
        return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))


def ellipse(view: View, x: float, y: float, width: float, height: float) -> Plane:
    """Signed distance, good near the outline, to an upright ellipse of these half axes."""
    u, v = (view.x - np.float32(x)) / width, (view.y - np.float32(y)) / height
    return np.asarray((np.sqrt(u * u + v * v) - 1.0) * min(width, height), dtype=np.float32)


def glow(view: View, x: float, y: float, width: float, height: float) -> Plane:
    """A soft spot in (0, 1] around a point."""
    u, v = (view.x - np.float32(x)) / width, (view.y - np.float32(y)) / height
    return np.asarray(np.exp(-(u * u + v * v)), dtype=np.float32)


def smooth_max(a: Plane, b: Plane, radius: float) -> Plane:
    """The larger of two distances, with the corner rounded."""
    h = np.maximum(radius - np.abs(a - b), 0.0)
    return np.asarray(np.maximum(a, b) + h * h * (0.25 / radius), dtype=np.float32)
