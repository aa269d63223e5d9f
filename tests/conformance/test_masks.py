"""Target masks, morphology and the F mix on given label maps (masks.npz)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from barber.artifacts import Alignment, FSCode, Reconstruction, TargetMask
from barber.labels import REGION_COUNT, Area, Region
from barber.models.bundle import ModelBundle
from barber.spec import MaskMode, PortraitKey, RegionEdit
from barber.stages import masks
from barber.stages.blend import Aligned, BlendInputs, mix
from barber.stages.target import Composition, compose_labels, fill_losses, semantic_fill
from tests.conformance.compare import assert_agrees, compared, mean_std
from tests.conformance.recipe import VECTORS, Recipe, reference_bundle

FILE = "masks.npz"
HAIR = (Region.HAIR,)
PASS_LOGIT = 4.0  # the stored losses are of logits that are this times the one-hot label map
IDENTITY, REFERENCE = PortraitKey("identity"), PortraitKey("reference")
Values = dict[str, Tensor | NDArray[Any] | float]


def stored(recipe: Recipe, name: str) -> Tensor:
    return torch.from_numpy(recipe.array(FILE, name).astype(np.int64))[None]


@cache
def composition() -> Composition:
    recipe = Recipe(VECTORS)
    return compose_labels(stored(recipe, "A"), [stored(recipe, "R")], [Area(labels=HAIR)])


def filled(mode: MaskMode) -> tuple[Tensor, list[Tensor], list[list[float]]]:
    """The target, what each pass was asked for, and each pass's losses."""
    recipe, first = Recipe(VECTORS), composition()
    wanted: list[Tensor] = []
    losses: list[list[float]] = []

    def fill(phase: str, labels: Tensor) -> Tensor:
        seen = stored(recipe, f"g{len(wanted) + 1}")
        wanted.append(labels)
        logits = PASS_LOGIT * torch.nn.functional.one_hot(seen, REGION_COUNT).float()
        found = fill_losses(logits.permute(0, 3, 1, 2), labels, first.background, mode)
        losses.append([float(value) for value in found.values()])
        return seen

    return semantic_fill(first, fill), wanted, losses


@cache
def on_targets() -> Values:
    found: Values = {"T": composition().labels, "bgmap": composition().background}
    for mode in MaskMode:
        target, wanted, losses = filled(mode)
        found |= {
            "pass2_target": wanted[1],
            f"{mode}_M": target,
            f"{mode}_hair_target_sum": float((target == Region.HAIR).sum()),
            f"{mode}_losses": np.array(losses),
        }
    return found


@cache
def on_morphology() -> Values:
    mask = stored(Recipe(VECTORS), "morph_in")[None] > 0
    found: Values = {}
    for steps in (1, 3, 5):
        found[f"dilate_{steps}"] = masks.dilate(mask, steps).to(torch.uint8)
        found[f"erode_{steps}"] = masks.erode(mask, steps).to(torch.uint8)
    return found


def mix_inputs(bundle: ModelBundle, recipe: Recipe) -> BlendInputs:
    first, (target, _, _) = composition(), filled(MaskMode.REALISTIC)
    f = {
        k: recipe.tensor(f"test/mix/{k}", (1, 512, 32, 32), 0.5) for k in ("F1", "F1a", "Fr", "Fra")
    }
    nothing, blank = torch.zeros(1, bundle.geometry.rows, 512), np.zeros((1, 1, 3), np.uint8)

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


@cache
def on_mixes() -> Values:
    recipe, bundle = Recipe(VECTORS), reference_bundle(256)
    inputs = mix_inputs(bundle, recipe)
    assert inputs.structure is not None
    target, geometry = inputs.structure.target, bundle.geometry
    inside = target.region(*HAIR)
    found: Values = {}
    for smoothing in (5, 2):
        f = mix(bundle, inputs, inputs.structure, smoothing)
        alphas = [
            masks.identity_alpha(target.removed, inside, smoothing, geometry),
            masks.region_alpha(inside, smoothing, geometry),
            masks.region_alpha(inside & target.shown, smoothing, geometry),
        ]
        found[f"mix_soft_smooth{smoothing}"] = torch.cat(alphas)
        found[f"mix_F_slice_smooth{smoothing}"] = f[0, ::16]
        found[f"mix_F_meanstd_smooth{smoothing}"] = mean_std(f)
    return found


@pytest.mark.parametrize("name", compared(Recipe(VECTORS), FILE))
def test_masks_agree_with_the_reference(recipe: Recipe, name: str) -> None:
    assert_agrees(recipe, FILE, name, (on_targets() | on_morphology() | on_mixes())[name])
