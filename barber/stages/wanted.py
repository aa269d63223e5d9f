"""What the last loop of a blend works towards: the composite, put right by the photographs.

Where the target mask shows what a photograph shows at the same place, the truth is known to the
pixel, and laid over the composite. What nobody has seen stays the generator's, but is not left
alone: what the photographs say beside it is carried on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from barber.labels import Region
from barber.models.bundle import ModelBundle
from barber.spec import BlendParams, PortraitKey, RegionEdit
from barber.stages import masks
from barber.stages.colours import LEVELS, comparable, luminance, mean_colour, with_colours
from barber.stages.mix import BlendInputs, owners
from barber.stages.pictures import photograph_labels, to_signed

BESIDE_HAT = 1 / 16  # of the picture's side: how far from a hat its wearer's hair gives the colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One photograph, and where the composite shows what it shows."""

    pixels: Tensor  # signed [1, 3, R, R]
    where: Tensor  # bool [1, 1, H, W] at the label size


def wanted_picture(
    bundle: ModelBundle, inputs: BlendInputs, composite: Tensor, params: BlendParams
) -> Tensor:
    """The composite with the photographs' own pixels where they are known, signed [1, 3, R, R].

    Args:
        bundle: Gives sizes and device; the parser reads the photographs.
        inputs: The job; it has a region.
        composite: Signed [1, 3, R, R], as the F mix renders it.
        params: The margin, and what is done about hats, colours and what nobody has seen.
    """
    if params.hats_off:
        composite = hats_taken_off(bundle, inputs, composite, params)
    if params.colour_match:
        composite = colours_matched(bundle, inputs, composite, params)
    seen = seen_in_photographs(bundle, inputs, params)
    if not params.refine_extends:
        return laid_over(bundle, composite, seen, params)
    composite = carried_on(bundle, inputs, composite, seen, params)
    return laid_over(bundle, with_rims(bundle, composite, seen, params), seen, params)


def seen_in_photographs(
    bundle: ModelBundle, inputs: BlendInputs, params: BlendParams
) -> list[Seen]:
    """Where the identity's and the regions' photographs show what the composite shall show."""
    assert inputs.structure is not None
    target = inputs.structure.target
    label_map, removed = target.label_map.to(bundle.device), target.removed.to(bundle.device)
    owner = owners(inputs, inputs.structure).to(bundle.device)[:, None]

    kept = (_labels(bundle, inputs, inputs.identity, params) == label_map)[:, None]
    kept = kept & (owner == 0) & ~removed
    seen = [Seen(pixels=_pixels(bundle, inputs, inputs.identity), where=kept)]
    for number, region in enumerate(inputs.regions, start=1):
        source = inputs.structure.sources[number - 1]
        labels = _labels(bundle, inputs, source, params)
        shown = masks.covered(labels, region.area) & (owner == number)
        if region.appearance == source:
            seen.append(Seen(pixels=_pixels(bundle, inputs, source), where=shown))
        elif params.recolour and Region.HAIR in region.labels:
            seen.append(recoloured(bundle, inputs, source, region, shown, params))
    return seen


def recoloured(
    bundle: ModelBundle,
    inputs: BlendInputs,
    source: PortraitKey,
    region: RegionEdit,
    shown: Tensor,
    params: BlendParams,
) -> Seen:
    """A photograph with its hair in the colours of another's. What that does not show is not seen.

    Only hair is recoloured: of a nose or a lip, too few places are common to tell its levels, and
    they are no strands that the generator would lose.

    Args:
        bundle: The parser says where both show hair.
        inputs: The job.
        source: Whose photograph shows the region's shape.
        region: Whose colours; its labels hold hair.
        shown: Bool [1, 1, H, W], where the composite shows the source's region.
        params: How the parser shall see the photographs.
    """
    side = bundle.geometry.image_size
    theirs, others = (
        masks.among(_labels(bundle, inputs, key, params), [Region.HAIR])
        for key in (source, region.appearance)
    )
    picture, model = (_pixels(bundle, inputs, key) for key in (source, region.appearance))
    here, there = comparable(masks.to_side(theirs, side), masks.to_side(others, side))
    if min(int(here.sum()), int(there.sum())) < LEVELS:
        return Seen(pixels=picture, where=torch.zeros_like(shown))
    return Seen(pixels=with_colours(picture, here, model, there), where=shown & theirs)


