from __future__ import annotations

import numpy as np
import pytest

from barber.evaluation.intervals import estimate

VALUES = np.random.default_rng(1).normal(10, 2, 100).tolist()


def test_interval_is_that_of_the_normal_theory_for_normal_values() -> None:
    found = estimate(VALUES)
    error = np.std(VALUES) / np.sqrt(len(VALUES))
    assert found.mean == pytest.approx(np.mean(VALUES)) and found.n == 100
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.15 * error)


def test_equal_values_have_equal_intervals() -> None:
    assert estimate(VALUES) == estimate(VALUES)


@pytest.mark.parametrize(("shift", "sure"), [(10.0, False), (0.0, True), (20.0, True)])
def test_interval_is_sure_when_it_leaves_out_zero(shift: float, sure: bool) -> None:
    assert estimate([value - shift for value in VALUES]).is_sure is sure


def test_few_values_have_a_mean_and_no_interval() -> None:
    found = estimate([1.0, 2.0] * 4)
    assert (found.mean, found.low, found.high) == (1.5, None, None) and not found.is_sure
    assert estimate([1.0, 2.0] * 5).is_sure


def test_the_same_value_again_and_again_is_certain() -> None:
    found = estimate([3.0] * 10)
    assert (found.low, found.high) == (3.0, 3.0)
