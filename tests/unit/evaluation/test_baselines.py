from __future__ import annotations

import numpy as np
import pytest

from barber.evaluation.baselines import cut_and_paste
from barber.labels import Region

SIDE = 32
ONE = np.full((SIDE, SIDE, 3), 40, dtype=np.uint8)
OTHER = np.full((SIDE, SIDE, 3), 200, dtype=np.uint8)


def hair_map(rows: slice) -> np.ndarray:
    found = np.zeros((SIDE // 2, SIDE // 2), dtype=np.uint8)
    found[rows] = Region.HAIR
    return found


def test_hair_is_laid_on_and_nothing_else_changes() -> None:
    found = cut_and_paste(ONE, OTHER, hair_map(slice(0, 8)))
    assert (found[:14] == 200).all() and (found[18:] == 40).all()


def test_no_hair_leaves_the_portrait_alone() -> None:
    assert np.array_equal(cut_and_paste(ONE, OTHER, hair_map(slice(0, 0))), ONE)


def test_a_third_without_hair_moves_no_colour() -> None:
    found = cut_and_paste(ONE, OTHER, hair_map(slice(0, 8)), ONE, hair_map(slice(0, 0)))
    assert (found[:14] == 200).all()


def test_colour_of_a_third_moves_the_hairs_mean() -> None:
    third = OTHER // 2 + np.array([0, 20, 40], dtype=np.uint8)
    found = cut_and_paste(ONE, OTHER, hair_map(slice(0, 8)), third, hair_map(slice(8, 16)))
    assert found[2, 2].tolist() == pytest.approx(third[0, 0].tolist(), abs=1)
    assert (found[18:] == 40).all()
