"""Every loss of the method, and the bicubic downsample, on synthetic inputs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
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
from tests.conformance.compare import assert_agrees, compared, mean_std
from tests.conformance.recipe import VECTORS, Recipe, reference_bundle

FILE = "losses.npz"
STYLE_WEIGHT = 40000
P_NORM_WEIGHT = 0.001
F_WEIGHT = 0.1


def with_gradient(name: str, loss: Tensor, image: Tensor) -> dict[str, Tensor]:
    (gradient,) = torch.autograd.grad(loss.sum(), image)
    return {
        name: loss,
        f"{name}_grad_slice": gradient[0, :, ::8, ::8],
        f"{name}_grad_meanstd": mean_std(gradient),
    }


@cache
def on_tensors() -> dict[str, Tensor]:
    recipe, bundle = Recipe(VECTORS), reference_bundle(256)
    x = recipe.tensor("test/bicubic", (1, 3, 64, 64))
    found = {f"bicubic_f{factor}": downsample(x, factor)[0] for factor in (1, 2, 4)}

    w = recipe.tensor("test/w", (1, 18, 512), 0.6).requires_grad_()
    found["p_norm"] = P_NORM_WEIGHT * bundle.pca.p_norm(w)
    (found["p_norm_grad"],) = torch.autograd.grad(found["p_norm"].sum(), w)
    f, start = (recipe.tensor(f"test/{name}", (1, 512, 32, 32), 0.5) for name in ("F", "F2"))
    found["l_F"] = F_WEIGHT * f_prior(f, start)

    logits = recipe.tensor("test/logits", (1, 16, 64, 64), 2.0)
    cells = np.floor(16 * recipe.u("test/labels64", (64, 64))).astype(np.int64)
    labels = torch.from_numpy(cells)[None]
    found["ce"] = cross_entropy(logits, labels)
    found["ce_without_background"] = cross_entropy_without_background(logits, labels)
    found["ce_background_only"] = cross_entropy_background_only(logits, labels)
    return found


@cache
def on_pictures() -> dict[str, Tensor]:
    recipe, perceptual = Recipe(VECTORS), reference_bundle(256).perceptual
    a, b, c = (recipe.signed(name, 256) for name in "abc")
    mask_a, mask_b, mask_c = (recipe.ellipse(name, 256) for name in "abc")
    b.requires_grad_()
    with torch.no_grad():
        target_a, target_c = perceptual.features(a), perceptual.features(c)
        style_a = region_grams(perceptual.vgg, a, mask_a)

    style = STYLE_WEIGHT * style_distance(region_grams(perceptual.vgg, b, mask_b), style_a)
    found = with_gradient("style", style, b)
    found |= with_gradient("lpips", perceptual.distance(b, target_a), b)
    found |= with_gradient("masked_lpips", perceptual.masked(b, target_a, mask_a), b)
    with torch.no_grad():
        found["lpips_same"] = perceptual.distance(a, target_a)
        face = perceptual.masked(b, target_a, 1 - mask_a)
        found["blend_loss"] = face + perceptual.masked(b, target_c, mask_c)
        found["l2"] = (a - b).square().mean()
    return found


@pytest.mark.parametrize("name", compared(Recipe(VECTORS), FILE))
def test_the_loss_agrees_with_the_reference(recipe: Recipe, name: str) -> None:
    found = on_tensors() if name in on_tensors() else on_pictures()
    assert_agrees(recipe, FILE, name, found[name])
