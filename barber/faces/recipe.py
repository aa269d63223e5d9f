"""The recipe of the bundle that ships: sizes, schedules, and the presets that suit it."""

from __future__ import annotations

from typing import Any

from barber.faces.generator_training import GeneratorPlan
from barber.faces.parser_training import ParserPlan
from barber.faces.sharpening import SharpeningPlan
from barber.geometry import Geometry

GEOMETRY = Geometry(
    image_size=128,
    style_dim=96,
    mapping_layers=4,
    channels=((4, 128), (8, 128), (16, 128), (32, 96), (64, 48), (128, 24)),
    f_size=32,
    label_size=128,
    loss_size=64,
)
GENERATOR_PLAN = GeneratorPlan(phases=((64, 9000), (128, 15000)), detail_from=2000)
SHARPENING_PLAN = SharpeningPlan(steps=4000)
PARSER_PLAN = ParserPlan(steps=5000, side=128, drawn_from=3000)
# Stage params that suit this bundle, tuned on held-out pairs: its w spreads wider than FFHQ's, so
# rates are higher and steps fewer; random features hold colours badly, so blend adds a pixel term.
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "reconstruct": {
            "w_plus_steps": 60,
            "fs_steps": 60,
            "w_plus_rate": 0.1,
            "fs_rate": 0.05,
        },
        "target": {"mask_mode": "fidelity", "steps": 30, "rate": 0.1},
        "align": {"identity_steps": 40, "reference_steps": 40, "rate": 0.1},
        "blend": {
            "steps": 40,
            "rate": 0.1,
            "mix_smoothing": 1,
            "mask_smoothing": 1,
            "pixel_weight": 2.0,
        },
    }
}
