"""Stage C: the appearance weights, found under masked LPIPS.

Source: method section 13, in the form of 16.3 (4 and 5) for several regions; for one hair region
the two are the same. Where 16.3.5 lowers the smoothing of an empty mask, a mask also counts as
empty when nothing of it is left at the coarsest map that masked LPIPS reads: a colour sought on
the finer maps alone takes the whole picture along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from barber.losses.perceptual import MASKED_TAPS, is_empty
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.resample import to_loss_size
from barber.spec import BlendParams, PortraitKey, RegionEdit
from barber.stages import masks
from barber.stages.descent import Course, Descent, Pass
from barber.stages.mix import BlendInputs, mixed, shares_of_s
from barber.stages.pictures import low_resolution, photograph_labels, render_labels

BASE = "base"  # the likeness outside of all regions


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One masked likeness of the blend: where, and to which portrait's picture."""

    name: str  # "base", or a region's number and words, for example "1:hair"
    portrait: PortraitKey
    mask: Tensor  # bool [1, 1, h, h] at the loss size


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """What the blend optimises towards."""

    weights: Tensor  # t, float32 [K, L, D], one layer per colour
    s: Tensor  # float32 [1, L, D] with these weights; [1 + K, L, D] when each region has its own


def find_appearance(
    bundle: ModelBundle,
    inputs: BlendInputs,
    params: BlendParams,
    noise: Noise,
    course: Course,
) -> tuple[Appearance, dict[str, float], tuple[str, ...]]:
    """The appearance weights, the losses of the last pass, and the terms that had to be dropped.

    Args:
        bundle: The networks.
        inputs: The job; nothing is sought when no colour comes from somebody else.
        params: Steps, rate, smoothing, weights of the terms.
        noise: Source of every pass's noise planes.
        course: Told of the phase "appearance".
    """
    own = inputs.reconstructions[inputs.identity].fs.s.to(bundle.device)
    others = [inputs.reconstructions[key].fs.s.to(bundle.device) for key in inputs.colours]
    shape = (len(others), *own.shape[1:])
    if not others:
        return Appearance(weights=own.new_zeros(shape), s=own), {}, ()
    shares = shares_of_s(bundle, inputs, inputs.appearance, params)
    towards = torch.cat(others) - own  # [K, L, D]

    def coloured(weights: Tensor) -> Tensor:
        if shares is None:
            return own + (weights * towards).sum(dim=0)
        return torch.cat([own, own + weights * towards])

    weights = torch.zeros(shape, device=bundle.device)
    unchanged = Appearance(weights=weights, s=coloured(weights))
    with torch.no_grad():
        f = mixed(bundle, inputs, inputs.appearance, params)
        rendered = render_labels(bundle, bundle.generator.render(f, own, noise))
    terms, dropped = loss_terms(
        bundle,
        inputs,
        rendered,
        params.mask_smoothing,
        border=params.border_erodes,
        clamp=params.clamp_photographs,
    )
    if not terms:
        return unchanged, {}, dropped
    likeness = _likeness(bundle, inputs, terms, params)

    def forward() -> Pass[Tensor]:
        picture = bundle.generator.render(f, coloured(weights), noise, shares)
        kept = weights.detach().clone()
        return Pass(losses=likeness(picture), kept=kept, picture=picture.detach())

    def project() -> None:
        # Colours that share no place need not share the room below one.
        nearest = project_to_simplex(weights) if shares is None else weights.clamp(0, 1)
        weights.copy_(nearest)

    def find() -> tuple[Tensor, dict[str, float]]:
        descent = Descent([weights], rate=params.rate)
        last, losses = course.descend(
            "appearance", descent, forward, steps=params.steps, project=project
        )
        return (weights.detach() if params.keep_last_update else last.kept), losses

    best, losses = course.once("appearance", find)
    best = best.to(bundle.device)
    return Appearance(weights=best, s=coloured(best)), dict(losses), dropped


