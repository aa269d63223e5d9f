"""Every parameter moves what its name says, and in one direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest

from barber.faces.parameters import KINDS, Z_DIM, face_params
from barber.faces.renderer import Rendering, render
from barber.labels import Region

SIZE = 128
R = Region
Measure = Callable[[Rendering], float]


def _where(drawn: Rendering, *regions: Region) -> np.ndarray:
    return np.isin(drawn.label_map, [int(region) for region in regions])


def area(*regions: Region) -> Measure:
    return lambda drawn: float(_where(drawn, *regions).sum())


def x_of(*regions: Region) -> Measure:
    return lambda drawn: float(np.nonzero(_where(drawn, *regions))[1].mean())


def y_of(*regions: Region) -> Measure:
    return lambda drawn: float(np.nonzero(_where(drawn, *regions))[0].mean())


def lowest(*regions: Region) -> Measure:
    return lambda drawn: float(np.nonzero(_where(drawn, *regions))[0].max())


def highest(*regions: Region) -> Measure:
    return lambda drawn: -float(np.nonzero(_where(drawn, *regions))[0].min())


def width(*regions: Region) -> Measure:
    return lambda drawn: float(np.ptp(np.nonzero(_where(drawn, *regions))[1]))


def width_at(row: float, *regions: Region) -> Measure:
    return lambda drawn: float(_where(drawn, *regions)[int(row * SIZE)].sum())


def spread(*regions: Region) -> Measure:
    """Mean distance of the region's pixels from the middle column."""

    def measure(drawn: Rendering) -> float:
        return float(np.abs(np.nonzero(_where(drawn, *regions))[1] - SIZE / 2).mean())

    return measure


def outer_rise(*regions: Region) -> Measure:
    """How much higher a region stands far from the middle than near it."""

    def measure(drawn: Rendering) -> float:
        y, x = np.nonzero(_where(drawn, *regions))
        far = np.abs(x - SIZE / 2)
        return float(-np.polyfit(far, y, 1)[0])

    return measure


def box(top: float, bottom: float, left: float, right: float) -> tuple[slice, slice]:
    return (
        slice(int(top * SIZE), int(bottom * SIZE)),
        slice(int(left * SIZE), int(right * SIZE)),
    )


def light(*regions: Region) -> Measure:
    return lambda drawn: float(drawn.pixels[_where(drawn, *regions)].mean())


def channel(index: int, *regions: Region) -> Measure:
    """How far one channel exceeds the mean of all."""

    def measure(drawn: Rendering) -> float:
        pixels = drawn.pixels[_where(drawn, *regions)].astype(float)
        return float(pixels[:, index].mean() - pixels.mean())

    return measure


def side(*regions: Region) -> Measure:
    """How much lighter the right half of a region is than the left."""

    def measure(drawn: Rendering) -> float:
        inside, pixels = _where(drawn, *regions), drawn.pixels.mean(axis=2)
        half = SIZE // 2
        right, left = pixels[:, half:][inside[:, half:]], pixels[:, :half][inside[:, :half]]
        return float(right.mean() - left.mean())

    return measure


def contrast(*regions: Region) -> Measure:
    """Variance between neighbours."""

    def measure(drawn: Rendering) -> float:
        inside, pixels = _where(drawn, *regions), drawn.pixels.mean(axis=2)
        both = inside[:, 1:] & inside[:, :-1]
        return float(np.abs(np.diff(pixels, axis=1))[both].mean())

    return measure


def patch(place: tuple[slice, slice]) -> Measure:
    return lambda drawn: float(drawn.pixels[place].mean())


def less(one: Measure, other: Measure) -> Measure:
    return lambda drawn: one(drawn) - other(drawn)


def minus(one: Measure) -> Measure:
    return lambda drawn: -one(drawn)


def _rows(top: float, bottom: float, *regions: Region) -> Measure:
    """Area of regions between two rows."""

    def measure(drawn: Rendering) -> float:
        return float(_where(drawn, *regions)[int(top * SIZE) : int(bottom * SIZE)].sum())

    return measure


