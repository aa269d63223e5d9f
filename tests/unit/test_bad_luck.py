"""Bad luck in the loop (method 14.16): an outcome is finite, or a StageError names who and what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from barber.artifacts import FSCode, Portrait, Reconstruction, numbers
from barber.errors import StageError, short_key
from barber.labels import Region
from barber.losses.segmentation import (
    cross_entropy,
    cross_entropy_background_only,
    cross_entropy_without_background,
)
from barber.losses.style import region_grams, style_distance
from barber.models.stylegan2 import Noise
from barber.pipeline import Composition, compose, run_stage
from barber.pixels import portrait_key
from barber.plan import StageKind, plan
from barber.spec import (
    AlignParams,
    BlendParams,
    EmptyRegion,
    JobSpec,
    NoiseMode,
    ReconstructParams,
    RegionEdit,
    StageParams,
    TargetParams,
    apply_settings,
)
from tests.support.compositions import job, portraits, random_code, tiny_bundle
from tests.support.tiny_bundle import GEOMETRY

HAIR = (Region.HAIR,)
WIDE = tuple(region for region in Region if region is not Region.BACKGROUND)
SIDE = GEOMETRY.label_size
ONE_STEP = StageParams(
    reconstruct=ReconstructParams(w_plus_steps=1, fs_steps=1),
    target=TargetParams(steps=1, empty_region=EmptyRegion.REMOVE),
    align=AlignParams(identity_steps=1, reference_steps=1),
    blend=BlendParams(steps=1, mix_smoothing=1, mask_smoothing=1),
)


def filled(label: Region) -> Tensor:
    return torch.full((1, SIDE, SIDE), int(label))


def with_hair_at(where: tuple[slice, slice], around: Region) -> Tensor:
    labels = filled(around)
    labels[0, *where] = Region.HAIR
    return labels


LABEL_MAPS = {
    "bald": with_hair_at((slice(0), slice(0)), Region.SKIN),
    "nobody": filled(Region.BACKGROUND),
    "all hair": filled(Region.HAIR),
    "no background": with_hair_at((slice(0, 30), slice(0, 64)), Region.SKIN),
    "no skin": with_hair_at((slice(20, 40), slice(20, 40)), Region.BACKGROUND),
    "one pixel": with_hair_at((slice(31, 32), slice(33, 34)), Region.SKIN),
    "corner pixel": with_hair_at((slice(0, 1), slice(63, 64)), Region.BACKGROUND),
}


def assert_finite(found: Composition) -> None:
    for artifact in found.artifacts.values():
        for name, value in numbers(artifact).items():
            assert bool(torch.as_tensor(value).isfinite().all()), name


def composed(spec: JobSpec, people: list[Portrait] | None = None) -> Composition:
    return compose(tiny_bundle(), spec, {p.sha256: p for p in people or portraits(3)})


def show(patch: pytest.MonkeyPatch, *kinds: str) -> None:
    """Has the parser see these label maps in the first portraits."""
    seen = {p.sha256: LABEL_MAPS[kind] for p, kind in zip(portraits(3), kinds, strict=False)}
    for stage in ("target", "appearance", "wanted"):
        patch.setattr(
            f"barber.stages.{stage}.photograph_labels", lambda _, p, **how: seen[p.sha256]
        )


KINDS = st.sampled_from(sorted(LABEL_MAPS))


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(KINDS, KINDS, KINDS, st.booleans())
def test_no_label_maps_lead_to_a_number_that_is_not_finite(
    one: str, two: str, three: str, ours: bool
) -> None:
    params = ONE_STEP
    if ours:
        ours_on = replace(
            params.blend,
            regional_s=True,
            refine_steps=1,
            refine_extends=True,
            hats_off=True,
            colour_match=True,
            recolour=True,
        )
        params = replace(params, blend=ours_on)
    with pytest.MonkeyPatch.context() as patch:
        show(patch, one, two, three)
        found = composed(job((HAIR, 1, 2), params=params, noise=NoiseMode.ZERO))
    assert_finite(found)
    shares = torch.stack(list(found.blend.weights.values()))
    assert torch.allclose(shares.sum(dim=0), torch.ones_like(shares[0]))


def refusing(params: StageParams = ONE_STEP) -> StageParams:
    return replace(params, target=replace(params.target, empty_region=EmptyRegion.REFUSE))


def test_region_that_its_portrait_does_not_show_is_refused_by_name() -> None:
    with pytest.MonkeyPatch.context() as patch:
        show(patch, "no background", "bald")
        with pytest.raises(StageError) as failed:
            composed(job((HAIR, 1, 1), params=refusing()))
    bald = portraits(2)[1].sha256
    assert f"region 1 (hair) is empty: portrait {short_key(bald)} shows none" in str(failed.value)
    assert failed.value.stage == "target" and failed.value.portraits == (bald,)


def test_region_that_its_portrait_does_not_show_is_taken_away_on_demand() -> None:
    with pytest.MonkeyPatch.context() as patch:
        show(patch, "no background", "bald")
        found = composed(job((HAIR, 1, 1), params=ONE_STEP, noise=NoiseMode.ZERO))
    assert_finite(found)
    assert "1:hair" in found.blend.dropped


def test_colour_of_a_bald_head_is_dropped_and_reported_whatever_the_shape_says() -> None:
    with pytest.MonkeyPatch.context() as patch:
        show(patch, "no background", "no skin", "bald")
        found = composed(job((HAIR, 1, 2), params=refusing(), noise=NoiseMode.ZERO))
    assert_finite(found)
    assert "1:hair" in found.blend.dropped


@pytest.mark.parametrize("value", [0, 255, 127])
def test_portrait_of_one_colour_composes(value: int) -> None:
    pixels = np.full((SIDE, SIDE, 3), value, np.uint8)
    flat = Portrait(sha256=portrait_key(pixels), pixels=pixels)
    other = portraits(1)[0]
    edits = tuple(
        RegionEdit(labels=WIDE, structure=a.sha256, appearance=b.sha256)
        for a, b in [(flat, other), (other, flat)]
    )
    spec = replace(job(params=ONE_STEP), identity=flat.sha256, regions=edits)
    assert_finite(composed(spec, [flat, other]))


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("reconstruct.w_plus_rate", 1e6),
        ("reconstruct.w_plus_rate", 1e30),
        ("reconstruct.fs_rate", 1e30),
        ("target.rate", 1e30),
        ("align.rate", 1e6),
        ("blend.rate", 1e30),
    ],
)
def test_exploding_rate_ends_in_finite_numbers_or_says_where(name: str, rate: float) -> None:
    stage = name.partition(".")[0]
    steps = {
        "reconstruct": ["reconstruct.w_plus_steps=3", "reconstruct.fs_steps=3"],
        "target": ["target.steps=3"],
        "align": ["align.identity_steps=3", "align.reference_steps=3"],
        "blend": ["blend.steps=3"],
    }[stage]
    params = apply_settings(ONE_STEP, [f"{name}={rate}", *steps])
    found: Composition | StageError
    try:
        found = composed(job((WIDE, 1, 2), params=params, noise=NoiseMode.ZERO))
    except StageError as error:
        found = error
    if isinstance(found, Composition):
        assert_finite(found)
        return
    assert found.portraits and all(short_key(key) in str(found) for key in found.portraits)
    assert "non-finite" in str(found) and found.stage == stage


def test_last_update_that_is_kept_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = iter([torch.zeros(1, 16, SIDE, SIDE), torch.full((1, 16, SIDE, SIDE), torch.nan)])
    monkeypatch.setattr(
        "barber.stages.target.label_logits", lambda _, picture: next(logits) + 0 * picture.mean()
    )
    params = apply_settings(ONE_STEP, ["target.keep_last_update=true"])
    with pytest.raises(StageError, match="target came to a non-finite fill"):
        composed(job((WIDE, 1, 1), params=params, noise=NoiseMode.ZERO))


def test_non_finite_loss_names_phase_step_loss_region_and_portrait() -> None:
    spec = job((WIDE, 1, 1), params=apply_settings(ONE_STEP, ["align.reference_steps=2"]))
    broken = random_code(1)
    broken = replace(broken, w_plus=torch.full_like(broken.w_plus, torch.nan))
    good = composed(spec).artifacts
    stage = next(s for s in plan(spec) if s.kind is StageKind.ALIGN and s.areas)
    artifacts = {**good, stage.needs[1]: broken}
    with pytest.raises(StageError) as failed:
        run_stage(
            tiny_bundle(), spec, stage, portraits=lambda key: None, artifacts=artifacts.__getitem__
        )  # type: ignore[arg-type, return-value]
    words = str(failed.value)
    assert "align met a non-finite loss at step 1 of 2 of reference: cross_entropy is nan" in words
    assert stage.areas[0].words in words
    assert words.endswith(f"portrait {short_key(portraits(2)[1].sha256)})")


@pytest.mark.parametrize("spoiled", ["w_plus", "f", "losses"])
def test_artifact_that_is_not_finite_never_leaves_its_stage(
    spoiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = random_code(1)
    bad: dict[str, Reconstruction] = {
        "w_plus": replace(code, w_plus=code.w_plus * torch.inf),
        "f": replace(code, fs=FSCode(f=code.fs.f * torch.nan, s=code.fs.s)),
        "losses": replace(code, losses={"l2": float("nan")}),
    }
    monkeypatch.setattr("barber.pipeline.reconstruct", lambda *given, **named: bad[spoiled])
    key = portraits(1)[0].sha256
    with pytest.raises(StageError, match=rf"non-finite .*{spoiled}.*portrait {key[:12]}"):
        composed(job())


def test_composite_that_is_not_finite_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, picture = tiny_bundle().generator, torch.full((1, 3, SIDE, SIDE), torch.nan)
    spec = job(params=ONE_STEP)
    done = dict(composed(spec).artifacts)
    last = plan(spec)[-1]
    monkeypatch.setattr(type(generator), "render", lambda *given: picture)
    people = {p.sha256: p for p in portraits(1)}
    with pytest.raises(StageError, match="blend came to a non-finite image"):
        run_stage(
            tiny_bundle(),
            spec,
            last,
            portraits=people.__getitem__,
            artifacts=done.__getitem__,
        )


@pytest.mark.parametrize("kind", sorted(LABEL_MAPS))
def test_cross_entropies_and_their_gradients_are_finite_on_any_label_map(kind: str) -> None:
    for loss in (cross_entropy, cross_entropy_background_only, cross_entropy_without_background):
        logits = torch.randn(1, 16, SIDE, SIDE, requires_grad=True)
        loss(logits, LABEL_MAPS[kind]).sum().backward()
        assert logits.grad is not None and bool(logits.grad.isfinite().all())


def test_style_of_an_empty_region_is_zero_with_a_finite_gradient() -> None:
    vgg, nothing = tiny_bundle().vgg, torch.zeros(1, 1, SIDE, SIDE)
    picture = torch.randn(1, 3, SIDE, SIDE, requires_grad=True)
    distance = style_distance(
        region_grams(vgg, picture, nothing), region_grams(vgg, picture, nothing)
    )
    distance.sum().backward()
    assert float(distance.detach()) == 0.0
    assert picture.grad is not None and bool(picture.grad.isfinite().all())


def test_features_of_a_black_picture_have_a_finite_gradient() -> None:
    bundle = tiny_bundle()
    for value in (-1.0, 0.0, 1.0):
        picture = torch.full((1, 3, SIDE, SIDE), value, requires_grad=True)
        target = bundle.perceptual.features(torch.full_like(picture, -value).detach())
        bundle.perceptual.distance(picture, target).sum().backward()
        assert picture.grad is not None and bool(picture.grad.isfinite().all())


def test_codes_that_switch_a_layer_off_still_demodulate() -> None:
    generator = tiny_bundle().generator
    code = torch.zeros(1, GEOMETRY.rows, GEOMETRY.style_dim, requires_grad=True)
    with torch.no_grad():
        biases = [m.modulation.bias for m in generator.modules() if hasattr(m, "modulation")]
        kept = [bias.clone() for bias in biases]
        for bias in biases:
            bias.zero_()  # every style is zero now, and so is every demodulation's divisor
    try:
        picture = generator.synthesize(code, Noise.zero())
        picture.square().sum().backward()
    finally:
        with torch.no_grad():
            for bias, old in zip(biases, kept, strict=True):
                bias.copy_(old)
    assert bool(picture.isfinite().all())
    assert code.grad is not None and bool(code.grad.isfinite().all())


@given(st.floats(-1e6, 1e6, allow_nan=False))
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
def test_p_norm_is_finite_for_any_finite_code_of_sensible_size(value: float) -> None:
    bundle = tiny_bundle()
    code: Any = torch.full((1, GEOMETRY.rows, GEOMETRY.style_dim), value)
    assert bool(bundle.pca.p_norm(code).isfinite().all())
