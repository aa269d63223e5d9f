"""From a job spec to its stages: which there are, what each needs, and the key of each artifact.

A key is a digest of everything that the artifact depends on (portraits, params, bundle, noise), so
equal work has equal keys in every job, and a finished artifact serves them all. No torch here: the
catalogue plans jobs with it, `pipeline` runs the same plan.

Source: method sections 1 (dependencies), 13 and 16.3 (the appearance's own alignment).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType

from barber.labels import Area, merge_areas
from barber.spec import CodeSpace, FillMode, JobSpec, NoiseMode, PortraitKey, key_facts

ArtifactKey = NewType("ArtifactKey", str)  # 64 hex digits

METHOD_VERSION = 1  # raised when the arithmetic of a stage changes, so that old artifacts miss


class StageKind(StrEnum):
    """The four stages; the value is the word used everywhere."""

    RECONSTRUCT = "reconstruct"
    TARGET = "target"
    ALIGN = "align"
    BLEND = "blend"


class Variant(StrEnum):
    """Which of a region's two portraits stands in the plan.

    The colour of hair is found on a composite with the appearance portrait's own hair shape, then
    carried over to the structure's (method 13). So a job whose colour comes from somebody else
    has two target masks and two sets of alignments.
    """

    STRUCTURE = "structure"
    APPEARANCE = "appearance"


class Role(StrEnum):
    """What a portrait is aligned as: the identity has no style term (method 12.1, 12.2)."""

    IDENTITY = "identity"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One stage of a job; `needs` are the keys of the artifacts that it reads."""

    kind: StageKind
    slot: int  # 0, 1, .. within the kind; (kind, slot) is unique in a job
    key: ArtifactKey
    needs: tuple[ArtifactKey, ...]
    portrait: PortraitKey | None = None  # reconstruct, align
    variant: Variant | None = None  # target, align
    role: Role | None = None  # align
    areas: tuple[Area, ...] = ()  # align as reference: what is taken from this portrait

    @property
    def noise_seed(self) -> int:
        """Seed of the stage's noise: a repeated stage repeats itself (method 5.6)."""
        return int(self.key[:15], 16)


def is_coloured(spec: JobSpec) -> bool:
    """Whether some colour comes from another portrait: then the blend seeks weights."""
    return any(region.appearance != spec.identity for region in spec.regions)


def variants(spec: JobSpec) -> tuple[Variant, ...]:
    """The variants that a job needs; none when nothing is edited.

    The second one is needed when some colour comes from another portrait (otherwise no weights
    are sought) and the colours do not all come from where the shapes do (method 16.3.4).
    """
    if not spec.regions:
        return ()
    apart = any(region.appearance != region.structure for region in spec.regions)
    both = is_coloured(spec) and apart
    return (Variant.STRUCTURE, Variant.APPEARANCE) if both else (Variant.STRUCTURE,)


def sources(spec: JobSpec, variant: Variant) -> tuple[PortraitKey, ...]:
    """The portrait that stands for each region, in region order."""
    if variant is Variant.STRUCTURE:
        return tuple(region.structure for region in spec.regions)
    return tuple(region.appearance for region in spec.regions)


def areas_from(spec: JobSpec, variant: Variant, portrait: PortraitKey) -> tuple[Area, ...]:
    """What all regions that `portrait` stands for cover together."""
    pairs = zip(spec.regions, sources(spec, variant), strict=True)
    return merge_areas(region.area for region, source in pairs if source == portrait)


def plan(spec: JobSpec) -> tuple[PlannedStage, ...]:
    """All stages of a job, each after those that it needs; the blend is last."""
    targets = {variant: _target(spec, variant, slot) for slot, variant in enumerate(variants(spec))}
    reconstructions = {
        portrait: _reconstruct(spec, portrait, slot) for slot, portrait in enumerate(spec.portraits)
    }
    aligns: list[PlannedStage] = []
    for variant, target in targets.items():
        roles = [(spec.identity, Role.IDENTITY)]
        roles += [(p, Role.REFERENCE) for p in dict.fromkeys(sources(spec, variant))]
        for portrait, role in roles:
            aligns.append(_align(spec, target, reconstructions[portrait], role, slot=len(aligns)))
    before = [*targets.values(), *reconstructions.values(), *aligns]
    return (*before, _blend(spec, before))


def _reconstruct(spec: JobSpec, portrait: PortraitKey, slot: int) -> PlannedStage:
    kind = StageKind.RECONSTRUCT
    params = key_facts(spec.params.reconstruct)
    if spec.params.reconstruct.space is CodeSpace.W_PLUS:
        params = _without(params, "fs_steps", "fs_rate", "f_weight", "carry_skip")
    key = _key(spec, kind, params, [portrait])
    return PlannedStage(kind=kind, slot=slot, key=key, needs=(), portrait=portrait)


def _target(spec: JobSpec, variant: Variant, slot: int) -> PlannedStage:
    kind = StageKind.TARGET
    regions = [region.area.facts for region in spec.regions]
    inputs = [spec.identity, *sources(spec, variant)]
    params = key_facts(spec.params.target)
    if spec.params.target.fill is FillMode.HEURISTIC:
        params = _without(params, "mask_mode", "steps", "rate")
    facts = [*inputs, json.dumps(regions)]
    if spec.painted is not None and variant is Variant.STRUCTURE:
        facts.append(f"painted {spec.painted.digest}")
    key = _key(spec, kind, params, facts)
    return PlannedStage(kind=kind, slot=slot, key=key, needs=(), variant=variant)


def _align(
    spec: JobSpec, target: PlannedStage, reconstruction: PlannedStage, role: Role, *, slot: int
) -> PlannedStage:
    kind = StageKind.ALIGN
    assert target.variant is not None and reconstruction.portrait is not None
    areas: tuple[Area, ...] = ()
    if role is Role.REFERENCE:
        areas = areas_from(spec, target.variant, reconstruction.portrait)
    needs = (target.key, reconstruction.key)
    covered = [json.dumps(area.facts) for area in areas]
    params = key_facts(spec.params.align)
    if not spec.params.align.enabled:
        params = {"enabled": False}  # nothing else is read
    key = _key(spec, kind, params, [role, *needs, *covered])
    return PlannedStage(
        kind=kind,
        slot=slot,
        key=key,
        needs=needs,
        portrait=reconstruction.portrait,
        variant=target.variant,
        role=role,
        areas=areas,
    )


def _blend(spec: JobSpec, before: Iterable[PlannedStage]) -> PlannedStage:
    kind = StageKind.BLEND
    needs = tuple(stage.key for stage in before)
    roles = [json.dumps(region.to_json()) for region in spec.regions]
    params = key_facts(spec.params.blend)
    if not is_coloured(spec):
        params = _without(params, "steps", "rate", "mask_smoothing", "pixel_weight")
    key = _key(spec, kind, params, [*needs, spec.identity, *roles])
    return PlannedStage(kind=kind, slot=0, key=key, needs=needs)


def _without(params: dict[str, Any], *unread: str) -> dict[str, Any]:
    """The params but those that the stage of this job does not read."""
    return {name: value for name, value in params.items() if name not in unread}


def _key(spec: JobSpec, kind: StageKind, params: dict[str, Any], inputs: list[str]) -> ArtifactKey:
    seed = spec.seed if spec.noise is NoiseMode.FRESH else None
    facts = [METHOD_VERSION, kind, spec.bundle, spec.noise, seed, params, inputs]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return ArtifactKey(hashlib.sha256(text.encode()).hexdigest())
