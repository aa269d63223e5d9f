"""Stage B1: the target mask, from the label maps of the identity and of each region's source.

A mask that somebody painted takes the place of what is composed here; the rest of the method
follows it as it would follow ours.

Source: method section 11, in the form of 16.3.1 for several regions; the strict mode and the hats
are ours, see docs/decisions.md. Facial holes under the heuristic fill take the nearest label: 11.4
speaks of hair only, and would leave background there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from barber.artifacts import Portrait, TargetMask
from barber.errors import StageError, short_key
from barber.labels import Area, Region
from barber.losses.segmentation import (
    cross_entropy,
    cross_entropy_background_only,
    cross_entropy_where,
    cross_entropy_without_background,
    none_of,
)
from barber.models.bundle import ModelBundle
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Noise
from barber.painted import PaintedMask
from barber.plan import StageKind
from barber.spec import EmptyRegion, FillMode, MaskMode, PortraitKey, TargetParams
from barber.stages import masks
from barber.stages.descent import Course, Descent, OnStep, Pass, refuse_non_finite
from barber.stages.pictures import label_logits, photograph_labels
from barber.stages.snapshot import Snapshot

_OFFICIAL = TargetParams()

Fill = Callable[[str, Tensor], Tensor]  # phase, label map wanted [1, H, W] -> label map seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The first composition of label maps, before its holes are filled."""

    identity: Tensor  # the identity's label map, int64 [1, H, W]
    labels: Tensor  # T, int64 [1, H, W], occluded pixels already inpainted
    background: Tensor  # bgmap, int64 [1, H, W]: 0 where background must stay
    removed: Tensor  # bool [1, 1, H, W]
    shown: Tensor  # bool [1, K, H, W]
    pasted: Tensor  # bool [1, 1, H, W]: where anything was; what a hat hides included
    hidden: Tensor  # OB, bool [1, 1, H, W]
    taken: frozenset[Region]  # the labels that some region replaces

    @property
    def holes(self) -> Tensor:
        """Bool [1, 1, H, W]: what was removed and nothing pasted over."""
        return self.removed & ~self.pasted

    @property
    def facial_holes(self) -> Tensor:
        """Those holes that hair does not leave; what hair leaves is background already."""
        return self.holes & ~masks.among(self.identity, [Region.HAIR])


def target(
    bundle: ModelBundle,
    identity: Portrait,
    sources: Sequence[Portrait],
    areas: Sequence[Area],
    params: TargetParams,
    *,
    painted: PaintedMask | None = None,
    noise: Noise,
    on_step: OnStep | None = None,
    resume: Snapshot | None = None,
) -> TargetMask:
    """Composes the label map that the identity shall have with every region replaced.

    Args:
        bundle: The networks.
        identity: Whose label map is changed.
        sources: The portrait that gives each region's shape, in region order; later ones win.
        areas: What each region takes from its source; as many as sources, at least one.
        params: Mode, fill and steps.
        painted: The label map to work towards instead, at the label size; nothing is filled then.
        noise: Source of every pass's noise planes.
        on_step: Told of phases "fill" and, where a hair source hides something, "uncover".
        resume: Where an interrupted run with the same arguments stood.

    Raises:
        StageError: A loss is not finite, or a label map lacks the nose that an area's zone is found
            by.
        SnapshotError: `resume` is not of this stage.
    """
    maps = {
        p.sha256: photograph_labels(bundle, p, clamp=params.clamp_photographs)
        for p in (identity, *sources)
    }
    _check_zones(maps, identity, sources, areas)
    first = compose_labels(
        maps[identity.sha256],
        [maps[p.sha256] for p in sources],
        areas,
        params,
    )
    if params.empty_region is EmptyRegion.REFUSE:
        _check_shown(first, sources, areas)
    if painted is not None:
        return _painted_mask(bundle, first, areas, painted)
    if params.fill is FillMode.HEURISTIC:
        return _target_mask(first, masks.fill_from_nearest(first.labels, first.facial_holes), {})
    strict = params.mask_mode is MaskMode.STRICT
    passes = 2 if bool(first.hidden.any()) and not strict else 1
    course = Course(
        StageKind.TARGET,
        steps=passes * params.steps,
        noise=noise,
        on_step=on_step,
        resume=resume,
    )
    losses: dict[str, float] = {}

    def fill(phase: str, wanted: Tensor) -> Tensor:
        def evaluate(logits: Tensor) -> dict[str, Tensor]:
            return fill_losses(logits, wanted, first, params.mask_mode)

        seen, found = course.once(
            phase, lambda: _optimise(bundle, params, noise, course, phase, evaluate)
        )
        losses.update({f"{phase}.{name}": value for name, value in found.items()})
        return seen.to(bundle.device)

    return _target_mask(first, semantic_fill(first, fill, params.mask_mode), losses)


