"""The whole method against the official pipeline's own runs: every stage, a few steps each.

At 1024 the reference is the unmodified official code, at 256 it is the project's size convention
(method 15). What differs from official runs by design: the noise is the checkpoint's buffers in
both. Which portraits, modes and pairs there are is read from the names of the arrays, how many
steps from the manifest's settings.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from barber.artifacts import Artifact, Blend, Portrait, Reconstruction, TargetMask
from barber.labels import Region
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.pipeline import blend_inputs, run_stage
from barber.pixels import portrait_key
from barber.plan import ArtifactKey, PlannedStage, Role, StageKind, plan
from barber.spec import JobSpec, NoiseMode, PortraitKey, RegionEdit, StageParams
from barber.stages.descent import StepReport
from barber.stages.mix import mix
from barber.stages.pictures import photograph_labels, to_pixels
from tests.conformance.bench import Bench, mean_std
from tests.conformance.compare import Value
from tests.conformance.overheard import blending, filling, soft_masks
from tests.conformance.vectors import MANIFEST, SetError

CELLS = 64  # pictures are stored at every (size / 64)-th pixel
F_STEP = 16  # and F at every 16th channel
OTHER_MODE_SMOOTHING = 3  # of a run in another mode than the settings', as the README says
ALIGNED = r"(?:loss/)?align_(?:(?P<mode>[a-z]{3,})_)?(?P<pair>[a-z]{2})[_:].+"


@dataclass(frozen=True, slots=True)
class Pair:
    """One alignment of the file: two pictures by name, and in which mode."""

    identity: str
    reference: str
    mode: str | None  # none: that of the settings

    @property
    def prefix(self) -> str:
        pair = f"{self.identity}{self.reference}"
        return f"align_{pair}" if self.mode is None else f"align_{self.mode}_{pair}"


def results(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """Every array of a trajectory, stage by stage from the recipe's start."""
    _params(bench, file.removesuffix(".npz"), None)  # settings are refused before anything long
    every = _pairs(bench.vectors.names(file))
    plain = [pair for pair in every if pair.mode is None]
    if not plain:
        raise SetError(f"{MANIFEST}: {file} lists no align_.. array that names its pictures")
    structure, appearance = plain[0], plain[-1]  # the first gives the shape, the other the colour
    runs = Runs(bench, file)
    for picture in dict.fromkeys([structure.identity, structure.reference, appearance.reference]):
        yield runs.reconstruction(picture)
    for pair in every:
        yield runs.alignment(pair)
    yield runs.blend(structure, appearance)


