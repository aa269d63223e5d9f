"""People who were never trained on, as the renderer draws them; all that evaluation asks of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from barber.faces.renderer import (
    FaceParams,
    Rendering,
    face_params,
    render,
    sample_z,
    true_composite,
)

__all__ = ["FaceParams", "Rendering", "composite", "held_out", "portrait"]

# First word of the entropy. Training draws its people from [seed of a plan, number of a batch],
# and no plan has this seed.
HELD_OUT = 0xBA5BE5


def held_out(seed: int, count: int) -> Sequence[FaceParams]:
    """Drawn people that no training has seen; the first ones are the same for any count."""
    draw = np.random.default_rng([HELD_OUT, seed])
    return [face_params(sample_z(draw, 1)[0]) for _ in range(count)]


def portrait(person: FaceParams, size: int) -> Rendering:
    """Somebody's portrait and its exact label map."""
    return render(person, size)


def composite(
    identity: FaceParams, hair: FaceParams, colour: FaceParams, *, size: int
) -> Rendering:
    """The true picture of identity with one person's hairstyle in another's hair colour.

    The hair stays where it is in its own picture, as in the method.
    """
    return true_composite(identity, hair, colour, size=size)
