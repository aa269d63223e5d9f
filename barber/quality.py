"""The numbers of a result, and which of them call for a person's look. Plain data, no torch.

`evaluation.judging` finds them where the result is made; the catalogue keeps them; the console
sorts by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LPIPS = "LPIPS"
FEATURES = "weighted feature distance"  # the same formula on a bundle's own features

# Below these a result is flagged. A flat picture has no face in it, whatever else is right.
LEAST_SPREAD = 8.0
LEAST_IOU = 0.5
LEAST_PSNR_DB = 18.0


class Flag(StrEnum):
    """Why a result is worth a look."""

    FLAT = "flat"
    SHAPE = "shape"
    IDENTITY = "identity"

    @property
    def words(self) -> str:
        """What is wrong, for people."""
        return {
            Flag.FLAT: "the picture is nearly of one colour",
            Flag.SHAPE: f"a region covers less than {LEAST_IOU:.0%} of what the target mask asks",
            Flag.IDENTITY: f"outside the changed regions PSNR is below {LEAST_PSNR_DB:g} dB",
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What can be told of a result without its truth."""

    psnr_db: float | None  # to the identity outside the changed regions; None: nothing is outside
    ssim: float | None  # likewise, -1..1
    distance: float | None  # likewise, 0 is equal
    distance_name: str  # `LPIPS` or `FEATURES`
    ious: Mapping[str, float] = field(default_factory=dict)  # by region, with the target mask
    spread: float  # standard deviation of its grey levels, 0..127.5

    @property
    def iou(self) -> float | None:
        """Of the region that agrees least."""
        return min(self.ious.values(), default=None)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Why somebody should look at it."""
        found = {
            Flag.FLAT: self.spread < LEAST_SPREAD,
            Flag.SHAPE: self.iou is not None and self.iou < LEAST_IOU,
            Flag.IDENTITY: self.psnr_db is not None and self.psnr_db < LEAST_PSNR_DB,
        }
        return tuple(flag for flag, is_so in found.items() if is_so)
