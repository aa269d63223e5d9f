"""The blend: the F mix rendered with the appearance that is found for it, and refined where asked.

Source: method sections 12.3 and 13; `barber.stages.mix`, `.appearance` and `.refine` are its parts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from barber.artifacts import Blend, FSCode
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.plan import StageKind
from barber.spec import BlendParams, PortraitKey
from barber.stages.appearance import find_appearance
from barber.stages.descent import Course, OnStep, refuse_non_finite
from barber.stages.mix import BlendInputs, mixed, shares_of_s
from barber.stages.pictures import to_pixels
from barber.stages.refine import refine
from barber.stages.snapshot import Snapshot
from barber.stages.wanted import wanted_picture


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
        on_step: Told of the phase "appearance", which only runs when a colour comes from somebody,
            and of "refine", which only runs when it has steps and there is a region.
        resume: Where an interrupted run with the same arguments stood.

    Raises:
        StageError: A loss is not finite.
        SnapshotError: `resume` is not of this stage.
    """
    refines = params.refine_steps > 0 and inputs.structure is not None
    steps = params.steps * bool(inputs.colours) + params.refine_steps * refines
    course = Course(
        StageKind.BLEND, steps=max(steps, 1), noise=noise, on_step=on_step, resume=resume
    )
    found, losses, dropped = find_appearance(bundle, inputs, params, noise, course)
    shares = shares_of_s(bundle, inputs, inputs.structure, params)
    with torch.no_grad():
        f = mixed(bundle, inputs, inputs.structure, params)
        image = bundle.generator.render(f, found.s, noise, shares)
    if refines:
        wanted = wanted_picture(bundle, inputs, image, params)
        f, last = refine(bundle, f, found.s, shares, wanted, params, noise=noise, course=course)
        losses = {**losses, **last, "total": losses.get("total", 0.0) + last["total"]}
        with torch.no_grad():
            image = bundle.generator.render(f, found.s, noise, shares)
    refuse_non_finite(StageKind.BLEND, {"image": image})
    return Blend(
        image=to_pixels(image, truncate=params.truncate_png),
        fs=FSCode(f=f, s=found.s),
        weights=_weights(inputs, found.weights),
        shares=shares,
        losses=losses,
        dropped=dropped,
    )


def _weights(inputs: BlendInputs, weights: Tensor) -> dict[PortraitKey, Tensor]:
    """u of every portrait, the identity's first: what the others leave of one."""
    shares = {inputs.identity: (1 - weights.sum(dim=0)).clamp(0, 1)}  # not below 0 by rounding
    return shares | {key: weights[k] for k, key in enumerate(inputs.colours)}
