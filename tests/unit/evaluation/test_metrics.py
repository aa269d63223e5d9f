import math

import numpy as np
import pytest

from barber.errors import InputError
from barber.evaluation.metrics import PSNR_CAP_DB, capped_psnr, overlap, psnr, rmse, ssim

RNG = np.random.default_rng(4)
PICTURE = RNG.integers(0, 256, (40, 32, 3), dtype=np.uint8)


def shifted(by: int) -> np.ndarray:
    return np.clip(PICTURE.astype(int) // 2 + by, 0, 255).astype(np.uint8)


def test_equal_pictures_are_perfect() -> None:
    assert psnr(PICTURE, PICTURE) == math.inf
    assert ssim(PICTURE, PICTURE) == pytest.approx(1.0)


def test_a_uniform_shift_has_the_psnr_of_the_formula() -> None:
    one, other = shifted(0), shifted(5)
    assert rmse(one, other) == pytest.approx(5.0)
    assert psnr(one, other) == pytest.approx(20 * math.log10(255 / 5))


def test_difference_does_not_wrap_around() -> None:
    black, white = np.zeros_like(PICTURE), np.full_like(PICTURE, 255)
    assert psnr(black, white) == pytest.approx(0.0)


def test_ssim_follows_the_formula_for_flat_pictures() -> None:
    a, b, c1 = 100.0, 140.0, (0.01 * 255) ** 2
    one, other = np.full_like(PICTURE, int(a)), np.full_like(PICTURE, int(b))
    assert ssim(one, other) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1))


def test_ssim_prefers_a_shift_over_noise_of_the_same_error() -> None:
    noise = np.where(RNG.random(PICTURE.shape) < 0.5, -8, 8)
    noisy = (shifted(20).astype(int) + noise).astype(np.uint8)
    assert rmse(shifted(20), noisy) == pytest.approx(rmse(shifted(20), shifted(28)))
    assert ssim(shifted(20), shifted(28)) > ssim(shifted(20), noisy)


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="32x40 and 40x32"):
        psnr(PICTURE, PICTURE.swapaxes(0, 1))
    with pytest.raises(InputError, match="one size"):
        ssim(PICTURE, PICTURE[:-1])


def test_psnr_of_equal_pictures_is_capped_where_means_are_taken() -> None:
    assert capped_psnr(PICTURE, PICTURE) == PSNR_CAP_DB
    assert capped_psnr(shifted(0), shifted(5)) == psnr(shifted(0), shifted(5))


def test_psnr_of_a_part_sees_nothing_else() -> None:
    other = PICTURE.copy()
    other[:10] = 255 - other[:10]
    top = np.zeros(PICTURE.shape[:2], dtype=bool)
    top[:10] = True
    assert capped_psnr(PICTURE, other, ~top) == PSNR_CAP_DB
    assert capped_psnr(PICTURE, other, top) == pytest.approx(psnr(PICTURE[:10], other[:10]))
    assert capped_psnr(PICTURE, other, np.zeros_like(top)) is None


def test_overlap_counts_common_over_all() -> None:
    one, other = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    assert overlap(one, other) is None
    one[:2], other[1:3] = True, True
    assert overlap(one, other) == pytest.approx(1 / 3)
    assert overlap(one, one) == 1
