from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from barber.evaluation.intervals import estimate, share_of

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


def test_the_share_of_the_papers_study_has_its_exact_interval() -> None:
    found = share_of(378, 378 + 18)
    assert found is not None
    assert found.share == pytest.approx(0.954545, abs=1e-6)
    # Clopper and Pearson: where 378 or more, and 378 or fewer, have a chance of 2.5 %.
    assert binom.sf(377, 396, found.low) == pytest.approx(0.025, abs=1e-6)
    assert binom.cdf(378, 396, found.high) == pytest.approx(0.025, abs=1e-6)
    assert found.p_value < 1e-80


def test_a_share_of_few_votes_is_unsure_and_of_none_unknown() -> None:
    assert share_of(0, 0) is None
    all_of_three = share_of(3, 3)
    assert all_of_three is not None
    assert (all_of_three.high, all_of_three.p_value) == (1.0, 0.25)
    assert all_of_three.low == pytest.approx(0.025 ** (1 / 3))
