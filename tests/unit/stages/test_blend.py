from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from barber.artifacts import Alignment, Blend
from barber.labels import Region
from barber.losses.perceptual import is_empty
from barber.models.stylegan2 import Noise
from barber.pixels import quantise
from barber.resample import to_loss_size
from barber.spec import BlendParams, PortraitKey, RegionEdit
from barber.stages import appearance, masks
from barber.stages.appearance import loss_terms, masked_l1, project_to_simplex
from barber.stages.blend import blend
from barber.stages.descent import StepReport
from barber.stages.mix import Aligned, BlendInputs, mix
from barber.stages.pictures import low_resolution, photograph_labels, render_labels, to_pixels
from tests.support.compositions import portraits, random_code, random_mask, tiny_bundle

HAIR = (Region.HAIR,)
FACE = (Region.SKIN, Region.NOSE, Region.EYES)
WIDE = tuple(region for region in Region if region is not Region.BACKGROUND)
QUICK = BlendParams(steps=3, rate=0.1, mix_smoothing=1, mask_smoothing=1)


def key(number: int) -> PortraitKey:
    return portraits(number + 1)[number].sha256


def alignment(number: int) -> Alignment:
    code = random_code(100 + number)
    return Alignment(f=code.fs.f, preview=code.preview)


def variant(sources: list[int], *, mask: int = 0) -> Aligned:
    return Aligned(
        target=random_mask(mask, regions=len(sources)),
        identity=alignment(mask),
        references={key(n): alignment(10 * mask + n) for n in sources},
        sources=tuple(key(n) for n in sources),
    )


def inputs(*regions: tuple[tuple[Region, ...], int, int]) -> BlendInputs:
    """Portrait 0 is the identity; each region is (labels, structure, appearance)."""
    shapes, colours = [s for _, s, _ in regions], [a for _, _, a in regions]
    numbers = {0, *shapes, *colours}
    structure = variant(shapes) if regions else None
    return BlendInputs(
        identity=key(0),
        regions=tuple(
            RegionEdit(labels=labels, structure=key(s), appearance=key(a))
            for labels, s, a in regions
        ),
        portraits={key(n): portraits(n + 1)[n] for n in numbers},
        reconstructions={key(n): random_code(n) for n in numbers},
        structure=structure,
        appearance=structure if shapes == colours else variant(colours, mask=1),
    )


def run(
    given_inputs: BlendInputs, params: BlendParams = QUICK, reports: list[StepReport] | None = None
) -> Blend:
    on_step = None if reports is None else reports.append
    return blend(tiny_bundle(), given_inputs, params, noise=Noise.zero(), on_step=on_step)


ONE_COLOUR = ((WIDE, 1, 1),)
TWO_COLOURS = ((FACE, 1, 2), (HAIR, 2, 3))


# The F mix


def test_mix_of_one_region_is_the_formula_of_section_12() -> None:
    bundle, given_inputs = tiny_bundle(), inputs((HAIR, 1, 1))
    aligned = given_inputs.structure
    assert aligned is not None
    size, f_size = bundle.geometry.loss_size, bundle.geometry.f_size
    ht = (aligned.target.label_map == 10)[:, None]
    h1, h2 = aligned.target.removed, aligned.target.shown

    def soft(mask: Tensor) -> Tensor:
        return functional.interpolate(mask.float(), (f_size, f_size), mode="bicubic")

    def shrunk(mask: Tensor) -> Tensor:
        return masks.erode(masks.to_side(mask, size), 1)

    a = soft(masks.dilate(masks.to_side(h1 | ht, size), 1))
    b, c = soft(shrunk(ht)), soft(shrunk(h2 & ht))
    f1, f1a = random_code(0).fs.f, aligned.identity.f
    fr, fra = random_code(1).fs.f, aligned.references[key(1)].f
    x = f1a + (1 - a) * (f1 - f1a)
    x = fra + (1 - b) * (x - fra)
    x = fr + (1 - c) * (x - fr)
    assert torch.equal(mix(bundle, given_inputs, aligned, 1), x)


def test_mix_leaves_f_alone_outside_every_mask() -> None:
    bundle, given_inputs = tiny_bundle(), inputs((HAIR, 1, 1))
    aligned = given_inputs.structure
    assert aligned is not None
    blank = torch.zeros_like(aligned.target.label_map)
    target = replace(aligned.target, label_map=blank, removed=blank[:, None] > 0)
    found = mix(bundle, given_inputs, replace(aligned, target=target), 1)
    assert torch.allclose(found, random_code(0).fs.f, atol=1e-6)


