from __future__ import annotations

import pytest
import torch
from torch import Tensor

from barber.models import ops


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("kernel", "upsample"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("demodulate", [False, True])
def test_shared_weight_convolution_equals_one_filter_bank_per_sample(
    kernel: int, upsample: bool, demodulate: bool
) -> None:
    x, weight, row = random(3, 5, 8, 8), random(7, 5, kernel, kernel), 1 + random(3, 5, seed=1)
    style = row / (5 * kernel * kernel) ** 0.5

    fast = ops.modulated_conv(x, weight, style, ops.fir_kernel(4.0) if upsample else None)
    if demodulate:
        fast = fast * ops.demodulation(weight, style)[:, :, None, None]

    slow = ops.reference_modulated_conv(x, weight, row, demodulate=demodulate, upsample=upsample)
    torch.testing.assert_close(fast, slow)


def test_skip_upsampling_equals_zero_insertion_and_filter() -> None:
    rgb = random(2, 3, 8, 8)
    kernel = ops.fir_kernel(4.0)

    slow = ops.reference_upfirdn(rgb, kernel, up=2, down=1, pad=(2, 1))

    torch.testing.assert_close(ops.upsample_skip(rgb, kernel), slow)


def test_reference_upfirdn_flips_its_kernel_and_keeps_every_second_sample() -> None:
    impulse = torch.zeros(1, 1, 4, 4)
    impulse[0, 0, 1, 1] = 1
    kernel = torch.arange(4.0).view(2, 2)

    spread = ops.reference_upfirdn(impulse, kernel, up=1, down=1, pad=(1, 0))
    kept = ops.reference_upfirdn(impulse, kernel, up=1, down=2, pad=(1, 0))

    assert torch.equal(spread[0, 0, 1:3, 1:3], kernel)
    assert torch.equal(kept, spread[:, :, ::2, ::2])


def test_fused_finish_equals_demodulate_noise_bias_activate() -> None:
    x, factor = random(2, 4, 6, 6), random(2, 4, seed=1).abs()
    noise, bias = random(2, 1, 6, 6, seed=2), random(4, seed=3)

    plain = ops.activate(x * factor[:, :, None, None] + noise + bias[None, :, None, None])

    torch.testing.assert_close(ops.finish(x, factor, noise, bias), plain)


def test_pixel_norm_gives_unit_mean_square() -> None:
    z = ops.pixel_norm(7 * random(3, 64))

    torch.testing.assert_close(z.square().mean(dim=1), torch.ones(3))
