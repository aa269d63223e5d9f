"""Priors on latent codes: the P-norm of W+ and the distance of F from its start.

Source: method 7 and 10.2 (the regulariser of II2S, and the paper's L_F).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

# The inverse of the mapping network's last slope, 0.2: w becomes close to normally distributed.
UNDO_SLOPE = 5.0
# Standard deviations are kept above this share of the largest (FFHQ's smallest is 4.7e-5 of it), so
# that a direction which the mapping network never uses cannot outweigh all others.
SMALLEST_SHARE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class PCAStatistics:
    """How w is distributed; everything float32, so never built from half precision."""

    mean: Tensor  # [D], of w after the slope is undone
    components: Tensor  # [D, D], rows are principal directions
    stdev: Tensor  # [D], descending, positive

    def to(self, device: torch.device | str) -> Self:
        """The same statistics on a device."""
        return type(self)(
            mean=self.mean.to(device),
            components=self.components.to(device),
            stdev=self.stdev.to(device),
        )

    def p_norm(self, w_plus: Tensor) -> Tensor:
        """Mean square of W+ [N, L, D] in whitened coordinates: [N], about 1 for real codes."""
        v = (undo_slope(w_plus) - self.mean) @ self.components.t() / self.stdev
        return v.square().mean(dim=(1, 2))


def undo_slope(w: Tensor) -> Tensor:
    """w where it is positive, 5 w elsewhere."""
    return functional.leaky_relu(w, UNDO_SLOPE)


def f_prior(f: Tensor, start: Tensor) -> Tensor:
    """L_F [N]: mean squared distance of F [N, C, f, f] from its start, unweighted."""
    return (f - start).square().mean(dim=(1, 2, 3))


@torch.no_grad()
def measure_statistics(
    mapping: Callable[[Tensor], Tensor],
    style_dim: int,
    *,
    samples: int = 1_000_000,
    seed: int = 0,
    batch: int = 10_000,
    on_samples: Callable[[int], None] | None = None,
) -> PCAStatistics:
    """Makes the statistics from standard-normal z, for a generator that comes without them.

    Source: method 7. The official files come from an incremental analysis with all components kept,
    which is what the eigenvectors of the whole covariance give, up to sign.

    Args:
        mapping: z [N, D] to w [N, D], on the CPU.
        style_dim: D.
        samples: How many codes; at least 2.
        seed: Of z.
        batch: Codes at a time; of no influence but rounding.
        on_samples: Told how many codes are done, after each batch.
    """
    source = torch.Generator().manual_seed(seed)
    count, total, outer = 0, torch.zeros(style_dim).double(), torch.zeros(1).double()
    shift: Tensor | None = None  # near the mean, so that the sums lose no digits
    while count < samples:
        z = torch.randn(min(batch, samples - count), style_dim, generator=source)
        w = undo_slope(mapping(z)).double()
        shift = w.mean(dim=0) if shift is None else shift
        w = w - shift
        total, outer, count = total + w.sum(dim=0), outer + w.t() @ w, count + len(w)
        if on_samples is not None:
            on_samples(count)
    assert shift is not None
    mean = total / count
    covariance = (outer - count * torch.outer(mean, mean)) / (count - 1)
    variances, directions = torch.linalg.eigh(covariance)
    stdev = variances.clamp_min(0).sqrt().flip(0)
    return PCAStatistics(
        mean=(mean + shift).float(),
        components=directions.t().flip(0).float().contiguous(),
        stdev=stdev.clamp_min(SMALLEST_SHARE * stdev[0]).float(),
    )


@torch.no_grad()
def measure_mean(
    mapping: Callable[[Tensor], Tensor],
    style_dim: int,
    *,
    samples: int = 100_000,
    seed: int = 0,
    batch: int = 10_000,
) -> Tensor:
    """The mean of w [D] over standard-normal z, for a generator that comes without `latent_avg`.

    Args:
        mapping: z [N, D] to w [N, D], on the CPU.
        style_dim: D.
        samples: How many codes.
        seed: Of z.
        batch: Codes at a time.
    """
    source = torch.Generator().manual_seed(seed)
    total = torch.zeros(style_dim, dtype=torch.float64)
    for start in range(0, samples, batch):
        z = torch.randn(min(batch, samples - start), style_dim, generator=source)
        total += mapping(z).double().sum(dim=0)
    return (total / samples).float()