def test_order_of_overlapping_regions_matters() -> None:
    bundle = tiny_bundle()
    one, other = inputs((WIDE, 1, 1), (HAIR, 2, 2)), inputs((HAIR, 2, 2), (WIDE, 1, 1))
    assert one.structure is not None and other.structure is not None
    first, second = (mix(bundle, x, x.structure, 0) for x in (one, other))
    assert not torch.allclose(first, second)


def test_later_region_covers_an_earlier_one_of_the_same_labels() -> None:
    bundle, both = tiny_bundle(), inputs((WIDE, 1, 1), (WIDE, 2, 2))
    assert both.structure is not None
    full = torch.full_like(both.structure.target.label_map, int(Region.SKIN))
    hidden = torch.zeros_like(both.structure.target.shown)
    target = replace(both.structure.target, label_map=full, shown=hidden)
    found = mix(bundle, both, replace(both.structure, target=target), 0)
    assert torch.allclose(found, both.structure.references[key(2)].f, atol=1e-5)


def test_mix_smoothing_changes_f() -> None:
    bundle, given_inputs = tiny_bundle(), inputs((WIDE, 1, 1))
    shapes = [mix(bundle, given_inputs, given_inputs.structure, n) for n in (0, 1, 2)]
    assert not torch.equal(shapes[0], shapes[1]) and not torch.equal(shapes[1], shapes[2])


def test_regions_that_keep_their_outline_only_dilate_what_gives_way() -> None:
    bundle, given_inputs = tiny_bundle(), inputs((HAIR, 1, 1))
    aligned = given_inputs.structure
    assert aligned is not None
    whole, rimless = (mix(bundle, given_inputs, aligned, 1, erodes=e) for e in (False, True))
    geometry = bundle.geometry
    ht, h2 = (aligned.target.label_map == 10)[:, None], aligned.target.shown
    a = masks.identity_alpha(aligned.target.removed, ht, 1, geometry)
    b, c = (masks.region_alpha(mask, 0, geometry) for mask in (ht, h2 & ht))
    x = masks.lerp(random_code(0).fs.f, aligned.identity.f, a)
    x = masks.lerp(x, aligned.references[key(1)].f, b)
    assert torch.equal(masks.lerp(x, random_code(1).fs.f, c), whole)
    assert not torch.equal(whole, rimless)


def thin(label: Region) -> BlendInputs:
    """One region whose target is a bar of three rows, which two steps of erosion would eat."""
    given_inputs = inputs(((label,), 1, 1))
    assert given_inputs.structure is not None
    label_map = torch.zeros_like(given_inputs.structure.target.label_map)
    label_map[:, 30:33, 10:50] = int(label)
    blank = torch.zeros_like(label_map)[:, None] > 0
    target = replace(given_inputs.structure.target, label_map=label_map, removed=blank, shown=blank)
    aligned = replace(given_inputs.structure, target=target)
    return replace(given_inputs, structure=aligned, appearance=aligned)


def test_thin_features_move_where_hair_as_thin_is_eroded_away() -> None:
    bundle = tiny_bundle()
    for label, moves in ((Region.BROWS, True), (Region.HAIR, False)):
        given_inputs = thin(label)
        aligned = given_inputs.structure
        assert aligned is not None
        other = replace(aligned, references={key(1): alignment(7)})
        one, two = (mix(bundle, given_inputs, a, 2) for a in (aligned, other))
        assert torch.allclose(one, two, atol=1e-5) != moves


# The weights


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**31), st.floats(0.1, 4))
def test_projection_lies_in_the_simplex_and_is_the_nearest_point(
    count: int, seed: int, scale: float
) -> None:
    source = torch.Generator().manual_seed(seed)
    t = scale * torch.randn(count, 3, 4, generator=source, dtype=torch.float64)
    found = project_to_simplex(t)
    assert bool((found >= 0).all()) and bool((found.sum(dim=0) <= 1 + 1e-12).all())
    # Nearest: the angle at the projection is obtuse towards every corner of the simplex.
    corners = torch.cat([torch.zeros(1, count), torch.eye(count)]).double()
    for corner in corners:
        towards = corner[:, None, None] - found
        assert bool(((t - found) * towards).sum(dim=0).max() <= 1e-9)
    assert torch.allclose(project_to_simplex(found), found)


def test_one_colour_is_clamped_to_the_unit_interval() -> None:
    t = torch.tensor([[[-0.5, 0.25, 1.5]]])
    assert project_to_simplex(t).tolist() == [[[0.0, 0.25, 1.0]]]


