"""Faces in a photograph and the 68 points of each, by dlib.

Source: method section 4.1. Named deviation: a photograph above `DETECT_PIXELS` is searched in a
smaller copy, because the detector doubles it first and would take gigabytes; the points are always
found in the photograph itself.

dlib is an extra. The predictor file is never ours to ship: it was trained on iBUG 300-W, which is
for research only, so a person brings it or installs the package that carries it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from barber.errors import CheckpointError, InputError
from barber.photographs.crop import LANDMARK_COUNT
from barber.pixels import Pixels

DETECT_PIXELS = 16_000_000  # searched as they are; some 50 bytes of memory per pixel
UPSAMPLES = 1  # doublings before the search: faces from some 40 pixels on are found
CARRIER = "face_recognition_models"  # the package on PyPI that carries the predictor
PREDICTOR_NAME = "shape_predictor_68_face_landmarks.dat"

NO_LIBRARY = "the face detector dlib is not installed: run `pip install dlib-bin scipy`"
NO_PREDICTOR = (
    "there is no landmark predictor: run `pip install face_recognition_models` (its file is for "
    "research only), or name your own with --landmarks or `barber bundle add --landmarks`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One face of a photograph."""

    box: tuple[int, int, int, int]  # left, top, right, bottom of the detector's square, in pixels
    points: NDArray[np.int64] = field(repr=False)  # [68, 2], (x, y) pixel indices

    @property
    def width_px(self) -> int:
        return self.box[2] - self.box[0] + 1


class FaceFinder:
    """The detector and the predictor, loaded once.

    Args:
        predictor: The 68-point file; `predictor_file` finds it.

    Raises:
        InputError: dlib is not installed.
        CheckpointError: The file is not the 68-point predictor.
    """

    def __init__(self, predictor: Path) -> None:
        try:
            self._dlib: Any = import_module("dlib")
        except ImportError as error:
            raise InputError(NO_LIBRARY) from error
        self._detect = self._dlib.get_frontal_face_detector()
        self._predict = self._load(predictor)

    def _load(self, path: Path) -> Any:
        try:
            predict = self._dlib.shape_predictor(str(path))
            blank = np.zeros((32, 32, 3), dtype=np.uint8)
            count = predict(blank, self._dlib.rectangle(0, 0, 31, 31)).num_parts
        except RuntimeError as error:
            raise CheckpointError(
                f"{path} is no landmark predictor of dlib ({_first_line(error)}): "
                f"give {PREDICTOR_NAME}, unpacked"
            ) from error
        if count != LANDMARK_COUNT:
            raise CheckpointError(f"{path} predicts {count} points, not 68: give {PREDICTOR_NAME}")
        return predict

    def find(self, photo: Pixels) -> tuple[Face, ...]:
        """Every face of an upright photograph uint8 [H, W, 3], the largest first."""
        boxes = [self._scaled(box, photo) for box in self._boxes(photo)]
        faces = [Face(box=box, points=self._points(photo, box)) for box in boxes]
        return tuple(sorted(faces, key=lambda face: (-face.width_px, face.box)))

    def _boxes(self, photo: Pixels) -> list[tuple[float, ...]]:
        """The detector's squares as shares of the photograph's sides."""
        searched = np.ascontiguousarray(photo)
        height, width, _ = photo.shape
        if height * width > DETECT_PIXELS:
            factor = sqrt(DETECT_PIXELS / (height * width))
            smaller = (max(1, int(width * factor)), max(1, int(height * factor)))
            image = Image.fromarray(photo).resize(smaller, Image.Resampling.LANCZOS)
            searched = np.asarray(image, dtype=np.uint8)
        height, width, _ = searched.shape
        found = self._detect(searched, UPSAMPLES)
        return [
            (b.left() / width, b.top() / height, b.right() / width, b.bottom() / height)
            for b in found
        ]

    @staticmethod
    def _scaled(box: tuple[float, ...], photo: Pixels) -> tuple[int, int, int, int]:
        height, width, _ = photo.shape
        left, top, right, bottom = box
        return (
            round(left * width),
            round(top * height),
            round(right * width),
            round(bottom * height),
        )

    def _points(self, photo: Pixels, box: tuple[int, int, int, int]) -> NDArray[np.int64]:
        shape = self._predict(np.ascontiguousarray(photo), self._dlib.rectangle(*box))
        return np.array([(part.x, part.y) for part in shape.parts()], dtype=np.int64)


def open_finder(landmarks: Path | None = None) -> FaceFinder:
    """The face finder, with the given predictor file or that of the installed package.

    Raises:
        InputError: dlib or the predictor is not installed, or there is no such file; the message
            says how to get it.
        CheckpointError: The file is not the 68-point predictor.
    """
    if find_spec("dlib") is None:
        raise InputError(NO_LIBRARY)
    return FaceFinder(predictor_file(landmarks))


def predictor_file(landmarks: Path | None = None) -> Path:
    """The predictor's file: the one given, else the one that a package carries.

    Raises:
        InputError: There is none.
    """
    if landmarks is not None:
        if not landmarks.is_file():
            raise InputError(f"there is no landmark predictor at {landmarks}: name the file")
        return landmarks
    # Importing the package would need an old setuptools; its place is enough.
    package = find_spec(CARRIER)
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "models" / PREDICTOR_NAME
        if path.is_file():
            return path
    raise InputError(NO_PREDICTOR)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
