"""Which part of a portrait a job changed, told by its target mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barber.spec import RegionEdit

Mask = NDArray[np.bool_]  # [h, h] at the label size


def changed_regions(
    regions: Sequence[RegionEdit], label_map: NDArray[Any], removed: Mask, shown: NDArray[np.bool_]
) -> Mask:
    """Where a job took something away or put something: bool [h, h].

    Args:
        regions: Of the job, in its order.
        label_map: The target mask's labels, [h, h].
        removed: Where the identity showed a label that some region replaces.
        shown: [K, h, h], where the source of each region shows it.
    """
    changed: Mask = removed | shown.any(axis=0)
    for region in regions:
        # A hole may have been filled with the region's label where its source shows none. What
        # lies in a zone is pasted only, and skin elsewhere is not the beard's.
        if region.zone is None:
            changed = changed | np.isin(label_map, [int(label) for label in region.labels])
    return changed