@pytest.mark.parametrize("regions", [ONE_COLOUR, TWO_COLOURS])
def test_shares_lie_in_the_unit_interval_and_sum_to_one(regions: Any) -> None:
    found = run(inputs(*regions), replace(QUICK, steps=6, rate=0.5))
    shares = torch.stack(list(found.weights.values()))
    assert torch.allclose(shares.sum(dim=0), torch.ones_like(shares[0]))
    assert float(shares.min()) >= -1e-6 and float(shares.max()) <= 1 + 1e-6
    assert next(iter(found.weights)) == key(0)


def test_s_is_the_shares_times_the_codes() -> None:
    found = run(inputs(*TWO_COLOURS), replace(QUICK, steps=5))
    codes = {key(n): random_code(n).fs.s for n in (0, 2, 3)}
    assert set(found.weights) == set(codes)
    s = sum(share * codes[name] for name, share in found.weights.items())
    assert isinstance(s, Tensor) and torch.allclose(found.fs.s, s, atol=1e-6)


def test_one_step_keeps_the_identitys_appearance() -> None:
    # The last update of t is discarded (method 13.7).
    found = run(inputs(*ONE_COLOUR), replace(QUICK, steps=1))
    assert torch.equal(found.fs.s, random_code(0).fs.s)
    assert bool((found.weights[key(0)] == 1).all())


def test_rows_that_make_f_do_not_move() -> None:
    found, split = run(inputs(*ONE_COLOUR)), tiny_bundle().geometry.split_row
    share = found.weights[key(1)]
    assert bool((share[:split] == 0).all()) and bool((share[split:] > 0).any())


def test_own_colour_needs_no_step() -> None:
    reports: list[StepReport] = []
    found = run(inputs((WIDE, 1, 0)), reports=reports)
    assert reports == [] and torch.equal(found.fs.s, random_code(0).fs.s)
    assert list(found.weights) == [key(0)]


def test_nothing_to_edit_renders_the_reconstruction() -> None:
    found, code = run(inputs()), random_code(0)
    picture = tiny_bundle().generator.render(code.fs.f, code.fs.s, Noise.zero())
    assert (found.image == to_pixels(picture)).all()
    assert torch.equal(found.fs.f, code.fs.f)


def test_f_of_the_result_is_the_structures_not_the_appearances() -> None:
    bundle, given_inputs = tiny_bundle(), inputs((WIDE, 1, 2))
    found = run(given_inputs)
    assert torch.equal(found.fs.f, mix(bundle, given_inputs, given_inputs.structure, 1))
    assert not torch.equal(found.fs.f, mix(bundle, given_inputs, given_inputs.appearance, 1))


def test_first_loss_is_that_of_section_13() -> None:
    bundle, given_inputs = tiny_bundle(), inputs((HAIR, 1, 2))
    reports: list[StepReport] = []
    run(given_inputs, reports=reports)
    geometry, (z1, _, z3) = bundle.geometry, portraits(3)
    f = mix(bundle, given_inputs, given_inputs.appearance, 1)
    image = bundle.generator.render(f, random_code(0).fs.s, Noise.zero())

    def hair(label_map: Tensor) -> Tensor:
        return masks.to_side(masks.among(label_map, HAIR), geometry.loss_size)

    i1, i3 = (low_resolution(z, geometry, bundle.device) for z in (z1, z3))
    ix = hair(render_labels(bundle, image))
    grown = [
        masks.dilate(m, 1)
        for m in (hair(photograph_labels(bundle, z1)), hair(photograph_labels(bundle, z3)), ix)
    ]
    face = (~grown[0] & ~grown[1] & ~grown[2]).float()
    inner = masks.erode(hair(photograph_labels(bundle, z3)), 1).float()
    small, perceptual = to_loss_size(image, geometry), bundle.perceptual
    wanted = 0.0
    for target, mask in ((i1, face), (i3, inner)):
        assert not is_empty(mask)
        wanted += float(perceptual.masked(small, perceptual.features(target), mask))
    assert reports[0].losses["total"] == pytest.approx(wanted, rel=1e-5)


def test_likeness_improves() -> None:
    reports: list[StepReport] = []
    run(inputs(*ONE_COLOUR), replace(QUICK, steps=20, rate=0.05), reports)
    assert reports[-1].losses["total"] < reports[0].losses["total"]
    assert reports[-1].done == 1.0 and reports[0].phase == "appearance"


@pytest.mark.parametrize(
    "change", [{"steps": 4}, {"rate": 0.2}, {"mask_smoothing": 0}, {"pixel_weight": 5.0}]
)
def test_every_parameter_changes_the_appearance(change: dict[str, float]) -> None:
    plain, other = (run(inputs(*ONE_COLOUR), p) for p in (QUICK, replace(QUICK, **change)))
    assert not torch.equal(plain.fs.s, other.fs.s)


