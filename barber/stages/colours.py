"""Colours that one picture of a region gives another: by their mean, or level by level of light.

Pictures are signed [1, 3, R, R], masks bool [1, 1, R, R].
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_SHARED = 0.1  # of the smaller of two regions: fewer common places do not tell its colour
LEVELS = 17  # of luminance that have a colour of their own
BLACK = 0.1  # added to what is compared with black, whose 8-bit noise would be a large share
KNOT_STEPS = 2**14  # to one of luminance: what differs by less than 8 bits can tell is one level
LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601


def comparable(place: Tensor, model: Tensor) -> tuple[Tensor, Tensor]:
    """Where to compare a region's colours in two pictures of it: in common places, if enough.

    Long hair is darker below, and a short cut has no below.
    """
    both = place & model
    if both.sum() >= LEAST_SHARED * min(place.sum(), model.sum()):
        return both, both
    return place, model


def mean_colour(picture: Tensor, where: Tensor) -> Tensor:
    """[1, 3, 1, 1] over a mask that is not empty."""
    return (picture * where).sum(dim=(2, 3), keepdim=True) / where.sum()


def with_colours(picture: Tensor, here: Tensor, model: Tensor, there: Tensor) -> Tensor:
    """The picture in the model's colours: each pixel takes that of its rank of luminance.

    So strands keep their place. Ranks are told in `LEVELS` levels, linear in between (after Welsh
    et al., Transferring Color to Greyscale Images, 2002). What is lighter than the lightest level
    takes its colour; what is darker than the darkest is as many times darker than its colour.

    Args:
        picture: What is to be recoloured, all of it.
        here: Which of its pixels tell its levels; at least `LEVELS` of them.
        model: Whose colours.
        there: Which of its pixels give them; at least `LEVELS` of them.
    """
    light = luminance(picture)
    parts = light[here].sort().values.tensor_split(LEVELS)
    knots = torch.stack([part.mean() for part in parts])
    knots = ((knots * KNOT_STEPS).round() / KNOT_STEPS).cummax(dim=0).values
    order = luminance(model)[there].argsort(stable=True)
    colours = model[0][:, there[0, 0]][:, order]
    levels = torch.stack([part.mean(dim=1) for part in colours.tensor_split(LEVELS, dim=1)])
    knots, group = torch.unique_consecutive(knots, return_inverse=True)  # what is clipped is tied
    levels = torch.stack([levels[group == tie].mean(dim=0) for tie in range(len(knots))])
    above = torch.searchsorted(knots, light).clamp(max=len(knots) - 1)
    below = (above - 1).clamp_min(0)
    gap = (knots[above] - knots[below]).clamp_min(torch.finfo().eps)
    share = ((light - knots[below]) / gap).clamp(0, 1)
    lower, upper = (levels[at[:, 0]].permute(0, 3, 1, 2) for at in (below, above))
    darker = ((light + 1 + BLACK) / (knots[0] + 1 + BLACK)).clamp(max=1)
    found: Tensor = (torch.lerp(lower, upper, share) + 1) * darker - 1
    return found


def luminance(picture: Tensor) -> Tensor:
    """Signed [1, 1, R, R]."""
    weights = torch.tensor(LUMA, dtype=picture.dtype, device=picture.device)
    return (picture * weights[:, None, None]).sum(dim=1, keepdim=True)
