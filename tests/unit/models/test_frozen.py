from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from barber.models.frozen import convolve

FORMS: list[dict[str, Any]] = [
    {"padding": 1},
    {"stride": 2, "transposed": True},
    {"padding": 1, "groups": 6},
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weight_for(form: dict[str, Any]) -> Tensor:
    return random(6, 1, 4, 4, seed=1) if "groups" in form else random(6, 6, 3, 3, seed=1)


def plain(x: Tensor, weight: Tensor, form: dict[str, Any]) -> Tensor:
    rest = {name: value for name, value in form.items() if name != "transposed"}
    if form.get("transposed"):
        return functional.conv_transpose2d(x, weight, **rest)
    return functional.conv2d(x, weight, **rest)


@pytest.mark.parametrize("form", FORMS, ids=["plain", "transposed", "per channel"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_frozen_convolution_is_autograds_bit_for_bit(
    form: dict[str, Any], layout: torch.memory_format
) -> None:
    weight = weight_for(form)
    found = []
    for operation in (lambda x: convolve(x, weight, **form), lambda x: plain(x, weight, form)):
        x = random(2, 6, 12, 12).contiguous(memory_format=layout).requires_grad_()
        y = operation(x * 2)
        y.square().sum().backward()
        found.append((y.detach(), x.grad))
    (y, gradient), (other_y, other_gradient) = found
    assert gradient is not None and other_gradient is not None
    assert torch.equal(y, other_y) and torch.equal(gradient, other_gradient)


def test_frozen_convolution_does_not_keep_its_input() -> None:
    x, kept = random(1, 6, 64, 64).requires_grad_(), list[int]()

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        convolve(x * 2, weight_for({}), padding=1)
    assert max(kept) < x.numel()


def test_weight_in_training_still_learns() -> None:
    x, weight = random(1, 6, 8, 8).requires_grad_(), weight_for({}).requires_grad_()
    convolve(x, weight, padding=1).sum().backward()
    assert weight.grad is not None and float(weight.grad.abs().sum()) > 0
    assert x.grad is not None
