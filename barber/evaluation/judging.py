"""What a result says of itself: how much of the identity it kept, and whether its regions came out.

There is no true composite to compare with, so only what can be known is measured: pixels outside
the changed regions against the identity's, and the parser's view of the result against the target
mask. The optimisation follows the same parser, which flatters the agreement.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from barber.artifacts import Artifact, Portrait, TargetMask
from barber.evaluation.metrics import PEAK, Mask, capped_psnr, overlap
from barber.models.bundle import ModelBundle
from barber.models.vgg import has_imagenet
from barber.photographs.changes import changed_regions
from barber.pixels import Pixels, resize
from barber.plan import ArtifactKey, StageKind, Variant, plan
from barber.quality import FEATURES, LPIPS, Quality
from barber.spec import JobSpec, PortraitKey
from barber.stages import masks
from barber.stages.pictures import photograph_labels, to_signed

SSIM_WINDOW_PX = 11  # pictures smaller than the window have no SSIM
LUMA = np.array([0.299, 0.587, 0.114])


def of_result(
    bundle: ModelBundle,
    spec: JobSpec,
    image: Pixels,
    *,
    portrait: Callable[[PortraitKey], Portrait],
    load: Callable[[ArtifactKey, StageKind], Artifact],
) -> Quality:
    """Measures a job's result.

    Args:
        bundle: Whose parser and features are used.
        spec: The job.
        image: What its blend made.
        portrait: Gives a portrait.
        load: Gives the artifact of a key and kind.
    """
    shapes = [stage for stage in plan(spec) if stage.variant is Variant.STRUCTURE]
    target = next((s.key for s in shapes if s.kind is StageKind.TARGET), None)
    mask = None if target is None else load(target, StageKind.TARGET)
    assert mask is None or isinstance(mask, TargetMask)
    result = Portrait(sha256=PortraitKey(""), pixels=image)
    return judge(bundle, spec, result, portrait(spec.identity), mask)


def judge(
    bundle: ModelBundle,
    spec: JobSpec,
    result: Portrait,
    identity: Portrait,
    target: TargetMask | None,
) -> Quality:
    """Measures a result.

    Args:
        bundle: Whose parser and features are used.
        spec: The job.
        result: The composite.
        identity: Whose face it is.
        target: The target mask of the shapes; None when nothing is edited.
    """
    side = len(result.pixels)
    kept = np.ones((side, side), dtype=np.bool_)
    ious: dict[str, float] = {}
    if target is not None:
        kept = ~_to_side(_changed(spec, target), side)
        ious = _agreement(bundle, spec, result, target)
    lpips = has_imagenet(bundle.manifest)
    return Quality(
        psnr_db=capped_psnr(result.pixels, identity.pixels, kept),
        ssim=_ssim(result.pixels, identity.pixels, kept),
        distance=_distance(bundle, result.pixels, identity.pixels, kept),
        distance_name=LPIPS if lpips else FEATURES,
        ious=ious,
        spread=float((result.pixels @ LUMA).std()),
    )


def _changed(spec: JobSpec, target: TargetMask) -> Mask:
    return changed_regions(
        spec.regions,
        target.label_map[0].cpu().numpy(),
        target.removed[0, 0].cpu().numpy(),
        target.shown[0].cpu().numpy(),
    )


def _agreement(
    bundle: ModelBundle, spec: JobSpec, result: Portrait, target: TargetMask
) -> dict[str, float]:
    """Intersection over union of each region, as the parser sees it and as the mask wants it."""
    seen = photograph_labels(bundle, result).cpu()
    wanted = target.label_map.cpu()
    found: dict[str, float] = {}
    for region in spec.regions:
        ones, others = (masks.covered(m, region.area)[0, 0].numpy() for m in (seen, wanted))
        value = overlap(ones, others)
        if value is not None:
            found[region.area.words] = value
    return found


def _ssim(result: Pixels, identity: Pixels, kept: Mask) -> float | None:
    """Structural similarity averaged over the pixels that were to be kept."""
    if min(kept.shape) < SSIM_WINDOW_PX or not kept.any():
        return None
    _, similar = structural_similarity(
        result,
        identity,
        channel_axis=2,
        data_range=PEAK,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(similar[kept].mean())


def _distance(bundle: ModelBundle, result: Pixels, identity: Pixels, kept: Mask) -> float | None:
    """LPIPS or its like, of the identity and the result whose changed regions are the identity's.

    So what was meant to change adds nothing, and no edge comes in but that of a change outside.
    """
    if not kept.any():
        return None
    laid = np.where(kept[:, :, None], result, identity)
    side = bundle.geometry.loss_size
    with torch.no_grad():
        ones, others = (to_signed(resize(p, side), bundle.device) for p in (laid, identity))
        return float(bundle.perceptual.distance(ones, bundle.perceptual.features(others))[0])


def _to_side(mask: Mask, side: int) -> Mask:
    """A mask at another size, by nearest."""
    at: NDArray[np.intp] = ((np.arange(side) + 0.5) * len(mask) / side).astype(np.intp)
    found: Mask = mask[at][:, at]
    return found
