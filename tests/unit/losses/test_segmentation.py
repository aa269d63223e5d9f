from __future__ import annotations

import torch
from torch.nn import functional

from barber.losses.segmentation import (
    cross_entropy,
    cross_entropy_background_only,
    cross_entropy_without_background,
)

SOURCE = torch.Generator().manual_seed(0)
LOGITS = torch.randn(1, 16, 8, 8, generator=SOURCE)
LABELS = torch.randint(0, 16, (1, 8, 8), generator=SOURCE)


def test_each_form_equals_torchs_weighted_cross_entropy() -> None:
    without, only = torch.ones(16), torch.zeros(16)
    without[0], only[0] = 0, 1

    for found, weight in (
        (cross_entropy(LOGITS, LABELS), torch.ones(16)),
        (cross_entropy_without_background(LOGITS, LABELS), without),
        (cross_entropy_background_only(LOGITS, LABELS), only),
    ):
        expected = functional.cross_entropy(LOGITS, LABELS, weight=weight)
        torch.testing.assert_close(found[0], expected)


def test_no_pixel_to_count_gives_zero_not_nan() -> None:
    background, hair = torch.zeros_like(LABELS), torch.full_like(LABELS, 10)

    assert cross_entropy_background_only(LOGITS, hair) == 0
    assert cross_entropy_without_background(LOGITS, background) == 0


def test_samples_of_a_batch_are_kept_apart() -> None:
    logits, labels = torch.cat([LOGITS, -LOGITS]), torch.cat([LABELS, LABELS])

    found = cross_entropy_without_background(logits, labels)

    assert found.shape == (2,)
    assert found[0] == cross_entropy_without_background(LOGITS, LABELS)[0]
    assert found[0] != found[1]