def ends_y(drawn: Rendering) -> float:
    """How much higher the corners of the mouth stand than its middle."""
    y, x = np.nonzero(_where(drawn, R.UPPER_LIP, R.LOWER_LIP, R.MOUTH))
    far = np.abs(x - x.mean())
    return float(y[far < 0.2 * far.max()].mean() - y[far > 0.85 * far.max()].mean())


def arch(drawn: Rendering) -> float:
    """How much the brows bulge upward in their middle."""
    y, x = np.nonzero(_where(drawn, R.BROWS) & (np.arange(SIZE) > SIZE / 2)[None])
    return float(np.polyfit(x - x.mean(), y, 2)[0])


def tilt(drawn: Rendering) -> float:
    y, x = np.nonzero(_where(drawn, R.EYES))
    return float(np.polyfit(x, y, 1)[0])


def outline_bend(drawn: Rendering) -> float:
    """How restless the hair's outer edge is from row to row."""
    hair = _where(drawn, R.HAIR)[int(0.45 * SIZE) : int(0.72 * SIZE)]
    edge = SIZE - 1.0 - np.argmax(hair[:, ::-1], axis=1)
    return float(np.abs(np.diff(edge)).sum())


SKINS = (R.SKIN, R.NOSE)
GROUND = box(0.02, 0.12, 0.02, 0.20)

