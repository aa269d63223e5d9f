"""Every loss of the method, and the bicubic downsample, on synthetic inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from barber.losses.latent import f_prior
from barber.losses.segmentation import (
    cross_entropy,
    cross_entropy_background_only,
    cross_entropy_without_background,
)
from barber.losses.style import region_grams, style_distance
from barber.resample import downsample
from barber.spec import PRESETS, AlignParams, ReconstructParams
from tests.conformance.bench import Bench, mean_std
from tests.conformance.compare import Value

SIZE = 256  # of the pictures, and of the bundle
F_SHAPE = (1, 512, 32, 32)


def bicubic(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """The downsample by the factors that the names tell."""
    x = bench.tensor("test/bicubic", (1, 3, 64, 64))
    for name in names:
        yield {name: downsample(x, int(name.removeprefix("bicubic_f")))[0]}


def p_norm(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """The prior of W+, and its gradient."""
    w = bench.tensor("test/w", (1, 18, 512), 0.6).requires_grad_()
    loss = ReconstructParams().p_norm_weight * bench.bundle(SIZE).pca.p_norm(w)
    (gradient,) = torch.autograd.grad(loss.sum(), w)
    yield {"p_norm": loss, "p_norm_grad": gradient}


def on_tensors(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """The prior of F and the cross entropies, which need no network."""
    f, start = (bench.tensor(f"test/{name}", F_SHAPE, 0.5) for name in ("F", "F2"))
    yield {"l_F": PRESETS["paper"].reconstruct.f_weight * f_prior(f, start)}

    logits, labels = bench.tensor("test/logits", (1, 16, 64, 64), 2.0), bench.label_cells()
    yield {
        "ce": cross_entropy(logits, labels),
        "ce_without_background": cross_entropy_without_background(logits, labels),
        "ce_background_only": cross_entropy_background_only(logits, labels),
    }


def on_pictures(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """LPIPS, whole and masked, and style, with gradients to the second picture."""
    perceptual = bench.bundle(SIZE).perceptual
    a, b, c = (bench.signed(name, SIZE) for name in "abc")
    mask_a, mask_b, mask_c = (bench.ellipse(name, SIZE) for name in "abc")
    b.requires_grad_()
    with torch.no_grad():
        target_a, target_c = perceptual.features(a), perceptual.features(c)
        style_a = region_grams(perceptual.vgg, a, mask_a)

    distance = style_distance(region_grams(perceptual.vgg, b, mask_b), style_a)
    yield _with_gradient("style", AlignParams().style_weight * distance, b)
    yield _with_gradient("lpips", perceptual.distance(b, target_a), b)
    yield _with_gradient("masked_lpips", perceptual.masked(b, target_a, mask_a), b)
    with torch.no_grad():
        face = perceptual.masked(b, target_a, 1 - mask_a)
        yield {
            "lpips_same": perceptual.distance(a, target_a),
            "blend_loss": face + perceptual.masked(b, target_c, mask_c),
            "l2": torch.nn.functional.mse_loss(a, b),
        }


def _with_gradient(name: str, loss: Tensor, image: Tensor) -> dict[str, Value]:
    (gradient,) = torch.autograd.grad(loss.sum(), image)
    return {
        name: loss,
        f"{name}_grad_slice": gradient[0, :, ::8, ::8],
        f"{name}_grad_meanstd": mean_std(gradient),
    }
