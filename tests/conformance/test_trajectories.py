"""The whole method against the official pipeline's own runs: every stage, a few steps each.

The 256 run holds the project's size convention (method 15), the 1024 run the unmodified official
code. What differs from official runs by design: the noise is the checkpoint's buffers in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from barber.artifacts import Artifact, Blend, Portrait, Reconstruction, TargetMask
from barber.labels import Region
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.pipeline import blend_inputs, run_stage
from barber.pixels import portrait_key
from barber.plan import ArtifactKey, PlannedStage, Role, StageKind, Variant, plan
from barber.spec import (
    AlignParams,
    BlendParams,
    JobSpec,
    MaskMode,
    NoiseMode,
    PortraitKey,
    ReconstructParams,
    RegionEdit,
    StageParams,
    TargetParams,
)
from barber.stages import blend as blend_stage
from barber.stages import masks
from barber.stages.descent import StepReport
from barber.stages.pictures import photograph_labels, to_pixels
from tests.conformance.compare import assert_agrees, compared, mean_std
from tests.conformance.recipe import VECTORS, Recipe, reference_bundle

CELLS = 64  # pictures are stored at every (size / 64)-th pixel
F_STEP = 16  # and F at every 16th channel
IDENTITY_ARRAYS = ("w_plus_a", "fs_a", "loss/w_plus_a", "loss/fs_a")
FIDELITY_SMOOTHING = 3  # of the 256 file's fidelity run

Results = dict[str, Tensor | NDArray[Any]]


class Run:
    """One job on the recipe's bundle: its artifacts, and every report of its stages."""

    def __init__(self, size: int, done: dict[ArtifactKey, Artifact], **plan_of: Any) -> None:
        recipe = Recipe(VECTORS)
        self.bundle: ModelBundle = reference_bundle(size)
        found = [_portrait(recipe, name, size) for name in "abc"]
        self.portraits = {p.sha256: p for p in found}
        self.keys = {name: p.sha256 for name, p in zip("abc", found, strict=True)}
        self.spec = _spec(recipe, size, self.bundle, self.keys, **plan_of)
        self.done = done
        self.reports: dict[ArtifactKey, list[StepReport]] = defaultdict(list)
        self.stages = plan(self.spec)

    def of(self, *kinds: StageKind) -> list[PlannedStage]:
        return [stage for stage in self.stages if stage.kind in kinds]

    def go(self, stages: Iterable[PlannedStage]) -> None:
        for stage in stages:
            if stage.key not in self.done:
                self.done[stage.key] = run_stage(
                    self.bundle,
                    self.spec,
                    stage,
                    portraits=self.portraits.__getitem__,
                    artifacts=self.done.__getitem__,
                    on_step=self.reports[stage.key].append,
                )

    def stage(self, kind: StageKind, **facts: Any) -> PlannedStage:
        (found,) = [
            stage
            for stage in self.stages
            if stage.kind is kind and all(getattr(stage, n) == v for n, v in facts.items())
        ]
        return found

    def losses(self, names: str, kind: StageKind, **facts: Any) -> NDArray[np.float64]:
        """[steps, names]: the reported losses of one stage, all phases in order."""
        reports = self.reports[self.stage(kind, **facts).key]
        return np.array([[r.losses[n] for n in names.split() if n in r.losses] for r in reports])


def _portrait(recipe: Recipe, name: str, size: int) -> Portrait:
    pixels = recipe.picture(name, size)
    return Portrait(sha256=portrait_key(pixels), pixels=pixels)


