from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from barber import resample
from barber.geometry import Geometry
from barber.models.segmenter import Segmenter
from tests.support.tiny_bundle import GEOMETRY


def picture(size: int) -> Tensor:
    source = torch.Generator().manual_seed(size)
    return torch.rand(2, 3, size, size, generator=source)


@pytest.mark.parametrize(
    ("factor", "taps"),
    [
        (2, [-0.01171875, -0.03515625, 0.11328125, 0.43359375]),
        (
            4,
            [
                -0.001708984375,
                -0.010986328125,
                -0.018310546875,
                -0.011962890625,
                0.022705078125,
                0.097412109375,
                0.181884765625,
                0.240966796875,
            ],
        ),
    ],
)
def test_taps_are_the_specified_numbers_and_their_mirror(factor: int, taps: list[float]) -> None:
    found = resample.downsample_taps(factor)

    assert torch.equal(found, torch.tensor(taps + taps[::-1]))


def test_a_constant_picture_stays_constant_and_is_not_clamped() -> None:
    x = torch.full((1, 3, 32, 32), 1.7)

    torch.testing.assert_close(resample.downsample(x, 4), torch.full((1, 3, 8, 8), 1.7))


def test_downsampling_is_differentiable() -> None:
    x = picture(16).double().requires_grad_()

    assert torch.autograd.gradcheck(lambda v: resample.downsample(v, 2), x[:1, :1])


def test_a_picture_of_the_wanted_size_is_returned_as_it_is() -> None:
    x = picture(64)

    assert resample.to_loss_size(x, GEOMETRY) is x
    assert resample.to_label_size(x, GEOMETRY) is x


def test_larger_pictures_come_down_bicubically() -> None:
    geometry = replace(GEOMETRY, label_size=32, loss_size=16)
    x = picture(64)

    assert torch.equal(resample.to_label_size(x, geometry), resample.downsample(x, 2))
    assert torch.equal(resample.to_loss_size(x, geometry), resample.downsample(x, 4))


def test_a_small_generators_pictures_go_up_to_the_parser_bilinearly() -> None:
    x = picture(256)

    found = resample.to_label_size(x, Geometry.official(256))

    assert found.shape == (2, 3, 512, 512)
    # halfway points weigh their neighbours 1:3 when corners are not aligned
    torch.testing.assert_close(
        found[:, :, 1, 1],
        (9 * x[:, :, 0, 0] + 3 * x[:, :, 0, 1] + 3 * x[:, :, 1, 0] + x[:, :, 1, 1]) / 16,
    )


def test_only_photographs_are_clamped_before_parsing() -> None:
    geometry = replace(GEOMETRY, label_size=32)
    edges = (picture(64) > 0.5).float()  # the cubic overshoots at every edge

    photograph = resample.photograph_to_parser(edges, geometry)
    generated = resample.to_parser_input(2 * edges - 1, geometry)

    lowest = Segmenter.normalise(torch.zeros(1, 3, 1, 1))
    assert (photograph >= lowest).all()
    assert (generated < lowest).any()
