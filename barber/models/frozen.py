"""Convolutions by weights that never change, which remember less for the backward pass.

The gradient with respect to a convolution's input needs the weight and the input's shape, not the
input. Autograd keeps the input all the same, for the weight's gradient that nobody asks for: at
1024 pixels that is a third of all memory. The arithmetic is autograd's own, bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Pair = tuple[int, int]


def convolve(
    x: Tensor,
    weight: Tensor,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    transposed: bool = False,
) -> Tensor:
    """A convolution without bias; a weight that asks for no gradient is taken as frozen.

    Args:
        x: [N, I, H, W].
        weight: [O, I / groups, k, k]; of a transposed one [I, O / groups, k, k].
        stride: On both axes.
        padding: On every side.
        groups: As in torch.
        transposed: Whether it is the transposed convolution.
    """
    how = ((stride, stride), (padding, padding), transposed, groups)
    if weight.requires_grad or not (x.requires_grad and torch.is_grad_enabled()):
        return _convolution(x, weight, *how)
    found: Tensor = _FrozenConvolution.apply(x, weight, *how)
    return found


def _convolution(
    x: Tensor, weight: Tensor, stride: Pair, padding: Pair, transposed: bool, groups: int
) -> Tensor:
    return torch.convolution(x, weight, None, stride, padding, (1, 1), transposed, (0, 0), groups)


class _FrozenConvolution(torch.autograd.Function):
    """Keeps the weight and the input's layout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, *how: Any) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.layout, ctx.how = (x.shape, x.stride()), how
        return _convolution(x, weight, *how)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        stride, padding, transposed, groups = ctx.how
        unread = gradient.new_empty_strided(*ctx.layout)  # only its layout matters
        of_input, _, _ = torch.ops.aten.convolution_backward(
            gradient,
            unread,
            weight,
            None,
            stride,
            padding,
            (1, 1),
            transposed,
            (0, 0),
            groups,
            (True, False, False),
        )
        return of_input, None, None, None, None, None
