"""What a stage computes on its way and does not return, overheard while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import Tensor

from barber.spec import MaskMode
from barber.stages import appearance, masks, target
from barber.stages.target import Composition, Fill, semantic_fill


@contextmanager
def soft_masks() -> Iterator[list[Tensor]]:
    """The soft masks a, b, c of every F mix made meanwhile, each [1, f, f]."""
    heard: list[Tensor] = []
    lerp = masks.lerp

    def listening(outside: Tensor, inside: Tensor, alpha: Tensor) -> Tensor:
        heard.append(alpha[0])
        return lerp(outside, inside, alpha)

    with patch.object(masks, "lerp", listening):
        yield heard


def fill_in_two_passes(
    first: Composition, fill: Fill, mode: MaskMode = MaskMode.REALISTIC
) -> Tensor:
    """`semantic_fill` with a second pass even where nothing is hidden, as the reference logs it.

    Ours leaves that pass out, for nobody reads its outcome: the label map is the same.
    """
    found = semantic_fill(first, fill, mode)
    if not bool(first.hidden.any()):
        fill("uncover", found)
    return found


@contextmanager
def filling() -> Iterator[None]:
    """Every semantic fill made meanwhile runs, and reports, both passes."""
    with patch.object(target, "semantic_fill", fill_in_two_passes):
        yield


@contextmanager
def blending() -> Iterator[dict[str, Any]]:
    """Under "terms" the likenesses with their masks, under "weights" t after the last update."""
    heard: dict[str, Any] = {}
    loss_terms, project = appearance.loss_terms, appearance.project_to_simplex

    def terms(*given: Any, **named: Any) -> Any:
        found = loss_terms(*given, **named)
        heard["terms"] = found[0]
        return found

    def projection(weights: Tensor) -> Tensor:
        projected = project(weights)
        heard["weights"] = projected.clone()
        return projected

    with (
        patch.object(appearance, "loss_terms", terms),
        patch.object(appearance, "project_to_simplex", projection),
    ):
        yield heard
