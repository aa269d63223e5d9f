"""The F mix and stage C: the aligned structures joined, the appearance found, the result rendered.

Source: method sections 12.3 and 13, in the form of 16.3 (3 to 5) for several regions; for one hair
region the two are the same. Where 16.3.5 lowers the smoothing of an empty mask, a mask also counts
as empty when nothing of it is left at the coarsest map that masked LPIPS reads: a colour sought on
the finer maps alone takes the whole picture along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from barber.artifacts import Alignment, Blend, FSCode, Portrait, Reconstruction, TargetMask
from barber.labels import Region
from barber.losses.perceptual import MASKED_TAPS, is_empty
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.plan import StageKind
from barber.resample import to_loss_size
from barber.spec import BlendParams, PortraitKey, RegionEdit
from barber.stages import masks
from barber.stages.descent import Course, Descent, OnStep, Pass, refuse_non_finite
from barber.stages.pictures import low_resolution, photograph_labels, render_labels, to_pixels
from barber.stages.snapshot import Snapshot

BASE = "base"  # the likeness outside of all regions


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """One variant of a job: its target mask and the alignments to it."""

    target: TargetMask
    identity: Alignment
    references: Mapping[PortraitKey, Alignment]
    sources: tuple[PortraitKey, ...]  # the portrait that stands for each region


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendInputs:
    """Everything that a blend reads."""

    identity: PortraitKey
    regions: tuple[RegionEdit, ...]
    portraits: Mapping[PortraitKey, Portrait]  # the identity and every appearance
    reconstructions: Mapping[PortraitKey, Reconstruction]  # every portrait of the job
    structure: Aligned | None  # None when there is no region
    appearance: Aligned | None  # on which the colour is found; often the same as `structure`

    @property
    def colours(self) -> tuple[PortraitKey, ...]:
        """The distinct appearance portraits besides the identity, in region order."""
        keys = dict.fromkeys(region.appearance for region in self.regions)
        return tuple(key for key in keys if key != self.identity)


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
    s: Tensor  # float32 [1, L, D], with these weights


def blend(
    bundle: ModelBundle,
    inputs: BlendInputs,
    params: BlendParams,
    *,
    noise: Noise,
    on_step: OnStep | None = None,
    resume: Snapshot | None = None,
) -> Blend:
    """Joins the aligned structures, finds the appearance weights, renders the composite.

    Args:
        bundle: The networks.
        inputs: Portraits, codes, target masks and alignments of the job.
        params: Steps, rate, smoothing, weight of the pixel term.
        noise: Source of every pass's noise planes.
        on_step: Told of the phase "appearance", which only runs when a colour comes from somebody.
        resume: Where an interrupted run with the same arguments stood.

    Raises:
        StageError: A loss is not finite.
        SnapshotError: `resume` is not of this stage.
    """
    course = Course(
        StageKind.BLEND, steps=params.steps, noise=noise, on_step=on_step, resume=resume
    )
    found, losses, dropped = _find_appearance(bundle, inputs, params, noise, course)
    with torch.no_grad():
        f = _mixed(bundle, inputs, inputs.structure, params)
        image = bundle.generator.render(f, found.s, noise)
    refuse_non_finite(StageKind.BLEND, {"image": image})
    return Blend(
        image=to_pixels(image, truncate=params.truncate_png),
        fs=FSCode(f=f, s=found.s),
        weights=_shares(inputs, found.weights),
        losses=losses,
        dropped=dropped,
    )


def _mixed(
    bundle: ModelBundle, inputs: BlendInputs, aligned: Aligned | None, params: BlendParams
) -> Tensor:
    return mix(
        bundle,
        inputs,
        aligned,
        params.mix_smoothing,
        erodes=params.mix_erodes,
        border=params.border_erodes,
        clamp=params.clamp_soft_masks,
    )


def mix(
    bundle: ModelBundle,
    inputs: BlendInputs,
    aligned: Aligned | None,
    smoothing: int,
    *,
    erodes: bool = True,
    border: bool = True,
    clamp: bool = False,
) -> Tensor:
    """F of the composite [1, C, f, f]: lerps in region order, so that all shares sum to one.

    Hair is eroded as 12.3 says. Brows, eyes and lips are thinner than twice the official erosion,
    which would leave nothing of them to move: facial regions are eroded less where need be.

    Args:
        bundle: Gives sizes and device.
        inputs: Gives the reconstructions and the regions' labels.
        aligned: The variant to mix; None leaves the identity as it is.
        smoothing: Pixels of morphology at the loss size; 0 for none.
        erodes: Whether regions are eroded; what gives way to them is dilated in any case.
        border: Whether erosion takes the outside of the picture for empty.
        clamp: Whether the soft masks' overshoot is cut.
    """
    geometry, device = bundle.geometry, bundle.device
    own = inputs.reconstructions[inputs.identity].fs.f.to(device)
    if aligned is None:
        return own
    label_map = aligned.target.label_map.to(device)
    inside = [masks.covered(label_map, region.area) for region in inputs.regions]
    shown, removed = aligned.target.shown.to(device), aligned.target.removed.to(device)
    anywhere = torch.cat(inside, dim=1).any(dim=1, keepdim=True)
    alpha = masks.identity_alpha(removed, anywhere, smoothing, geometry, clamp=clamp)
    f = masks.lerp(own, aligned.identity.f.to(device), alpha)

    for r, source in enumerate(aligned.sources):
        depth = smoothing if erodes else 0
        if Region.HAIR not in inputs.regions[r].labels:
            depth = masks.gentle_depth(inside[r], depth, geometry, border=border)

        def inner_alpha(mask: Tensor, steps: int = depth) -> Tensor:
            return masks.region_alpha(mask, steps, geometry, border=border, clamp=clamp)

        moved = aligned.references[source].f.to(device)
        f = masks.lerp(f, moved, inner_alpha(inside[r]))
        common = inside[r] & shown[:, r : r + 1]
        still = inputs.reconstructions[source].fs.f.to(device)
        f = masks.lerp(f, still, inner_alpha(common))
    return f


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


def _find_appearance(
    bundle: ModelBundle,
    inputs: BlendInputs,
    params: BlendParams,
    noise: Noise,
    course: Course,
) -> tuple[Appearance, dict[str, float], tuple[str, ...]]:
    own = inputs.reconstructions[inputs.identity].fs.s.to(bundle.device)
    others = [inputs.reconstructions[key].fs.s.to(bundle.device) for key in inputs.colours]
    shape = (len(others), *own.shape[1:])
    unchanged = Appearance(weights=own.new_zeros(shape), s=own)
    if not others:
        return unchanged, {}, ()
    with torch.no_grad():
        f = _mixed(bundle, inputs, inputs.appearance, params)
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
    weights = torch.zeros(shape, device=bundle.device)
    towards = torch.cat(others) - own  # [K, L, D]

    def coloured() -> Tensor:
        return own + (weights * towards).sum(dim=0)

    def forward() -> Pass[Appearance]:
        s = coloured()
        picture = bundle.generator.render(f, s, noise)
        kept = Appearance(weights=weights.detach().clone(), s=s.detach())
        return Pass(losses=likeness(picture), kept=kept, picture=picture.detach())

    def project() -> None:
        weights.copy_(project_to_simplex(weights))

    last, losses = course.descend(
        "appearance",
        Descent([weights], rate=params.rate),
        forward,
        steps=params.steps,
        project=project,
    )
    if params.keep_last_update:
        return Appearance(weights=weights.detach(), s=coloured().detach()), losses, dropped
    return last.kept, losses, dropped


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


def _shares(inputs: BlendInputs, weights: Tensor) -> dict[PortraitKey, Tensor]:
    """u of every portrait, the identity's first: what the others leave of one."""
    shares = {inputs.identity: (1 - weights.sum(dim=0)).clamp(0, 1)}  # not below 0 by rounding
    return shares | {key: weights[k] for k, key in enumerate(inputs.colours)}