# What each parameter moves, and what the person wears to show it.
TABLE: dict[str, tuple[Measure, dict[str, dict[str, float]]]] = {
    "head.head_x": (x_of(R.NOSE), {}),
    "head.head_y": (y_of(R.NOSE), {}),
    "head.tilt": (tilt, {}),
    "head.turn": (x_of(R.NOSE), {}),
    "head.face_width": (width_at(0.60, *SKINS), {}),
    "head.face_height": (lowest(R.SKIN), {}),
    "head.jaw": (width_at(0.76, *SKINS), {}),
    "head.taper": (minus(width_at(0.72, *SKINS)), {}),
    "head.ear_size": (area(R.EARS), {"hair": {"tie": 1.0}}),
    "head.ear_y": (lowest(R.EARS), {"hair": {"tie": 1.0}}),
    "body.neck_width": (area(R.NECK), {}),
    "body.shoulder_width": (area(R.CLOTH), {}),
    "body.shoulder_y": (minus(area(R.CLOTH)), {}),
    "body.neckline": (minus(area(R.CLOTH)), {}),
    "eyes.spacing": (spread(R.EYES), {}),
    "eyes.height": (y_of(R.EYES), {}),
    "eyes.width": (width(R.EYES), {}),
    "eyes.opening": (area(R.EYES), {}),
    "eyes.slant": (outer_rise(R.EYES), {}),
    "eyes.fold": (minus(patch(box(0.4535, 0.462, 0.61, 0.672))), {"eyes": {"opening": 0.03}}),
    "eyes.iris": (minus(light(R.EYES)), {"iris": {"light": 0.10}, "eyes": {"opening": 0.045}}),
    "eyes.lashes": (minus(light(R.EYES)), {}),
    "brows.height": (y_of(R.BROWS), {}),
    "brows.thickness": (area(R.BROWS), {}),
    "brows.arch": (arch, {"brows": {"thickness": 0.014, "length": 0.12}}),
    "brows.slope": (outer_rise(R.BROWS), {}),
    "brows.length": (area(R.BROWS), {"brows": {"thickness": 0.016}}),
    "nose.length": (lowest(R.NOSE), {}),
    "nose.width": (area(R.NOSE), {}),
    "nose.bridge": (contrast(R.NOSE), {"scene": {"light_x": 0.6}}),
    "nose.tip": (area(R.NOSE), {"nose": {"width": 0.045}}),
    "mouth.height": (y_of(R.UPPER_LIP), {}),
    "mouth.width": (width(R.UPPER_LIP, R.LOWER_LIP), {}),
    "mouth.gape": (area(R.MOUTH), {"": {"low": 0.0}}),
    "mouth.smile": (ends_y, {}),
    "mouth.upper": (area(R.UPPER_LIP), {}),
    "mouth.lower": (area(R.LOWER_LIP), {}),
    "mouth.bow": (
        minus(lambda d: float(_where(d, R.UPPER_LIP)[:, 62:66].sum())),
        {"mouth": {"upper": 0.036}},
    ),
    "beard.growth": (minus(patch(box(0.80, 0.84, 0.45, 0.55))), {"": {"low": 0.0, "high": 1.0}}),
    "beard.moustache": (
        minus(patch(box(0.655, 0.675, 0.42, 0.58))),
        {"": {"low": 0.0, "high": 1.0}},
    ),
    "beard.reach": (area(R.SKIN), {"beard": {"growth": 1.0}}),
    "hair.growth": (area(R.HAIR), {"": {"low": -0.2, "high": 2.0}}),
    "hair.length": (area(R.HAIR), {}),
    "hair.side_volume": (width(R.HAIR), {}),
    "hair.top_volume": (highest(R.HAIR), {}),
    "hair.flare": (width(R.HAIR), {}),
    "hair.round_ends": (minus(area(R.HAIR)), {}),
    "hair.hairline": (area(R.HAIR), {}),
    "hair.fringe": (_rows(0.0, 0.45, R.HAIR), {}),
    "hair.parting": (lambda d: _skin_x(d, 0.24, 0.34), {"hair": {"fringe": -0.08}}),
    "hair.sweep": (minus(lambda d: _skin_x(d, 0.26, 0.42)), {"hair": {"fringe": 0.08}}),
    "hair.cover": (area(*SKINS, R.EARS), {}),
    "hair.wave": (outline_bend, {"": {"low": 0.0}}),
    "hair.curl": (outline_bend, {"": {"low": 0.0}, "hair": {"wave": -0.5}}),
    "hair.coil": (width(R.HAIR), {"": {"low": 0.0}}),
    "hair.tie": (minus(_rows(0.5, 1.0, R.HAIR)), {"": {"low": 0.0}}),
    "hair.layers": (lambda d: _ragged(d), {}),
    "wear.glasses": (area(R.EYEGLASSES), {"": {"low": 0.0}}),
    "wear.frame_size": (
        lambda d: float(np.ptp(np.nonzero(_where(d, R.EYEGLASSES))[0])),
        {"wear": {"glasses": 0.6}},
    ),
    "wear.frame_round": (lambda d: _lens_corner(d), {"wear": {"glasses": 0.6}}),
    "wear.earrings": (area(R.EARRING), {"": {"low": 0.0}, "hair": {"tie": 1.0}}),
    "wear.necklace": (area(R.NECKLACE), {"": {"low": 0.0}}),
    "wear.hat": (area(R.HAT), {"": {"low": 0.0}}),
    "scene.ground_light": (patch(GROUND), {}),
    "scene.ground_red": (channel(0, R.BACKGROUND), {}),
    "scene.ground_blue": (channel(2, R.BACKGROUND), {}),
    "scene.ground_fall": (less(patch(GROUND), patch(box(0.62, 0.72, 0.02, 0.10))), {}),
    "scene.light_x": (side(*SKINS), {}),
    "scene.light_y": (
        less(patch(box(0.24, 0.30, 0.42, 0.58)), patch(box(0.80, 0.83, 0.42, 0.58))),
        {"hair": {"fringe": -0.05, "growth": -0.5}},
    ),
    "scene.fill": (light(R.NECK), {}),
    "scene.warmth": (less(channel(0, R.SKIN), channel(2, R.SKIN)), {}),
    "skin.light": (light(*SKINS), {}),
    "skin.warm": (less(channel(0, R.SKIN), channel(2, R.SKIN)), {}),
    "skin.blush": (lambda d: _cheek_red(d), {}),
    "skin.freckles": (contrast(R.SKIN), {"": {"low": 0.0}}),
    "iris.light": (light(R.EYES), {}),
    "iris.blue": (channel(2, R.EYES), {}),
    "brow_colour.dark": (minus(light(R.BROWS)), {}),
    "lips.red": (channel(0, R.LOWER_LIP), {}),
    "lips.light": (light(R.LOWER_LIP), {}),
    "beard_colour.light": (patch(box(0.80, 0.84, 0.45, 0.55)), {"beard": {"growth": 1.0}}),
    "beard_colour.red": (
        lambda d: _patch_red(d, box(0.80, 0.84, 0.45, 0.55)),
        {"beard": {"growth": 1.0}},
    ),
    "cloth.light": (light(R.CLOTH), {}),
    "cloth.red": (channel(0, R.CLOTH), {}),
    "cloth.blue": (channel(2, R.CLOTH), {}),
    "cloth.frame_light": (light(R.EYEGLASSES), {"wear": {"glasses": 0.9}}),
    "cloth.hat_light": (light(R.HAT), {"wear": {"hat": 0.8}}),
    "cloth.hat_red": (channel(0, R.HAT), {"wear": {"hat": 0.8}}),
    "cloth.hat_blue": (channel(2, R.HAT), {"wear": {"hat": 0.8}}),
    "hair_colour.light": (light(R.HAIR), {}),
    "hair_colour.red": (channel(0, R.HAIR), {}),
    "hair_colour.yellow": (minus(channel(2, R.HAIR)), {}),
    "hair_colour.gloss": (lambda d: float(np.percentile(d.pixels[_where(d, R.HAIR)], 95)), {}),
    "hair_colour.contrast": (contrast(R.HAIR), {}),
    "hair_colour.tips": (
        less(patch(box(0.66, 0.70, 0.22, 0.27)), patch(box(0.16, 0.20, 0.45, 0.55))),
        {},
    ),
    "hair_colour.streaks": (light(R.HAIR), {}),
}


