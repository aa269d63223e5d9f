"""The bundle that ships keeps what its manifest promises."""

from __future__ import annotations

import pytest
import torch

from barber.faces.ahead import BatchSource
from barber.faces.batches import draw_batch
from barber.faces.generator_training import mixed_w_plus, validation_psnr
from barber.faces.parser_training import region_ious
from barber.faces.recipe import DRAWN
from barber.manifest import find_bundle
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.spec import MaskMode, preset_params


@pytest.fixture(scope="module")
def bundle():
    return ModelBundle.load(find_bundle("rendered-128"))


def test_it_is_small_and_of_the_trained_geometry(bundle):
    assert sum(record.bytes for record in bundle.manifest.files.values()) < 8_000_000
    assert bundle.geometry == DRAWN.geometry


def test_its_origin_names_no_foreign_weight(bundle):
    assert "trained from scratch" in bundle.manifest.source
    assert bundle.manifest.licence.startswith("MIT")


def test_the_demo_preset_can_be_read(bundle):
    assert preset_params("demo", bundle.presets).target.mask_mode is MaskMode.STRICT


def test_rendering_from_f_equals_the_whole_pass(bundle):
    w_plus = mixed_w_plus(bundle.generator, draw_batch(5, 0, 2, 128))
    whole = bundle.generator.synthesize(w_plus, Noise.zero())
    f = bundle.generator.structure(w_plus, Noise.zero())
    assert torch.allclose(bundle.generator.render(f, w_plus, Noise.zero()), whole, atol=1e-5)


def test_generator_draws_held_out_people_as_well_as_promised(bundle):
    promised = bundle.manifest.scores["generator_psnr_db"]
    assert promised > 21.5
    assert validation_psnr(bundle.generator, BatchSource(), 128, 48) == pytest.approx(
        promised, abs=1.0
    )


def test_parser_reads_held_out_people_as_well_as_promised(bundle):
    promised = bundle.manifest.scores["parser_iou_hair"]
    assert promised > 0.95
    found = region_ious(bundle.segmenter, BatchSource(), bundle.geometry.label_size, 16)["hair"]
    assert found == pytest.approx(promised, abs=0.03)


def test_hair_colour_moves_apart_from_the_rest(bundle):
    # the same shapes with another person's hair colour: the wall stays as it is
    batch = draw_batch(6, 0, 64, 16)
    alone = (batch.hair_z != batch.shape_z).any(1) & (batch.scene_z == batch.shape_z).all(1)
    split = bundle.geometry.split_row
    with torch.no_grad():
        mixed = mixed_w_plus(bundle.generator, batch)[alone][:6]
        plain = bundle.generator.map(batch.shape_z)[alone][:6, None].repeat(1, mixed.shape[1], 1)
        assert torch.equal(mixed[:, :split], plain[:, :split])
        change = bundle.generator.synthesize(mixed, Noise.zero()) - bundle.generator.synthesize(
            plain, Noise.zero()
        )
    size = change.abs().mean(dim=1)
    hair, wall = size[:, 14:34, 44:84].mean(), size[:, 2:20, 2:14].mean()
    assert hair > 4.0 * wall
