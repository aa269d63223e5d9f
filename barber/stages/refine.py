"""The last part of a blend, which is ours: what can be seen in the photographs comes back.

The F mix renders the composite from codes, each of which has lost detail twice: in reconstruction
and in alignment. F is sought once more, as in the FS phase of a reconstruction (method 10.3), now
towards the picture of `wanted.py`. S stays as it was found.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.resample import to_loss_size
from barber.spec import BlendParams
from barber.stages.descent import Course, Descent, Pass


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
