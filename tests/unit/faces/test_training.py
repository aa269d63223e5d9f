"""The trainings: exact to resume, honest about the separation of shape and colour."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from barber.errors import CheckpointError, InputError, StageError
from barber.faces import training
from barber.faces.ahead import BatchSource
from barber.faces.batches import draw_batch
from barber.faces.export import TrainedNetworks, export_bundle
from barber.faces.features import even_heads, random_features
from barber.faces.generator_training import (
    HAIR_ENTRIES,
    GeneratorPlan,
    GeneratorTrainer,
    draw_from_codes,
    mixed_w_plus,
    validation_psnr,
)
from barber.faces.parser_training import ParserPlan, ParserTrainer, region_ious
from barber.faces.recipe import Recipe
from barber.faces.sharpening import SharpeningPlan, SharpeningTrainer
from barber.faces.training import resume, save_checkpoint
from barber.geometry import Geometry
from barber.losses.perceptual import Perceptual
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from tests.support.tiny_bundle import TRAINED_WIDTHS as WIDTHS

GEOMETRY = Geometry(
    image_size=32,
    style_dim=96,
    mapping_layers=2,
    channels=((4, 8), (8, 8), (16, 8), (32, 8)),
    f_size=8,
    label_size=16,
    loss_size=16,
)
PLAN = GeneratorPlan(phases=((16, 2), (32, 4)), batch=2, warmup_steps=2)
PARSER_PLAN = ParserPlan(steps=6, side=16, batch=4)
SHARPENING_PLAN = SharpeningPlan(
    steps=6, side=32, batch=4, critic_alone=1, r1_every=2, critic_channels=(4, 8, 8), warmup_steps=1
)
RECIPE = Recipe(geometry=GEOMETRY, generator=PLAN, sharpening=SHARPENING_PLAN, parser=PARSER_PLAN)


def _generator() -> GeneratorTrainer:
    return GeneratorTrainer(GEOMETRY, PLAN)


def _parser() -> ParserTrainer:
    return ParserTrainer(WIDTHS, PARSER_PLAN)


def _sharpening() -> SharpeningTrainer:
    return SharpeningTrainer(_generator().average, SHARPENING_PLAN)


@pytest.mark.parametrize("make", [_generator, _parser, _sharpening])
def test_a_resumed_training_equals_an_unbroken_one(tmp_path, make):
    straight = make()
    losses = [straight.step() for _ in range(5)]

    first = make()
    for _ in range(3):
        first.step()
    save_checkpoint(tmp_path / "run.pt", first)
    second = make()
    resume(tmp_path / "run.pt", second)
    assert [second.step() for _ in range(2)] == losses[3:]
    for key, value in straight.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key]), key


def test_batches_follow_from_seed_and_number():
    first, again, other = (draw_batch(1, number, 4, 16) for number in (7, 7, 8))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.label_maps, again.label_maps)
    assert not torch.equal(first.images, other.images)


def test_batches_mix_hair_colour_and_scene_apart():
    batch = draw_batch(1, 0, 64, 16)
    scene = (batch.scene_z != batch.shape_z).any(dim=1)
    hair = (batch.hair_z != batch.shape_z).any(dim=1)
    together = (batch.hair_z == batch.scene_z).all(dim=1)
    assert (~scene & ~hair).any()  # unmixed
    assert (scene & together).any()  # all colours of one other person
    assert (~scene & hair).any()  # hair colour alone
    assert (scene & hair & ~together).any()  # three people


def test_plan_changes_the_side_and_ends_at_rate_zero():
    assert [PLAN.side_at(step) for step in range(6)] == [16, 16, 32, 32, 32, 32]
    assert PLAN.rate_at(0) < PLAN.rate_at(1) == PLAN.rate
    assert PLAN.rate_at(5) < 0.3 * PLAN.rate
    assert PLAN.rate_at(6) == pytest.approx(0.0, abs=1e-9)


def test_a_render_from_f_equals_the_whole_pass():
    trainer = _generator()
    for _ in range(3):
        trainer.step()
    w_plus = mixed_w_plus(trainer.average, draw_batch(1, 0, 2, 32))
    whole = trainer.average.synthesize(w_plus, Noise.zero())
    f = trainer.average.structure(w_plus, Noise.zero())
    assert torch.allclose(trainer.average.render(f, w_plus, Noise.zero()), whole, atol=1e-6)


def test_partial_drawing_at_full_side_equals_the_generator():
    trainer = _generator()
    batch = draw_batch(1, 0, 2, 32)
    whole = trainer.network.synthesize(mixed_w_plus(trainer.network, batch), Noise.zero())
    assert torch.allclose(draw_from_codes(trainer.network, batch, 32), whole, atol=1e-6)


def test_hair_code_moves_only_its_entries_of_the_upper_rows():
    trainer, batch = _generator(), draw_batch(1, 0, 64, 16)
    w_plus = mixed_w_plus(trainer.network, batch)
    w = trainer.network.map(batch.shape_z)
    split = GEOMETRY.split_row
    same_scene = (batch.scene_z == batch.shape_z).all(dim=1)
    assert torch.allclose(w_plus[:, :split], w[:, None].expand(-1, split, -1))
    assert torch.allclose(
        w_plus[same_scene, split:, HAIR_ENTRIES:].mean(1), w[same_scene, HAIR_ENTRIES:], atol=1e-6
    )


def test_training_improves_what_it_measures():
    plan = GeneratorPlan(phases=((16, 40),), batch=4, warmup_steps=5)
    trainer = GeneratorTrainer(GEOMETRY, plan)
    before = validation_psnr(trainer.average, BatchSource(), 16, 16)
    for _ in range(40):
        trainer.step()
    assert validation_psnr(trainer.average, BatchSource(), 16, 16) > before + 2.0


def test_parser_scores_name_every_region_that_occurs():
    ious = region_ious(_parser().network, BatchSource(), 16, 16)
    assert {"hair", "skin", "background", "mean"} <= set(ious)
    assert all(0.0 <= value <= 1.0 for value in ious.values())


def test_random_features_are_the_same_every_time_and_evenly_weighted():
    first, again = random_features(16), random_features(16)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    perceptual = Perceptual(first, even_heads(first, 16))
    images = draw_batch(77, 0, 32, 16, mixed=False).images
    with torch.no_grad():
        apart = perceptual.distance(images, perceptual.features(images.roll(1, 0)))
    assert 0.2 < float(apart.mean()) < 1.0


def test_an_exported_bundle_loads_and_tells_its_origin(tmp_path):
    networks = TrainedNetworks(
        recipe=RECIPE,
        source=BatchSource(),
        pictures=None,
        generator=_generator().average,
        generator_steps={"supervised": 0},
        parser=_parser().network,
        parser_steps=0,
    )
    manifest = export_bundle(tmp_path / "tiny", networks, {"demo": {}}, held_out=16)
    bundle = ModelBundle.load(tmp_path / "tiny")
    assert bundle.name == "tiny"
    # a direction that w hardly uses must not bind the prior so tightly that nothing can move
    assert float(bundle.pca.stdev[-1]) >= 0.049 * float(bundle.pca.stdev[0])
    assert "seed" in manifest.source
    assert manifest.scores["held_out_portraits"] == 16
    assert {"generator_psnr_db", "parser_iou_hair"} <= set(manifest.scores)


def test_export_before_training_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match="train the generator"):
        training.export(tmp_path, tmp_path / "bundle")


def test_export_takes_the_place_of_nothing_that_was_not_meant(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years")
    (tmp_path / "picture.png").write_text("a picture")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}")
    for replace_ in (False, True):
        for name in ("thesis", "picture.png"):
            with pytest.raises(InputError, match="is no bundle"):
                training.export(tmp_path / "run", tmp_path / name, replace=replace_)
    with pytest.raises(InputError, match=r"holds a bundle.*--replace"):
        training.export(tmp_path / "run", tmp_path / "bundle")
    with pytest.raises(InputError, match="train the generator"):  # it may: the run is what lacks
        training.export(tmp_path / "run", tmp_path / "bundle", replace=True)
    assert (tmp_path / "thesis" / "thesis.txt").read_text() == "years"


def test_a_run_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used"):
        training.run_slice(tmp_path / "file", "generator", 1.0)


@pytest.mark.parametrize(
    ("part", "minutes", "words"), [("nose", 1.0, "no training of nose"), ("parser", 0.0, "nothing")]
)
def test_slices_that_cannot_be_meant_are_refused(tmp_path, part, minutes, words):
    with pytest.raises(InputError, match=words):
        training.run_slice(tmp_path, part, minutes)


def test_sharpening_without_a_generator_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match="train the generator"):
        training.run_slice(tmp_path, "sharp", 1.0)


@pytest.mark.parametrize(("content", "words"), [(b"", "damaged"), (None, "another training")])
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, content, words):
    path = tmp_path / "run.pt"
    if content is None:
        save_checkpoint(path, _parser())
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        resume(path, _generator())


def test_a_loss_that_is_not_finite_stops_the_training():
    trainer = _generator()
    with torch.no_grad():
        trainer.network.input.input.fill_(torch.nan)
    with pytest.raises(StageError, match="lower rate"):
        trainer.step()
    assert trainer.steps_done == 0


def test_painters_give_the_same_batches_as_drawing_here():
    with BatchSource(1) as ahead:
        for number in (4, 5, 9):  # in order, then a jump
            drawn, here = ahead.get(1, number, 2, 16), draw_batch(1, number, 2, 16)
            assert torch.equal(drawn.images, here.images)
            assert torch.equal(drawn.hair_z, here.hair_z)


def test_sharpening_leaves_the_low_rgb_off():
    trainer = _sharpening()
    for _ in range(3):
        trainer.step()
    low = [trainer.network.to_rgb1, *list(trainer.network.to_rgbs)[: GEOMETRY.f_layer]]
    assert all(float(weight.abs().max()) == 0.0 for m in low for weight in (m.bias, m.conv.weight))


@pytest.mark.parametrize("weight", ["feature_weight", "critic_weight"])
def test_every_part_of_the_sharpening_loss_counts(weight):
    losses = []
    for value in (0.0, 1.0):
        plan = replace(SHARPENING_PLAN, critic_alone=0, **{weight: value})
        losses.append(SharpeningTrainer(_generator().average, plan).step())
    assert losses[1] > losses[0] + 0.01


def test_the_critic_learns_to_tell_drawings_from_noise():
    torch.manual_seed(1)
    plan = replace(SHARPENING_PLAN, critic_rate=5e-3, r1=0.1)
    trainer = SharpeningTrainer(_generator().average, plan)
    real = draw_batch(1, 0, 8, 32).images
    for group in trainer.critic_optimiser.param_groups:
        group["lr"] = 5e-3
    for _ in range(30):
        trainer._teach_critic(real, torch.randn_like(real))
    with torch.no_grad():
        assert trainer.critic(real).mean() > trainer.critic(torch.randn_like(real)).mean() + 1.0
