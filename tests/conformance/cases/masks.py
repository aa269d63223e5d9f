"""Target masks, morphology and the F mix on given label maps (masks.npz)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from barber.artifacts import Alignment, FSCode, Reconstruction, TargetMask
from barber.labels import REGION_COUNT, Area, Region
from barber.models.bundle import ModelBundle
from barber.spec import MaskMode, PortraitKey, RegionEdit
from barber.stages import masks
from barber.stages.mix import Aligned, BlendInputs, mix
from barber.stages.target import Composition, compose_labels, fill_losses
from tests.conformance.bench import Bench, mean_std
from tests.conformance.compare import Value
from tests.conformance.overheard import fill_in_two_passes, soft_masks

HAIR = (Region.HAIR,)
PASS_LOGIT = 4.0  # the stored losses are of logits that are this times the one-hot label map
SIZE = 256  # of the bundle that gives the geometry
F_SHAPE = (1, 512, 32, 32)
F_STEP = 16
IDENTITY, REFERENCE = PortraitKey("identity"), PortraitKey("reference")


def morphology(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """Dilations and erosions by the steps that the names tell."""
    mask = bench.labels(file, "morph_in")[None] > 0
    for name in names:
        operation, _, steps = name.rpartition("_")
        morph = {"dilate": masks.dilate, "erode": masks.erode}[operation]
        yield {name: morph(mask, int(steps)).to(torch.uint8)}


def targets(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """The first composition, and the target mask and losses of each mode."""
    first = _composition(bench, file)
    yield {"T": first.labels, "bgmap": first.background}
    for mode in MaskMode:
        target, wanted, losses = _filled(bench, file, first, mode)
        yield {
            "pass2_target": wanted[-1],
            f"{mode}_M": target,
            f"{mode}_hair_target_sum": float((target == Region.HAIR).sum()),
            f"{mode}_losses": np.array(losses),
        }


def mixes(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """Soft masks and mixed F by the smoothing that the names tell."""
    bundle = bench.bundle(SIZE)
    inputs = _mix_inputs(bench, file, bundle)
    for smoothing in dict.fromkeys(re.findall(r"smooth(\d+)", " ".join(names))):
        with soft_masks() as alphas:
            f = mix(bundle, inputs, inputs.structure, int(smoothing))
        yield {
            f"mix_soft_smooth{smoothing}": torch.cat(alphas),
            f"mix_F_slice_smooth{smoothing}": f[0, ::F_STEP],
            f"mix_F_meanstd_smooth{smoothing}": mean_std(f),
        }


def _composition(bench: Bench, file: str) -> Composition:
    identity, reference = (bench.labels(file, name) for name in ("A", "R"))
    return compose_labels(identity, [reference], [Area(labels=HAIR)])


def _filled(
    bench: Bench, file: str, first: Composition, mode: MaskMode
) -> tuple[Tensor, list[Tensor], list[list[float]]]:
    """The target, what each pass was asked for, and each pass's losses."""
    wanted: list[Tensor] = []
    losses: list[list[float]] = []

    def fill(phase: str, labels: Tensor) -> Tensor:
        wanted.append(labels)
        seen = bench.labels(file, f"g{len(wanted)}")
        logits = PASS_LOGIT * torch.nn.functional.one_hot(seen, REGION_COUNT).float()
        found = fill_losses(logits.permute(0, 3, 1, 2), labels, first, mode)
        losses.append([float(value) for value in found.values()])
        return seen

    return fill_in_two_passes(first, fill), wanted, losses


def _mix_inputs(bench: Bench, file: str, bundle: ModelBundle) -> BlendInputs:
    first = _composition(bench, file)
    target, _, _ = _filled(bench, file, first, MaskMode.REALISTIC)
    f = {k: bench.tensor(f"test/mix/{k}", F_SHAPE, 0.5) for k in ("F1", "F1a", "Fr", "Fra")}
    nothing: Tensor = torch.zeros(1, bundle.geometry.rows, 512, device=bench.device)
    blank: Any = np.zeros((1, 1, 3), np.uint8)

    def code(tensor: Tensor) -> Reconstruction:
        return Reconstruction(w_plus=nothing, fs=FSCode(f=tensor, s=nothing), preview=blank)

    aligned = Aligned(
        target=TargetMask(label_map=target, removed=first.removed, shown=first.shown),
        identity=Alignment(f=f["F1a"], preview=blank),
        references={REFERENCE: Alignment(f=f["Fra"], preview=blank)},
        sources=(REFERENCE,),
    )
    return BlendInputs(
        identity=IDENTITY,
        regions=(RegionEdit(labels=HAIR, structure=REFERENCE, appearance=REFERENCE),),
        portraits={},
        reconstructions={IDENTITY: code(f["F1"]), REFERENCE: code(f["Fr"])},
        structure=aligned,
        appearance=aligned,
    )
