"""Every threshold with its unit and its reason. docs/preflight.md has the measurements behind them.

A limit is crossed by numbers below it, or above it where it says so. What is named a reason here
holds for any bundle; the figures in it were measured on 200 rendered faces (shipped bundle) and on
photographs of people, sharp and spoilt in steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from barber.pixels import MAX_FILE_BYTES, MAX_SIDE_PX
from barber.preflight.findings import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Where a number starts to be a reason to warn, and where to refuse."""

    warn: float | None = None  # None: never
    refuse: float | None = None
    above: bool = False  # whether it is large numbers that are bad
    unit: str
    reason: str

    def judge(self, number: float) -> tuple[Verdict, float | None]:
        """The verdict, and the threshold that was missed, or the first one that was met."""
        for verdict, bound in ((Verdict.REFUSE, self.refuse), (Verdict.WARN, self.warn)):
            if bound is not None and (number > bound if self.above else number < bound):
                return verdict, bound
        return Verdict.PASS, self.warn if self.warn is not None else self.refuse

    def excess(self, number: float) -> float:
        """How far a number of an `above` limit lies towards warning: 1 is there."""
        assert self.above and self.warn
        return number / self.warn


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """All limits by name."""

    file_size: Limit = Limit(
        refuse=MAX_FILE_BYTES,
        above=True,
        unit="bytes",
        reason="a 16-bit TIFF of 3300x3300 pixels fits; memory per row stays known",
    )
    decoded_pixels: Limit = Limit(
        refuse=MAX_SIDE_PX**2,
        above=True,
        unit="pixels",
        reason="8192x8192, 192 MiB as RGB, read from the header before anything is decompressed",
    )
    face_size: Limit = Limit(
        warn=1.0,
        refuse=0.125,
        unit="of the bundle's portrait side",
        reason="below 1 the crop is enlarged; enlarged eightfold it has a third of its fine detail",
    )
    framing: Limit = Limit(
        warn=0.25,
        refuse=0.12,
        unit="of the portrait's side",
        reason="aligned faces span 0.38 to 0.49; at 0.12 an eye is one cell of the F tensor",
    )
    blur: Limit = Limit(
        warn=0.6,
        refuse=0.22,
        unit="fine over coarse detail",
        reason="sharp pictures have 1.07 or more; 0.6 and 0.22 are a blur of 0.8 and 1.9 pixels",
    )
    darkness: Limit = Limit(
        warn=60,
        refuse=25,
        unit="grey levels of the lightest parts",
        reason="sound pictures have 94 or more; a tenth of the light leaves 17 to 23",
    )
    highlights: Limit = Limit(
        warn=0.10,
        refuse=0.50,
        above=True,
        unit="of the face burnt out",
        reason="sound pictures have 0; what is white has no colour to give",
    )
    contrast: Limit = Limit(
        warn=32,
        refuse=10,
        unit="grey levels from dark to light",
        reason="sound pictures span 52 or more; within 10 there is no face to be seen",
    )
    yaw: Limit = Limit(
        warn=15,
        refuse=45,
        above=True,
        unit="degrees of yaw",
        reason="faces that look straight ahead differ by up to 5.6 as measured; beyond 45 one side "
        "of the head is missing in one of the pictures",
    )
    pitch: Limit = Limit(
        warn=40,
        refuse=60,
        above=True,
        unit="degrees of pitch",
        reason="noses differ in length, which passes for pitch: up to 36 between level faces",
    )
    roll: Limit = Limit(
        warn=12,
        refuse=35,
        above=True,
        unit="degrees of roll",
        reason="aligned portraits differ by up to 5.8; F is not rotated by any stage",
    )
    hair: Limit = Limit(
        warn=0.02,
        refuse=0.003,
        unit="of the picture",
        reason="the shortest drawn hair covers 0.0076; specks on a bald head cover less than 0.003",
    )
    bald: Limit = Limit(
        warn=0.25,
        refuse=0.15,
        unit="of contrast between hair and skin",
        reason="drawn hair has 0.180 or more; of drawn bald heads whose scalp is parsed as hair "
        "nine in ten have 0.127 or less, 99 in 100 have 0.264 or less",
    )
    region: Limit = Limit(
        warn=0.002,
        refuse=0.00025,
        unit="of the picture",
        reason="0.00025 is one label at 64x64; closed lips and half-hidden brows cover 0.001",
    )
    occlusion: Limit = Limit(
        warn=0.10,
        above=True,
        unit="of the region hidden",
        reason="what a hat or glasses hide cannot be taken, and is inpainted",
    )


DEFAULT = Thresholds()
