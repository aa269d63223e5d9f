"""The recipe of bundles: sizes, schedules, and the presets that suit the one that ships."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from barber.faces.generator_training import GeneratorPlan
from barber.faces.parser_training import ParserPlan
from barber.faces.sharpening import SharpeningPlan
from barber.geometry import Geometry

CHANNELS = ((4, 128), (8, 128), (16, 128), (32, 96), (64, 48), (128, 24), (256, 16), (512, 12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is trained, and for how long."""

    geometry: Geometry
    generator: GeneratorPlan
    sharpening: SharpeningPlan
    parser: ParserPlan


def recipe_for(side: int) -> Recipe:
    """The recipe for pictures of 64, 128, 256 or 512 pixels; what ships has 128.

    F has half the side at most, so that two blocks lie above it from 128 on.
    """
    f_size = min(side // 4, 32)
    levels = side.bit_length() - 2  # of the critic, down to 4 pixels
    return Recipe(
        geometry=Geometry(
            image_size=side,
            style_dim=96,
            mapping_layers=4,
            channels=tuple(pair for pair in CHANNELS if pair[0] <= side),
            f_size=f_size,
            label_size=side,
            loss_size=max(side // 2, 64),
        ),
        generator=GeneratorPlan(phases=_phases(f_size, side), detail_from=2000),
        sharpening=SharpeningPlan(
            steps=4000, side=side, critic_channels=(16, 32, 48, 64, 96, 96, 96, 96)[:levels]
        ),
        parser=ParserPlan(steps=5000, side=side, drawn_from=3000),
    )


def _phases(f_size: int, side: int) -> tuple[tuple[int, int], ...]:
    """Most steps at the full side; the sides between F's and it come first."""
    before = tuple((s, 9000) for s in (64, 128, 256) if f_size < s < side)
    return (*before, (side, 15000))


DRAWN = recipe_for(128)  # of the bundle that ships
# Stage params that suit this bundle, tuned on held-out pairs: its w spreads wider than FFHQ's, so
# rates are higher and steps fewer; random features hold colours badly, so the pixels weigh more.
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "reconstruct": {
            "w_plus_steps": 60,
            "fs_steps": 60,
            "w_plus_rate": 0.1,
            "fs_rate": 0.05,
            "l2_weight": 3.0,
        },
        "target": {
            "mask_mode": "strict",
            "steps": 30,
            "rate": 0.1,
            "keep_hat": True,
            "hair_under_hat": True,
        },
        "align": {"identity_steps": 40, "reference_steps": 40, "rate": 0.1},
        "blend": {
            "steps": 40,
            "rate": 0.1,
            "mix_smoothing": 2,
            "mix_erodes": False,
            "mask_smoothing": 1,
            "pixel_weight": 8.0,
            "regional_s": True,
            "refine_steps": 120,
            "refine_rate": 0.1,
            "refine_l2_weight": 10.0,
            "refine_extends": True,
            "hats_off": True,
            "colour_match": True,
            "recolour": True,
        },
    }
}
