"""Mask arithmetic that stages share: areas, morphology, soft masks, the F mix, the pre-fill.

Source: method sections 11.1, 11.2 and 12.3, in the form for several references of 16.3. Masks are
bool [N, 1, H, W] at the label size unless said otherwise. A smoothing of 0 means no morphology
here; in the official code it would flood the mask (method 14.12).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from barber.geometry import Geometry
from barber.labels import Area, Region, Zone, lower_face_rows

INPAINT_RADIUS_PX = 3
GENTLE_SHARE = 0.5  # of a facial region's pixels: what erosion leaves of it at least


def among(label_map: Tensor, labels: Iterable[Region]) -> Tensor:
    """Bool [N, 1, H, W]: where the label map [N, H, W] shows one of `labels`."""
    wanted = torch.tensor([int(x) for x in labels], device=label_map.device)
    return torch.isin(label_map, wanted)[:, None]


def covered(label_map: Tensor, area: Area) -> Tensor:
    """Bool [N, 1, H, W]: what an area covers in the label map [N, H, W]."""
    inside = among(label_map, area.labels)
    return inside if area.zone is None else inside & zone(label_map, area.zone)


def covered_by_any(label_map: Tensor, areas: Iterable[Area]) -> Tensor:
    """Bool [N, 1, H, W]: what at least one of `areas` covers."""
    found = torch.zeros_like(label_map[:, None], dtype=torch.bool)
    for area in areas:
        found |= covered(label_map, area)
    return found


def covered_in(label_maps: Sequence[Tensor], areas: Sequence[Area]) -> Tensor:
    """Bool [N, K, H, W]: what each area covers in the label map that belongs to it."""
    pairs = zip(label_maps, areas, strict=True)
    return torch.cat([covered(label_map, area) for label_map, area in pairs], dim=1)


def zone(label_map: Tensor, where: Zone) -> Tensor:
    """Bool [N, 1, H, W]: the rows of the lower face; nowhere when there is no nose."""
    assert where is Zone.LOWER_FACE
    nose_width = (label_map == Region.NOSE).sum(dim=2)  # [N, H]
    below = torch.from_numpy(lower_face_rows(nose_width.cpu().numpy())).to(label_map.device)
    return below[:, None, :, None].expand(-1, 1, -1, label_map.shape[2])


def has_zone(label_map: Tensor, area: Area) -> bool:
    """Whether a label map has the landmark that the area's zone, if any, is found by."""
    return area.zone is None or bool(zone(label_map, area.zone).any())


def to_side(mask: Tensor, side: int) -> Tensor:
    """A mask [N, 1, H, W] at side x side, by nearest; bool in, bool out."""
    return functional.interpolate(mask.float(), size=(side, side), mode="nearest") > 0


def dilate(mask: Tensor, steps: int) -> Tensor:
    """Grows a bool mask [N, 1, H, W] by `steps` pixels in four directions; 0 leaves it alone."""
    return _morphed(ndimage.binary_dilation, mask, steps)


def erode(mask: Tensor, steps: int, *, border: bool = True) -> Tensor:
    """Shrinks a bool mask likewise.

    Args:
        mask: Bool [N, 1, H, W].
        steps: Pixels in four directions; 0 leaves it alone.
        border: Whether the outside counts as empty, so that a mask loses at the picture's border
            too, as in the official code (method 14.11).
    """
    return _morphed(partial(ndimage.binary_erosion, border_value=not border), mask, steps)


def soft(mask: Tensor, geometry: Geometry, *, clamp: bool = False) -> Tensor:
    """A mask at the loss size as float [N, 1, f, f]: bicubic, not antialiased.

    Args:
        mask: Bool [N, 1, h, h].
        geometry: The bundle's sizes.
        clamp: Cuts the overshoot beyond [0, 1], which the official code keeps (method 12.3).
    """
    size = (geometry.f_size, geometry.f_size)
    alpha = functional.interpolate(mask.float(), size=size, mode="bicubic", align_corners=False)
    return alpha.clamp(0, 1) if clamp else alpha


def identity_alpha(
    removed: Tensor, shown: Tensor, smoothing: int, geometry: Geometry, *, clamp: bool = False
) -> Tensor:
    """The soft mask a of 12.3: where the aligned identity replaces its reconstruction.

    Args:
        removed: Where the identity shows a label that some region replaces.
        shown: Where the target mask shows one.
        smoothing: Pixels of dilation at the loss size.
        geometry: The bundle's sizes.
        clamp: See `soft`.
    """
    anywhere = to_side(removed | shown, geometry.loss_size)
    return soft(dilate(anywhere, smoothing), geometry, clamp=clamp)


def region_alpha(
    inside: Tensor, smoothing: int, geometry: Geometry, *, border: bool = True, clamp: bool = False
) -> Tensor:
    """The soft masks b and c of 12.3: the inside of a region, or of what it has in common."""
    eroded = erode(to_side(inside, geometry.loss_size), smoothing, border=border)
    return soft(eroded, geometry, clamp=clamp)


