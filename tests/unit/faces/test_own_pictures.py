"""Training on a folder of one's own: read and checked at the door, learnt with its codes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from barber.errors import CheckpointError, InputError
from barber.faces import own_pictures, training
from barber.faces.export import OWN_LICENCE, TrainedNetworks, export_bundle
from barber.faces.gallery import write_faces
from barber.faces.generator_training import GeneratorPlan, GeneratorTrainer, validation_psnr
from barber.faces.own_batches import Codes, OwnSource, colours_of, first_codes, recolour
from barber.faces.own_pictures import OwnPictures, read_own_pictures
from barber.faces.parser_training import ParserPlan, ParserTrainer, region_ious
from barber.faces.recipe import DRAWN, Recipe, recipe_for
from barber.faces.sharpening import SharpeningPlan, SharpeningTrainer
from barber.faces.training import resume, save_checkpoint
from barber.geometry import Geometry
from barber.labels import Region
from barber.models.bundle import ModelBundle
from tests.support.tiny_bundle import TRAINED_WIDTHS as WIDTHS

GEOMETRY = Geometry(
    image_size=32,
    style_dim=20,
    mapping_layers=2,
    channels=((4, 8), (8, 8), (16, 8), (32, 8)),
    f_size=8,
    label_size=16,
    loss_size=16,
)
RECIPE = Recipe(
    geometry=GEOMETRY,
    generator=GeneratorPlan(phases=((16, 2), (32, 60)), batch=4, warmup_steps=2),
    sharpening=SharpeningPlan(
        steps=4, side=32, batch=4, critic_alone=1, critic_channels=(4, 8, 8), warmup_steps=1
    ),
    parser=ParserPlan(steps=4, side=16, batch=4),
)
COUNT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("own") / "faces"
    write_faces(found, COUNT, 3, 64)
    return found


@pytest.fixture
def own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> OwnPictures:
    monkeypatch.setattr(own_pictures, "LEAST", COUNT)
    return read_own_pictures(folder)


@pytest.fixture
def source(own: OwnPictures) -> OwnSource:
    return OwnSource(own, GEOMETRY.style_dim)


def _copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_what_barber_faces_draws_can_be_trained_on(own: OwnPictures) -> None:
    assert (len(own), own.side) == (COUNT, 64)
    assert own.images.shape == (COUNT, 64, 64, 3)
    assert own.label_maps.shape == (COUNT, 64, 64)
    assert {int(Region.HAIR), int(Region.SKIN)} <= set(np.unique(own.label_maps).tolist())


def test_too_few_pictures_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=f"holds {COUNT} pictures: .* at least 200"):
        read_own_pictures(folder)


def test_pictures_without_label_maps_are_named(
    folder: Path, tmp_path: Path, own: OwnPictures
) -> None:
    copy = _copy(folder, tmp_path)
    for number in range(5):
        (copy / f"face-000{number}.labels.png").unlink()
    with pytest.raises(
        InputError, match=r"face-0000.png, .* and 2 more are .* without a label map"
    ):
        read_own_pictures(copy)


@pytest.mark.parametrize(
    ("size", "words"),
    [((80, 80), "face-0003.png is .* of another size than face-0000.png"), (None, "64x48")],
)
def test_sizes_that_do_not_suit_are_refused(
    folder: Path, tmp_path: Path, own: OwnPictures, size: tuple[int, int] | None, words: str
) -> None:
    copy = _copy(folder, tmp_path)
    names = ["face-0003.png"] if size else [f"face-{n:04d}.png" for n in range(COUNT)]
    for name in names:
        Image.open(copy / name).resize(size or (64, 48)).save(copy / name)
    with pytest.raises(InputError, match=words):
        read_own_pictures(copy)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_own_pictures(tmp_path / "nowhere")


def test_recoloured_hair_has_the_others_colours_and_the_rest_its_own(own: OwnPictures) -> None:
    dark, light = np.full((16, 16, 3), 40, np.uint8), np.full((16, 16, 3), 200, np.uint8)
    labels = np.zeros((16, 16), np.uint8)
    labels[:8] = Region.HAIR
    dark[:, ::2] += 10
    light[:, ::2] += 20
    mine, wanted = colours_of(dark, labels), colours_of(dark, labels)
    wanted[Region.HAIR] = colours_of(light, labels)[Region.HAIR]
    changed = recolour(dark, labels, mine, wanted)
    assert abs(changed[:6].astype(int) - light[:6]).max() <= 2
    assert abs(changed[10:].astype(int) - dark[10:]).max() <= 2


def test_a_region_that_the_other_lacks_keeps_its_colours(own: OwnPictures) -> None:
    image, labels = own.images[0], own.label_maps[0]
    nothing = np.full_like(colours_of(image, labels), np.nan)
    assert np.array_equal(recolour(image, labels, colours_of(image, labels), nothing), image)


def test_first_codes_are_of_unit_variance_and_alike_for_alike_people(own: OwnPictures) -> None:
    twins = replace(
        own,
        images=np.concatenate([own.images, own.images[:1]]),
        label_maps=np.concatenate([own.label_maps, own.label_maps[:1]]),
    )
    codes = first_codes(twins, 8)
    assert np.allclose(codes.std(axis=0), 1.0, atol=1e-3)
    assert np.allclose(codes[0], codes[-1], atol=1e-4)
    assert np.abs(codes[0] - codes[1]).max() > 0.1


def test_batches_follow_from_seed_and_number_and_mix_colours(source: OwnSource) -> None:
    first, again, other = (source.get(1, number, 16, 32) for number in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert (first.hair_z != first.shape_z).any() and (first.scene_z != first.shape_z).any()
    alone = source.known(0, 8, 32, mixed=False)
    assert torch.equal(alone.hair_z, alone.shape_z)


def test_the_parser_is_judged_by_pictures_that_no_training_saw(source: OwnSource) -> None:
    unseen = source.unseen(0, 3, 64).images
    for number in range(20):
        for picture in source.get(5, number, 8, 64).images:
            assert not any(torch.equal(picture, each) for each in unseen)


def test_codes_are_learnt_with_the_generator(source: OwnSource) -> None:
    trainer = GeneratorTrainer(GEOMETRY, RECIPE.generator, source)
    codes = source.codes.table.detach().clone()
    before = validation_psnr(trainer.average, source, 32, 16)
    for _ in range(60):
        trainer.step()
    assert validation_psnr(trainer.average, source, 32, 16) > before + 3.0
    assert (source.codes.table - codes).abs().max() > 1e-3


def test_a_resumed_training_on_own_pictures_equals_an_unbroken_one(
    own: OwnPictures, tmp_path: Path
) -> None:
    def begin() -> GeneratorTrainer:
        return GeneratorTrainer(GEOMETRY, RECIPE.generator, OwnSource(own, GEOMETRY.style_dim))

    straight = begin()
    losses = [straight.step() for _ in range(5)]
    first, second = begin(), begin()
    for _ in range(3):
        first.step()
    save_checkpoint(tmp_path / "run.pt", first)
    resume(tmp_path / "run.pt", second)
    assert [second.step() for _ in range(2)] == losses[3:]


def test_codes_of_other_pictures_are_refused() -> None:
    mine = Codes(np.zeros((2, 4), np.float32), "ab" * 32)
    others = Codes(np.zeros((2, 4), np.float32), "cd" * 32)
    with pytest.raises(CheckpointError, match="another run folder"):
        mine.load_state_dict(others.state_dict())


def test_own_pictures_become_a_bundle(own: OwnPictures, source: OwnSource, tmp_path: Path) -> None:
    trainer = GeneratorTrainer(GEOMETRY, RECIPE.generator, source)
    trainer.step()
    SharpeningTrainer(trainer.average, RECIPE.sharpening, source).step()
    parser = ParserTrainer(WIDTHS, RECIPE.parser, None, source)
    parser.step()
    networks = TrainedNetworks(
        recipe=RECIPE,
        source=source,
        pictures=own.folder,
        generator=trainer.average,
        generator_steps={"supervised": 1},
        parser=parser.network,
        parser_steps=1,
    )
    manifest = export_bundle(tmp_path / "mine", networks, {"demo": {}}, held_out=16)
    assert ModelBundle.load(tmp_path / "mine").geometry == GEOMETRY
    assert manifest.licence == OWN_LICENCE
    assert f"the pictures of the folder {own.folder.name}" in manifest.source
    assert "generator_on_known_psnr_db" in manifest.scores
    assert region_ious(parser.network, source, 16, 16).keys() >= {"mean"}


def test_a_run_remembers_its_pictures(
    folder: Path, tmp_path: Path, own: OwnPictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(training, "recipe_for", lambda side: replace(RECIPE))
    training.run_slice(run, "generator", 0.0005, pictures=folder)
    with training.open_run(run) as opened:
        assert opened.pictures == folder.absolute()
    for other in (tmp_path, folder.parent):
        with pytest.raises(InputError, match="name another run folder"):
            training.run_slice(run, "generator", 1.0, pictures=other)


def test_a_refused_folder_begins_no_run(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 200"):
        training.run_slice(tmp_path / "run", "generator", 1.0, pictures=folder)
    assert not (tmp_path / "run").exists()


def test_a_run_whose_note_is_damaged_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json is damaged"):
        training.run_slice(tmp_path / "run", "generator", 1.0)


def test_the_recipe_fits_every_size_and_ships_at_128() -> None:
    for side in own_pictures.SIDES:
        recipe = recipe_for(side)
        assert recipe.geometry.image_size == recipe.parser.side == recipe.sharpening.side == side
        assert recipe.generator.side_at(recipe.generator.steps) == side
        assert recipe.generator.side_at(0) > recipe.geometry.f_size
        assert side >> (len(recipe.sharpening.critic_channels) - 1) == 4
    assert recipe_for(128) == DRAWN
    assert DRAWN.generator.phases == ((64, 9000), (128, 15000))
