from __future__ import annotations

import math

import torch
from torch import Tensor

from barber.losses.latent import f_prior, measure_mean, measure_statistics, undo_slope

DIM = 6


def mapping(z: Tensor) -> Tensor:
    """An anisotropic Gaussian behind a last activation of slope 0.2."""
    source = torch.Generator().manual_seed(1)
    turn, _ = torch.linalg.qr(torch.randn(DIM, DIM, generator=source))
    spread = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.1])
    return torch.nn.functional.leaky_relu((z * spread) @ turn + 0.3, 0.2)


def test_the_statistics_recover_the_gaussian_behind_the_last_activation() -> None:
    found = measure_statistics(mapping, DIM, samples=40_000)

    torch.testing.assert_close(found.mean, torch.full((DIM,), 0.3), atol=0.08, rtol=0)
    expected = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.1])
    torch.testing.assert_close(found.stdev, expected, rtol=0.03, atol=0)
    identity = found.components @ found.components.t()
    torch.testing.assert_close(identity, torch.eye(DIM), atol=1e-5, rtol=0)


def test_codes_of_the_mapping_network_have_a_p_norm_of_about_one() -> None:
    statistics = measure_statistics(mapping, DIM, samples=20_000)
    z = torch.randn(500, DIM, generator=torch.Generator().manual_seed(9))

    found = statistics.p_norm(mapping(z)[None])

    assert found.shape == (1,)
    assert abs(found.item() - 1) < 0.1


def test_a_code_far_from_all_others_has_a_large_p_norm() -> None:
    statistics = measure_statistics(mapping, DIM, samples=20_000)

    assert statistics.p_norm(torch.full((1, 3, DIM), 3.0)) > 10


def test_statistics_repeat_with_their_seed() -> None:
    one = measure_statistics(mapping, DIM, samples=1000, seed=3)
    same = measure_statistics(mapping, DIM, samples=1000, seed=3)
    other = measure_statistics(mapping, DIM, samples=1000, seed=4)

    assert torch.equal(one.stdev, same.stdev)
    assert not torch.equal(one.stdev, other.stdev)


def test_the_statistics_are_those_of_an_incremental_analysis() -> None:
    """Method 7 makes them batch by batch, each batch's SVD joined to the components so far."""
    z = torch.randn(6 * 2560, DIM, generator=torch.Generator().manual_seed(5))
    seen, mean, rows = 0, torch.zeros(DIM).double(), torch.zeros(0, DIM).double()
    for w in undo_slope(mapping(z)).double().split(2560):
        drift = math.sqrt(seen * len(w) / (seen + len(w))) * (mean - w.mean(dim=0))
        stacked = torch.cat([rows, w - w.mean(dim=0), drift[None]])
        _, values, directions = torch.linalg.svd(stacked, full_matrices=False)
        mean = (seen * mean + w.sum(dim=0)) / (seen + len(w))
        rows, seen = values[:DIM, None] * directions[:DIM], seen + len(w)

    found = measure_statistics(mapping, DIM, samples=6 * 2560, seed=5, batch=2560)

    torch.testing.assert_close(found.mean, mean.float(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.stdev, (values[:DIM] / math.sqrt(seen - 1)).float())
    turned = (found.components @ directions[:DIM].float().t()).abs()  # directions have no sign
    torch.testing.assert_close(turned, torch.eye(DIM), atol=1e-5, rtol=0)


def test_batches_change_nothing_but_rounding_and_are_told() -> None:
    told: list[int] = []
    one = measure_statistics(mapping, DIM, samples=4800)
    other = measure_statistics(mapping, DIM, samples=4800, batch=1600, on_samples=told.append)

    torch.testing.assert_close(one.stdev, other.stdev)
    torch.testing.assert_close(one.mean, other.mean)
    assert told == [1600, 3200, 4800]


def test_the_mean_is_that_of_the_codes_themselves() -> None:
    found = measure_mean(lambda z: z.square() + torch.tensor([0.0, 2.0]), 2, samples=25_000)

    torch.testing.assert_close(found, torch.tensor([1.0, 3.0]), atol=0.03, rtol=0)
    assert torch.equal(
        found, measure_mean(lambda z: z.square() + torch.tensor([0.0, 2.0]), 2, samples=25_000)
    )


def test_a_direction_that_is_never_used_keeps_a_positive_deviation() -> None:
    found = measure_statistics(lambda z: z * torch.tensor([1.0, 1.0, 0.0]), 3, samples=500)

    assert found.stdev[2] > 0


def test_the_last_slope_is_undone() -> None:
    w = torch.tensor([[2.0, -0.4]])

    torch.testing.assert_close(undo_slope(w), torch.tensor([[2.0, -2.0]]))


def test_f_prior_is_the_mean_square_per_sample() -> None:
    f = torch.zeros(2, 3, 4, 4)
    f[1] = 2

    assert torch.equal(f_prior(f, torch.zeros_like(f)), torch.tensor([0.0, 4.0]))