def laid_over(
    bundle: ModelBundle, composite: Tensor, seen: Sequence[Seen], params: BlendParams
) -> Tensor:
    """The composite with each photograph's pixels in its own places.

    Args:
        bundle: Gives sizes and device.
        composite: Signed [1, 3, R, R].
        seen: The photographs; their places do not overlap.
        params: `refine_margin`, so that the generator keeps the transitions at every outline.
    """
    for each in seen:
        composite = torch.where(_inner(bundle, each, params), each.pixels, composite)
    return composite


def hats_taken_off(
    bundle: ModelBundle, inputs: BlendInputs, composite: Tensor, params: BlendParams
) -> Tensor:
    """The composite with hair that took a hat's place shifted to the mean of the hair beside it.

    An alignment makes hair of what is a hat in the source, and leaves it the hat's colour.

    Args:
        bundle: The parser says where the sources wear hats.
        inputs: The job.
        composite: Signed [1, 3, R, R].
        params: How the parser shall see the photographs.
    """
    assert inputs.structure is not None
    side = bundle.geometry.image_size
    owner = owners(inputs, inputs.structure).to(bundle.device)[:, None]
    for number, region in enumerate(inputs.regions, start=1):
        if Region.HAIR not in region.labels or Region.HAT in region.labels:
            continue
        worn = _hat_of_source(bundle, inputs, number, params)
        beside = masks.dilate(worn, round(BESIDE_HAT * worn.shape[-1])) & ~worn
        hat = masks.to_side((owner == number) & worn, side)
        hair = masks.to_side((owner == number) & beside, side)
        if hair.any() and hat.any():
            shift = mean_colour(composite, hair) - mean_colour(composite, hat)
            composite = composite + shift * hat
    return composite


def colours_matched(
    bundle: ModelBundle, inputs: BlendInputs, composite: Tensor, params: BlendParams
) -> Tensor:
    """The composite with each region in somebody else's colour shifted to its mean there.

    S brings the colour only as far as the generator's styles reach, and no photograph shows this
    shape in this colour, so that nothing else would put it right.

    Args:
        bundle: The parser says where the appearance portraits show the region.
        inputs: The job.
        composite: Signed [1, 3, R, R].
        params: How the parser shall see the photographs.
    """
    assert inputs.structure is not None
    side = bundle.geometry.image_size
    owner = owners(inputs, inputs.structure).to(bundle.device)[:, None]
    for number, region in enumerate(inputs.regions, start=1):
        if region.appearance == inputs.structure.sources[number - 1]:
            continue
        if region.zone is not None:
            continue  # within a label may lie two things: a beard and the skin that it leaves
        place = masks.to_side(owner == number, side)
        labels = _labels(bundle, inputs, region.appearance, params)
        model = masks.to_side(masks.covered(labels, region.area), side)
        if place.any() and model.any():
            here, there = comparable(place, model)
            pixels = _pixels(bundle, inputs, region.appearance)
            shift = mean_colour(pixels, there) - mean_colour(composite, here)
            composite = composite + shift * place
    return composite


def carried_on(
    bundle: ModelBundle,
    inputs: BlendInputs,
    composite: Tensor,
    seen: Sequence[Seen],
    params: BlendParams,
) -> Tensor:
    """The composite with what the photographs put right carried on to what they do not show.

    Each label of each region by itself: the difference between photograph and composite is
    extended smoothly, which keeps the generator's detail. Background takes the photograph's
    colours instead, since all the detail that the generator has there is of what was removed;
    with `recolour` hair in a hat's place takes them too, but for their light.

    Args:
        bundle: Gives sizes and device.
        inputs: The job.
        composite: Signed [1, 3, R, R].
        seen: The photographs; their places do not overlap.
        params: `refine_margin`, `hats_off` with `recolour`.
    """
    known = torch.zeros_like(composite[:, :1], dtype=torch.bool)
    for each in seen:
        known |= _inner(bundle, each, params)
    right = laid_over(bundle, composite, seen, params)
    found = composite
    for number, label, place in _places(inputs, bundle):
        anchor = known & place
        if not anchor.any():
            continue
        if label is Region.BACKGROUND:
            better = extended(right, anchor)
        else:
            better = composite + extended(right - composite, anchor)
        if label is Region.HAIR and number > 0 and params.hats_off and params.recolour:
            worn = masks.to_side(_hat_of_source(bundle, inputs, number, params), place.shape[-1])
            if Region.HAT not in inputs.regions[number - 1].labels and (worn & place).any():
                colours = extended(right, anchor)
                shaded = colours + luminance(better) - luminance(colours)
                better = torch.where(worn, shaded, better)
        found = torch.where(place, better, found)
    return found


