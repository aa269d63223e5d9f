from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from barber.artifacts import Alignment, Reconstruction, TargetMask
from barber.labels import Area, Region
from barber.models.stylegan2 import Noise
from barber.spec import AlignParams
from barber.stages.align import align
from barber.stages.descent import StepReport
from barber.stages.pictures import render_labels
from tests.support.compositions import random_code, random_mask, tiny_bundle

QUICK = AlignParams(identity_steps=3, reference_steps=3, style_weight=1e4)
ALL = (Area(labels=tuple(Region)[1:]),)


def run(
    params: AlignParams = QUICK,
    *,
    areas: tuple[Area, ...] | None = ALL,
    noise: Noise | None = None,
    reports: list[StepReport] | None = None,
    code: Reconstruction | None = None,
    mask: TargetMask | None = None,
) -> Alignment:
    return align(
        tiny_bundle(),
        code or random_code(1),
        mask or random_mask(),
        params,
        areas=areas,
        noise=noise or Noise.zero(),
        on_step=None if reports is None else reports.append,
    )


def test_one_step_gives_the_structure_of_the_untouched_code() -> None:
    bundle, code = tiny_bundle(), random_code(1)
    rows = bundle.geometry.align_rows
    start = torch.cat([code.w_plus[:, :rows], code.fs.s[:, rows:]], dim=1)
    found = run(replace(QUICK, identity_steps=1), areas=None)
    assert torch.equal(found.f, bundle.generator.structure(start, Noise.zero()))


@pytest.mark.parametrize("areas", [None, ALL])
def test_align_that_is_off_leaves_f_as_it_was(areas: tuple[Area, ...] | None) -> None:
    reports: list[StepReport] = []
    found = run(replace(QUICK, enabled=False), areas=areas, reports=reports)
    assert torch.equal(found.f, random_code(1).fs.f) and not reports
    assert not torch.equal(run(areas=areas).f, found.f)


def test_last_row_of_f_is_not_optimised_and_comes_from_s() -> None:
    # Six rows are free although seven make F (method 14.5).
    bundle, code = tiny_bundle(), random_code(1)
    last = bundle.geometry.split_row - 1
    other = random_code(2)
    changed_s, changed_w = code.fs.s.clone(), code.w_plus.clone()
    changed_s[:, last] = other.fs.s[:, last]
    changed_w[:, last] = other.w_plus[:, last]
    by_s = replace(code, fs=replace(code.fs, s=changed_s))
    once = replace(QUICK, identity_steps=1)
    assert not torch.equal(run(once, areas=None, code=by_s).f, run(once, areas=None).f)
    by_w = replace(code, w_plus=changed_w)
    assert torch.equal(run(once, areas=None, code=by_w).f, run(once, areas=None).f)


def test_identity_has_no_style_term() -> None:
    reports: list[StepReport] = []
    run(areas=None, reports=reports)
    assert set(reports[0].losses) == {"cross_entropy", "total"}
    assert {report.phase for report in reports} == {"identity"} and reports[-1].done == 1.0


def test_reference_style_starts_at_zero_without_noise() -> None:
    reports: list[StepReport] = []
    run(reports=reports)
    assert reports[0].losses["style"] == 0.0 and reports[1].losses["style"] > 0.0
    assert {report.phase for report in reports} == {"reference"}


def test_style_holds_the_reference_back() -> None:
    params = replace(QUICK, reference_steps=12, rate=0.05)
    free: list[StepReport] = []
    held: list[StepReport] = []
    run(replace(params, style_weight=1e-3), reports=free)
    run(replace(params, style_weight=1e6), reports=held)
    assert held[-1].losses["style"] / 1e6 < free[-1].losses["style"] / 1e-3


def test_picture_comes_to_parse_as_the_mask() -> None:
    reports: list[StepReport] = []
    run(replace(QUICK, identity_steps=25, rate=0.05), areas=None, reports=reports)
    assert reports[-1].losses["cross_entropy"] < reports[0].losses["cross_entropy"]


def test_mask_that_the_code_already_shows_leaves_little_to_do() -> None:
    bundle, code = tiny_bundle(), random_code(1)
    shown = render_labels(bundle, bundle.generator.synthesize(code.w_plus, Noise.zero()))
    fit: list[StepReport] = []
    unfit: list[StepReport] = []
    run(areas=None, mask=replace(random_mask(), label_map=shown), reports=fit)
    run(areas=None, reports=unfit)
    assert fit[0].losses["total"] < unfit[0].losses["total"]


def test_region_that_nobody_shows_gives_a_finite_style() -> None:
    found = run(areas=(Area(labels=(Region.NECKLACE,)),))
    assert found.losses["style"] >= 0.0


@pytest.mark.parametrize(
    "change", [{"reference_steps": 4}, {"rate": 0.02}, {"style_weight": 0.0}, {"style_weight": 1e9}]
)
def test_every_parameter_changes_the_alignment(change: dict[str, float]) -> None:
    assert not torch.equal(run().f, run(replace(QUICK, **change)).f)


def test_labels_change_whose_style_is_kept() -> None:
    assert not torch.equal(run().f, run(areas=(Area(labels=(Region.NECKLACE,)),)).f)


def test_fresh_noise_repeats_with_its_seed() -> None:
    runs = [run(noise=Noise.fresh(seed)).to_bytes() for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
