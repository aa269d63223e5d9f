"""A real photograph for tests: NASA's portrait of Eileen Collins (public domain, scikit-image)."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image

from barber.errors import InputError
from barber.photographs.landmarks import FaceFinder, open_finder
from barber.pixels import Pixels


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    return _finder()


@cache
def _finder() -> FaceFinder:
    try:
        return open_finder()
    except InputError as error:
        pytest.skip(str(error))


@cache
def _astronaut() -> Pixels:
    data = pytest.importorskip("skimage.data")
    pixels: Pixels = data.astronaut()
    return pixels


def woman() -> Pixels:
    """Her head and shoulders, uint8 [320, 400, 3]; one face of some 90 pixels, upper middle."""
    return _astronaut()[:320, :400].copy()


def crowd() -> Pixels:
    """Two faces side by side, the right one smaller: uint8 [320, 720, 3]."""
    photo = woman()
    small = Image.fromarray(photo).resize((320, 256), Image.Resampling.LANCZOS)
    canvas = np.full((320, 720, 3), 128, dtype=np.uint8)
    canvas[:, :400] = photo
    canvas[32:288, 400:] = np.asarray(small)
    return canvas


def file_of(pixels: Pixels, kind: str = "PNG", **options: object) -> bytes:
    """A picture file of some pixels."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()