def with_rims(
    bundle: ModelBundle, composite: Tensor, seen: Sequence[Seen], params: BlendParams
) -> Tensor:
    """The composite with the margins drawn from within: the F mix blurs every outline.

    A pixel of the margin takes the colour of the nearest one that lies a pixel inside of it, since
    its own in the photograph is mixed with what was beside it there, by its share of the place.
    """
    geometry = bundle.geometry
    for each in seen:
        inner, whole = _inner(bundle, each, params), masks.to_side(each.where, geometry.image_size)
        deep = _inner(bundle, each, params, further=1)
        if not deep.any():
            continue
        rows, columns = ndimage.distance_transform_edt(
            ~deep[0, 0].cpu().numpy(), return_distances=False, return_indices=True
        )
        nearest = each.pixels[:, :, rows, columns]
        share = functional.avg_pool2d(whole.float(), 3, 1, 1, count_include_pad=False)
        drawn = torch.lerp(composite, nearest, share)
        composite = torch.where(whole & ~inner, drawn, composite)
    return composite


def extended(values: Tensor, known: Tensor) -> Tensor:
    """Values [N, C, side, side] where they are known, and a smooth surface through them elsewhere.

    Pull-push over a pyramid of means (Gortler et al., The Lumigraph, 1996, section 3.4).

    Args:
        values: Read only where `known`.
        known: Bool [N, 1, side, side], not empty; the side is a power of two.
    """
    if values.shape[-1] == 1:
        return values
    share = functional.avg_pool2d(known.float(), 2)
    mean = functional.avg_pool2d(values * known, 2) / share.clamp_min(torch.finfo().eps)
    below = extended(mean, share > 0)
    around = functional.interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(known, values, around)


def _places(inputs: BlendInputs, bundle: ModelBundle) -> Iterator[tuple[int, Region, Tensor]]:
    """A region's number (0: the identity's), its label, where it is wanted: bool [1, 1, R, R]."""
    assert inputs.structure is not None
    label_map = inputs.structure.target.label_map.to(bundle.device)[:, None]
    owner = owners(inputs, inputs.structure).to(bundle.device)[:, None]
    for number in range(len(inputs.regions) + 1):
        for label in sorted(set(label_map[owner == number].tolist())):
            place = (owner == number) & (label_map == label)
            yield number, Region(label), masks.to_side(place, bundle.geometry.image_size)


def _hat_of_source(
    bundle: ModelBundle, inputs: BlendInputs, number: int, params: BlendParams
) -> Tensor:
    """Bool [1, 1, H, W]: where the portrait that shapes a region (from 1) shows a hat."""
    assert inputs.structure is not None
    source = inputs.structure.sources[number - 1]
    return masks.among(_labels(bundle, inputs, source, params), [Region.HAT])


def _inner(bundle: ModelBundle, seen: Seen, params: BlendParams, further: int = 0) -> Tensor:
    """Bool [1, 1, R, R]: a photograph's places without their margin."""
    inner = masks.erode(seen.where, params.refine_margin + further, border=False)
    return masks.to_side(inner, bundle.geometry.image_size)


def _pixels(bundle: ModelBundle, inputs: BlendInputs, key: PortraitKey) -> Tensor:
    """Signed [1, 3, R, R]."""
    return to_signed(inputs.portraits[key].pixels, bundle.device)


def _labels(
    bundle: ModelBundle, inputs: BlendInputs, key: PortraitKey, params: BlendParams
) -> Tensor:
    return photograph_labels(bundle, inputs.portraits[key], clamp=params.clamp_photographs)