def _spec(
    recipe: Recipe,
    size: int,
    bundle: ModelBundle,
    keys: dict[str, PortraitKey],
    *,
    appearance: str = "c",
    mode: MaskMode = MaskMode.REALISTIC,
    smoothing: int | None = None,
) -> JobSpec:
    settings = recipe.manifest["settings"][f"trajectory_{size}"]
    steps, rate = settings["steps"], settings["lr"]
    hair = RegionEdit(labels=(Region.HAIR,), structure=keys["b"], appearance=keys[appearance])
    smooth = settings["smooth"] if smoothing is None else smoothing
    return JobSpec(
        identity=keys["a"],
        regions=(hair,),
        bundle=bundle.digest,
        noise=NoiseMode.BUFFERS,
        params=StageParams(
            reconstruct=ReconstructParams(
                w_plus_steps=steps, fs_steps=steps, w_plus_rate=rate, fs_rate=rate
            ),
            target=TargetParams(mask_mode=mode, steps=settings["fill_steps"], rate=rate),
            align=AlignParams(identity_steps=steps, reference_steps=steps, rate=rate),
            blend=BlendParams(steps=steps, rate=rate, mix_smoothing=smooth),
        ),
    )


@cache
def started(size: int) -> tuple[Run, Results]:
    """A run that has the identity's reconstruction behind it, and its arrays."""
    run = Run(size, {})
    run.go([run.stage(StageKind.RECONSTRUCT, portrait=run.keys["a"])])
    return run, _reconstruction(run, "a")


@cache
def trajectory(size: int) -> Results:
    """Every array of a trajectory file, computed by the pipeline."""
    run, found = started(size)
    found = dict(found)
    run.go(run.of(StageKind.RECONSTRUCT))
    for name in "bc":
        found |= _reconstruction(run, name)
    run.go(run.of(StageKind.TARGET, StageKind.ALIGN))
    found |= _alignment(run, "align_ab", Variant.STRUCTURE, "b")
    found |= _alignment(run, "align_ac", Variant.APPEARANCE, "c")
    if size == 256:
        fidelity = Run(
            size, run.done, appearance="b", mode=MaskMode.FIDELITY, smoothing=FIDELITY_SMOOTHING
        )
        fidelity.go(fidelity.of(StageKind.TARGET, StageKind.ALIGN))
        found |= _alignment(fidelity, "align_fidelity_ab", Variant.STRUCTURE, "b")
    found |= _blend(run)
    return found


def _reconstruction(run: Run, name: str) -> Results:
    stage = run.stage(StageKind.RECONSTRUCT, portrait=run.keys[name])
    code = run.done[stage.key]
    assert isinstance(code, Reconstruction)
    losses = run.losses("total l2 lpips p_norm", StageKind.RECONSTRUCT, portrait=run.keys[name])
    half = len(losses) // 2
    return {
        f"w_plus_{name}": code.w_plus,
        f"fs_{name}_latent": code.fs.s,
        f"fs_{name}_F_slice": code.fs.f[:, ::F_STEP],
        f"fs_{name}_F_meanstd": mean_std(code.fs.f),
        f"loss/w_plus_{name}": losses[:half],
        f"loss/fs_{name}": losses[half:],
    }


def _alignment(run: Run, pair: str, variant: Variant, reference: str) -> Results:
    geometry, smoothing = run.bundle.geometry, run.spec.params.blend.mix_smoothing
    mask = run.done[run.stage(StageKind.TARGET, variant=variant).key]
    assert isinstance(mask, TargetMask)
    inputs = blend_inputs(run.spec, run.portraits.__getitem__, run.done.__getitem__)
    aligned = inputs.structure if variant is Variant.STRUCTURE else inputs.appearance
    f = blend_stage.mix(run.bundle, inputs, aligned, smoothing)
    with torch.no_grad():
        own = inputs.reconstructions[inputs.identity].fs.s
        preview = to_pixels(run.bundle.generator.render(f, own, Noise.buffers()))
    inside = mask.region(Region.HAIR)
    hair = [photograph_labels(run.bundle, run.portraits[run.keys[k]]) for k in ("a", reference)]
    alphas = [
        masks.identity_alpha(mask.removed, inside, smoothing, geometry),
        masks.region_alpha(inside, smoothing, geometry),
        masks.region_alpha(inside & mask.shown, smoothing, geometry),
    ]
    step = geometry.image_size // CELLS
    return _alignment_losses(run, pair, variant) | {
        f"{pair}_target_mask": mask.label_map,
        f"{pair}_hair1": (hair[0] == Region.HAIR).to(torch.uint8),
        f"{pair}_hair2": (hair[1] == Region.HAIR).to(torch.uint8),
        f"{pair}_soft_masks": torch.cat(alphas),
        f"{pair}_F_slice": f[:, ::F_STEP],
        f"{pair}_F_meanstd": mean_std(f),
        f"{pair}_preview": preview[::step, ::step],
    }