def compose_labels(
    identity: Tensor,
    sources: Sequence[Tensor],
    areas: Sequence[Area],
    params: TargetParams = _OFFICIAL,
) -> Composition:
    """Pastes the regions' labels and inpaints what a hair source hides (method 11.1, 11.2).

    Args:
        identity: The identity's label map, int64 [1, H, W].
        sources: The label map of each region's source.
        areas: What each region takes from its source.
        params: Hats, and what the inpainting keeps (14.15).
    """
    worn = _worn(identity, areas, params)
    heads = [
        _bareheaded(source, area) if params.hair_under_hat else source
        for source, area in zip(sources, areas, strict=True)
    ]
    hidden = masks.occluded(identity, heads, areas)
    composed = torch.where(worn, identity, masks.paste(identity, heads, areas))
    shown, pasted = (masks.covered_in(maps, areas) & ~worn[:, None] for maps in (sources, heads))
    if bool(hidden.any()):
        composed = masks.prefill(composed, hidden, truncate=params.truncate_prefill)
    return Composition(
        identity=identity,
        labels=composed,
        background=masks.background_map(identity, pasted.any(dim=1, keepdim=True)),
        removed=masks.covered_by_any(identity, areas),
        shown=shown,
        pasted=pasted.any(dim=1, keepdim=True),
        hidden=hidden,
        taken=frozenset(label for area in areas for label in area.labels),
    )


def _worn(identity: Tensor, areas: Sequence[Area], params: TargetParams) -> Tensor:
    """Bool [1, H, W]: the identity's hat that stays, which no region is to replace."""
    if not params.keep_hat or any(Region.HAT in area.labels for area in areas):
        return torch.zeros_like(identity, dtype=torch.bool)
    return identity == Region.HAT


def _bareheaded(source: Tensor, area: Area) -> Tensor:
    """The source's label map, with hair in the place of a hat where its hair is taken."""
    if Region.HAIR not in area.labels or Region.HAT in area.labels:
        return source
    return source.masked_fill(source == Region.HAT, int(Region.HAIR))


def semantic_fill(first: Composition, fill: Fill, mode: MaskMode = _OFFICIAL.mask_mode) -> Tensor:
    """Lets the generator say what lies in holes and under what is hidden (method 11.3).

    Args:
        first: The first composition.
        fill: Finds a code near a wanted label map and returns the label map of its picture. The
            second pass is left out when nothing is hidden: its outcome would not be read.
        mode: Strict asks once: it has no use for what the generator would put under B's face.

    Returns:
        The target label map, int64 [1, H, W].
    """
    behind = fill("fill", first.labels)
    filled = torch.where(first.holes[:, 0], behind, first.labels)
    if mode is MaskMode.STRICT:
        return _without_return(first, filled)
    if not bool(first.hidden.any()):
        return filled
    hidden = first.hidden[:, 0]
    under = fill("uncover", filled.masked_fill(hidden, int(Region.BACKGROUND)))
    return torch.where(hidden & (under != Region.BACKGROUND), under, filled)


def _without_return(first: Composition, filled: Tensor) -> Tensor:
    """Holes in which the generator insists on what was removed take the nearest other label."""
    taken = masks.among(filled, first.taken)
    nearest = masks.fill_from_nearest(filled, taken)
    return torch.where((first.holes & taken)[:, 0], nearest, filled)


