from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from barber.errors import InputError
from barber.photographs.crop import Crop, align_face, oriented_square
from tests.conformance.recipe import Recipe

VECTORS = Path(__file__).parents[2] / "conformance" / "vectors"


def face_points(
    centre: tuple[float, float] = (500, 400), scale: float = 1.0, turn: float = 0.0
) -> NDArray[np.int64]:
    """68 points of which those that the recipe reads form an upright face, turned in radians."""
    shape = np.zeros((68, 2))
    shape[36:42], shape[42:48] = (-50, 0), (50, 0)
    shape[48:60] = (0, 110)
    shape[48], shape[54] = (-40, 110), (40, 110)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points: NDArray[np.int64] = np.rint(shape * scale @ rotation + centre).astype(np.int64)
    return points


@pytest.mark.parametrize("case", ["inside", "pad"])  # `shrink` takes long: see conformance
def test_alignment_equals_the_reference_recipe(case: str) -> None:
    recipe = Recipe(VECTORS)

    def stored(name: str) -> NDArray[np.int64]:
        return recipe.array("face_alignment.npz", f"{case}_{name}")

    width, height = stored("size")
    grid = recipe.picture(f"face_{case}")
    photo = grid[(np.arange(height) * 64 // height)[:, None], np.arange(width) * 64 // width]
    found = align_face(photo, stored("landmarks")).pixels
    difference = np.abs(found[::8, ::8].astype(int) - stored("slice"))
    assert difference.max() <= 2
    assert (difference > 0).mean() <= 0.02
    assert [found.mean(), found.std(ddof=1)] == pytest.approx(stored("meanstd"), rel=1e-3)


def test_crop_says_where_each_pixel_of_the_portrait_came_from() -> None:
    """A photograph whose colours are its coordinates tells, in the portrait, where it was read."""
    x, y = np.meshgrid(np.arange(1000), np.arange(900))
    photo = np.stack([x // 4, y // 4, np.zeros_like(x)], axis=2).astype(np.uint8)
    face = align_face(photo, face_points((500, 450), 0.8, 0.3), size=256)
    rows, columns = np.mgrid[20:236:9, 20:236:9]
    at = np.stack([columns + 0.5, rows + 0.5, np.ones_like(rows)])
    source = np.einsum("ij,jkl->ikl", face.crop.matrix(), at)
    read = face.pixels[rows, columns, :2].transpose(2, 0, 1).astype(float) * 4 + 2
    assert np.abs(read - source).max() < 5  # 4 is one step of the colours


def test_large_face_is_shrunk_first_and_its_crop_is_told_in_the_photographs_pixels() -> None:
    photo = np.zeros((4601, 4603, 3), dtype=np.uint8)
    photo[:, 2301:] = 200
    points = face_points((2301, 2200), 10.4)
    face = align_face(photo, points, size=64)
    assert face.crop.shrink == 2
    quad, side = oriented_square(points)
    assert np.array(face.crop.quad) == pytest.approx(quad + 0.5, abs=3)
    assert face.crop.side_px == pytest.approx(side, rel=1e-3)
    edge = (2301 - face.crop.quad[0][0]) / side * 64
    assert np.flatnonzero(face.pixels[32, :, 0] > 100)[0] == pytest.approx(edge, abs=1)


def test_size_is_a_divisor_of_the_recipes() -> None:
    with pytest.raises(InputError, match="divisor of 1024"):
        align_face(np.zeros((64, 64, 3), dtype=np.uint8), face_points(), size=100)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.zeros((68, 2)), "span a square of 0 pixels"),
        (np.zeros((5, 2)), "68 points"),
        (np.full((68, 2), np.nan), "68 points"),
        (face_points((90_000, 90_000)), "outside of the picture"),
    ],
)
def test_points_that_are_no_face_are_refused(points: NDArray[np.float64], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        align_face(np.zeros((64, 64, 3), dtype=np.uint8), points)


@settings(max_examples=50)
@given(
    x=st.floats(-500, 1500),
    y=st.floats(-500, 1500),
    scale=st.floats(0.1, 30),
    turn=st.floats(-3, 3),
)
def test_square_is_square_and_turned_as_the_face(
    x: float, y: float, scale: float, turn: float
) -> None:
    quad, side = oriented_square(face_points((x, y), scale, turn))
    edges = np.roll(quad, -1, axis=0) - quad
    assert np.hypot(*edges.T) == pytest.approx(np.full(4, side), rel=1e-6)
    assert float(edges[0] @ edges[1]) == pytest.approx(0, abs=1e-6 * side**2)
    down = edges[0] / side  # from top left to bottom left: where the mouth lies
    assert down @ [-np.sin(turn), np.cos(turn)] > 0.9


def test_crop_survives_json_and_refuses_what_it_cannot_mean() -> None:
    crop = Crop(
        quad=((1.5, 2), (1.5, 12), (11.5, 12), (11.5, 2)),
        width=40,
        height=30,
        size=128,
        pads=(1, 2, 3, 4),
    )
    data = json.loads(json.dumps(crop.to_json()))
    assert Crop.from_json(data) == crop
    assert crop.side_px == 10
    for bad in ({}, {**data, "more": 1}, {**data, "quad": [[1, 1]] * 4}, {**data, "pads": [1]}):
        with pytest.raises(InputError, match="crop"):
            Crop.from_json(bad)