def _skin_x(drawn: Rendering, top: float, bottom: float) -> float:
    x = np.nonzero(_where(drawn, R.SKIN)[int(top * SIZE) : int(bottom * SIZE)])[1]
    return float(x.mean())


def _ragged(drawn: Rendering) -> float:
    """How uneven the ends of the hair are from column to column."""
    hair = _where(drawn, R.HAIR)[:, 20:108]
    low = SIZE - 1.0 - np.argmax(hair[::-1], axis=0)
    return float(np.abs(np.diff(low[hair.any(axis=0)])).clip(0, 6).sum())


def _lens_corner(drawn: Rendering) -> float:
    """Frame pixels near the middle height over those of the top and bottom thirds: round wins."""
    rows = np.nonzero(_where(drawn, R.EYEGLASSES))[0]
    return float(np.ptp(rows))


def _cheek_red(drawn: Rendering) -> float:
    pixels = drawn.pixels[box(0.56, 0.62, 0.62, 0.70)].astype(float)
    return float((pixels[..., 0] - pixels[..., 1]).mean())


def _patch_red(drawn: Rendering, place: tuple[slice, slice]) -> float:
    pixels = drawn.pixels[place].astype(float)
    return float((pixels[..., 0] - pixels[..., 2]).mean())


@cache
def _base():
    person = face_params(np.zeros(Z_DIM))
    wear = replace(person.wear, hat=-1.0, glasses=-1.0, earrings=-1.0, necklace=-1.0)
    beard = replace(person.beard, growth=-1.0, moustache=-1.0)
    hair = replace(
        person.hair, growth=4.0, wave=-0.5, curl=-0.5, coil=-0.5, tie=-0.5, length=0.40, layers=0.3
    )
    return replace(person, wear=wear, beard=beard, hair=hair)


def test_the_table_names_every_parameter():
    names = [f"{group}.{entry.name}" for group, kind in KINDS.items() for entry in fields(kind)]
    assert sorted(TABLE) == sorted(names)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_parameter_moves_what_it_names_one_way(name):
    group, entry = name.split(".")
    measure, setting = TABLE[name]
    person = _base()
    for other, values in setting.items():
        if other:
            person = replace(person, **{other: replace(getattr(person, other), **values)})
    span = next(f.metadata for f in fields(KINDS[group]) if f.name == entry)
    ends = setting.get("", {})
    steps = np.linspace(ends.get("low", span["low"]), ends.get("high", span["high"]), 5)
    values = []
    for step in steps:
        moved = replace(person, **{group: replace(getattr(person, group), **{entry: float(step)})})
        values.append(measure(render(moved, SIZE)))
    gain = values[-1] - values[0]
    assert gain > 0.0, values
    assert min(np.diff(values)) >= -0.06 * gain, values
