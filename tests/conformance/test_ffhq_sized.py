"""The measuring run of `make ffhq-sized`, at the smallest official size."""

from __future__ import annotations

import math

import pytest

from barber.spec import PRESETS, apply_settings
from tests.conformance.ffhq_sized import GIB, OFFICIAL_STEPS, STEPS, measure, page


@pytest.mark.slow
def test_every_loop_is_measured_and_stays_within_its_memory() -> None:
    params = apply_settings(PRESETS["official"], [f"{name}=2" for name in STEPS])
    phases, idle, seconds = measure(256, params)
    assert set(phases) == set(OFFICIAL_STEPS)
    for phase in phases.values():
        assert phase.seconds and all(0 < s < seconds for s in phase.seconds)
        assert len(phase.losses) == 2 and all(map(math.isfinite, phase.losses))
        assert idle / 2 < phase.peak < 3 * GIB


@pytest.mark.slow
def test_page_has_a_row_for_every_loop() -> None:
    text = page(256, 2, 1)
    assert all(f"| {name} |" in text for name in OFFICIAL_STEPS)