def gentle_depth(inside: Tensor, smoothing: int, geometry: Geometry, *, border: bool = True) -> int:
    """The deepest erosion up to `smoothing` that leaves half of a region's pixels.

    Args:
        inside: Bool [1, 1, H, W] at the label size.
        smoothing: Pixels at the loss size.
        geometry: The bundle's sizes.
        border: As in `erode`.
    """
    mask = to_side(inside, geometry.loss_size)
    enough = GENTLE_SHARE * float(mask.sum())
    for steps in range(smoothing, 0, -1):
        if float(erode(mask, steps, border=border).sum()) >= enough:
            return steps
    return 0


def lerp(outside: Tensor, inside: Tensor, alpha: Tensor) -> Tensor:
    """`inside` where alpha is 1, `outside` where it is 0; alpha may overshoot, then so does F."""
    return inside + (1 - alpha) * (outside - inside)


def paste(identity: Tensor, sources: Sequence[Tensor], areas: Sequence[Area]) -> Tensor:
    """The first composition: T of 11.1 and 16.3.1, int64 [1, H, W].

    Args:
        identity: The identity's label map [1, H, W].
        sources: The label map of each region's source, in region order; later ones win.
        areas: What each region takes from its source.
    """
    removed = covered_by_any(identity, areas)[:, 0]
    composed = identity.masked_fill(removed, int(Region.BACKGROUND))
    for source, area in zip(sources, areas, strict=True):
        composed = torch.where(covered(source, area)[:, 0], source, composed)
    return composed


def occluded(identity: Tensor, sources: Sequence[Tensor], areas: Sequence[Area]) -> Tensor:
    """OB of 11.1 and 16.3.1: where a hair source shows a person and the identity shows none.

    Regions without hair occlude nothing. What any region pastes is never occluded, and of what is
    removed only hair counts: 16.3.1 does not say so, but would otherwise inpaint hair over pasted
    lips and into facial holes, which are the first pass's alone. So two regions of one source
    occlude what their union does, and one region of hair what 11.1 says.
    """
    found = torch.zeros_like(identity[:, None], dtype=torch.bool)
    pasted = found.clone()
    for source, area in zip(sources, areas, strict=True):
        pasted |= covered(source, area)
        if Region.HAIR in area.labels:
            person = ~among(source, {*area.labels, Region.BACKGROUND, Region.CLOTH})
            found |= person & among(identity, [Region.HAIR, Region.BACKGROUND])
    return found & ~pasted


def background_map(identity: Tensor, pasted: Tensor) -> Tensor:
    """bgmap of 11.1, int64 [1, H, W]: 0 where the identity's background stays, 1 elsewhere."""
    return ((identity != Region.BACKGROUND) | pasted[:, 0]).long()


def prefill(composed: Tensor, hidden: Tensor, *, truncate: bool = True) -> Tensor:
    """Hair or background on the occluded pixels, carried in from around them (method 11.2).

    Args:
        composed: The first composition, int64 [1, H, W].
        hidden: OB, bool [1, 1, H, W].
        truncate: Whether only a value that reached 1 is hair, as in the official code (14.15);
            otherwise what lies nearer to hair than to background.

    Returns:
        The composition with 0 or hair on `hidden`, unchanged elsewhere.
    """
    labels = composed[0].cpu().numpy()
    covered = hidden[0, 0].cpu().numpy()
    hair, background = labels == Region.HAIR, labels == Region.BACKGROUND
    unknown = covered | ~(hair | background)
    known = (hair & ~unknown).astype(np.float32)
    flowed = cv2.inpaint(known, unknown.astype(np.uint8) * 255, INPAINT_RADIUS_PX, cv2.INPAINT_NS)
    whole = np.trunc(flowed) if truncate else np.rint(flowed)
    filled = np.where(covered, whole.astype(np.uint8).astype(np.int64) * Region.HAIR, labels)
    return torch.from_numpy(filled).to(composed)[None]


def fill_from_nearest(label_map: Tensor, holes: Tensor) -> Tensor:
    """Gives every hole the label of the nearest pixel that is none; all holes: unchanged.

    Args:
        label_map: int64 [1, H, W].
        holes: bool [1, 1, H, W].
    """
    empty: NDArray[np.bool_] = holes[0, 0].cpu().numpy()
    if empty.all() or not empty.any():
        return label_map
    rows, columns = ndimage.distance_transform_edt(
        empty, return_distances=False, return_indices=True
    )
    labels = label_map[0].cpu().numpy()
    return torch.from_numpy(labels[rows, columns]).to(label_map)[None]


def _morphed(operation: object, mask: Tensor, steps: int) -> Tensor:
    if steps == 0:
        return mask
    assert callable(operation)
    planes = mask.cpu().numpy()
    # A cross per plane; scipy would otherwise also connect along N and channels.
    cross = ndimage.generate_binary_structure(2, 1)[None, None]
    return torch.from_numpy(operation(planes, structure=cross, iterations=steps)).to(mask.device)
