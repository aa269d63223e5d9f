"""The last part of a blend, which is ours: what can be seen in the photographs comes back.

The F mix renders the composite from codes, each of which has lost detail twice: in reconstruction
and in alignment. Where the target mask shows what a photograph shows at the same place, the truth
is known to the pixel. Those pixels are laid over the composite, which keeps what nobody has seen,
and F is sought that renders this picture, as in the FS phase of a reconstruction (method 10.3).
S stays as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from barber.artifacts import Portrait
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.resample import to_loss_size
from barber.spec import BlendParams, PortraitKey
from barber.stages import masks
from barber.stages.descent import Course, Descent, Pass
from barber.stages.mix import BlendInputs, owners
from barber.stages.pictures import photograph_labels, to_signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One photograph, and where the composite shows what it shows."""

    portrait: Portrait
    where: Tensor  # bool [1, 1, H, W] at the label size


def seen_in_photographs(
    bundle: ModelBundle, inputs: BlendInputs, params: BlendParams
) -> list[Seen]:
    """Where the identity's and the regions' photographs show what the composite shall show."""
    assert inputs.structure is not None
    target = inputs.structure.target
    label_map, removed = target.label_map.to(bundle.device), target.removed.to(bundle.device)
    owner = owners(inputs, inputs.structure).to(bundle.device)[:, None]

    def labels(key: PortraitKey) -> Tensor:
        portrait = inputs.portraits[key]
        return photograph_labels(bundle, portrait, clamp=params.clamp_photographs)

    kept = (labels(inputs.identity) == label_map)[:, None] & (owner == 0) & ~removed
    seen = [Seen(portrait=inputs.portraits[inputs.identity], where=kept)]
    for number, region in enumerate(inputs.regions, start=1):
        source = inputs.structure.sources[number - 1]
        if region.appearance != source:
            continue  # its shape is known, its colour at that place is not
        shown = masks.covered(labels(source), region.area) & (owner == number)
        seen.append(Seen(portrait=inputs.portraits[source], where=shown))
    return seen


def wanted_picture(
    bundle: ModelBundle, composite: Tensor, seen: Sequence[Seen], params: BlendParams
) -> Tensor:
    """The composite with the photographs' own pixels where they are known, signed [1, 3, R, R].

    Args:
        bundle: Gives sizes and device.
        composite: Signed [1, 3, R, R], as the F mix renders it.
        seen: The photographs; their places do not overlap.
        params: `refine_margin`, so that the generator keeps the transitions at every outline.
    """
    picture = composite
    for each in seen:
        inner = masks.erode(each.where, params.refine_margin, border=False)
        inner = masks.to_side(inner, bundle.geometry.image_size)
        picture = torch.where(inner, to_signed(each.portrait.pixels, bundle.device), picture)
    return picture


def refine(
    bundle: ModelBundle,
    f: Tensor,
    s: Tensor,
    shares: Tensor | None,
    wanted: Tensor,
    params: BlendParams,
    *,
    noise: Noise,
    course: Course,
) -> tuple[Tensor, dict[str, float]]:
    """F after its last update, and the losses of the last pass.

    Args:
        bundle: The networks.
        f: Where F starts, [1, C, f, f]; a carried RGB skip stays as it is.
        s: As `Generator.render` takes it.
        shares: Likewise.
        wanted: Signed [1, 3, R, R].
        params: Steps, rate, weight of the squared difference beside LPIPS.
        noise: Source of every pass's noise planes.
        course: Told of the phase "refine".

    Raises:
        StageError: A loss is not finite.
        SnapshotError: The blend was to go on from another stage's or another job's snapshot.
    """
    channels = bundle.geometry.f_channels
    free, skip = f[:, :channels].clone(), f[:, channels:]
    with torch.no_grad():
        features = bundle.perceptual.features(to_loss_size(wanted, bundle.geometry))

    def code() -> Tensor:
        return torch.cat([free, skip], dim=1)

    def forward() -> Pass[None]:
        picture = bundle.generator.render(code(), s, noise, shares)
        small = to_loss_size(picture, bundle.geometry)
        losses = {
            "refine.l2": params.refine_l2_weight * functional.mse_loss(picture, wanted),
            "refine.lpips": bundle.perceptual.distance(small, features)[0],
        }
        return Pass(losses=losses, kept=None, picture=picture.detach())

    descent = Descent([free], rate=params.refine_rate)
    _, losses = course.descend("refine", descent, forward, steps=params.refine_steps)
    return code().detach(), losses
