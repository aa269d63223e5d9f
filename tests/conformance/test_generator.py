"""Images, F and gradients of the generator, at 256 and 1024."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from barber.models.stylegan2 import Generator, Noise
from tests.conformance.compare import assert_agrees, compared, mean_std
from tests.conformance.recipe import VECTORS, Recipe, reference_bundle

CASES = [
    pytest.param(
        size,
        name,
        marks=[pytest.mark.slow] if size == 1024 else [],
        id=f"{size}-{name}",
    )
    for size in (256, 1024)
    for name in compared(Recipe(VECTORS), f"generator_{size}.npz")
]


def describe(prefix: str, image: Tensor) -> dict[str, Tensor]:
    step = image.shape[-1] // 64
    return {
        f"{prefix}_slice": image[0, :, ::step, ::step],
        f"{prefix}_crop": image[0, :, :32, :32],
        f"{prefix}_meanstd": mean_std(image),
    }


def skip_at_f(generator: Generator, w: Tensor) -> Tensor:
    """The RGB skip at F's size, which the method discards and so no public pass returns."""
    noise = Noise.buffers()
    x, skip = generator._first_block(w, noise)
    for layer in range(1, generator.geometry.f_layer + 1):
        x = generator._convolve(layer, x, w, noise)
        skip = generator._to_rgb(layer, x, w, skip)
    return skip


@cache
def results(size: int) -> dict[str, Tensor]:
    recipe, bundle, noise = Recipe(VECTORS), reference_bundle(size), Noise.buffers()
    generator, rows = bundle.generator, bundle.geometry.rows
    w = recipe.tensor("test/w", (1, 18, 512), 0.6)[:, :rows].clone().requires_grad_()
    pull = recipe.tensor(f"test/R{size}", (1, 3, size, size))

    image = generator.synthesize(w, noise)
    found = describe("image", image)
    (found["grad_w"],) = torch.autograd.grad((image * pull).mean(), w)
    with torch.no_grad():
        f = generator.structure(w, noise)
        found |= {"F_slice": f[0, ::16], "F_meanstd": mean_std(f)}
        found["skip32"] = skip_at_f(generator, w)
        found |= describe("image_from_F", generator.render(f, w, noise))

    f = recipe.tensor("test/F", (1, 512, 32, 32), 0.5).requires_grad_()
    image = generator.render(f, w, noise)
    found |= describe("image_from_random_F", image)
    grad_f, grad_w = torch.autograd.grad((image * pull).mean(), (f, w))
    found |= {"grad_F_slice": grad_f[0, ::16], "grad_F_meanstd": mean_std(grad_f)}
    found["grad_w_from_random_F"] = grad_w
    found["mapping"] = generator.map(recipe.tensor("test/z", (4, 512)))
    return found


@pytest.mark.parametrize(("size", "name"), CASES)
def test_the_generator_agrees_with_the_reference(recipe: Recipe, size: int, name: str) -> None:
    assert_agrees(recipe, f"generator_{size}.npz", name, results(size)[name])
