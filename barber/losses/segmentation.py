"""Cross entropies of label logits against a label map.

Source: method 9.4. Where the official code divides by zero (no pixel counts), the loss is zero.
`none_of` is ours, for the strict target mask.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor
from torch.nn import functional

from barber.labels import Region


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over all pixels: logits [N, 16, H, W], labels int64 [N, H, W], result [N]."""
    return _per_pixel(logits, labels).mean(dim=(1, 2))


def cross_entropy_without_background(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the pixels that are not labelled background: [N]."""
    return cross_entropy_where(logits, labels, labels != Region.BACKGROUND)


def cross_entropy_background_only(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the pixels labelled background: [N]."""
    return cross_entropy_where(logits, labels, labels == Region.BACKGROUND)


def cross_entropy_where(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Mean over the pixels of a bool mask `counts` [N, H, W]: [N]."""
    return _mean_over(_per_pixel(logits, labels), counts)


def none_of(logits: Tensor, unwanted: Collection[Region], counts: Tensor) -> Tensor:
    """-log(1 - p) of the unwanted labels together, a mean over `counts` [N, H, W]: [N]."""
    others = [int(region) for region in Region if region not in unwanted]
    kept = logits[:, others].logsumexp(dim=1) - logits.logsumexp(dim=1)
    return _mean_over(-kept, counts)


def _per_pixel(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


def _mean_over(losses: Tensor, counts: Tensor) -> Tensor:
    weights = counts.to(losses.dtype)
    return (losses * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp_min(1)