class Runs:
    """The jobs of one trajectory file: they share pictures, settings and finished artifacts."""

    def __init__(self, bench: Bench, file: str) -> None:
        self.bench, self.file = bench, file
        self.run = file.removesuffix(".npz")
        self.bundle: ModelBundle = bench.bundle(int(re.findall(r"\d+", file)[-1]))
        self.portraits: dict[PortraitKey, Portrait] = {}
        self.pictures: dict[PortraitKey | None, str] = {}  # their names in the recipe
        self.done: dict[ArtifactKey, Artifact] = {}
        self.reports: dict[ArtifactKey, list[StepReport]] = defaultdict(list)

    def key(self, picture: str) -> PortraitKey:
        """The portrait made of a picture of the recipe."""
        pixels = self.bench.recipe.picture(picture, self.bundle.geometry.image_size)
        key = portrait_key(pixels)
        self.portraits[key] = Portrait(sha256=key, pixels=pixels)
        self.pictures[key] = picture
        return key

    def job(
        self, identity: str, structure: str, appearance: str, mode: str | None = None
    ) -> JobSpec:
        """The job spec of one run, by the manifest's settings."""
        hair = RegionEdit(
            labels=(Region.HAIR,), structure=self.key(structure), appearance=self.key(appearance)
        )
        return JobSpec(
            identity=self.key(identity),
            regions=(hair,),
            bundle=self.bundle.digest,
            noise=NoiseMode.BUFFERS,
            params=_params(self.bench, self.run, mode),
        )

    def go(self, spec: JobSpec, *kinds: StageKind) -> None:
        """Runs what is not done yet of some kinds of stage."""
        for stage in plan(spec):
            if stage.kind in kinds and stage.key not in self.done:
                whose = (stage.kind, stage.role or "", self.pictures.get(stage.portrait, ""))
                self.bench.tell(f"{self.file}: {' '.join(filter(None, whose))}")
                with filling():
                    self.done[stage.key] = run_stage(
                        self.bundle,
                        spec,
                        stage,
                        portraits=self.portraits.__getitem__,
                        artifacts=self.done.__getitem__,
                        on_step=self.reports[stage.key].append,
                    )

    def losses(self, stage: PlannedStage, *names: str, phase: str = "") -> NDArray[np.float64]:
        """[steps, names] of the reported losses, in order; steps that lack a name are left out."""
        reports = self.reports[stage.key]
        rows = [r.losses for r in reports if phase in ("", r.phase)]
        return np.array([[row[n] for n in names] for row in rows if set(names) <= set(row)])

    def reconstruction(self, picture: str) -> dict[str, Value]:
        """W+, F, S and losses of one picture."""
        spec = self.job(picture, picture, picture)
        (stage,) = (s for s in plan(spec) if s.kind is StageKind.RECONSTRUCT)
        self.go(spec, StageKind.RECONSTRUCT)
        code = self.done[stage.key]
        assert isinstance(code, Reconstruction)
        columns = ("total", "l2", "lpips", "p_norm")
        return {
            f"w_plus_{picture}": code.w_plus,
            f"fs_{picture}_latent": code.fs.s,
            f"fs_{picture}_F_slice": code.fs.f[:, ::F_STEP],
            f"fs_{picture}_F_meanstd": mean_std(code.fs.f),
            f"loss/w_plus_{picture}": self.losses(stage, *columns, phase="w_plus"),
            f"loss/fs_{picture}": self.losses(stage, *columns, phase="fs"),
        }

    def alignment(self, pair: Pair) -> dict[str, Value]:
        """Target mask, mixed F and losses of one pair; the reference gives shape and colour."""
        spec = self.job(pair.identity, pair.reference, pair.reference, pair.mode)
        self.go(spec, StageKind.RECONSTRUCT, StageKind.TARGET, StageKind.ALIGN)
        (target,) = (s for s in plan(spec) if s.kind is StageKind.TARGET)
        mask = self.done[target.key]
        assert isinstance(mask, TargetMask)
        f, alphas, preview = self._mixed(spec)
        hair = [self._hair(picture) for picture in (pair.identity, pair.reference)]
        step = self.bundle.geometry.image_size // CELLS
        prefix = pair.prefix
        return self._alignment_losses(prefix, spec) | {
            f"{prefix}_target_mask": mask.label_map,
            f"{prefix}_hair1": hair[0],
            f"{prefix}_hair2": hair[1],
            f"{prefix}_soft_masks": torch.cat(alphas),
            f"{prefix}_F_slice": f[:, ::F_STEP],
            f"{prefix}_F_meanstd": mean_std(f),
            f"{prefix}_preview": preview[::step, ::step],
        }

    def blend(self, structure: Pair, appearance: Pair) -> dict[str, Value]:
        """The composite: shape of one reference, colour of the other."""
        spec = self.job(structure.identity, structure.reference, appearance.reference)
        every = plan(spec)
        with blending() as heard:
            self.go(spec, *StageKind)
        result = self.done[every[-1].key]
        assert isinstance(result, Blend)
        with torch.no_grad():
            image = self.bundle.generator.render(result.fs.f, result.fs.s, Noise.buffers())
        step = self.bundle.geometry.image_size // CELLS
        face, hair = heard["terms"]
        return {
            "blend_mask_face": face.mask.to(torch.uint8),
            "blend_mask_hair": hair.mask.to(torch.uint8),
            "blend_latent": result.fs.s,
            "blend_t_after": heard["weights"],
            "blend_image_slice": image[0, :, ::step, ::step],
            "blend_image_meanstd": mean_std(image),
            "blend_png_slice": result.image[::step, ::step],
            "loss/blend": self.losses(every[-1], "total", face.name, hair.name),
        }

    def _mixed(self, spec: JobSpec) -> tuple[Tensor, list[Tensor], NDArray[np.uint8]]:
        """The mixed F of a job, the soft masks it was mixed with, and its preview."""
        inputs = blend_inputs(spec, self.portraits.__getitem__, self.done.__getitem__)
        with soft_masks() as alphas, torch.no_grad():
            f = mix(self.bundle, inputs, inputs.structure, spec.params.blend.mix_smoothing)
            own = inputs.reconstructions[inputs.identity].fs.s.to(self.bundle.device)
            preview = to_pixels(self.bundle.generator.render(f, own, Noise.buffers()))
        return f, alphas, preview

    def _hair(self, picture: str) -> Tensor:
        found = photograph_labels(self.bundle, self.portraits[self.key(picture)])
        return (found == Region.HAIR).to(torch.uint8)

    def _alignment_losses(self, prefix: str, spec: JobSpec) -> dict[str, Value]:
        stages = {(s.kind, s.role): s for s in plan(spec)}
        target = stages[StageKind.TARGET, None]
        own, other = (stages[StageKind.ALIGN, role] for role in (Role.IDENTITY, Role.REFERENCE))
        entropies = [self.losses(stage, "cross_entropy") for stage in (own, other)]
        mask = {
            "cross_entropy_loss": "cross_entropy",
            "cross_entropy_loss_wo_background": "without_background",
            "cross_entropy_loss_only_background": "background_only",
        }
        found: dict[str, Value] = {
            f"loss/{prefix}:mask:{theirs}": values
            for theirs, ours in mask.items()
            if (values := self.losses(target, ours)).size
        }
        return found | {
            f"loss/{prefix}:cross_entropy_loss": np.concatenate(entropies),
            f"loss/{prefix}:style_loss": self.losses(other, "style"),
        }


def _pairs(names: Sequence[str]) -> list[Pair]:
    """Every alignment that the array names tell of, in order."""
    found = (re.fullmatch(ALIGNED, name) for name in names)
    return list(
        dict.fromkeys(Pair(m["pair"][0], m["pair"][1], m["mode"]) for m in found if m is not None)
    )


def _params(bench: Bench, run: str, mode: str | None) -> StageParams:
    """The official preset with the settings' steps, rate, mode and smoothing."""
    steps, fill, rate, smooth, usual = (
        bench.vectors.setting(run, name) for name in ("steps", "fill_steps", "lr", "smooth", "mode")
    )
    if mode is not None:
        smooth = bench.vectors.settings(run).get(f"{mode}_smooth", OTHER_MODE_SMOOTHING)
    return StageParams.from_json(
        {
            "reconstruct": {
                "w_plus_steps": steps,
                "fs_steps": steps,
                "w_plus_rate": rate,
                "fs_rate": rate,
            },
            "target": {"mask_mode": mode or usual, "steps": fill, "rate": rate},
            "align": {"identity_steps": steps, "reference_steps": steps, "rate": rate},
            "blend": {"steps": steps, "rate": rate, "mix_smoothing": smooth},
        }
    )
