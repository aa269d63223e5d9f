"""Drawn people: repeatable, exactly labelled, and composed group by group."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from barber.errors import InputError
from barber.faces import renderer
from barber.faces.parameters import HairColour, HairShape, IdentityShape, SceneColour
from barber.faces.renderer import (
    GROUPS,
    Z_DIM,
    face_params,
    render,
    sample_z,
    take_groups,
    true_composite,
    true_face_swap,
)
from barber.labels import Region


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


def test_nearly_every_person_has_hair_skin_and_eyes():
    for person in _people(20)[1]:
        labels = render(person, 64).label_map
        for region in (Region.HAIR, Region.SKIN, Region.EYES, Region.NOSE):
            assert (labels == region).sum() > 8


@pytest.mark.parametrize("convention", ["image", "head"])
def test_composite_with_oneself_is_the_portrait(convention):
    for person in _people(3)[1]:
        own = true_composite(person, person, size=64, convention=convention)
        assert np.array_equal(own.pixels, render(person, 64).pixels)
        assert np.array_equal(own.label_map, render(person, 64).label_map)


def test_face_swap_with_oneself_is_the_portrait():
    (person,) = _people(1)[1]
    assert np.array_equal(true_face_swap(person, person, size=64).pixels, render(person, 64).pixels)


def test_composite_puts_the_hair_where_its_picture_has_it():
    # hair in front hides the identity completely, so there the two label maps agree
    _, (identity, hair) = _people(2, seed=8)
    truth = true_composite(identity, hair, size=128).label_map == Region.HAIR
    own = render(hair, 128).label_map == Region.HAIR
    assert (truth & own).sum() / (truth | own).sum() > 0.85


def test_head_convention_moves_the_hair_with_the_head():
    _, (identity, hair) = _people(2, seed=8)
    left = replace(identity, identity=replace(identity.identity, head_x=-0.025))
    right = replace(identity, identity=replace(identity.identity, head_x=0.025))

    def centre(base, convention):
        labels = true_composite(base, hair, size=128, convention=convention).label_map
        return np.nonzero(labels == Region.HAIR)[1].mean()

    assert centre(right, "head") - centre(left, "head") > 2.0
    assert abs(centre(right, "image") - centre(left, "image")) < 1.0


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


@pytest.mark.parametrize("group", ["scene", "hair_colour"])
def test_colours_leave_the_label_map_alone(group):
    codes, _ = _people(2, seed=22)
    other = take_groups(codes[0], codes[1], (group,))
    first, second = render(face_params(codes[0]), 64), render(face_params(other), 64)
    assert np.array_equal(first.label_map, second.label_map)
    assert not np.array_equal(first.pixels, second.pixels)


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("identity", IdentityShape),
        ("scene", SceneColour),
        ("hair", HairShape),
        ("hair_colour", HairColour),
    ],
)
def test_every_parameter_rises_with_its_entry_of_the_code(group, kind):
    steps = [np.full(Z_DIM, value) for value in (-2.0, -0.5, 0.0, 0.5, 2.0)]
    people = [getattr(face_params(step), group) for step in steps]
    for entry in fields(kind):
        values = [getattr(person, entry.name) for person in people]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, entry.name)
        for group, kind in {
            "identity": IdentityShape,
            "scene": SceneColour,
            "hair": HairShape,
            "hair_colour": HairColour,
        }.items()
        for entry in fields(kind)
    ],
)
def test_every_parameter_changes_the_picture(group, name):
    # dimensions that only show on a smiling, bespectacled person would hide on others
    base = face_params(np.full(Z_DIM, 0.3))
    base = replace(
        base,
        hair=replace(base.hair, length=0.5, curl=0.5),
        accessories=replace(base.accessories, glasses=2.0, hat=-1.0),
    )
    part = getattr(base, group)
    span = next(entry.metadata for entry in fields(part) if entry.name == name)
    low = replace(base, **{group: replace(part, **{name: span["low"]})})
    high = replace(base, **{group: replace(part, **{name: span["high"]})})
    assert (render(low, 128).pixels != render(high, 128).pixels).any()


@pytest.mark.parametrize("name", ["glasses", "earrings", "necklace", "hat"])
def test_accessories_appear_when_their_entry_is_high(name):
    label = {
        "glasses": Region.EYEGLASSES,
        "earrings": Region.EARRING,
        "necklace": Region.NECKLACE,
        "hat": Region.HAT,
    }[name]
    base = face_params(np.zeros(Z_DIM))
    base = replace(base, hair=replace(base.hair, length=-0.14))
    for amount, there in ((-1.0, False), (1.0, True)):
        person = replace(base, accessories=replace(base.accessories, **{name: amount}))
        assert (render(person, 128).label_map == label).any() == there


@pytest.mark.parametrize("size", [8, 2048])
def test_refuses_a_size_out_of_range(size):
    with pytest.raises(InputError, match=str(size)):
        render(_people(1)[1][0], size)


@pytest.mark.parametrize("code", [np.zeros(63), np.full(Z_DIM, np.nan), np.zeros((1, Z_DIM))])
def test_refuses_a_code_that_is_no_face(code):
    with pytest.raises(InputError, match="64 finite"):
        face_params(code)


def test_public_names_exist():
    assert all(hasattr(renderer, name) for name in renderer.__all__)
