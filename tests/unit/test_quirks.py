"""The official code's quirks (method 14): what each parameter turns, in the stated direction.

docs/presets.md lists all twenty with the tests that hold them; `tests/unit/test_docs_presets.py`
keeps that list true.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from barber.artifacts import Blend, Reconstruction
from barber.geometry import Geometry
from barber.labels import Area, Region
from barber.losses.style import region_grams
from barber.models.stylegan2 import Noise
from barber.pipeline import compose
from barber.pixels import quantise
from barber.plan import StageKind, plan
from barber.resample import downsample, photograph_to_parser, to_loss_size, to_parser_input
from barber.spec import (
    JobSpec,
    LowTarget,
    NoiseMode,
    ReconstructParams,
    StageParams,
    TargetParams,
)
from barber.stages import masks
from barber.stages.align import align
from barber.stages.descent import StepReport
from barber.stages.pictures import low_resolution, to_signed
from barber.stages.reconstruct import reconstruct
from barber.stages.target import target
from tests.support.compositions import QUICK, job, portraits, random_code, random_mask, tiny_bundle
from tests.support.tiny_bundle import GEOMETRY, coarse_bundle

WIDE = tuple(region for region in Region if region is not Region.BACKGROUND)
EVERYTHING = (Area(labels=WIDE),)
SHORT = ReconstructParams(w_plus_steps=2, fs_steps=2, w_plus_rate=0.05, fs_rate=0.05)


def reconstructed(
    noise: Noise | None = None, reports: list[StepReport] | None = None, **params: Any
) -> Reconstruction:
    return reconstruct(
        tiny_bundle(),
        portraits(1)[0],
        replace(SHORT, **params),
        noise=noise or Noise.zero(),
        on_step=None if reports is None else reports.append,
    )


def composed(spec: JobSpec) -> Blend:
    return compose(tiny_bundle(), spec, {p.sha256: p for p in portraits(3)}).blend


@cache
def blended(**params: Any) -> Blend:
    """One job of which only the blend differs from call to call."""
    return composed(
        job(
            (WIDE, 1, 2),
            noise=NoiseMode.ZERO,
            params=replace(QUICK, blend=replace(QUICK.blend, **params)),
        )
    )


# 1: the regulariser of F


def test_weight_of_the_f_prior_holds_f_at_its_start() -> None:
    start = tiny_bundle().generator.structure(reconstructed().w_plus, Noise.zero())
    far, near = (
        float((reconstructed(f_weight=weight, fs_steps=6).fs.f - start).square().mean())
        for weight in (0.0, 1e4)
    )
    assert near < 0.9 * far


# 2: the RGB below F


def test_carried_skip_makes_the_render_from_f_the_picture_of_w_plus() -> None:
    generator, code = tiny_bundle().generator, random_code(1).w_plus
    whole = generator.synthesize(code, Noise.zero())
    carried = generator.structure(code, Noise.zero(), carry_skip=True)
    assert torch.equal(generator.render(carried, code, Noise.zero()), whole)
    bare = generator.structure(code, Noise.zero())
    assert torch.equal(carried[:, : bare.shape[1]], bare)
    assert not torch.allclose(generator.render(bare, code, Noise.zero()), whole, atol=0.01)


def test_carried_skip_lets_fs_start_where_w_plus_ended() -> None:
    reports: list[StepReport] = []
    found = reconstructed(reports=reports, carry_skip=True, w_plus_rate=0.0)
    assert reports[2].losses["l2"] == pytest.approx(reports[1].losses["l2"], rel=1e-5)
    bare: list[StepReport] = []
    reconstructed(reports=bare, w_plus_rate=0.0)
    assert bare[2].losses["l2"] != pytest.approx(bare[1].losses["l2"], rel=1e-2)
    skip = tiny_bundle().generator.structure(found.w_plus, Noise.zero(), carry_skip=True)[:, -3:]
    assert torch.equal(found.fs.f[:, -3:], skip)


def test_carried_skip_is_mixed_and_rendered_with_f() -> None:
    carrying = replace(QUICK, reconstruct=replace(QUICK.reconstruct, carry_skip=True))
    found = composed(job((WIDE, 1, 2), noise=NoiseMode.ZERO, params=carrying))
    plain = composed(job((WIDE, 1, 2), noise=NoiseMode.ZERO))
    assert found.fs.f.shape[1] == plain.fs.f.shape[1] + 3
    assert not np.array_equal(found.image, plain.image)


# 3: noise


@pytest.mark.parametrize("mode", list(NoiseMode))
def test_only_fresh_noise_changes_from_pass_to_pass(mode: NoiseMode) -> None:
    reports: list[StepReport] = []
    reconstructed(Noise(mode, 1), reports, w_plus_rate=0.0)
    first, second = (report.losses["l2"] for report in reports[:2])
    assert (first != second) is (mode is NoiseMode.FRESH)


def test_noise_modes_give_three_pictures_and_each_repeats_itself() -> None:
    specs = [job((WIDE, 1, 1), noise=mode) for mode in NoiseMode]
    bytes_of = [composed(spec).to_bytes() for spec in (*specs, *specs)]
    assert len(set(bytes_of)) == 3 and bytes_of[:3] == bytes_of[3:]


# 4: the last update


def test_kept_last_update_of_w_plus_and_s_is_what_one_more_step_looks_at() -> None:
    kept = reconstructed(keep_last_update=True, w_plus_steps=3)
    assert torch.equal(kept.w_plus, reconstructed(w_plus_steps=4).w_plus)
    both = reconstructed(keep_last_update=True, w_plus_rate=0.0)
    longer = reconstructed(w_plus_rate=0.0, fs_steps=SHORT.fs_steps + 1)
    assert torch.equal(both.fs.s, longer.fs.s)
    # F is kept after its last update either way.
    assert torch.equal(both.fs.f, reconstructed(w_plus_rate=0.0).fs.f)


def test_kept_last_update_of_alignment_is_what_one_more_step_looks_at() -> None:
    def aligned(**params: Any) -> Tensor:
        return align(
            tiny_bundle(),
            random_code(1),
            random_mask(),
            replace(QUICK.align, **params),
            areas=EVERYTHING,
            noise=Noise.zero(),
        ).f

    kept = aligned(keep_last_update=True)
    assert torch.equal(kept, aligned(reference_steps=QUICK.align.reference_steps + 1))
    assert not torch.equal(kept, aligned())


def test_kept_last_update_of_the_target_mask_is_what_one_more_step_looks_at() -> None:
    def mask(**params: Any) -> Tensor:
        identity, source = portraits(2)
        given = TargetParams(steps=2, rate=0.5)
        areas = [Area(labels=(Region.SKIN, Region.HAIR))]
        return target(
            tiny_bundle(),
            identity,
            [source],
            areas,
            replace(given, **params),
            noise=Noise.zero(),
        ).label_map

    kept = mask(keep_last_update=True)
    assert torch.equal(kept, mask(steps=3))
    assert not torch.equal(kept, mask())


def test_kept_last_update_of_the_appearance_is_what_one_more_step_looks_at() -> None:
    kept, longer = blended(keep_last_update=True), blended(steps=QUICK.blend.steps + 1)
    assert torch.equal(kept.fs.s, longer.fs.s)
    assert all(torch.equal(kept.weights[key], longer.weights[key]) for key in kept.weights)
    assert not torch.equal(kept.fs.s, blended().fs.s)


# 5: six rows for seven


def test_all_f_rows_frees_the_row_that_six_leave_out() -> None:
    bundle, code = tiny_bundle(), random_code(1)
    last = bundle.geometry.split_row - 1
    changed = code.fs.s.clone()
    changed[:, last] += 1.0
    other = replace(code, fs=replace(code.fs, s=changed))

    def aligned(code: Reconstruction, *, all_f_rows: bool) -> Tensor:
        params = replace(QUICK.align, identity_steps=1, all_f_rows=all_f_rows)
        return align(bundle, code, random_mask(), params, areas=None, noise=Noise.zero()).f

    # Free, the row starts from W+, so S's value of it has no say in F any more.
    assert torch.equal(aligned(code, all_f_rows=True), aligned(other, all_f_rows=True))
    assert not torch.equal(aligned(code, all_f_rows=False), aligned(other, all_f_rows=False))


def test_all_f_rows_lets_the_fill_follow_its_mask_more_closely() -> None:
    def losses(*, all_f_rows: bool) -> dict[str, float]:
        identity, source = portraits(2)
        params = TargetParams(steps=12, rate=0.05, all_f_rows=all_f_rows)
        areas = [Area(labels=(Region.HAIR,))]
        noise = Noise.zero()
        found = target(tiny_bundle(), identity, [source], areas, params, noise=noise)
        return dict(found.losses)

    six, seven = losses(all_f_rows=False), losses(all_f_rows=True)
    assert sum(seven.values()) < sum(six.values())


# 6, 7: sizes


@pytest.mark.parametrize(("size", "rows"), [(256, 14), (512, 16), (1024, 18)])
def test_rows_follow_the_size_and_the_split_stays_at_f(size: int, rows: int) -> None:
    geometry = Geometry.official(size)
    assert (geometry.rows, geometry.split_row, geometry.align_rows) == (rows, 7, 6)
    if size == 1024:
        assert geometry.split_row == geometry.rows - 11  # the official code's own formula


# 8: bicubic by a factor of one


def test_bicubic_by_one_blurs_and_is_never_asked_for() -> None:
    picture = to_signed(portraits(1)[0].pixels, torch.device("cpu"))
    assert not torch.allclose(downsample(picture, 1), picture, atol=0.01)
    assert to_loss_size(picture, GEOMETRY) is picture


# 9: the clamp before the parser


def test_unclamped_photograph_is_parsed_like_a_render() -> None:
    geometry = coarse_bundle().geometry
    unit = to_signed(portraits(1)[0].pixels, torch.device("cpu")) / 2 + 0.5
    clamped, free = (photograph_to_parser(unit, geometry, clamp=c) for c in (True, False))
    as_render = to_parser_input(unit * 2 - 1, geometry)
    torch.testing.assert_close(free, as_render)
    assert float(free.min()) < float(clamped.min()) and not torch.equal(free, clamped)


@pytest.mark.parametrize("stage", ["target", "blend"])
def test_clamp_of_photographs_reaches_the_stage(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[bool] = set()

    def overheard(unit: Tensor, geometry: Geometry, *, clamp: bool) -> Tensor:
        seen.add(clamp)
        return photograph_to_parser(unit, geometry, clamp=clamp)

    monkeypatch.setattr("barber.stages.pictures.photograph_to_parser", overheard)
    other = replace(getattr(QUICK, stage), clamp_photographs=False)
    composed(job((WIDE, 1, 2), params=replace(QUICK, **{stage: other})))
    assert seen == {True, False}


# 10: the low-resolution target


def test_bicubic_target_goes_through_the_renders_own_filter() -> None:
    bundle, portrait = coarse_bundle(), portraits(1)[0]
    low = {how: low_resolution(portrait, bundle.geometry, bundle.device, how) for how in LowTarget}
    render_of_it = to_loss_size(to_signed(portrait.pixels, bundle.device), bundle.geometry)
    assert torch.equal(low[LowTarget.BICUBIC], render_of_it)
    assert not torch.allclose(low[LowTarget.LANCZOS], render_of_it, atol=0.01)


@pytest.mark.parametrize("stage", ["reconstruct", "blend"])
def test_low_target_changes_the_stage(stage: str) -> None:
    people = {p.sha256: p for p in portraits(3)}
    blends = [
        compose(
            coarse_bundle(),
            replace(
                job((WIDE, 1, 2), noise=NoiseMode.ZERO),
                bundle=coarse_bundle().digest,
                params=replace(QUICK, **{stage: replace(getattr(QUICK, stage), low_target=how)}),
            ),
            people,
        ).blend
        for how in LowTarget
    ]
    assert blends[0].losses != blends[1].losses


# 11, 12: morphology


def test_border_that_does_not_erode_spares_what_touches_it() -> None:
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., :8, 4:12] = True  # touches the upper border
    eaten, spared = masks.erode(mask, 2), masks.erode(mask, 2, border=False)
    assert not bool(eaten[..., :2, :].any())
    assert bool(spared[..., :2, 6:10].all())
    assert torch.equal(eaten[..., 2:, :], spared[..., 2:, :])


def test_border_erodes_changes_the_blend() -> None:
    assert not torch.equal(blended().fs.f, blended(border_erodes=False).fs.f)


def test_no_smoothing_means_no_morphology_where_the_official_code_would_flood() -> None:
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., 7:9, 7:9] = True
    assert torch.equal(masks.dilate(mask, 0), mask) and torch.equal(masks.erode(mask, 0), mask)


def test_clamped_soft_masks_never_extrapolate_f() -> None:
    fine = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) > 0.5
    free, cut = (masks.soft(fine, GEOMETRY, clamp=clamp) for clamp in (False, True))
    assert float(free.min()) < 0 and float(free.max()) > 1
    assert torch.equal(cut, free.clamp(0, 1))


def test_clamp_soft_masks_changes_the_blend() -> None:
    assert not torch.equal(blended().fs.f, blended(clamp_soft_masks=True).fs.f)


# 13: the weights of the blend


@pytest.mark.parametrize(("name", "term"), [("base_weight", "base"), ("region_weight", "1:")])
def test_weight_of_the_blend_scales_its_own_terms_only(name: str, term: str) -> None:
    once, twice = blended(steps=1), blended(steps=1, **{name: 2.0})
    assert any(loss.startswith(term) for loss in once.losses)
    for loss, value in once.losses.items():
        if loss != "total":
            factor = 2.0 if loss.startswith(term) else 1.0
            assert twice.losses[loss] == pytest.approx(factor * value, rel=1e-5)


# 14: conditions


def test_masks_are_bool_so_that_a_condition_means_what_it_says() -> None:
    labels = random_mask().label_map
    assert masks.among(labels, [Region.HAIR]).dtype == torch.bool
    assert masks.dilate(masks.among(labels, [Region.HAIR]), 1).dtype == torch.bool


# 15: the pre-fill


def test_rounded_prefill_keeps_hair_that_truncation_loses() -> None:
    composed_labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    composed_labels[:, :, :24] = Region.HAIR
    hidden = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    hidden[..., 16:48, 12:44] = True
    cut, rounded = (
        masks.prefill(composed_labels, hidden, truncate=truncate) == Region.HAIR
        for truncate in (True, False)
    )
    assert bool((rounded | ~cut).all()) and int(rounded.sum()) > int(cut.sum())
    outside = ~hidden[:, 0]
    assert torch.equal(cut[outside], rounded[outside])


# 17: the PNG


def test_rounded_png_is_never_darker_and_at_most_one_level_brighter() -> None:
    cut, rounded = (blended(truncate_png=t).image.astype(int) for t in (True, False))
    assert set(np.unique(rounded - cut)) == {0, 1}
    assert quantise(np.array([0.999], np.float32)).tolist() == [254]
    assert quantise(np.array([0.999], np.float32), truncate=False).tolist() == [255]


# 18, 19: work that changes nothing


def test_networks_stop_at_the_last_map_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, picture = tiny_bundle(), torch.zeros(1, 3, 64, 64)
    ran: list[str] = []
    for name, layer in bundle.vgg.features.items():
        forward = layer.forward

        def told(x: Tensor, name: str = name, forward: Any = forward) -> Tensor:
            ran.append(name)
            result: Tensor = forward(x)
            return result

        monkeypatch.setattr(layer, "forward", told)
    everywhere = torch.ones(1, 1, 64, 64)
    bundle.perceptual.masked(picture, bundle.perceptual.features(picture, 3), everywhere)
    assert len(set(ran)) == 3  # of four blocks of one convolution each
    ran.clear()
    region_grams(bundle.vgg, picture, everywhere)
    assert len(ran) == min(4, len(bundle.vgg.channels))


def test_no_weight_of_a_network_asks_for_a_gradient() -> None:
    bundle = tiny_bundle()
    composed(job((WIDE, 1, 2)))
    networks: list[nn.Module] = [bundle.generator, bundle.segmenter, bundle.perceptual]
    weights = [p for network in networks for p in network.parameters()]
    assert not any(p.requires_grad or p.grad is not None for p in weights)


# 20: order


def test_portraits_come_in_the_plans_order_and_their_noise_from_what_they_are() -> None:
    one, other = job((WIDE, 1, 2)), job((WIDE, 2, 1))
    seeds = [
        {s.portrait: s.noise_seed for s in plan(spec) if s.kind is StageKind.RECONSTRUCT}
        for spec in (one, other)
    ]
    assert seeds[0] == seeds[1]
    assert [s.key for s in plan(one)] == [s.key for s in plan(job((WIDE, 1, 2)))]


def test_presets_leave_every_quirk_as_the_official_code_has_it() -> None:
    plain = StageParams()
    assert plain.reconstruct.f_weight == 0.0 and not plain.reconstruct.carry_skip
    for stage in ("reconstruct", "target", "align", "blend"):
        assert getattr(plain, stage).keep_last_update is False
    assert plain.target.clamp_photographs and plain.blend.clamp_photographs
    assert plain.blend.border_erodes and not plain.blend.clamp_soft_masks
    assert plain.target.truncate_prefill and plain.blend.truncate_png
