"""Images, F and gradients of the generator at any official size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from barber.models.stylegan2 import Noise
from tests.conformance.bench import Bench, mean_std
from tests.conformance.compare import Value

MOST_ROWS = 18  # of the recipe's w, at any size
CELLS = 64  # images are stored at every (size / 64)-th pixel
CROP = 32
F_STEP = 16  # F is stored at every 16th channel


def mapping(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """The mapping network on four codes."""
    generator = bench.bundle(_size(file)).generator
    with torch.no_grad():
        yield {"mapping": generator.map(bench.tensor("test/z", (4, 512)))}


def results(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """Full synthesis, to F, from F, and from a given F, with gradients."""
    size, noise = _size(file), Noise.buffers()
    bundle = bench.bundle(size)
    generator, geometry = bundle.generator, bundle.geometry
    w = bench.tensor("test/w", (1, MOST_ROWS, 512), 0.6)[:, : geometry.rows].clone()
    w.requires_grad_()
    pull = bench.tensor(f"test/R{size}", (1, 3, size, size))

    image = generator.synthesize(w, noise)
    (grad_w,) = torch.autograd.grad((image * pull).mean(), w)
    yield {**_describe("image", image), "grad_w": grad_w}

    with torch.no_grad():
        carried = generator.structure(w, noise, carry_skip=True)
        f, skip = carried[:, : geometry.f_channels], carried[:, geometry.f_channels :]
        yield {"F_slice": f[0, ::F_STEP], "F_meanstd": mean_std(f), f"skip{f.shape[-1]}": skip}
        f = generator.structure(w, noise)
        yield _describe("image_from_F", generator.render(f, w, noise))

    given = bench.tensor("test/F", tuple(f.shape), 0.5).requires_grad_()
    image = generator.render(given, w, noise)
    grad_f, grad_w = torch.autograd.grad((image * pull).mean(), (given, w))
    yield {
        **_describe("image_from_random_F", image),
        "grad_F_slice": grad_f[0, ::F_STEP],
        "grad_F_meanstd": mean_std(grad_f),
        "grad_w_from_random_F": grad_w,
    }


def _size(file: str) -> int:
    return int(re.findall(r"\d+", file)[-1])


def _describe(prefix: str, image: Tensor) -> dict[str, Value]:
    step = image.shape[-1] // CELLS
    return {
        f"{prefix}_slice": image[0, :, ::step, ::step],
        f"{prefix}_crop": image[0, :, :CROP, :CROP],
        f"{prefix}_meanstd": mean_std(image),
    }
