from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from barber.artifacts import Reconstruction
from barber.models.stylegan2 import Noise
from barber.spec import CodeSpace, ReconstructParams
from barber.stages.descent import StepReport
from barber.stages.reconstruct import reconstruct
from tests.support.compositions import portraits, tiny_bundle

QUICK = ReconstructParams(w_plus_steps=3, fs_steps=3)


def run(params: ReconstructParams = QUICK, noise: Noise | None = None) -> Reconstruction:
    return reconstruct(tiny_bundle(), portraits(1)[0], params, noise=noise or Noise.zero())


def test_one_step_gives_the_mean_latent() -> None:
    # The last update of W+ is discarded, as in the official code (method 14.4).
    found, bundle = run(replace(QUICK, w_plus_steps=1)), tiny_bundle()
    assert torch.equal(found.w_plus, bundle.w_avg.expand_as(found.w_plus))


def test_w_plus_is_one_update_behind_and_each_update_is_small() -> None:
    short, long = run(replace(QUICK, w_plus_steps=2)), run(replace(QUICK, w_plus_steps=3))
    start = tiny_bundle().w_avg.expand_as(short.w_plus)
    assert 0 < float((short.w_plus - start).abs().max()) <= 0.01 + 1e-6
    assert 0 < float((long.w_plus - short.w_plus).abs().max()) <= 0.02


def test_s_is_one_update_behind_while_f_is_not() -> None:
    found, bundle = run(replace(QUICK, fs_steps=1)), tiny_bundle()
    assert torch.equal(found.fs.s, found.w_plus)
    start = bundle.generator.structure(found.w_plus, Noise.zero())
    moved = (found.fs.f - start).abs()
    assert 0.009 < float(moved.max()) < 0.011


def test_rows_that_make_f_are_carried_along() -> None:
    found, split = run(), tiny_bundle().geometry.split_row
    assert torch.equal(found.fs.s[:, :split], found.w_plus[:, :split])
    assert not torch.equal(found.fs.s[:, split:], found.w_plus[:, split:])


def test_w_plus_alone_renders_the_picture_of_w_plus_and_skips_the_fs_loop() -> None:
    bundle, reports = tiny_bundle(), list[StepReport]()
    (portrait,) = portraits(1)
    params = replace(QUICK, space=CodeSpace.W_PLUS)
    found = reconstruct(bundle, portrait, params, noise=Noise.zero(), on_step=reports.append)
    assert {report.phase for report in reports} == {"w_plus"} and reports[-1].done == 1.0
    whole = run()
    assert torch.equal(found.w_plus, whole.w_plus) and torch.equal(found.fs.s, found.w_plus)
    stored = Reconstruction.from_bytes(found.to_bytes())
    assert torch.equal(stored.fs.s, found.fs.s) and torch.equal(stored.w_plus, found.w_plus)
    picture = bundle.generator.synthesize(found.w_plus, Noise.zero())
    again = bundle.generator.render(found.fs.f, found.fs.s, Noise.zero())
    assert torch.allclose(again, picture, atol=1e-4)
    assert not torch.allclose(bundle.generator.render(whole.fs.f, whole.fs.s, Noise.zero()), again)


def test_likeness_improves() -> None:
    reports: list[StepReport] = []
    params = replace(QUICK, w_plus_steps=15, fs_steps=15, w_plus_rate=0.05, fs_rate=0.05)
    bundle, (portrait,) = tiny_bundle(), portraits(1)
    reconstruct(bundle, portrait, params, noise=Noise.zero(), on_step=reports.append)
    totals = [report.losses["total"] for report in reports]
    assert totals[14] < totals[0] and totals[-1] < totals[15]
    assert [reports[0].phase, reports[-1].phase] == ["w_plus", "fs"]
    assert reports[-1].done == 1.0


def test_preview_is_the_last_pass() -> None:
    found, bundle = run(), tiny_bundle()
    assert found.preview.shape == (bundle.geometry.image_size, bundle.geometry.image_size, 3)
    reports: list[StepReport] = []
    reconstruct(bundle, portraits(1)[0], QUICK, noise=Noise.zero(), on_step=reports.append)
    assert reports[-1].preview is not None
    assert (reports[-1].preview() == found.preview).all()


@pytest.mark.parametrize(
    "change",
    [
        {"w_plus_rate": 0.02},
        {"fs_rate": 0.02},
        {"l2_weight": 2.0},
        {"lpips_weight": 2.0},
        {"p_norm_weight": 1.0},
        {"f_weight": 10.0},
        {"fs_steps": 4},
    ],
)
def test_every_parameter_changes_the_code(change: dict[str, float]) -> None:
    plain, other = run(), run(replace(QUICK, **change))
    assert plain.to_bytes() != other.to_bytes()
    assert not torch.equal(plain.fs.f, other.fs.f)


def test_f_prior_keeps_f_near_its_start() -> None:
    def moved(weight: float) -> float:
        found = run(replace(QUICK, fs_steps=12, fs_rate=0.05, f_weight=weight))
        start = tiny_bundle().generator.structure(found.w_plus, Noise.zero())
        return float((found.fs.f - start).square().mean())

    assert moved(1000.0) < moved(0.0)


def test_fresh_noise_repeats_with_its_seed() -> None:
    runs = [run(noise=Noise.fresh(seed)).to_bytes() for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_networks_are_left_as_they_were() -> None:
    bundle = tiny_bundle()
    before = {name: value.clone() for name, value in bundle.generator.state_dict().items()}
    mean = bundle.w_avg.clone()
    run()
    after = bundle.generator.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(mean, bundle.w_avg) and not bundle.w_avg.requires_grad
    assert all(p.grad is None for p in bundle.perceptual.parameters())
