"""Colours that one picture gives another."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given as drawn_from
from hypothesis import strategies as st

from barber.stages.colours import BLACK, LEVELS, comparable, luminance, mean_colour, with_colours

SIDE = 16
EVERYWHERE = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)


def noise(seed: int) -> torch.Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_picture_in_its_own_colours_stays_nearly_as_it_is() -> None:
    grey = luminance(noise(1)).expand(1, 3, SIDE, SIDE)
    found = with_colours(grey, EVERYWHERE, grey, EVERYWHERE)
    assert float((found - grey).abs().mean()) < 0.02


def test_a_picture_of_less_contrast_gives_the_same_ranks() -> None:
    grey = luminance(noise(1)).expand(1, 3, SIDE, SIDE)
    one, other = (with_colours(each, EVERYWHERE, noise(2), EVERYWHERE) for each in (grey, grey / 4))
    ranked = (grey > grey.quantile(1 / LEVELS))[:, :1].expand_as(grey)
    assert torch.allclose(one[ranked], other[ranked], atol=1e-3), "only the order of light counts"


def test_shade_that_the_colours_do_not_reach_is_darker_by_as_much() -> None:
    picture = torch.full((1, 3, SIDE, SIDE), 0.5)
    picture[..., 8:, :] = -0.25  # half as light, seen from black
    here = EVERYWHERE.clone()
    here[..., 8:, :] = False
    brown = torch.tensor([0.4, 0.0, -0.4])[None, :, None, None].expand(1, 3, SIDE, SIDE)
    found = with_colours(picture, here, brown, EVERYWHERE)
    assert torch.allclose(found[..., :8, :], brown[..., :8, :], atol=1e-6)
    share = (0.75 + BLACK) / (1.5 + BLACK)
    assert torch.allclose(found[..., 8:, :] + 1, (brown[..., 8:, :] + 1) * share, atol=1e-6)


def test_noise_of_black_hair_makes_no_holes_in_light_hair() -> None:
    grains = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    black = (grains * 2).floor().expand(1, 3, SIDE, SIDE) * 2 / 255 - 1  # 0 and 1 of 255
    blonde = (noise(5) / 4 + 0.4).clamp(-1, 1)
    found = with_colours(black, EVERYWHERE, blonde, EVERYWHERE)
    assert float(luminance(found).min()) > float(luminance(blonde).min()) - 0.05


@pytest.mark.parametrize("clipped", [-1.0, 1.0])
def test_what_is_clipped_takes_the_mean_of_the_levels_that_it_spans(clipped: float) -> None:
    picture = luminance(noise(6)).expand(1, 3, SIDE, SIDE).clone()
    picture[..., :8, :] = clipped
    model = luminance(noise(8)).expand(1, 3, SIDE, SIDE)
    found = with_colours(picture, EVERYWHERE, model, EVERYWHERE)
    ranked = luminance(model).flatten().sort().values
    half = ranked[: len(ranked) // 2] if clipped < 0 else ranked[len(ranked) // 2 :]
    assert float(found[..., :8, :].mean()) == pytest.approx(float(half.mean()), abs=0.06)


@drawn_from(st.integers(0, 1000), st.integers(LEVELS, SIDE * SIDE))
def test_colours_are_of_the_model_and_rise_with_the_light(seed: int, count: int) -> None:
    picture, model = noise(seed), noise(seed + 1)
    there = torch.zeros(SIDE * SIDE, dtype=torch.bool)
    there[torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(seed))[:count]] = True
    there = there.view(1, 1, SIDE, SIDE)
    found = with_colours(picture, EVERYWHERE, model, there)
    given = model[0][:, there[0, 0]]
    ranked = found.masked_fill(luminance(picture) < luminance(picture).quantile(1 / LEVELS), 1)
    assert bool((ranked.amin(dim=(0, 2, 3)) >= given.amin(dim=1) - 1e-5).all())
    assert float(found.min()) >= -1
    assert bool((found.amax(dim=(0, 2, 3)) <= given.amax(dim=1) + 1e-5).all())
    order = luminance(picture).flatten().argsort()
    risen = luminance(found).flatten()[order].diff()
    assert float(risen.min()) > -1e-5


def test_one_colour_is_given_as_it_is_and_one_light_is_no_division_by_zero() -> None:
    red = torch.tensor([0.5, -0.5, -0.5])[None, :, None, None].expand(1, 3, SIDE, SIDE)
    lit, flat = noise(3), torch.zeros(1, 3, SIDE, SIDE)
    ranked = (luminance(lit) > luminance(lit).quantile(1 / LEVELS)).expand_as(lit)
    found = with_colours(lit, EVERYWHERE, red, EVERYWHERE)
    assert torch.allclose(found[ranked], red[ranked], atol=1e-6)
    assert torch.allclose(with_colours(flat, EVERYWHERE, red, EVERYWHERE), red, atol=1e-6)
    assert with_colours(flat - 1, EVERYWHERE, red, EVERYWHERE).isfinite().all(), "black"


@pytest.mark.parametrize(("pixels", "shared"), [(16, True), (12, False)])
def test_common_places_are_compared_when_they_are_enough(pixels: int, shared: bool) -> None:
    place, model = torch.zeros_like(EVERYWHERE), torch.zeros_like(EVERYWHERE)
    place[..., :8, :] = True  # 128 pixels, a tenth of which is 12.8
    model[..., 8:, :] = True
    model[0, 0, 7, :pixels] = True
    here, there = comparable(place, model)
    both = place & model
    expected = (both, both) if shared else (place, model)
    assert torch.equal(here, expected[0]) and torch.equal(there, expected[1])


def test_a_mean_is_of_the_place_alone() -> None:
    picture = torch.zeros(1, 3, SIDE, SIDE)
    picture[:, 1, 0] = 0.5
    where = torch.zeros_like(EVERYWHERE)
    where[..., 0, :] = True
    assert mean_colour(picture, where).flatten().tolist() == pytest.approx([0.0, 0.5, 0.0])