def loss_terms(
    bundle: ModelBundle,
    inputs: BlendInputs,
    rendered: Tensor,
    smoothing: int,
    *,
    border: bool = True,
    clamp: bool = True,
) -> tuple[list[Term], tuple[str, ...]]:
    """The masked likenesses of 13.4 and 16.3.4, and the names of those that had to be dropped.

    Args:
        bundle: The networks; the parser reads the photographs.
        inputs: The job.
        rendered: Label map int64 [1, H, W] of the composite before the appearance is found.
        smoothing: Pixels of morphology, lowered for a mask that it would leave empty.
        border: Whether erosion takes the outside of the picture for empty.
        clamp: Whether photographs are clamped before the parser sees them.
    """
    side = bundle.geometry.loss_size
    keys = dict.fromkeys([inputs.identity, *(r.appearance for r in inputs.regions)])
    maps = {key: photograph_labels(bundle, inputs.portraits[key], clamp=clamp) for key in keys}

    def where(label_map: Tensor, region: RegionEdit) -> Tensor:
        return masks.to_side(masks.covered(label_map, region.area), side)

    def base(steps: int) -> Tensor:
        covered = torch.zeros((1, 1, side, side), dtype=torch.bool, device=rendered.device)
        for region in inputs.regions:
            for label_map in (maps[inputs.identity], maps[region.appearance], rendered):
                covered |= masks.dilate(where(label_map, region), steps)
        return ~covered

    def inner(region: RegionEdit) -> Callable[[int], Tensor]:
        inside = where(maps[region.appearance], region)
        return lambda steps: masks.erode(inside, steps, border=border)

    wanted: list[tuple[str, PortraitKey, Callable[[int], Tensor]]]
    wanted = [(BASE, inputs.identity, base)]
    for number, region in enumerate(inputs.regions, start=1):
        wanted.append((f"{number}:{region.area.words}", region.appearance, inner(region)))
    terms: list[Term] = []
    dropped: list[str] = []
    for name, portrait, mask_at in wanted:
        mask = _largest_smoothing(mask_at, smoothing)
        if mask is None:
            dropped.append(name)
        else:
            terms.append(Term(name=name, portrait=portrait, mask=mask))
    return terms, tuple(dropped)


def project_to_simplex(weights: Tensor) -> Tensor:
    """The nearest t with t >= 0 and a sum over the first axis of at most 1 (method 16.3.4).

    Args:
        weights: t, float32 [K, L, D]; every (row, entry) is one vector of K.
    """
    if len(weights) == 1:
        return weights.clamp(0, 1)
    clamped = weights.clamp_min(0)
    ordered = clamped.sort(dim=0, descending=True).values
    count = torch.arange(1, len(weights) + 1, device=weights.device)[:, None, None]
    excess = (ordered.cumsum(dim=0) - 1) / count  # candidate thresholds
    last = (ordered > excess).sum(dim=0, keepdim=True) - 1
    on_simplex = (clamped - excess.gather(0, last.clamp_min(0))).clamp_min(0)
    return torch.where(clamped.sum(dim=0, keepdim=True) > 1, on_simplex, clamped)


def _likeness(
    bundle: ModelBundle, inputs: BlendInputs, terms: Sequence[Term], params: BlendParams
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Masked LPIPS per term, and masked L1 where asked; the portraits' features computed once."""
    small = {
        key: low_resolution(
            inputs.portraits[key], bundle.geometry, bundle.device, params.low_target
        )
        for key in {term.portrait for term in terms}
    }
    perceptual = bundle.perceptual
    taps = min(MASKED_TAPS, perceptual.taps)
    with torch.no_grad():
        features = {key: perceptual.features(x, taps) for key, x in small.items()}

    def losses(picture: Tensor) -> dict[str, Tensor]:
        seen = to_loss_size(picture, bundle.geometry)
        own = perceptual.features(seen, taps)  # of the whole picture, so every term shares them
        found: dict[str, Tensor] = {}
        for term in terms:
            mask = term.mask.float()
            weight = params.base_weight if term.name == BASE else params.region_weight
            distance = perceptual.masked_between(own, features[term.portrait], mask)[0]
            found[term.name] = weight * distance
            if params.pixel_weight > 0:
                pixels = masked_l1(seen, small[term.portrait], mask)
                found[f"{term.name}.pixels"] = weight * params.pixel_weight * pixels
        return found

    return losses


def masked_l1(picture: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over the mask's pixels and the three channels, a scalar.

    Args:
        picture: Signed [1, 3, h, h].
        wanted: Likewise.
        mask: {0, 1} float [1, 1, h, h], not empty.
    """
    return ((picture - wanted).abs() * mask).sum() / (mask.sum() * picture.shape[1])


def _largest_smoothing(mask_at: Callable[[int], Tensor], smoothing: int) -> Tensor | None:
    """The mask at the most smoothing, from `smoothing` down to 0, that leaves something of it."""
    for steps in range(smoothing, -1, -1):
        mask = mask_at(steps)
        if not is_empty(mask):
            return mask
    return None
