"""The F mix: the aligned structures joined, and the region that each place belongs to.

Source: method section 12.3, in the form of 16.3 (3 and 4) for several regions; for one hair region
the two are the same. An S for each region is ours, see docs/decisions.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from barber.artifacts import Alignment, Portrait, Reconstruction, TargetMask
from barber.labels import Region
from barber.models.bundle import ModelBundle
from barber.spec import BlendParams, PortraitKey, RegionEdit
from barber.stages import masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """One variant of a job: its target mask and the alignments to it."""

    target: TargetMask
    identity: Alignment
    references: Mapping[PortraitKey, Alignment]
    sources: tuple[PortraitKey, ...]  # the portrait that stands for each region


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendInputs:
    """Everything that a blend reads."""

    identity: PortraitKey
    regions: tuple[RegionEdit, ...]
    portraits: Mapping[PortraitKey, Portrait]  # every portrait of the job
    reconstructions: Mapping[PortraitKey, Reconstruction]  # every portrait of the job
    structure: Aligned | None  # None when there is no region
    appearance: Aligned | None  # on which the colour is found; often the same as `structure`

    @property
    def colours(self) -> tuple[PortraitKey, ...]:
        """The distinct appearance portraits besides the identity, in region order."""
        keys = dict.fromkeys(region.appearance for region in self.regions)
        return tuple(key for key in keys if key != self.identity)


def mixed(
    bundle: ModelBundle, inputs: BlendInputs, aligned: Aligned | None, params: BlendParams
) -> Tensor:
    """F of the composite as the parameters want it mixed, see `mix`."""
    return mix(
        bundle,
        inputs,
        aligned,
        params.mix_smoothing,
        erodes=params.mix_erodes,
        border=params.border_erodes,
        clamp=params.clamp_soft_masks,
    )


def mix(
    bundle: ModelBundle,
    inputs: BlendInputs,
    aligned: Aligned | None,
    smoothing: int,
    *,
    erodes: bool = True,
    border: bool = True,
    clamp: bool = False,
) -> Tensor:
    """F of the composite [1, C, f, f]: lerps in region order, so that all shares sum to one.

    Hair is eroded as 12.3 says. Brows, eyes and lips are thinner than twice the official erosion,
    which would leave nothing of them to move: facial regions are eroded less where need be.

    Args:
        bundle: Gives sizes and device.
        inputs: Gives the reconstructions and the regions' labels.
        aligned: The variant to mix; None leaves the identity as it is.
        smoothing: Pixels of morphology at the loss size; 0 for none.
        erodes: Whether regions are eroded; what gives way to them is dilated in any case.
        border: Whether erosion takes the outside of the picture for empty.
        clamp: Whether the soft masks' overshoot is cut.
    """
    geometry, device = bundle.geometry, bundle.device
    own = inputs.reconstructions[inputs.identity].fs.f.to(device)
    if aligned is None:
        return own
    label_map = aligned.target.label_map.to(device)
    inside = [masks.covered(label_map, region.area) for region in inputs.regions]
    shown, removed = aligned.target.shown.to(device), aligned.target.removed.to(device)
    anywhere = torch.cat(inside, dim=1).any(dim=1, keepdim=True)
    alpha = masks.identity_alpha(removed, anywhere, smoothing, geometry, clamp=clamp)
    f = masks.lerp(own, aligned.identity.f.to(device), alpha)

    for r, source in enumerate(aligned.sources):
        depth = smoothing if erodes else 0
        if Region.HAIR not in inputs.regions[r].labels:
            depth = masks.gentle_depth(inside[r], depth, geometry, border=border)

        def inner_alpha(mask: Tensor, steps: int = depth) -> Tensor:
            return masks.region_alpha(mask, steps, geometry, border=border, clamp=clamp)

        moved = aligned.references[source].f.to(device)
        f = masks.lerp(f, moved, inner_alpha(inside[r]))
        common = inside[r] & shown[:, r : r + 1]
        still = inputs.reconstructions[source].fs.f.to(device)
        f = masks.lerp(f, still, inner_alpha(common))
    return f


def owners(inputs: BlendInputs, aligned: Aligned) -> Tensor:
    """Int64 [1, H, W]: the number of the region that each place belongs to, from 1; 0 is nobody.

    Of overlapping regions the later one wins, as in the F mix.
    """
    label_map = aligned.target.label_map
    found = torch.zeros_like(label_map)
    for number, region in enumerate(inputs.regions, start=1):
        found[masks.covered(label_map, region.area)[:, 0]] = number
    return found


def shares_of_s(
    bundle: ModelBundle, inputs: BlendInputs, aligned: Aligned | None, params: BlendParams
) -> Tensor | None:
    """What the identity's S and each colour's have of every place, float [1, 1 + K, H, W].

    None when one S serves the whole picture.
    """
    if aligned is None or not params.regional_s or not inputs.colours:
        return None
    known = (inputs.identity, *inputs.colours)
    colour = [0, *(known.index(region.appearance) for region in inputs.regions)]
    places = torch.tensor(colour)[owners(inputs, aligned).cpu()]
    shares = functional.one_hot(places, len(known)).to(bundle.device)
    return shares.permute(0, 3, 1, 2).float()