def _alignment_losses(run: Run, pair: str, variant: Variant) -> Results:
    fill = {"kind": StageKind.TARGET, "variant": variant}
    own = {"kind": StageKind.ALIGN, "variant": variant, "role": Role.IDENTITY}
    other = {"kind": StageKind.ALIGN, "variant": variant, "role": Role.REFERENCE}
    entropies = [run.losses("cross_entropy", **facts) for facts in (own, other)]
    return {
        f"loss/{pair}:mask:cross_entropy_loss": run.losses("cross_entropy", **fill),
        f"loss/{pair}:mask:cross_entropy_loss_wo_background": run.losses(
            "without_background", **fill
        ),
        f"loss/{pair}:mask:cross_entropy_loss_only_background": run.losses(
            "background_only", **fill
        ),
        f"loss/{pair}:cross_entropy_loss": np.concatenate(entropies),
        f"loss/{pair}:style_loss": run.losses("style", **other),
    }


def _blend(run: Run) -> Results:
    """The blend; its masks and the discarded last update are overheard on the way."""
    overheard: dict[str, Any] = {}
    terms_of, project = blend_stage.loss_terms, blend_stage.project_to_simplex

    def loss_terms(*given: Any, **named: Any) -> Any:
        overheard["terms"], dropped = terms_of(*given, **named)
        return overheard["terms"], dropped

    def project_to_simplex(weights: Tensor) -> Tensor:
        overheard["weights"] = project(weights)
        return overheard["weights"].clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blend_stage, "loss_terms", loss_terms)
        patch.setattr(blend_stage, "project_to_simplex", project_to_simplex)
        run.go(run.of(StageKind.BLEND))
    result = run.done[run.stage(StageKind.BLEND).key]
    assert isinstance(result, Blend)
    with torch.no_grad():
        image = run.bundle.generator.render(result.fs.f, result.fs.s, Noise.buffers())
    step = run.bundle.geometry.image_size // CELLS
    face, hair = (term.mask.to(torch.uint8) for term in overheard["terms"])
    return {
        "blend_mask_face": face,
        "blend_mask_hair": hair,
        "blend_latent": result.fs.s,
        "blend_t_after": overheard["weights"],
        "blend_image_slice": image[0, :, ::step, ::step],
        "blend_image_meanstd": mean_std(image),
        "blend_png_slice": result.image[::step, ::step],
        "loss/blend": run.losses("total base 1:hair", StageKind.BLEND),
    }


def arrays(size: int, *, of_identity: bool) -> list[str]:
    """The stored results: those of the identity's reconstruction, or all others."""
    names = compared(Recipe(VECTORS), f"trajectory_{size}.npz")
    return [n for n in names if n.startswith(IDENTITY_ARRAYS) is of_identity]


@pytest.mark.parametrize("name", arrays(256, of_identity=True))
def test_reconstruction_at_256_follows_the_reference(recipe: Recipe, name: str) -> None:
    assert_agrees(recipe, "trajectory_256.npz", name, started(256)[1][name])


@pytest.mark.slow
@pytest.mark.parametrize("name", arrays(256, of_identity=False))
def test_run_at_256_follows_the_reference(recipe: Recipe, name: str) -> None:
    assert_agrees(recipe, "trajectory_256.npz", name, trajectory(256)[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", compared(Recipe(VECTORS), "trajectory_1024.npz"))
def test_run_at_1024_follows_the_official_code(recipe: Recipe, name: str) -> None:
    assert_agrees(recipe, "trajectory_1024.npz", name, trajectory(1024)[name])
