import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from barber.pixels import Pixels
from barber.preflight import tones
from tests.support.drawn import drawn

SIZE = 64  # of the shipped bundle's losses


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    soft = gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0))
    return soft.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("number", range(4))
def test_detail_falls_with_blur_and_stays_with_contrast(number: int) -> None:
    pixels = drawn(number).pixels
    sharp = tones.detail(pixels, SIZE)
    steps = [tones.detail(blurred(pixels, sigma), SIZE) for sigma in (1, 2, 4)]
    assert sharp > 1
    assert sharp > steps[0] > steps[1] > steps[2]
    faint = (pixels * 0.3 + 90).astype(np.uint8)
    assert tones.detail(faint, SIZE) == pytest.approx(sharp, rel=0.1)


def test_detail_is_measured_at_the_size_that_losses_see() -> None:
    pixels = drawn(1).pixels
    twice = np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)
    assert tones.detail(twice, SIZE) == pytest.approx(tones.detail(pixels, SIZE), rel=0.15)


def test_detail_of_nothing_is_zero() -> None:
    assert tones.detail(np.full((SIZE, SIZE, 3), 90, np.uint8), SIZE) == 0


def test_brightness_and_span_follow_the_light() -> None:
    pixels = drawn(0).pixels
    bright, span = tones.brightness(pixels)
    dim_bright, dim_span = tones.brightness((pixels * 0.25).astype(np.uint8))
    assert dim_bright == pytest.approx(bright / 4, abs=1.5)
    assert dim_span == pytest.approx(span / 4, abs=1.5)


def test_white_background_is_not_burnt_out_skin() -> None:
    pixels = np.full((40, 40, 3), 255, np.uint8)
    face = np.zeros((20, 20), dtype=bool)
    face[5:15, 5:15] = True
    pixels[10:30, 10:30] = 120
    assert tones.clipped_share(pixels, face) == 0
    assert tones.clipped_share(pixels, ~face) == 1
    pixels[10:20, 10:30] = 255
    assert tones.clipped_share(pixels, face) == pytest.approx(0.5)


def test_without_a_label_map_the_middle_counts() -> None:
    pixels = np.full((50, 50, 3), 255, np.uint8)
    assert tones.clipped_share(pixels, None) == 1
    pixels[12:38, 12:38] = 120
    assert tones.clipped_share(pixels, None) == 0