def fill_losses(
    logits: Tensor, wanted: Tensor, first: Composition, mode: MaskMode
) -> dict[str, Tensor]:
    """What a pass of the fill minimises (method 11.3).

    Args:
        logits: [1, 16, H, W].
        wanted: Label map int64 [1, H, W].
        first: Gives bgmap and the holes.
        mode: Whether the wanted background is followed as well, and in the holes, too.
    """
    if mode is MaskMode.STRICT:
        holes = first.holes[:, 0]
        return {
            "cross_entropy": cross_entropy_where(logits, wanted, ~holes)[0],
            "returned": none_of(logits, first.taken, holes)[0],
        }
    if mode is MaskMode.FIDELITY:
        return {"cross_entropy": cross_entropy(logits, wanted)[0]}
    return {
        "without_background": cross_entropy_without_background(logits, wanted)[0],
        "background_only": cross_entropy_background_only(logits, first.background)[0],
    }


def _check_shown(first: Composition, sources: Sequence[Portrait], areas: Sequence[Area]) -> None:
    """Raises StageError for a region whose source shows nothing of it."""
    for r, (source, area) in enumerate(zip(sources, areas, strict=True)):
        if not bool(first.shown[:, r].any()):
            raise StageError(
                f"region {r + 1} ({area.words}) is empty: portrait {short_key(source.sha256)} "
                "shows none; name another portrait for its shape, leave the region out, or have it "
                "taken away with target.empty_region=remove",
                stage=StageKind.TARGET,
                portraits=[source.sha256],
            )


def _check_zones(
    maps: Mapping[PortraitKey, Tensor],
    identity: Portrait,
    sources: Sequence[Portrait],
    areas: Sequence[Area],
) -> None:
    for number, (source, area) in enumerate(zip(sources, areas, strict=True), start=1):
        for portrait in (identity, source):
            if not masks.has_zone(maps[portrait.sha256], area):
                raise StageError(
                    f"region {number} ({area.words}) is found below the nose, and portrait "
                    f"{short_key(portrait.sha256)} shows no nose: use one that faces the camera",
                    stage=StageKind.TARGET,
                    portraits=[portrait.sha256],
                )


def _optimise(
    bundle: ModelBundle,
    params: TargetParams,
    noise: Noise,
    course: Course,
    phase: str,
    evaluate: Callable[[Tensor], dict[str, Tensor]],
) -> tuple[Tensor, dict[str, float]]:
    """One pass: the label map of the last forward pass, and its losses."""
    free = bundle.geometry.split_row if params.all_f_rows else bundle.geometry.align_rows
    mean = bundle.w_avg.reshape(1, 1, -1).repeat(1, bundle.geometry.rows, 1)
    rows, rest = mean[:, :free].clone(), mean[:, free:]

    def forward() -> Pass[Tensor]:
        picture = bundle.generator.synthesize(torch.cat([rows, rest], dim=1), noise)
        logits = label_logits(bundle, picture)
        kept = Segmenter.label_map(logits.detach())
        return Pass(losses=evaluate(logits), kept=kept, picture=picture.detach())

    descent = Descent([rows], rate=params.rate)
    last, losses = course.descend(phase, descent, forward, steps=params.steps)
    if params.keep_last_update:
        with torch.no_grad():
            last = forward()
        refuse_non_finite(StageKind.TARGET, {f"{phase}.{n}": x for n, x in last.losses.items()})
    return last.kept, losses


def _target_mask(first: Composition, label_map: Tensor, losses: dict[str, float]) -> TargetMask:
    return TargetMask(label_map=label_map, removed=first.removed, shown=first.shown, losses=losses)


def _painted_mask(
    bundle: ModelBundle, first: Composition, areas: Sequence[Area], painted: PaintedMask
) -> TargetMask:
    """What was painted as a target mask: each source shows its area wherever it was painted.

    In a zone a label may be the identity's own, so there only what the source shows counts.
    """
    if painted.side != bundle.geometry.label_size:
        raise StageError(
            f"the painted mask is {painted.side}x{painted.side} and the bundle's label maps are "
            f"{bundle.geometry.label_size}x{bundle.geometry.label_size}: paint it anew",
            stage=StageKind.TARGET,
        )
    label_map = torch.tensor(painted.label_map, device=bundle.device).long()[None]
    shown = [
        masks.covered(label_map, area) & (first.shown[:, r : r + 1] if area.zone else True)
        for r, area in enumerate(areas)
    ]
    return TargetMask(
        label_map=label_map, removed=first.removed, shown=torch.cat(shown, dim=1), losses={}
    )
