from __future__ import annotations

import torch
from torch import Tensor

from barber.losses.style import region_grams, style_distance
from tests.support.tiny_bundle import tiny_bundle


def picture(seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(1, 3, 64, 64, generator=source) - 1


def mask(left: int, right: int) -> Tensor:
    found = torch.zeros(1, 1, 64, 64)
    found[..., left:right] = 1
    return found


def test_grams_are_inner_products_over_the_whole_area() -> None:
    vgg, image, region = tiny_bundle().vgg, picture(1), mask(8, 40)

    found = region_grams(vgg, image, region)

    for k, features in enumerate(vgg(image * region, 4)):
        inside = (features * region[:, :, :: 2**k, :: 2**k])[0].flatten(1)
        expected = inside @ inside.t() / inside.numel()
        torch.testing.assert_close(found[k][0], expected)


def test_what_lies_outside_the_mask_does_not_count() -> None:
    vgg, region = tiny_bundle().vgg, mask(8, 40)
    image = picture(1)
    elsewhere = image * region + picture(2) * (1 - region)

    distance = style_distance(
        region_grams(vgg, image, region), region_grams(vgg, elsewhere, region)
    )

    assert distance == 0


def test_the_distance_is_the_mean_over_taps_of_mean_squares() -> None:
    own = [torch.ones(2, 2, 2), torch.zeros(2, 4, 4)]
    other = [torch.zeros(2, 2, 2), torch.full((2, 4, 4), 2.0)]

    assert torch.equal(style_distance(own, other), torch.full((2,), 2.5))
