"""Stage A: a portrait as codes, first W+, then FS.

Source: method section 10. The FS phase renders from F, so it also has to absorb the coarse RGB that
the official code drops there (5.5), unless it is carried along. The code keeps the S of the last
forward pass and the F after the last update, as the official code does (10.2), unless told to keep
the last update of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from barber.artifacts import FSCode, Portrait, Reconstruction
from barber.losses.latent import f_prior
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.plan import StageKind
from barber.resample import to_loss_size
from barber.spec import CodeSpace, ReconstructParams
from barber.stages.descent import Course, Descent, OnStep, Pass
from barber.stages.pictures import low_resolution, to_pixels, to_signed
from barber.stages.snapshot import Snapshot

Likeness = Callable[[Tensor, Tensor], dict[str, Tensor]]  # picture, W+ -> weighted losses


def reconstruct(
    bundle: ModelBundle,
    portrait: Portrait,
    params: ReconstructParams,
    *,
    noise: Noise,
    on_step: OnStep | None = None,
    resume: Snapshot | None = None,
) -> Reconstruction:
    """Finds the codes whose pictures look like the portrait.

    Args:
        bundle: The networks; they stay as they are.
        portrait: At the bundle's size.
        params: Steps, rates and weights.
        noise: Source of every pass's noise planes.
        on_step: Told of phases "w_plus" and, unless W+ alone is wanted, "fs".
        resume: Where an interrupted run with the same arguments stood.

    Raises:
        StageError: A loss is not finite.
        SnapshotError: `resume` is not of this stage.
    """
    alone = params.space is CodeSpace.W_PLUS
    course = Course(
        StageKind.RECONSTRUCT,
        steps=params.w_plus_steps + (0 if alone else params.fs_steps),
        noise=noise,
        on_step=on_step,
        resume=resume,
    )
    likeness = _likeness(bundle, portrait, params)
    w_plus, losses = course.once(
        "w_plus", lambda: _find_w_plus(bundle, params, noise, likeness, course)
    )
    w_plus = w_plus.to(bundle.device)
    if alone:
        return _w_plus_alone(bundle, noise, w_plus, losses)
    return _find_fs(bundle, params, noise, likeness, course, w_plus)


def _likeness(bundle: ModelBundle, portrait: Portrait, params: ReconstructParams) -> Likeness:
    """The loss of 10.1 against this portrait, its fixed features computed once."""
    high = to_signed(portrait.pixels, bundle.device)
    with torch.no_grad():
        low = low_resolution(portrait, bundle.geometry, bundle.device, params.low_target)
        features = bundle.perceptual.features(low)

    def losses(picture: Tensor, w_plus: Tensor) -> dict[str, Tensor]:
        small = to_loss_size(picture, bundle.geometry)
        lpips = bundle.perceptual.distance(small, features)[0]
        return {
            "l2": params.l2_weight * functional.mse_loss(picture, high),
            "lpips": params.lpips_weight * lpips,
            "p_norm": params.p_norm_weight * bundle.pca.p_norm(w_plus)[0],
        }

    return losses


def _find_w_plus(
    bundle: ModelBundle,
    params: ReconstructParams,
    noise: Noise,
    likeness: Likeness,
    course: Course,
) -> tuple[Tensor, dict[str, float]]:
    """W+ [1, L, D], starting from the mean latent in every row, and the losses."""
    w_plus = bundle.w_avg.reshape(1, 1, -1).repeat(1, bundle.geometry.rows, 1)

    def forward() -> Pass[Tensor]:
        picture = bundle.generator.synthesize(w_plus, noise)
        losses = likeness(picture, w_plus)
        return Pass(losses=losses, kept=w_plus.detach().clone(), picture=picture.detach())

    descent = Descent([w_plus], rate=params.w_plus_rate)
    last, losses = course.descend("w_plus", descent, forward, steps=params.w_plus_steps)
    return (w_plus.detach() if params.keep_last_update else last.kept), losses


@torch.no_grad()
def _w_plus_alone(
    bundle: ModelBundle, noise: Noise, w_plus: Tensor, losses: Mapping[str, float]
) -> Reconstruction:
    """The code without the FS phase.

    The RGB below F always travels along: nothing else could make up for it here, and without it
    the render would not be the picture of W+ (method 5.5).
    """
    f = bundle.generator.structure(w_plus, noise, carry_skip=True)
    picture = bundle.generator.render(f, w_plus, noise)
    return Reconstruction(
        w_plus=w_plus,
        fs=FSCode(f=f, s=w_plus.clone()),  # a file takes no tensor twice
        preview=to_pixels(picture),
        losses=losses,
    )


def _find_fs(
    bundle: ModelBundle,
    params: ReconstructParams,
    noise: Noise,
    likeness: Likeness,
    course: Course,
    w_plus: Tensor,
) -> Reconstruction:
    """F and S that render the portrait, starting from what W+ gives at F's place."""
    split, channels = bundle.geometry.split_row, bundle.geometry.f_channels
    with torch.no_grad():
        found = bundle.generator.structure(w_plus, noise, carry_skip=params.carry_skip)
    start, skip = found[:, :channels], found[:, channels:]  # the skip stays as W+ gives it
    f, rows = start.clone(), w_plus[:, split:].clone()

    def code() -> tuple[Tensor, Tensor]:
        """F, with the skip where it is carried, and S with the rows that made F before it."""
        return torch.cat([f, skip], dim=1), torch.cat([w_plus[:, :split], rows], dim=1)

    def forward() -> Pass[Tensor]:
        carried, s = code()
        picture = bundle.generator.render(carried, s, noise)
        losses = likeness(picture, s)
        if params.f_weight > 0:
            losses["f_prior"] = params.f_weight * f_prior(f, start)[0]
        return Pass(losses=losses, kept=s.detach(), picture=picture.detach())

    descent = Descent([f, rows], rate=params.fs_rate)
    last, losses = course.descend("fs", descent, forward, steps=params.fs_steps)
    structure, s = (part.detach() for part in code())  # after the last update
    return Reconstruction(
        w_plus=w_plus,
        fs=FSCode(f=structure, s=s if params.keep_last_update else last.kept),
        preview=to_pixels(last.picture),
        losses=losses,
    )
