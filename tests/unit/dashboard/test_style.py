"""The style sheet: readable colours in both schemes, and the classes that the graph needs."""

import re
from pathlib import Path

import pytest

import dashboard
from dashboard.graph import GAP_PX, LANE_PX, MAX_ROWS, ROW_PX

SHEET = (Path(dashboard.__file__).parent / "static" / "console.css").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))
    for block in re.findall(r":root \{(.*?)\}", SHEET, flags=re.DOTALL)
)
READABLE = 4.5  # WCAG 2 AA, text of normal size


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_the_standard_says():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("tone", ["grey", "violet", "blue", "green", "red", "amber"])
def test_badges_are_readable(scheme, tone):
    assert contrast(scheme[tone], scheme[f"{tone}-soft"]) >= READABLE


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("text", ["ink", "muted", "accent", "red"])
@pytest.mark.parametrize("behind", ["ground", "surface"])
def test_text_is_readable(scheme, text, behind):
    assert contrast(scheme[text], scheme[behind]) >= READABLE


def test_text_in_the_error_box_and_on_the_main_button_is_readable():
    for scheme in (LIGHT, DARK):
        assert contrast(scheme["muted"], scheme["red-soft"]) >= READABLE
        assert contrast(scheme["accent-ink"], scheme["accent"]) >= READABLE


def test_the_sheet_and_the_graph_agree_on_sizes():
    for row in range(1, MAX_ROWS + 1):
        assert f".r{row} {{ grid-row: {row}; }}" in SHEET
        assert f".rows-{row} {{ grid-template-rows: repeat({row}, {ROW_PX}px); }}" in SHEET
    assert f"row-gap: {GAP_PX}px" in SHEET
    assert f"minmax(0, 1fr) {LANE_PX}px minmax(0, 1fr)" in SHEET
