"""The whole method on one screen: `compose` runs a job's plan, `run_stage` any one stage of it.

Both take the same plan from `barber.plan`, so a composition made here and one made by workers are
the same bytes. Source: method section 1.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from barber.artifacts import (
    Alignment,
    Artifact,
    Blend,
    Portrait,
    Reconstruction,
    TargetMask,
    numbers,
)
from barber.errors import CheckpointError, InputError, StageError, short_key
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.plan import ArtifactKey, PlannedStage, Role, StageKind, Variant, plan, sources, variants
from barber.spec import EmptyRegion, JobSpec, PortraitKey, TargetParams
from barber.stages.align import align
from barber.stages.blend import blend
from barber.stages.descent import OnStep, StepReport, refuse_non_finite
from barber.stages.mix import Aligned, BlendInputs
from barber.stages.pictures import photograph_labels
from barber.stages.reconstruct import reconstruct
from barber.stages.snapshot import Snapshot
from barber.stages.target import target

log = logging.getLogger(__name__)

A = TypeVar("A", Reconstruction, TargetMask, Alignment)
Portraits = Callable[[PortraitKey], Portrait]
Artifacts = Callable[[ArtifactKey], Artifact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """A finished job."""

    blend: Blend
    artifacts: Mapping[ArtifactKey, Artifact]  # of every stage, the blend included


def compose(
    bundle: ModelBundle,
    spec: JobSpec,
    portraits: Mapping[PortraitKey, Portrait],
    *,
    on_step: Callable[[PlannedStage, StepReport], None] | None = None,
) -> Composition:
    """Runs every stage of a job in this process.

    Args:
        bundle: The networks, of the digest that the spec names.
        spec: What to compose.
        portraits: At least those that the spec names, at the bundle's size.
        on_step: Told of every step of every stage; what it raises ends the work.

    Raises:
        InputError: A portrait is missing or of the wrong size.
        CheckpointError: The bundle is not the one that the spec names.
        StageError: A loss or an outcome is not finite, or a region is empty; the message names the
            portraits and the regions at work.
    """
    done: dict[ArtifactKey, Artifact] = {}
    for stage in plan(spec):
        done[stage.key] = run_stage(
            bundle,
            spec,
            stage,
            portraits=_finder(portraits),
            artifacts=done.__getitem__,
            on_step=None if on_step is None else _told_of(stage, on_step),
        )
    result = done[stage.key]
    assert isinstance(result, Blend)
    return Composition(blend=result, artifacts=done)


def run_stage(
    bundle: ModelBundle,
    spec: JobSpec,
    stage: PlannedStage,
    *,
    portraits: Portraits,
    artifacts: Artifacts,
    on_step: OnStep | None = None,
    resume: Snapshot | None = None,
) -> Artifact:
    """Runs one stage of a job, loading the portraits and artifacts that it reads and no others.

    Args:
        bundle: The networks, of the digest that the spec names.
        spec: The job.
        stage: One of its plan.
        portraits: Loads a portrait.
        artifacts: Loads what an earlier stage made.
        on_step: Told of every step; what it raises ends the work.
        resume: Where an interrupted run of the same stage stood, with the same inputs and on the
            same device: then the outcome is that of an undisturbed run, bit for bit.

    Raises:
        SnapshotError: `resume` is not of this stage; nothing is wrong with the stage itself.
        InputError: A portrait is missing or of the wrong size.
        CheckpointError: The bundle is not the one that the spec names.
        StageError: A loss or an outcome is not finite, or a region is empty; the message names the
            portraits and the regions at work.
    """
    if bundle.digest != spec.bundle:
        raise CheckpointError(
            f"the job is for bundle {spec.bundle[:12]}, this process holds {bundle.digest[:12]}: "
            "start a worker with the job's bundle"
        )
    facts = {"stage": stage.kind.value, "slot": stage.slot, "key": stage.key}
    log.info("stage started", extra=facts)
    started = time.monotonic()
    try:
        checked = _checked(portraits, bundle)
        result = _dispatch(bundle, spec, stage, checked, artifacts, on_step, resume)
        refuse_non_finite(stage.kind, numbers(result))
    except StageError as error:
        if error.portraits:
            raise
        raise _about(error, spec, stage) from error
    log.info("stage finished", extra={**facts, "seconds": time.monotonic() - started})
    return result


def segmentation(
    bundle: ModelBundle, stage: PlannedStage, result: Artifact, *, portraits: Portraits
) -> NDArray[np.uint8] | None:
    """The label map of what a stage is about, for people to look at: uint8 [h, h].

    Of a reconstruction it is its portrait's, which the target mask is made of; of an alignment and
    of the composite their own, to hold against the target mask. That mask shows itself: None.
    """
    match result:
        case Reconstruction():
            assert stage.portrait is not None
            portrait = portraits(stage.portrait)
        case Alignment():
            portrait = Portrait(sha256=PortraitKey(""), pixels=result.preview)
        case Blend():
            portrait = Portrait(sha256=PortraitKey(""), pixels=result.image)
        case TargetMask():
            return None
    labels = photograph_labels(bundle, portrait)[0]
    found: NDArray[np.uint8] = labels.to(torch.uint8).cpu().numpy()
    return found


def _dispatch(
    bundle: ModelBundle,
    spec: JobSpec,
    stage: PlannedStage,
    portraits: Portraits,
    artifacts: Artifacts,
    on_step: OnStep | None,
    resume: Snapshot | None,
) -> Artifact:
    noise = Noise(spec.noise, stage.noise_seed)
    params = spec.params
    match stage.kind:
        case StageKind.RECONSTRUCT:
            assert stage.portrait is not None
            portrait = portraits(stage.portrait)
            return reconstruct(
                bundle,
                portrait,
                params.reconstruct,
                noise=noise,
                on_step=on_step,
                resume=resume,
            )
        case StageKind.TARGET:
            assert stage.variant is not None
            return target(
                bundle,
                portraits(spec.identity),
                [portraits(key) for key in sources(spec, stage.variant)],
                [region.area for region in spec.regions],
                _target_params(spec, stage),
                painted=spec.painted if stage.variant is Variant.STRUCTURE else None,
                noise=noise,
                on_step=on_step,
                resume=resume,
            )
        case StageKind.ALIGN:
            mask, code = stage.needs
            return align(
                bundle,
                _need(artifacts, code, Reconstruction),
                _need(artifacts, mask, TargetMask),
                params.align,
                areas=stage.areas if stage.role is Role.REFERENCE else None,
                noise=noise,
                on_step=on_step,
                resume=resume,
            )
        case StageKind.BLEND:
            inputs = blend_inputs(spec, portraits, artifacts)
            return blend(bundle, inputs, params.blend, noise=noise, on_step=on_step, resume=resume)


def _target_params(spec: JobSpec, stage: PlannedStage) -> TargetParams:
    """The params of a target stage.

    A portrait that only gives a colour may lack the region: method 16.3.5 has that colour dropped
    and reported, so the mask that the colour is sought on must be made.
    """
    if stage.variant is Variant.APPEARANCE:
        return replace(spec.params.target, empty_region=EmptyRegion.REMOVE)
    return spec.params.target


def _about(error: StageError, spec: JobSpec, stage: PlannedStage) -> StageError:
    """The same error, in its class, with the portraits and regions that its stage works on."""
    roles = {"identity": spec.identity}
    if stage.kind in (StageKind.RECONSTRUCT, StageKind.ALIGN):
        assert stage.portrait is not None
        words = ", ".join(area.words for area in stage.areas)
        roles = {f"{words} of" if words else "": stage.portrait}
    elif stage.kind is StageKind.TARGET and stage.variant is not None:
        for region, source in zip(spec.regions, sources(spec, stage.variant), strict=True):
            roles[f"{region.area.words} of"] = source
    else:
        for region in spec.regions:
            roles[f"{region.area.words} in the colour of"] = region.appearance
    told = "; ".join(f"{role} portrait {short_key(key)}".strip() for role, key in roles.items())
    # Its class is the verdict: a timeout is tried once more.
    return type(error)(f"{error} ({told})", stage=error.stage, portraits=list(roles.values()))


def blend_inputs(spec: JobSpec, portraits: Portraits, artifacts: Artifacts) -> BlendInputs:
    """What the plan of a job has made so far, by the portraits it belongs to."""
    stages = plan(spec)
    aligned = {variant: _aligned(spec, variant, stages, artifacts) for variant in variants(spec)}
    structure = aligned.get(Variant.STRUCTURE)
    return BlendInputs(
        identity=spec.identity,
        regions=spec.regions,
        portraits={key: portraits(key) for key in spec.portraits},
        reconstructions={
            stage.portrait: _need(artifacts, stage.key, Reconstruction)
            for stage in stages
            if stage.kind is StageKind.RECONSTRUCT and stage.portrait is not None
        },
        structure=structure,
        appearance=aligned.get(Variant.APPEARANCE, structure),
    )


def _aligned(
    spec: JobSpec, variant: Variant, stages: tuple[PlannedStage, ...], artifacts: Artifacts
) -> Aligned:
    ours = [stage for stage in stages if stage.variant is variant]
    keys = {(s.kind, s.role, s.portrait): s.key for s in ours}
    alone = (StageKind.ALIGN, Role.IDENTITY, spec.identity)
    return Aligned(
        target=_need(artifacts, keys[StageKind.TARGET, None, None], TargetMask),
        identity=_need(artifacts, keys[alone], Alignment),
        references={
            stage.portrait: _need(artifacts, stage.key, Alignment)
            for stage in ours
            if stage.role is Role.REFERENCE and stage.portrait is not None
        },
        sources=sources(spec, variant),
    )


def _need(artifacts: Artifacts, key: ArtifactKey, kind: type[A]) -> A:
    found = artifacts(key)
    assert isinstance(found, kind), f"artifact {key} is a {type(found).__name__}"
    return found


def _finder(portraits: Mapping[PortraitKey, Portrait]) -> Portraits:
    def find(key: PortraitKey) -> Portrait:
        if key not in portraits:
            raise InputError(f"portrait {key[:12]} was not given: pass every portrait of the spec")
        return portraits[key]

    return find


def _checked(portraits: Portraits, bundle: ModelBundle) -> Portraits:
    """The same portraits, each looked at on its way in."""
    side = bundle.geometry.image_size

    def find(key: PortraitKey) -> Portrait:
        portrait = portraits(key)
        if portrait.pixels.shape != (side, side, 3):
            height, width = portrait.pixels.shape[:2]
            raise InputError(
                f"portrait {key[:12]} is {width}x{height}: this bundle needs {side}x{side}"
            )
        return portrait

    return find


def _told_of(stage: PlannedStage, on_step: Callable[[PlannedStage, StepReport], None]) -> OnStep:
    return lambda report: on_step(stage, report)
