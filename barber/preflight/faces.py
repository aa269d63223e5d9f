"""What a label map says of a face: how many there are, how large, and what can be taken."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from barber.labels import ZONE_LABELS, Area, Region, Zone, lower_face_rows

LIPS = (Region.MOUTH, Region.UPPER_LIP, Region.LOWER_LIP)
FACE = (Region.SKIN, Region.NOSE, Region.EYES, Region.BROWS, *LIPS)
SECOND_NOSE = 0.25  # of the largest nose's area: a smaller patch is a slip of the parser
LEAST_FACE = 0.01  # share of the picture that skin must cover to be a face at all

Shares = dict[str, float]  # of the picture's area, 0..1, by the label's word
Labels = NDArray[np.integer[Any]]  # [H, W], values of Region


def label_shares(label_map: Labels) -> Shares:
    """The share of each label; those that do not occur are left out."""
    counts = np.bincount(label_map.ravel(), minlength=len(Region))
    return {r.word: float(counts[r] / label_map.size) for r in Region if counts[r]}


def zone_shares(label_map: Labels) -> dict[str, Shares]:
    """The shares of the labels that each zone holds, within it."""
    found = {}
    for zone in Zone:
        inside = label_map[lower_face_rows((label_map == Region.NOSE).sum(axis=1))]
        counts = np.bincount(inside.ravel(), minlength=len(Region))
        found[str(zone)] = {
            r.word: float(counts[r] / label_map.size) for r in sorted(ZONE_LABELS[zone])
        }
    return found


def area_share(shares: Shares, zones: dict[str, Shares], area: Area) -> float:
    """The share of the picture that an area covers, 0..1."""
    held = shares if area.zone is None else zones[area.zone]
    return sum(held.get(label.word, 0.0) for label in area.labels)


def count_faces(label_map: Labels) -> int:
    """How many faces a label map shows: its noses of a size; 0 without skin around them."""
    if np.isin(label_map, FACE).mean() < LEAST_FACE:
        return 0
    pieces, count = ndimage.label(label_map == Region.NOSE, structure=np.ones((3, 3)))
    if count == 0:
        return 0
    areas = np.bincount(pieces.ravel())[1:]
    return int((areas >= SECOND_NOSE * areas.max()).sum())
