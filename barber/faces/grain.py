"""Fixed noise: the same strands, curls and freckles for everybody, so that they can be learnt.

A texture whose phase is random for every person cannot follow from a latent code, and a generator
trained on it answers with its mean, a blur. So every pattern is one fixed function of the place on
the head; parameters move, bend and weight it smoothly.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from barber.faces.canvas import Plane

_LINE = 4096  # entries of a one-dimensional table
_TILE = 512  # side of a two-dimensional one
_SEED = 41


@cache
def _line(waves: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A periodic curve with about this many waves, RMS 1, and its slope scaled likewise."""
    rng = np.random.default_rng([_SEED, waves])
    spread = max(waves // 4, 1)
    orders = np.arange(waves - spread, waves + spread + 1)
    phases = rng.uniform(0.0, 2.0 * np.pi, len(orders))
    sizes = rng.uniform(0.5, 1.0, len(orders))
    angle = np.arange(_LINE) * (2.0 * np.pi / _LINE)
    curve = sum(a * np.sin(k * angle + p) for k, p, a in zip(orders, phases, sizes, strict=True))
    slope = np.gradient(np.asarray(curve))
    curve, slope = curve / np.std(curve), slope / np.std(slope)
    return np.asarray(curve, dtype=np.float32), np.asarray(slope, dtype=np.float32)


@cache
def _tile(waves: int) -> NDArray[np.float32]:
    """A periodic square of round bumps, about this many along a side, RMS 1."""
    rng = np.random.default_rng([_SEED, 1, waves])
    order = np.fft.fftfreq(_TILE, 1.0 / _TILE)
    radius = np.hypot(order[:, None], order[None, :])
    band = np.exp(-(((radius - waves) / (0.30 * waves)) ** 2))
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_TILE, _TILE))) * band).real
    return np.asarray(noise / np.std(noise), dtype=np.float32)


def strand(position: Plane, waves: int) -> Plane:
    """The curve with so many waves per turn at a position in turns."""
    return _line(waves)[0][_places(position)]


def strand_slope(position: Plane, waves: int) -> Plane:
    """The slope of that curve, RMS 1."""
    return _line(waves)[1][_places(position)]


def _places(position: Plane) -> NDArray[np.intp]:
    return (position * _LINE + 64 * _LINE).astype(np.intp) & (_LINE - 1)


def bumps(x: Plane, y: Plane, waves: int) -> Plane:
    """The square of bumps at a place in head units (its period is one unit)."""
    columns = (x * _TILE + 64 * _TILE).astype(np.intp) & (_TILE - 1)
    rows = (y * _TILE + 64 * _TILE).astype(np.intp) & (_TILE - 1)
    found: Plane = _tile(waves)[rows, columns]
    return found
