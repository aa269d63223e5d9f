"""Stage B2: a reconstruction moved to the target mask.

Source: method section 12.1 for the identity, 12.2 for a reference; the mix of 12.3 is `blend`'s, so
that the alignments of a job do not wait for each other. One row less than F needs is optimised, as
in the official code (14.5), unless all of them are asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from barber.artifacts import Alignment, Reconstruction, TargetMask
from barber.labels import Area
from barber.losses.segmentation import cross_entropy
from barber.losses.style import region_grams, style_distance
from barber.models.bundle import ModelBundle
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Noise
from barber.plan import Role, StageKind
from barber.resample import to_loss_size
from barber.spec import AlignParams
from barber.stages import masks
from barber.stages.descent import Course, Descent, OnStep, Pass
from barber.stages.pictures import label_logits, render_labels, to_pixels
from barber.stages.snapshot import Snapshot

Style = Callable[[Tensor, Tensor], Tensor]  # picture, label map -> weighted loss


def align(
    bundle: ModelBundle,
    portrait: Reconstruction,
    target: TargetMask,
    params: AlignParams,
    *,
    areas: tuple[Area, ...] | None,
    noise: Noise,
    on_step: OnStep | None = None,
    resume: Snapshot | None = None,
) -> Alignment:
    """Finds a code near the portrait's whose picture parses as the target mask.

    Args:
        bundle: The networks.
        portrait: The reconstruction to start from.
        target: What the label map shall become.
        params: Steps, rate and the weight of style.
        areas: What the portrait gives, whose style shall stay; None for the identity, which is
            moved without a style term.
        noise: Source of every pass's noise planes.
        on_step: Told of the phase "identity" or "reference".
        resume: Where an interrupted run with the same arguments stood.

    Raises:
        StageError: A loss is not finite.
        SnapshotError: `resume` is not of this stage.
    """
    if not params.enabled:
        return _unmoved(bundle, portrait, noise)
    role = Role.IDENTITY if areas is None else Role.REFERENCE
    steps = params.identity_steps if areas is None else params.reference_steps
    w_plus, s = portrait.w_plus.to(bundle.device), portrait.fs.s.to(bundle.device)
    free = bundle.geometry.split_row if params.all_f_rows else bundle.geometry.align_rows
    rows, rest = w_plus[:, :free].clone(), s[:, free:]
    style: Style | None = None
    if areas is not None and params.style_weight > 0:
        style = _style(bundle, torch.cat([rows, rest], dim=1), areas, params, noise)
    wanted = target.label_map.to(bundle.device)

    def forward() -> Pass[Tensor]:
        code = torch.cat([rows, rest], dim=1)
        picture = bundle.generator.synthesize(code, noise)
        logits = label_logits(bundle, picture)
        losses = {"cross_entropy": cross_entropy(logits, wanted)[0]}
        if style is not None:
            losses["style"] = style(picture, Segmenter.label_map(logits.detach()))
        return Pass(losses=losses, kept=code.detach(), picture=picture.detach())

    course = Course(StageKind.ALIGN, steps=steps, noise=noise, on_step=on_step, resume=resume)
    last, losses = course.descend(role, Descent([rows], rate=params.rate), forward, steps=steps)
    with torch.no_grad():
        code = torch.cat([rows, rest], dim=1) if params.keep_last_update else last.kept
        f = bundle.generator.structure(code, noise, carry_skip=_carries_skip(bundle, portrait))
    return Alignment(f=f, preview=to_pixels(last.picture), losses=losses)


@torch.no_grad()
def _unmoved(bundle: ModelBundle, portrait: Reconstruction, noise: Noise) -> Alignment:
    """The portrait's own F, for a composite without alignment."""
    f, s = portrait.fs.f.to(bundle.device), portrait.fs.s.to(bundle.device)
    return Alignment(f=f, preview=to_pixels(bundle.generator.render(f, s, noise)))


def _carries_skip(bundle: ModelBundle, portrait: Reconstruction) -> bool:
    """Whether F has the RGB below it; what is mixed with it must have it as well."""
    return portrait.fs.f.shape[1] > bundle.geometry.f_channels


def _style(
    bundle: ModelBundle,
    start: Tensor,
    areas: tuple[Area, ...],
    params: AlignParams,
    noise: Noise,
) -> Style:
    """The Gram loss of a region against its look in the start's picture, not in the photograph."""
    geometry, vgg = bundle.geometry, bundle.vgg

    def grams(picture: Tensor, label_map: Tensor) -> list[Tensor]:
        inside = masks.to_side(masks.covered_by_any(label_map, areas), geometry.loss_size)
        return region_grams(vgg, to_loss_size(picture, geometry), inside.float())

    with torch.no_grad():
        picture = bundle.generator.synthesize(start, noise)
        reference = grams(picture, render_labels(bundle, picture))

    def loss(picture: Tensor, label_map: Tensor) -> Tensor:
        own = grams(picture, label_map)
        return params.style_weight * style_distance(own, reference)[0]

    return loss