def test_masked_l1_is_the_mean_over_the_masks_pixels() -> None:
    picture, wanted = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    picture[..., 0, 0], picture[..., 1, 1] = 0.5, 9.0
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert float(masked_l1(picture, wanted, mask)) == pytest.approx(0.25)


# Empty masks


def showing(monkeypatch: pytest.MonkeyPatch, *label_maps: Tensor) -> Tensor:
    """Makes the parser see the n-th map in portrait n; returns the first."""
    by_key = {key(n): label_map for n, label_map in enumerate(label_maps)}
    monkeypatch.setattr(appearance, "photograph_labels", lambda _, p, **how: by_key[p.sha256])
    return label_maps[0]


def square(label: Region, half: int) -> Tensor:
    """A label map of background with a centred square, 2 * half wide, of `label`."""
    side = tiny_bundle().geometry.label_size
    label_map = torch.zeros(1, side, side, dtype=torch.int64)
    inside = slice(side // 2 - half, side // 2 + half)
    label_map[:, inside, inside] = int(label)
    return label_map


def test_region_that_its_source_does_not_show_is_dropped_and_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    showing(monkeypatch, square(Region.HAIR, 10), square(Region.SKIN, 10))
    found = run(inputs((HAIR, 1, 1)))
    assert found.dropped == ("1:hair",)
    assert set(found.losses) == {"base", "total"}


def test_smoothing_is_lowered_until_something_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle()
    rendered = showing(monkeypatch, square(Region.HAIR, 10), square(Region.HAIR, 6))
    terms, dropped = loss_terms(bundle, inputs((HAIR, 1, 1)), rendered, 40)
    assert dropped == () and [term.name for term in terms] == ["base", "1:hair"]
    inner = terms[1].mask
    # Five steps would leave 2x2 pixels, none at a multiple of four or all of them gone.
    assert not is_empty(inner) and is_empty(masks.erode(inner, 1))


def test_region_too_small_for_the_coarsest_tap_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    speck = torch.zeros_like(square(Region.HAIR, 10))
    speck[:, 21, 33] = int(Region.HAIR)
    rendered = showing(monkeypatch, square(Region.HAIR, 10), speck)
    terms, dropped = loss_terms(tiny_bundle(), inputs((HAIR, 1, 1)), rendered, 5)
    assert dropped == ("1:hair",) and [term.name for term in terms] == ["base"]


def test_base_that_is_covered_gives_its_dilation_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, half = tiny_bundle(), tiny_bundle().geometry.label_size // 2
    rendered = showing(monkeypatch, square(Region.HAIR, half - 4), square(Region.HAIR, 6))
    terms, dropped = loss_terms(bundle, inputs((HAIR, 1, 1)), rendered, 40)
    assert dropped == () and not is_empty(terms[0].mask)
    full = showing(monkeypatch, square(Region.HAIR, half), square(Region.HAIR, 6))
    terms, dropped = loss_terms(bundle, inputs((HAIR, 1, 1)), full, 40)
    assert dropped == ("base",) and [term.name for term in terms] == ["1:hair"]


def test_nothing_left_to_compare_keeps_the_identitys_appearance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half = tiny_bundle().geometry.label_size // 2
    showing(monkeypatch, square(Region.HAIR, half), square(Region.SKIN, half))
    reports: list[StepReport] = []
    found = run(inputs((HAIR, 1, 1)), reports=reports)
    assert found.dropped == ("base", "1:hair") and reports == []
    assert torch.equal(found.fs.s, random_code(0).fs.s)


def test_two_regions_of_the_same_labels_keep_both_terms() -> None:
    reports: list[StepReport] = []
    run(inputs((HAIR, 1, 1), (HAIR, 2, 2)), reports=reports)
    assert list(reports[0].losses) == ["base", "1:hair", "2:hair", "total"]


def test_fresh_noise_repeats_with_its_seed() -> None:
    runs = [
        blend(tiny_bundle(), inputs(*ONE_COLOUR), QUICK, noise=Noise.fresh(seed)).to_bytes()
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_image_is_truncated_not_rounded() -> None:
    found = run(inputs())
    picture = tiny_bundle().generator.render(random_code(0).fs.f, random_code(0).fs.s, Noise.zero())
    unit = ((picture[0].detach().permute(1, 2, 0) + 1) / 2).numpy()
    assert (found.image == quantise(unit)).all()
    assert (found.image <= (unit.clip(0, 1) * 255)).all()
