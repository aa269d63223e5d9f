from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from barber.geometry import Geometry
from barber.labels import Area, Region
from barber.stages import masks

GEOMETRY = Geometry.official(256)
BACKGROUND, SKIN, HAIR, LIP, CLOTH = (
    int(r) for r in (Region.BACKGROUND, Region.SKIN, Region.HAIR, Region.UPPER_LIP, Region.CLOTH)
)
HAIR_ONLY = Area(labels=(Region.HAIR,))
LIPS = Area(labels=(Region.UPPER_LIP,))


def label_map(*rows: list[int]) -> Tensor:
    return torch.tensor(rows)[None]


def disc(side: int, radius: float) -> Tensor:
    line = torch.arange(side) - side / 2
    return (line[:, None] ** 2 + line[None, :] ** 2 <= radius**2)[None, None]


def test_among_finds_any_of_the_labels() -> None:
    found = masks.among(label_map([HAIR, SKIN, LIP]), [Region.HAIR, Region.UPPER_LIP])
    assert found.tolist() == [[[[True, False, True]]]]


def test_to_side_picks_every_second_pixel_going_down() -> None:
    mask = torch.rand(1, 1, 8, 8) > 0.5
    assert torch.equal(masks.to_side(mask, 4), mask[..., ::2, ::2])


@pytest.mark.parametrize("morph", [masks.dilate, masks.erode])
def test_no_smoothing_leaves_the_mask_alone(morph: object) -> None:
    assert callable(morph)
    mask = disc(16, 4)
    assert torch.equal(morph(mask, 0), mask)


def test_dilation_grows_in_four_directions_only() -> None:
    dot = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    dot[..., 2, 2] = True
    grown = masks.dilate(dot, 1)
    assert int(grown.sum()) == 5 and not bool(grown[..., 1, 1])
    assert int(masks.dilate(dot, 2).sum()) == 13


def test_erosion_eats_in_from_the_border_of_the_picture() -> None:
    full = torch.ones(1, 1, 6, 6, dtype=torch.bool)
    left = masks.erode(full, 2)
    assert int(left.sum()) == 4 and bool(left[..., 2:4, 2:4].all())


def test_planes_of_a_batch_do_not_touch_each_other() -> None:
    pair = torch.zeros(2, 1, 5, 5, dtype=torch.bool)
    pair[0, 0, 2, 2] = True
    assert not bool(masks.dilate(pair, 1)[1].any())


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 4))
def test_dilation_is_erosion_of_the_outside_away_from_the_border(seed: int, steps: int) -> None:
    source = torch.Generator().manual_seed(seed)
    mask = torch.zeros(1, 1, 24, 24, dtype=torch.bool)
    mask[..., 8:16, 8:16] = torch.rand(8, 8, generator=source) > 0.5
    inner = (..., slice(steps, 24 - steps), slice(steps, 24 - steps))
    assert torch.equal(masks.dilate(mask, steps)[inner], ~masks.erode(~mask, steps)[inner])


