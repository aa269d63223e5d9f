from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from barber.artifacts import TargetMask
from barber.errors import InputError
from barber.evaluation.methods import FULL, METHODS, choose, reconstructions
from barber.labels import Region
from barber.pipeline import Composition, compose
from barber.spec import (
    PRESETS,
    AlignParams,
    BlendParams,
    MaskMode,
    NoiseMode,
    ReconstructParams,
    StageParams,
    TargetParams,
    apply_settings,
)
from tests.support.compositions import job, portraits, tiny_bundle

# Steps and rates that let every part of the method leave its trace.
LIVELY = StageParams(
    reconstruct=ReconstructParams(w_plus_steps=3, fs_steps=3, w_plus_rate=0.1, fs_rate=0.1),
    target=TargetParams(steps=6, rate=0.5),
    align=AlignParams(identity_steps=3, reference_steps=3, rate=0.1),
    blend=BlendParams(steps=3, mix_smoothing=1, mask_smoothing=1, regional_s=True, refine_steps=2),
)
WIDE = tuple(region for region in Region if region is not Region.BACKGROUND)


def composed(params: StageParams) -> Composition:
    spec = job((WIDE, 1, 1), noise=NoiseMode.ZERO, params=params)
    return compose(tiny_bundle(), spec, {p.sha256: p for p in portraits(2)})


@pytest.fixture(scope="module")
def whole() -> Composition:
    return composed(LIVELY)


def mask(found: Composition) -> np.ndarray:
    (target,) = (a for a in found.artifacts.values() if isinstance(a, TargetMask))
    return target.label_map.numpy()


ABLATIONS = [m for m in METHODS if m.settings and apply_settings(LIVELY, m.settings) != LIVELY]


@pytest.mark.parametrize("method", ABLATIONS, ids=lambda m: m.name)
def test_ablation_changes_the_outcome(whole: Composition, method) -> None:
    found = composed(apply_settings(LIVELY, method.settings))
    assert all(artifact.to_bytes() for artifact in found.artifacts.values())  # as workers do
    changed = not np.array_equal(found.blend.image, whole.blend.image)
    assert changed or not np.array_equal(mask(found), mask(whole))


def test_both_mask_modes_and_both_weights_of_l_f_are_there() -> None:
    names = {method.name for method in ABLATIONS}
    ours = {"one-s", "no-refine"}
    assert names == {"baseline", "no-alignment", "no-fs", "l-f-on", "fidelity"} | ours
    heavy = replace(LIVELY, reconstruct=replace(LIVELY.reconstruct, f_weight=0.1))
    faithful = replace(heavy, target=replace(LIVELY.target, mask_mode=MaskMode.FIDELITY))
    assert set(choose([], faithful).same) == {"l-f-on", "fidelity"}


def test_what_equals_the_full_method_is_told_and_not_run_twice() -> None:
    chosen = choose([], PRESETS["official"])
    ours = {"one-s": FULL, "no-refine": FULL}
    assert chosen.same == {"l-f-off": FULL, "realistic": FULL} | ours
    assert chosen.methods[0].name == FULL and "l-f-off" not in chosen.params
    paper = choose([], PRESETS["paper"])
    assert paper.same == {"l-f-on": FULL, "realistic": FULL} | ours and "l-f-off" in paper.params


def test_the_full_method_always_takes_part() -> None:
    chosen = choose(["unedited"], PRESETS["official"])
    assert [method.name for method in chosen.methods] == [FULL, "unedited"]
    assert list(chosen.params) == [FULL]


def test_unknown_method_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'magic': use one of full, baseline"):
        choose(["magic"], PRESETS["official"])


def test_methods_with_equal_codes_share_a_reconstruction() -> None:
    assert list(reconstructions(choose([], PRESETS["official"]))) == [FULL, "baseline", "l-f-on"]
