"""Drawn people: repeatable, exactly labelled, and composed group by group."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from hashlib import sha256

import numpy as np
import pytest

from barber.errors import InputError
from barber.faces import renderer
from barber.faces.canvas import Canvas
from barber.faces.parameters import COLOUR_GROUPS, KINDS, SHAPE_GROUPS
from barber.faces.renderer import (
    FACE_SETS,
    GROUPS,
    Z_DIM,
    face_params,
    render,
    sample_z,
    take_groups,
    true_composite,
    true_face_swap,
    true_mixture,
)
from barber.labels import Region

# Mean grey of 4 x 4 tiles of four people.
COARSE = [
    [[157, 165, 161, 149], [165, 183, 164, 155], [162, 179, 162, 154], [142, 137, 125, 130]],
    [[140, 121, 117, 135], [131, 107, 93, 121], [112, 99, 89, 105], [128, 91, 90, 122]],
    [[100, 98, 95, 93], [108, 109, 87, 101], [114, 109, 91, 106], [112, 108, 98, 108]],
    [[102, 105, 107, 109], [100, 109, 129, 109], [89, 106, 121, 99], [88, 93, 104, 93]],
]


def _people(count: int, seed: int = 5):
    codes = sample_z(np.random.default_rng(seed), count)
    return codes, [face_params(code) for code in codes]


def test_codes_have_unit_mean_square_and_follow_from_the_seed():
    first, again = (sample_z(np.random.default_rng(3), 7) for _ in range(2))
    assert first.shape == (7, Z_DIM)
    assert np.array_equal(first, again)
    assert np.allclose(np.mean(first**2, axis=1), 1.0, atol=1e-5)


def test_groups_part_the_code_without_gap_or_overlap():
    taken = [i for group in GROUPS.values() for i in range(group.start, group.stop)]
    assert taken == list(range(Z_DIM))
    assert sorted(SHAPE_GROUPS + COLOUR_GROUPS) == sorted(GROUPS)


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_taking_a_group_twice_returns_the_code(group):
    codes, _ = _people(2)
    there = take_groups(codes[0], codes[1], (group,))
    back = take_groups(there, codes[0], (group,))
    assert np.array_equal(back, codes[0])
    assert not np.array_equal(there, codes[0])


def test_another_process_draws_the_same_bytes():
    program = (
        "import numpy as np; from hashlib import sha256\n"
        "from barber.faces.renderer import *\n"
        "d = render(face_params(sample_z(np.random.default_rng(5), 1)[0]), 64)\n"
        "print(sha256(d.pixels.tobytes() + d.label_map.tobytes()).hexdigest())"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    drawn = render(_people(1)[1][0], 64)
    here = sha256(drawn.pixels.tobytes() + drawn.label_map.tobytes()).hexdigest()
    assert said.stdout.decode().strip() == here


def test_drawings_have_not_changed():
    # bundles are trained on these very drawings: whoever changes them must train again
    drawn = [render(person, 64).pixels for person in _people(4, seed=17)[1]]
    coarse = np.stack(drawn).reshape(4, 4, 16, 4, 16, 3).mean(axis=(2, 4)).mean(axis=3)
    assert np.abs(np.rint(coarse) - np.array(COARSE)).max() <= 1


def test_labels_are_those_of_the_last_layer_that_covers_a_pixel(monkeypatch):
    layers = []
    mark = Canvas.mark

    def recorded(self, view, alpha, label):
        layers.append((view.window, alpha.copy(), label))
        mark(self, view, alpha, label)

    monkeypatch.setattr(Canvas, "mark", recorded)
    for person in _people(6, seed=2)[1]:
        layers.clear()
        drawn = render(person, 96)
        for row, column in np.random.default_rng(0).integers(0, 96, (200, 2)):
            top = Region.BACKGROUND
            for (rows, columns), alpha, label in layers:
                inside = rows.start <= row < rows.start + alpha.shape[0]
                inside &= columns.start <= column < columns.start + alpha.shape[1]
                if inside and alpha[row - rows.start, column - columns.start] > 0.5:
                    top = label
            assert drawn.label_map[row, column] == top


def test_sizes_agree():
    for person in _people(4, seed=31)[1]:
        large = render(person, 512)
        for size in (64, 128, 256):
            factor = 512 // size
            small = render(person, size)
            tiles = large.pixels.astype(float).reshape(size, factor, size, factor, 3)
            error = np.square(tiles.mean(axis=(1, 3)) - small.pixels).mean()
            assert 10.0 * np.log10(255.0**2 / error) > 29.0
            votes = large.label_map.reshape(size, factor, size, factor)
            agree = (votes == small.label_map[:, None, :, None]).mean(axis=(1, 3)) >= 0.5
            assert agree.mean() > 0.98


def test_same_parameters_give_the_same_bytes():
    _, (person,) = _people(1)
    first, again = render(person, 64), render(person, 64)
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.label_map.tobytes() == again.label_map.tobytes()


@pytest.mark.parametrize("size", [64, 96, 256])
def test_pictures_and_label_maps_have_the_size_asked_for(size):
    drawn = render(_people(1)[1][0], size)
    assert drawn.pixels.shape == (size, size, 3)
    assert drawn.pixels.dtype == np.uint8
    assert drawn.label_map.shape == (size, size)


def test_label_maps_name_every_region_somewhere():
    seen = set()
    for person in _people(400, seed=1)[1]:
        seen |= set(np.unique(render(person, 64).label_map).tolist())
        if len(seen) == len(Region):
            break
    assert seen == {int(region) for region in Region}


def test_everybody_has_a_face_and_nearly_everybody_hair():
    bald = 0
    for person in _people(40)[1]:
        labels = render(person, 64).label_map
        for region in (Region.SKIN, Region.EYES, Region.NOSE, Region.NECK):
            assert (labels == region).sum() > 3
        bald += (labels == Region.HAIR).sum() == 0
    assert bald < 10


@pytest.mark.parametrize("convention", ["image", "head"])
def test_composite_with_oneself_is_the_portrait(convention):
    for person in _people(3)[1]:
        own = true_composite(person, person, size=64, convention=convention)
        assert np.array_equal(own.pixels, render(person, 64).pixels)
        assert np.array_equal(own.label_map, render(person, 64).label_map)


@pytest.mark.parametrize("region", sorted(FACE_SETS))
def test_face_swap_with_oneself_is_the_portrait(region):
    (person,) = _people(1)[1]
    own = true_face_swap(person, person, size=64, region=region)
    assert np.array_equal(own.pixels, render(person, 64).pixels)


def test_a_mixture_of_all_groups_at_the_head_is_the_giver_on_that_head():
    _, (base, giver) = _people(2, seed=3)
    groups = [group for group in KINDS if group not in ("head", "skin")]
    mixed = true_mixture(base, dict.fromkeys(groups, giver), size=64, convention="head")
    there = render(replace(giver, head=base.head, skin=base.skin), 64)
    assert np.array_equal(mixed.pixels, there.pixels)


def test_giving_a_group_and_taking_it_back_is_the_portrait():
    _, (base, giver) = _people(2, seed=3)
    for group in KINDS:
        there = replace(base, **{group: getattr(giver, group)})
        back = true_mixture(there, {group: base}, size=64, convention="head")
        if group not in ("head", "skin"):  # a body keeps its own head and skin
            assert np.array_equal(back.pixels, render(base, 64).pixels), group


def test_several_references_each_give_their_part():
    _, (base, one, two, three) = _people(4, seed=40)
    mixed = true_mixture(base, {"hair": one, "hair_colour": two, "mouth": three}, size=96)
    alone = true_composite(base, one, two, size=96)
    differs = (mixed.pixels != alone.pixels).any(axis=2)
    rows, columns = np.nonzero(differs)
    assert differs.any()
    assert rows.min() > 48  # the mouth's surroundings only
    assert np.ptp(columns) < 60


def test_shape_alone_and_colour_alone():
    _, (identity, other) = _people(2, seed=21)
    own, shape = render(identity, 96), true_composite(identity, other, identity, size=96)
    colour = true_composite(identity, None, other, size=96)
    assert np.array_equal(colour.label_map, own.label_map)
    assert not np.array_equal(shape.label_map, own.label_map)
    both = (shape.label_map == Region.HAIR) & (own.label_map == Region.HAIR)
    tone = [picture.pixels[both].mean(axis=0) for picture in (own, shape, colour)]
    assert np.abs(tone[1] - tone[0]).max() < np.abs(tone[2] - tone[0]).max()


@pytest.mark.parametrize(
    ("region", "stays"),
    [
        ("eyes", (Region.BROWS, Region.UPPER_LIP, Region.HAIR)),
        ("mouth", (Region.BROWS, Region.EYES, Region.HAIR)),
        ("brows", (Region.UPPER_LIP, Region.HAIR)),
        ("beard", (Region.EYES, Region.BROWS, Region.HAIR)),
    ],
)
def test_a_part_of_the_face_leaves_the_others(region, stays):
    _, (base, face) = _people(2, seed=12)
    own = render(base, 96)
    swapped = true_face_swap(base, face, size=96, region=region, convention="head")
    for kept in stays:
        assert np.array_equal(own.label_map == kept, swapped.label_map == kept)
    assert not np.array_equal(own.pixels, swapped.pixels)


@pytest.mark.parametrize(
    ("piece", "label"), [("ears", Region.EARS), ("glasses", Region.EYEGLASSES)]
)
def test_pieces_can_be_given_by_themselves(piece, label):
    _, (base, giver) = _people(2, seed=3)
    base = replace(base, hair=replace(base.hair, growth=-0.5))
    base = replace(base, wear=replace(base.wear, hat=-1.0, glasses=-1.0, earrings=-1.0))
    giver = replace(giver, wear=replace(giver.wear, glasses=1.0))
    own, mixed = render(base, 96), true_mixture(base, {piece: giver}, size=96)
    assert (own.label_map == label).any() == (piece == "ears")
    assert (mixed.label_map == label).any()
    changed = own.label_map != mixed.label_map
    assert changed.any()
    assert set(mixed.label_map[changed]) | set(own.label_map[changed]) >= {label}
    assert np.array_equal(own.label_map == Region.MOUTH, mixed.label_map == Region.MOUTH)


def test_the_neck_keeps_its_skin_in_a_face_swap():
    _, (base, face) = _people(2, seed=12)
    swapped, own = true_face_swap(base, face, size=96), render(base, 96)
    low = (np.arange(96) > 84)[:, None] & (own.label_map == Region.NECK)
    low &= swapped.label_map == Region.NECK
    change = np.abs(swapped.pixels[low].astype(int) - own.pixels[low]).mean()
    assert low.sum() > 20
    assert change < 12  # the chin's shadow moves


def test_refuses_parts_and_groups_that_do_not_exist():
    _, (base, face) = _people(2)
    with pytest.raises(InputError, match="no such part of a face: chin"):
        true_face_swap(base, face, size=64, region="chin")
    with pytest.raises(InputError, match="no such group of parameters: soul"):
        true_mixture(base, {"soul": face}, size=64)


def test_composite_puts_the_hair_where_its_picture_has_it():
    # hair in front hides the identity completely, so there the two label maps agree
    _, (identity, hair) = _people(2, seed=8)
    truth = true_composite(identity, hair, size=128).label_map == Region.HAIR
    own = render(hair, 128).label_map == Region.HAIR
    assert (truth & own).sum() / (truth | own).sum() > 0.85


def test_head_convention_moves_the_hair_with_the_head():
    _, (identity, hair) = _people(2, seed=8)
    left = replace(identity, head=replace(identity.head, head_x=-0.025))
    right = replace(identity, head=replace(identity.head, head_x=0.025))

    def centre(base, convention):
        labels = true_composite(base, hair, size=128, convention=convention).label_map
        return np.nonzero(labels == Region.HAIR)[1].mean()

    # in the image frame only what the head hides of the back of the hair changes
    assert centre(right, "head") - centre(left, "head") > 3.0
    assert abs(centre(right, "image") - centre(left, "image")) < 2.0


def test_face_swap_keeps_hair_and_place_and_changes_the_face():
    _, (base, face) = _people(2, seed=12)
    swapped, own = true_face_swap(base, face, size=128), render(base, 128)
    changed = (swapped.pixels != own.pixels).any(axis=2)
    both_hair = (own.label_map == Region.HAIR) & (swapped.label_map == Region.HAIR)
    nose = swapped.label_map == Region.NOSE
    assert changed[both_hair].mean() < 0.10  # edge pixels, and back hair that the face uncovers
    assert changed[own.label_map == Region.BACKGROUND].mean() < 0.02
    assert changed[nose].mean() > 0.9


def test_hair_colour_changes_hair_pixels_only():
    codes, _ = _people(2, seed=21)
    other = take_groups(codes[0], codes[1], ("hair_colour",))
    first, second = render(face_params(codes[0]), 128), render(face_params(other), 128)
    changed = (first.pixels != second.pixels).any(axis=2)
    hair = first.label_map == Region.HAIR
    assert np.array_equal(first.label_map, second.label_map)
    assert changed[hair].mean() > 0.95
    # the rest is the anti-aliased edge, where hair covers less than half of a pixel
    assert changed[~hair].mean() < 0.05


@pytest.mark.parametrize("group", COLOUR_GROUPS)
def test_colours_leave_the_label_map_alone(group):
    codes, _ = _people(2, seed=22)
    other = take_groups(codes[0], codes[1], (group,))
    first, second = render(face_params(codes[0]), 64), render(face_params(other), 64)
    assert np.array_equal(first.label_map, second.label_map)
    assert not np.array_equal(first.pixels, second.pixels)


@pytest.mark.parametrize("group", sorted(KINDS))
def test_every_parameter_rises_with_its_entry_of_the_code(group):
    steps = [np.full(Z_DIM, value) for value in (-2.0, -0.5, 0.0, 0.5, 2.0)]
    people = [getattr(face_params(step), group) for step in steps]
    for entry in fields(KINDS[group]):
        values = [getattr(person, entry.name) for person in people]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", ["glasses", "earrings", "necklace", "hat"])
def test_accessories_appear_when_their_entry_is_high(name):
    label = {
        "glasses": Region.EYEGLASSES,
        "earrings": Region.EARRING,
        "necklace": Region.NECKLACE,
        "hat": Region.HAT,
    }[name]
    base = face_params(np.zeros(Z_DIM))
    base = replace(base, hair=replace(base.hair, tie=1.0))
    for amount, there in ((-1.0, False), (1.0, True)):
        person = replace(base, wear=replace(base.wear, **{name: amount}))
        assert (render(person, 128).label_map == label).any() == there


@pytest.mark.parametrize("size", [8, 2048])
def test_refuses_a_size_out_of_range(size):
    with pytest.raises(InputError, match=str(size)):
        render(_people(1)[1][0], size)


@pytest.mark.parametrize("code", [np.zeros(95), np.full(Z_DIM, np.nan), np.zeros((1, Z_DIM))])
def test_refuses_a_code_that_is_no_face(code):
    with pytest.raises(InputError, match="96 finite"):
        face_params(code)


def test_public_names_exist():
    assert all(hasattr(renderer, name) for name in renderer.__all__)
