"""What a blend's last loop works towards: photographs laid over, and carried on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given as drawn_from
from hypothesis import strategies as st
from torch import Tensor

from barber.artifacts import Portrait
from barber.labels import Region, Zone
from barber.stages.colours import luminance
from barber.stages.mix import BlendInputs
from barber.stages.pictures import to_signed
from barber.stages.wanted import (
    Seen,
    carried_on,
    colours_matched,
    extended,
    hats_taken_off,
    laid_over,
    seen_in_photographs,
    wanted_picture,
    with_rims,
)
from tests.support.compositions import portraits, tiny_bundle
from tests.unit.stages.test_refine import LIP, REFINED, SIDE, given, half, labelled

HAT, HAIR, SKIN = int(Region.HAT), int(Region.HAIR), int(Region.SKIN)
EXTENDED = replace(REFINED, refine_extends=True)
RECOLOURED = replace(REFINED, recolour=True)
GREY = torch.full((1, 3, SIDE, SIDE), 0.25)


def pixels_of(portrait: Portrait) -> Tensor:
    return to_signed(portrait.pixels, torch.device("cpu"))


def plain(level: int) -> Tensor:
    """A picture of one grey."""
    return to_signed(np.full((SIDE, SIDE, 3), level, np.uint8), torch.device("cpu"))


def striped(even: tuple[int, int, int], odd: tuple[int, int, int]) -> np.ndarray:
    """Rows of two colours in turn."""
    found = np.full((SIDE, SIDE, 3), even, np.uint8)
    found[1::2] = odd
    return found


def with_pixels(inputs: BlendInputs, number: int, pixels: np.ndarray) -> BlendInputs:
    key = list(inputs.portraits)[number]
    changed = replace(inputs.portraits[key], pixels=pixels)
    return replace(inputs, portraits={**inputs.portraits, key: changed})


def shown(inputs: BlendInputs, number: int) -> Tensor:
    return pixels_of(list(inputs.portraits.values())[number])


def signed(level: int) -> float:
    return float(to_signed(np.full((1, 1, 3), level, np.uint8), torch.device("cpu"))[0, 0, 0, 0])


def hatted(inputs: BlendInputs, rows: int) -> BlendInputs:
    """The source's hair hidden under a hat in the uppermost rows; the target shows hair there."""
    source = labelled(1, SKIN, HAIR)
    assert source.label_map is not None
    label_map = source.label_map.copy()
    label_map[:rows, SIDE // 2 :] = HAT
    source = replace(source, label_map=label_map)
    return replace(inputs, portraits={**inputs.portraits, source.sha256: source})


def test_places_are_those_where_a_photograph_shows_what_is_wanted() -> None:
    inputs = given()
    own, theirs = seen_in_photographs(tiny_bundle(), inputs, REFINED)
    assert torch.equal(own.pixels, shown(inputs, 0)) and torch.equal(own.where, half(right=False))
    assert torch.equal(theirs.pixels, shown(inputs, 1))
    assert torch.equal(theirs.where, half(right=True))


def test_nobody_has_seen_a_shape_in_the_colour_of_another() -> None:
    inputs = given(colour=2)
    (own,) = seen_in_photographs(tiny_bundle(), inputs, REFINED)
    assert torch.equal(own.pixels, shown(inputs, 0))


def test_strands_are_seen_in_the_colours_of_another() -> None:
    inputs = with_pixels(given(colour=2), 2, striped((250, 200, 100), (130, 80, 20)))
    inputs = with_pixels(inputs, 1, striped((20, 20, 20), (90, 90, 90)))
    own, theirs = seen_in_photographs(tiny_bundle(), inputs, RECOLOURED)
    assert torch.equal(own.pixels, shown(inputs, 0))
    assert torch.equal(theirs.where, half(right=True))
    light, dark = theirs.pixels[..., 1::2, SIDE // 2 :], theirs.pixels[..., ::2, SIDE // 2 :]
    for stripes, colour in ((light, (250, 200, 100)), (dark, (130, 80, 20))):
        expected = torch.tensor([signed(level) for level in colour])
        assert torch.allclose(stripes.mean(dim=(0, 2, 3)), expected, atol=1e-5)


def test_lips_in_the_colour_of_another_are_left_to_the_generator() -> None:
    inputs = given(colour=2)
    lips = replace(inputs.regions[0], labels=(Region.UPPER_LIP, Region.LOWER_LIP))
    inputs = replace(inputs, regions=(lips,))
    assert len(seen_in_photographs(tiny_bundle(), inputs, RECOLOURED)) == 1


def test_no_hair_to_take_colours_from_and_no_hair_to_give_them_to() -> None:
    inputs = given(colour=2)
    key = inputs.regions[0].appearance
    bald = replace(labelled(2, SKIN, SKIN), sha256=key)
    inputs = replace(inputs, portraits={**inputs.portraits, key: bald})
    _, theirs = seen_in_photographs(tiny_bundle(), inputs, RECOLOURED)
    assert not theirs.where.any()
    beard = replace(inputs.regions[0], labels=(Region.SKIN,), zone=Zone.LOWER_FACE)
    assert (
        len(seen_in_photographs(tiny_bundle(), replace(inputs, regions=(beard,)), RECOLOURED)) == 1
    )


def test_what_the_identity_lost_or_shows_otherwise_is_not_known() -> None:
    inputs = given()
    assert inputs.structure is not None
    target, labels = inputs.structure.target, inputs.structure.target.label_map.clone()
    removed = target.removed.clone()
    removed[..., :8, :] = True
    labels[:, 8:16, : SIDE // 2] = LIP
    target = replace(target, removed=removed, label_map=labels)
    inputs = replace(inputs, structure=replace(inputs.structure, target=target))
    own = seen_in_photographs(tiny_bundle(), inputs, REFINED)[0]
    assert not own.where[..., :16, :].any() and own.where[..., 16:, : SIDE // 2].all()


def test_photographs_are_laid_over_up_to_the_margin() -> None:
    bundle, person = tiny_bundle(), portraits(1)[0]
    composite = torch.full((1, 3, SIDE, SIDE), 0.25)
    seen = [Seen(pixels=pixels_of(person), where=half(right=True))]
    photograph, middle = to_signed(person.pixels, torch.device("cpu")), SIDE // 2
    for margin in (0, 3):
        params = replace(REFINED, refine_margin=margin)
        found = laid_over(bundle, composite, seen, params)
        assert torch.equal(found[..., middle + margin :], photograph[..., middle + margin :])
        assert bool((found[..., : middle + margin] == 0.25).all())


def test_what_is_put_right_is_carried_on_within_a_label() -> None:
    inputs, bundle = hatted(given(), SIDE // 4), tiny_bundle()
    theirs = half(right=True)
    theirs[..., : SIDE // 4, :] = False
    seen = [
        Seen(pixels=plain(100), where=half(right=False)),
        Seen(pixels=plain(200), where=theirs),
    ]
    detailed = GREY.clone()
    detailed[..., 2, SIDE // 2 + 4] = 0.5  # under the hat
    found = carried_on(bundle, inputs, detailed, seen, REFINED)
    right = found[..., SIDE // 2 :].clone()
    assert float(right[..., 2, 4].mean()) == pytest.approx(signed(200) + 0.25, abs=1e-5)
    right[..., 2, 4] -= 0.25
    assert torch.allclose(right, torch.full_like(right, signed(200)), atol=1e-5)
    left = found[..., : SIDE // 2]
    assert torch.allclose(left, torch.full_like(left, signed(100)), atol=1e-5)


def test_hair_in_a_hats_place_takes_the_colours_and_keeps_the_light() -> None:
    inputs, bundle = hatted(given(), SIDE // 4), tiny_bundle()
    theirs = half(right=True)
    theirs[..., : SIDE // 4, :] = False
    brown = torch.tensor([0.4, 0.0, -0.4])[None, :, None, None].expand(1, 3, SIDE, SIDE)
    seen = [Seen(pixels=plain(100), where=half(right=False)), Seen(pixels=brown, where=theirs)]
    blue = torch.zeros(1, 3, SIDE, SIDE)
    blue[:, 2, : SIDE // 4] = 0.5  # what is left of the hat
    blue[..., 2, :] += 0.25  # a light strand of it
    found = carried_on(bundle, inputs, blue, seen, replace(RECOLOURED, hats_off=True))
    under = found[..., : SIDE // 4, SIDE // 2 :]
    chroma = under - luminance(under)
    assert torch.allclose(
        chroma, (brown - luminance(brown))[..., : SIDE // 4, SIDE // 2 :], atol=1e-5
    )
    light = luminance(under)[0, 0, :, 0]
    assert float(light[2] - light[1]) == pytest.approx(0.25, abs=1e-5)
    smeared = carried_on(bundle, inputs, blue, seen, REFINED)
    rest = torch.ones(SIDE, SIDE, dtype=torch.bool)
    rest[: SIDE // 4, SIDE // 2 :] = False
    assert torch.equal(found[..., rest], smeared[..., rest])


def test_background_takes_the_colours_and_keeps_no_detail() -> None:
    inputs, bundle = given(), tiny_bundle()
    assert inputs.structure is not None
    target = inputs.structure.target
    label_map = target.label_map.masked_fill(target.label_map == SKIN, int(Region.BACKGROUND))
    target = replace(target, label_map=label_map)
    inputs = replace(inputs, structure=replace(inputs.structure, target=target))
    where = half(right=False)
    where[..., : SIDE // 2, :] = False
    ghost = GREY.clone()
    ghost[..., 2, 2] = 0.9
    seen = [Seen(pixels=plain(100), where=where)]
    found = carried_on(bundle, inputs, ghost, seen, REFINED)
    left = found[..., : SIDE // 2]
    assert torch.allclose(left, torch.full_like(left, signed(100)), atol=1e-5)
    assert torch.equal(found[..., SIDE // 2 :], ghost[..., SIDE // 2 :])  # nobody has seen hair


def test_margins_are_drawn_from_within_by_their_share() -> None:
    bundle, middle = tiny_bundle(), SIDE // 2
    ramp = np.zeros((SIDE, SIDE, 3), np.uint8)
    ramp[:, middle + 2 :] = 200
    person = replace(portraits(1)[0], pixels=ramp)
    seen = [Seen(pixels=pixels_of(person), where=half(right=True))]
    found = with_rims(bundle, GREY, seen, REFINED)
    inside = GREY[..., 0] + (2 / 3) * (signed(200) - GREY[..., 0])
    assert torch.allclose(found[..., middle], inside, atol=1e-5)
    rest = [column for column in range(SIDE) if column != middle]
    assert torch.equal(found[..., rest], GREY[..., rest])


def test_hair_under_a_hat_takes_the_colour_of_the_hair_beside_it() -> None:
    bundle, inputs = tiny_bundle(), hatted(given(), SIDE // 4)
    composite = GREY.clone()
    composite[..., : SIDE // 4, SIDE // 2 :] = -0.5  # what the alignment left of the hat
    composite[:, 1, 1, SIDE // 2 + 1] = 0.0  # a strand
    found = hats_taken_off(bundle, inputs, composite, REFINED)
    under = found[..., : SIDE // 4, SIDE // 2 :]
    assert torch.allclose(under.mean(dim=(2, 3)), torch.full((1, 3), 0.25), atol=1e-5)
    strand = float(under[0, 1, 1, 1] - under[0, 1, 1, 2])
    assert strand == pytest.approx(0.5, abs=1e-5)
    kept = torch.ones(SIDE, SIDE, dtype=torch.bool)
    kept[: SIDE // 4, SIDE // 2 :] = False
    assert torch.equal(found[..., kept], composite[..., kept])


@pytest.mark.parametrize("labels", [(Region.SKIN,), (Region.HAIR, Region.HAT)])
def test_hats_stay_where_no_hair_is_taken_or_the_hat_is(labels: tuple[Region, ...]) -> None:
    inputs = hatted(given(), SIDE // 4)
    edit = replace(inputs.regions[0], labels=labels)
    inputs = replace(inputs, regions=(edit,))
    composite = torch.linspace(-1, 1, SIDE).expand(1, 3, SIDE, SIDE)
    assert torch.equal(hats_taken_off(tiny_bundle(), inputs, composite, REFINED), composite)


def test_without_a_hat_or_with_nothing_but_a_hat_nothing_is_shifted() -> None:
    composite = torch.linspace(-1, 1, SIDE).expand(1, 3, SIDE, SIDE)
    for inputs in (given(), hatted(given(), SIDE)):
        assert torch.equal(hats_taken_off(tiny_bundle(), inputs, composite, REFINED), composite)


def test_colour_of_a_third_portrait_is_its_mean_there() -> None:
    inputs = given(colour=2)
    key = inputs.regions[0].appearance
    pixels = np.full((SIDE, SIDE, 3), 10, np.uint8)
    pixels[:, SIDE // 2 :] = (200, 120, 40)
    third = replace(inputs.portraits[key], pixels=pixels)
    inputs = replace(inputs, portraits={**inputs.portraits, key: third})
    composite = GREY.clone()
    composite[..., 1, SIDE // 2 + 1] = 0.75  # a strand
    found = colours_matched(tiny_bundle(), inputs, composite, REFINED)
    hair = found[..., SIDE // 2 :]
    mean = [signed(level) for level in (200, 120, 40)]
    assert hair.mean(dim=(0, 2, 3)).tolist() == pytest.approx(mean, abs=1e-5)
    strand = (hair[..., 1, 1] - hair[..., 1, 2]).flatten().tolist()
    assert strand == pytest.approx([0.5] * 3, abs=1e-5)
    assert torch.equal(found[..., : SIDE // 2], composite[..., : SIDE // 2])


@pytest.mark.parametrize(("rows", "shift"), [(SIDE // 4, 0.25), (1, 0.75)])
def test_colour_is_compared_where_both_show_hair_when_that_is_enough(
    rows: int, shift: float
) -> None:
    inputs = given(colour=2)
    key = inputs.regions[0].appearance
    short = labelled(2, SKIN, SKIN)
    assert short.label_map is not None
    label_map = short.label_map.copy()
    label_map[:rows, SIDE // 2 :] = HAIR
    label_map[:, : SIDE // 2] = HAIR  # nothing that the composite has hair beside
    pixels = np.full((SIDE, SIDE, 3), 128, np.uint8)
    third = replace(short, sha256=key, label_map=label_map, pixels=pixels)
    inputs = replace(inputs, portraits={**inputs.portraits, key: third})
    composite = torch.full((1, 3, SIDE, SIDE), signed(128) - 0.25)
    composite[..., SIDE // 4 :, :] -= 0.5 * 4 / 3  # the shadow below: a quarter of it is above
    found = colours_matched(tiny_bundle(), inputs, composite, REFINED)
    hair = found[..., SIDE // 2 :]
    above = float(hair[..., : SIDE // 4, :].mean())
    assert above - float(composite[..., : SIDE // 4, :].mean()) == pytest.approx(shift, abs=1e-5)


def test_colour_of_its_own_photograph_of_a_bald_head_or_of_a_zone_shifts_nothing() -> None:
    composite = torch.linspace(-1, 1, SIDE).expand(1, 3, SIDE, SIDE)
    inputs = given(colour=2)
    beard = replace(inputs.regions[0], labels=(Region.SKIN,), zone=Zone.LOWER_FACE)
    key = inputs.regions[0].appearance
    bald = replace(labelled(2, SKIN, SKIN), sha256=key)
    bald_model = replace(inputs, portraits={**inputs.portraits, key: bald})
    for each in (given(), bald_model, replace(inputs, regions=(beard,))):
        assert torch.equal(colours_matched(tiny_bundle(), each, composite, REFINED), composite)


def test_each_is_asked_for_by_its_own_parameter() -> None:
    bundle, inputs = tiny_bundle(), hatted(given(), SIDE // 4)
    composite = torch.linspace(-1, 1, SIDE)[:, None].expand(1, 3, SIDE, SIDE)
    seen = seen_in_photographs(bundle, inputs, REFINED)
    neither = wanted_picture(bundle, inputs, composite, REFINED)
    assert torch.equal(neither, laid_over(bundle, composite, seen, REFINED))
    off = wanted_picture(bundle, inputs, composite, replace(REFINED, hats_off=True))
    bare = hats_taken_off(bundle, inputs, composite, REFINED)
    assert torch.equal(off, laid_over(bundle, bare, seen, REFINED))
    both = wanted_picture(bundle, inputs, composite, replace(EXTENDED, hats_off=True))
    one = wanted_picture(bundle, inputs, composite, EXTENDED)
    assert len({x.numpy().tobytes() for x in (neither, off, both, one)}) == 4
    coloured = given(colour=2)
    drawn = wanted_picture(bundle, coloured, composite, RECOLOURED)
    assert not torch.equal(drawn, wanted_picture(bundle, coloured, composite, REFINED))
    matched = wanted_picture(bundle, coloured, composite, replace(REFINED, colour_match=True))
    assert not torch.equal(matched, wanted_picture(bundle, coloured, composite, REFINED))
    for each in seen:  # what is known stays known
        inner = laid_over(bundle, composite + 3, [each], REFINED) <= 1
        assert torch.equal(both[inner], neither[inner])


@drawn_from(st.data())
def test_extension_keeps_what_is_known_and_stays_within_it(data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    side = 2 ** data.draw(st.integers(0, 5))
    known = torch.rand((1, 1, side, side), generator=generator) < data.draw(st.floats(0.01, 1))
    known[..., -1, -1] = True
    values = torch.rand((1, 2, side, side), generator=generator)
    unread: Tensor = values.masked_fill(~known, data.draw(st.sampled_from([0.0, -9.0, 1e6])))
    found = extended(unread, known)
    assert torch.equal(found[known.expand_as(found)], values[known.expand_as(found)])
    inside = values.masked_select(known)
    assert float(found.min()) >= float(inside.min()) - 1e-5
    assert float(found.max()) <= float(inside.max()) + 1e-5


def test_extension_of_one_value_is_that_value_everywhere() -> None:
    known = torch.zeros((1, 1, SIDE, SIDE), dtype=torch.bool)
    known[..., 3, 5] = True
    found = extended(torch.full((1, 3, SIDE, SIDE), 0.7), known)
    assert torch.allclose(found, torch.full_like(found, 0.7), atol=1e-6)
