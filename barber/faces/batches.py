"""Training batches drawn on the fly: every batch follows from a seed and its number alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from barber.faces.parameters import SCENE_GROUPS, face_params, sample_z, take_groups
from barber.faces.renderer import render

# Shares of the four ways to mix codes: none, all colours, hair colour alone, both apart.
_MIXES = (0.40, 0.20, 0.20, 0.20)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceBatch:
    """Drawn portraits with the codes that made them."""

    shape_z: Tensor  # [N, 96] gives every shape
    scene_z: Tensor  # [N, 96] gives every colour but the hair's
    hair_z: Tensor  # [N, 96] gives the hair's colour
    images: Tensor  # [N, 3, size, size] in [-1, 1]
    label_maps: Tensor  # int64 [N, size, size]


def mix(
    rng: np.random.Generator,
    scene: NDArray[Any],
    hair: NDArray[Any],
    others: Callable[[], NDArray[Any]],
) -> None:
    """Lets some people take their colours from others, in place: all, the hair's alone, or apart.

    Args:
        rng: Decides who does.
        scene: [N, ...], who gives every colour but the hair's.
        hair: [N, ...], who gives the hair's colour.
        others: Two others [2, ...], asked for once a person.
    """
    for i in range(len(scene)):
        way = int(rng.choice(len(_MIXES), p=_MIXES))
        first, second = others()
        if way in (1, 3):
            scene[i] = first
        if way in (2, 3):
            hair[i] = second
        if way == 1:
            hair[i] = first


def draw_batch(seed: int, number: int, count: int, size: int, *, mixed: bool = True) -> FaceBatch:
    """Draws one batch.

    Args:
        seed: Of the whole run; validation uses another than training.
        number: Of the batch within the run.
        count: Portraits in the batch.
        size: Side of the portraits in pixels.
        mixed: Whether some portraits take their colours from other codes than their shape.
    """
    rng = np.random.default_rng([seed, number])
    shape_z = sample_z(rng, count)
    scene_z, hair_z = shape_z.copy(), shape_z.copy()
    if mixed:
        mix(rng, scene_z, hair_z, lambda: sample_z(rng, 2))
    codes = take_groups(take_groups(shape_z, scene_z, SCENE_GROUPS), hair_z, ("hair_colour",))
    drawn = [render(face_params(code), size) for code in codes]
    pixels = torch.from_numpy(np.stack([picture.pixels for picture in drawn]))
    return FaceBatch(
        shape_z=torch.from_numpy(shape_z),
        scene_z=torch.from_numpy(scene_z),
        hair_z=torch.from_numpy(hair_z),
        images=pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0,
        label_maps=torch.from_numpy(
            np.stack([picture.label_map for picture in drawn]).astype(np.int64)
        ),
    )