def test_soft_mask_overshoots_and_is_not_clamped() -> None:
    stripes = (torch.arange(256) // 8 % 2 == 0).expand(1, 1, 256, 256)
    fine = masks.soft(disc(256, 60) & stripes, GEOMETRY)
    assert fine.shape == (1, 1, 32, 32)
    assert float(fine.min()) < 0 and float(fine.max()) > 1


def test_lerps_in_order_share_one_in_all_places() -> None:
    # With every F a constant 1, whatever the soft masks are, the mix must be 1.
    one = torch.ones(1, 1, 32, 32)
    alpha = masks.soft(torch.rand(1, 1, 256, 256) > 0.5, GEOMETRY)
    mixed = masks.lerp(masks.lerp(one, one, alpha), one, 1 - 2 * alpha)
    assert torch.allclose(mixed, one)


def test_lerp_is_inside_at_one_and_outside_at_zero() -> None:
    outside, inside = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([5.0, 5.0, 5.0])
    assert masks.lerp(outside, inside, torch.tensor([0.0, 1.0, 1.25])).tolist() == [1.0, 5.0, 6.0]


def test_paste_lets_the_later_region_win() -> None:
    identity = label_map([SKIN, HAIR, LIP, CLOTH])
    first, second = label_map([HAIR, HAIR, SKIN, SKIN]), label_map([LIP, SKIN, SKIN, LIP])
    assert masks.paste(identity, [first, second], [HAIR_ONLY, LIPS]).tolist() == [
        [[LIP, HAIR, BACKGROUND, LIP]]
    ]
    assert masks.paste(identity, [second, first], [LIPS, HAIR_ONLY]).tolist() == [
        [[HAIR, HAIR, BACKGROUND, LIP]]
    ]


def test_occluded_is_where_the_source_shows_a_person_and_the_identity_does_not() -> None:
    identity = label_map([BACKGROUND, HAIR, SKIN, BACKGROUND, BACKGROUND, HAIR])
    source = label_map([SKIN, SKIN, SKIN, CLOTH, BACKGROUND, HAIR])
    found = masks.occluded(identity, [source], [HAIR_ONLY])
    assert found.flatten().tolist() == [True, True, False, False, False, False]


def test_facial_region_occludes_nothing() -> None:
    identity, source = label_map([BACKGROUND, LIP]), label_map([SKIN, SKIN])
    assert not bool(masks.occluded(identity, [source], [LIPS]).any())


def test_pasted_lips_are_not_inpainted_by_the_hairs_source() -> None:
    identity = label_map([LIP, LIP, BACKGROUND])
    hair, lips = label_map([SKIN, SKIN, SKIN]), label_map([LIP, SKIN, LIP])
    found = masks.occluded(identity, [hair, lips], [HAIR_ONLY, LIPS])
    assert not bool(found.any())


def test_background_stays_where_nothing_was_pasted() -> None:
    identity = label_map([BACKGROUND, BACKGROUND, HAIR])
    pasted = torch.tensor([[[[False, True, False]]]])
    assert masks.background_map(identity, pasted).tolist() == [[[0, 1, 1]]]


def test_prefill_carries_hair_in_from_where_it_surrounds_the_gap() -> None:
    composed = torch.full((1, 32, 32), HAIR)
    hidden = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    hidden[..., 12:20, 12:20] = True
    composed[0, 12:20, 12:20] = BACKGROUND
    assert bool((masks.prefill(composed, hidden) == HAIR).all())


def test_prefill_keeps_what_is_not_hidden() -> None:
    composed = torch.randint(0, 16, (1, 32, 32), generator=torch.Generator().manual_seed(3))
    hidden = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(4)) > 0.7
    found = masks.prefill(composed, hidden)
    assert torch.equal(found[~hidden[:, 0]], composed[~hidden[:, 0]])
    assert set(found[hidden[:, 0]].tolist()) <= {BACKGROUND, HAIR}


def test_holes_take_the_nearest_label() -> None:
    labels = label_map([SKIN, BACKGROUND, BACKGROUND, BACKGROUND, LIP])
    holes = torch.tensor([[[[False, True, False, True, False]]]])
    assert masks.fill_from_nearest(labels, ~holes | holes).tolist() == labels.tolist()
    assert masks.fill_from_nearest(labels, holes & ~holes).tolist() == labels.tolist()


def test_nearest_label_is_the_closest_that_is_no_hole() -> None:
    labels = label_map([SKIN, BACKGROUND, BACKGROUND, BACKGROUND, LIP])
    holes = torch.tensor([[[[False, True, True, True, False]]]])
    found = masks.fill_from_nearest(labels, holes)[0, 0].tolist()
    assert found[1] == SKIN and found[3] == LIP and found[2] in (SKIN, LIP)


def test_gentle_erosion_leaves_half_of_what_is_thin_and_spares_nothing_large() -> None:
    bar = torch.zeros(1, 1, 256, 256, dtype=torch.bool)
    bar[..., 100:108, 60:110] = True  # brows in an official loss picture: 8 pixels high
    assert masks.gentle_depth(bar, 5, GEOMETRY) == 1
    assert masks.gentle_depth(disc(256, 60), 5, GEOMETRY) == 5
    assert masks.gentle_depth(torch.zeros_like(bar), 5, GEOMETRY) == 5
    for steps in (1, 2, 5):
        left = masks.erode(bar, masks.gentle_depth(bar, steps, GEOMETRY))
        assert 2 * int(left.sum()) >= int(bar.sum())
